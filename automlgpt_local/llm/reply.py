"""Taking a chat model's answer apart: thought, code, calls. Whatever the text is, the result is a `Reply`.

An answer that was to follow a schema and does not has no call; `json_problems` says why, in words for the model.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from itertools import islice
from typing import Any

from automlgpt_local.llm.backend import Call, Reply, TokenScore
from automlgpt_local.llm.schema import problems
from automlgpt_local.llm.thinking import TAGS
from automlgpt_local.llm.toolcalls import find_calls

MAX_CODE_CHARACTERS = 200_000
_HARMONY = re.compile(r"<\|(?:channel|message)\|>")
_HARMONY_END = re.compile(r"<\|(?:end|return|call)\|>")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})[ \t]*([^\s`]*)[^\n`]*$")
_TRAILING_COMMA = re.compile(r",(\s*[}\]])")
_PYTHON = {"", "python", "py", "python3", "ipython", "tool_code"}


def parse_reply(answer: dict[str, Any], schema: dict[str, Any] | None, *, seconds: float) -> Reply:
    """`answer`: text, finish, and where known thinking, prompt_tokens, evaluated_tokens, output_tokens."""
    raw = answer["text"]
    if _HARMONY.search(raw):
        thought, text, calls = _harmony(raw)
    else:
        thought, text = split_thought(raw, opened=bool(answer.get("thinking")))
        text, calls = find_calls(text)
    if schema is not None:
        value = parse_json(text, schema)
        arguments = value if isinstance(value, dict) else {"value": value}
        calls = [] if json_problems(text, schema) else [Call("json", arguments)]
    text = whole(text)
    return Reply(
        text=text,
        thought=whole(thought),
        code=None if schema is not None else find_code(text),
        calls=tuple(Call(whole(call.name), whole(call.arguments)) for call in calls),
        probabilities={path.lstrip("/"): share for path, share in answer.get("probabilities", {}).items()},
        scores=tuple(
            TokenScore(text, logprob, tuple(map(tuple, top))) for text, logprob, top in answer.get("scores", ())
        ),
        trimmed=answer.get("trimmed", ""),
        finish="timeout" if answer["finish"] == "timeout" else "length" if answer["finish"] == "length" else "stop",
        prompt_tokens=answer.get("prompt_tokens", 0),
        evaluated_tokens=answer.get("evaluated_tokens", 0),
        output_tokens=answer.get("output_tokens", 0),
        seconds=seconds,
    )


def whole(value: Any) -> Any:
    """Half a surrogate pair ("\\ud83d" alone), which no file takes, as U+FFFD; a whole one as its character."""
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, dict):
        return {whole(key): whole(item) for key, item in value.items()}
    return [whole(item) for item in value] if isinstance(value, list) else value


# --- reasoning
def split_thought(text: str, *, opened: bool = False) -> tuple[str, str]:
    """(thought, the rest). `opened`: the prompt ended within a reasoning block, which, without an end, is all."""
    thoughts = []
    for begin, end in TAGS:
        if (opened or begin not in text) and end in text and not _begins_before(text, begin, end):
            inner, text = text.split(end, 1)  # its beginning was part of the prompt
            thoughts.append(inner)
            opened = False
    if opened:
        return text.strip(), ""
    for begin, end in TAGS:
        while (start := text.find(begin)) >= 0:
            inner, closed, after = text[start + len(begin) :].partition(end)
            if not closed and start > 0:  # a tag within prose, not a block
                break
            thoughts.append(inner)
            text = text[:start] + after
    for _, end in TAGS:
        text = text.replace(end, "")
    if not thoughts:
        return "", text
    return "\n".join(part.strip() for part in thoughts).strip(), text.lstrip()


def _begins_before(text: str, begin: str, end: str) -> bool:
    at = text.find(begin)
    return 0 <= at < text.find(end)


def _harmony(raw: str) -> tuple[str, str, list[Call]]:
    """Messages of gpt-oss: analysis is thought, final and commentary are text, a recipient `functions.…` makes a call.

    A message to another tool, which nobody offered, is dropped.
    """
    thoughts: list[str] = []
    texts: list[str] = []
    calls: list[Call] = []
    for part in _HARMONY_END.split(raw):
        header, marked, body = part.partition("<|message|>")
        if not marked:
            header, body = "", "" if "<|channel|>" in part or part.strip() in ("", "assistant") else part
        header = header.rpartition("<|start|>")[2]
        recipient = re.search(r"to=(functions\.)?([\w.-]+)", header)
        channel = header.rpartition("<|channel|>")[2].split()
        arguments = parse_json(body) if recipient and recipient[1] else None
        if recipient and isinstance(arguments, dict):
            calls.append(Call(recipient[2], arguments))
        elif recipient and recipient[2] != "assistant":
            continue
        elif channel and channel[0].startswith("analysis"):
            thoughts.append(body.strip())
        elif body:
            texts.append(body)
    return "\n".join(thoughts), "\n".join(texts), calls


# --- code
def fenced_blocks(text: str) -> list[tuple[str, str]]:
    """(language, code) of every fence in order; one without an end goes to the end of the text."""
    blocks = []
    lines: list[str] = []
    mark, language = "", ""
    for line in text.splitlines():
        match = _FENCE.match(line)
        if not mark and match:
            mark, language, lines = match[1], match[2].lower(), []
        elif mark and match and not match[2] and match[1][0] == mark[0] and len(match[1]) >= len(mark):
            blocks.append((language, "\n".join(lines)))
            mark = ""
        elif mark:
            lines.append(line)
    if mark:
        blocks.append((language, "\n".join(lines)))
    return blocks


def find_code(text: str) -> str | None:
    """The last block of Python, else the whole text if it is a Python program, else None."""
    blocks = fenced_blocks(text[-MAX_CODE_CHARACTERS:] if len(text) > MAX_CODE_CHARACTERS else text)
    tagged = [code for language, code in blocks if language in _PYTHON - {""} and code.strip()]
    plain = [code for language, code in blocks if language == "" and code.strip()]
    if tagged or plain:
        return (tagged or plain)[-1].strip("\n") + "\n"
    return text.strip() + "\n" if not blocks and is_program(text) else None


def is_program(text: str) -> bool:
    """Does all of it parse as Python and define, import or assign something? Prose of one word parses too."""
    if len(text) > MAX_CODE_CHARACTERS:
        return False
    try:
        body = ast.parse(text.strip()).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    kinds = (ast.FunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom, ast.Assign)
    return any(isinstance(statement, kinds) for statement in body)


# --- JSON
class _Nothing:
    pass


NOTHING = _Nothing()


def parse_json(text: str, schema: dict[str, Any] | None = None) -> Any:
    """A JSON value in `text`, fenced, with prose around or with a comma too many; NOTHING when there is none.

    With `schema` the first value that conforms, else the first of its type: a list within an object that was cut short
    is not the answer.
    """
    kinds = {"object": dict, "array": list}
    wanted = kinds.get((schema or {}).get("type", ""), object)
    first: Any = NOTHING
    for value in _values(text):
        if isinstance(value, wanted):
            if schema is None or not problems(value, schema):
                return value
            first = value if first is NOTHING else first
    return first


def _values(text: str) -> Iterator[Any]:
    """What can be read as JSON: the whole text, its fenced blocks, then each object or array within it."""
    blocks = [code for language, code in fenced_blocks(text) if language in ("json", "")]
    for candidate in [text, *blocks]:
        value = _loads(candidate.strip())
        if value is not NOTHING:
            yield value
    decoder = json.JSONDecoder()
    for form in (text, _TRAILING_COMMA.sub(r"\1", text)):
        for match in islice(re.finditer(r"[{\[]", form), 64):
            try:
                value, _ = decoder.raw_decode(form, match.start())
            except (ValueError, RecursionError):
                continue
            yield value


def _loads(text: str) -> Any:
    for attempt in (text, _TRAILING_COMMA.sub(r"\1", text)):
        try:
            return json.loads(attempt)
        except (ValueError, RecursionError):
            continue
    return NOTHING


def json_problems(text: str, schema: dict[str, Any]) -> list[str]:
    """Why `text` is no answer to `schema`, in words for the model that wrote it; empty when it is one."""
    value = parse_json(text, schema)
    if value is NOTHING:
        what = "a JSON object" if schema.get("type") == "object" else "JSON"
        return [f"the answer is not {what}, or was cut short"]
    return problems(value, schema)
