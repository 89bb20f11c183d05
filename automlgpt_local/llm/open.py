"""From the name that a user gave (`--model`) to a backend."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from automlgpt_local.errors import ModelError
from automlgpt_local.llm.backend import Backend

AGENTS = ("reasoner", "coder")

ONE_THREAD_BYTES = 64 * 2**20  # a second thread gains nothing here, and waits for its core on a busy machine
_MEMORY_SHARE = 0.7  # of what is free; fits need the rest


def open_backend(model: str, threads: int = 1, seed: int = 0, **options: Any) -> Backend | None:
    """`none` -> None, `random`, `nano`, a name of the catalogue, the path of a .gguf file, or a server's address.

    A model may carry adapters: `nano+mine.gguf` for both agents, `nano+coder=mine.gguf` for one of them.
    `options` go to LocalBackend. The model loads in the background. Raises ModelError with a hint when there is none.
    """
    if model == "none":
        return None
    if model == "random":
        from automlgpt_local.llm.random import RandomBackend

        return RandomBackend(seed)
    if model.startswith(("http://", "https://")):
        from automlgpt_local.llm.remote import RemoteBackend

        return RemoteBackend(model)
    from automlgpt_local.llm.catalog import resolve
    from automlgpt_local.llm.local import LocalBackend
    from automlgpt_local.llm.memory import SMALL_MODEL_BYTES, available_mib, fit

    base, adapters = split_adapters(model)
    entry = resolve(base)
    options = {"adapters": adapters, **options}
    if entry.bytes < ONE_THREAD_BYTES:
        threads = 1
    if entry.bytes > SMALL_MODEL_BYTES and "kv_type" not in options:
        wanted = options.pop("context_tokens", None)
        plan = fit(entry.path, available_mib() * _MEMORY_SHARE, wanted_tokens=wanted, weights_bytes=entry.bytes)
        options |= {"context_tokens": plan.context_tokens, "kv_type": plan.kv_type}
    return LocalBackend(
        entry.path, threads=threads, name=entry.name, sha256=entry.sha256, dialect=entry.dialect, **options
    )


def split_adapters(model: str) -> tuple[str, dict[str, Path]]:
    """(base, agent -> LoRA file) of `base+file` or `base+agent=file`. Raises ModelError for a file that is gone."""
    base, *parts = [model] if Path(model).exists() else model.split("+")
    adapters: dict[str, Path] = {}
    for part in parts:
        agent, marked, name = part.partition("=")
        file = Path(name if marked else part).expanduser()
        if marked and agent not in AGENTS:
            raise ModelError(f"{agent!r} is no agent.", "Write MODEL+ADAPTER.gguf or MODEL+coder=ADAPTER.gguf.")
        if not file.is_file():
            raise ModelError(f"There is no adapter {file}.", "`automlgpt finetune train` makes one.")
        adapters |= dict.fromkeys([agent] if marked else AGENTS, file)
    return base, adapters
