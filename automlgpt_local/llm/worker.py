"""The process that holds the model: the only one that loads llama.cpp. Started by `local.LocalBackend`.

A request is a frame {"id", "op", ...}; the answer is a frame {"id", "ok": ...} or {"id", "error": ...}, a chat sends
{"id", "text": ...} before it. {"op": "cancel", "id"} stops the request with that id in the middle of a computation.
It ends when its parent does: at end of file, when the parent's id changes, or by PDEATHSIG.
"""

from __future__ import annotations

import ctypes
import os
import queue
import select
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any, BinaryIO

from automlgpt_local.errors import AutoMLGPTError, BackendError, ModelError
from automlgpt_local.llm.sampling import NoNumbersError
from automlgpt_local.llm.sequence import CancelledError
from automlgpt_local.llm.wire import WireError, read_frame, write_frame

_PARENT_CHECK_S = 2.0
_PR_SET_PDEATHSIG = 1
_ALL_LAYERS = 999


def peak_rss_kib() -> int:
    """Peak memory of this program. `ru_maxrss` would count what the parent had when it forked; VmHWM begins at exec."""
    import resource

    try:
        with open("/proc/self/status", encoding="ascii") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmHWM:"))
    except (OSError, StopIteration):  # behind walls without /proc
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


class Inbox:
    """Reads frames in a thread of its own, so that a cancellation overtakes the request it cancels."""

    def __init__(self, stream: BinaryIO, parent: int) -> None:
        self._stream = stream
        self._parent = parent
        self._requests: queue.Queue[dict[str, Any]] = queue.Queue()
        self._lock = threading.Lock()
        self._current: int | None = None
        self._cancelled: set[int] = set()
        self._abort: Any = None
        threading.Thread(target=self._read, daemon=True).start()

    def next(self) -> dict[str, Any]:
        return self._requests.get()

    def set_abort(self, abort: Any) -> None:
        self._abort = abort

    def begin(self, request: int) -> None:
        with self._lock:
            self._current = request
            if self._abort is not None:
                self._abort.clear()
                if request in self._cancelled:
                    self._abort.set()
            self._cancelled.clear()

    def end(self) -> None:
        with self._lock:
            self._current = None

    def _cancel(self, request: int) -> None:
        with self._lock:
            if request == self._current and self._abort is not None:
                self._abort.set()
            else:
                self._cancelled.add(request)

    def _read(self) -> None:
        try:
            while True:
                while not select.select([self._stream], [], [], _PARENT_CHECK_S)[0]:
                    if os.getppid() != self._parent:
                        os._exit(0)
                message = read_frame(self._stream)
                if message.get("op") == "cancel":
                    self._cancel(message["id"])
                else:
                    self._requests.put(message)
        except (WireError, OSError):
            os._exit(0)


class Worker:
    def __init__(self, inbox: Inbox, out: BinaryIO) -> None:
        self._inbox = inbox
        self._out = out
        self._runtime: Any = None
        self._chat: Any = None

    def serve(self) -> None:
        while True:
            request = self._inbox.next()
            number = request["id"]
            self._inbox.begin(number)
            try:
                answer = {"id": number, "ok": self._answer(request)}
            except Exception as error:
                if isinstance(error, NoNumbersError):  # what they left in the cache would poison the next turn
                    self._runtime.sequence(request["agent"]).clear()
                if not isinstance(error, AutoMLGPTError):
                    traceback.print_exc()
                answer = {"id": number, "error": error_to_json(error)}
            self._inbox.end()
            write_frame(self._out, answer)
            if request["op"] == "close":
                return

    def _answer(self, request: dict[str, Any]) -> dict[str, Any]:
        match request["op"]:
            case "open":
                return self._open(request)
            case "close":
                return {}
        if self._runtime is None:
            raise BackendError("no model is open")
        match request["op"]:
            case "fill":
                return self._fill(request)
            case "chat":
                number = request["id"]
                reply: dict[str, Any] = self._chat.turn(
                    request, lambda text: write_frame(self._out, {"id": number, "text": text})
                )
                return reply
            case "render":
                return {"text": self._chat.render(request["messages"])}
            case "count":
                return {"tokens": len(self._runtime.tokenize(request["text"]))}
            case "stats":
                return self._stats()
        raise BackendError(f"unknown request {request['op']!r}")

    def _open(self, request: dict[str, Any]) -> dict[str, Any]:
        from automlgpt_local.llm import native
        from automlgpt_local.llm.chat import ChatLoop
        from automlgpt_local.llm.memory import limit_memory
        from automlgpt_local.llm.runtime import Runtime

        adapters = {agent: Path(file) for agent, file in request.get("adapters", {}).items()}
        n_gpu_layers = request.get("n_gpu_layers")
        if n_gpu_layers is None:
            n_gpu_layers = _ALL_LAYERS if native.load().llama_supports_gpu_offload() else 0
        path, n_seq = Path(request["path"]), request.get("n_seq", 2)
        if n_gpu_layers == 0:
            limit_memory(path, request["context_tokens"] * n_seq, request.get("kv_type", "f16"))
        layers = confine(path, *adapters.values(), gpu=n_gpu_layers != 0)
        self._runtime = Runtime(
            path,
            threads=request["threads"],
            context_tokens=request["context_tokens"],
            n_seq=n_seq,
            adapters=adapters,
            kv_type=request.get("kv_type", "f16"),
            n_gpu_layers=n_gpu_layers,
            slow_tokens_per_s=request.get("slow_tokens_per_s"),
        )
        self._inbox.set_abort(self._runtime.abort)
        self._chat = ChatLoop(self._runtime, request.get("chat_template"))
        return {**self._runtime.description(), "layers": layers}

    def _fill(self, request: dict[str, Any]) -> dict[str, Any]:
        from automlgpt_local.llm.fillin import Filler, template_from_json

        runtime = self._runtime
        sequence = runtime.sequence(request["agent"])
        sequence.start(transcript_tokens(runtime, request["transcript"]))
        filler = Filler(runtime, sequence, temperature=request["temperature"], seed=request["seed"])
        filled = filler.fill(template_from_json(request["template"]))
        runtime.remember(filled.text, tuple(filler.tokens))
        return dict(vars(filled))

    def _stats(self) -> dict[str, Any]:
        return {"evaluated_tokens": self._runtime.evaluated_tokens, "peak_mib": peak_rss_kib() / 1024}


def confine(*files: Path, gpu: bool) -> dict[str, str]:
    """Shut this process in before it opens files of others: it reads those and its libraries, no network, no writes.

    A GPU's driver needs devices and sockets of its own, so with one the layers are left out.
    """
    if gpu:
        return {"landlock": "left out for the GPU", "seccomp": "left out for the GPU"}
    from automlgpt_local.confine.worker import apply_worker_layers

    folders = {file.resolve().parent if "-of-" in file.stem else file.resolve() for file in files}
    return apply_worker_layers(sorted(folders))


def transcript_tokens(runtime: Any, pieces: list[str]) -> list[int]:
    """BOS if the model wants one, then each piece tokenised on its own."""
    tokens = list(runtime.bos_tokens())
    for piece in pieces:
        tokens += runtime.tokenize(piece)
    return tokens


def error_to_json(error: Exception) -> dict[str, str]:
    """`kind` is model, cancelled, value or backend; `local.raise_error` is the inverse."""
    if isinstance(error, CancelledError):
        kind = "cancelled"
    elif isinstance(error, ModelError):
        kind = "model"
    elif isinstance(error, ValueError):
        kind = "value"
    else:
        kind = "backend"
    if isinstance(error, AutoMLGPTError):
        return {"kind": kind, "message": error.message, "hint": error.hint}
    message = str(error) if kind == "value" else f"{type(error).__name__}: {error}"
    return {"kind": kind, "message": message, "hint": ""}


def main(arguments: list[str]) -> None:
    """`python -m automlgpt_local.llm.worker PARENT_PID [--with-thread]`."""
    parent = int(arguments[0])
    if "--with-thread" not in arguments and sys.platform == "linux":
        # The signal comes when the *thread* that started us ends, so only a main thread asks for it.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever a library prints goes to the log
    stream = os.fdopen(os.dup(0), "rb", buffering=0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    Worker(Inbox(stream, parent), out).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
