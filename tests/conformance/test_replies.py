"""Answers of real families and broken ones: each becomes a Reply, and only what is valid becomes a call."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automlgpt_local.llm.backend import Call
from automlgpt_local.llm.reply import find_code, json_problems, parse_json, parse_reply
from automlgpt_local.llm.schema import problems

CASES = json.loads((Path(__file__).parent / "replies.json").read_text(encoding="utf-8"))["cases"]
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "tool": {"enum": ["look", "code", "finish"]},
        "column": {"type": "string", "maxLength": 40},
        "seconds": {"type": "integer", "minimum": 1, "maximum": 600},
        "share": {"type": "number", "exclusiveMinimum": 0, "maximum": 1},
        "more": {"type": "array", "items": {"type": "string"}, "maxItems": 3},
    },
    "required": ["tool", "seconds"],
    "additionalProperties": False,
}
GOOD = '{"tool": "look", "column": "age", "seconds": 30, "share": 0.5, "more": ["a", "b"]}'


def reply_of(text: str, *, thinking: bool = False, schema: dict[str, Any] | None = None, finish: str = "stop") -> Any:
    return parse_reply({"text": text, "finish": finish, "thinking": thinking}, schema, seconds=0.0)


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_families(case: list[Any]) -> None:
    _, thinking, raw, thought, text, calls = case
    reply = reply_of(raw, thinking=thinking)
    assert (reply.thought, reply.text) == (thought, text)
    assert reply.calls == tuple(Call(name, arguments) for name, arguments in calls)


def malformed() -> list[str]:
    """Two hundred broken answers: every way of going wrong, applied to every kind of answer."""
    code = "Here it is.\n```python\ndef build(params, ctx):\n    return 1\n```\nDone."
    bases = [
        GOOD,
        f"```json\n{GOOD}\n```",
        f"<think>\nhm\n</think>\n{GOOD}",
        f'<tool_call>\n{{"name": "act", "arguments": {GOOD}}}\n</tool_call>',
        f"<|channel|>analysis<|message|>hm<|end|><|start|>assistant<|channel|>final<|message|>{GOOD}",
        f"[TOOL_CALLS]act[ARGS]{GOOD}",
        code,
        "<tool_call>\n<function=act>\n<parameter=tool>\nlook\n</parameter>\n</function>\n</tool_call>",
    ]
    ways = [
        lambda text: text[: len(text) // 2],
        lambda text: text[: len(text) - 2],
        lambda text: text[len(text) // 3 :],
        lambda text: text.replace('"', "'"),
        lambda text: text.replace("}", ""),
        lambda text: text.replace("{", "{{"),
        lambda text: text.replace("30", '"thirty"'),
        lambda text: text.replace("30", "1e999"),
        lambda text: text.replace('"look"', "null"),
        lambda text: text.replace('"look"', '"rm -rf"'),
        lambda text: text.replace("```", "``"),
        lambda text: text.replace("```", "````", 1),
        lambda text: f"```\n{text}\n```\n```",
        lambda text: text.replace("</", "<"),
        lambda text: text.replace("<", "</"),
        lambda text: f"<think>{text}",
        lambda text: f"{text}</think>",
        lambda text: f"<think>a<think>b</think>{text}</think></think>",
        lambda text: text * 40,
        lambda text: f"Sure! {text} Hope this helps! {{not json}}",
        lambda text: text.replace("\n", "\r\n\0"),
        lambda text: "{" * 2000 + text,
        lambda text: f"[THINK]{text}[/THINK]",
        lambda text: text.replace("|>", "|"),
        lambda text: text.encode().decode("utf-16-le", "replace"),
    ]
    return [way(base) for base in bases for way in ways]


def outcome(text: str) -> str:
    """What the loop would do with it: act, ask for a repair with words that say why, or run the code."""
    reply = reply_of(text, schema=SCHEMA)
    if reply.calls:
        assert not problems(reply.calls[0].arguments, SCHEMA)
        return "action"
    return "repair" if json_problems(reply.text, SCHEMA) else "nothing"


def test_two_hundred_malformed_replies_end_somewhere() -> None:
    texts = malformed()
    assert len(texts) == 200
    ends = [outcome(text) for text in texts]
    assert set(ends) == {"action", "repair"}
    assert 20 < ends.count("action") < 150  # some are readable after all, most are not
    for text in texts:
        free = reply_of(text)
        assert all(isinstance(call, Call) and isinstance(call.arguments, dict) for call in free.calls)
        assert free.code is None or isinstance(free.code, str)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["<think>", "</think>", "<tool_call>", "</tool_call>", "<function=f>", "</function>", "<parameter=a>",
             "```", "```python\n", "\n", "{", "}", "[", "]", '"', ":", ",", "1", "tool", GOOD,
             "<|channel|>", "<|message|>", "analysis", "final", "<|end|>", "[TOOL_CALLS]", "[ARGS]",
             "<|tool_call>call:f{", "<|\"|>", "<tool_call|>",
             "to=functions.f ", "<arg_key>", "</arg_key>", "<arg_value>", "é", "\ud800", "\0", "def f(): pass\n"]
        ) | st.text(max_size=12),
        max_size=40,
    ),
    st.booleans(),
)  # fmt: skip
def test_any_text_is_a_reply(parts: list[str], thinking: bool) -> None:
    text = "".join(parts)
    free = reply_of(text, thinking=thinking)
    assert isinstance(free.text, str) and isinstance(free.thought, str)
    assert outcome(text) in ("action", "repair")


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    )
)
def test_any_json_is_a_call_or_a_repair(value: Any) -> None:
    assert outcome(json.dumps(value)) in ("action", "repair")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("~~~py\nx = 1\n~~~", "x = 1\n"),
        ("````python\ns = '''\n```\n'''\n````", "s = '''\n```\n'''\n"),
        ("first\n```python\nx = 1\n```\nthen\n```python\nx = 2\n```\nrun\n```bash\nls\n```", "x = 2\n"),
        ("```python\nx = 1", "x = 1\n"),
        ("import pandas\nx = 1", "import pandas\nx = 1\n"),
        ("Use a logarithm.", None),
        ("yes", None),
        ("```json\n{}\n```", None),
        ("```python\n```", None),
        ("(" * 5000, None),
    ],
)
def test_code_is_the_last_block_of_python(text: str, code: str | None) -> None:
    assert find_code(text) == code


def test_json_is_found_where_models_put_it() -> None:
    for text in (GOOD, f"Sure:\n```json\n{GOOD}\n```\n", f"The answer is {GOOD}, I hope.", GOOD[:-1] + ",}"):
        assert parse_json(text) == json.loads(GOOD)
    assert json_problems(GOOD.replace("30", "0.5"), SCHEMA) == ["value.seconds must be of type integer"]
    assert json_problems(GOOD.replace("30", "601"), SCHEMA) == ["value.seconds must be at most 600"]
    assert json_problems(GOOD[:-9], SCHEMA) == ["the answer is not JSON, or was cut short"]
