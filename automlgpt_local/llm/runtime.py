"""One model and one context in this process: loading, batches. Each agent has a `sequence.Sequence` of it."""

from __future__ import annotations

import ctypes
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from automlgpt_local.errors import BackendError, ModelError
from automlgpt_local.llm import native
from automlgpt_local.llm.sequence import CancelledError, OutOfCacheError, Sequence
from automlgpt_local.llm.vocabulary import ModelVocabulary

N_BATCH = 512
KV_TYPES = ("f16", "q8_0")
_SLEEP_SLICE_S = 0.02
_LOAD_HINT = "The file may be damaged: `automlgpt models verify`, or copy it again."
_LOAD_HINTS = {  # words of llama.cpp's reason -> what to do
    "unknown model architecture": "This llama.cpp does not know it. A newer llama-cpp-python may, or another model.",
    "not within the file bounds": "The file is cut short. Copy it again.",
    "invalid magic": "It is no GGUF file.",
    "failed to read": "It is no GGUF file, or it is cut short. Copy it again.",
    "key not found in model": "It may be an adapter, or made for another program: take a GGUF of a whole model.",
}


class Runtime(ModelVocabulary):
    """Raises ModelError when the file cannot be loaded or used."""

    def __init__(
        self,
        path: Path,
        *,
        threads: int,
        context_tokens: int,
        n_seq: int = 2,
        adapters: dict[str, Path] | None = None,
        kv_type: str = "f16",
        n_gpu_layers: int = 0,
        slow_tokens_per_s: float | None = None,
    ) -> None:
        self.api = api = native.load()
        self.log = native.LogTail(api)
        self.abort = native.AbortFlag(api)
        api.llama_backend_init()
        self.evaluated_tokens = 0
        self.slow_tokens_per_s = slow_tokens_per_s
        self._model = self._load_model(path, n_gpu_layers)
        super().__init__(api, self._model)
        self.n_ctx_train = int(self.api.llama_model_n_ctx_train(self._model))
        if self.n_vocab <= 0 or not self.api.llama_model_has_decoder(self._model):
            raise ModelError(f"{path.name} is no model that writes text.", "Choose a chat or instruct model.")
        if context_tokens < 1 or kv_type not in KV_TYPES:
            raise ModelError(f"no context of {context_tokens} tokens with a KV cache in {kv_type!r}")
        self.context_tokens = min(context_tokens, self.n_ctx_train) if self.n_ctx_train > 0 else context_tokens
        self.n_seq, self.n_batch = n_seq, N_BATCH
        self.recurrent = bool(api.llama_model_is_recurrent(self._model) or api.llama_model_is_hybrid(self._model))
        self._context = self._new_context(threads, kv_type)
        self._memory = self.api.llama_get_memory(self._context)
        loaded = {file: self._load_adapter(file) for file in set((adapters or {}).values())}
        self._adapters = {agent: loaded[file] for agent, file in (adapters or {}).items()}
        self._active_adapter: Any = None
        self._sequences: OrderedDict[str, Sequence] = OrderedDict()
        self._logits: dict[int, np.ndarray] = {}
        self._decode = self.api.llama_decode
        self._logits_address = native.logits_address(self.api)
        self._make_batch()

    # --- loading
    def _load_model(self, path: Path, n_gpu_layers: int) -> Any:
        if not path.is_file():
            raise ModelError(f"There is no file {path}.", "Give the path of a .gguf file.")
        params = native.model_params(self.api)
        params.n_gpu_layers = n_gpu_layers
        params.check_tensors = path.stat().st_size < 256 * 2**20
        model = self.api.llama_model_load_from_file(str(path).encode(), params)
        if not model:
            reason = self.log.errors() or "no reason given"
            hint = next((hint for words, hint in _LOAD_HINTS.items() if words in reason), _LOAD_HINT)
            raise ModelError(f"llama.cpp cannot load {path.name}: {reason}", hint)
        return model

    def _new_context(self, threads: int, kv_type: str) -> Any:
        params = self.api.llama_context_default_params()
        params.n_ctx = self.context_tokens * self.n_seq
        params.n_batch = params.n_ubatch = N_BATCH
        params.n_outputs_max = self.n_seq  # one row of logits is read per batch; the default reserves N_BATCH rows
        params.n_seq_max = self.n_seq
        params.kv_unified = True
        params.n_threads = params.n_threads_batch = max(1, threads)
        params.abort_callback = self.abort.function
        params.abort_callback_data = self.abort.address
        params.no_perf = True
        if kv_type == "q8_0":
            params.type_k = params.type_v = self.api.GGML_TYPE_Q8_0
            params.flash_attn_type = self.api.LLAMA_FLASH_ATTN_TYPE_ENABLED  # a quantised V needs it
        context = self.api.llama_init_from_model(self._model, params)
        if not context:
            reason = self.log.errors() or "no reason given"
            hint = "Memory is short: choose a smaller model or a smaller context." if "alloc" in reason else ""
            raise ModelError(f"no context of {params.n_ctx} tokens: {reason}", hint)
        return context

    def _load_adapter(self, path: Path) -> Any:
        adapter = self.api.llama_adapter_lora_init(self._model, str(path).encode())
        if not adapter:
            raise ModelError(
                f"the adapter {path.name} does not fit this model: {self.log.errors()}",
                "An adapter only works with the base model it was trained on.",
            )
        return adapter

    def _make_batch(self) -> None:
        self._batch_tokens: Any = (ctypes.c_int32 * N_BATCH)()
        self._batch_positions: Any = (ctypes.c_int32 * N_BATCH)()
        self._batch_outputs: Any = (ctypes.c_int8 * N_BATCH)()
        self._next_token: Any = (ctypes.c_int32 * 1)()
        self._next_position: Any = (ctypes.c_int32 * 1)()
        one_output = (ctypes.c_int8 * 1)(1)
        one_each = (ctypes.c_int32 * N_BATCH)(*([1] * N_BATCH))
        id_type = ctypes.POINTER(ctypes.c_int32)
        self._batches, self._next_batches = [], []
        self._keep: list[Any] = [one_each, one_output]
        for number in range(self.n_seq):
            sequence_id = ctypes.c_int32(number)
            ids = (id_type * N_BATCH)(*([ctypes.pointer(sequence_id)] * N_BATCH))
            self._keep += [sequence_id, ids]
            batch = self.api.llama_batch()
            batch.token = self._batch_tokens
            batch.pos = self._batch_positions
            batch.n_seq_id = one_each
            batch.seq_id = ids
            batch.logits = self._batch_outputs
            self._batches.append(batch)
            self._next_batches.append(
                self.api.llama_batch(1, self._next_token, None, self._next_position, one_each, ids, one_output)
            )

    # --- what the file says
    def metadata(self, key: str) -> str | None:
        buffer = ctypes.create_string_buffer(256)
        for _ in range(2):
            size = self.api.llama_model_meta_val_str(self._model, key.encode(), buffer, len(buffer))
            if size < 0:
                return None
            if size < len(buffer):
                return buffer.value.decode("utf-8", "replace")
            buffer = ctypes.create_string_buffer(size + 1)
        return None

    def description(self) -> dict[str, Any]:
        return {
            "architecture": self.metadata("general.architecture") or "",
            "name": self.metadata("general.name") or "",
            "dialect": self.metadata("automlgpt.dialect") or "",
            "prompts": self.metadata("automlgpt.prompts") or "",
            "context_tokens": self.context_tokens,
            "context_train": self.n_ctx_train,
            "vocabulary": self.n_vocab,
            "parameters": int(self.api.llama_model_n_params(self._model)),
            "bytes": int(self.api.llama_model_size(self._model)),
            "gpu_layers": self.log.gpu_layers,
            "recurrent": self.recurrent,
        }

    # --- sequences
    def sequence(self, agent: str) -> Sequence:
        """The agent's part of the KV cache; the one unused for longest is given away when there are too many."""
        if agent not in self._sequences:
            if len(self._sequences) < self.n_seq:
                number = len(self._sequences)
            else:
                _, oldest = self._sequences.popitem(last=False)
                oldest.clear()
                number = oldest.number
            self._sequences[agent] = Sequence(self, number, self._adapters.get(agent))
        self._sequences.move_to_end(agent)
        return self._sequences[agent]

    def neighbours(self, of: Sequence) -> list[Sequence]:
        return [other for other in self._sequences.values() if other is not of]

    def remove(self, number: int, start: int) -> bool:
        """Forget positions from `start` on. False: this architecture cannot, and all was forgotten."""
        if self.api.llama_memory_seq_rm(self._memory, number, start, -1):
            return True
        self.api.llama_memory_seq_rm(self._memory, number, -1, -1)
        return False

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        self.api.llama_memory_seq_cp(self._memory, source, target, 0, length)

    def decode(self, number: int, tokens: list[int], start: int, adapter: Any, *, last: bool = True) -> None:
        """Evaluate at most `n_batch` tokens at positions from `start` on; with `last` the logits of the last one become
        readable."""
        self._use_adapter(adapter)
        batch, count = self._batches[number], len(tokens)
        self._batch_tokens[:count] = tokens
        self._batch_positions[:count] = list(range(start, start + count))
        self._batch_outputs[count - 1] = 1 if last else 0
        batch.n_tokens = count
        status = self.api.llama_decode(self._context, batch)
        self._batch_outputs[count - 1] = 0
        if status == 0:
            self.evaluated_tokens += count
            self._sleep_when_slowed(count)
        if self.abort:
            raise CancelledError("the turn was cancelled")
        if status == 1:
            raise OutOfCacheError("the context is full")
        if status != 0:
            raise BackendError(f"llama.cpp failed to evaluate a batch (status {status}): {self.log.errors(1)}")

    def decode_next(self, number: int, token: int, position: int, adapter: Any) -> np.ndarray | None:
        """`decode` and `read_logits` for a single token, as cheap as Python allows. None: it was not evaluated."""
        if adapter is not self._active_adapter or self.slow_tokens_per_s:
            return None
        self._next_token[0] = token
        self._next_position[0] = position
        if self._decode(self._context, self._next_batches[number]):
            return None
        self.evaluated_tokens += 1
        known = self._logits.get(self._logits_address(self._context, -1))
        return self.read_logits() if known is None else known

    def _use_adapter(self, adapter: Any) -> None:
        if adapter is self._active_adapter:
            return
        if adapter is None:
            status = self.api.llama_set_adapters_lora(self._context, None, 0, None)
        else:
            pointers = (self.api.llama_adapter_lora_p_ctypes * 1)(adapter)
            status = self.api.llama_set_adapters_lora(self._context, pointers, 1, (ctypes.c_float * 1)(1.0))
        if status != 0:
            raise BackendError("the adapter could not be switched")
        self._active_adapter = adapter

    def _sleep_when_slowed(self, tokens: int) -> None:
        if self.slow_tokens_per_s:
            until = time.monotonic() + tokens / self.slow_tokens_per_s
            while (left := until - time.monotonic()) > 0 and not self.abort:
                time.sleep(min(left, _SLEEP_SLICE_S))

    def read_logits(self) -> np.ndarray:
        """Logits of the last evaluated token, shape (n_vocab,): a view that the next evaluation overwrites."""
        address = self._logits_address(self._context, -1)
        if not address:
            raise BackendError("llama.cpp gave no logits")
        known = self._logits.get(address)
        if known is None:  # the buffer moves only when it grows
            pointer = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))
            known = self._logits[address] = np.ctypeslib.as_array(pointer, shape=(self.n_vocab,))
        return known

    def close(self) -> None:
        self.api.llama_free(self._context)
        self.api.llama_model_free(self._model)
