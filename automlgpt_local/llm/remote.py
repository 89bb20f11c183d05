"""A server on this machine that speaks the OpenAI protocol: llama-server, Ollama, vLLM, LM Studio.

Loopback addresses only, and hosts that the user allowed by name (`AUTOMLGPT_ALLOW_HOSTS`). The server keeps its own
cache; a fill is asked for as one answer under a JSON schema, so probabilities of choices stay unknown. Tokens are
estimated, and a prompt that would not fit is trimmed here: Ollama, for one, cuts its beginning without a word.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Any

from automlgpt_local import offline
from automlgpt_local.errors import BackendError, ModelError, TurnTimeoutError
from automlgpt_local.llm.backend import BackendInfo, Call, Choice, Filled, Message, Reply, Template
from automlgpt_local.llm.reply import parse_reply, whole
from automlgpt_local.llm.scripted import filled
from automlgpt_local.llm.template import Turn
from automlgpt_local.llm.thinking import thinking_of_the_user
from automlgpt_local.llm.trim import trim

ALLOW_VARIABLE = "AUTOMLGPT_ALLOW_HOSTS"
KEY_VARIABLE = "AUTOMLGPT_SERVER_KEY"
CONTEXT_VARIABLE = "AUTOMLGPT_SERVER_CONTEXT"
_UNTOLD_CONTEXT_TOKENS = 4096  # what Ollama and LM Studio start a model with; neither tells it by this protocol
_MAX_LINE_BYTES = 16 * 2**20
_MAX_ANSWER_BYTES = 64 * 2**20
_LOOK_S = 10.0  # for the first look at the server
# What a connection, or an answer that keeps to no protocol, can raise.
_BROKEN = (OSError, ValueError, TypeError, LookupError, AttributeError, RecursionError, http.client.HTTPException)
_CLOSED = "the connection to the model server was closed here"
_TOKENS_PER_TURN = 8  # the marks that a chat template puts around a message
_BYTES_PER_TOKEN = 2.5  # of prompts about tables, where most digits are a token of their own


# How servers want to be told a schema: OpenAI's form (llama-server, vLLM, Ollama, LM Studio), llama-cpp-python's.
_SCHEMA_FORMS: tuple[Callable[[dict[str, Any]], dict[str, Any]], ...] = (
    lambda schema: {"type": "json_schema", "json_schema": {"name": "answer", "strict": True, "schema": schema}},
    lambda schema: {"type": "json_object", "schema": schema},
)

# How they want to be told whether to reason first: by the chat template's variable (llama-server, vLLM), Ollama's name.
_THINKING_FORMS: tuple[Callable[[bool], dict[str, Any]], ...] = (
    lambda on: {"chat_template_kwargs": {"enable_thinking": on}, "reasoning_effort": "medium" if on else "none"},
    lambda on: {"chat_template_kwargs": {"enable_thinking": on}},
)


class RemoteBackend:
    """`url`: `http://127.0.0.1:11434/v1`, or with `#MODEL` behind it where the server has several models.

    `model`: taken as it is, without a look at the server. Raises ModelError for an address that is not allowed, or
    where nothing answers, or not with this model.
    """

    def __init__(self, url: str, *, model: str = "") -> None:
        parts = None
        with suppress(ValueError):  # a bracket that is not closed
            parts = urllib.parse.urlsplit(url)
        allowed = [host.strip() for host in os.environ.get(ALLOW_VARIABLE, "").split(",") if host.strip()]
        offline.allow(allowed)
        if parts is None or parts.scheme not in ("http", "https") or not parts.hostname:
            raise ModelError(f"{url!r} is no address of a server.", "Write it as http://127.0.0.1:8080/v1.")
        if not offline.is_local(parts.hostname):
            raise ModelError(
                f"{parts.hostname} is not this machine; nothing is sent beyond it.",
                f"To use a server of yours nevertheless: {ALLOW_VARIABLE}={parts.hostname}",
            )
        self._parts = parts
        self._closed = threading.Event()
        self._link: socket.socket | None = None  # of the request that runs
        path = parts.path.rstrip("/")
        self._base = path if path.endswith("/v1") else path + "/v1"
        self._forms = list(_SCHEMA_FORMS)  # those that this server did not refuse
        self._thinking = thinking_of_the_user()
        self._thinking_forms = list(_THINKING_FORMS)
        self._model, told_tokens = (model, None) if model else self._look(urllib.parse.unquote(parts.fragment))
        self._context_tokens = _context_of_the_user() or told_tokens or _UNTOLD_CONTEXT_TOKENS

    @property
    def info(self) -> BackendInfo:
        details = {"server": self._parts.netloc}
        return BackendInfo(self._model, "full", self._context_tokens, details=details)

    # --- Backend
    def chat(
        self, agent: str, messages: Sequence[Message], *, schema: dict[str, Any] | None = None,
        max_tokens: int = 2048, temperature: float = 0.2, seed: int = 0, timeout_s: float = 300.0,
        on_text: Callable[[str], None] | None = None,
    ) -> Reply:  # fmt: skip
        started = time.monotonic()
        room = self._context_tokens - min(max_tokens, self._context_tokens // 4)
        kept, trimmed = trim([vars(message) for message in messages], lambda talk: self._count(talk) <= room)
        body: dict[str, Any] = {
            "model": self._model, "messages": kept, "stream": True,
            "stream_options": {"include_usage": True}, "temperature": temperature, "seed": seed,
            "max_tokens": max(1, min(max_tokens, self._context_tokens - self._count(kept))),
        }  # fmt: skip
        answer = self._answered(body, schema, started + timeout_s, on_text)
        if answer["finish"] == "length" and answer["thought"] and not answer["text"].strip() and self._thinking is None:
            self._thinking = False  # its reasoning leaves no room for an answer
            answer = self._answered(body, schema, started + timeout_s, on_text)
        reply = parse_reply({**answer, "trimmed": trimmed}, schema, seconds=time.monotonic() - started)
        if answer["calls"] and not reply.calls and schema is None:
            reply = replace(reply, calls=tuple(answer["calls"]))
        if answer["thought"] and not reply.thought:
            reply = replace(reply, thought=whole(answer["thought"]))
        return reply

    def fill(
        self, agent: str, transcript: Sequence[str], template: Template, *,
        temperature: float = 0.0, seed: int = 0, timeout_s: float = 60.0,
    ) -> Filled:  # fmt: skip
        started = time.monotonic()
        slots = [part for part in template if not isinstance(part, str)]
        schema = {
            "type": "object",
            "properties": {
                slot.name: {"enum": list(slot.options)} if isinstance(slot, Choice) else {"type": "string"}
                for slot in slots
            },
            "required": [slot.name for slot in slots],
            "additionalProperties": False,
        }
        form = "".join(part if isinstance(part, str) else f"<{part.name}>" for part in template)
        prompt = (
            "".join(transcript)
            + f"\n\nFill in what stands in angle brackets:\n{form}\n\n"
            + f"Answer with one JSON object that fits this schema: {json.dumps(schema)}"
        )
        reply = self.chat(
            agent, [Message("user", prompt)], schema=schema, temperature=temperature, seed=seed, timeout_s=timeout_s,
            max_tokens=64 + sum(24 if isinstance(slot, Choice) else slot.max_tokens for slot in slots),
        )  # fmt: skip
        if not reply.calls:
            raise BackendError("the server's answer does not fill the form")
        values = dict(reply.calls[0].arguments)
        for slot in slots:
            if not isinstance(slot, Choice) and slot.stop:
                values[slot.name] = values[slot.name].split(slot.stop, 1)[0]
        done = filled(template, values)
        return Filled(**{**vars(done), "evaluated_tokens": reply.prompt_tokens, "seconds": time.monotonic() - started})

    def count_tokens(self, text: str) -> int:
        """An estimate: the protocol has no call for it."""
        return int(len(text.encode("utf-8", "replace")) / _BYTES_PER_TOKEN) + 1

    def _count(self, talk: Sequence[Turn]) -> int:
        return sum(self.count_tokens(message["content"]) + _TOKENS_PER_TURN for message in talk)

    def close(self) -> None:
        """Cuts the turn that runs in another thread, however silent its server is. No turn can follow."""
        self._closed.set()
        link = self._link
        if link is not None:
            _cut(link)

    # --- the protocol
    def _answered(
        self,
        body: dict[str, Any],
        schema: dict[str, Any] | None,
        deadline: float,
        on_text: Callable[[str], None] | None,
    ) -> dict[str, Any]:
        """With a schema under the first form of constraint that this server takes, or under none: the answer is checked
        here in any case."""
        if schema is not None:
            for number, form in enumerate(self._forms):
                try:
                    answer = self._stream({**body, "response_format": form(schema)}, deadline, on_text)
                except _RefusedError:
                    continue
                del self._forms[:number]
                return answer
        answer = self._stream(body, deadline, on_text)
        if schema is not None:
            self._forms.clear()
        return answer

    def _stream(self, body: dict[str, Any], deadline: float, on_text: Callable[[str], None] | None) -> dict[str, Any]:
        """With the wish about reasoning in the first form that this server takes."""
        if self._thinking is not None:
            for number, form in enumerate(self._thinking_forms):
                try:
                    answer = self._streamed({**body, **form(self._thinking)}, deadline, on_text)
                except _RefusedError:
                    continue
                del self._thinking_forms[:number]
                return answer
        answer = self._streamed(body, deadline, on_text)
        if self._thinking is not None:
            self._thinking_forms.clear()
        return answer

    def _look(self, wanted: str) -> tuple[str, int | None]:
        """(the model to ask for, its context in tokens where llama-server or vLLM tells it)."""
        address = self._parts._replace(fragment="").geturl()
        try:
            with self._request("GET", "/models", None, time.monotonic() + _LOOK_S) as response:
                rows = json.loads(response.read(_MAX_LINE_BYTES))["data"]
            contexts = {
                str(row["id"]): row.get("max_model_len") or (row.get("meta") or {}).get("n_ctx") for row in rows
            }
        except (*_BROKEN, BackendError) as error:
            raise ModelError(
                f"No model server answers at {address}: {error}",
                "Start it first, for example: llama-server -m MODEL.gguf --port 8080",
            ) from error
        if f"{wanted}:latest" in contexts:  # Ollama's name for a model without a tag
            wanted += ":latest"
        name = wanted or (next(iter(contexts)) if len(contexts) == 1 else "")
        if name not in contexts:
            problem = f"has no model {wanted!r}" if wanted else f"has {len(contexts)} models"
            hint = f"Write {address}#MODEL, with one of: {', '.join(list(contexts)[:20])}."
            raise ModelError(f"The server at {address} {problem}.", hint if contexts else "Load one there first.")
        told = contexts[name]
        return name, told if isinstance(told, int) and told > 0 else None

    @contextmanager
    def _request(self, method: str, path: str, body: Any, deadline: float) -> Iterator[http.client.HTTPResponse]:
        """The connection is cut at `deadline`, however slowly the other side writes; that raises TimeoutError.

        No proxy of the environment is asked, and no redirection is followed.
        """
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        assert self._parts.hostname is not None
        left_s = max(0.1, deadline - time.monotonic())
        connection = kind(self._parts.hostname, self._parts.port, timeout=left_s)
        connection.connect()
        late, link = threading.Event(), connection.sock
        self._link = link

        def end() -> None:
            late.set()
            _cut(link)

        watch = threading.Timer(left_s, end)
        watch.daemon = True
        watch.start()
        headers = {"Content-Type": "application/json", "Connection": "close"}
        if key := os.environ.get(KEY_VARIABLE):
            headers["Authorization"] = f"Bearer {key}"
        try:
            if self._closed.is_set():
                raise BackendError(_CLOSED)
            connection.request(method, self._base + path, json.dumps(body) if body is not None else None, headers)
            response = connection.getresponse()
            if response.status >= 300:
                words = response.read(2000).decode("utf-8", "replace")
                problem = _RefusedError if response.status in (400, 422, 500, 501) else BackendError
                raise problem(f"the server answered {response.status}: {words[:300]}")
            yield response
        except _BROKEN:
            if not late.is_set() and not self._closed.is_set():
                raise
        finally:
            self._link = None
            watch.cancel()
            link.close()
            connection.close()
        if self._closed.is_set():
            raise BackendError(_CLOSED)
        if late.is_set():
            raise TimeoutError

    def _streamed(self, body: dict[str, Any], deadline: float, on_text: Callable[[str], None] | None) -> dict[str, Any]:
        texts: list[str] = []
        thoughts: list[str] = []
        calls: dict[int, dict[str, str]] = {}
        finish, usage, answered = "stop", dict[str, Any](), False
        try:
            with self._request("POST", "/chat/completions", body, deadline) as response:
                for event in _events(response):
                    if event.get("error"):
                        raise BackendError(f"the server answered: {json.dumps(event['error'])[:300]}")
                    answered = answered or bool(event.get("choices"))
                    usage = event.get("usage") or usage
                    for choice in event.get("choices") or []:
                        delta = choice.get("delta") or choice.get("message") or {}
                        if text := _text(delta, "content"):
                            texts.append(text)
                            if on_text is not None:
                                on_text(text)
                        thoughts.append(_text(delta, "reasoning_content") or _text(delta, "reasoning"))
                        _collect_calls(calls, delta.get("tool_calls") or [])
                        finish = choice.get("finish_reason") or finish
            counts = {name: int(usage.get(name) or 0) for name in ("prompt_tokens", "completion_tokens")}
        except TimeoutError as error:
            if not texts:
                raise TurnTimeoutError("the model server did not answer in time") from error
            finish, counts = "timeout", {"prompt_tokens": 0, "completion_tokens": 0}
        except (OSError, http.client.HTTPException) as error:
            raise BackendError(f"the connection to the model server broke: {error}") from error
        except _BROKEN as error:
            raise BackendError(f"the model server does not keep to the protocol: {error}") from error
        if not answered:
            raise BackendError(
                "the server ended its answer before it began",
                "Its log says why; often the prompt is longer than the context that it was started with.",
            )
        return {
            "text": "".join(texts), "thought": "".join(thoughts), "calls": _parsed(calls), "finish": finish,
            "prompt_tokens": counts["prompt_tokens"], "output_tokens": counts["completion_tokens"],
            "evaluated_tokens": counts["prompt_tokens"],
        }  # fmt: skip


def _cut(link: socket.socket) -> None:
    """Wakes the thread that reads from it."""
    with suppress(OSError):
        link.shutdown(socket.SHUT_RDWR)


def _context_of_the_user() -> int | None:
    value = os.environ.get(CONTEXT_VARIABLE, "")
    if not value:
        return None
    if not value.isdigit() or int(value) < 512:
        raise ModelError(f"{CONTEXT_VARIABLE}={value!r} is no number of tokens.", "Write a whole number, 512 or more.")
    return int(value)


class _RefusedError(BackendError):
    """The server does not take this request as it is."""


def _events(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    """The JSON of each server-sent event, or the whole answer of a server that does not stream."""
    if "event-stream" not in (response.getheader("Content-Type") or ""):
        yield json.loads(response.read(_MAX_LINE_BYTES))
        return
    size = 0
    while line := response.readline(_MAX_LINE_BYTES):
        size += len(line)
        if size > _MAX_ANSWER_BYTES:
            raise ValueError("its answer has no end")
        if line.startswith(b"data:"):
            data = line[5:].strip()
            if data == b"[DONE]":
                return
            yield json.loads(data)


def _text(delta: dict[str, Any], key: str) -> str:
    value = delta.get(key) or ""
    if not isinstance(value, str):
        raise TypeError(f"{key} is no text")
    return value


def _collect_calls(calls: dict[int, dict[str, str]], parts: list[dict[str, Any]]) -> None:
    for part in parts:
        call = calls.setdefault(int(part.get("index", len(calls))), {"name": "", "arguments": ""})
        function = part.get("function") or {}
        call["name"] += function.get("name") or ""
        call["arguments"] += function.get("arguments") or ""


def _parsed(calls: dict[int, dict[str, str]]) -> list[Call]:
    found = []
    for _, call in sorted(calls.items()):
        try:
            arguments = json.loads(call["arguments"] or "{}")
        except (ValueError, RecursionError):
            continue
        if call["name"] and isinstance(arguments, dict):
            found.append(Call(whole(call["name"]), whole(arguments)))
    return found
