"""Answers of real families and broken ones: each becomes a Reply, and only what is valid becomes a call."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
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
MODULE = "def build(params, ctx):\n    return 1\n"


def reply_of(text: str, *, thinking: bool = False, schema: dict[str, Any] | None = None, finish: str = "stop") -> Any:
    return parse_reply({"text": text, "finish": finish, "thinking": thinking}, schema, seconds=0.0)


@pytest.mark.parametrize("case", CASES, ids=[case[0] for case in CASES])
def test_families(case: list[Any]) -> None:
    _, thinking, raw, thought, text, calls = case
    reply = reply_of(raw, thinking=thinking)
    assert (reply.thought, reply.text) == (thought, text)
    assert reply.calls == tuple(Call(name, arguments) for name, arguments in calls)


CUT = "not a JSON object, or was cut short"
BROKEN_CALLS = (  # what is then no call, yet holds a sound answer
    "a comma too many",
    "a list around it",
    "cut behind a number",
    "cut before its last brace",
)
CONTENTS: dict[str, tuple[str, str]] = {  # what the model meant as its JSON -> the problem, "" when it is readable
    "sound": (GOOD, ""),
    "a comma too many": (GOOD[:-1] + ",}", ""),
    "spread over lines": (GOOD.replace(", ", ",\r\n\t"), ""),
    "only what is required": ('{"seconds": 1, "tool": "finish"}', ""),
    "a whole number as a fraction": (GOOD.replace("30", "30.0"), ""),
    "cut within a string": (GOOD[:28], CUT),
    "cut behind a number": (GOOD[: GOOD.index(", \"share\"")], CUT),
    "cut before its last brace": (GOOD[:-1], CUT),
    "its beginning is gone": (GOOD[40:], CUT),
    "single quotes": (GOOD.replace('"', "'"), CUT),
    "no quotes around names": (GOOD.replace('"tool"', "tool"), CUT),
    "equals signs": (GOOD.replace(":", " ="), CUT),
    "a raw line end in a string": (GOOD.replace("age", "a\nge"), CUT),
    "words for a number": (GOOD.replace("30", '"thirty"'), "seconds must be of type integer"),
    "an endless number": (GOOD.replace("30", "1e999"), "seconds must be of type integer"),
    "a truth for a number": (GOOD.replace("30", "true"), "seconds must be of type integer"),
    "too large": (GOOD.replace("30", "601"), "seconds must be at most 600"),
    "nothing for a choice": (GOOD.replace('"look"', "null"), "tool must be one of"),
    "a choice of its own": (GOOD.replace("look", "rm -rf"), "tool must be one of"),
    "a bound that is excluded": (GOOD.replace("0.5", "0"), "share must be more than 0"),
    "too many items": (GOOD.replace('["a"', '["a", "c", "d"'), "more may have at most 3 items"),
    "an item of another type": (GOOD.replace('["a"', "[7"), r"more\[0\] must be of type string"),
    "a text that is too long": (GOOD.replace("age", "age" * 14), "column may have at most 40"),
    "a name that nobody knows": (GOOD.replace('"column"', '"col"'), "col is not known"),
    "a list around it": (f"[{GOOD}]", ""),
    "a list of names": ('["look", 30]', CUT),
}  # fmt: skip
ANALYSIS = "<|channel|>analysis<|message|>hm<|end|>"
WRAPPERS: dict[str, Callable[[str], str]] = {
    "bare": lambda body: body,
    "fenced, amid prose": lambda body: f"Sure! Here it is:\n```json\n{body}\n```\nHope this helps!",
    "a fence without an end": lambda body: f"```json\n{body}",
    "nested fences": lambda body: f"````\n{body}\n````\n```",
    "after reasoning that opened twice": lambda body: f"<think>a<think>b</think>{body}</think></think>",
    "after reasoning that was never opened": lambda body: f"Let me see: seconds...\n</think>\n\n{body}",
    "gpt-oss": lambda body: f"{ANALYSIS}<|start|>assistant<|channel|>final<|message|>{body}",
    "in a loop": lambda body: f"{body}\n" * 40,
}  # fmt: skip
CALLS: dict[str, Callable[[str], str]] = {  # a call of a tool that nobody offered, instead of the answer
    "Hermes": lambda body: f'<tool_call>\n{{"name": "act", "arguments": {body}}}\n</tool_call>',
    "Mistral": lambda body: f"[TOOL_CALLS]act[ARGS]{body}",
    "reasoning without end": lambda body: f"<think>I will answer {body}",
}


@pytest.mark.parametrize("content", CONTENTS)
def test_malformed_answers_are_read_or_sent_back_with_the_reason(content: str) -> None:
    body, problem = CONTENTS[content]
    for name, wrap in WRAPPERS.items():
        reply = reply_of(wrap(body), schema=SCHEMA)
        found = "; ".join(json_problems(reply.text, SCHEMA))
        if problem:
            assert reply.calls == () and re.search(problem, found), (name, found)
        else:
            (call,) = reply.calls
            assert found == "" and call.name == "json" and call.arguments["tool"] in ("look", "finish"), name
            assert problems(call.arguments, SCHEMA) == []
    for wrap in CALLS.values():
        assert outcome(wrap(body)) == "repair" or content in BROKEN_CALLS


def test_the_malformed_answers_are_many_and_different() -> None:
    texts = {wrap(body) for body, _ in CONTENTS.values() for wrap in (*WRAPPERS.values(), *CALLS.values())}
    assert len(texts) == len(CONTENTS) * (len(WRAPPERS) + len(CALLS)) >= 200


BROKEN_CODE: dict[str, tuple[str, str | None]] = {  # a reply that was to hold a module -> the module, None: ask again
    "no fence at all": (MODULE, MODULE),
    "prose before, no fence": (f"Here it is.\n{MODULE}", None),
    "no end": (f"```python\n{MODULE}", MODULE),
    "two marks of three": (f"``python\n{MODULE}``", None),
    "indented like a list": (f"1. So:\n   ```python\n{MODULE}   ```\n", MODULE),
    "a shell block behind it": (f"```python\n{MODULE}```\n```bash\npip install x\n```", MODULE),
    "a draft before it": (f"```python\nbuild = 1\n```\nNo, better:\n```python\n{MODULE}```", MODULE),
    "within reasoning only": (f"<think>\n```python\n{MODULE}```\n</think>\nDone.", None),
    "after reasoning with code": (f"<think>```python\nx = 1\n```</think>\n```python\n{MODULE}```", MODULE),
    "empty": ("```python\n\n```", None),
    "another language": ("```sql\nselect 1\n```", None),
    "tildes": (f"~~~python\n{MODULE}~~~", MODULE),
    "carriage returns": (f"```python\r\n{MODULE}```".replace("\n", "\r\n"), MODULE),
    "refusal": ("I am sorry, but I cannot help with that.", None),
    "nothing": ("", None),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN_CODE)
def test_broken_replies_with_code(case: str) -> None:
    text, module = BROKEN_CODE[case]
    assert reply_of(text).code == module


def outcome(text: str) -> str:
    """An action that the schema allows, or a request for repair with words that say why."""
    reply = reply_of(text, schema=SCHEMA)
    if reply.calls:
        assert not problems(reply.calls[0].arguments, SCHEMA)
        return "action"
    assert json_problems(reply.text, SCHEMA)
    return "repair"


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
    assert json_problems(GOOD[:-9], SCHEMA) == ["the answer is not a JSON object, or was cut short"]
