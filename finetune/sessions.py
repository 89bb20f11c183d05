"""What models achieved in recorded sessions: code that ran at once, repairs, turns given up, scores side by side."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automlgpt_local.errors import ResumeError
from automlgpt_local.events import (
    AttemptFinished,
    CodeRejected,
    Decided,
    Event,
    HoldoutScored,
    ModelStarted,
    Profiled,
    SessionStarted,
    TaskResolved,
    TookOver,
    read_events,
)
from automlgpt_local.metrics import METRICS
from finetune.traces import fingerprint


@dataclass
class Record:
    """Of one model over its sessions. losses: (data set, metric, seconds) -> loss on the locked rows."""

    sessions: int = 0
    decisions: int = 0
    taken_over: int = 0
    modules: int = 0
    ran_at_once: int = 0
    ran_in_the_end: int = 0
    repairs: int = 0
    losses: dict[tuple[str, str, float], list[float]] = field(default_factory=dict)


def outcomes(paths: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Model and the first digits of its file's hash -> figures. Sessions that cannot be read are passed over."""
    records: dict[str, Record] = {}
    for path in paths:
        try:
            events = [r.event for r in read_events(path)]
        except (OSError, ResumeError):
            continue
        name = _model(events)
        if name:
            _add(records.setdefault(name, Record()), events)
    ranks = _ranks({name: record.losses for name, record in records.items()})
    return {name: _figures(record) | ranks.get(name, {}) for name, record in records.items()}


def page(found: Mapping[str, Mapping[str, Any]]) -> str:
    """The same as Markdown."""
    columns = list(dict.fromkeys(key for row in found.values() for key in row))
    lines = [f"| model | {' | '.join(c.replace('_', ' ') for c in columns)} |", "|---" * (len(columns) + 1) + "|"]
    lines += [f"| {name} | {' | '.join(str(row.get(c, '')) for c in columns)} |" for name, row in found.items()]
    return "\n".join(lines) + "\n"


def _model(events: Sequence[Event]) -> str:
    asked = next((e.model for e in events if isinstance(e, SessionStarted)), "")
    opened = next((e for e in events if isinstance(e, ModelStarted)), None)
    return f"{asked} {opened.sha256[:12]}".strip() if opened is not None else asked


def _add(record: Record, events: Sequence[Event]) -> None:
    record.sessions += 1
    record.decisions += sum(isinstance(e, Decided) for e in events)
    record.taken_over += sum(isinstance(e, TookOver) for e in events)
    for i, event in enumerate(events):
        if isinstance(event, Decided) and event.decision == "solution" and event.values.get("source"):
            _add_module(record, events[i + 1 :])
    task = next((e.task for e in events if isinstance(e, TaskResolved)), None)
    profiled = next((e.profile for e in events if isinstance(e, Profiled)), None)
    scored = [e for e in events if isinstance(e, HoldoutScored)]
    if task and profiled and scored:
        names = fingerprint(str(c["name"]) for c in profiled["columns"])
        cell = (names, str(task["metric"]), float(task["time_limit_s"]))
        record.losses.setdefault(cell, []).append(METRICS[task["metric"]].loss(scored[-1].score))


def _add_module(record: Record, later: Sequence[Event]) -> None:
    """A module and its repairs, up to the next question."""
    statuses: list[bool] = []
    for event in later:
        if isinstance(event, Decided) and event.decision != "repair":
            break
        record.repairs += isinstance(event, Decided)
        if isinstance(event, AttemptFinished):
            statuses.append(event.status in ("ok", "pruned"))
        elif isinstance(event, CodeRejected) and not statuses:
            statuses.append(False)
    record.modules += 1
    record.ran_at_once += bool(statuses) and statuses[0]
    record.ran_in_the_end += bool(statuses) and statuses[-1]


def _figures(record: Record) -> dict[str, Any]:
    found: dict[str, Any] = {
        "sessions": record.sessions, "decisions": record.decisions, "taken_over": record.taken_over,
        "modules": record.modules,
    }  # fmt: skip
    if record.modules:
        found["ran_at_once"] = round(record.ran_at_once / record.modules, 3)
        found["ran_in_the_end"] = round(record.ran_in_the_end / record.modules, 3)
        found["repairs_per_module"] = round(record.repairs / record.modules, 3)
    return found


def _ranks(losses: Mapping[str, Mapping[tuple[str, str, float], Sequence[float]]]) -> dict[str, dict[str, Any]]:
    """Mean rank on the data sets, metrics and time limits that all models share; 1 is best, ties share a rank."""
    if len(losses) < 2:
        return {}
    shared = set.intersection(*(set(cells) for cells in losses.values()))
    ranks: dict[str, list[float]] = {name: [] for name in losses}
    for cell in shared:
        means = {name: sum(cells[cell]) / len(cells[cell]) for name, cells in losses.items()}
        for name, mine in means.items():
            ties = sum(other == mine for other in means.values()) - 1
            ranks[name].append(1 + sum(other < mine for other in means.values()) + ties / 2)
    return {n: {"shared_data_sets": len(r), "mean_rank": round(sum(r) / len(r), 3)} for n, r in ranks.items() if r}
