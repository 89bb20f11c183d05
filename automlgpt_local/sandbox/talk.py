"""Questions of a running job and the engine's answers: JSON lines over two pipes. A question is hostile data."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

from automlgpt_local.sandbox import results
from automlgpt_local.sandbox.text import inert

MAX_QUESTION = 64 << 10
MAX_QUESTIONS = 500


class Talk:
    """The pipes on which a job asks and the engine answers; none when there is nobody to answer."""

    def __init__(self, on_ask: Callable[[dict[str, Any]], Any] | None) -> None:
        self._on_ask = on_ask
        self.questions = self._answers = -1
        self.child_ends: list[int] = []
        self.problem = ""
        self._buffer = b""
        self._count = 0
        if on_ask is not None:
            answers_end, self._answers = os.pipe2(os.O_CLOEXEC)
            self.questions, questions_end = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(self._answers, False)
            self.child_ends = [answers_end, questions_end]

    def answer(self) -> bool:
        """Read what was asked and answer whole lines. False: no more talk with this job."""
        assert self._on_ask is not None
        block = os.read(self.questions, 65536)
        self._buffer += block
        while b"\n" in self._buffer:
            line, _, self._buffer = self._buffer.partition(b"\n")
            self._count += 1
            try:
                question = results.parse_json(line[:MAX_QUESTION])
                reply = json.dumps(self._on_ask(question), allow_nan=False).encode() + b"\n"
                if self._count > MAX_QUESTIONS or os.write(self._answers, reply) != len(reply):
                    return self._hang_up()
            except Exception as error:  # whatever a made-up question brings the engine's answer to raise
                self.problem = f"a question was not answered: {type(error).__name__}: {inert(str(error))[:200]}"
                return self._hang_up()
        return (bool(block) and len(self._buffer) <= MAX_QUESTION) or self._hang_up()

    def _hang_up(self) -> bool:
        os.close(self._answers)  # the job reads an end of file and fails
        self._answers = -1
        return False

    def close_child_ends(self) -> None:
        for fd in self.child_ends:
            os.close(fd)
        self.child_ends = []

    def close(self) -> None:
        for fd in (self.questions, self._answers):
            if fd >= 0:
                os.close(fd)
        self.questions = self._answers = -1
