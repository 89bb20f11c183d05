"""How much memory a model will take, before it takes it: exact where llama.cpp can be asked, estimated otherwise.

weights + KV cache + compute buffers + the process itself. `python -m automlgpt_local.llm.memory FILE CELLS KV_TYPE` is
the child that asks llama.cpp to plan a load without allocating it, and prints what it would allocate as JSON.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from automlgpt_local.errors import ModelError
from automlgpt_local.llm.gguf_header import Header, read_header

KvType = Literal["f16", "q8_0"]
KV_BYTES: dict[str, float] = {"f16": 2.0, "q8_0": 1.0625}
CONTEXTS = (32768, 16384, 8192, 4096, 2048)  # tokens per agent, best first
AGENTS = 2
SMALL_MODEL_BYTES = 256 * 2**20  # below this nothing has to be weighed
_PROCESS_MIB = 41.0  # Python, numpy and llama.cpp's libraries
_VOCABULARY_BYTES_PER_TOKEN = 230  # its tables in llama.cpp
_UBATCH = 512
_ASK_TIMEOUT_S = 60.0
_SPARE_MIB = 1024.0


@dataclass(frozen=True)
class Forecast:
    """MiB that the worker will hold at its peak. `exact`: from llama.cpp's own plan."""

    weights_mib: float
    kv_mib: float
    compute_mib: float
    process_mib: float
    exact: bool = False

    @property
    def total_mib(self) -> float:
        return self.weights_mib + self.kv_mib + self.compute_mib + self.process_mib

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "total_mib": self.total_mib}


@dataclass(frozen=True)
class Plan:
    """How to load a model so that it fits: tokens of context per agent and the type of the KV cache."""

    context_tokens: int
    kv_type: KvType
    forecast: Forecast


def estimate(header: Header, cells: int, kv_type: KvType = "f16", *, weights_bytes: int = 0) -> Forecast:
    """From metadata alone. `cells`: tokens of all agents together; `weights_bytes` of all parts of a split file."""
    heads = _number(header, "attention.head_count", 1)
    kv_heads = _number(header, "attention.head_count_kv", heads)
    width = _number(header, "embedding_length", 0)
    key = _number(header, "attention.key_length", width // max(1, heads))
    value = _number(header, "attention.value_length", key)
    layers = _number(header, "block_count", 0)
    vocabulary = _vocabulary(header)
    kv = cells * layers * kv_heads * (key + value) * KV_BYTES[kv_type]
    inner = _number(header, "feed_forward_length", 4 * width)
    compute = _UBATCH * 4 * (2 * inner + 5 * width) + _UBATCH * cells * 2  # activations and the mask
    return Forecast(
        weights_mib=(weights_bytes or _weights_bytes(header)) / 2**20,
        kv_mib=kv / 2**20,
        compute_mib=compute / 2**20,
        process_mib=_process_mib(vocabulary),
    )


def forecast(path: Path, cells: int, kv_type: KvType = "f16") -> Forecast:
    """llama.cpp's own plan, or the estimate where it gives none. Raises ModelError for a file that is no GGUF."""
    header = read_header(path)
    command = [sys.executable, "-P", "-m", "automlgpt_local.llm.memory", str(path), str(cells), kv_type]
    environment = {**os.environ, "GGML_NO_BACKTRACE": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    try:
        done = subprocess.run(command, capture_output=True, timeout=_ASK_TIMEOUT_S, env=environment)
        sizes = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return estimate(header, cells, kv_type)
    if not sizes.get("weights_mib") or not sizes.get("compute_mib"):
        return estimate(header, cells, kv_type)
    return Forecast(**sizes, process_mib=_process_mib(_vocabulary(header)), exact=True)


def fit(path: Path, memory_mib: float, *, wanted_tokens: int | None = None, weights_bytes: int = 0) -> Plan:
    """The largest context that fits into `memory_mib`, KV in f16 if possible. Raises ModelError when none does."""
    header = read_header(path)
    trained = _number(header, "context_length", CONTEXTS[-1]) or CONTEXTS[-1]
    sizes = [wanted_tokens] if wanted_tokens else sorted({min(size, trained) for size in CONTEXTS[1:]}, reverse=True)
    smallest: Forecast | None = None
    types: tuple[KvType, ...] = ("f16", "q8_0")
    for tokens in sizes:
        for kv_type in types:
            found = estimate(header, tokens * AGENTS, kv_type, weights_bytes=weights_bytes)
            if found.total_mib <= memory_mib:
                return Plan(tokens, kv_type, found)
            smallest = found
    assert smallest is not None
    raise ModelError(
        f"{path.name} needs about {smallest.total_mib / 1024:.1f} GiB even with {sizes[-1]} tokens of context; "
        f"{memory_mib / 1024:.1f} GiB are free ({smallest.weights_mib / 1024:.1f} GiB are its weights).",
        f"A model file of up to {max(0.0, memory_mib * 0.75) / 1024:.1f} GiB would fit: a smaller model, or the same "
        "one in fewer bits. `automlgpt models list` shows sizes.",
    )


def limit_memory(path: Path, cells: int, kv_type: KvType) -> None:
    """Bound what this process may ever allocate, far above what the model takes: a chat template can ask for all."""
    import resource

    from automlgpt_local.llm.catalog import splits

    try:
        weights = sum(part.stat().st_size for part in splits(path))
        expected = estimate(read_header(path), cells, kv_type, weights_bytes=weights)
    except (ModelError, OSError):
        return  # llama.cpp will say what is wrong with it
    mib = 2 * expected.total_mib - expected.weights_mib + _SPARE_MIB
    resource.setrlimit(resource.RLIMIT_DATA, (int(mib * 2**20), int(mib * 2**20)))


def available_mib() -> float:
    """Memory that can be had now without swapping: the machine's, or what the container leaves."""
    import psutil

    free = psutil.virtual_memory().available
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
    ):
        try:
            free = min(free, int(Path(limit).read_text()) - int(Path(used).read_text()))
        except (OSError, ValueError):
            continue
    return max(0, free) / 2**20


def _number(header: Header, key: str, default: int) -> int:
    """A number of the architecture; of a list with a value per layer the largest."""
    value = header.value(key, default)
    if isinstance(value, list):
        value = max((item for item in value if isinstance(item, int)), default=default)
    return int(value) if isinstance(value, int | float) and 0 <= value < 2**40 else default


def _vocabulary(header: Header) -> int:
    tokens = header.metadata.get("tokenizer.ggml.tokens", 0)
    return len(tokens) if isinstance(tokens, list) else int(tokens)


def _process_mib(vocabulary: int) -> float:
    return _PROCESS_MIB + vocabulary * _VOCABULARY_BYTES_PER_TOKEN / 2**20


def _weights_bytes(header: Header) -> int:
    """Of this file: from the first tensor to the end."""
    return max(0, header.bytes - header.data_start)


# --- the child
_SIZES = {
    "weights_mib": re.compile(r"file size\s*=\s*([\d.]+) (MiB|GiB)"),
    "kv_mib": re.compile(r"llama_(?:kv_cache|memory)\S*: size\s*=\s*([\d.]+) (MiB)"),
    "recurrent_mib": re.compile(r"llama_memory_recurrent: size\s*=\s*([\d.]+) (MiB)"),
    "compute_mib": re.compile(r"compute buffer size\s*=\s*([\d.]+) (MiB)"),
}


def read_sizes(log: str) -> dict[str, float]:
    """MiB by kind out of llama.cpp's log, summed over buffers."""
    found = {}
    for name, pattern in _SIZES.items():
        found[name] = sum(float(size) * (1024 if unit == "GiB" else 1) for size, unit in pattern.findall(log))
    found["kv_mib"] = max(found["kv_mib"], found.pop("recurrent_mib"))
    return found


def _ask(path: str, cells: int, kv_type: str) -> dict[str, float]:
    import ctypes

    from automlgpt_local.llm import native

    api = native.load()
    lines: list[str] = []
    collect = api.llama_log_callback(lambda level, text, _: lines.append(text.decode("utf-8", "replace")))
    api.llama_log_set(collect, ctypes.c_void_p(0))
    api.llama_backend_init()
    model_params = native.model_params(api)
    model_params.n_gpu_layers = 0
    model_params.load_mode = api.LLAMA_LOAD_MODE_NONE
    model_params.no_alloc = True
    model = api.llama_model_load_from_file(path.encode(), model_params)
    params = api.llama_context_default_params()
    params.n_ctx, params.n_seq_max, params.kv_unified = cells, AGENTS, True
    params.n_batch = params.n_ubatch = _UBATCH
    params.n_outputs_max = AGENTS
    if kv_type != "f16":
        params.type_k = params.type_v = api.GGML_TYPE_Q8_0
        params.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_ENABLED
    if model:
        api.llama_init_from_model(model, params)
    return read_sizes("".join(lines))


if __name__ == "__main__":
    print(json.dumps(_ask(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
