"""Recorded sessions to training rows: each decision of `events.jsonl`, with what came of it.

For models of the compact dialect a row is a filled template (`rows.Row`): no column name and no cell value is in it.
For chat models it is the full conversation (`Chat`): names of columns are in it, cell values and secrets are not.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from automlgpt_local.errors import ResumeError
from automlgpt_local.events import Decided, Profiled, read_events
from finetune.outcome import failed, outcome_of
from finetune.redact import redact
from finetune.replay import AskedError, Replay
from finetune.rows import Row, filled

# What the rows call a decision, where that is not its name in the events.
NAMES = {"treatments": "treat", "next_tool": "tool"}
SAME_TABLE = 0.8  # of a session's columns found in another table: the two are one data set


@dataclass(frozen=True)
class Chat:
    """A turn of a chat model: what it was shown, and in the last message what it answered. As Row otherwise."""

    decision: str
    group: str
    held_out: bool
    teacher: str
    messages: tuple[dict[str, str], ...]
    outcome: dict[str, Any] = field(default_factory=dict)


AnyRow = TypeVar("AnyRow", Row, Chat)


@dataclass(frozen=True)
class Wanted:
    """only_kept: leave out what the gate refused and mended modules that did not run. cells: as in Replay."""

    only_kept: bool = False
    cells: bool = False
    licence: str = ""


def session_rows(path: Path, wanted: Wanted = Wanted()) -> Iterator[Row]:
    """Compact rows of one run directory or events.jsonl. Raises ResumeError for a broken log."""
    for decision, group, event, asked, outcome, _ in _decisions(path, wanted, chat=False):
        try:
            parts = filled(asked.template, {k: str(v) for k, v in event.values.items()})
        except (ValueError, KeyError):  # its options were others than today's
            continue
        yield Row(decision, group, "recorded", False, f"recorded {event.by}", asked.transcript, parts, outcome)


def session_chats(path: Path, wanted: Wanted = Wanted()) -> Iterator[Chat]:
    """The same decisions as a chat model would have been asked them and should have answered them."""
    for decision, group, event, asked, outcome, replay in _decisions(path, wanted, chat=True):
        answer = _answer(event, asked, replay)
        if answer:
            said = [*((m.role, m.content) for m in asked.messages), ("assistant", answer)]
            messages = tuple({"role": role, "content": redact(str(text))} for role, text in said)
            yield Chat(decision, group, False, f"recorded {event.by}", messages, outcome)


def _answer(event: Decided, asked: AskedError, replay: Replay) -> str:
    """What a chat model should have written; empty where the question has no such answer."""
    source = event.values.get("source") or (replay.features_code(event) if event.decision == "features" else "")
    if source:
        return f"{event.thought}\n\n```python\n{source.strip()}\n```".strip()
    values = {name: event.values.get(name) for name in asked.slots}
    if not values or any(values[name] not in options for name, options in asked.slots.items()):
        return ""
    return json.dumps({"thought": event.thought, **values}, ensure_ascii=False)


def _decisions(
    path: Path, wanted: Wanted, *, chat: bool
) -> Iterator[tuple[str, str, Decided, AskedError, dict[str, Any], Replay]]:
    """(decision, data set, event, what was asked, what came of it, what was known) of each."""
    log = path / "events.jsonl" if path.is_dir() else path
    records = list(read_events(log))
    profiled = next((r.event for r in records if isinstance(r.event, Profiled)), None)
    if profiled is None:
        return
    group = fingerprint(columns_in(profiled))
    replay = Replay(log.parent, chat, wanted.cells)
    for i, record in enumerate(records):
        event = record.event
        if isinstance(event, Decided):
            asked = replay.ask(event)
            outcome = outcome_of(event, [r.event for r in records[i + 1 :]])
            if asked is not None and not (wanted.only_kept and failed(event.decision, outcome)):
                outcome |= {"licence": wanted.licence} if wanted.licence else {}
                yield NAMES.get(event.decision, event.decision), group, event, asked, outcome, replay
        replay.take(record)


def fingerprint(names: Iterable[str]) -> str:
    """Names a data set by its columns' names: other rows of the same table are the same data set."""
    return hashlib.sha256(json.dumps(sorted(names)).encode()).hexdigest()[:16]


def columns_in(profiled: Profiled) -> frozenset[str]:
    return frozenset(str(c["name"]) for c in profiled.profile["columns"])


def columns_of(path: Path) -> list[frozenset[str]]:
    """The column names of a table, or of every session below a folder. Raises DataError."""
    if path.is_dir():
        found = (_session_columns(log) for log in sessions_below([path]))
        return [names for names in found if names is not None]
    from automlgpt_local.data.load import column_names

    return [frozenset(column_names(path))]


def apart_from(sessions: Iterable[Path], tables: Sequence[frozenset[str]]) -> list[Path]:
    """The sessions on none of these tables, of which column names are given, whichever of their rows they saw."""

    def known(path: Path) -> bool:
        try:
            names = _session_columns(path) or frozenset()
        except (OSError, ResumeError):  # `collect` names it
            return False
        return bool(names) and any(len(names & other) >= SAME_TABLE * len(names) for other in tables)

    return [path for path in sessions if not known(path)]


def _session_columns(log: Path) -> frozenset[str] | None:
    return next((columns_in(r.event) for r in read_events(log) if isinstance(r.event, Profiled)), None)


def collect(paths: Iterable[Path], wanted: Wanted = Wanted(), *, chat: bool = False) -> tuple[list[Any], list[Path]]:
    """(Rows or Chats of many sessions without doubles, the sessions that cannot be read)."""
    seen: dict[tuple[Any, ...], Row | Chat] = {}
    broken: list[Path] = []
    for path in paths:
        try:
            for row in session_chats(path, wanted) if chat else session_rows(path, wanted):
                key = (row.group, *map(str, row.messages if isinstance(row, Chat) else (row.prompt, row.completion)))
                seen.setdefault(key, row)
        except (OSError, ResumeError, ValueError, TypeError, KeyError):
            broken.append(path)
    return list(seen.values()), broken


def split(rows: Sequence[AnyRow], share: float = 0.2) -> list[AnyRow]:
    """Marks a share of the data sets as held out: all rows of one, or none."""
    apart = held_out_groups({r.group for r in rows}, share)
    return [replace(r, held_out=r.group in apart) for r in rows]


def held_out_groups(groups: Iterable[str], share: float) -> set[str]:
    """A share of the data sets, by a hash of their fingerprint. One at least is left to train on, unless share is 1."""
    drawn = {group: int(hashlib.sha256(group.encode()).hexdigest(), 16) % 1000 for group in groups}
    apart = {group for group, number in drawn.items() if number < share * 1000}
    if share < 1 and len(apart) == len(drawn) > 0:
        apart.remove(max(apart, key=lambda group: (drawn[group], group)))
    return apart


# --- how they are written
def as_messages(row: Chat) -> dict[str, Any]:
    """As other trainers read them, with the outcome beside them."""
    return {**asdict(row), "messages": list(row.messages)}


def as_sharegpt(row: Chat) -> dict[str, Any]:
    """The same with turns as ShareGPT names them."""
    names = {"system": "system", "user": "human", "assistant": "gpt"}
    turns = [{"from": names[m["role"]], "value": m["content"]} for m in row.messages]
    return {"conversations": turns, **{k: v for k, v in asdict(row).items() if k != "messages"}}


def preview(row: Row | Chat) -> str:
    """The row's text; what counts in the loss stands between double brackets."""
    if isinstance(row, Chat):
        *asked, answer = row.messages
        text = "".join(f"<{m['role']}>\n{m['content']}\n" for m in asked)
        return f"{text}<assistant>\n[[{answer['content']}]]\n"
    return "".join(row.transcript) + "".join(p if isinstance(p, str) else f"[[{p['choice']}]]" for p in row.parts)


def sessions_below(paths: Sequence[Path]) -> list[Path]:
    """Every events.jsonl that is named or lies below a folder that is named. Raises ValueError where there is none."""
    for path in paths:
        if not path.exists():
            raise ValueError(f"there is no {path}: check the spelling and the folder you are in")
    found: Collection[Path] = dict.fromkeys(
        file for path in paths for file in ([path] if path.is_file() else sorted(path.rglob("events.jsonl")))
    )
    if not found:
        raise ValueError(f"no recorded session (events.jsonl) lies below {', '.join(map(str, paths))}")
    return list(found)
