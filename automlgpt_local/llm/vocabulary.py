"""The tokens of one model: text to ids and back, as its own tokenizer does it, remembered."""

from __future__ import annotations

import ctypes
from collections import OrderedDict
from typing import Any

from automlgpt_local.errors import BackendError

MAX_CACHED_CHARACTERS = 2_000_000
_CONTROL = 1 << 3  # LLAMA_TOKEN_ATTR_CONTROL


class ModelVocabulary:
    """`api`: the ctypes layer; `model`: a loaded llama_model, its weights are not needed."""

    def __init__(self, api: Any, model: Any) -> None:
        self.api = api
        self.vocab = api.llama_model_get_vocab(model)
        self.n_vocab = int(api.llama_vocab_n_tokens(self.vocab))
        self._bytes: dict[int, bytes] = {}
        self._ends: dict[int, bool] = {}
        self._puts_blank: bool | None = None
        self._tokens: OrderedDict[tuple[str, bool, bool], tuple[int, ...]] = OrderedDict()
        self._cached_characters = 0

    def tokenize(self, text: str, *, parse_special: bool = True, begins: bool = False) -> tuple[int, ...]:
        """Tokens of one piece of text, read on its own, without BOS. Only what `begins` a prompt gets the blank
        that some vocabularies of SentencePiece (Llama 2, Phi 3, Mistral) put before a text."""
        key = (text, parse_special, begins)
        known = self._tokens.get(key)
        if known is None:
            data = text.encode("utf-8", "replace")
            known = self._tokenize(data, parse_special) if begins else self._continued(data, parse_special)
            self._store(key, known)
        else:
            self._tokens.move_to_end(key)
        return known

    def remember(self, text: str, tokens: tuple[int, ...], *, parse_special: bool = True) -> None:
        """From now on `text` stands for exactly these tokens: those that were evaluated when it was written."""
        self._store((text, parse_special, False), tokens)

    def _store(self, key: tuple[str, bool, bool], tokens: tuple[int, ...]) -> None:
        if key not in self._tokens:
            self._cached_characters += len(key[0])
        self._tokens[key] = tokens
        while self._cached_characters > MAX_CACHED_CHARACTERS:
            (oldest, _, _), _ = self._tokens.popitem(last=False)
            self._cached_characters -= len(oldest)

    def _continued(self, data: bytes, parse_special: bool) -> tuple[int, ...]:
        if self._puts_blank is None:
            first = self._tokenize(b"a", False)
            self._puts_blank = bool(first) and self.piece(first[0]).startswith(b" ")
        if self._puts_blank and data:
            tokens = self._tokenize(b"\n" + data, parse_special)
            if [self.piece(token) for token in tokens[:2]] == [b" ", b"\n"]:
                return tokens[2:]
        return self._tokenize(data, parse_special)

    def _tokenize(self, data: bytes, parse_special: bool) -> tuple[int, ...]:
        size = len(data) + 8
        buffer = (ctypes.c_int32 * size)()
        count = self.api.llama_tokenize(self.vocab, data, len(data), buffer, size, False, parse_special)
        if count < 0:
            raise BackendError("the text could not be split into tokens")
        return tuple(buffer[:count])

    def bos_tokens(self) -> tuple[int, ...]:
        """What this model wants before the first token of a text: BOS, or nothing."""
        bos = int(self.api.llama_vocab_bos(self.vocab))
        return (bos,) if bos >= 0 and self.api.llama_vocab_get_add_bos(self.vocab) else ()

    def bos_and_eos(self) -> tuple[str, str]:
        """As text, for templates; empty where the model has none."""
        tokens = self.api.llama_vocab_bos(self.vocab), self.api.llama_vocab_eos(self.vocab)
        bos, eos = (self.piece(token).decode("utf-8", "replace") if token >= 0 else "" for token in tokens)
        return bos, eos

    def piece(self, token: int) -> bytes:
        known = self._bytes.get(token)
        if known is None:
            buffer = ctypes.create_string_buffer(256)
            size = self.api.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, True)
            if size < 0:
                buffer = ctypes.create_string_buffer(-size)
                size = self.api.llama_token_to_piece(self.vocab, token, buffer, len(buffer), 0, True)
            known = self._bytes[token] = buffer.raw[: max(0, size)]
        return known

    def ends(self, token: int) -> bool:
        """Does this token end the model's turn?"""
        known = self._ends.get(token)
        if known is None:
            known = self._ends[token] = bool(self.api.llama_vocab_is_eog(self.vocab, token))
        return known

    def control_texts(self) -> list[str]:
        """The texts that spell a control token."""
        attribute = self.api.llama_vocab_get_attr
        tokens = [token for token in range(self.n_vocab) if attribute(self.vocab, token) & _CONTROL]
        return [self.piece(token).decode("utf-8", "replace") for token in tokens]
