"""What a question in plain English is about: columns, conditions on rows, groups, a statistic. No language model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from automlgpt_local.data.names import find_column, tokens

MOST_WORDS = 5
MOST_VALUES = 60
_WORD = re.compile(r"[\"'`]([^\"'`]+)[\"'`]|[^\s,;?!]+")
_PLAIN_WORDS = frozenset(
    {"a", "an", "the", "of", "in", "on", "at", "by", "per", "to", "for", "from", "and", "or", "not", "is", "are", "was",
     "were", "be", "there", "this", "that", "it", "its", "what", "which", "who", "how", "when", "where", "why", "do",
     "does", "did", "have", "has", "had", "many", "much", "any", "all", "each", "every", "with", "without", "between",
     "than", "more", "less", "most", "least", "data", "table", "row", "rows", "column", "columns", "value", "values",
     "mean", "average", "median", "sum", "total", "min", "max", "count", "number", "unique", "different", "common",
     "distribution", "share", "percentage", "percent", "correlation", "target", "id", "name", "names", "date", "time",
     "one", "two", "show", "tell", "me", "about", "give", "list", "high", "highest", "low", "lowest", "large",
     "largest", "small", "smallest", "range", "class", "classes"}
)  # fmt: skip
_STATISTICS: tuple[tuple[str, str], ...] = (
    ("median", r"median|typical"),
    ("mean", r"mean|average|avg"),
    ("sum", r"sum|total"),
    ("min", r"min(?:imum)?|lowest|smallest|least|cheapest|youngest|earliest|shortest|first"),
    ("max", r"max(?:imum)?|highest|largest|biggest|most\s+expensive|oldest|latest|longest|greatest|last"),
    ("std", r"std|standard\s+deviation|spread|variance|vary|varies"),
)
_COMPARE: tuple[tuple[str, str], ...] = (
    (">=", r">=|≥|at\s+least|or\s+more|no\s+less\s+than"),
    ("<=", r"<=|≤|at\s+most|up\s+to|no\s+more\s+than"),
    ("!=", r"!=|≠|is\s+not|isn'?t|not|other\s+than"),
    (">", r">|above|over|more\s+than|greater\s+than|higher\s+than|larger\s+than|older\s+than|after|exceed\w*"),
    ("<", r"<|below|under|less\s+than|smaller\s+than|lower\s+than|fewer\s+than|younger\s+than|before"),
    ("==", r"==?|is|are|equals?|equal\s+to|of|:"),
)
_GROUP = re.compile(
    r"\b(?:by|per|for\s+each|for\s+every|in\s+each|of\s+each|across|grouped\s+by|depending\s+on)\s+(?:the\s+)?$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Condition:
    column: str
    operator: str
    value: Any

    def __str__(self) -> str:
        sign = "=" if self.operator == "==" else self.operator
        return f"{self.column} {sign} {self.value}"

    def rows(self, frame: pd.DataFrame) -> pd.Series:
        """Which rows meet it: (n_rows,) bool."""
        column = frame[self.column]
        compare = {"==": "eq", "!=": "ne", ">": "gt", "<": "lt", ">=": "ge", "<=": "le"}[self.operator]
        met: pd.Series = getattr(column, compare)(self.value).fillna(False).astype(bool) & column.notna()
        return met


@dataclass
class Question:
    """`columns` are in the order in which they are mentioned, without those of groups and conditions."""

    text: str
    columns: list[str] = field(default_factory=list)
    group: str | None = None
    conditions: list[Condition] = field(default_factory=list)
    statistic: str | None = None

    def asks(self, pattern: str) -> bool:
        return re.search(rf"\b(?:{pattern})\b", self.text, re.IGNORECASE) is not None


def understand(text: str, frame: pd.DataFrame) -> Question:
    """Find the columns that a question mentions, and what it says of them."""
    question = Question(" ".join(text.split()))
    mentions = _mentions(question.text, [str(c) for c in frame.columns])
    taken: list[tuple[int, int]] = [(start, end) for start, end, _ in mentions]
    for start, end, column in mentions:
        condition = _condition(question.text[end:], frame[column], column)
        if condition is not None:
            question.conditions.append(condition)
        elif question.group is None and _GROUP.search(question.text[:start]):
            question.group = column
        elif column not in question.columns:
            question.columns.append(column)
    said = {c.column for c in question.conditions} | {question.group, *question.columns}
    question.conditions += _implied(_blanked(question.text, taken), frame, said)
    rest = _blanked(question.text, taken)
    question.statistic = next((name for name, p in _STATISTICS if re.search(rf"\b(?:{p})\b", rest, re.I)), None)
    return question


def _blanked(text: str, places: Sequence[tuple[int, int]]) -> str:
    letters = list(text)
    for start, end in places:
        letters[start:end] = "·" * (end - start)
    return "".join(letters)


def _mentions(text: str, columns: Sequence[str]) -> list[tuple[int, int, str]]:
    """(start, end, column), longest names first at each place; a plain English word is a column only in quotes."""
    words = list(_WORD.finditer(text))
    found: list[tuple[int, int, str]] = []
    at = 0
    while at < len(words):
        for n in range(min(MOST_WORDS, len(words) - at), 0, -1):
            start, end = words[at].start(), words[at + n - 1].end()
            quoted = words[at][1] if n == 1 else None
            phrase = quoted or text[start:end].strip(".:'\"")
            if quoted is None and n == 1 and phrase.lower() in _PLAIN_WORDS:
                continue
            if not re.search(r"\w$", phrase) and phrase not in columns:
                continue  # the sign of a condition: "price >"
            name = find_column(phrase, columns) or (_near(phrase, columns) if n == 1 else None)
            if name is not None:
                found.append((start, end, name))
                at += n - 1
                break
        at += 1
    return found


def _near(word: str, columns: Sequence[str]) -> str | None:
    """ "prices" for price, "patient" for patient_id where only one column has that word."""
    if len(word) < 3:
        return None
    for candidate in dict.fromkeys([word, word.rstrip("s")]):
        name = find_column(candidate, columns)
        if name is not None:
            return name
        having = [c for c in columns if candidate.lower() in tokens(c)]
        if len(having) == 1 and len(candidate) > 3:
            return having[0]
    return None


def _condition(after: str, values: pd.Series, column: str) -> Condition | None:
    """ "= Yes", "is above 30" behind a column's name."""
    for operator, pattern in _COMPARE:
        match = re.match(rf"\s*(?:is|are|was|were|has|have|of)?\s*(?:{pattern})(?!\w)\s*(?P<rest>.*)", after, re.I)
        if match is None:
            continue
        value = _value(match["rest"], values, ordered=operator in (">", "<", ">=", "<="))
        if value is not None:
            return Condition(column, operator, value)
    return None


def _value(text: str, values: pd.Series, *, ordered: bool) -> Any:
    number = re.match(r"[\"'`]?[$€£]?(-?\d[\d,]*(?:\.\d+)?)", text)
    if pd.api.types.is_numeric_dtype(values):
        return float(number[1].replace(",", "")) if number else None
    quoted = re.match(r"[\"'`]([^\"'`]+)[\"'`]", text)
    if ordered:
        date = quoted[1] if quoted else (text.split() or [""])[0].strip("?.,")
        return date if re.match(r"\d{4}-\d", date) else None
    known = {str(v).strip().lower(): str(v) for v in values.dropna().unique()[:5000]}
    words = [w.strip("?.,!;") for w in text.split()]
    for phrase in [quoted[1] if quoted else "", *(" ".join(words[:n]) for n in range(min(6, len(words)), 0, -1))]:
        if phrase and phrase.lower() in known:
            return known[phrase.lower()]
    return None


def _implied(text: str, frame: pd.DataFrame, said: set[str | None]) -> list[Condition]:
    """ "the average price in Manhattan": a value that only one column of few values has."""
    found: list[Condition] = []
    lowered = text.lower()
    for column in frame.columns:
        if column in said or pd.api.types.is_numeric_dtype(frame[column]):
            continue
        values = frame[column].dropna().unique()
        if len(values) > MOST_VALUES:
            continue
        for value in map(str, values):
            plain = value.strip().lower()
            if (
                len(plain) >= 4
                and plain not in _PLAIN_WORDS
                and re.search(rf"(?<!\w){re.escape(plain)}s?(?!\w)", lowered)
            ):
                found.append(Condition(str(column), "==", value))
                break
    return found if len(found) <= 2 else []
