"""The pre-imported process that forks one child for each job, ahead of the job, and waits for its end.

A fork inherits this memory as it is, so nothing that a job said may ever be in it: no output, no name of a file, no
result. Of ended jobs it holds the exit code and the CPU time. One thread, and never a parallel region.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import time
from typing import Any

from automlgpt_local.confine import policy
from automlgpt_local.sandbox import job_process, letters, preload
from automlgpt_local.sandbox.watch import read_use

# A job that takes longer steps back behind the engine, the screen and the language model.
POLITE_AFTER_S, NICENESS = 0.1, 5
IDLE_S = 0.3


class Spare:
    """A fork that waits for its job. Raises OSError where there can be none."""

    def __init__(self, pools: Any) -> None:
        self._line, line = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        use = read_use(os.getpid())
        self._base_kib = 0 if use is None else use.memory_kib
        try:
            parent = os.getpid()
            self.pid = os.fork()
            if self.pid == 0:
                job_process.await_job(line, pools, parent)
        finally:
            line.close()
        self.pidfd = os.pidfd_open(self.pid)

    def start(self, fds: list[int], channel: socket.socket) -> None:
        """Hand over the descriptors of a job, and tell the broker. Raises OSError when the fork has ended by itself."""
        letters.send_fds(self._line, fds)
        self._line.close()
        told = {"started": time.monotonic(), "pid": self.pid, "base_kib": self._base_kib}
        letters.send_fds(channel, [self.pidfd], json.dumps(told).encode())

    def end(self) -> None:
        """For a spare without a job."""
        self._line.close()
        os.close(self.pidfd)
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)


def serve(channel: socket.socket) -> None:
    """Import, say that we are ready, and start jobs until the broker hangs up."""
    pools = preload.load_first()
    later = list(preload.LATER)
    policy.prepare()
    from automlgpt_local.sandbox import harness  # noqa: F401  pre-imported for the forks

    spare = _spare(pools)
    channel.send(b"ready")
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    jobs: dict[int, int] = {}  # pidfd -> pid
    hasty: dict[int, float] = {}  # pid -> when its job was started
    while True:
        wait_s = POLITE_AFTER_S if hasty else IDLE_S if later and not jobs else None
        ready = poll.poll(None if wait_s is None else wait_s * 1000)
        if later and not ready and not jobs:
            if spare is not None:
                spare.end()
            pools = preload.load_optional(later.pop(0))
            spare = _spare(pools)
        for fd, _event in ready:
            if fd == channel.fileno():
                message, fds = letters.receive_fds(channel)
                if not message:
                    return
                job = _start(fds, spare, pools, channel)
                if job is not None:
                    jobs[job.pidfd], hasty[job.pid] = job.pid, time.monotonic()
                    poll.register(job.pidfd, select.POLLIN)
                spare = _spare(pools)
            else:
                poll.unregister(fd)
                pid = jobs.pop(fd)
                hasty.pop(pid, None)
                os.close(fd)
                _, status, usage = os.wait4(pid, 0)
                told = {"ended": pid, "status": status, "cpu_s": usage.ru_utime + usage.ru_stime}
                channel.send(json.dumps(told).encode())
        for pid, started in list(hasty.items()):
            if time.monotonic() - started > POLITE_AFTER_S:
                del hasty[pid]
                with contextlib.suppress(OSError):
                    os.setpriority(os.PRIO_PGRP, pid, NICENESS)


def _spare(pools: Any) -> Spare | None:
    try:
        return Spare(pools)
    except OSError:  # no process, no descriptor left; the next job tries again
        return None


def _start(fds: list[int], spare: Spare | None, pools: Any, channel: socket.socket) -> Spare | None:
    """The fork that now has the job; None where there can be none: this job fails, the others go on."""
    try:
        if spare is not None:
            try:
                spare.start(fds, channel)
                return spare
            except OSError:  # the kernel has ended it, for want of memory
                spare.end()
        spare = Spare(pools)
        spare.start(fds, channel)
        return spare
    except OSError as error:
        channel.send(json.dumps({"refused": str(error)}).encode())
        return None
    finally:
        for fd in fds:
            os.close(fd)
