"""What a sentence of plain English asks for. No language model, no pandas: words that are known, columns that exist."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from automlgpt_local.data.names import find_column
from automlgpt_local.task import Kind


@dataclass
class Asked:
    """None or empty: not said."""

    target: str | None = None
    kind: Kind | None = None
    metric: str | None = None
    time_limit_s: float | None = None
    ignore: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    weight: str | None = None
    positive: str | None = None
    only: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    ensemble: bool | None = None
    threads: int | None = None
    trials: int | None = None
    warnings: list[str] = field(default_factory=list)


def parse_ask(text: str, columns: Sequence[str]) -> Asked:
    """Read a request against the columns of the table. Raises UsageError for a column that does not exist."""
    asked = Asked()
    match = re.search(r"\bpredict(?:ing)?\s+(?:the\s+)?[\"'`]?([\w .-]+)", text, re.IGNORECASE)
    if match:
        words = match.group(1).split()
        for n in range(min(5, len(words)), 0, -1):
            found = find_column(" ".join(words[:n]), columns)
            if found:
                asked.target = found
                break
    return asked
