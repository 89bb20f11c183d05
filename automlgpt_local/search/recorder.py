"""Writes what happened, and on a resume answers from what is written instead of doing it again.

The code of a run is deterministic between steps. Whatever is not (a model's answer, a fit, the clock) happens inside
`step`, whose event is fsynced before the next one begins. A resumed run executes the same code from the start; steps
found in the log are answered from it, the first one that is not found is done live. Ambient events (warnings, budget,
commands) are history only and take no part in this.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from automlgpt_local.errors import ResumeError
from automlgpt_local.events import (
    AMBIENT,
    Event,
    EventLog,
    Failed,
    Finished,
    Record,
    Resumed,
    Stopped,
    TaskChanged,
)
from automlgpt_local.search.clock import Clock

E = TypeVar("E", bound=Event)


class StopSearchError(Exception):
    """The search ends here: raised between steps by the clock, by the user, or because the log says that it ended."""

    def __init__(self, reason: str, evidence: str = "") -> None:
        super().__init__(reason)
        self.reason, self.evidence = reason, evidence


class AbandonedError(Exception):
    """Nobody is there any more. Nothing is written about it: the run has not ended and can be resumed."""


def replayable(records: Sequence[Record]) -> list[Event]:
    """The steps of a run to answer from, oldest first.

    A run that had ended and was given more time goes on searching: its ending (from `stopped` on) is then history. So
    does one that had nothing to end with, and failed.
    """
    steps: list[Event] = []
    failed = False
    for record in records:
        event = record.event
        if isinstance(event, Resumed):
            last_stop = max((i for i, e in enumerate(steps) if isinstance(e, Stopped)), default=len(steps))
            ending = [e for e in steps[last_stop + 1 :] if not isinstance(e, TaskChanged)]
            if (ending and isinstance(ending[-1], Finished)) or (failed and not ending):
                del steps[last_stop:]
            failed = False
        elif isinstance(event, Failed):
            failed = True
        elif not isinstance(event, AMBIENT):
            steps.append(event)
    return steps


class Recorder:
    def __init__(self, log: EventLog, clock: Clock, emit: Callable[[str], None]) -> None:
        self.log = log
        self.clock = clock
        self._emit = emit
        self._replay: deque[Event] = deque(replayable(log.records))
        self._writing = threading.Lock()  # what the user said is answered beside the steps

    @property
    def replaying(self) -> bool:
        return bool(self._replay)

    def ahead(self, cls: type[Event]) -> int:
        """How many recorded steps of a class are still to come."""
        return sum(isinstance(event, cls) for event in self._replay)

    def step(self, cls: type[E], make: Callable[[], E], **key: Any) -> E:
        """The event of this step: from the log if it is there, otherwise made, written and returned.

        Raises StopSearchError when the recorded search ended here, ResumeError when the log goes on with another step
        than the code does.
        """
        if not self._replay:
            event = make()
            self._append(event)
            return event
        recorded = self._replay[0]
        if isinstance(recorded, Stopped) and cls is not Stopped:
            raise StopSearchError(recorded.reason, recorded.evidence)
        if type(recorded) is not cls or any(getattr(recorded, k) != v for k, v in key.items()):
            raise ResumeError(
                f"The run cannot be continued: its log goes on with {type(recorded).__name__}, not {cls.__name__}.",
                "It was made by another version, or its table changed. Start a new run.",
            )
        self._replay.popleft()
        return recorded

    def take(self, cls: type[E], **key: Any) -> list[E]:
        """The recorded steps of one class that come next, in any order of their own (folds run side by side)."""
        taken: list[E] = []
        while self._replay:
            event = self._replay[0]
            if type(event) is not cls or any(getattr(event, k) != v for k, v in key.items()):
                break
            taken.append(event)
            self._replay.popleft()
        return taken

    def note(self, event: Event) -> None:
        """A step whose content follows from the steps before it."""
        self.step(type(event), lambda: event)

    def ambient(self, event: Event) -> None:
        self._append(event)

    def _append(self, event: Event) -> None:
        with self._writing:
            record = self.log.append(event, self.clock.used_s())
            self._emit(record.to_line())
