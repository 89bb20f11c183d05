"""JSON schemas as grammars, judged by the real llama.cpp, and as checks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_fixtures import write_model

from automlgpt_local.errors import BackendError
from automlgpt_local.llm.grammar import Grammar
from automlgpt_local.llm.runtime import Runtime
from automlgpt_local.llm.schema import SchemaError, compile_schema, example, integer_range, problems, to_gbnf


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runtime]:
    opened = Runtime(write_model(tmp_path_factory.mktemp("m") / "tiny.gguf"), threads=1, context_tokens=256)
    yield opened
    opened.close()


def accepts(runtime: Runtime, gbnf: str, text: str) -> bool:
    """Whole text, and the end after it."""
    grammar = Grammar(runtime, gbnf)
    try:
        for token in runtime.tokenize(text, parse_special=False):
            if not grammar.allowed(np.array([token], np.int32))[0]:
                return False
            grammar.accept(token)
        return bool(grammar.allowed(np.array([runtime.api.llama_vocab_eos(runtime.vocab)], np.int32))[0])
    finally:
        grammar.close()


def obj(properties: dict[str, Any], required: list[str] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "type": "object", "properties": properties, "required": list(properties) if required is None else required,
        **more,
    }  # fmt: skip


CASES: list[tuple[dict[str, Any], list[str], list[str]]] = [
    (obj({"a": {"enum": ["x", "y", 3, None]}}), ['{"a": "x"}', '{"a":3}', '{"a": null}'], ['{"a": "z"}', "{}"]),
    (obj({"a": {"type": "integer"}}), ['{"a": -12}', '{"a": 0}'], ['{"a": 01}', '{"a": 1.5}', '{"a": "1"}']),
    (
        obj({"a": {"type": "number"}, "b": {"type": "boolean"}}),
        ['{"a": -1.5e-3, "b": true}'], ['{"a": .5, "b": true}', '{"b": true, "a": 1}'],
    ),
    (
        obj({"a": {"type": "string", "minLength": 1, "maxLength": 3}}),
        ['{"a": "xyz"}', '{"a": "\\n\\u00e9"}', '{"a": "éé"}'], ['{"a": ""}', '{"a": "wxyz"}', '{"a": "a\nb"}'],
    ),
    (
        obj({"a": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 3}}),
        ['{"a": [1]}', '{"a": [1, 2,3]}'], ['{"a": []}', '{"a": [1, 2, 3, 4]}', '{"a": [1,]}'],
    ),
    (
        obj({"a": {"type": "integer"}, "b": {"type": "null"}, "c": {"type": "boolean"}}, ["a"]),
        ['{"a": 1}', '{"a": 1, "c": true}', '{"a": 1, "b": null, "c": false}'], ['{"c": true}', '{"a": 1, }'],
    ),
    (obj({"a": {"type": "integer"}, "b": {"type": "integer"}}, []), ["{}", '{"a": 1}', '{"b": 2}', '{"a": 1, "b": 2}'],
     ['{"b": 1, "a": 2}', "{,}"]),
    (
        {"$defs": {"n": obj({"next": {"anyOf": [{"$ref": "#/$defs/n"}, {"type": "null"}]}})}, "$ref": "#/$defs/n"},
        ['{"next": null}', '{"next": {"next": {"next": null}}}'], ['{"next": 1}'],
    ),
    ({"type": "object", "additionalProperties": {"type": "integer"}}, ["{}", '{"any": 1, "thing": 2}'], ['{"a": "b"}']),
    ({}, ['{"a": [1, "b", null, {"c": false}]}', "3"], ["{a: 1}"]),
]  # fmt: skip


@pytest.mark.parametrize(("schema", "good", "bad"), CASES)
def test_grammar_and_check_agree(runtime: Runtime, schema: dict[str, Any], good: list[str], bad: list[str]) -> None:
    gbnf = to_gbnf(schema)
    for text in good:
        assert accepts(runtime, gbnf, text), text
        assert problems(json.loads(text), schema) == []
    for text in bad:
        assert not accepts(runtime, gbnf, text), text


@settings(max_examples=40, deadline=None)
@given(st.integers(-2000, 2000), st.integers(0, 3000), st.lists(st.integers(-6000, 6000), max_size=30))
def test_integer_bounds_are_exact(runtime: Runtime, low: int, width: int, others: list[int]) -> None:
    high = low + width
    gbnf = f"root ::= {integer_range(low, high)}\n"
    for value in {low, high, low - 1, high + 1, (low + high) // 2, 0, *others}:
        assert accepts(runtime, gbnf, str(value)) == (low <= value <= high), (low, high, value)


@pytest.mark.parametrize(("low", "high"), [(5, None), (None, 5), (-3, None), (None, -7), (0, None)])
def test_integers_bounded_on_one_side(runtime: Runtime, low: int | None, high: int | None) -> None:
    gbnf = f"root ::= {integer_range(low, high)}\n"
    for value in (-(10**9), -100, -8, -7, -4, -3, 0, 4, 5, 6, 10, 99, 10**9):
        fits = (low is None or value >= low) and (high is None or value <= high)
        if "integer" not in gbnf:
            assert accepts(runtime, gbnf, str(value)) == fits, value


def test_number_bounds_hold_together(runtime: Runtime) -> None:
    schema = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}
    gbnf = to_gbnf(schema)
    assert all(accepts(runtime, gbnf, text) for text in ("0.001", "1", "0.5"))
    assert not any(accepts(runtime, gbnf, text) for text in ("-0.5", "7", "1e3"))
    assert problems(0, schema) and problems(1.01, schema) and not problems(0.3, schema)
    assert problems(float("inf"), {"type": "number"})


def test_every_grammar_accepts_its_example(runtime: Runtime) -> None:
    for schema, _, _ in CASES:
        assert problems(example(schema), schema) == []
        Grammar.for_schema(runtime, schema).close()


def test_long_strings_do_not_break_the_grammar(runtime: Runtime) -> None:
    schema = obj({"a": {"type": "string", "maxLength": 100_000}, "b": {"type": "string", "maxLength": 400}})
    Grammar.for_schema(runtime, schema).close()


def test_what_cannot_be_a_grammar_is_an_error(runtime: Runtime) -> None:
    with pytest.raises(BackendError, match="grammar"):
        Grammar(runtime, "root ::= ( nothing")
    with pytest.raises(BackendError, match="grammar"):
        Grammar(runtime, "root ::= missing")
    with pytest.raises(BackendError, match="outside the schema"):
        Grammar.for_schema(runtime, {"$ref": "http://example.org/x"})
    with pytest.raises(SchemaError):
        to_gbnf({"type": "integer", "minimum": 5, "maximum": 4})


def test_pydantic_models_are_understood(runtime: Runtime) -> None:
    from typing import Literal

    from pydantic import BaseModel, Field

    class Step(BaseModel):
        tool: Literal["look", "code"]
        seconds: int = Field(ge=1, le=600)
        why: str = Field(max_length=80)
        columns: list[str] = Field(default_factory=list, max_length=4)
        after: Step | None = None

    schema = Step.model_json_schema()
    Grammar.for_schema(runtime, schema).close()
    gbnf = to_gbnf(schema)
    text = '{"tool": "look", "seconds": 30, "why": "skew", "columns": ["a"], "after": null}'
    assert accepts(runtime, gbnf, text)
    assert Step.model_validate_json(text)
    assert not accepts(runtime, gbnf, text.replace("30", "601"))


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"enum": []},
        {"type": "quux"},
        {"type": 5},
        ["x"],
        None,
        {"$ref": "http://x/y"},
        {"$ref": "#/nope"},
        {"type": "number", "minimum": float("inf")},
        {"type": "integer", "maximum": float("nan")},
        {"type": "object", "properties": ["a"]},
        {"type": "string", "maxLength": "long"},
    ],
)
def test_schemas_that_no_answer_could_follow_are_refused_in_words(schema: Any) -> None:
    with pytest.raises(SchemaError, match="cannot be followed"):
        compile_schema(schema)


def test_patterns_are_checked_afterwards() -> None:
    assert problems("abc", {"type": "string", "pattern": "^[a-c]+$"}) == []
    assert problems("abd", {"type": "string", "pattern": "^[a-c]+$"}) == ["value must match ^[a-c]+$"]
