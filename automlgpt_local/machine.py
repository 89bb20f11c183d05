"""What this machine leaves to one run: cores by affinity and quota, memory by what is free and by limit."""

from __future__ import annotations

import os
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def available_threads() -> int:
    """Cores that this process may use, at least 1."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    try:
        quota, period = (CGROUP / "cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, int(quota) // int(period)))
    except (OSError, ValueError):
        pass
    return max(1, cores)


def available_memory_mib() -> int:
    """Memory that can be had now without swapping, in MiB: the machine's, or what a container leaves."""
    import psutil

    free = int(psutil.virtual_memory().available)
    for folder, limit, used, cache in (
        (CGROUP, "memory.max", "memory.current", "inactive_file"),
        (CGROUP / "memory", "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        try:
            left = int((folder / limit).read_text()) - int((folder / used).read_text())
            lines = (line.split() for line in (folder / "memory.stat").read_text().splitlines())
            # Files in the cache count as used, though the kernel gives their memory to whoever asks for it.
            free = min(free, left + next((int(bytes_) for name, bytes_ in lines if name == cache), 0))
        except (OSError, ValueError):
            continue
    return max(256, free >> 20)
