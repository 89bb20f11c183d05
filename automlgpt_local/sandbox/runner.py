"""The engine's side of the sandbox: start the broker, hand it jobs, read what they left as hostile data.

    with Sandbox(threads=2, memory_mib=4096) as sandbox:
        outcome = sandbox.run(Job("fold", spec, work, read, Limits(wall_s=30)))

Covered: files outside the job's folders, network, other processes, memory, CPU, time, output, disk.
Not covered: size and existence of files (stat), CPU side channels, the total of the disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from automlgpt_local import confine
from automlgpt_local.confine import bubblewrap, landlock
from automlgpt_local.confine.policy import library_paths
from automlgpt_local.errors import SandboxError
from automlgpt_local.sandbox import letters, results
from automlgpt_local.sandbox.jobs import Job, Limits, Outcome
from automlgpt_local.sandbox.preload import ENVIRONMENT
from automlgpt_local.sandbox.talk import Talk
from automlgpt_local.sandbox.text import inert, tail

START_S = 120.0
GRACE_S = 10.0
STOP_S = 0.3  # then it is killed: the broker may be in the middle of an import
POLL_MS = 50
ERROR_CHARS = 4000


class Sandbox:
    """Runs jobs under all layers; `run` may be called from several threads at once.

    `threads` and `memory_mib` are the most that one job may be given. `cold`: a fresh broker for each job.
    """

    boot = """
import json, sys
config = json.loads(sys.argv[1])
sys.path[:] = config["path"]
from automlgpt_local.sandbox import broker
broker.main(config)
"""

    def __init__(
        self, threads: int, memory_mib: int, unsafe: bool = False, cold: bool = False, jail: tuple[str, ...] = ()
    ) -> None:
        self.threads = threads
        self.memory_mib = memory_mib
        self.unsafe = unsafe
        self.cold = cold
        self._jail = jail  # the words of bubblewrap, for the one job of a fresh sandbox
        self.layers: dict[str, str] = {}
        self._lock = threading.RLock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._closed = False

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    # --- the broker
    def left_out(self) -> frozenset[str]:
        """Layers that are not applied: none, or all that confine, when the user typed --unsafe-no-sandbox."""
        if self.unsafe:
            return frozenset({"landlock", "seccomp", "capabilities", "namespaces"})
        return frozenset({"landlock", "namespaces"}) if self._jail else frozenset()

    def start(self) -> None:
        """Start the broker, wait for its imports. Raises SandboxError when a required layer is missing."""
        self._check_machine()
        if self.cold and not self._jail:
            self.layers = confine.layers(left_out=self.left_out())
            return
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._stop()
                self._launch()

    def _check_machine(self) -> None:
        if sys.platform != "linux":
            raise SandboxError(
                f"Generated code is not run on {sys.platform}: this version has its sandbox on Linux only.",
                "Use a Linux machine, a Linux virtual machine or WSL 2. Reports of earlier runs still open.",
            )
        if not self.unsafe and landlock.abi() < landlock.REQUIRED_ABI and bubblewrap.available():
            self.cold = True
        problems = [] if self.unsafe else confine.missing()
        if problems:
            raise SandboxError(
                "Generated code is not run here, because the sandbox would be incomplete. " + "; ".join(problems) + ".",
                "`automlgpt doctor` shows each layer. --unsafe-no-sandbox runs the code with all of your own rights.",
            )

    def _launch(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        package = str(Path(__file__).resolve().parents[2])
        path = [p for p in sys.path if p and Path(p).is_absolute()]
        config = {
            "channel": theirs.fileno(),
            "engine": None if self._jail else os.getpid(),
            "left_out": sorted(self.left_out()),
            "path": [*path, package],
        }
        inherited = os.environ if "environment" in self.left_out() else {}
        environment = {**inherited, **ENVIRONMENT, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "HOME": "/nonexistent"}
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  lives as long as the broker
        self._process = subprocess.Popen(
            [*self._jail, sys.executable, "-P", "-s", "-c", self.boot, json.dumps(config)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=self._complaints,
            env=environment, pass_fds=[theirs.fileno()], start_new_session=True, cwd="/",
        )  # fmt: skip
        theirs.close()
        ours.settimeout(START_S)
        hello = b""
        with contextlib.suppress(OSError):
            while not hello.endswith(b"\n"):
                block = ours.recv(4096)
                if not block:
                    break
                hello += block
        if not hello.endswith(b"\n"):
            ours.close()
            self._process.kill()
            self._complaints.seek(0)
            said = tail(inert(self._complaints.read()[-4000:].decode(errors="replace")).strip(), 600)
            raise SandboxError(f"The sandbox's broker did not start. {said}", _remedy(library_paths()))
        ours.settimeout(None)
        self._channel = ours
        left_out = frozenset() if self._jail else self.left_out()
        self.layers = confine.layers(bool(json.loads(hello)["namespaces"]) or bool(self._jail), left_out)

    def _stop(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            try:
                self._process.wait(timeout=STOP_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._complaints.close()
            self._process = None

    def close(self) -> None:
        """End the broker and every job."""
        with self._lock:
            self._closed = True
            self._stop()

    def _submit(self, fds: list[int]) -> None:
        with self._lock:
            if self._closed:
                raise SandboxError("The sandbox is closed.")
            for _ in range(2):
                self.start()
                assert self._channel is not None
                try:
                    return letters.send_fds(self._channel, fds)
                except OSError:  # it died between two jobs
                    self._stop()
        raise SandboxError("The sandbox's broker ends again and again.", "`automlgpt doctor` shows each layer.")

    # --- jobs
    def run(self, job: Job, cancelled: Callable[[], bool] = lambda: False) -> Outcome:
        """Run one job to its end. Raises SandboxError when a layer could not be applied; the code did not run then."""
        with _out_of_sight(job) as hidden:
            run = self._run_cold if self.cold and not self._jail else self._run_warm
            return run(hidden, cancelled)

    def _run_warm(self, job: Job, cancelled: Callable[[], bool]) -> Outcome:
        limits = self._within(job.limits)
        request = {
            "task": job.task,
            "spec": job.spec,
            "work": str(job.work.resolve()),
            "read": [str(p.resolve()) for p in job.read],
            "limits": asdict(limits),
            "left_out": sorted(self.left_out()),
        }
        ours, theirs = socket.socketpair()
        letter = letters.new_letter(request)
        talk = Talk(job.on_ask)
        try:
            try:
                self._submit([letter, theirs.fileno(), *talk.child_ends])
            finally:
                theirs.close()
                talk.close_child_ends()
            answered = self._wait(ours, talk, limits, cancelled)
            if not answered:
                return Outcome("killed", 0.0, error="the sandbox's broker ended during the job")
            outcome = self._outcome(job, limits, letters.read_letter(letter))
            return replace(outcome, error=f"{outcome.error}\n{talk.problem}".strip()) if talk.problem else outcome
        finally:
            ours.close()
            talk.close()
            os.close(letter)

    def _run_cold(self, job: Job, cancelled: Callable[[], bool]) -> Outcome:
        """A broker for this job alone; inside bubblewrap where Landlock is missing."""
        jail: list[str] = []
        if not self.unsafe and landlock.abi() < landlock.REQUIRED_ABI:
            read, work = [str(p.resolve()) for p in job.read], str(job.work.resolve())
            jail = bubblewrap.command(read, [work], library_paths())
        with type(self)(self.threads, self.memory_mib, self.unsafe, jail=tuple(jail)) as fresh:
            self.layers = fresh.layers
            return fresh._run_warm(job, cancelled)  # its folder is out of sight already

    def _within(self, limits: Limits) -> Limits:
        threads = max(1, min(limits.threads, self.threads))
        cpu_s = limits.wall_s * threads * 1.1 + 0.5 if limits.cpu_s is None else limits.cpu_s
        return replace(limits, memory_mib=min(limits.memory_mib, self.memory_mib), threads=threads, cpu_s=cpu_s)

    def _wait(self, line: socket.socket, talk: Talk, limits: Limits, cancelled: Callable[[], bool]) -> bool:
        """Until the broker answers (True) or is gone (False)."""
        poll = select.poll()
        poll.register(line, select.POLLIN)
        if talk.questions >= 0:
            poll.register(talk.questions, select.POLLIN)
        deadline = time.monotonic() + limits.wall_s + GRACE_S + START_S
        told = False
        while True:
            for fd, _event in poll.poll(POLL_MS):
                if fd == line.fileno():
                    try:
                        return line.recv(1) == b"d"
                    except OSError:
                        return False
                if not talk.answer():
                    poll.unregister(fd)
            if not told and cancelled():
                told = True
                with contextlib.suppress(OSError):
                    line.send(b"c")
            if time.monotonic() > deadline:
                with self._lock:
                    if self._process is not None:
                        self._process.send_signal(signal.SIGKILL)
                return False

    def _outcome(self, job: Job, limits: Limits, content: dict[str, Any]) -> Outcome:
        status, detail = content["status"], content["detail"]
        if status == "setup":
            raise SandboxError(
                f"The sandbox could not be completed, so the code was not run: {inert(detail)[:300]}.",
                _remedy([*library_paths(), str(job.work), *map(str, job.read)]),
            )
        error, result, arrays = inert(detail), {}, {}
        if status in ("error", "memory_limit"):
            told = tail(inert(results.read_error(job.work)).strip(), ERROR_CHARS)
            error = told or error or "it ended without a result"
        if status == "ok":
            try:
                result = results.read_result(job.work)
                arrays = results.read_arrays(job.work, limits.memory_mib * 2**20 // 4)
            except results.BadResultError as bad:
                status, error, result, arrays = "bad_result", inert(str(bad)), {}, {}
        return Outcome(
            status=status,
            seconds=content["seconds"],
            cpu_s=content["cpu_s"],
            peak_mib=content["peak_mib"],
            output=inert(content["output"]),
            error=error,
            result=result,
            arrays=arrays,
        )


def _remedy(paths: Iterable[str]) -> str:
    """What to do where a job could not start that reads these paths."""
    if os.geteuid() == 0:
        for folder in dict.fromkeys(folder for path in paths for folder in reversed(Path(path).resolve().parents)):
            with contextlib.suppress(OSError):
                status = folder.stat()
                may_enter = 0o011 if status.st_gid in os.getgroups() else 0o001
                if status.st_uid != 0 and not status.st_mode & may_enter:
                    return f"Root without capabilities, as code runs here, cannot enter {folder}: run as its owner."
    return "`automlgpt doctor` shows each layer."


@contextlib.contextmanager
def _out_of_sight(job: Job) -> Iterator[Job]:
    """The job with its work folder under a name that no other job can guess, until it has ended.

    Landlock does not govern stat(): two jobs that know each other's paths could talk by names and sizes of files.
    """
    hidden = job.work.with_name(f".{secrets.token_hex(16)}")
    try:
        job.work.rename(hidden)
    except OSError as error:
        raise SandboxError(f"The code was not run: its work folder cannot be used ({error.strerror}).") from error
    try:
        yield replace(job, work=hidden)
    finally:
        with contextlib.suppress(OSError):
            results.flatten(hidden)
        hidden.rename(job.work)
