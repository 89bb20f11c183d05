"""What a person can do to a run: say something, undo, go on from an attempt, allow code, stop, pause, give time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from textual.screen import Screen

from automlgpt_local import client
from automlgpt_local import events as ev
from automlgpt_local.client import RunView, Session
from automlgpt_local.client.inert import inert_line
from automlgpt_local.errors import AutoMLGPTError
from automlgpt_local.settings import format_seconds, parse_seconds
from automlgpt_local.task import Request
from automlgpt_local.tui.screens.approval import ApprovalScreen
from automlgpt_local.tui.screens.choice import ChoiceScreen
from automlgpt_local.tui.widgets.attempts import read_solution

ELSEWHERE = "Another process works on this run; it can be watched and stopped here, nothing else."
ENDED = "The run has ended: /continue 10m goes on with it, alt+n asks for a new one like it."
STOP_FIRST = (
    ("Stop this run, keep its best model", "stop"), ("Let this run end by itself", "wait"), ("No new run", "")
)  # fmt: skip


class Steering(Screen[None]):
    """The part of a run's screen that sends commands; the other part draws."""

    session: Session

    def __init__(self) -> None:
        super().__init__()
        self.view = RunView()
        self.ended = False
        self._asked: object = None  # the approval or the answer whose question was put last
        self._reject_always = False
        self._next_request: Request | None = None  # its form is opened when this run has ended

    @property
    def chosen_attempt(self) -> int | None:
        """The attempt that the person looks at."""
        return None

    def send(self, command: Callable[..., bool], *values: Any) -> bool:
        """Give the engine a command; where there is none that hears, say so."""
        if self.ended:
            self.notify(ENDED, severity="warning")
        elif not command(*values):
            self.notify(ELSEWHERE, severity="warning")
        else:
            return True
        return False

    # --- questions of the engine
    def ask_what_is_open(self) -> None:
        """Put the question that waits for an answer: may this code run, or what did you mean."""
        if self.ended or self.session.process is None:
            return
        approval, answer = self.view.approval, self.view.answer
        if approval is not None and approval is not self._asked:
            self._asked = approval
            self._ask_approval(approval)
        elif answer is not None and answer.choices and answer is not self._asked:
            self._asked = answer
            choices = [(label, message) for label, message in answer.choices]
            self.app.push_screen(ChoiceScreen(answer.text, choices), self._chosen)

    def _chosen(self, message: str | None) -> None:
        if message:
            self.say_to_run(message)

    def _ask_approval(self, event: ev.ApprovalAsked) -> None:
        if self._reject_always:
            self.session.approve(event.attempt, "reject")
            return
        code = read_solution(self.session.run_dir, event.attempt)

        def answered(answer: tuple[str, str | None] | None) -> None:
            word, edited = answer or ("reject", None)
            if word == "never":
                self._reject_always, word = True, "reject"
            self.session.approve(event.attempt, word, edited)

        self.app.push_screen(ApprovalScreen(event.attempt, event.title, code), answered)

    # --- the course of the search
    def say_to_run(self, text: str) -> None:
        self.send(self.session.message, text)

    def do_undo(self, argument: str = "") -> None:
        self.send(self.session.undo)

    def do_branch(self, argument: str = "") -> None:
        attempt = int(argument) if argument.isdigit() else self.chosen_attempt
        if attempt is None:
            self.notify("Choose an attempt in the tree (F7) or the leaderboard (F4), or name it: /branch 3")
        elif self.ended:
            self.app.resume_run(self.session.run_dir, branch=attempt)  # type: ignore[attr-defined]
        else:
            self.send(self.session.branch, attempt)

    # --- another run
    def do_target(self, argument: str = "") -> None:
        known = [str(c.get("name", "")) for c in self.view.profile.get("columns", [])]
        exact = next((name for name in known if name.lower() == argument.lower()), argument)
        self._another("target", "The target", exact, str(self.view.task.get("target", "not known yet")))

    def do_metric(self, argument: str = "") -> None:
        self._another("metric", "The metric", argument, self.view.metric or "not known yet")

    def _another(self, field: str, what: str, wanted: str, now: str) -> None:
        """A run keeps its target and metric to its end; another one is asked for in the same form."""
        if wanted:
            self._ask_again({field: wanted})
        else:
            self.notify(f"{what} of this run: {inert_line(now, 60)}. With a name: a new run with it.", markup=False)

    def do_again(self, argument: str = "") -> None:
        self._ask_again(self.view.answer.branch if self.view.answer is not None else {})

    def _ask_again(self, changes: dict[str, Any]) -> None:
        if "target" in changes:  # what was said about the old one
            changes = {"kind": None, "metric": None, "positive": None, **changes}
        try:
            before = client.load_request(self.session.run_dir).to_json()
        except AutoMLGPTError as error:
            self.notify(str(error), severity="warning", markup=False)
            return
        # The folder may be somebody else's: whatever it says, a new run has its walls.
        ours = {"sandbox": True, "branched_from": self.session.run_dir.name}
        self._next_request = Request.from_json({**before, **changes, **ours})
        if self.ended:
            self.open_next_form()
        else:
            question = "A new run needs the cores that this one works on."
            self.app.push_screen(ChoiceScreen(question, STOP_FIRST), self._make_room)

    def _make_room(self, answer: str | None) -> None:
        if not answer:
            self._next_request = None
        elif answer == "stop" and not self.ended:
            self._stop()

    def open_next_form(self) -> None:
        """The form of the new run that was asked for, now that this one has ended."""
        request, self._next_request = self._next_request, None
        if request is None:
            return
        seen = self.view.holdout
        if seen is not None and request.target == self.view.task.get("target"):
            request = replace(request, looks=seen.looks)
        self.app.ask_again(request)  # type: ignore[attr-defined]

    # --- time
    def do_stop(self, argument: str = "") -> None:
        if self.ended:
            self.notify("The run has ended.")
        elif self.view.unheard and self.view.unheard[-1] and self.send(self.session.undo):
            self.notify(f"Taken back: {inert_line(self.view.unheard[-1], 60)}. Esc again stops the run.", markup=False)
        elif self.session.process is None:
            self._stop_elsewhere()
        elif self.session.stopping:
            self.session.kill()
            self.notify("The engine was ended. What was acknowledged is kept.", severity="warning")
        else:
            self._stop()

    def _stop(self) -> None:
        self.session.stop()
        self.notify("Stopping; the best model is kept. Esc again ends the engine at once.")

    def _stop_elsewhere(self) -> None:
        """The run of another process hears no commands of ours, but a stop by its folder."""
        try:
            client.stop_run(self.session.run_dir)
            self.notify("Stopping; the best model is kept.")
        except (AutoMLGPTError, OSError, ValueError) as error:
            self.notify(str(error), severity="warning", markup=False)

    def do_pause(self, argument: str = "") -> None:
        self.send(self.session.go_on if self.view.paused else self.session.pause)

    def do_extend(self, argument: str = "") -> None:
        try:
            seconds = parse_seconds(argument.lstrip("+") or "10m")
        except AutoMLGPTError as error:
            self.notify(f"{error.message} {error.hint}", severity="warning", markup=False)
            return
        if self.ended:
            self.do_go_on(argument)
        elif self.send(self.session.extend, seconds):
            self.notify(f"{format_seconds(seconds)} more.")

    def do_go_on(self, argument: str = "") -> None:
        if not self.ended:
            self.notify("The run works.")
            return
        self.app.resume_run(self.session.run_dir, argument)  # type: ignore[attr-defined]
