"""Recorded sessions to training rows: each decision of `events.jsonl`, rendered by the code that prompts the model.

The events hold what was decided and what came of it; the question is written anew from the profile and the journal as
they were at that moment. Column names and cell values do not occur in the compact dialect, so none are in the rows.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from automlgpt_local import recipes
from automlgpt_local.agents import compact, ideas
from automlgpt_local.agents.fill_in import _board
from automlgpt_local.agents.journal import Journal
from automlgpt_local.data.profile import Profile
from automlgpt_local.errors import ResumeError
from automlgpt_local.events import (
    AttemptFinished,
    CodeWritten,
    Decided,
    Event,
    Gated,
    Profiled,
    TaskResolved,
    read_events,
)  # fmt: skip
from automlgpt_local.llm.backend import Template
from automlgpt_local.metrics import METRICS
from automlgpt_local.task import TaskSpec
from finetune.rows import Row, filled

ADVISED_COLUMNS = 128  # as in agents.loop


@dataclass
class Replay:
    """What was known at each decision of one session."""

    group: str
    family: str = "recorded"
    task: TaskSpec | None = None
    profile: Profile | None = None
    journal: Journal | None = None
    written: dict[int, CodeWritten] = field(default_factory=dict)
    gates: dict[int, Gated] = field(default_factory=dict)
    tools: list[str] = field(default_factory=list)
    treatments: dict[str, str] = field(default_factory=dict)
    advised: dict[str, str] = field(default_factory=dict)
    batch: int = 0

    def take(self, event: Event) -> None:
        """Bring the situation up to date with an event that is no decision."""
        if isinstance(event, TaskResolved):
            self.task = TaskSpec.from_json(event.task)
            self.journal = Journal(METRICS[self.task.metric])
        elif isinstance(event, Profiled):
            self.profile = Profile.from_json(event.profile)
            self.treatments = {c.name: compact.default_treatment(c, self.profile.rows) for c in self.profile.columns}
            self.advised = dict(self.treatments)
        elif isinstance(event, CodeWritten):
            self.written[event.attempt] = event
        elif isinstance(event, AttemptFinished) and self.journal is not None:
            code = self.written[event.attempt]
            attempt = SimpleNamespace(number=event.attempt, recipe=code.recipe, probe=code.probe, params=code.params)
            evaluation: Any = SimpleNamespace(
                attempt=attempt, status=event.status, ok=event.status == "ok" and event.score is not None,
                score=event.score, seconds=event.seconds, predict_ms=0.0,
            )  # fmt: skip
            self.journal.add(evaluation)
        elif isinstance(event, Gated) and event.kept and _is_advised(self.written[event.attempt]):
            self.treatments = dict(self.advised)

    def opening(self, agent: str) -> str:
        return compact.opening(agent, self.task, self.profile)

    def board(self) -> list[tuple[str, str, str, str]]:
        return _board(SimpleNamespace(journal=self.journal, task=self.task))  # type: ignore[arg-type]

    def question(self, event: Decided, recipe: str) -> tuple[str, str, Template, dict[str, str]] | None:
        """(decision, agent, template, choices) of a decision; None where the compact dialect cannot say it."""
        assert self.profile is not None and self.journal is not None
        values = {k: str(v) for k, v in event.values.items()}
        if event.decision == "next_tool":
            done = list(self.tools)
            self.tools.append(values["tool"])
            return "tool", "reasoner", compact.next_tool(done), values
        if event.decision == "treatments":
            columns = self._batch()
            self.advised.update({c.name: values[f"c{i}"] for i, c in enumerate(columns)})
            first = (self.batch - 1) * compact.BATCH
            return "treat", "reasoner", compact.treat(columns, first, self.profile.rows), values
        if event.decision == "features" and "source" not in values:
            proposed = ideas.propose(self.profile, self.treatments, 12)
            return "features", "coder", compact.features(proposed), values
        if event.decision == "next_recipe":
            return "next_recipe", "reasoner", compact.next_recipe(self.board(), event.about), values
        if event.decision == "next_tune":
            return "next_tune", "reasoner", compact.next_tune(self.board(), event.about), {"next": values["next"]}
        if event.decision == "params" and values and recipe in compact.RECIPES:
            grid = recipes.load(installed_only=False)[recipe].grid
            return "params", "coder", compact.params(recipe, grid, self.board()), values
        return None

    def _batch(self) -> Sequence[Any]:
        assert self.profile is not None
        columns = list(self.profile.columns)
        names = {c.name for c in sorted(columns, key=lambda c: -(c.association or 0.0))[:ADVISED_COLUMNS]}
        telling = [c for c in columns if c.name in names]
        first = self.batch * compact.BATCH
        self.batch += 1
        return telling[first : first + compact.BATCH]


def _is_advised(code: CodeWritten) -> bool:
    """The module that tries the Reasoning agent's treatment of the columns."""
    return "Reasoner's treatment" in code.title


def session_rows(path: Path, *, only_kept: bool = False, licence: str = "") -> Iterator[Row]:
    """The rows of one run directory or events.jsonl. only_kept: leave out what the gate refused.

    Decisions whose options were others than today's are passed over. Raises ResumeError for a broken log.
    """
    log = path / "events.jsonl" if path.is_dir() else path
    events = [record.event for record in read_events(log)]
    profiled = next((e for e in events if isinstance(e, Profiled)), None)
    if profiled is None:
        return
    replay = Replay(group=fingerprint(profiled.profile))
    for i, event in enumerate(events):
        if not isinstance(event, Decided):
            replay.take(event)
            continue
        later = events[i + 1 :]
        written = next((e for e in later if isinstance(e, CodeWritten)), None)
        question = replay.question(event, written.recipe if written else "")
        if question is None:
            continue
        decision, agent, template, choices = question
        outcome = _outcome(decision, later, written)
        if only_kept and outcome.get("kept") is False:
            continue
        try:
            parts = filled(template, choices)
        except (ValueError, KeyError):
            continue
        yield Row(
            decision, replay.group, replay.family, False, f"recorded {event.by}", (replay.opening(agent),), parts,
            {**outcome, "licence": licence} if licence else outcome,
        )  # fmt: skip


def _outcome(decision: str, later: Sequence[Event], written: CodeWritten | None) -> dict[str, Any]:
    """What came of it: ran, score, and whether the gate kept it."""
    if written is None or decision == "tool":
        return {}
    number = written.attempt
    if decision == "treat":  # two probes follow: the rules' and the advised one
        advised = (e for e in later if isinstance(e, CodeWritten) and _is_advised(e))
        number = next((e.attempt for e in advised), number)
    done = next((e for e in later if isinstance(e, AttemptFinished) and e.attempt == number), None)
    gate = next((e for e in later if isinstance(e, Gated) and e.attempt == number), None)
    found: dict[str, Any] = {}
    if done is not None:
        found |= {"ran": done.status == "ok", "score": done.score}
    if gate is not None:
        found |= {"gain": gate.gain, "kept": gate.kept}
    return found


def fingerprint(profile: Mapping[str, Any]) -> str:
    """Names a data set by its shape and statistics, so that rows can be kept apart by data set."""
    facts = [profile["rows"], *[(c["name"], c["kind"], c["unique"], c.get("mean")) for c in profile["columns"]]]
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:16]


def collect(paths: Iterable[Path], *, only_kept: bool = False) -> list[Row]:
    """Rows of many sessions without doubles; sessions that cannot be read are passed over."""
    seen: dict[tuple[Any, ...], Row] = {}
    for path in paths:
        try:
            for row in session_rows(path, only_kept=only_kept):
                seen.setdefault((row.group, row.prompt, row.completion), row)
        except (OSError, ResumeError, ValueError, TypeError, KeyError):
            continue
    return list(seen.values())


def split(rows: Sequence[Row], share: float = 0.2, without: Iterable[str] = ()) -> list[Row]:
    """Marks a share of the data sets as held out, by a hash of their fingerprint; rows of data sets in `without`
    (fingerprints of evaluation data) are left out."""
    banned = set(without)
    kept = [r for r in rows if r.group not in banned]
    return [
        replace(r, held_out=int(hashlib.sha256(r.group.encode()).hexdigest(), 16) % 1000 < share * 1000) for r in kept
    ]


def as_messages(row: Row) -> dict[str, Any]:
    """The row as chat messages, with its outcome beside them."""
    return {
        "messages": [{"role": "user", "content": row.prompt}, {"role": "assistant", "content": row.completion}],
        "outcome": row.outcome, "group": row.group, "decision": row.decision,
    }  # fmt: skip


def as_sharegpt(row: Row) -> dict[str, Any]:
    return {"conversations": [{"from": "human", "value": row.prompt}, {"from": "gpt", "value": row.completion}]}


def preview(row: Row) -> str:
    """The row's text with the choices, which alone count in the loss, between double brackets."""
    return "".join(row.transcript) + "".join(p if isinstance(p, str) else f"[[{p['choice']}]]" for p in row.parts)
