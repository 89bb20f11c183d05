"""Landlock: the kernel's rule set of readable and writable paths, for a process without any privilege.

It does not govern metadata (chmod, utime, xattr), UDP, Unix sockets by path, or io_uring: `seccomp` closes those.
`stat()` is not governed by either: size and existence of a file can be seen.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Iterable
from stat import S_ISDIR

from automlgpt_local.confine import kernel

REQUIRED_ABI = 3  # the first that governs truncate()

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << bit for bit in range(6))
MAKE_CHAR, MAKE_DIR, MAKE_REG, MAKE_SOCK, MAKE_FIFO, MAKE_BLOCK, MAKE_SYM = (1 << bit for bit in range(6, 13))
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15

READ = READ_FILE | READ_DIR
# Left out on purpose: links, FIFOs, sockets, devices, moves into other folders, execution.
WRITE = READ | WRITE_FILE | TRUNCATE | REMOVE_FILE | REMOVE_DIR | MAKE_DIR | MAKE_REG
DEVICE = READ_FILE | WRITE_FILE
ON_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG = 1
_RULE_PATH_BENEATH = 1
_NO_AUDIT_RECORDS = 1  # hostile code shall not fill the system's log with its denials
_TCP_BIND_AND_CONNECT = 3
_ABSTRACT_SOCKETS_AND_SIGNALS = 3


def abi() -> int:
    """The version of Landlock in the running kernel; 0 where it is missing or switched off."""
    try:
        return kernel.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):
            return 0
        raise


def handled(version: int) -> tuple[int, int, int]:
    """All rights that this ABI can govern: of files, of TCP, of scopes (abstract sockets and signals)."""
    files = REFER - 1
    for since, right in ((2, REFER), (3, TRUNCATE), (5, IOCTL_DEV)):
        if version >= since:
            files |= right
    return files, _TCP_BIND_AND_CONNECT if version >= 4 else 0, _ABSTRACT_SOCKETS_AND_SIGNALS if version >= 6 else 0


def restrict(read: Iterable[str], write: Iterable[str] = (), devices: Iterable[str] = ()) -> None:
    """Confine this thread for ever: reading beneath `read`, writing beneath `write`, nothing else.

    Paths that do not exist are passed over. Needs no_new_privs. Raises OSError.
    """
    version = abi()
    if version < REQUIRED_ABI:
        raise OSError(errno.ENOSYS, f"Landlock ABI {version}, at least {REQUIRED_ABI} is needed")
    files, network, scopes = handled(version)
    attributes = struct.pack("QQQ", files, network, scopes)[: 8 if version < 4 else 16 if version < 6 else 24]
    ruleset = kernel.syscall(_CREATE_RULESET, ctypes.c_char_p(attributes), len(attributes), 0)
    try:
        for paths, rights in ((read, READ), (write, WRITE), (devices, DEVICE)):
            for path in paths:
                _allow(ruleset, path, rights & files)
        kernel.syscall(_RESTRICT_SELF, ruleset, _NO_AUDIT_RECORDS if version >= 7 else 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        if not S_ISDIR(os.fstat(place).st_mode):
            rights &= ON_FILES
        rule = struct.pack("=Qi", rights, place)
        kernel.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, ctypes.c_char_p(rule), 0)
    finally:
        os.close(place)
