"""A model of this machine in a worker process: starts at once, loads in the background, restarts after a death."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from select import select
from typing import Any, BinaryIO, NoReturn, cast

from automlgpt_local.errors import BackendError, ModelError, TurnTimeoutError, WorkerDiedError
from automlgpt_local.llm.backend import BackendInfo, Dialect, Filled, Message, Reply, Template
from automlgpt_local.llm.fillin import template_to_json
from automlgpt_local.llm.reply import parse_reply
from automlgpt_local.llm.sampling import SamplingOptions
from automlgpt_local.llm.thinking import thinking_of_the_user
from automlgpt_local.llm.wire import WireError, read_frame, write_frame

DEFAULT_CONTEXT_TOKENS = 8192
LOAD_TIMEOUT_S = 600.0
CANCEL_GRACE_S = 1.5  # how long a cancelled worker may take to answer before it is killed
SLOW_VARIABLE = "AUTOMLGPT_SLOW_TOKENS_PER_S"
LOG_VARIABLE = "AUTOMLGPT_WORKER_LOG"

_LOG_HINT = f"llama.cpp gave up: {LOG_VARIABLE}=FILE keeps what it says. A damaged file, or a defect of llama.cpp."
_SIGNAL_HINTS = {
    "SIGABRT": _LOG_HINT,
    "SIGSEGV": _LOG_HINT,
    "SIGALRM": "The chat template in the model's file computes without end: take another GGUF of this model.",
    "SIGKILL": "If nobody ended it, the system was short of memory.",
    "SIGILL": "llama-cpp-python was built for another processor: install it anew on this machine.",
    "SIGBUS": "The model's file was changed while it was in use.",
}


class LocalBackend:
    """Implements `Backend`. `adapters`: agent -> LoRA file that is active for this agent's tokens only.

    `thinking`: reasoning before each answer; None (or AUTOMLGPT_THINKING) leaves it to the model's chat template.
    `n_gpu_layers`: None puts all layers on a GPU where llama.cpp was built for one, 0 none.
    """

    def __init__(
        self,
        path: Path,
        *,
        threads: int = 1,
        context_tokens: int | None = None,
        dialect: Dialect | None = None,
        name: str = "",
        sha256: str = "",
        adapters: dict[str, Path] | None = None,
        thinking: bool | None = None,
        kv_type: str = "f16",
        n_gpu_layers: int | None = None,
    ) -> None:
        slow = os.environ.get(SLOW_VARIABLE)
        self._settings: dict[str, Any] = {
            "op": "open",
            "path": str(path.absolute()),
            "threads": threads,
            "context_tokens": context_tokens or DEFAULT_CONTEXT_TOKENS,
            "adapters": {agent: str(file.absolute()) for agent, file in (adapters or {}).items()},
            "kv_type": kv_type,
            "n_gpu_layers": n_gpu_layers,
            "chat_template": _read_template(path),
            "slow_tokens_per_s": float(slow) if slow else None,
        }
        self._name = name or path.stem
        self._dialect = dialect
        self._thinking = thinking_of_the_user() if thinking is None else thinking
        self._sha256 = sha256
        self._info: BackendInfo | None = None
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._opening: int | None = None  # the request that loads the model, while its answer was not read yet
        self._running: int | None = None
        self._closed = False
        self._start()

    # --- Backend
    @property
    def info(self) -> BackendInfo:
        with self._lock:
            self._ensure_open()
        assert self._info is not None
        return self._info

    @property
    def pid(self) -> int | None:
        """Of the worker, for those who watch it."""
        return self._process.pid if self._process else None

    def fill(
        self, agent: str, transcript: Sequence[str], template: Template, *,
        temperature: float = 0.0, seed: int = 0, timeout_s: float = 60.0,
    ) -> Filled:  # fmt: skip
        answer = self._ask(
            {
                "op": "fill", "agent": agent, "transcript": list(transcript), "template": template_to_json(template),
                "temperature": temperature, "seed": seed,
            },
            timeout_s,
        )  # fmt: skip
        return Filled(**answer)

    def chat(
        self, agent: str, messages: Sequence[Message], *, schema: dict[str, Any] | None = None,
        max_tokens: int = 2048, temperature: float = 0.2, seed: int = 0, timeout_s: float = 300.0,
        on_text: Callable[[str], None] | None = None, stops: Sequence[str] = (), logprobs: int | None = None,
        schema_after: str = "", sampling: dict[str, Any] | None = None,
    ) -> Reply:  # fmt: skip
        """`logprobs`: how many of the likeliest tokens are told with each one, in `Reply.scores`. `schema_after`: a
        text (an opening fence, say) before which the answer is free. `sampling`: top_k, top_p, min_p,
        repetition_penalty.
        """
        started = time.monotonic()
        options = SamplingOptions(temperature=temperature, seed=seed, **(sampling or {}))
        answer = self._ask(
            {
                "op": "chat", "agent": agent, "messages": [vars(message) for message in messages], "schema": schema,
                "max_tokens": max_tokens, "sampling": vars(options), "thinking": self._thinking,
                "stops": list(stops), "logprobs": logprobs, "schema_after": schema_after, "timeout_s": timeout_s,
            },
            timeout_s,
            on_text,
        )  # fmt: skip
        if answer["finish"] == "cancelled":
            answer["finish"] = "timeout"
        return parse_reply(answer, schema, seconds=time.monotonic() - started)

    def count_tokens(self, text: str) -> int:
        return int(self._ask({"op": "count", "text": text}, 30.0)["tokens"])

    def render(self, messages: Sequence[Message]) -> str:
        """The prompt as the model's own chat template writes it, up to where its answer begins."""
        return str(self._ask({"op": "render", "messages": [vars(message) for message in messages]}, 30.0)["text"])

    def stats(self) -> dict[str, Any]:
        """{"evaluated_tokens", "peak_mib"} of the worker since it started."""
        return self._ask({"op": "stats"}, 30.0)

    def cancel(self) -> None:
        """Stop the turn that runs now, from any thread: it raises BackendError, a chat returns what it has."""
        running, process = self._running, self._process
        if running is not None and process is not None:
            with suppress(OSError, ValueError):
                write_frame(cast(BinaryIO, process.stdin), {"op": "cancel", "id": running})

    def close(self) -> None:
        self._closed = True
        self._kill()

    def __enter__(self) -> LocalBackend:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the worker
    def _start(self) -> None:
        arguments = [sys.executable, "-P", "-m", "automlgpt_local.llm.worker", str(os.getpid())]
        if threading.current_thread() is not threading.main_thread():
            arguments.append("--with-thread")
        log = os.environ.get(LOG_VARIABLE)
        try:
            with open(log or os.devnull, "ab") as stderr:
                self._process = subprocess.Popen(
                    arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, bufsize=0,
                    env={
                        **os.environ,
                        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
                        "GGML_NO_BACKTRACE": "1",  # else a failed assertion starts a debugger, if there is one
                    },
                )  # fmt: skip
        except OSError as error:
            raise ModelError(
                f"The process of the model {self._name} cannot be started: {error}.",
                f"Its log is written where {LOG_VARIABLE} says; else memory may be too short.",
            ) from error
        self._opening = self._send(self._settings)

    def _ensure_open(self) -> None:
        if self._closed:
            raise BackendError("the model was closed")
        if self._process is None:
            self._start()
        if self._opening is not None:
            number, self._opening = self._opening, None
            try:
                described = self._wait(number, LOAD_TIMEOUT_S, None)
            except WorkerDiedError as error:
                self._kill()
                raise ModelError(
                    f"{self._name}: the process that loads the model ended ({error.message}).",
                    "The file may be damaged, or memory too short for it.",
                ) from error
            except BackendError as error:
                self._kill()
                raise ModelError(f"{self._name}: {error.message}", error.hint) from error
            except ModelError:
                self._kill()
                raise
            declared: Dialect = "compact" if described["dialect"] == "compact" else "full"
            self._info = BackendInfo(
                name=self._name,
                dialect=self._dialect or declared,
                context_tokens=described["context_tokens"],
                sha256=self._sha256,
                details=described,
            )

    def _ask(
        self, request: dict[str, Any], timeout_s: float, on_text: Callable[[str], None] | None = None
    ) -> dict[str, Any]:
        with self._lock:
            self._ensure_open()
            self._running = self._send(request)
            try:
                return self._wait(self._running, timeout_s, on_text)
            finally:
                self._running = None

    def _send(self, request: dict[str, Any]) -> int:
        assert self._process is not None
        number = next(self._numbers)
        try:
            write_frame(cast(BinaryIO, self._process.stdin), {**request, "id": number})
        except (OSError, ValueError) as error:  # ValueError: closed by another thread
            self._died(error)
        return number

    def _wait(self, number: int, timeout_s: float, on_text: Callable[[str], None] | None) -> dict[str, Any]:
        process = self._process
        assert process is not None
        out = cast(BinaryIO, process.stdout)
        deadline, timed_out = time.monotonic() + timeout_s, False
        while True:
            try:
                ready, _, _ = select([out], [], [], max(0.0, deadline - time.monotonic()))
            except (OSError, ValueError) as error:
                self._died(error)
            if not ready:
                if timed_out:
                    self._kill()
                    raise TurnTimeoutError(f"the model did not answer within {timeout_s:.0f} s and was ended")
                timed_out, deadline = True, time.monotonic() + CANCEL_GRACE_S
                self.cancel()
                continue
            try:
                answer = read_frame(out)
            except (WireError, OSError, ValueError) as error:
                self._died(error)
            if answer.get("id") != number:
                continue
            if "text" in answer:
                if on_text is not None:
                    on_text(answer["text"])
            elif "error" in answer:
                raise_error(answer["error"], timeout_s if timed_out else None)
            else:
                return cast(dict[str, Any], answer["ok"])

    def _died(self, error: Exception) -> NoReturn:
        if self._closed:
            raise BackendError("the model was closed") from error
        code = self._kill()
        reason = signal.Signals(-code).name if code is not None and code < 0 else f"exit code {code}"
        hint = f"The next turn starts a new one. {_SIGNAL_HINTS.get(reason, '')}".strip()
        raise WorkerDiedError(f"the model's process ended: {reason}", hint) from error

    def _kill(self) -> int | None:
        """End the worker; its own exit code if it had ended before."""
        process, self._process, self._opening = self._process, None, None
        if process is None:
            return None
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
        code = process.returncode
        if code is None:
            process.kill()
            process.wait()
        for stream in (process.stdin, process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        return code


def _read_template(path: Path) -> str | None:
    from automlgpt_local.llm.catalog import template_beside

    file = template_beside(path)
    try:
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else None
    except OSError as error:
        raise ModelError(
            f"The chat template {file} cannot be read: {error.strerror}.",
            "Make it readable, or move it away: the template within the model's file then counts.",
        ) from error


def raise_error(error: dict[str, str], timed_out_after_s: float | None) -> NoReturn:
    if error["kind"] == "cancelled" and timed_out_after_s is not None:
        raise TurnTimeoutError(f"the model did not finish within {timed_out_after_s:.0f} s")
    if error["kind"] == "model":
        raise ModelError(error["message"], error["hint"])
    if error["kind"] == "value":
        raise ValueError(error["message"])
    raise BackendError(error["message"], error["hint"])
