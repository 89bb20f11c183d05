"""The vocabulary of a run: frozen events, their JSON lines, and the append-only log that is the single truth.

One line: {"v": 1, "seq": n, "at": "<ISO 8601>", "t": <seconds of the budget used>, "type": "...", ...}.
`seq` has no gap and no repeat, over resumes too. `Token` is drawn and never stored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from automlgpt_local.errors import ResumeError

VERSION = 1

Agent = Literal["reasoner", "coder"]
Author = Literal["model", "random", "recipes", "user"]


@dataclass(frozen=True)
class Event:
    """Base of all events; the class name in snake case is the line's `type`."""


# --- what was asked and what the data are
@dataclass(frozen=True)
class SessionStarted(Event):
    run_id: str
    version: str
    model: str
    prompts_sha256: str = ""
    limit_s: float = 0.0  # as asked for


@dataclass(frozen=True)
class SandboxStarted(Event):
    layers: dict[str, str]  # layer -> "enforced ...", "missing ..." or "left out"


@dataclass(frozen=True)
class ModelStarted(Event):
    """The agents' model is open. `sha256` of its file; empty where the file is large and its hash was never taken."""

    name: str
    sha256: str
    dialect: str
    context_tokens: int


@dataclass(frozen=True)
class TaskResolved(Event):
    task: dict[str, Any]  # TaskSpec.to_json()


@dataclass(frozen=True)
class Warned(Event):
    message: str


@dataclass(frozen=True)
class Profiled(Event):
    profile: dict[str, Any]  # data.profile.Profile.to_json()


@dataclass(frozen=True)
class SplitMade(Event):
    strategy: str
    folds: int
    development_rows: int
    holdout_rows: int
    fingerprint: str


# --- the agents
@dataclass(frozen=True)
class StageStarted(Event):
    stage: str  # explore, process, select, tune, ensemble, holdout, refit, export


@dataclass(frozen=True)
class Decided(Event):
    """One decision of an agent. `probabilities`: slot -> probability that the model gave its choice.

    `about`: what the slots stand for, in order (columns, feature ideas), or the options that a single slot offered.
    """

    agent: Agent
    stage: str
    decision: str
    values: dict[str, Any]
    by: Author
    thought: str = ""
    forced_tokens: int = 0
    chosen_tokens: int = 0
    evaluated_tokens: int = 0
    probabilities: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    about: list[str] = field(default_factory=list)

    def named(self) -> dict[str, Any]:
        """The values under the names of what they are about, where each slot has one."""
        if len(self.about) != len(self.values) or len(self.values) < 2:
            return self.values
        return dict(zip(self.about, self.values.values()))


@dataclass(frozen=True)
class CodeWritten(Event):
    """`attempts/<attempt>/solution.py` exists. Token counts are those of the module's text."""

    attempt: int
    stage: str
    by: Author
    title: str
    recipe: str
    parent: int | None
    params: dict[str, Any]
    columns: dict[str, list[str]]
    sha256: str
    probe: bool = False  # fitted on few rows, to settle a question; never part of the ensemble
    forced_tokens: int = 0
    chosen_tokens: int = 0
    probabilities: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class CodeRejected(Event):
    stage: str
    problem: str
    repairs_left: int


@dataclass(frozen=True)
class TookOver(Event):
    """The recipes decide here, because the model could not."""

    stage: str
    reason: str


@dataclass(frozen=True)
class Noted(Event):
    """An answer of a tool that an agent called, or an observation in words."""

    stage: str
    title: str
    text: str


# --- attempts
@dataclass(frozen=True)
class FoldFinished(Event):
    """One fork. Its arrays lie in `attempts/<attempt>/fold_<k>.npz` before this event is written."""

    attempt: int
    fold: int
    status: str  # ok, error, timeout, memory_limit, ...
    score: float | None
    seconds: float
    peak_mib: float = 0.0
    fitted_params: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    predict_s: float = 0.0  # of its validation rows


@dataclass(frozen=True)
class AttemptFinished(Event):
    """`score`: mean over folds in the metric's own sense; `noise`: its standard error."""

    attempt: int
    status: str
    score: float | None
    noise: float | None
    fold_scores: list[float]
    seconds: float
    error: str = ""


@dataclass(frozen=True)
class Gated(Event):
    """Is the gain of `attempt` over `against` more than noise on paired folds? `gain` > 0 is better."""

    attempt: int
    against: int | None
    gain: float
    noise: float
    kept: bool


@dataclass(frozen=True)
class EnsembleChosen(Event):
    """`score`, `single_score`: of the blend and of its best member, on all out-of-fold rows together."""

    weights: dict[str, float]  # attempt -> weight
    score: float
    single_score: float
    kept: bool


@dataclass(frozen=True)
class HoldoutScored(Event):
    score: float
    validation_score: float
    gap: float  # > 0: validation was too optimistic
    looks: int


@dataclass(frozen=True)
class Refitted(Event):
    attempt: int
    status: str
    seconds: float
    fitted_params: dict[str, Any] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True)
class Exported(Event):
    files: list[str]


# --- the session
@dataclass(frozen=True)
class Budget(Event):
    used_s: float
    limit_s: float
    model_s: float
    fit_s: float
    stage: str


@dataclass(frozen=True)
class Stopped(Event):
    """The search ended. reason: time, trials, nothing_left_to_gain (with its evidence), user, failure."""

    reason: str
    evidence: str = ""


@dataclass(frozen=True)
class Finished(Event):
    score: float | None
    holdout_score: float | None
    metric: str
    seconds: float
    exit_code: int


@dataclass(frozen=True)
class Failed(Event):
    error: str
    message: str
    hint: str
    exit_code: int


@dataclass(frozen=True)
class ApprovalAsked(Event):
    attempt: int
    title: str


@dataclass(frozen=True)
class Approved(Event):
    attempt: int
    answer: str  # once, always, reject, edit
    code_sha256: str = ""  # of the module that runs, when the user edited it


STEERING = ("message", "undo", "branch")  # commands that are answered, by `Answered`


@dataclass(frozen=True)
class Commanded(Event):
    """A command of the user: pause, continue, extend, stop, message, undo, branch."""

    command: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Answered(Event):
    """What the program says to a message of the user, and what follows from it.

    `changes`: fields of the task that change (with `undo`: back to those before), the attempt to go on from, the time
    limit. `branch`: fields of a request that only a new run can have. `choices`: (label, message) to choose from.
    `words`: passed on to the agents as they are.
    """

    text: str
    changes: dict[str, Any] = field(default_factory=dict)
    branch: dict[str, Any] = field(default_factory=dict)
    choices: list[list[str]] = field(default_factory=list)
    words: str = ""


@dataclass(frozen=True)
class TaskChanged(Event):
    """From here on the run works on `task`, from `attempt` on (None: from the best). `left_out` no longer count."""

    text: str
    task: dict[str, Any]  # TaskSpec.to_json()
    attempt: int | None = None
    left_out: list[int] = field(default_factory=list)
    best: int | None = None  # of those that count


@dataclass(frozen=True)
class Resumed(Event):
    version: str
    limit_s: float = 0.0  # as asked for; 0: what was left of the budget


@dataclass(frozen=True)
class Token(Event):
    """Text as an agent writes it. Drawn, never stored."""

    agent: Agent
    text: str


# Events that the outside world or the clock caused: a replay passes over them.
AMBIENT: tuple[type[Event], ...] = (
    Answered, ApprovalAsked, Budget, CodeRejected, Commanded, Failed, ModelStarted, Resumed, SandboxStarted,
    SessionStarted, TookOver, Warned,
)  # fmt: skip


def _snake(name: str) -> str:
    return "".join("_" + c.lower() if c.isupper() else c for c in name).lstrip("_")


TYPES: dict[str, type[Event]] = {_snake(c.__name__): c for c in Event.__subclasses__()}
NAMES: dict[type[Event], str] = {c: n for n, c in TYPES.items()}


@dataclass(frozen=True)
class Record:
    """An event with its envelope. `t`: seconds of the budget used when it was written."""

    seq: int
    at: str
    t: float
    event: Event

    def to_line(self) -> str:
        head = {"v": VERSION, "seq": self.seq, "at": self.at, "t": round(self.t, 3), "type": NAMES[type(self.event)]}
        return json.dumps({**head, **asdict(self.event)}, ensure_ascii=False, allow_nan=False)


def decode(line: str) -> Record | None:
    """One line as a Record; None for a type that a newer version wrote. Raises ValueError for anything else."""
    raw = json.loads(line)
    if not isinstance(raw, dict) or not isinstance(raw.get("v"), int) or "seq" not in raw:
        raise ValueError("not an event")
    cls = TYPES.get(raw.get("type", ""))
    if cls is None:
        return None
    known = {f.name for f in fields(cls)}
    event = cls(**{k: v for k, v in raw.items() if k in known})
    return Record(raw["seq"], raw["at"], float(raw.get("t", 0.0)), event)


def read_events(path: Path) -> Iterator[Record]:
    """The events of a run, oldest first. A torn last line is passed over; a broken line before it is an error."""
    for record, _end in _scan(path):
        if record is not None:
            yield record


def _scan(path: Path) -> Iterator[tuple[Record | None, int]]:
    """Each whole line as a Record and the offset behind it."""
    end = 0
    with open(path, "rb") as file:
        for raw in file:
            if not raw.endswith(b"\n"):
                return
            end += len(raw)
            try:
                yield decode(raw.decode("utf-8")), end
            except (ValueError, TypeError, KeyError) as error:
                raise ResumeError(
                    f"{path}: a line in the middle of the event log cannot be read ({error}).",
                    "The file was changed from outside. Restore it from a copy, or start a new run.",
                ) from error


class EventLog:
    """`events.jsonl`: appended and fsynced line by line; its torn tail is cut off when it is opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.records: list[Record] = []
        end = last_seq = 0
        if path.exists():
            for record, end in _scan(path):  # noqa: B007
                if record is not None:
                    self.records.append(record)
                last_seq += 1
        self._file = open(path, "ab")  # noqa: SIM115 - open as long as the run
        if self._file.tell() > end:
            self._file.truncate(end)
        self._next_seq = last_seq + 1

    @property
    def used_s(self) -> float:
        """Seconds of the budget used when the last event was written."""
        return self.records[-1].t if self.records else 0.0

    def append(self, event: Event, t: float) -> Record:
        """Write and fsync one event; when this returns, a kill -9 cannot lose it."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = Record(self._next_seq, at, t, event)
        self._file.write(record.to_line().encode("utf-8") + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())
        self._next_seq += 1
        self.records.append(record)
        return record

    def close(self) -> None:
        self._file.close()
