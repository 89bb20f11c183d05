"""A compiled GBNF grammar of llama.cpp that judges candidate tokens; compiled and tried on an example before use."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from automlgpt_local.errors import BackendError
from automlgpt_local.llm.schema import Schema, compile_schema

_CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Grammar:
    """Raises BackendError when llama.cpp does not accept the grammar."""

    def __init__(self, runtime: Any, gbnf: str) -> None:
        self._runtime, self._api = runtime, runtime.api
        self._sampler = self._api.llama_sampler_init_grammar(runtime.vocab, gbnf.encode(), b"root")
        if not self._sampler:
            raise BackendError("llama.cpp does not accept the grammar of this schema", "Make the schema simpler.")
        self._array = self._api.llama_token_data_array()

    @classmethod
    def for_schema(cls, runtime: Any, schema: Schema) -> Grammar:
        """Compiled, and proven to accept an example of the schema."""
        gbnf, text = compile_schema(schema)
        probe = cls(runtime, gbnf)
        try:
            for token in runtime.tokenize(text, parse_special=False):
                if not probe.allowed(np.array([token], np.int32))[0]:
                    raise BackendError(f"the grammar of this schema refuses its own example {text[:80]}")
                probe.accept(token)
        finally:
            probe.close()
        return cls(runtime, gbnf)

    def allowed(self, tokens: np.ndarray) -> np.ndarray:
        """Which of these token ids may come next, shape (n_tokens,) of bool."""
        candidates: Any = np.zeros(len(tokens), _CANDIDATE)
        candidates["id"] = tokens
        self._array.data = candidates.ctypes.data_as(self._api.llama_token_data_p)
        self._array.size = len(tokens)
        self._array.selected = -1
        self._array.sorted = False
        self._api.llama_sampler_apply(self._sampler, ctypes.byref(self._array))
        verdict: np.ndarray = np.isfinite(candidates["logit"])
        return verdict

    def accept(self, token: int) -> None:
        """Only for a token that is allowed: llama.cpp ends the process for any other."""
        self._api.llama_sampler_accept(self._sampler, token)

    def close(self) -> None:
        if self._sampler:
            self._api.llama_sampler_free(self._sampler)
            self._sampler = None
