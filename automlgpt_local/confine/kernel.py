"""Raw system calls by ctypes: what Python's standard library does not offer. Every failure is an OSError."""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import sys
from typing import Any

ARCH = platform.machine()
LINUX = sys.platform == "linux"

# prctl operations
PR_SET_PDEATHSIG = 1
PR_SET_DUMPABLE = 4
PR_CAPBSET_DROP = 24
PR_SET_NO_NEW_PRIVS = 38

_libc: Any = ctypes.CDLL(None, use_errno=True) if LINUX else None
if LINUX:
    _libc.syscall.restype = ctypes.c_long


def _checked(value: int, what: str) -> int:
    if value < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{what}: {os.strerror(code)}")
    return int(value)


def syscall(number: int, *arguments: Any) -> int:
    """One system call; int arguments go as C longs, everything else as it is."""
    if not LINUX:
        raise OSError(errno.ENOSYS, "these layers need Linux")
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return _checked(_libc.syscall(ctypes.c_long(number), *converted), f"system call {number}")


def prctl(operation: int, argument: int = 0) -> int:
    zero = ctypes.c_ulong(0)
    return _checked(_libc.prctl(operation, ctypes.c_ulong(argument), zero, zero, zero), f"prctl {operation}")


def unshare(flags: int) -> None:
    _checked(_libc.unshare(flags), "unshare")


def mount(source: str | None, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    def text(value: str | None) -> bytes | None:
        return None if value is None else os.fsencode(value)

    done = _libc.mount(text(source), text(target), text(kind), ctypes.c_ulong(flags), text(data))
    _checked(done, f"mount {target}")
