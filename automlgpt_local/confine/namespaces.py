"""Private user, pid, net, ipc and mount namespaces: a bonus where the machine allows them, never required."""

from __future__ import annotations

import os
from pathlib import Path

from automlgpt_local.confine import kernel

NEWNS, NEWIPC, NEWUSER, NEWPID, NEWNET = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
_MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REC, _MS_PRIVATE = 2, 4, 8, 0x4000, 1 << 18


class HalfAppliedError(Exception):
    """The namespaces were entered and cannot be left, yet are not complete: this process must not go on."""


def enter() -> bool:
    """Enter new namespaces; the next fork is the first process of the pid namespace. False: not allowed here.

    Call it in a single-threaded process. Raises HalfAppliedError.
    """
    user, group = os.getuid(), os.getgid()
    try:
        kernel.unshare(NEWUSER | NEWNET | NEWIPC | NEWPID | NEWNS)
    except OSError:
        return False
    try:
        for name, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
            Path(f"/proc/self/{name}").write_text(text)
    except OSError as error:
        raise HalfAppliedError(str(error)) from error
    return True


def private_proc() -> None:
    """In the first process of the pid namespace: a /proc that shows this namespace only. Raises OSError."""
    kernel.mount(None, "/", None, _MS_REC | _MS_PRIVATE)
    kernel.mount("proc", "/proc", "proc", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)


def available() -> bool:
    """Can this process enter all of them, /proc included? Tried in a child. Call it in a single-threaded process."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            if enter():
                first = os.fork()
                if first == 0:
                    private_proc()
                    os._exit(0)
                code = os.waitstatus_to_exitcode(os.waitpid(first, 0)[1])
        except BaseException:
            code = 1
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
