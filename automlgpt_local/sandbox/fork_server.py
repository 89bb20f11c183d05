"""The pre-imported process that forks one child for each job and waits for its end.

A fork inherits this memory as it is, so nothing that a job said may ever be in it: no output, no name of a file, no
result. It holds requests, and of ended jobs the exit code and the CPU time. One thread, and never a parallel region.
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

from automlgpt_local.confine.policy import Policy, library_paths
from automlgpt_local.sandbox import job_process, letters, preload
from automlgpt_local.sandbox.watch import Use, read_use

# A job that takes longer steps back behind the engine, the screen and the language model.
POLITE_AFTER_S, NICENESS = 0.1, 5
IDLE_S = 0.3


def serve(channel: socket.socket) -> None:
    """Import, say that we are ready, and fork until the broker hangs up."""
    pools = preload.load_first()
    later = list(preload.LATER)
    library_paths()  # remembered for the forks
    from automlgpt_local.sandbox import harness  # noqa: F401  pre-imported for the forks

    channel.send(b"ready")
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    jobs: dict[int, int] = {}  # pidfd -> pid
    hasty: dict[int, float] = {}  # pid -> when it was forked
    while True:
        wait_s = POLITE_AFTER_S if hasty else IDLE_S if later and not jobs else None
        ready = poll.poll(None if wait_s is None else wait_s * 1000)
        if later and not ready and not jobs:
            pools = preload.load_optional(later.pop(0))
        for fd, _event in ready:
            if fd == channel.fileno():
                message, fds = letters.receive_fds(channel)
                if not message:
                    return
                pid, pidfd = _fork(channel, pools, fds)
                if pid:
                    jobs[pidfd], hasty[pid] = pid, time.monotonic()
                    poll.register(pidfd, select.POLLIN)
            else:
                poll.unregister(fd)
                pid = jobs.pop(fd)
                hasty.pop(pid, None)
                os.close(fd)
                _, status, usage = os.wait4(pid, 0)
                told = {"ended": pid, "status": status, "cpu_s": usage.ru_utime + usage.ru_stime}
                channel.send(json.dumps(told).encode())
        for pid, forked in list(hasty.items()):
            if time.monotonic() - forked > POLITE_AFTER_S:
                del hasty[pid]
                with contextlib.suppress(OSError):
                    os.setpriority(os.PRIO_PGRP, pid, NICENESS)


def _fork(channel: socket.socket, pools: Any, fds: list[int]) -> tuple[int, int]:
    """Start the job of a letter and tell the broker; gives pid and pidfd, no pid where it could not be started."""
    letter, output, status, *ask = fds
    request = letters.read_letter(letter)
    pid, pidfd = 0, -1
    try:
        mine = read_use(os.getpid()) or Use(0, 0, 0.0, 1)
        rules = Policy(
            read=tuple(request["read"]),
            write=(request["work"],),
            memory_mib=mine.data_kib // 1024 + 2 * request["limits"]["memory_mib"] + 512,
            cpu_s=request["limits"]["cpu_s"],
            file_mib=request["limits"]["disk_mib"],
            parent=os.getpid(),
            left_out=frozenset(request["left_out"]),
        )
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            job_process.run(request, rules, pools, {"output": output, "status": status, "ask": ask})
        pidfd = os.pidfd_open(pid)
        told = {"started": started, "pid": pid, "base_kib": mine.memory_kib}
        letters.send_fds(channel, [pidfd], json.dumps(told).encode())
    except OSError as error:  # no process, no descriptor left: this job fails, the others go on
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        channel.send(json.dumps({"refused": str(error)}).encode())
        pid = 0
    finally:
        for fd in fds:
            os.close(fd)
    return pid, pidfd
