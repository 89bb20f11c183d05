"""JSON by fill-in: the braces and names of a flat schema are given, only its values are decided.

A decision over 40 columns has some 400 tokens of which 40 are choices; the rest is fed in batches instead of drawn one
by one. Free strings and numbers are drawn under a grammar of their own; strings are closed when their budget ends, so
the answer is always whole. Schemas with anything else take the grammar path of `decode`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from automlgpt_local.llm.backend import Choice
from automlgpt_local.llm.decode import Generated, TextStream
from automlgpt_local.llm.fillin import Filler, option_paths
from automlgpt_local.llm.grammar import Grammar
from automlgpt_local.llm.sampling import Sampler, SamplingOptions
from automlgpt_local.llm.schema import Schema, find_reference, to_gbnf

_MAX_OPTIONS = 512
_MAX_INTEGERS = 64


@dataclass(frozen=True)
class JsonString:
    """A free JSON string, quotes included."""

    name: str
    min_length: int
    max_length: int


@dataclass(frozen=True)
class JsonNumber:
    """A number within the bounds of its schema."""

    name: str
    schema: Schema


Part = str | Choice | JsonString | JsonNumber


def plan(schema: Schema) -> list[Part] | None:
    """Given text and slots in turn, or None for a schema that is not made of these."""
    parts = _object(schema, schema, "")
    if parts is None:
        return None
    joined: list[Part] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        else:
            joined.append(part)
    return joined


def _object(schema: Schema, root: Schema, path: str) -> list[Part] | None:
    properties = schema.get("properties")
    if schema.get("type", "object") != "object" or not properties or set(properties) != set(schema.get("required", [])):
        return None
    parts: list[Part] = []
    for number, (name, inner) in enumerate(properties.items()):
        value = _value(inner, root, f"{path}/{name}")
        if value is None:
            return None
        parts += [("{" if number == 0 else ", ") + json.dumps(name) + ":", *value]
    return [*parts, "}"]


def _value(schema: Any, root: Schema, path: str) -> list[Part] | None:
    """The space before a value belongs to it, as tokenizers have it."""
    if isinstance(schema, dict) and "$ref" in schema and path.count("/") < 8:
        schema = find_reference(root, schema["$ref"])
    if not isinstance(schema, dict):
        return None
    if "const" in schema:
        return [f" {json.dumps(schema['const'])}"]
    options = _options(schema)
    if options is not None:
        return [Choice(path, tuple(dict.fromkeys(f" {json.dumps(option)}" for option in options)))]
    if schema.get("type") == "string" and "pattern" not in schema:
        return [" ", JsonString(path, schema.get("minLength", 0), schema.get("maxLength", 2000))]
    if schema.get("type") in ("integer", "number"):
        return [" ", JsonNumber(path, schema)]
    if schema.get("type") == "object":
        inner = _object(schema, root, path)
        return None if inner is None else [" ", *inner]
    return None


def _options(schema: Schema) -> Sequence[Any] | None:
    if "enum" in schema:
        return schema["enum"] if 0 < len(schema["enum"]) <= _MAX_OPTIONS else None
    if schema.get("type") == "boolean":
        return [True, False]
    low, high = schema.get("minimum"), schema.get("maximum")
    if schema.get("type") == "integer" and isinstance(low, int) and isinstance(high, int) and low <= high:
        return range(low, high + 1) if high - low < _MAX_INTEGERS else None
    return None


def is_possible(runtime: Any, parts: Sequence[Part]) -> bool:
    """Can the options of every choice be told apart as tokens?"""
    for part, after in zip(parts, [*parts[1:], ""]):
        if isinstance(part, Choice):
            end = runtime.tokenize(after)[:1] if isinstance(after, str) else ()
            try:
                option_paths(part, {option: runtime.tokenize(option) for option in part.options}, end)
            except ValueError:
                return False
    return True


def write(
    runtime: Any,
    sequence: Any,
    parts: Sequence[Part],
    options: SamplingOptions,
    *,
    max_tokens: int,
    on_text: Callable[[str], None],
) -> Generated:
    """The whole JSON text. Raises BackendError."""
    filler = Filler(runtime, sequence, temperature=options.temperature, seed=options.seed)
    sampler = Sampler(options)
    strings = sum(isinstance(part, JsonString) for part in parts)
    fixed = sum(len(runtime.tokenize(part)) for part in parts if isinstance(part, str))
    room = max(8, (max_tokens - fixed) // max(1, strings))  # tokens for each string
    stream = TextStream((), on_text)
    for part, after in zip(parts, [*parts[1:], ""]):
        if isinstance(part, str):
            filler.force(part)
            text = part
        elif isinstance(part, Choice):
            text = filler.choose(part, after if isinstance(after, str) else "")
        elif isinstance(part, JsonNumber):
            text = _number(runtime, sequence, filler, part, sampler)
        else:
            text = _string(runtime, sequence, filler, part, sampler, room)
        stream.add(text.encode())
    stream.finish()
    return Generated(stream.text, filler.tokens, "stop", probabilities=filler.probabilities)


def _number(runtime: Any, sequence: Any, filler: Filler, slot: JsonNumber, sampler: Sampler) -> str:
    """Drawn under a grammar that also wants what stands behind a number, which tells that it is whole."""
    grammar = Grammar(runtime, "root ::= number-here [,}]\n" + to_gbnf(slot.schema).replace("root", "number-here", 1))
    written, count = b"", 0
    try:
        while not written.endswith((b",", b"}")):
            token = sampler.sample(sequence.logits(), grammar.allowed)
            grammar.accept(token)
            filler.append([token])
            written += runtime.piece(token)
            count += 1
    finally:
        grammar.close()
    filler.replace_tail(written[:-1], count)
    return written[:-1].decode()


def _string(runtime: Any, sequence: Any, filler: Filler, slot: JsonString, sampler: Sampler, max_tokens: int) -> str:
    schema = {"type": "string", "minLength": slot.min_length, "maxLength": slot.max_length}
    grammar = Grammar.for_schema(runtime, schema)
    written, count = b"", 0
    try:
        for count in range(1, max_tokens + 1):
            token = sampler.sample(sequence.logits(), grammar.allowed)
            if runtime.ends(token):
                count -= 1
                break
            grammar.accept(token)
            filler.append([token])
            written += runtime.piece(token)
            if len(written) > 1 and _is_whole(written):
                break
    finally:
        grammar.close()
    wanted = written if _is_whole(written) else _closed(written)
    wanted = wanted.decode("utf-8", "ignore").encode()  # tokens of single bytes can spell what is no character
    if wanted != written:
        filler.replace_tail(wanted, count)
    return wanted.decode()


def _is_whole(data: bytes) -> bool:
    try:
        return isinstance(json.loads(data.decode("utf-8", "replace")), str)
    except ValueError:
        return False


def _closed(data: bytes) -> bytes:
    """A string that was cut short, with its quote: half an escape or half a character at its end is dropped."""
    for cut in range(min(8, len(data))):
        candidate = data[: len(data) - cut] + b'"'
        half = candidate.decode("utf-8", "replace").endswith('\ufffd"')
        if _is_whole(candidate) and not (half and cut < 4):
            return candidate
    return b'""'
