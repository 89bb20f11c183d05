"""What one confined process may do, and the one function that confines it for ever."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from automlgpt_local.confine import landlock, limits, seccomp

# Layers without which no generated code runs. Namespaces are a bonus.
REQUIRED = ("landlock", "seccomp", "limits", "capabilities", "environment")

DEVICES = ("/dev/null",)
_SYSTEM = (
    "/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib", "/usr/share/zoneinfo", "/usr/share/locale",
    "/etc/ld.so.cache", "/etc/localtime", "/etc/alternatives",
    "/dev/urandom", "/dev/random",
    "/sys/devices/system/cpu", "/sys/devices/system/node",
    # joblib and thread libraries ask how many CPUs this container may use
    # of itself only: which libraries are loaded, how much memory is in use
    "/proc/self/maps", "/proc/self/status", "/proc/self/statm", "/proc/meminfo", "/proc/cpuinfo",
    "/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us",
)  # fmt: skip


@dataclass(frozen=True)
class Policy:
    """Paths and budgets of one process. `left_out` names layers that are not applied: `--unsafe-no-sandbox` only."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    memory_mib: int = 4096
    cpu_s: float = 3600.0
    file_mib: int = 2048
    left_out: frozenset[str] = frozenset()


@cache
def library_paths() -> tuple[str, ...]:
    """Folders of Python, its installed packages and the system's shared libraries; never a home or a project."""
    paths = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    for entry in sys.path:
        folder = Path(entry)
        if folder.name in ("site-packages", "dist-packages", "lib-dynload") and folder.is_dir():
            paths.add(str(folder))
    paths |= {str(Path(prefix) / "lib") for prefix in (sys.prefix, sys.base_prefix)}
    return (*sorted({str(Path(p).resolve()) for p in paths if p}), *_SYSTEM)


def close_inherited(keep: Iterable[int] = ()) -> None:
    """Close every file descriptor from 3 on but `keep`."""
    start = 3
    for fd in sorted({fd for fd in keep if fd >= 3}):
        os.closerange(start, fd)
        start = fd + 1
    os.closerange(start, os.sysconf("SC_OPEN_MAX"))


def prepare() -> None:
    """What is the same for every policy, done once before the forks that `apply` one."""
    library_paths()
    if seccomp.known():
        seccomp.program(0)


def apply(policy: Policy) -> None:
    """Confine the calling process for ever, all layers or an OSError; on an error the process must end at once."""
    wanted = set(REQUIRED) - policy.left_out
    limits.be_first_victim()
    if "limits" in wanted:
        limits.set_limits(memory_mib=policy.memory_mib, cpu_s=policy.cpu_s, file_mib=policy.file_mib)
    if "capabilities" in wanted:
        limits.drop_capabilities()
    if wanted & {"landlock", "seccomp"}:
        limits.no_new_privileges()
    if "landlock" in wanted:
        landlock.restrict((*library_paths(), *policy.read), policy.write, DEVICES)
    if "seccomp" in wanted:
        seccomp.install()
