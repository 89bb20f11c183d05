"""Where numbers of 16 bits make training faster, and where they are only imitated."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

CPU_FLAGS = {"amx_bf16", "avx512_bf16", "bf16"}  # x86 and, the last one, ARM


@cache
def computes_bf16(device: str) -> bool:
    """Does the device ("cpu", "cuda", ...) multiply bf16 itself? One that imitates it is many times slower."""
    import torch

    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    cpuinfo = Path("/proc/cpuinfo")
    return device != "cpu" or (cpuinfo.exists() and bool(CPU_FLAGS & set(cpuinfo.read_text().split())))


def autocast(device: str, wanted: bool = True) -> Any:
    """A context in which products are of bf16, where that is `wanted` and the device computes it."""
    import torch

    return torch.autocast(device, dtype=torch.bfloat16, enabled=wanted and computes_bf16(device))
