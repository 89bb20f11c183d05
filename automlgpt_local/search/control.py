"""What a person may do to a run while it works: stop, pause, extend, approve, and change its course by their words."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from automlgpt_local.events import (
    STEERING,
    Answered,
    ApprovalAsked,
    AttemptFinished,
    CodeWritten,
    Commanded,
    TaskChanged,
)
from automlgpt_local.language.change import EXAMPLES, Reply, listed, read_change
from automlgpt_local.recipes import load as load_recipes
from automlgpt_local.search.recorder import AbandonedError, Recorder, StopSearchError
from automlgpt_local.task import TaskSpec

TASK_FIELDS = ("only", "never", "ensemble", "time_limit_s")  # of a TaskSpec, that a running search can change


@dataclass(frozen=True)
class Answer:
    """An approval's answer: once, always, reject or edit (then `code` is the module to run instead)."""

    answer: str
    code: str = ""


@dataclass(frozen=True)
class Course:
    """What a run works on: its task, and the attempt that it goes on from (None: the best one).

    `limit_before_s`: the time limit before this course changed it; None when it did not.
    """

    task: TaskSpec
    attempt: int | None = None
    limit_before_s: float | None = None

    def changed(self, changes: dict[str, Any]) -> Course:
        fields = {k: tuple(v) if isinstance(v, list) else v for k, v in changes.items() if k in TASK_FIELDS}
        source = {**self.task.source, **dict.fromkeys(fields, "message")}
        task = replace(self.task, **fields, source=source)  # type: ignore[arg-type]
        return Course(task, changes.get("attempt", self.attempt), changes.get("limit_before_s"))


class Control:
    """Filled by the thread that reads commands (`put`), read by the engine between its steps (`check`, `changes`)."""

    def __init__(self, recorder: Recorder, asks: bool) -> None:
        self._recorder = recorder
        self._commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.asks = asks  # may a module run before the user has said so?
        self._answers: list[dict[str, Any]] = []
        self._paused = False
        self.stop_requested = threading.Event()
        self.abandoned = threading.Event()  # nobody is there any more: end at once, the run can be resumed
        self._hearing = threading.Lock()
        self._early: list[dict[str, Any]] = []  # said before the table was read
        self._columns: Sequence[str] = ()
        self._courses: list[Course] = []  # the last one is in force, or will be at the next step; undo takes it back
        self._pending: list[TaskChanged] = []
        self._over = False  # the search has ended
        self.shortened = False
        self.words: list[str] = []  # what the user said to the agents themselves
        self.agents_read = True  # does the agents' model read free text?

    def put(self, command: dict[str, Any]) -> None:
        if command.get("command") == "stop":
            self.stop_requested.set()
        if command.get("command") in STEERING:  # answered at once, by the thread that reads commands
            self._hear(command)
        else:
            self._commands.put(command)

    def interrupted(self) -> bool:
        """True when a running fit is to be cut short."""
        return self.stop_requested.is_set() or self.abandoned.is_set()

    def check(self) -> None:
        """Carry out what was asked since the last step; waits here while paused.

        Raises StopSearchError, AbandonedError.
        """
        self._drain()
        while self._paused and not self.interrupted():
            time.sleep(0.05)
            self._drain()
        self._recorder.clock.go_on()
        self._end_if_asked()

    def leave_if_abandoned(self) -> None:
        """Before what was cut short for want of a watcher would be written down. Raises AbandonedError."""
        if self.abandoned.is_set():
            raise AbandonedError

    def _end_if_asked(self) -> None:
        self.leave_if_abandoned()
        if self.stop_requested.is_set():
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

    # --- what the user says
    def begin(self, task: TaskSpec, columns: Sequence[str]) -> None:
        """From now on messages are understood. What an earlier sitting was told and had not carried out is pending."""
        with self._hearing:
            self._columns, self._courses = columns, [Course(task)]
            for record in list(self._recorder.log.records):
                if isinstance(record.event, Answered):
                    self.words += [record.event.words] if record.event.words else []
                    self._accept(record.event.changes, record.event.text)
            del self._pending[: self._recorder.ahead(TaskChanged)]
            for command in self._early:
                self._answer(command)
            self._early.clear()

    @property
    def course(self) -> Course:
        return self._courses[-1]

    def changes(self) -> list[TaskChanged]:
        """What was asked for and is to be carried out now."""
        with self._hearing:
            pending, self._pending = self._pending, []
            return pending

    def end(self) -> list[TaskChanged]:
        """The search is over: the last changes; later ones are declined."""
        self._over = True
        return self.changes()

    def allows(self, family: str) -> bool:
        return not self._courses or self.course.task.allows(family)

    def _hear(self, command: dict[str, Any]) -> None:
        values = {k: v for k, v in command.items() if k != "command"}
        with self._hearing:
            self._recorder.ambient(Commanded(str(command["command"]), values))
            if self._courses:
                self._answer(command)
            else:
                self._early.append(command)

    def _answer(self, command: dict[str, Any]) -> None:
        text = str(command.get("text", ""))
        reply = self._reply(command, text)
        if self._over and (reply.changes or not reply.known):
            reply = Reply("The search has ended; the final model is being made. With more time the run can go on.")
        words = "" if reply.known else text
        if words:
            passed_on = "It is passed on to the agents." if self.agents_read else EXAMPLES
            reply = replace(reply, text=f"{reply.text} {passed_on}")
            self.words.append(words)
        clock, changes = self._recorder.clock, dict(reply.changes)
        limit_s = changes.get("time_limit_s")
        if limit_s is not None and not changes.get("undo"):
            changes["limit_before_s"] = clock.limit_s
        choices = [list(choice) for choice in reply.choices]
        self._recorder.ambient(Answered(reply.text, changes, reply.branch, choices, words))
        self._accept(changes, reply.text)
        if limit_s is not None:
            self.shortened = limit_s < clock.limit_s
            clock.limit_s = limit_s
        if reply.stop:
            self.put({"command": "stop"})

    def _reply(self, command: dict[str, Any], text: str) -> Reply:
        clock = self._recorder.clock
        match command["command"]:
            case "undo":
                return self._undo()
            case "branch":
                return self._branch(command.get("attempt"))
        return read_change(text, self.course.task, self._columns, clock.used_s(), clock.limit_s)

    def _undo(self) -> Reply:
        if len(self._courses) < 2:
            return Reply("There is no change of the task to take back.")
        before_s = self.course.limit_before_s
        time = {} if before_s is None else {"time_limit_s": before_s}
        return Reply("The last change is taken back.", {"undo": True, **time})

    def _branch(self, attempt: Any) -> Reply:
        about = [r.event for r in list(self._recorder.log.records) if getattr(r.event, "attempt", None) == attempt]
        written = next((e for e in about if isinstance(e, CodeWritten)), None)
        if written is None or not any(isinstance(e, AttemptFinished) and e.status == "ok" for e in about):
            return Reply(f"There is no attempt {attempt} with a score to go on from.")
        recipe = load_recipes().get(written.recipe)
        if written.probe or recipe is None or recipe.family == "baseline":
            return Reply(f"Attempt {attempt} has no hyper-parameters to vary; choose another one.")
        if not self.allows(recipe.family):
            return Reply(f"Attempt {attempt} is of a kind that you ruled out ({listed([recipe.family])}).")
        return Reply(f"The search goes on from attempt {attempt}: its code, with other hyper-parameters.",
                     {"attempt": attempt})  # fmt: skip

    def _accept(self, changes: dict[str, Any], text: str) -> None:
        if not changes:
            return
        if changes.get("undo"):
            self._courses.pop()
        else:
            self._courses.append(self.course.changed(changes))
        self._pending.append(TaskChanged(text, self.course.task.to_json(), self.course.attempt))

    def approval(self, attempt: int, title: str) -> Answer:
        """Wait until the user has answered for this attempt; their time is not counted."""
        self._recorder.ambient(ApprovalAsked(attempt, title))
        self._recorder.clock.pause()
        while True:
            self._drain()
            self._end_if_asked()
            for values in self._answers:
                if values.get("attempt") == attempt:
                    self._answers.remove(values)
                    self._recorder.clock.go_on()
                    return Answer(str(values.get("answer", "reject")), str(values.get("code") or ""))
            time.sleep(0.05)
