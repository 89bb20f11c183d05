"""How much memory a model will take, before it takes it: exact where llama.cpp can be asked, estimated otherwise.

weights + KV cache + compute buffers + the process itself. `python -m automlgpt_local.llm.memory FILE LOADS` is the
child that asks llama.cpp to plan loads without allocating them, and prints what they would allocate as JSON.
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
_GPU_SPARE_MIB = 512.0  # of the free memory of GPUs: what their drivers and other programs take meanwhile


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
    """How to load a model so that it fits: tokens of context per agent, the type of the KV cache, layers on GPUs."""

    context_tokens: int
    kv_type: KvType
    n_gpu_layers: int
    forecast: Forecast


Load = tuple[int, KvType]  # tokens of all agents together, type of the KV cache


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
    return forecasts(path, [(cells, kv_type)])[0][0]


def forecasts(path: Path, loads: list[Load]) -> tuple[list[Forecast], float]:
    """`forecast` of each load, and the MiB that are free on GPUs that this llama.cpp can use."""
    header = read_header(path)
    command = [sys.executable, "-P", "-m", "automlgpt_local.llm.memory", str(path), json.dumps(loads)]
    environment = {**os.environ, "GGML_NO_BACKTRACE": "1", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    try:
        done = subprocess.run(command, capture_output=True, timeout=_ASK_TIMEOUT_S, env=environment)
        answer = json.loads(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValueError):
        answer = {"sizes": [], "gpu_mib": 0.0}
    if all(sizes["weights_mib"] and sizes["compute_mib"] for sizes in answer["sizes"]) and answer["sizes"]:
        process_mib = _process_mib(_vocabulary(header))
        found = [Forecast(**sizes, process_mib=process_mib, exact=True) for sizes in answer["sizes"]]
    else:
        weights = _all_weights_bytes(path)
        found = [estimate(header, cells, kv_type, weights_bytes=weights) for cells, kv_type in loads]
    return found, answer["gpu_mib"]


def fit(path: Path, memory_mib: float, *, gpu_share: float = 1.0, wanted_tokens: int | None = None) -> Plan:
    """The largest context that fits, KV in f16 if possible: all of it on GPUs, else as many layers as they hold and
    the rest within `memory_mib`. `gpu_share` of the GPUs is this model's. Raises ModelError when none does."""
    header = read_header(path)
    trained = _number(header, "context_length", CONTEXTS[-1]) or CONTEXTS[-1]
    sizes = [wanted_tokens] if wanted_tokens else sorted({min(size, trained) for size in CONTEXTS[1:]}, reverse=True)
    types: tuple[KvType, ...] = ("f16", "q8_0")
    loads = [(tokens * AGENTS, kv_type) for tokens in sizes for kv_type in types]
    found, gpu_mib = forecasts(path, loads)
    layers = _number(header, "block_count", 0) + 1  # the output is one more
    plans = [
        Plan(cells // AGENTS, kv_type, gpu_layers(one, layers, gpu_mib * gpu_share), one)
        for (cells, kv_type), one in zip(loads, found)
    ]
    for plan in plans:
        if plan.n_gpu_layers == layers:
            return plan
    for plan in plans:
        kept_share = 1 - plan.n_gpu_layers / layers
        one = plan.forecast
        if (one.weights_mib + one.kv_mib) * kept_share + one.compute_mib + one.process_mib <= memory_mib:
            return plan
    smallest = found[-1]
    raise ModelError(
        f"{path.name} needs about {smallest.total_mib / 1024:.1f} GiB even with {sizes[-1]} tokens of context, of them "
        f"{smallest.weights_mib / 1024:.1f} GiB for its weights; it may take {memory_mib / 1024:.1f} GiB here.",
        f"A model file of up to {max(0.0, memory_mib * 0.75) / 1024:.1f} GiB would fit: a smaller model, or the same "
        "one in fewer bits. `automlgpt models list` shows what each needs; other programs that end leave more.",
    )


def gpu_layers(needed: Forecast, layers: int, gpu_mib: float) -> int:
    """How many of the `layers` (the output is one of them) the free memory of GPUs holds, with their KV cache."""
    room = gpu_mib - needed.compute_mib - _GPU_SPARE_MIB
    return max(0, min(layers, int(layers * room / (needed.weights_mib + needed.kv_mib))))


def limit_memory(path: Path, cells: int, kv_type: KvType) -> None:
    """Bound what this process may ever allocate, far above what the model takes: a chat template can ask for all."""
    import resource

    try:
        expected = estimate(read_header(path), cells, kv_type, weights_bytes=_all_weights_bytes(path))
    except (ModelError, OSError):
        return  # llama.cpp will say what is wrong with it
    mib = 2 * expected.total_mib - expected.weights_mib + _SPARE_MIB
    resource.setrlimit(resource.RLIMIT_DATA, (int(mib * 2**20), int(mib * 2**20)))


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


def _all_weights_bytes(path: Path) -> int:
    """Of all parts of a split file. Raises ModelError when one is missing."""
    from automlgpt_local.llm.catalog import splits

    return sum(part.stat().st_size for part in splits(path))


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


def _ask(path: str, loads: list[Load]) -> dict[str, Any]:
    """{"sizes": MiB by kind of each load, "gpu_mib"}."""
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
    loading, sizes = len(lines), []
    for cells, kv_type in loads if model else []:
        params = api.llama_context_default_params()
        params.n_ctx, params.n_seq_max, params.kv_unified = cells, AGENTS, True
        params.n_batch = params.n_ubatch = _UBATCH
        params.n_outputs_max = AGENTS
        if kv_type != "f16":
            params.type_k = params.type_v = api.GGML_TYPE_Q8_0
            params.flash_attn_type = api.LLAMA_FLASH_ATTN_TYPE_ENABLED
        del lines[loading:]
        context = api.llama_init_from_model(model, params)
        sizes.append(read_sizes("".join(lines)))
        api.llama_free(context)
    return {"sizes": sizes, "gpu_mib": native.free_gpu_mib(api)}


if __name__ == "__main__":
    print(json.dumps(_ask(sys.argv[1], json.loads(sys.argv[2]))))
