"""From the name that a user gave (`--model`) to a backend."""

from __future__ import annotations

from typing import Any

from automlgpt_local.llm.backend import Backend


def open_backend(model: str, threads: int = 1, seed: int = 0, **options: Any) -> Backend | None:
    """`none` -> None, `random`, `nano`, a name of the catalogue, or the path of a .gguf file.

    `options` go to LocalBackend. The model loads in the background. Raises ModelError with a hint when there is none.
    """
    if model == "none":
        return None
    if model == "random":
        from automlgpt_local.llm.random import RandomBackend

        return RandomBackend(seed)
    from automlgpt_local.llm.catalog import resolve
    from automlgpt_local.llm.local import LocalBackend

    entry = resolve(model)
    return LocalBackend(
        entry.path, threads=threads, name=entry.name, sha256=entry.sha256, dialect=entry.dialect, **options
    )
