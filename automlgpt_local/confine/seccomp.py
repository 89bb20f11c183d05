"""seccomp: an allow-list of system calls as a small BPF program. All that is not listed answers EPERM.

No sockets of any kind, no new process, no exec, no signal to others, no change of metadata, no namespaces, no keys,
no bpf, no io_uring. 32-bit and x32 calls end the process. Threads are allowed, processes are not.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from functools import cache

from automlgpt_local.confine import kernel
from automlgpt_local.confine.calls import ALLOWED, FIRST_UNKNOWN, IGNORED, JUDGED, SECCOMP, Number

_COLUMN = {"x86_64": 0, "aarch64": 1}
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_X32_BIT = 0x40000000

_LOAD, _IF_EQUAL, _IF_AT_LEAST, _IF_ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_ALLOW, _KILL_PROCESS, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_SET_MODE_FILTER, _ACTION_AVAILABLE, _TSYNC = 1, 2, 1

# What pthread_create of glibc and of musl passes. No less: a thread with its own table of descriptors could hold files
# and pipes that the watchdog does not see.
_THREAD_FLAGS = (0x3D0F00, 0x7D0F00)
# None, CLOSE_RANGE_CLOEXEC. Never CLOSE_RANGE_UNSHARE: again a table of descriptors of one's own.
_CLOSE_RANGE_FLAGS = (0, 4)
# None, RENAME_NOREPLACE, RENAME_EXCHANGE. Never RENAME_WHITEOUT: it makes a device.
_RENAME_FLAGS = (0, 1, 2)
# TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX: what open() and isatty() of C libraries ask
_IOCTLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
# F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GETPIPE_SZ. Never F_SETOWN and F_SETSIG: they send a
# signal of choice to a process of choice. No record locks and no larger pipes: they are memory that nobody counts.
_FCNTLS = (0, 1, 2, 3, 4, 1030, 1032)
# PR_GET_PDEATHSIG, PR_GET_DUMPABLE, PR_SET_NAME, PR_GET_NAME, PR_GET_SECCOMP, PR_CAPBSET_READ, PR_GET_TIMERSLACK,
# PR_GET_NO_NEW_PRIVS. Never PR_SET_VMA: the watchdog knows shared memory without a file by its name.
_PRCTLS = (2, 3, 15, 16, 21, 23, 30, 39)

# FUTEX_WAIT, FUTEX_WAIT_BITSET, the same by the wall clock: what waits for the end of a thread, whom the kernel wakes.
# All else needs FUTEX_PRIVATE_FLAG: two jobs that map the same file could wake each other, and so talk.
_SHARED_FUTEXES, _PRIVATE_FUTEX = (0, 9, 265), 128

_OWN_PID = 0xFFFFFFFF  # stands for the pid in the template; no other constant is this number

Instruction = tuple[int, int, int, int]  # code, jump if true, jump if false, constant
_YES: Instruction = (_RETURN, 0, 0, _ALLOW)
_NO: Instruction = (_RETURN, 0, 0, _ERRNO | errno.EPERM)


def known() -> bool:
    """Do we have the numbers of this processor's calls?"""
    return kernel.ARCH in _COLUMN


def supported() -> bool:
    """Does this kernel filter calls, and are they known?"""
    if not known():
        return False
    action = ctypes.c_uint32(_KILL_PROCESS)
    try:
        kernel.syscall(number(SECCOMP), _ACTION_AVAILABLE, 0, ctypes.byref(action))
    except OSError:
        return False
    return True


def number(pair: tuple[Number, Number]) -> int:
    value = pair[_COLUMN[kernel.ARCH]]
    assert value is not None
    return value


def _low(argument: int) -> Instruction:
    return (_LOAD, 0, 0, 16 + 8 * argument)


def _high(argument: int) -> Instruction:
    return (_LOAD, 0, 0, 20 + 8 * argument)


def _one_of(argument: int, values: tuple[int, ...]) -> list[Instruction]:
    tests = [(_IF_EQUAL, len(values) - i, 0, value) for i, value in enumerate(values)]
    return [_low(argument), *tests, _NO, _YES]


def _rules() -> dict[str, list[Instruction]]:
    return {
        # the hot one first: the filter is read from the top
        "futex": [_low(1), (_IF_ANY_BIT, 0, 1, _PRIVATE_FUTEX), _YES, *_one_of(1, _SHARED_FUTEXES)],
        "close_range": _one_of(2, _CLOSE_RANGE_FLAGS),
        "renameat2": _one_of(4, _RENAME_FLAGS),
        "clone": _one_of(0, _THREAD_FLAGS),
        "clone3": [(_RETURN, 0, 0, _ERRNO | errno.ENOSYS)],  # C libraries fall back to clone, whose flags can be read
        "kill": _one_of(0, (_OWN_PID,)),
        "tgkill": _one_of(0, (_OWN_PID,)),
        "ioctl": _one_of(1, _IOCTLS),
        "fcntl": _one_of(1, _FCNTLS),
        "prctl": _one_of(0, _PRCTLS),
        # read one's own limits, never set them: the pointer to new ones must be null
        "prlimit64": [
            *(_low(0), (_IF_EQUAL, 1, 0, 0), (_IF_EQUAL, 0, 5, _OWN_PID)),
            *(_low(2), (_IF_EQUAL, 0, 3, 0), _high(2), (_IF_EQUAL, 0, 1, 0), _YES, _NO),
        ],
    }


def _listed(table: dict[str, tuple[Number, Number]]) -> list[int]:
    column = _COLUMN[kernel.ARCH]
    return [pair[column] for pair in table.values() if pair[column] is not None]  # type: ignore[misc]


def program(own_pid: int) -> bytes:
    """The BPF program for the process `own_pid` (as it sees itself), 8 bytes for each instruction."""
    return _template().replace(struct.pack("=I", _OWN_PID), struct.pack("=I", own_pid))


@cache
def _template() -> bytes:
    code: list[Instruction] = [
        (_LOAD, 0, 0, 4),
        (_IF_EQUAL, 1, 0, _AUDIT_ARCH[kernel.ARCH]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, 0),
    ]
    if kernel.ARCH == "x86_64":
        code += [(_IF_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _KILL_PROCESS)]
    code += [(_IF_AT_LEAST, 0, 1, FIRST_UNKNOWN), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    for name, rule in _rules().items():
        code += [(_IF_EQUAL, 0, len(rule), number(JUDGED[name])), *rule]
    for call in _listed(ALLOWED):
        code += [(_IF_EQUAL, 0, 1, call), _YES]
    for call in _listed(IGNORED):
        code += [(_IF_EQUAL, 0, 1, call), (_RETURN, 0, 0, _ERRNO)]
    code.append(_NO)
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def install() -> None:
    """Put this process, all its threads, under the filter for ever. Needs no_new_privs. Raises OSError."""
    if not known():
        raise OSError(errno.ENOSYS, f"no table of system calls for {kernel.ARCH}")
    filter_code = program(os.getpid())
    buffer = ctypes.create_string_buffer(filter_code, len(filter_code))
    header = struct.pack("HxxxxxxQ", len(filter_code) // 8, ctypes.addressof(buffer))
    # With TSYNC a positive answer is the thread that could not be moved.
    if kernel.syscall(number(SECCOMP), _SET_MODE_FILTER, _TSYNC, ctypes.c_char_p(header)) != 0:
        raise OSError(errno.EBUSY, "seccomp: a thread could not be put under the filter")
