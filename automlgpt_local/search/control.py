"""What a person may do to a run while it works: stop, pause, extend, approve, say something."""

from __future__ import annotations

import queue
import threading
import time
from dataclasses import dataclass
from typing import Any

from automlgpt_local.events import ApprovalAsked, Commanded
from automlgpt_local.search.recorder import Recorder, StopSearchError


@dataclass(frozen=True)
class Answer:
    """An approval's answer: once, always, reject or edit (then `code` is the module to run instead)."""

    answer: str
    code: str = ""


class Control:
    """Filled by the thread that reads commands (`put`), read by the engine between its steps (`check`)."""

    def __init__(self, recorder: Recorder, asks: bool) -> None:
        self._recorder = recorder
        self._commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.asks = asks  # may a module run before the user has said so?
        self._answers: list[dict[str, Any]] = []
        self._paused = False
        self.stop_requested = threading.Event()
        self.abandoned = threading.Event()  # nobody is there any more: end at once, the run can be resumed

    def put(self, command: dict[str, Any]) -> None:
        if command.get("command") == "stop":
            self.stop_requested.set()
        self._commands.put(command)

    def interrupted(self) -> bool:
        """True when a running fit is to be cut short."""
        return self.stop_requested.is_set() or self.abandoned.is_set()

    def check(self) -> None:
        """Carry out what was asked since the last step; waits here while paused. Raises StopSearchError."""
        self._drain()
        while self._paused and not self.interrupted():
            time.sleep(0.05)
            self._drain()
        self._recorder.clock.go_on()
        if self.interrupted():
            raise StopSearchError("user")

    def _drain(self) -> None:
        while True:
            try:
                command = self._commands.get_nowait()
            except queue.Empty:
                return
            name = str(command.get("command"))
            values = {k: v for k, v in command.items() if k != "command"}
            self._recorder.ambient(Commanded(name, values))
            if name == "pause":
                self._paused = True
                self._recorder.clock.pause()
            elif name == "continue":
                self._paused = False
            elif name == "extend":
                self._recorder.clock.limit_s += float(values.get("seconds", 0.0))
            elif name == "approve":
                self._answers.append(values)

    def approval(self, attempt: int, title: str) -> Answer:
        """Wait until the user has answered for this attempt; their time is not counted."""
        self._recorder.ambient(ApprovalAsked(attempt, title))
        self._recorder.clock.pause()
        while True:
            self._drain()
            if self.interrupted():
                raise StopSearchError("user")
            for values in self._answers:
                if values.get("attempt") == attempt:
                    self._answers.remove(values)
                    self._recorder.clock.go_on()
                    return Answer(str(values.get("answer", "reject")), str(values.get("code") or ""))
            time.sleep(0.05)
