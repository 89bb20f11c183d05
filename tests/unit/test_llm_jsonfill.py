"""JSON by fill-in: whole and valid whatever the model prefers, and far fewer readings than tokens."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from llm_fixtures import write_model

from automlgpt_local.llm.backend import Message
from automlgpt_local.llm.jsonfill import JsonString, _closed, plan
from automlgpt_local.llm.local import LocalBackend
from automlgpt_local.llm.schema import problems


def obj(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


DECISION = obj(
    thought={"type": "string", "maxLength": 60},
    **{f"c{n}": {"enum": ["keep", "log", "drop"]} for n in range(12)},
    rate={"enum": [0.1, 0.15, 1, 10, 100, None, True]},
    sure={"type": "boolean"},
    steps={"type": "integer", "minimum": -2, "maximum": 30},
    trees={"type": "integer", "minimum": 20, "maximum": 20_000},
    share={"type": "number", "minimum": -1.5, "maximum": 250},
    inner=obj(kind={"const": "x"}, why={"type": "string", "minLength": 2, "maxLength": 9}),
)


@pytest.fixture(scope="module")
def backend(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalBackend]:
    model = write_model(tmp_path_factory.mktemp("m") / "tiny.gguf", dialect=None)
    with LocalBackend(model) as opened:
        yield opened


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("max_tokens", [60, 2000])
def test_the_answer_is_always_whole(backend: LocalBackend, seed: int, max_tokens: int) -> None:
    parts: list[str] = []
    reply = backend.chat(
        "coder", [Message("user", "go")], schema=DECISION, temperature=1.5, seed=seed, max_tokens=max_tokens,
        on_text=parts.append,
    )  # fmt: skip
    assert "".join(parts) == reply.text
    assert problems(json.loads(reply.text), DECISION) == []
    assert reply.calls[0].arguments == json.loads(reply.text)


def test_what_was_written_is_not_read_again(backend: LocalBackend) -> None:
    talk = [Message("user", "go")]
    first = backend.chat("reasoner", talk, schema=DECISION, temperature=1.0)
    talk += [Message("assistant", first.text), Message("user", "on")]
    second = backend.chat("reasoner", talk, schema=DECISION, temperature=0.0)
    assert second.evaluated_tokens <= second.prompt_tokens - first.prompt_tokens - first.output_tokens + 2 + (
        second.output_tokens
    )


def test_schemas_of_other_kinds_take_the_grammar() -> None:
    assert plan(obj(a={"type": "array", "items": {"type": "string"}})) is None
    assert plan(obj(a={"anyOf": [{"type": "number"}, {"type": "null"}]})) is None
    assert plan({"type": "object", "properties": {"a": {"type": "boolean"}}}) is None
    assert plan({"type": "array"}) is None
    parts = plan(obj(a={"type": "string", "maxLength": 5}))
    assert parts == ['{"a": ', JsonString("/a", 0, 5), "}"]


@pytest.mark.parametrize(
    ("cut", "closed"),
    [
        (b'"abc', b'"abc"'), (b'"abc\\', b'"abc"'), (b'"abc\\u00', b'"abc"'), (b'"ab\xc3', b'"ab"'), (b"", b'""'),
        (b'"', b'""'),
    ],
)  # fmt: skip
def test_a_string_that_was_cut_is_closed(cut: bytes, closed: bytes) -> None:
    assert _closed(cut) == closed
