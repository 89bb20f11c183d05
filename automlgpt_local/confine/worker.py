"""The layers of the process that hosts llama.cpp: it parses files of others in C++, so no network and no writes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from automlgpt_local.confine import kernel, landlock, limits, policy, seccomp

# Read by ggml and OpenMP for the processor's features; of other processes nothing can be read.
_PROC = ("/proc/cpuinfo", "/proc/meminfo", "/proc/self")


def apply_worker_layers(read_paths: Iterable[str | Path]) -> dict[str, str]:
    """Confine the calling process: reads its libraries and `read_paths`, writes nothing, opens no socket.

    Call it after the last import and before a model file is opened; pipes and files that are open stay usable.
    Applies what the machine has and tells layer -> `enforced` or `missing`: a model runs without them too, for it
    is no generated code.
    """
    done = {"landlock": "missing", "seccomp": "missing", "capabilities": "missing"}
    if not kernel.LINUX:
        return done
    sources = [str(Path(p)) for p in sys.path if p and Path(p).exists()]
    steps = {
        "capabilities": limits.drop_capabilities,
        "landlock": lambda: landlock.restrict(
            (*policy.library_paths(), *sources, *_PROC, *map(str, read_paths)), devices=policy.DEVICES
        ),
        "seccomp": seccomp.install,
    }
    limits.no_new_privileges()
    for name, step in steps.items():
        try:
            step()
        except OSError:
            continue
        done[name] = "enforced"
    return done
