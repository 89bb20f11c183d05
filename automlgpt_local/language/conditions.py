"""Conditions on rows as people write them: "at least 30", "between 2 and 5", "Rome or Oslo", "not before June 2022"."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from automlgpt_local.data.dates import date_format, day_numbers, parse_dates
from automlgpt_local.data.kinds import number_kind, text_as_number, text_kind
from automlgpt_local.data.names import tokens

Kind = Literal["number", "date", "text"]
Test = tuple[str, Any]  # an operator and a value
Read = tuple["Condition", int]  # with where its words end
MOST_KNOWN = 5000
_OPPOSITE = {"==": "!=", "!=": "==", ">": "<=", "<=": ">", "<": ">=", ">=": "<"}
_MORE = r"(?:more|greater|higher|larger|bigger|longer|older|later|above|over|up)"
_LESS = r"(?:less|fewer|smaller|lower|shorter|younger|earlier|below|under)"
_OR_EQUAL = r"{0}\s+(?:than\s+)?or\s+equal(?:\s+to)?|equal\s+(?:to\s+)?or\s+{0}(?:\s+than)?"
_OPERATORS = tuple(
    (name, re.compile(rf"(?:{pattern})(?![A-Za-z])\s*", re.IGNORECASE))
    for name, pattern in (
        (">=", rf">=|=>|≥|at\s+least|{_OR_EQUAL.format(_MORE)}|since|from"),
        ("<=", rf"<=|=<|≤|at\s+most|{_OR_EQUAL.format(_LESS)}|up\s+to|until"),
        ("!=", r"!=|<>|≠|other\s+than|except(?:\s+for)?|excluding|outside(?:\s+of)?|different\s+from"),
        (">", rf">|above|over|{_MORE}\s+than|after|exceed\w*"),
        ("<", rf"<|below|under|{_LESS}\s+than|before"),
        ("==", r"==?|equals?(?:\s+to)?|exactly"),
    )
)
_OF_TIME = re.compile(r"since|from|until|after|before", re.IGNORECASE)
_LINK = re.compile(
    r"\s*:?\s*(?:(?:is|are|was|were|be|been|has|have|had|do|does|did|of|that|which|who|as|only)(?!\w)\s*)*", re.I
)
_NOT = re.compile(r"(?:not|never|no|neither|\w+n['’]t)\s+", re.IGNORECASE)
_ARTICLES = re.compile(r"(?:(?:the|a|an|of)\s+)*", re.IGNORECASE)
_PREPOSITIONS = re.compile(r"(?:(?:the|a|an|of|in|on|at|from|to|by|with|for|during)\s+)*", re.IGNORECASE)
_BETWEEN = re.compile(r"(?:(?P<said>between|from|(?:with)?in\s+the\s+range(?:\s+of)?)\s+)?", re.IGNORECASE)
_TO = re.compile(r"\s*(?:to|until|through|[-–])\s*", re.IGNORECASE)
_AND = re.compile(r"\s*(?:and|to|until|through|[-–])\s*", re.IGNORECASE)
_SUFFIXES = tuple(
    (sign, re.compile(rf"\s*(?:{plus}(?:or|and)\s+{words})(?!\w)(?!\s+(?:than\b|[$€£\d.-]))", re.IGNORECASE))
    for sign, plus, words in ((">=", r"\+|", _MORE), ("<=", "", _LESS))
)
_SEPARATOR = re.compile(
    r"\s*(?:,\s*(?:or|and|but|nor)\b|,|&|/|\b(?:or|and|but|nor)\b)\s*(?:(?:is|are|was|were|has|have|had)\s+)*", re.I
)
_NUMBER = re.compile(
    r"(?P<quote>[\"'`]?)(?P<sign>-?)[$€£¥]?(?P<n>\d{1,3}(?:([, ])\d{3})(?:\4\d{3})*(?:\.\d+)?|\d*\.?\d+)"
    r"(?P<power>[eE][+-]?\d+)?(?:\s?(?P<unit>[kKM%]|bn|(?i:thousand|million|billion|percent)))?(?P=quote)"
    r"(?![A-Za-z\d%])(?![.,:/]\d|-\d+-)"
)
_FACTOR = {"k": 1e3, "thousand": 1e3, "m": 1e6, "million": 1e6, "bn": 1e9, "billion": 1e9}
_YES, _NO = {"yes", "y", "true", "t", "1"}, {"no", "n", "false", "f", "0"}


@dataclass(frozen=True)
class Condition:
    """Tests of a column's values, of which all have to hold, or `either`; a missing value passes none.

    A value is a number, a text in any case, or a pandas Period: 2022 of a date means any day of that year.
    """

    column: str
    tests: tuple[Test, ...]
    either: bool = False

    def __str__(self) -> str:
        said = [
            f"{'=' if sign == '==' else sign} {v:.12g}"
            if isinstance(v, float)
            else f"{'=' if sign == '==' else sign} {v}"
            for sign, v in self.tests
        ]
        if self.either and {sign for sign, _ in self.tests} == {"=="}:
            said[1:] = [s.removeprefix("= ") for s in said[1:]]
        return f"{self.column} {(' or ' if self.either else ' and ').join(said)}"

    def denied(self) -> Condition:
        return Condition(self.column, tuple((_OPPOSITE[sign], value) for sign, value in self.tests), not self.either)

    def rows(self, frame: pd.DataFrame) -> np.ndarray:
        """Which rows meet it: (n_rows,) bool."""
        values = comparable(frame[self.column])[1]
        each = [_meet(values, sign, value) for sign, value in self.tests]
        met: np.ndarray = (np.logical_or if self.either else np.logical_and).reduce(each)
        return met & values.notna().to_numpy()


def _meet(values: pd.Series, sign: str, value: Any) -> np.ndarray:
    value = value.strip().lower() if isinstance(value, str) else value
    low, high = (value.start_time, value.end_time) if isinstance(value, pd.Period) else (value, value)
    if sign in ("==", "!="):
        met = values.between(low, high) if isinstance(value, pd.Period) else values == value
        met = met if sign == "==" else ~met
    else:
        met = {">": values.gt(high), ">=": values.ge(low), "<": values.lt(low), "<=": values.le(high)}[sign]
    return met.fillna(False).to_numpy(dtype=bool)


def comparable(values: pd.Series) -> tuple[Kind, pd.Series, str]:
    """What a column's values are compared as, the values so (text in lower case), and how dates are written."""
    known = values.dropna()
    if pd.api.types.is_numeric_dtype(values):
        kind = number_kind(str(values.name), known.to_numpy(), known.nunique(), float(values.isna().mean()))
        return ("date", day_numbers(values), "%Y%m%d") if kind == "date" else ("number", values, "")
    kind, written = text_kind(str(values.name), values.value_counts(), len(known))
    if kind == "date":
        return "date", parse_dates(values, written), written
    if kind == "numeric_text":
        return "number", text_as_number(values), ""
    return "text", values.str.strip().str.lower(), ""


class Reader:
    """Reads what a question says of the values of one column."""

    def __init__(self, values: pd.Series) -> None:
        self.column = str(values.name)
        self.kind, self.values, self._written = comparable(values)
        self.is_year = self.kind == "number" and bool({"year", "years", "yr"} & set(tokens(self.column)))
        self.known: dict[str, Any] = {}  # texts in lower case, and yes and no where there are such
        if self.kind == "text":
            self.known = {str(v).strip().lower(): str(v) for v in values.dropna().unique()[:MOST_KNOWN]}
        flags = (
            self.known
            if self.kind == "text"
            else {f"{v:g}": v for v in self.values.dropna().unique()[:3]}
            if self.kind == "number"
            else {}
        )
        self.is_flag = len(flags) == 2 and bool(set(flags) & _YES) and bool(set(flags) & _NO)
        if self.is_flag:
            self.known |= {w: v for said, v in flags.items() for words in (_YES, _NO) if said in words for w in words}

    def condition(
        self, text: str, at: int, names_at: Collection[int] = (), *, linked: bool = False, ranged: bool = False
    ) -> Read | None:
        """The condition that begins at a place of a text. `linked`: behind the column's name, where "is" or "of" may
        stand; `ranged`: "between" stands before that. `names_at`: where columns are named; a plain number before one is
        that column's."""
        link = _LINK.match(text, at) if linked else None
        found = self._tests(text, link.end() if link else at, "==", names_at, ranged)
        if found is None:
            return None
        tests, end = found
        either = False
        while separator := _SEPARATOR.match(text, end):
            inherited = tests[-1][0] if tests[-1][0] in ("==", "!=") else ""
            more = self._tests(text, separator.end(), inherited, names_at)
            if more is None or len(more[0]) > 1:
                break
            listed = {sign for sign, _ in (*tests, *more[0])} == {"=="}
            joins = listed or (tests[-1][0] != "!=" and re.match(r"\W*or\b", separator[0], re.IGNORECASE) is not None)
            if len(tests) > 1 and joins != either:
                break
            tests, end, either = [*tests, *more[0]], more[1], joins
        return Condition(self.column, tuple(tests), either), end

    def _tests(
        self, text: str, at: int, sign: str, names_at: Collection[int], ranged: bool = False
    ) -> tuple[list[Test], int] | None:
        """One comparison or one range. `sign`: what holds where none is said; "": one has to be."""
        span = _BETWEEN.match(text, at)
        low = self._literal(text, span.end()) if span and self.kind != "text" else None
        joint = (_AND if ranged or (span and span["said"]) else _TO).match(text, low[1]) if low else None
        high = self._literal(text, joint.end()) if joint else None
        if low and high:
            return [(">=", low[0]), ("<=", high[0])], high[1]
        negative = _NOT.match(text, at)
        at = negative.end() if negative else at
        signs = [
            (s, m) for s, p in _OPERATORS if (self.kind != "text" or s in ("==", "!=")) and (m := p.match(text, at))
        ]
        said = signs[0][1][0] if signs else ""
        sign, at = (signs[0][0], signs[0][1].end()) if signs else ("==" if negative else sign, at)
        between = (_ARTICLES if self.kind == "number" and not self.is_year else _PREPOSITIONS).match(text, at)
        found = self._literal(text, between.end() if between else at)
        if found is None or not sign or not self._is_meant(*found, text, said, names_at):
            return None
        value, end = found
        if sign == "==" and self.kind != "text":
            sign, end = next(((s, m.end()) for s, p in _SUFFIXES if (m := p.match(text, end))), (sign, end))
        return [(_OPPOSITE[sign] if negative else sign, value)], end

    def _is_meant(self, value: Any, end: int, text: str, said: str, names_at: Collection[int]) -> bool:
        """Whether the number is no year beside a price, and not said of the column that is named behind it."""
        if self.kind != "number" or self.is_year:
            return True
        if (not said or _OF_TIME.match(said)) and 1900 <= value <= 2100 and value % 1 == 0:
            return not said and bool((self.values == value).any())
        return bool(said) or len(text) - len(text[end:].lstrip()) not in names_at

    def _literal(self, text: str, at: int) -> tuple[Any, int] | None:
        if self.kind == "number" and (number := _NUMBER.match(text, at)):
            unit = (number["unit"] or "").lower()
            amount = float(number["sign"] + re.sub("[, ]", "", number["n"]) + (number["power"] or ""))
            is_share = unit in ("%", "percent") and self.values.abs().max() <= 1
            return amount * (0.01 if is_share else _FACTOR.get(unit, 1.0)), number.end()
        quoted = re.compile(r"[\"'`]([^\"'`]+)[\"'`]").match(text, at)
        words = [quoted] if quoted else list(re.compile(r"[^\s,;?!()·]+,?").finditer(text, at))[:6]
        for word in reversed(words):
            phrase = quoted[1] if quoted else text[at : word.end()].rstrip(".,:'\"")
            value = self._of_phrase(phrase)
            if value is not None:
                return value, quoted.end() if quoted else at + len(phrase)
        return None

    def _of_phrase(self, phrase: str) -> Any:
        if self.kind == "date":
            return _period(phrase, self._written)
        return self.known.get(phrase.lower(), self.known.get(phrase.lower().removesuffix("s")))


def _period(phrase: str, written: str) -> pd.Period | None:
    """A year, a month, a day or a moment. 3/4/2022 is read as the column writes it, or not at all."""
    if re.fullmatch(r"(?:19|20)\d\d", phrase):
        return pd.Period(phrase, "Y")
    own = date_format([phrase]) or ""
    if {own[:2], own[3:5]} == {"%d", "%m"}:
        own = written if {written[:2], written[3:5]} == {"%d", "%m"} and written[2] == own[2] else ""
    if not own or ("%H" in own and "%H" not in written):
        return None
    moment = parse_dates(pd.Series([phrase]), own)[0]
    unit = next(unit for sign, unit in (("%S", "s"), ("%H", "min"), ("%d", "D"), ("", "M")) if sign in own)
    return None if moment is pd.NaT else pd.Period(moment, unit)
