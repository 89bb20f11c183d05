"""`automlgpt models check` and `bench`: does a model, or a server, do here what the agents need, and how fast."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from automlgpt_local.errors import AutoMLGPTError, ModelError
from automlgpt_local.llm.backend import Backend, Choice, Message, Slot, Text
from automlgpt_local.llm.local import LocalBackend
from automlgpt_local.llm.open import open_backend
from automlgpt_local.llm.remote import RemoteBackend

_SCHEMA = {
    "type": "object",
    "properties": {
        "tool": {"enum": ["look", "code", "finish"]},
        "seconds": {"type": "integer", "minimum": 1, "maximum": 60},
    },
    "required": ["tool", "seconds"],
}
_PROMPT = "The table has many columns. "
_NAME_ONE = "Name one of `automlgpt models list`, or a .gguf file."
_COPY_BYTES = 128 * 2**20


@dataclass(frozen=True)
class Finding:
    """`ok` None: told, not judged."""

    name: str
    ok: bool | None
    detail: str


def check(model: str, threads: int = 1) -> dict[str, Any]:
    """{"name", "ok", "findings": [{name, ok, detail}]}. Raises ModelError when the model cannot be loaded at all."""
    started = time.monotonic()
    backend = open_backend(model, threads)
    if not isinstance(backend, LocalBackend | RemoteBackend):
        raise ModelError(f"{model!r} is no model file and no server.", _NAME_ONE)
    try:
        info = backend.info
        findings = [
            Finding("loads", True, f"{time.monotonic() - started:.1f} s"),
            Finding("dialect", None, info.dialect),
            Finding("context", info.context_tokens >= 1024, f"{info.context_tokens} tokens"),
            _try("choices", lambda: _choices(backend)),
        ]
        if isinstance(backend, LocalBackend):
            findings += _local_findings(backend, threads)
        if info.dialect == "full":
            findings += [_try("json", lambda: _json(backend)), _try("stops", lambda: _stops(backend))]
    finally:
        backend.close()
    return {
        "name": info.name,
        "ok": all(finding.ok is not False for finding in findings),
        "findings": [asdict(finding) for finding in findings],
    }


def _local_findings(backend: LocalBackend, threads: int) -> list[Finding]:
    details = backend.info.details
    findings = [
        Finding("file", None, f"{details['architecture']}, trained on {details['context_train']} tokens"),
        Finding("processor", None, _processor(details["gpu_layers"], threads)),
        Finding("walls", None, ", ".join(f"{layer} {state}" for layer, state in details["layers"].items())),
    ]
    findings += [
        _try("repeats", lambda: _repeats(backend)),
        _try("cache", lambda: _cache(backend)),
        _try("speed", lambda: _speed(backend)),
    ]
    return findings + ([_try("template", lambda: _template(backend))] if backend.info.dialect == "full" else [])


def bench(model: str, threads: int = 1) -> dict[str, Any]:
    """Tokens per second of reading and writing, and the share of the memory bandwidth that writing reaches."""
    backend = _open_file(model, threads)
    try:
        info = backend.info
        backend.fill("reasoner", ["warm"], ["up=", Choice("x", ("a", "b"))])
        room = min(512, info.context_tokens // 3)
        prompt = [_PROMPT * max(1, room // backend.count_tokens(_PROMPT))]
        read = backend.fill("reasoner", prompt, ["Go", Choice("x", ("a", "b"))], timeout_s=600.0)
        write = backend.fill("coder", prompt, ["Go", Text("text", "", 64)], temperature=1.0, timeout_s=600.0)
        alone = backend.fill("coder", prompt, ["Go", Choice("x", ("a", "b"))], timeout_s=600.0)
        peak_mib = backend.stats()["peak_mib"]
    finally:
        backend.close()
    written_per_s = write.chosen_tokens / max(1e-9, write.seconds - alone.seconds) if write.chosen_tokens else 0.0
    bandwidth, gpu_layers = memory_bandwidth(threads), info.details["gpu_layers"]
    share = written_per_s * info.details["bytes"] / bandwidth
    return {
        "name": info.name,
        "threads": threads,
        "gpu_layers": gpu_layers,
        "read_tokens_per_s": round(read.evaluated_tokens / max(1e-9, read.seconds), 1),
        "write_tokens_per_s": round(written_per_s, 1),
        "memory_bandwidth_gb_s": round(bandwidth / 1e9, 1),
        "bandwidth_share": None if gpu_layers else round(share, 3),
        "peak_mib": round(peak_mib),
    }


def memory_bandwidth(threads: int) -> float:
    """Bytes per second that so many cores read and write when they copy."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    pairs = [(np.ones(_COPY_BYTES // 8), np.zeros(_COPY_BYTES // 8)) for _ in range(threads)]
    best = float("inf")
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(3):
            started = time.perf_counter()
            list(pool.map(lambda pair: np.copyto(pair[1], pair[0]), pairs))
            best = min(best, time.perf_counter() - started)
    return 2 * _COPY_BYTES * threads / best


def _processor(gpu_layers: int, threads: int) -> str:
    cpu = f"CPU, {threads} thread(s)"
    return f"{gpu_layers} layers on the GPU; {cpu}" if gpu_layers else cpu


def _open_file(model: str, threads: int) -> LocalBackend:
    backend = open_backend(model, threads)
    if not isinstance(backend, LocalBackend):
        raise ModelError(f"{model!r} is no model file.", _NAME_ONE)
    return backend


def _try(name: str, test: Callable[[], tuple[bool | None, str]]) -> Finding:
    try:
        ok, detail = test()
    except AutoMLGPTError as error:
        return Finding(name, False, error.message)
    return Finding(name, ok, detail)


def _choices(backend: Backend) -> tuple[bool, str]:
    slots = [Choice(f"c{n}", ("keep", "log", "drop", "logarithm")) for n in range(8)]
    template: list[str | Slot] = []
    for slot in slots:
        template += [f"{slot.name} number =", slot, "\n"]
    filled = backend.fill("reasoner", ["treat\n"], template)
    shares = filled.probabilities  # a server tells none
    ok = all(0 < shares.get(slot.name, 1) <= 1 and filled.values[slot.name] in slot.options for slot in slots)
    return (
        ok,
        f"8 decisions in {filled.seconds:.2f} s, {filled.forced_tokens} tokens given, {filled.chosen_tokens} chosen",
    )


def _repeats(backend: LocalBackend) -> tuple[bool, str]:
    template: list[str | Slot] = ["x=", Choice("x", ("keep", "log", "drop")), "\n"]
    first = backend.fill("coder", ["a"], template, temperature=1.0, seed=5)
    backend.fill("coder", ["quite another text"], template)
    second = backend.fill("coder", ["a"], template, temperature=1.0, seed=5)
    same = first.values == second.values
    return same, "the same question, the same answer" if same else "the same question got two answers"


def _cache(backend: LocalBackend) -> tuple[bool, str]:
    if backend.info.details.get("recurrent"):
        return True, "recurrent: each turn is read from its beginning"
    long = [_PROMPT * 20]
    backend.fill("coder", long, ["x=", Choice("x", ("a", "b"))])
    again = backend.fill("coder", [*long, "more "], ["x=", Choice("x", ("a", "b"))])
    return again.evaluated_tokens < 12, f"{again.evaluated_tokens} tokens read for a few new ones"


def _speed(backend: LocalBackend) -> tuple[None, str]:
    backend.fill("coder", [_PROMPT], ["Go", Choice("x", ("a", "b"))])
    written = backend.fill("coder", [_PROMPT], ["Go", Text("text", "", 24)], temperature=1.0, timeout_s=120.0)
    return None, f"writes {written.chosen_tokens / max(1e-9, written.seconds):.1f} tokens/s; `models bench` tells more"


def _template(backend: LocalBackend) -> tuple[bool, str]:
    prompt = backend.render(
        [Message("system", "S1"), Message("user", "U1"), Message("assistant", "A1"), Message("user", "U2")]
    )
    missing = [word for word in ("S1", "U1", "A1", "U2") if word not in prompt]
    return not missing, f"ends with {prompt[-40:]!r}" if not missing else f"leaves out {', '.join(missing)}"


def _json(backend: Backend) -> tuple[bool, str]:
    reply = backend.chat("coder", [Message("user", "Choose a tool and its seconds.")], schema=_SCHEMA, max_tokens=400)
    return bool(reply.calls), f"{reply.text[:60]!r} in {reply.seconds:.1f} s"


def _stops(backend: Backend) -> tuple[bool, str]:
    reply = backend.chat("coder", [Message("user", "Answer with the one word OK.")], max_tokens=400)
    return reply.finish == "stop", f"{reply.output_tokens} tokens, ended by {reply.finish}"
