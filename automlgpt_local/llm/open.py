"""From the name that a user gave (`--model`) to a backend."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from automlgpt_local.errors import ModelError
from automlgpt_local.llm.backend import Backend
from automlgpt_local.paths import typed_path

if TYPE_CHECKING:
    from automlgpt_local.llm.catalog import ModelEntry

AGENTS = ("reasoner", "coder")

ONE_THREAD_BYTES = 64 * 2**20  # a second thread gains nothing here, and waits for its core on a busy machine
_CODER = ",coder="
_SCHEMES = ("http://", "https://")
_MEMORY_SHARE = 0.7  # of what is free; fits need the rest


def open_backend(model: str, threads: int = 1, seed: int = 0, **options: Any) -> Backend | None:
    """`none` -> None, `random`, `nano`, a name of the catalogue, the path of a .gguf file, or a server's address.

    `A,coder=B` gives the Coding agent a model of its own. A model may carry adapters: `nano+mine.gguf` for both
    agents, `nano+coder=mine.gguf` for one of them. `options` go to LocalBackend. The model loads in the background.
    Raises ModelError with a hint when there is none.
    """
    reasoner, coder = split_agents(model)
    if coder is None:
        return _open(model, threads, seed, _MEMORY_SHARE, options)
    from automlgpt_local.llm.pair import PairBackend

    first = _open(reasoner, threads, seed, _MEMORY_SHARE / 2, options)
    second = _open(coder, threads, seed, _MEMORY_SHARE / 2, options)
    if first is None or second is None:
        raise ModelError("One agent alone cannot be without a model.", "Write `--model none`, or name two models.")
    return PairBackend(first, second)


def _open(model: str, threads: int, seed: int, memory_share: float, options: dict[str, Any]) -> Backend | None:
    if model == "none":
        return None
    if model == "random":
        from automlgpt_local.llm.random import RandomBackend

        return RandomBackend(seed)
    if model.startswith(_SCHEMES):
        from automlgpt_local.llm.remote import RemoteBackend

        return RemoteBackend(model)
    from automlgpt_local.llm.catalog import resolve
    from automlgpt_local.llm.local import LocalBackend
    from automlgpt_local.llm.memory import SMALL_MODEL_BYTES, fit
    from automlgpt_local.machine import available_memory_mib

    base, adapters = split_adapters(model)
    entry = resolve(base)
    options = {"adapters": adapters, **options}
    if entry.bytes < ONE_THREAD_BYTES:
        threads = 1
    if entry.bytes <= SMALL_MODEL_BYTES:
        options = {"n_gpu_layers": 0, **options}  # the GPU gains nothing, and the walls can stand
    elif "kv_type" not in options:
        wanted = options.pop("context_tokens", None)
        gpu_share = memory_share / _MEMORY_SHARE
        plan = fit(entry.path, available_memory_mib() * memory_share, gpu_share=gpu_share, wanted_tokens=wanted)
        options |= {
            "context_tokens": plan.context_tokens, "kv_type": plan.kv_type, "n_gpu_layers": plan.n_gpu_layers,
        }  # fmt: skip
    return LocalBackend(
        entry.path, threads=threads, name=entry.name, sha256=entry.sha256, dialect=entry.dialect, **options
    )


def model_files(model: str) -> list[ModelEntry]:
    """The files that this model needs here, before anything heavy starts. Raises ModelError for one that is gone."""
    from automlgpt_local.llm.catalog import resolve

    named = [one for one in split_agents(model) if one not in (None, "none", "random")]
    return [resolve(split_adapters(one)[0]) for one in named if one is not None and not one.startswith(_SCHEMES)]


def absolute_model(model: str) -> str:
    """The same model, with paths that mean the same in any folder."""

    def absolute(name: str) -> str:
        is_path = name.endswith(".gguf") or "/" in name
        return str(typed_path(name).absolute()) if is_path else name

    def with_adapters(one: str) -> str:
        if one.startswith(_SCHEMES):
            return one
        base, *adapters = [one] if typed_path(one).exists() else one.split("+")
        named = [adapter.partition("=") if "=" in adapter else ("", "", adapter) for adapter in adapters]
        files = [f"{agent}{mark}{typed_path(file).absolute()}" for agent, mark, file in named]
        return "+".join([absolute(base), *files])

    return _CODER.join(with_adapters(one) for one in split_agents(model) if one is not None)


def split_agents(model: str) -> tuple[str, str | None]:
    """(the Reasoning agent's model, the Coding agent's): the second is None where both share the first."""
    first, marked, second = model.partition(_CODER)
    return (first, second) if marked and not typed_path(model).exists() else (model, None)


def split_adapters(model: str) -> tuple[str, dict[str, Path]]:
    """(base, agent -> LoRA file) of `base+file` or `base+agent=file`. Raises ModelError for a file that is gone."""
    base, *parts = [model] if Path(model).exists() else model.split("+")
    adapters: dict[str, Path] = {}
    for part in parts:
        agent, marked, name = part.partition("=")
        file = typed_path(name if marked else part)
        if marked and agent not in AGENTS:
            raise ModelError(f"{agent!r} is no agent.", "Write MODEL+ADAPTER.gguf or MODEL+coder=ADAPTER.gguf.")
        if not file.is_file():
            raise ModelError(f"There is no adapter {file}.", "`automlgpt finetune train` makes one.")
        adapters |= dict.fromkeys([agent] if marked else AGENTS, file)
    return base, adapters
