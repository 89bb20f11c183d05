"""What goes wrong around a model: cancelled, killed, cut short, hostile. Each ends soon, with words."""

from __future__ import annotations

import os
import signal
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from llm_fixtures import write_adapter, write_model

from automlgpt_local.errors import BackendError, ModelError, TurnTimeoutError, WorkerDiedError
from automlgpt_local.llm.backend import Choice, Message, Text
from automlgpt_local.llm.gguf_header import read_header
from automlgpt_local.llm.local import LocalBackend

SLOT = Choice("x", ("log", "none"))
LONG = ["the table has many columns and rows. " * 350]


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Slow enough to be caught in the middle: some 10 ms a token, seconds for a long prompt."""
    path = tmp_path_factory.mktemp("models") / "wide.gguf"
    return write_model(path, width=1024, layers=8, heads=8, context=16384, scale=0.02)


def later(seconds: float, action: Callable[[], object]) -> threading.Timer:
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_cancelling_takes_less_than_a_fifth_of_a_second(wide: Path, phase: str) -> None:
    """The best of a few tries: what counts is the worker, not what else the machine does."""
    transcript = LONG if phase == "prefill" else ["the"]
    taken_s: list[float] = []
    with LocalBackend(wide, context_tokens=16384) as backend:
        pid = backend.info and backend.pid
        while len(taken_s) < 4 and not any(seconds < 0.2 for seconds in taken_s):
            cancelled_at: list[float] = []

            def cancel(at: list[float] = cancelled_at) -> None:
                at.append(time.monotonic())
                backend.cancel()

            later(0.6, cancel)
            with pytest.raises(BackendError, match="cancelled"):
                backend.fill("coder", transcript, [Text("t", "\0\0", 4000)], temperature=1.0)
            taken_s.append(time.monotonic() - cancelled_at[0])
        assert min(taken_s) < 0.2
        assert backend.fill("coder", ["the"], ["x", SLOT]).values["x"] in SLOT.options
        assert backend.pid == pid


def test_a_cancelled_chat_returns_what_it_has(wide: Path) -> None:
    with LocalBackend(wide) as backend:
        assert backend.info
        reply = backend.chat(
            "coder", [Message("user", "hi")], temperature=1.0, max_tokens=4000, on_text=lambda _: backend.cancel()
        )
        assert reply.finish == "timeout" and reply.output_tokens > 0


@pytest.mark.parametrize("phase", ["prefill", "decode"])
def test_kill_9_is_a_clear_error_and_the_next_turn_works(wide: Path, phase: str) -> None:
    with LocalBackend(wide, context_tokens=16384) as backend:
        pid = backend.info and backend.pid
        assert pid
        later(0.4, lambda: os.kill(pid, signal.SIGKILL))
        with pytest.raises(WorkerDiedError, match="SIGKILL"):
            backend.fill("coder", LONG if phase == "prefill" else ["the"], [Text("t", "\0\0", 4000)], temperature=1.0)
        assert backend.fill("coder", ["the"], ["x", SLOT]).values["x"] in SLOT.options
        assert backend.pid != pid


def test_a_worker_ends_with_its_parent(tmp_path: Path) -> None:
    model = write_model(tmp_path / "tiny.gguf")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        backend = LocalBackend(model)
        os.write(writing, str(backend.info and backend.pid).encode())
        time.sleep(30)
        os._exit(0)
    worker = int(os.read(reading, 32))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline and _alive(worker):
        time.sleep(0.02)
    assert not _alive(worker)
    os.close(reading)
    os.close(writing)


def _alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


REASONS = {  # of a file that is no model -> what must be said about it
    "empty": "failed to read",
    "four bytes": "failed to read",
    "not a model": "expected 'GGUF'",
    "cut in its header": "failed to read",
    "cut in its tensors": "not within the file bounds",
    "a version of the future": "version 99",
    "a billion tensors": "exceeds maximum",
    "no tensors": "'token_embd.weight' not found",
    "a key of many bytes": "exceeds maximum",
    "zeros for weights": "is empty",
    "an unknown architecture": "unknown model architecture: 'strange'",
    "heads that do not divide": "wrong shape",
    "weights that are no numbers": "invalid data",
}
HEADERS = ("empty", "four bytes", "not a model", "cut in its header", "a billion tensors", "a key of many bytes")


def hostile_files(folder: Path, model: Path) -> dict[str, Path]:
    whole = model.read_bytes()
    files = {}
    for name, data in {
        "empty": b"",
        "four bytes": b"GGUF",
        "not a model": b"PK\x03\x04" + whole[4:],
        "cut in its header": whole[:900],
        "cut in its tensors": whole[: len(whole) * 2 // 3],
        "a version of the future": whole[:4] + struct.pack("<I", 99) + whole[8:],
        "a billion tensors": whole[:8] + struct.pack("<Q", 10**9) + whole[16:],
        "no tensors": whole[:8] + struct.pack("<Q", 0) + whole[16:],
        "a key of many bytes": whole[:24] + struct.pack("<Q", 2**62) + whole[32:],
        "zeros for weights": whole[:2000] + bytes(len(whole) - 2000),
    }.items():
        files[name] = folder / f"{name.replace(' ', '-')}.gguf"
        files[name].write_bytes(data)
    files["an unknown architecture"] = write_model(folder / "strange.gguf", architecture="strange")
    files["heads that do not divide"] = write_model(folder / "heads.gguf", width=60, heads=7)
    files["weights that are no numbers"] = write_model(folder / "nan.gguf", nan=True)
    return files


def test_hostile_files_are_clear_errors(tmp_path: Path, model: Path) -> None:
    for name, file in hostile_files(tmp_path, model).items():
        with LocalBackend(file) as backend, pytest.raises(ModelError) as caught:
            backend.fill("coder", ["the"], ["x", SLOT])
        assert REASONS[name] in caught.value.message, name
        assert caught.value.hint, name


def test_adapters_that_do_not_fit_are_clear_errors(tmp_path: Path, model: Path) -> None:
    narrow = write_adapter(tmp_path / "narrow.gguf", width=32)
    junk = tmp_path / "junk.gguf"
    junk.write_bytes(b"x" * 5000)
    for file, reason in ((narrow, "wrong base model"), (model, "'adapter'"), (junk, "magic")):
        with LocalBackend(model, adapters={"coder": file}) as backend, pytest.raises(ModelError) as caught:
            backend.fill("coder", ["the"], ["x", SLOT])
        assert reason in caught.value.message and "base model" in caught.value.hint


def test_a_worker_that_hangs_is_ended_and_replaced(model: Path) -> None:
    with LocalBackend(model) as backend:
        pid = backend.info and backend.pid
        assert pid
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(TurnTimeoutError, match="was ended"):
            backend.fill("coder", ["the"], ["x", SLOT], timeout_s=0.3)
        assert backend.fill("coder", ["the"], ["x", SLOT]).values["x"] in SLOT.options
        assert backend.pid != pid


def test_headers_of_hostile_files_are_read_with_bounds(tmp_path: Path, model: Path) -> None:
    assert read_header(model).architecture == "llama"
    for name, file in hostile_files(tmp_path, model).items():
        if name in HEADERS:
            with pytest.raises(ModelError, match="no usable GGUF"):
                read_header(file)


@pytest.mark.parametrize(
    "template",
    [
        "{{ ''.__class__.__mro__ }}{{ cycler.__init__.__globals__.os.system('id') }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for %}",
        "{{ raise_exception('no') }}",
        "{{ 'a' * 99999999999 }}",
        "{{ '%99999999999d' | format(1) }}",
        "{{ 'abc'.ljust(99999999999) }}",
        "{% set n = namespace(s='a') %}{% for i in range(60) %}{% set n.s = n.s ~ n.s %}{% endfor %}{{ n.s }}",
        "{% set n = namespace(s=[1]) %}{% for i in range(60) %}{% set n.s = n.s + n.s %}{% endfor %}",
        "{% macro m(x) %}{{ m([x, x] | join) }}{% endmacro %}{{ m('aaaaaaaa') }}",
    ],
)
def test_hostile_templates_end_in_words_and_leave_the_worker_usable(tmp_path: Path, template: str) -> None:
    model = write_model(tmp_path / "hostile.gguf", chat_template=template)
    with LocalBackend(model) as backend:
        with pytest.raises((BackendError, ModelError)):
            backend.chat("coder", [Message("user", "hi")], timeout_s=6.0)
        assert backend.fill("coder", ["the"], ["x", SLOT]).values["x"] in SLOT.options
        assert backend.stats()["peak_mib"] < 1500
