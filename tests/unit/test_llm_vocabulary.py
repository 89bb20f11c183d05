"""Tokens are remembered, those that were evaluated before all others, and the memory of them is bounded."""

from __future__ import annotations

from typing import Any

import pytest

from automlgpt_local.llm import vocabulary
from automlgpt_local.llm.vocabulary import ModelVocabulary


class Bytes:
    """An API whose tokens are bytes; 0 is BOS and ends a turn."""

    def __init__(self) -> None:
        self.asked: list[bytes] = []

    def llama_model_get_vocab(self, model: Any) -> int:
        return 1

    def llama_vocab_n_tokens(self, vocab: Any) -> int:
        return 256

    def llama_tokenize(self, vocab: Any, data: bytes, length: int, buffer: Any, *_: Any) -> int:
        self.asked.append(data)
        buffer[:length] = list(data)
        return length

    def llama_token_to_piece(self, vocab: Any, token: int, buffer: Any, size: int, *_: Any) -> int:
        text = b"x" * 300 if token == 7 else bytes([token])
        if len(text) > size:
            return -len(text)
        buffer[: len(text)] = text
        return len(text)

    def llama_vocab_is_eog(self, vocab: Any, token: int) -> bool:
        return token == 0

    def llama_vocab_bos(self, vocab: Any) -> int:
        return 0

    def llama_vocab_eos(self, vocab: Any) -> int:
        return -1

    def llama_vocab_get_add_bos(self, vocab: Any) -> bool:
        return True


@pytest.fixture
def words() -> ModelVocabulary:
    return ModelVocabulary(Bytes(), None)


def test_a_text_is_split_once(words: ModelVocabulary) -> None:
    assert words.tokenize("ab") == words.tokenize("ab") == (97, 98)
    assert words.tokenize("ab", parse_special=False) == (97, 98)
    assert words.api.asked.count(b"ab") == 2


def test_what_was_evaluated_is_what_a_text_stands_for(words: ModelVocabulary) -> None:
    words.remember("ab", (5, 6, 7))
    assert words.tokenize("ab") == (5, 6, 7)


def test_the_oldest_texts_are_forgotten(words: ModelVocabulary, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary, "MAX_CACHED_CHARACTERS", 25)
    for text in ("a" * 10, "b" * 10, "a" * 10, "c" * 10):
        words.tokenize(text)
    words.api.asked.clear()
    words.tokenize("a" * 10)
    assert words.api.asked == []
    words.tokenize("b" * 10)
    assert words.api.asked == [b"b" * 10]
    assert words.tokenize("d" * 100) == (100,) * 100


def test_pieces_of_any_length_ends_and_bos(words: ModelVocabulary) -> None:
    assert words.piece(97) == b"a" and words.piece(7) == b"x" * 300
    assert words.ends(0) and not words.ends(97)
    assert words.bos_tokens() == (0,)
    assert words.bos_and_eos() == ("\0", "")
