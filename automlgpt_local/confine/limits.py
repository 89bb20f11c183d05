"""Budgets that the kernel keeps, privileges given up, and the end together with the parent."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
from pathlib import Path

from automlgpt_local.confine import kernel
from automlgpt_local.confine.calls import CAPSET
from automlgpt_local.confine.seccomp import number

MIB = 1 << 20
_CAPABILITY_VERSION_3 = 0x20080522


def _lower(which: int, soft: int, hard: int | None = None) -> None:
    import resource

    ceiling = resource.getrlimit(which)[1]
    hard = soft if hard is None else hard
    if ceiling != resource.RLIM_INFINITY:
        soft, hard = min(soft, ceiling), min(hard, ceiling)
    resource.setrlimit(which, (soft, hard))


def set_limits(*, memory_mib: int, cpu_s: float, file_mib: int, open_files: int = 256) -> None:
    """Kernel limits of one process: a backstop far behind the watchdog's exact ones.

    `memory_mib` bounds private writable memory in address space (of which programs reserve more than they touch).
    """
    import resource  # not everywhere: this module is imported, to say what is missing, on other systems too

    _lower(resource.RLIMIT_CORE, 1)  # no dump, to a program neither: for one the kernel takes 0 as "no limit"
    _lower(resource.RLIMIT_DATA, memory_mib * MIB)
    _lower(resource.RLIMIT_FSIZE, file_mib * MIB)
    _lower(resource.RLIMIT_NOFILE, open_files)
    _lower(resource.RLIMIT_MEMLOCK, 8 * MIB)
    _lower(resource.RLIMIT_MSGQUEUE, 0)
    seconds = int(cpu_s) + 2
    _lower(resource.RLIMIT_CPU, seconds, seconds + 1)


def drop_capabilities() -> None:
    """Give up every capability, those that an exec could bring back too."""
    for capability in range(64):
        try:
            kernel.prctl(kernel.PR_CAPBSET_DROP, capability)
        except OSError:
            break  # without the right to drop there is no capability to drop; past the last one there is none
    header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
    kernel.syscall(number(CAPSET), ctypes.c_char_p(header), ctypes.c_char_p(bytes(24)))


def no_new_privileges() -> None:
    kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)


def die_with_parent(parent: int) -> None:
    """SIGKILL when the thread that started us ends. `parent`: the parent's pid, known before the fork."""
    kernel.prctl(kernel.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before the call
        os._exit(1)


def hide_memory(hidden: bool) -> None:
    """Keep others of this user from reading and writing this process by way of /proc, or let them; forks inherit it."""
    kernel.prctl(kernel.PR_SET_DUMPABLE, 0 if hidden else 1)


def be_first_victim() -> None:
    """When the machine runs out of memory, the kernel ends this process first."""
    try:
        Path("/proc/self/oom_score_adj").write_text("700")
    except OSError:
        pass  # a courtesy, not a layer
