"""The process between engine and fork-server: enters the namespaces, watches over each job, ends all with the engine.

It imports nothing heavy and never forks again, so it acts at once, and what a job says or leaves behind cannot reach a
later one through it. It believes nothing that a job says: the job's end is told by the fork-server, its use is read
from /proc, its set-up is told on a pipe that is closed before user code runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from automlgpt_local.confine import limits, namespaces
from automlgpt_local.sandbox import letters
from automlgpt_local.sandbox.job_process import EXIT_MEMORY
from automlgpt_local.sandbox.results import folder_use
from automlgpt_local.sandbox.watch import Printed, holds_shared, nameless_bytes, read_use, shared_kib

TICK_S = 0.01
DISK_EVERY_S = 0.2
MAX_FILES = 10_000
MAX_THREADS = 128
READ_BLOCK = 1 << 16
MIB = 1 << 20


class Running:
    """One job from its letter to its end."""

    def __init__(self, letter: int, line: socket.socket, own_pids: bool) -> None:
        self.letter = letter
        self.line = line
        request = letters.read_letter(letter)
        self.work: str = request["work"]
        self.limits: dict[str, Any] = request["limits"]
        self.left_out = frozenset(request["left_out"])
        self.own_pids = own_pids
        self.printed = Printed()
        self.reason = ""
        self.detail = ""
        self.setup = b""
        self.peak_kib = 0
        self.next_disk = 0.0
        self.pid, self.pidfd = 0, -1  # until the fork-server has forked it
        self.output, output_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.status, status_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(output_end, True)
        self.child_ends = [output_end, status_end]

    def forked(self, told: dict[str, Any], pidfd: int) -> None:
        self.pid, self.pidfd = told["pid"], pidfd
        self.started, self.base_kib = told["started"], told["base_kib"]
        self.base_shared_kib = shared_kib()
        if self.reason:  # cancelled before it began
            self.kill(self.reason)

    def kill(self, reason: str, detail: str = "") -> None:
        if not self.reason:
            self.reason, self.detail = reason, detail
        if self.pidfd >= 0:
            self.end()

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        if not self.own_pids:  # without seccomp there may be more than one process
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.pid, signal.SIGKILL)

    def read_output(self) -> bool:
        """Take what is there, in bounded bites. False at the end of the stream."""
        for _ in range(16):
            try:
                block = os.read(self.output, READ_BLOCK)
            except BlockingIOError:
                return True
            if not block:
                return False
            self.printed.add(block)
            if "budgets" not in self.left_out and self.printed.total > self.limits["output_kib"] * 1024:
                self.kill("output_limit", f"more than {self.limits['output_kib']} KiB were printed")
        return True

    def read_status(self) -> bool:
        with contextlib.suppress(BlockingIOError):
            block = os.read(self.status, 4096)
            self.setup += block
            return bool(block)
        return True

    def check(self, now: float) -> None:
        """Compare use with budget."""
        if "budgets" in self.left_out:
            return None
        if now - self.started > self.limits["wall_s"]:
            return self.kill("timeout", f"did not end within {self.limits['wall_s']:.3g} s")
        use = read_use(self.pid)
        if use is None:
            return None
        if use.headless:  # nothing is changed for a process that is ending as a whole: its exit code stands
            return self.end()
        used_kib = use.memory_kib - self.base_kib
        hidden_kib = shared_kib() - self.base_shared_kib
        if hidden_kib > self.limits["memory_mib"] * 1024 and holds_shared(self.pid):
            used_kib = max(used_kib, hidden_kib)
        self.peak_kib = max(self.peak_kib, used_kib)
        if used_kib > self.limits["memory_mib"] * 1024:
            return self.kill("memory_limit", f"more than {self.limits['memory_mib']} MiB of memory")
        if use.cpu_s > self.limits["cpu_s"]:
            return self.kill("cpu_limit", f"more than {self.limits['cpu_s']:.3g} s of CPU time")
        if use.threads > MAX_THREADS:
            return self.kill("killed", f"more than {MAX_THREADS} threads")
        if now >= self.next_disk:
            self.next_disk = now + DISK_EVERY_S
            self.check_disk()
        return None

    def check_disk(self) -> None:
        size, files = folder_use(Path(self.work), MAX_FILES)
        size += nameless_bytes(self.pid, self.work)
        if files > MAX_FILES:
            self.kill("disk_limit", f"more than {MAX_FILES} files, or folders nested too deep")
        elif size > self.limits["disk_mib"] * MIB:
            self.kill("disk_limit", f"more than {self.limits['disk_mib']} MiB on disk")

    def guarded(self, step: Callable[..., Any], *arguments: Any) -> Any:
        """What a step of the watch gives; None where it fails: whatever one job brings about, the others go on."""
        try:
            return step(*arguments)
        except Exception as error:
            return self.kill("killed", f"it could not be watched ({type(error).__name__})")

    def finish(self, status: int, cpu_s: float) -> None:
        """Answer the runner: the child has ended."""
        seconds = time.monotonic() - self.started
        try:
            self.read_output()
            self.read_status()
            if not self.reason and "budgets" not in self.left_out:
                self.check_disk()
            state, detail = self.judge(os.waitstatus_to_exitcode(status))
        except Exception as error:
            state, detail = "killed", f"its end could not be judged ({type(error).__name__})"
        self.answer(state, detail, seconds, cpu_s)

    def answer(self, status: str, detail: str, seconds: float = 0.0, cpu_s: float = 0.0) -> None:
        content = {
            "status": status,
            "detail": detail,
            "seconds": seconds,
            "cpu_s": cpu_s,
            "peak_mib": max(0, self.peak_kib) / 1024,
            "output": self.printed.bytes().decode("utf-8", errors="replace"),
        }
        with contextlib.suppress(OSError):
            letters.write_letter(self.letter, content)
            self.line.send(b"d")
        self.line.close()
        for fd in (self.letter, self.pidfd, self.output, self.status):
            if fd >= 0:
                os.close(fd)

    def judge(self, code: int) -> tuple[str, str]:
        if not self.setup.startswith(b"+") and self.reason not in ("timeout", "cancelled"):
            return "setup", self.setup.decode(errors="replace") or f"ended with {code} before its layers were complete"
        if self.reason:
            return self.reason, self.detail
        if code == 0:
            return "ok", ""
        if code == EXIT_MEMORY:
            return "memory_limit", "an allocation was refused"
        if code == -signal.SIGXCPU:
            return "cpu_limit", "out of CPU time"
        if code < 0:
            named = -code in set(signal.Signals)  # most real-time signals are not
            name = f" ({signal.Signals(-code).name})" if named else ""
            return "killed", f"ended by signal {-code}{name}"
        return "error", ""


class Broker:
    """`channel` leads to the runner, `forks` to the fork-server; one of `ends` is readable when all is over."""

    def __init__(self, channel: socket.socket, forks: socket.socket, ends: list[int], own_pids: bool) -> None:
        self.channel = channel
        self.forks = forks
        self.ends = ends
        self.own_pids = own_pids
        self.waiting: deque[Running] = deque()  # handed to the fork-server, which answers in order
        self.jobs: dict[int, Running] = {}
        self.owners: dict[int, tuple[Running, str]] = {}
        self.poll = select.poll()
        for fd in (channel.fileno(), forks.fileno(), *ends):
            self.poll.register(fd, select.POLLIN)

    def loop(self) -> None:
        """Until the runner hangs up, or the engine or the fork-server has ended."""
        while True:
            for fd, _event in self.poll.poll(TICK_S * 1000 if self.jobs else None):
                if fd in self.ends or (fd == self.channel.fileno() and not self.accept()):
                    return
                if fd == self.forks.fileno():
                    self.hear()
                elif fd in self.owners:
                    job, role = self.owners[fd]
                    if not job.guarded(self.react, job, role):
                        self.forget(fd)
            now = time.monotonic()
            for job in self.jobs.values():
                job.guarded(job.check, now)

    def react(self, job: Running, role: str) -> bool:
        """False: this descriptor has nothing more to say."""
        if role == "output":
            return job.read_output()
        if role == "status":
            return job.read_status()
        try:
            job.line.recv(1)  # a wish to cancel, or the end of the asking thread
        except OSError:
            pass
        job.kill("cancelled")
        return False

    def accept(self) -> bool:
        """Hand a new job to the fork-server. False: there will be no more."""
        message, fds = letters.receive_fds(self.channel, 1)
        if not message:
            return False
        letter, line, *ask = fds
        job = Running(letter, socket.socket(fileno=line), self.own_pids)
        letters.send_fds(self.forks, [letter, *job.child_ends, *ask])
        for fd in (*job.child_ends, *ask):
            os.close(fd)
        self.waiting.append(job)
        for fd, role in ((job.output, "output"), (job.status, "status"), (line, "line")):
            self.owners[fd] = (job, role)
            self.poll.register(fd, select.POLLIN)
        return True

    def hear(self) -> None:
        """What the fork-server tells: it is ready, a job has started, could not be started, or has ended."""
        message, fds = letters.receive_fds(self.forks)
        if message == b"ready":
            self.channel.sendall(json.dumps({"namespaces": self.own_pids}).encode() + b"\n")
        elif message:
            told = json.loads(message)
            if "started" in told:
                job = self.waiting.popleft()
                job.forked(told, fds[0])
                self.jobs[job.pid] = job
            elif "refused" in told:
                job = self.waiting.popleft()
                self.let_go(job)
                job.answer("setup", told["refused"])
            else:
                job = self.jobs.pop(told["ended"])
                self.let_go(job)
                job.finish(told["status"], told["cpu_s"])

    def let_go(self, job: Running) -> None:
        for fd in (job.output, job.status, job.line.fileno()):
            self.forget(fd)

    def forget(self, fd: int) -> None:
        if self.owners.pop(fd, None):
            self.poll.unregister(fd)


def main(config: dict[str, Any]) -> None:
    """`config`: channel (descriptor of the socket to the runner), engine (its pid), left_out (names of layers).

    `engine` is None inside bubblewrap, which stands between and ends with the engine by itself.
    """
    ends = []
    if config["engine"] is None:  # no Landlock there to keep the job out of /proc/<pid>/mem
        limits.hide_memory(True)
    else:
        ends.append(os.pidfd_open(config["engine"]))
        if os.getppid() != config["engine"]:  # it ended before we could hold on to it
            os._exit(1)
    private = "namespaces" not in config["left_out"] and namespaces.available() and namespaces.enter()
    forks, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    me = os.getpid()
    server = os.fork()
    if server == 0:
        code = 1
        try:
            forks.close()
            for fd in (*ends, config["channel"]):
                os.close(fd)
            limits.die_with_parent(0 if private else me)
            if private:
                namespaces.private_proc()
            from automlgpt_local.sandbox.fork_server import serve

            serve(theirs)
            code = 0
        finally:
            if code:
                import traceback

                traceback.print_exc()
            os._exit(code)
    theirs.close()
    end = os.pidfd_open(server)
    try:
        Broker(socket.socket(fileno=config["channel"]), forks, [*ends, end], private).loop()
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(end, signal.SIGKILL)
        os.waitpid(server, 0)
