"""What the engine asks of the sandbox (`Job`) and what comes back (`Outcome`): plain data, no label, no score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Status = Literal[
    "ok", "error", "timeout", "cpu_limit", "memory_limit", "output_limit", "disk_limit", "killed", "bad_result",
    "cancelled",
]  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """Budgets of one job; the sum over its processes and threads. `cpu_s` None: as `wall_s` and `threads` allow."""

    wall_s: float
    memory_mib: int = 4096
    threads: int = 1
    output_kib: int = 1024
    disk_mib: int = 2048
    cpu_s: float | None = None


@dataclass(frozen=True)
class Job:
    """One fork: `harness.<task>(spec, work)` with read access to `read` and write access to `work` alone.

    `spec` is JSON-able and travels to the harness. `work` is made by the caller, empty. `on_ask` answers the
    questions of the child (Optuna's suggest calls) with JSON-able values; they are data, never trusted.
    """

    task: Literal["fold", "refit", "predict", "shuffle", "space"]
    spec: dict[str, Any]
    work: Path
    read: tuple[Path, ...]
    limits: Limits
    on_ask: Callable[[dict[str, Any]], Any] | None = None


@dataclass(frozen=True)
class Outcome:
    """`result` is the child's JSON (size-capped), `arrays` its .npy files by stem (never object dtype).

    `output` is the head and tail of stdout and stderr together, made inert. `error` is the tail of the traceback.
    """

    status: Status
    seconds: float
    cpu_s: float = 0.0
    peak_mib: float = 0.0
    output: str = ""
    error: str = ""
    result: dict[str, Any] = field(default_factory=dict)
    arrays: dict[str, Any] = field(default_factory=dict)
