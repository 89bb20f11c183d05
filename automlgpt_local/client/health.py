"""What a run needs of this machine, looked at one by one. Used by `doctor` and the TUI."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

from automlgpt_local import __version__, paths, settings
from automlgpt_local.errors import AutoMLGPTError
from automlgpt_local.paths import typed_path


@dataclass(frozen=True)
class Check:
    """`problem` keeps runs from working; `hint` could be better."""

    name: str
    state: Literal["ok", "hint", "problem"]
    detail: str
    remedy: str = ""


def _python() -> Iterator[Check]:
    yield Check("program", "ok", f"automlgpt-local {__version__}, Python {platform.python_version()}, {sys.platform}")


def _libraries() -> Iterator[Check]:
    needed = ("numpy", "pandas", "scikit-learn", "skrub", "lightgbm", "optuna", "llama-cpp-python", "pyarrow")
    found, gone = [], []
    for name in needed:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            gone.append(name)
    if gone:
        yield Check("libraries", "problem", f"missing: {', '.join(gone)}", "Install the package again with pip.")
    else:
        yield Check("libraries", "ok", ", ".join(found))


def _cores() -> Iterator[Check]:
    from automlgpt_local.machine import available_memory_mib, available_threads

    threads, memory_mib = available_threads(), available_memory_mib()
    yield Check("cores", "ok", f"{threads} for this process")
    gib = f"{memory_mib / 1024:.1f} GiB can be had now"
    if memory_mib < 2048:
        yield Check("memory", "hint", gib, "Close other programs, or work on fewer rows.")
    else:
        yield Check("memory", "ok", gib)


def _disk() -> Iterator[Check]:
    folder = typed_path(settings.load().runs_dir).absolute()
    while not folder.exists():
        folder = folder.parent
    free_gib = shutil.disk_usage(folder).free / 2**30
    detail = f"{free_gib:.1f} GiB free at {folder}"
    if not os.access(folder, os.W_OK):
        yield Check("disk", "problem", f"{folder} cannot be written", "Set runs_dir, or use --out.")
    elif free_gib < 2:
        yield Check("disk", "hint", detail, "A run writes copies of the table and its models; make room.")
    else:
        yield Check("disk", "ok", detail)


def _sandbox() -> Iterator[Check]:
    from automlgpt_local.confine import probe

    for row in probe.report():
        state: Literal["ok", "hint", "problem"] = "ok" if row["state"] == "ok" else "hint"
        remedy = ""
        if row["state"] == "missing":
            state, remedy = "problem", "Generated code may not run here without it; use a newer Linux kernel."
        yield Check(f"sandbox: {row['layer']}", state, str(row["detail"]), remedy)


def _model() -> Iterator[Check]:
    from automlgpt_local.llm.open import model_files

    name = settings.load().model
    try:
        files = [f"{entry.name}, {entry.bytes / 2**20:.1f} MiB, {entry.path}" for entry in model_files(name)]
        yield Check("model", "ok", "; ".join(files) or f"{name}: needs no file")
    except AutoMLGPTError as error:
        yield Check("model", "problem", error.message, error.hint)


def _places() -> Iterator[Check]:
    state_dir = paths.state_dir()
    existing = state_dir
    while not existing.exists():
        existing = existing.parent
    if os.access(existing, os.W_OK):
        yield Check("state", "ok", f"runs are remembered in {state_dir}")
    else:
        yield Check(
            "state", "hint", f"{state_dir} cannot be written", "Set AUTOMLGPT_STATE_DIR, so runs are remembered."
        )


CHECKS: tuple[Callable[[], Iterator[Check]], ...] = (
    _python, _libraries, _cores, _disk, _places, _sandbox, _model,
)  # fmt: skip


def checks() -> Iterator[Check]:
    """All checks, one after the other; a check that breaks is itself a finding."""
    for check in CHECKS:
        try:
            yield from check()
        except AutoMLGPTError as error:
            yield Check(check.__name__.strip("_"), "problem", error.message, error.hint)
        except Exception as error:
            yield Check(check.__name__.strip("_"), "problem", f"{type(error).__name__}: {error}", "Please report this.")
