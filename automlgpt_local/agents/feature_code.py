"""The text of features(df): helpers, treatments of columns, and the lines of ideas, put together.

Everything here is row-wise: no target, no state, the same rows out, so the code gives the same value for a row whether
it comes alone or with a million others. Column names only enter the code through repr(). Works on pandas 2.3 and 3.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automlgpt_local.agents.assemble import features_function


@dataclass(frozen=True)
class FeatureIdea:
    """One candidate feature. `code`: lines for the body of features(df). `facts`: its bucketed facts for a decision."""

    key: str
    op: str
    columns: tuple[str, ...]
    code: str
    facts: str


DATE_PARTS = ("year", "month", "day", "weekday", "hour", "days")

_HELPERS = {
    "_log": '''
def _log(column):
    """Log of the size, with the sign kept."""
    import numpy as np

    return np.sign(column) * np.log1p(column.abs())
''',
    "_days": '''
def _days(when):
    """Days since 2000, with their fractions."""
    import pandas as pd

    return (when - pd.Timestamp("2000-01-01")).dt.total_seconds() / 86400
''',
    "_cycle": '''
def _cycle(values, period):
    """Where in the period, as a point on the circle: (sine, cosine)."""
    import numpy as np

    return np.sin(2 * np.pi * values / period), np.cos(2 * np.pi * values / period)
''',
    "_numbers": '''
def _numbers(column):
    """Numbers inside text: "19M", "$4.99", "10,000+", "2 years", "50%". Anything else becomes missing."""
    import re

    import pandas as pd

    scale = {"k": 1e3, "m": 1e6, "b": 1e9}

    def parse(text):
        found = re.search(r"((?<!\\w)-)?[^\\w.-]*(\\d[\\d,]*(?:\\.\\d+)?|\\.\\d+)\\s*([A-Za-z]*)", str(text))
        if found is None:
            return float("nan")
        sign, digits, unit = found.groups()
        digits = re.sub(r"^(\\d+),(\\d{1,2}|\\d{4,})$", r"\\1.\\2", digits).replace(",", "")
        return (-1.0 if sign else 1.0) * float(digits) * scale.get(unit.lower(), 1.0)

    if pd.api.types.is_numeric_dtype(column):
        return column.astype(float)
    known = {value: parse(value) for value in column.dropna().unique()}
    return column.map(known).astype(float)
''',
    "_dates": '''
def _dates(column, form=""):
    """Points in time, each parsed on its own, first in the given format; what is no date becomes missing."""
    import warnings

    import pandas as pd

    known = column.dropna().unique()
    text = pd.Series([value if isinstance(value, str) else format(value, ".15g") for value in known], dtype=object)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        when = pd.to_datetime(text, format="mixed", dayfirst=form.startswith("%d"), errors="coerce", utc=True)
        if form:
            when = pd.to_datetime(text, format=form, errors="coerce", utc=True).fillna(when)
    return pd.to_datetime(column.map(dict(zip(known, when.dt.tz_localize(None)))))
''',
    "_cells": '''
def _cells(column, bounds=()):
    """The cell that each value lies in, as text: its own, or the interval between `bounds`; missing is "?"."""
    import numpy as np
    import pandas as pd

    if len(bounds):
        numbers = column.to_numpy(dtype="float64", na_value=np.nan)
        names = pd.Series(np.searchsorted(bounds, numbers, side="right"), index=column.index).astype(str)
        return names.where(column.notna(), "?").astype(object)
    text = column.map(lambda value: value if isinstance(value, str) else format(value, ".12g"), na_action="ignore")
    return text.astype(object).fillna("?")
''',
    "_labels": '''
def _labels(column):
    """Numbers as the names of categories; missing stays missing."""
    text = column.map(lambda value: value if isinstance(value, str) else format(value, ".12g"), na_action="ignore")
    return text.astype(object)
''',
}


def free_name(wanted: str, taken: Iterable[str]) -> str:
    taken = set(taken)
    name = wanted
    while name in taken:
        name += "_"
    return name


def parsed_date(column: Any) -> str:
    form = getattr(column, "date_format", "")
    return f"_dates(df[{column.name!r}]{f', {form!r}' if form else ''})"


def _date_lines(column: Any, taken: set[str]) -> list[str]:
    lines = [f"when = {parsed_date(column)}"]
    for part in DATE_PARTS:
        name = free_name(f"{column.name}_{part}", taken)
        taken.add(name)
        value = {
            "days": "_days(when)",
            "hour": "when.dt.hour + when.dt.minute / 60",
            "weekday": "when.dt.day_of_week.astype(float)",
        }.get(part, f"when.dt.{part}.astype(float)")
        lines.append(f"df[{name!r}] = {value}")
    lines.append(f"df = df.drop(columns=[{column.name!r}])")
    return lines


def _treatment_lines(columns: Sequence[Any], treatments: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """(lines that make text numeric and codes for "missing" missing, lines that change or drop); ideas stand between
    the two and see plain numbers."""
    parsing: list[str] = []
    changing: list[str] = []
    dropped: list[str] = []
    taken = {str(column.name) for column in columns}
    for column in columns:
        name, choice = column.name, treatments.get(column.name, "")
        codes = [v for v in getattr(column, "sentinels", ()) if isinstance(v, int | float)]
        if codes and choice in ("keep", "log"):
            parsing.append(f"df[{name!r}] = df[{name!r}].mask(df[{name!r}].isin({codes!r}))")
        if choice == "parse":
            parsing.append(f"df[{name!r}] = _numbers(df[{name!r}])")
        elif choice == "log":
            changing.append(f"df[{name!r}] = _log(df[{name!r}])")
        elif choice == "category" and column.kind == "number":
            changing.append(f"df[{name!r}] = _labels(df[{name!r}])")
        elif choice == "date":
            changing += _date_lines(column, taken)
        elif choice == "drop":
            dropped.append(name)
    if dropped:
        changing.append(f"df = df.drop(columns={dropped!r})")
    return parsing, changing


def features_body(columns: Sequence[Any], treatments: Mapping[str, str], ideas: Sequence[FeatureIdea] = ()) -> str:
    """The lines between `df = df.copy()` and `return df`; "" when there is nothing to do."""
    parsing, changing = _treatment_lines(columns, treatments)
    made = [line for idea in ideas for line in idea.code.splitlines()]
    return "\n".join([*parsing, *made, *changing])


def helpers(body: str) -> list[str]:
    """The self-contained functions that `body` calls and does not define."""
    return [text.strip("\n") for name, text in _HELPERS.items() if f"{name}(" in body and f"def {name}(" not in body]


def with_helpers(source: str) -> str:
    """A features function that a model wrote, below the functions in its first lines that it was not shown."""
    return "\n\n\n".join([*helpers(source), source])


def features_source(columns: Sequence[Any], treatments: Mapping[str, str], ideas: Sequence[FeatureIdea] = ()) -> str:
    """The whole of features(df) below the helpers that it calls; "" when there is nothing to do."""
    body = features_body(columns, treatments, ideas)
    return features_function(body, helpers(body))


def columns_by_type(columns: Sequence[Any], treatments: Mapping[str, str]) -> dict[str, list[str]]:
    """`ctx["columns"]` after the treatments; new columns are added by the sandbox's own rule."""
    kinds: dict[str, list[str]] = {"number": [], "category": [], "text": []}
    for column in columns:
        choice = treatments.get(column.name, "")
        kind = {
            "keep": "number" if is_numeric(column) else "category",
            "log": "number",
            "parse": "number",
            "category": "category",
            "text": "text",
        }.get(choice)
        if kind:
            kinds[kind].append(column.name)
    return kinds


def is_numeric(column: Any) -> bool:
    return column.kind in ("number", "id") and column.min is not None
