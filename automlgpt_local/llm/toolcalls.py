"""Tool calls as the families write them into text: Hermes and Qwen, Qwen-Coder, GLM, Mistral, Llama, Gemma."""

from __future__ import annotations

import ast
import json
import re
from typing import Any

from automlgpt_local.llm.backend import Call

MAX_CALLS = 32
_XML = re.compile(r"<tool_call>(.*?)(?:</tool_call>|(?=<tool_call>)|\Z)", re.S)
_FUNCTION = re.compile(r"<function=([\w.-]+)>(.*?)(?:</function>|(?=<function=)|\Z)", re.S)
_PARAMETER = re.compile(r"<parameter=([\w.-]+)>\n?(.*?)\n?(?:</parameter>|(?=<parameter=)|\Z)", re.S)
_GLM = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.S)
_GLM_NAME = re.compile(r"\s*([\w.-]+)\s*(?=<arg_key>|\Z)")
_MISTRAL = re.compile(r"\[TOOL_CALLS\]\s*([\w.-]*)\s*(?:\[CALL_ID\]\w*)?\s*(?:\[ARGS\])?")
_GEMMA = re.compile(r"<\|tool_call>call:([\w.-]+)(\{.*?\})(?:<tool_call\|>|\Z)", re.S)
_GEMMA_STRING = re.compile(r"<\|\"\|>(.*?)<\|\"\|>", re.S)
_GEMMA_KEY = re.compile(r"([{,]\s*)([A-Za-z_][\w.-]*)\s*:")
_NAME = re.compile(r"[\w.-]+")


def find_calls(text: str) -> tuple[str, list[Call]]:
    """(text without the calls, calls in order). Text that only looks like a call stays text."""
    for reader in (_read_xml, _read_functions, _read_mistral, _read_gemma, _read_llama):
        rest, calls = reader(text)
        if calls:
            return rest, calls[:MAX_CALLS]
    return text, []


def _read_xml(text: str) -> tuple[str, list[Call]]:
    calls: list[Call] = []

    def take(match: re.Match[str]) -> str:
        found = _inside(match[1])
        calls.extend(found)
        return "" if found else match[0]

    rest = _XML.sub(take, text) if "<tool_call>" in text else text
    return rest.strip() if calls else rest, calls


def _inside(body: str) -> list[Call]:
    if "<function=" in body:
        return _read_functions(body)[1]
    call = _from_json(_load(body))
    if call is not None:
        return [call]
    name = _GLM_NAME.match(body)
    if name:
        return [Call(name[1], {key.strip(): _value(value.strip()) for key, value in _GLM.findall(body)})]
    return []


def _read_functions(text: str) -> tuple[str, list[Call]]:
    if "<function=" not in text:
        return text, []
    calls = [
        Call(name, {key: _value(value) for key, value in _PARAMETER.findall(body)})
        for name, body in _FUNCTION.findall(text)
    ]
    if not calls:
        return text, []
    return _FUNCTION.sub("", text).replace("<tool_call>", "").replace("</tool_call>", "").strip(), calls


def _read_mistral(text: str) -> tuple[str, list[Call]]:
    marks = list(_MISTRAL.finditer(text))
    calls: list[Call] = []
    for mark in marks[:MAX_CALLS]:
        value = _decode_at(text, mark.end())
        if mark[1]:
            if isinstance(value, dict):
                calls.append(Call(mark[1], value))
        else:
            items = value if isinstance(value, list) else [value]
            calls.extend(call for item in items if (call := _from_json(item)) is not None)
    return (text[: marks[0].start()].strip(), calls) if calls else (text, calls)


def _read_gemma(text: str) -> tuple[str, list[Call]]:
    """`<|tool_call>call:name{key:<|"|>text<|"|>,other:1}<tool_call|>`: JSON but for its quotes."""
    calls = []
    for name, body in _GEMMA.findall(text):
        strings: list[str] = []

        def keep(match: re.Match[str], strings: list[str] = strings) -> str:
            strings.append(match[1])
            return f'"{len(strings) - 1}"'

        plain = _GEMMA_KEY.sub(r'\1"\2":', _GEMMA_STRING.sub(keep, body))
        arguments = _load(plain)
        if isinstance(arguments, dict):
            calls.append(Call(name, {key: _restored(value, strings) for key, value in arguments.items()}))
    return (_GEMMA.sub("", text), calls) if calls else (text, [])


def _restored(value: Any, strings: list[str]) -> Any:
    if isinstance(value, str):
        return strings[int(value)] if value.isdigit() and int(value) < len(strings) else value
    if isinstance(value, list):
        return [_restored(item, strings) for item in value]
    if isinstance(value, dict):
        return {key: _restored(item, strings) for key, item in value.items()}
    return value


def _read_llama(text: str) -> tuple[str, list[Call]]:
    """`{"name": ..., "parameters": {...}}` as the whole answer, perhaps after <|python_tag|>."""
    before, tag, after = text.partition("<|python_tag|>")
    body = (after if tag else text).strip()
    if not body.startswith("{"):
        return text, []
    calls = [call for part in body.split(";\n") if (call := _from_json(_load(part))) is not None]
    return (before.strip() if tag else "", calls) if calls else (text, calls)


def _from_json(value: Any) -> Call | None:
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("function"), dict):
        value = value["function"]
    name = value.get("name")
    arguments = value.get("arguments", value.get("parameters"))
    if isinstance(arguments, str):
        arguments = _load(arguments)
    if isinstance(name, str) and _NAME.fullmatch(name) and isinstance(arguments, dict):
        return Call(name, arguments)
    return None


def _load(text: str) -> Any:
    text = text.strip()
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    if len(text) > 20_000:
        return None
    try:  # Python's way of writing the same: single quotes, True, None
        return ast.literal_eval(text)
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return None


def _decode_at(text: str, start: int) -> Any:
    while start < len(text) and text[start].isspace():
        start += 1
    try:
        return json.JSONDecoder().raw_decode(text, start)[0]
    except (ValueError, RecursionError):
        return None


def _value(text: str) -> Any:
    """An argument written as text: JSON where it is JSON, else the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
