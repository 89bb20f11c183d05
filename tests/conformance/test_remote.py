"""The OpenAI protocol over real HTTP: a server in front of a real model, and servers that misbehave."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from automlgpt_local.errors import BackendError, ModelError, TurnTimeoutError
from automlgpt_local.llm.backend import Call, Choice, Message, Text
from automlgpt_local.llm.check import check
from automlgpt_local.llm.local import LocalBackend
from automlgpt_local.llm.open import open_backend
from automlgpt_local.llm.remote import ALLOW_VARIABLE, CONTEXT_VARIABLE, RemoteBackend
from automlgpt_local.llm.thinking import THINKING_VARIABLE

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"kind": {"enum": ["log", "none"]}, "n": {"type": "integer", "minimum": 3, "maximum": 250}},
    "required": ["kind", "n"],
}


class Server(ThreadingHTTPServer):
    """Answers chats with a local model, or with the events of `script`."""

    def __init__(self, backend: LocalBackend | None = None, script: list[Any] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.backend, self.script = backend, script
        self.bodies: list[dict[str, Any]] = []
        self.refuses_schemas = self.refuses_all = False
        self.refuses: tuple[str, ...] = ()  # fields that it does not know
        self.models: list[dict[str, Any]] = [{"id": "tiny"}]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._json(200, {"data": self.server.models})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.bodies.append(body)
        if self.server.refuses_all or (self.server.refuses_schemas and "response_format" in body):
            self._json(400, {"error": {"message": "response_format is not supported"}})
            return
        if unknown := [field for field in self.server.refuses if field in body]:
            self._json(400, {"error": {"message": f"{unknown} are not supported"}})
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        if self.server.backend is not None:
            self._answer(body)
        for event in self.server.script or []:
            if isinstance(event, float):
                time.sleep(event)
            else:
                self._event(event)
        self.wfile.write(b"data: [DONE]\n\n")

    def _answer(self, body: dict[str, Any]) -> None:
        assert self.server.backend is not None
        form = body.get("response_format")
        reply = self.server.backend.chat(
            "coder", [Message(**message) for message in body["messages"]], max_tokens=body["max_tokens"],
            schema=form["json_schema"]["schema"] if form else None, temperature=1.0, seed=body["seed"],
            on_text=lambda text: self._event({"choices": [{"delta": {"content": text}}]}),
        )  # fmt: skip
        usage = {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.output_tokens}
        self._event({"choices": [{"delta": {}, "finish_reason": reply.finish}], "usage": usage})

    def _event(self, event: Any) -> None:
        data = event if isinstance(event, str) else json.dumps(event)
        self.wfile.write(f"data: {data}\n\n".encode())

    def _json(self, status: int, value: Any) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(value).encode())


@pytest.fixture(scope="module", params=["ours", "llama-cpp-python"])
def url(request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server in front of the same model: ours, and llama-cpp-python's own where `llama-cpp-python[server]` is."""
    if request.param == "ours":
        with LocalBackend(model) as backend:
            server = Server(backend)
            yield server.url
            server.shutdown()
        return
    if not all(map(find_spec, ("fastapi", "uvicorn", "sse_starlette", "starlette_context", "pydantic_settings"))):
        pytest.skip("llama-cpp-python[server] is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "llama_cpp.server", "--model", str(model), "--model_alias", "tiny"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--n_ctx", "2048", "--n_threads", "1"]
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("wb") as out, subprocess.Popen(command, stdout=out, stderr=out) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and process.poll() is None and b"Uvicorn running" not in log.read_bytes():
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
        process.kill()


def scripted(*events: Any) -> RemoteBackend:
    return RemoteBackend(Server(script=list(events)).url)


def delta(**fields: Any) -> dict[str, Any]:
    return {"choices": [{"delta": fields}]}


def test_chat_streams(url: str) -> None:
    backend = open_backend(url)
    assert isinstance(backend, RemoteBackend) and backend.info.name == "tiny"
    parts: list[str] = []
    reply = backend.chat("coder", [Message("user", "hi")], max_tokens=20, on_text=parts.append)
    assert "".join(parts) == reply.text
    assert reply.text


def test_schemas_and_fills_are_kept(url: str) -> None:
    backend = RemoteBackend(url)
    schema = {"type": "object", "properties": {"kind": SCHEMA["properties"]["kind"]}, "required": ["kind"]}
    for seed in range(3):
        reply = backend.chat("coder", [Message("user", "hi")], schema=schema, seed=seed, temperature=1.0)
        assert reply.calls[0].arguments["kind"] in ("log", "none")
    template = ["c0 ", Choice("c0", ("log", "none")), "\nc1 ", Choice("c1", ("drop", "keep")), "\n"]
    filled = backend.fill("coder", ["facts"], template)
    assert filled.values["c0"] in ("log", "none") and filled.values["c1"] in ("drop", "keep")
    assert filled.text == f"c0 {filled.values['c0']}\nc1 {filled.values['c1']}\n"


def test_a_prompt_that_is_too_long_is_an_error_or_is_trimmed(url: str) -> None:
    backend = RemoteBackend(url)
    try:
        reply = backend.chat("coder", [Message("user", "hi " * 30_000)], max_tokens=16, timeout_s=60)
        assert reply.output_tokens > 0
    except BackendError as error:
        assert "context" in f"{error.message} {error.hint}"
    assert backend.chat("coder", [Message("user", "hi")], max_tokens=5).finish in ("stop", "length")


def test_the_check_of_models_takes_servers_too(url: str) -> None:
    found = {finding["name"]: finding for finding in check(url)["findings"]}
    assert set(found) == {"loads", "dialect", "context", "choices", "json", "stops"}
    assert found["choices"]["ok"]
    assert '"tool": "' in found["json"]["detail"]  # bounds of numbers are not every server's strength


def test_a_server_without_schemas_is_checked_here() -> None:
    script = [delta(content='```json\n{"kind": "log", "n": 7}\n```')]
    server = Server(script=script)
    server.refuses_schemas = True
    reply = RemoteBackend(server.url).chat("coder", [Message("user", "hi")], schema=SCHEMA)
    assert reply.calls == (Call("json", {"kind": "log", "n": 7}),)
    assert [body.get("response_format", {}).get("type") for body in server.bodies] == [
        "json_schema", "json_object", None
    ]  # fmt: skip


def test_a_model_is_named_behind_the_address_where_there_are_several() -> None:
    server = Server()
    server.models = [{"id": "qwen3:8b"}, {"id": "llama3.2:latest"}]
    assert RemoteBackend(f"{server.url}#qwen3:8b").info.name == "qwen3:8b"
    assert RemoteBackend(f"{server.url}#llama3.2").info.name == "llama3.2:latest"
    with pytest.raises(ModelError, match="has 2 models") as several:
        RemoteBackend(server.url)
    assert f"{server.url}#MODEL" in several.value.hint and "qwen3:8b, llama3.2:latest" in several.value.hint
    with pytest.raises(ModelError, match="has no model 'phi'"):
        RemoteBackend(f"{server.url}#phi")
    server.models = []
    with pytest.raises(ModelError, match="has 0 models") as none:
        RemoteBackend(server.url)
    assert "Load one" in none.value.hint


def test_the_context_is_what_the_user_or_the_server_says(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    for row, tokens in (({}, 4096), ({"max_model_len": 32768}, 32768), ({"meta": {"n_ctx": 8192}}, 8192)):
        server.models = [{"id": "tiny", **row}]
        assert RemoteBackend(server.url).info.context_tokens == tokens
    monkeypatch.setenv(CONTEXT_VARIABLE, "16384")
    assert RemoteBackend(server.url).info.context_tokens == 16384
    monkeypatch.setenv(CONTEXT_VARIABLE, "many")
    with pytest.raises(ModelError, match="no number of tokens"):
        RemoteBackend(server.url)


def test_a_prompt_that_would_be_cut_there_is_trimmed_here() -> None:
    server = Server(script=[delta(content="x")])
    talk = [Message("system", "You decide."), Message("user", "a column, " * 5000 + "which one?")]
    reply = RemoteBackend(server.url).chat("coder", talk, max_tokens=500)
    assert "left out" in reply.trimmed
    system, user = server.bodies[0]["messages"]
    assert system["content"] == "You decide." and user["content"].endswith("which one?")
    assert len(user["content"]) < 4096 * 2.5


def test_usage_is_told_where_the_server_counts() -> None:
    usage = {"usage": {"prompt_tokens": 12, "completion_tokens": 3}}
    reply = scripted(delta(content="x"), usage).chat("coder", [Message("user", "hi")])
    assert (reply.prompt_tokens, reply.output_tokens) == (12, 3)


def test_thought_and_tool_calls_of_the_protocol() -> None:
    pieces = [{"index": 0, "function": {"name": "look", "arguments": '{"col'}}]
    rest = [{"index": 0, "function": {"arguments": 'umn": "age"}'}}]
    backend = scripted(delta(reasoning_content="hm"), delta(tool_calls=pieces), delta(tool_calls=rest))
    reply = backend.chat("reasoner", [Message("user", "hi")])
    assert reply.thought == "hm"
    assert reply.calls == (Call("look", {"column": "age"}),)


def test_what_is_asked_for_fits_into_the_context(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CONTEXT_VARIABLE, "4096")
    server = Server(script=[{"choices": [{"delta": {"content": "x"}}]}])
    backend = RemoteBackend(server.url)
    backend.chat("coder", [Message("user", "y" * 7000)], max_tokens=2500)
    assert backend.count_tokens("y" * 7000) + server.bodies[0]["max_tokens"] <= 4096
    server.shutdown()


def test_reasoning_without_an_answer_is_asked_for_once_more_without_reasoning() -> None:
    server = Server(script=[{"choices": [{"delta": {"reasoning_content": "hm"}, "finish_reason": "length"}]}])
    server.refuses = ("reasoning_effort",)
    backend = RemoteBackend(server.url)
    for _ in range(2):
        assert backend.chat("coder", [Message("user", "x")]).thought == "hm"
    told = [body.get("chat_template_kwargs") for body in server.bodies]
    assert told == [None, *[{"enable_thinking": False}] * 3]  # one of them was refused
    server.shutdown()


def test_the_users_word_on_reasoning_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(THINKING_VARIABLE, "off")
    server = Server(script=[{"choices": [{"delta": {"content": "x"}}]}])
    server.refuses = ("chat_template_kwargs",)
    backend = RemoteBackend(server.url)
    for _ in range(2):
        assert backend.chat("coder", [Message("user", "x")]).text == "x"
    assert [body.get("reasoning_effort") for body in server.bodies] == ["none", None, None, None]
    server.shutdown()


def test_half_a_surrogate_pair_is_no_text() -> None:
    answer = json.dumps({"kind": "log", "n": 5, "thought": "?"}).replace("?", "\\ud83d")
    schema = {**SCHEMA, "properties": {**SCHEMA["properties"], "thought": {"type": "string"}}}
    server = Server(script=[{"choices": [{"delta": {"content": answer}}]}])
    reply = RemoteBackend(server.url).chat("coder", [Message("user", "x")], schema=schema)
    assert reply.calls[0].arguments["thought"] == "\ufffd"
    server.script = [{"choices": [{"delta": {"content": part}}]} for part in ("print('\ud83d", "\ude00')")]
    assert RemoteBackend(server.url).chat("coder", [Message("user", "x")]).text == "print('😀')"
    server.shutdown()


def test_thinking_in_the_text_is_taken_out() -> None:
    reply = scripted(delta(content="<think>hm</th"), delta(content="ink>done")).chat("r", [Message("user", "hi")])
    assert (reply.thought, reply.text) == ("hm", "done")


def test_silence_and_broken_streams_are_backend_errors() -> None:
    with pytest.raises(TurnTimeoutError):
        scripted(5.0).chat("coder", [Message("user", "hi")], timeout_s=0.3)
    late = scripted(delta(content="so far"), 5.0).chat("coder", [Message("user", "hi")], timeout_s=0.3)
    assert (late.text, late.finish) == ("so far", "timeout")
    with pytest.raises(BackendError, match="before it began"):
        scripted().chat("coder", [Message("user", "hi")])
    with pytest.raises(BackendError, match="too hot"):
        scripted({"error": {"message": "too hot"}}).chat("coder", [Message("user", "hi")])
    with pytest.raises(BackendError, match="protocol"):
        scripted("no json").chat("coder", [Message("user", "hi")])
    with pytest.raises(BackendError, match="fill the form"):
        scripted(delta(content="I would rather not.")).fill("coder", [], ["x", Text("t", "\n", 5)])


@pytest.mark.parametrize(
    "event",
    [
        "[" * 100_000,
        [1, 2],
        "5",
        {"choices": [7]},
        {"choices": {"delta": 1}},
        delta(content={"a": 1}),
        delta(content=["x"]),
        delta(reasoning_content=5),
        delta(tool_calls=[{"index": "x"}]),
        delta(tool_calls=[{"function": {"name": "f", "arguments": {"a": 1}}}]),
        {"choices": [{"delta": {"content": "x"}}], "usage": [1]},
        {"choices": [{"delta": {"content": "x"}}], "usage": {"prompt_tokens": "many"}},
    ],
    ids=lambda event: str(event)[:40],
)
def test_answers_that_keep_to_no_protocol_are_backend_errors(event: Any) -> None:
    with pytest.raises(BackendError, match="protocol"):
        scripted(event).chat("coder", [Message("user", "hi")])


class RawServer:
    """Says `first` to whoever connects, then `more` every 50 ms until the other side has gone; counts the callers."""

    def __init__(self, first: bytes, more: bytes = b"") -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._first, self._more = first, more
        self.callers = 0
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._listener.getsockname()[1])

    def _serve(self) -> None:
        while True:
            link, _ = self._listener.accept()
            self.callers += 1
            threading.Thread(target=self._answer, args=(link,), daemon=True).start()

    def _answer(self, link: socket.socket) -> None:
        with link, suppress(OSError):
            link.recv(65536)
            link.sendall(self._first)
            while self._more:
                link.sendall(self._more)
                time.sleep(0.05)


class SilentServer(RawServer):
    """Keeps the connection open behind `first`, and says `more` every 50 ms where there is any."""

    def _answer(self, link: socket.socket) -> None:
        with link, suppress(OSError):
            link.recv(65536)
            link.sendall(self._first)
            while True:
                link.sendall(self._more)
                time.sleep(0.05)


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"", b"x"),
        (b"HTTP/1.1 200 OK\r\n", b"x"),
        (STREAM, b"x"),
        (STREAM + b"data: {", b'"a":'),
        (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[", b" "),
        (b"HTTP/1.1 500 Sorry\r\n\r\n", b"x"),
    ],
    ids=["no status line", "headers", "a line", "an event", "one document", "an error"],
)
def test_a_server_that_drips_is_cut_at_the_deadline(first: bytes, more: bytes) -> None:
    server = RawServer(first, more)
    started = time.monotonic()
    with pytest.raises(BackendError, match=r"in time|answered 500"):
        RemoteBackend(f"http://127.0.0.1:{server.port}", model="m").chat("r", [Message("user", "hi")], timeout_s=0.7)
    assert time.monotonic() - started < 3


@pytest.mark.parametrize(
    ("first", "more"),
    [
        (b"", b""),
        (STREAM, b": still here\n"),
        (STREAM + b'data: {"choices": [{"delta": {"content": "a"}}]}\n', b": \n"),
    ],
    ids=["silence", "no word yet", "in the middle"],
)
def test_closing_cuts_a_turn_that_waits(first: bytes, more: bytes) -> None:
    backend = RemoteBackend(f"http://127.0.0.1:{SilentServer(first, more).port}", model="m")
    started = time.monotonic()
    threading.Timer(0.3, backend.close).start()
    with pytest.raises(BackendError, match="closed here"):
        backend.chat("r", [Message("user", "hi")], timeout_s=60)
    with pytest.raises(BackendError, match="closed here"):
        backend.chat("r", [Message("user", "once more")], timeout_s=60)
    assert time.monotonic() - started < 20


@pytest.mark.parametrize(
    "answer",
    [b"", b"SSH-2.0-OpenSSH_9.6\r\n", b"\x16\x03\x01\x00", b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 500 + b"\r\n"],
)
def test_what_is_no_model_server_is_told(answer: bytes) -> None:
    with pytest.raises(ModelError, match="No model server"):
        RemoteBackend(f"http://127.0.0.1:{RawServer(answer).port}")


def test_no_redirection_and_no_proxy_leads_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = RawServer(STREAM)
    away = f"http://127.0.0.1:{elsewhere.port}/v1/chat/completions"
    here = RawServer(f"HTTP/1.1 307 Away\r\nLocation: {away}\r\nContent-Length: 0\r\n\r\n".encode())
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{elsewhere.port}")
    with pytest.raises(BackendError, match="307"):
        RemoteBackend(f"http://127.0.0.1:{here.port}", model="m").chat("r", [Message("user", "hi")])
    assert (here.callers, elsewhere.callers) == (1, 0)


def test_a_server_that_was_broken_once_is_asked_under_the_schema_again() -> None:
    server = Server(script=[delta(content='{"kind": "log", "n": 7}')])
    backend = RemoteBackend(server.url)
    server.refuses_all = True
    with pytest.raises(BackendError, match="400"):
        backend.chat("coder", [Message("user", "hi")], schema=SCHEMA)
    server.refuses_all = False
    assert backend.chat("coder", [Message("user", "hi")], schema=SCHEMA).calls
    assert server.bodies[-1]["response_format"]["type"] == "json_schema"


def test_other_machines_are_refused_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelError, match="not this machine"):
        RemoteBackend("http://10.1.2.3:8080")
    with pytest.raises(ModelError, match="No model server"):
        RemoteBackend("http://127.0.0.1:9")
    for url in ("http://", "http://[::1:8080/v1"):
        with pytest.raises(ModelError, match="no address"):
            RemoteBackend(url)
    for url in ("http://127.0.0.1@evil.example/", "http://evil.example#@127.0.0.1/", "http://127.0.0.1.evil.example/"):
        with pytest.raises(ModelError, match="not this machine"):
            RemoteBackend(url)
    monkeypatch.setenv(ALLOW_VARIABLE, "192.0.2.77")
    assert RemoteBackend("http://192.0.2.77:8080", model="named").info.name == "named"
