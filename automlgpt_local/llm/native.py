"""The low-level ctypes layer of llama-cpp-python, without the package around it. Imported in the worker only."""

from __future__ import annotations

import ctypes
import importlib.util
import re
import sys
from collections import deque
from types import ModuleType
from typing import Any

_ERROR_LEVEL, _WARN_LEVEL, _CONTINUE_LEVEL = 4, 3, 5
_SOURCE = re.compile(r"^(\w+: )+(error loading model: )*")  # the function that complains
_SAYS_NOTHING = "failed to load model"
_OFFLOADED = re.compile(r"offloaded (\d+)/\d+ layers to GPU")
_GPU = 1  # GGML_BACKEND_DEVICE_TYPE_GPU


def load() -> Any:
    """`llama_cpp.llama_cpp`. The package's `__init__` would import its server-side half, 0.35 s that nobody needs."""
    if "llama_cpp" not in sys.modules:
        spec = importlib.util.find_spec("llama_cpp")
        if spec is None or spec.submodule_search_locations is None:
            raise ImportError("llama-cpp-python is not installed")
        package = ModuleType("llama_cpp")
        package.__path__ = list(spec.submodule_search_locations)
        package.__spec__ = spec
        sys.modules["llama_cpp"] = package
    import llama_cpp.llama_cpp as api

    return api


def model_params(api: Any) -> Any:
    """llama.cpp's defaults, without its AMX kernels: compilers drop their tile configuration, so the first product of
    a quantised matrix ends the process (ggml-org/llama.cpp#26954). The kernels for other processors go with them."""
    params = api.llama_model_default_params()
    params.use_extra_bufts = not _has_amx(api)
    return params


def _has_amx(api: Any) -> bool:
    function = getattr(api._lib, "ggml_cpu_has_amx_int8", None)
    return function is not None and bool(function())


def free_gpu_mib(api: Any) -> float:
    """Of all GPUs that this build of llama.cpp can use, as their drivers tell it."""
    count, device = api._lib.ggml_backend_dev_count, api._lib.ggml_backend_dev_get
    kind, memory = api._lib.ggml_backend_dev_type, api._lib.ggml_backend_dev_memory
    count.restype, device.argtypes, device.restype = ctypes.c_size_t, [ctypes.c_size_t], ctypes.c_void_p
    kind.argtypes = [ctypes.c_void_p]
    memory.argtypes = [ctypes.c_void_p, ctypes.POINTER(ctypes.c_size_t), ctypes.POINTER(ctypes.c_size_t)]
    free, total, sum_bytes = ctypes.c_size_t(), ctypes.c_size_t(), 0
    for one in map(device, range(count())):
        if kind(one) == _GPU:
            memory(one, ctypes.byref(free), ctypes.byref(total))
            sum_bytes += free.value
    return sum_bytes / 2**20


def logits_address(api: Any) -> Any:
    """`llama_get_logits_ith` that returns a plain address: a typed pointer costs an object and a cast per token."""
    function = api._lib["llama_get_logits_ith"]
    function.argtypes, function.restype = [ctypes.c_void_p, ctypes.c_int32], ctypes.c_void_p
    return function


class LogTail:
    """The library's last complaints, and how many layers it put on a GPU: it says so nowhere else."""

    def __init__(self, api: Any, lines: int = 40) -> None:
        self._lines: deque[tuple[int, str]] = deque(maxlen=lines)
        self._level = 0
        self.gpu_layers = 0

        def collect(level: int, data: bytes, _: Any) -> None:
            text = (data or b"").decode("utf-8", "replace").strip()
            if level != _CONTINUE_LEVEL:
                self._level = level
            if offloaded := _OFFLOADED.search(text):
                self.gpu_layers = int(offloaded[1])
            if self._level >= _WARN_LEVEL and text:
                self._lines.append((self._level, _SOURCE.sub("", text)))

        self._callback = api.llama_log_callback(collect)  # the library keeps only the address
        api.llama_log_set(self._callback, ctypes.c_void_p(0))

    def errors(self, limit: int = 3) -> str:
        """The last few errors in one line, else the last warnings, else an empty string."""
        for least in (_ERROR_LEVEL, _WARN_LEVEL):
            told = [line for level, line in self._lines if level >= least and line]
            if told:
                return "; ".join(([line for line in told if _SAYS_NOTHING not in line] or told)[-limit:])
        return ""


class AbortFlag:
    """Stops a computation from another thread within one graph node.

    llama.cpp asks a C function at every node. A Python function there would take the interpreter's lock some 300 times
    a token, so the function is libc's `strlen` over a buffer of two bytes: 0 for an empty string, 1 once it is set.
    """

    def __init__(self, api: Any) -> None:
        self._buffer = ctypes.create_string_buffer(2)
        libc = ctypes.CDLL(None)
        self.function = ctypes.cast(libc.strlen, api.ggml_abort_callback)
        self.address = ctypes.cast(self._buffer, ctypes.c_void_p)

    def set(self) -> None:
        self._buffer[0] = b"\x01"

    def clear(self) -> None:
        self._buffer[0] = b"\x00"

    def __bool__(self) -> bool:
        return self._buffer[0] != b"\x00"
