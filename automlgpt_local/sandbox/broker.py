"""The pre-imported process that forks one child for each job and watches over it.

It has one thread, runs no parallel region, opens nothing that a job left behind, and believes nothing that a job says:
a job's end is its pidfd, its use is read from /proc, its set-up is told on a pipe that is closed before user code runs.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import select
import signal
import socket
import time
from pathlib import Path
from typing import Any

from automlgpt_local.confine.policy import Policy, library_paths
from automlgpt_local.sandbox import job_process, letters, preload
from automlgpt_local.sandbox.results import folder_use
from automlgpt_local.sandbox.watch import Printed, Use, nameless_bytes, read_use

TICK_S = 0.01
DISK_EVERY_S = 0.2
# A job that takes longer steps back behind the engine, the screen and the language model.
POLITE_AFTER_S, NICENESS = 0.1, 5
IDLE_S = 0.3
MAX_FILES = 10_000
MAX_THREADS = 128
READ_BLOCK = 1 << 16
MIB = 1 << 20


class Running:
    """One job from its fork to its end."""

    def __init__(self, request: dict[str, Any], letter: int, line: socket.socket) -> None:
        self.request = request
        self.letter = letter
        self.line = line
        self.limits: dict[str, Any] = request["limits"]
        self.left_out = frozenset(request["left_out"])
        self.printed = Printed()
        self.reason = ""
        self.detail = ""
        self.setup = b""
        self.peak_kib = 0
        self.next_disk = 0.0
        self.polite = False

    def start(self, pools: Any, ask: list[int]) -> None:
        mine = read_use(os.getpid()) or Use(0, 0, 0.0, 1)
        self.base_kib = mine.memory_kib
        rules = Policy(
            read=tuple(self.request["read"]),
            write=(self.request["work"],),
            memory_mib=mine.data_kib // 1024 + 2 * self.limits["memory_mib"] + 512,
            cpu_s=self.limits["cpu_s"],
            file_mib=self.limits["disk_mib"],
            parent=os.getpid(),
            left_out=self.left_out,
        )
        self.output, output_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self.status, status_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        os.set_blocking(output_end, True)
        self.started = time.monotonic()
        self.pid = os.fork()
        if self.pid == 0:
            fds = {"output": output_end, "status": status_end, "ask": ask}
            job_process.run(self.request, rules, pools, fds)
        self.pidfd = os.pidfd_open(self.pid)
        for fd in (output_end, status_end, *ask):
            os.close(fd)

    def kill(self, reason: str, detail: str = "") -> None:
        if not self.reason:
            self.reason, self.detail = reason, detail
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)  # without seccomp there may be more than one process

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
        if not self.polite and now - self.started > POLITE_AFTER_S:
            self.polite = True
            with contextlib.suppress(OSError):
                os.setpriority(os.PRIO_PGRP, self.pid, NICENESS)
        if "budgets" in self.left_out:
            return None
        if now - self.started > self.limits["wall_s"]:
            return self.kill("timeout", f"did not end within {self.limits['wall_s']:.3g} s")
        use = read_use(self.pid)
        if use is None:
            return None
        used_kib = use.memory_kib - self.base_kib
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
        work = self.request["work"]
        size, files = folder_use(Path(work), MAX_FILES)
        size += nameless_bytes(self.pid, work)
        if files > MAX_FILES:
            self.kill("disk_limit", f"more than {MAX_FILES} files, or folders nested too deep")
        elif size > self.limits["disk_mib"] * MIB:
            self.kill("disk_limit", f"more than {self.limits['disk_mib']} MiB on disk")

    def finish(self) -> None:
        """Reap the child and answer the runner."""
        seconds = time.monotonic() - self.started
        self.read_output()
        self.read_status()
        if not self.reason and "budgets" not in self.left_out:
            self.check_disk()
        _, status, usage = os.wait4(self.pid, 0)
        code = os.waitstatus_to_exitcode(status)
        state, detail = self.judge(code)
        content = {
            "status": state,
            "detail": detail,
            "seconds": seconds,
            "cpu_s": usage.ru_utime + usage.ru_stime,
            "peak_mib": max(0, self.peak_kib) / 1024,
            "output": self.printed.bytes().decode("utf-8", errors="replace"),
        }
        letters.write_letter(self.letter, content)
        with contextlib.suppress(OSError):
            self.line.send(b"d")
        self.line.close()
        for fd in (self.letter, self.pidfd, self.output, self.status):
            os.close(fd)

    def refuse(self, problem: str) -> None:
        """Answer for a job that could not be started."""
        content = {"status": "setup", "detail": problem, "seconds": 0.0, "cpu_s": 0.0, "peak_mib": 0.0, "output": ""}
        letters.write_letter(self.letter, content)
        with contextlib.suppress(OSError):
            self.line.send(b"d")
        self.line.close()
        os.close(self.letter)

    def judge(self, code: int) -> tuple[str, str]:
        if not self.setup.startswith(b"+") and self.reason not in ("timeout", "cancelled"):
            return "setup", self.setup.decode(errors="replace") or f"ended with {code} before its layers were complete"
        if self.reason:
            return self.reason, self.detail
        if code == 0:
            return "ok", ""
        if code == job_process.EXIT_MEMORY:
            return "memory_limit", "an allocation was refused"
        if code == -signal.SIGXCPU:
            return "cpu_limit", "out of CPU time"
        if code < 0:
            return "killed", f"ended by signal {-code} ({signal.Signals(-code).name})"
        return "error", ""


class Broker:
    def __init__(self, channel: socket.socket) -> None:
        self.channel = channel
        self.jobs: dict[int, Running] = {}
        self.owners: dict[int, tuple[Running, str]] = {}
        self.poll = select.poll()
        self.poll.register(channel, select.POLLIN)
        self.pools: Any = None
        self.later = list(preload.LATER)

    def loop(self) -> None:
        while True:
            wait_s = TICK_S if self.jobs else IDLE_S if self.later else 60.0
            ready = self.poll.poll(wait_s * 1000)
            if self.later and not ready and not self.jobs:
                self.pools = preload.load_optional(self.later.pop(0))
            ended = []
            for fd, _events in ready:
                if fd == self.channel.fileno():
                    if not self.accept():
                        return
                elif fd in self.owners:
                    job, role = self.owners[fd]
                    if role == "end":
                        ended.append(job)
                    elif not self.react(job, role):
                        self.forget(fd)
            for job in ended:
                self.end(job)
            now = time.monotonic()
            for job in self.jobs.values():
                job.check(now)

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
        fds = letters.receive_fds(self.channel)
        if not fds:
            return False
        letter, line, *ask = fds
        job = Running(letters.read_letter(letter), letter, socket.socket(fileno=line))
        try:
            job.start(self.pools, ask)
        except OSError as error:  # no process, no descriptor left: this job fails, the others go on
            job.refuse(str(error))
            for fd in ask:
                os.close(fd)
            return True
        self.jobs[job.pid] = job
        for fd, role in ((job.pidfd, "end"), (job.output, "output"), (job.status, "status"), (line, "line")):
            self.owners[fd] = (job, role)
            self.poll.register(fd, select.POLLIN)
        return True

    def forget(self, fd: int) -> None:
        if self.owners.pop(fd, None):
            self.poll.unregister(fd)

    def end(self, job: Running) -> None:
        for fd in (job.pidfd, job.output, job.status, job.line.fileno()):
            self.forget(fd)
        del self.jobs[job.pid]
        job.finish()


def serve(channel_fd: int, namespaces: bool) -> None:
    """Import, say that we are ready, and work until the runner hangs up."""
    fcntl.fcntl(channel_fd, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    channel = socket.socket(fileno=channel_fd)
    broker = Broker(channel)
    broker.pools = preload.load_first()
    library_paths()  # remembered for the forks
    from automlgpt_local.sandbox import harness  # noqa: F401  pre-imported for the forks

    channel.sendall(json.dumps({"namespaces": namespaces}).encode() + b"\n")
    broker.loop()
    for job in broker.jobs.values():
        job.kill("cancelled")
