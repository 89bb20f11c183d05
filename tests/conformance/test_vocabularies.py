"""Real vocabularies against the ids that their authors' own tokenizers gave: llama.cpp's fixtures, token by token.

`scripts/fetch_llm_fixtures.py` brings them; without them there is nothing to compare, and the tests are skipped.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from automlgpt_local.llm import native
from automlgpt_local.llm.grammar import Grammar
from automlgpt_local.llm.vocabulary import ModelVocabulary

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "scripts"))

from fetch_llm_fixtures import cache_dir

SEPARATOR = "\n__ggml_vocab_test__\n"
FIXTURES = sorted(cache_dir().glob("ggml-vocab-*.gguf.out"))
FAMILIES = {"qwen2", "qwen35", "llama-bpe", "phi-3", "gemma-4", "command-r", "deepseek-llm", "gpt-2"}
LOSSY = {"bert-bge", "nomic-bert-moe"}  # their tokenizers lower the case and drop accents

pytestmark = pytest.mark.skipif(not FIXTURES, reason="no vocabularies: run scripts/fetch_llm_fixtures.py")


def name_of(file: Path) -> str:
    return file.name.removeprefix("ggml-vocab-").removesuffix(".gguf.out")


@pytest.fixture(scope="module", params=FIXTURES, ids=name_of)
def fixture(request: pytest.FixtureRequest) -> Iterator[tuple[str, ModelVocabulary, list[tuple[str, list[int]]]]]:
    """(name, vocabulary, (text, its ids) for each text of the fixture)."""
    api = native.load()
    log = native.LogTail(api)
    api.llama_backend_init()
    params = api.llama_model_default_params()
    params.vocab_only = True
    file: Path = request.param
    model = api.llama_model_load_from_file(str(file.with_suffix("")).encode(), params)
    assert model, log.errors()
    texts = file.with_suffix(".inp").read_bytes().decode().split(SEPARATOR)
    rows = [[int(token) for token in line.split()] for line in file.read_text().splitlines()]
    yield name_of(file), ModelVocabulary(api, model), list(zip(texts, rows))
    api.llama_model_free(model)
    api.llama_log_set(ctypes.cast(None, api.llama_log_callback), ctypes.c_void_p(0))


def test_the_families_are_there() -> None:
    assert {name_of(file) for file in FIXTURES} >= FAMILIES


def test_ids_are_those_of_the_real_tokenizer(fixture: tuple[str, ModelVocabulary, list[tuple[str, list[int]]]]) -> None:
    _, vocabulary, cases = fixture
    assert len(cases) > 40
    for text, ids in cases:
        assert list(vocabulary.tokenize(text, parse_special=False, begins=True)) == ids, repr(text)


def test_pieces_spell_the_text(fixture: tuple[str, ModelVocabulary, list[tuple[str, list[int]]]]) -> None:
    """What is streamed to the user is made of pieces: together they are the text, byte by byte."""
    name, vocabulary, cases = fixture
    for text, ids in cases:
        spelled = b"".join(map(vocabulary.piece, ids)).decode("utf-8", "replace")
        if name not in LOSSY:
            assert spelled in (text, " " + text), repr(text)  # SentencePiece puts a space before the first word


def test_text_behind_other_text_gets_no_blank_before_it(
    fixture: tuple[str, ModelVocabulary, list[tuple[str, list[int]]]],
) -> None:
    name, vocabulary, _ = fixture
    if name in LOSSY:
        return
    for text in ('""', ', "c1":', ' "keep"', "\n</think>\n\n", "é", "  x"):
        tokens = vocabulary.tokenize(text, parse_special=False)
        assert b"".join(map(vocabulary.piece, tokens)).decode() == text, repr(text)


def test_grammars_take_their_examples(fixture: tuple[str, ModelVocabulary, list[tuple[str, list[int]]]]) -> None:
    name, vocabulary, _ = fixture
    if name in FAMILIES:
        for begin, schema in (
            ('"', {"type": "string", "maxLength": 300}),
            ("[", {"type": "array", "items": {"type": "string"}}),
        ):
            grammar = Grammar.for_schema(vocabulary, schema)
            assert grammar.allowed(np.array(vocabulary.tokenize(begin), np.int32)).tolist() == [True]
            grammar.close()


def test_ends_and_control_tokens_are_known(fixture: tuple[str, ModelVocabulary, list[tuple[str, list[int]]]]) -> None:
    name, vocabulary, cases = fixture
    for _, ids in cases:
        assert not any(map(vocabulary.ends, ids))
    if name in FAMILIES:
        assert any(vocabulary.ends(token) for token in range(vocabulary.n_vocab))
        assert vocabulary.control_texts() or name == "gpt-2"
