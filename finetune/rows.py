"""Training rows: a filled template of the compact dialect, and its tokens with the loss on the choices alone.

A row is what the live model sees, byte for byte: the transcript, then a template from `agents.compact` with the
teacher's choice in every slot. Rows are stored as JSONL, one per decision.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automlgpt_local.llm.backend import Choice, Template
from finetune.tokenizer import NanoTokenizer

# A feature that does not help costs little, one that is missed costs its gain: so "yes" counts more.
YES_WEIGHT = 1.5


@dataclass(frozen=True)
class Row:
    """decision: treat | features | next_recipe | params | next_tune | tool | solution | repair.

    group: the table it comes from.
    """

    decision: str
    group: str
    family: str
    held_out: bool
    teacher: str  # truth | measured | published | recorded
    transcript: tuple[str, ...]
    parts: tuple[str | dict[str, Any], ...]  # text, or {"name", "options", "choice"}
    outcome: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        return json.dumps(self.__dict__, ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Row:
        values = json.loads(line)
        values["transcript"], values["parts"] = tuple(values["transcript"]), tuple(values["parts"])
        return cls(**values)

    @property
    def prompt(self) -> str:
        """Everything before the first slot."""
        text = "".join(self.transcript)
        for part in self.parts:
            if not isinstance(part, str):
                break
            text += part
        return text

    @property
    def completion(self) -> str:
        return "".join(self.transcript + tuple(p if isinstance(p, str) else p["choice"] for p in self.parts))[
            len(self.prompt) :
        ]


def filled(template: Template, choices: Mapping[str, str]) -> tuple[str | dict[str, Any], ...]:
    """The template with a choice in each slot. Raises ValueError for a choice that is not among the options."""
    parts: list[str | dict[str, Any]] = []
    for part in template:
        if isinstance(part, str):
            parts.append(part)
        elif isinstance(part, Choice):
            if choices[part.name] not in part.options:
                raise ValueError(f"{part.name}: {choices[part.name]!r} is none of {part.options}")
            parts.append({"name": part.name, "options": list(part.options), "choice": choices[part.name]})
        else:
            raise ValueError("free text has no place in the compact dialect")
    return tuple(parts)


def write_rows(path: Path, rows: Iterable[Row]) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as out:
        for row in rows:
            out.write(row.to_json() + "\n")
            count += 1
    return count


def read_rows(path: Path) -> Iterator[Row]:
    """Raises ValueError for another file."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = Row.from_json(line)
            except (ValueError, KeyError, TypeError) as error:
                raise ValueError(f"{path}, line {number}: no row for the nano ({error!r})") from error
            yield row


@dataclass(frozen=True)
class Branch:
    """One reading of the logits: at `position` the next token is `token`, one of `allowed`; `slot` counts the slots."""

    position: int
    token: int
    allowed: tuple[int, ...]
    slot: int
    weight: float = 1.0


@dataclass(frozen=True)
class Encoded:
    tokens: tuple[int, ...]
    branches: tuple[Branch, ...]


def encode(row: Row, tokenizer: NanoTokenizer) -> Encoded:
    """Tokens as the filling decoder feeds them: piece by piece, and options along the trie of their tokens."""
    tokens = [tokenizer.bos]
    branches: list[Branch] = []
    for piece in row.transcript:
        tokens += tokenizer.ids(piece)
    slot = 0
    for part in row.parts:
        if isinstance(part, str):
            tokens += tokenizer.ids(part)
            continue
        paths = {option: tokenizer.ids(option) for option in part["options"]}
        path = paths[part["choice"]]
        for depth, token in enumerate(path):
            allowed = {p[depth] for p in paths.values() if p[:depth] == path[:depth] and len(p) > depth}
            if len(allowed) > 1:
                weight = YES_WEIGHT if row.decision == "features" and part["choice"] == "yes" else 1.0
                branches.append(Branch(len(tokens) - 1, token, tuple(sorted(allowed)), slot, weight))
            tokens.append(token)
        slot += 1
    return Encoded(tuple(tokens), tuple(branches))
