"""Feature ideas and treatments as lines of pandas: what the Coding agent chooses from in the compact dialect.

Everything here is row-wise: no target, no state, the same rows out, so the code gives the same value for a row whether
it comes alone or with a million others. Column names only enter the code through repr(). Works on pandas 2.3 and 3.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from automlgpt_local.agents.assemble import features_function
from automlgpt_local.agents.compact import association_bucket, bucket, name_hint
from automlgpt_local.data.interactions import Pair

DATE_PARTS = ("year", "month", "day", "weekday", "hour", "days")
OPS = (
    "ratio",
    "difference",
    "product",
    "sum",
    "hour",
    "month",
    "length",
    "words",
    "digits",
    "missing",
    "last",
    "round",
)


@dataclass(frozen=True)
class FeatureIdea:
    """One candidate feature. `code`: lines for the body of features(df). `facts`: its bucketed facts for a decision."""

    key: str
    op: str
    columns: tuple[str, ...]
    code: str
    facts: str


# --- code ----------------------------------------------------------------------------------------------------------

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
        digits = digits.replace(",", ".") if re.fullmatch(r"\\d+,\\d{1,2}", digits) else digits.replace(",", "")
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


def _free_name(wanted: str, taken: Iterable[str]) -> str:
    taken = set(taken)
    name = wanted
    while name in taken:
        name += "_"
    return name


def _when(column: Any) -> str:
    form = getattr(column, "date_format", "")
    return f"_dates(df[{column.name!r}]{f', {form!r}' if form else ''})"


def _top_values(column: Any) -> Iterator[str]:
    for value in getattr(column, "top", ()):
        yield str(value[0] if isinstance(value, (tuple, list)) else value)


def _date_lines(column: Any, taken: set[str]) -> list[str]:
    lines = [f"when = {_when(column)}"]
    for part in DATE_PARTS:
        name = _free_name(f"{column.name}_{part}", taken)
        taken.add(name)
        value = {
            "days": "_days(when)",
            "hour": "when.dt.hour + when.dt.minute / 60",
            "weekday": "when.dt.day_of_week.astype(float)",
        }.get(part, f"when.dt.{part}.astype(float)")
        lines.append(f"df[{name!r}] = {value}")
    lines.append(f"df = df.drop(columns=[{column.name!r}])")
    return lines


def treatment_code(columns: Sequence[Any], treatments: Mapping[str, str]) -> str:
    """The lines of features(df) that realise `treatments` (column name -> option), in order. May be empty."""
    return features_body(columns, treatments)


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
            "keep": "number" if _is_numeric(column) else "category",
            "log": "number",
            "parse": "number",
            "category": "category",
            "text": "text",
        }.get(choice)
        if kind:
            kinds[kind].append(column.name)
    return kinds


# --- proposals -----------------------------------------------------------------------------------------------------

_PAIRS: tuple[tuple[str, str, str], ...] = (
    ("min", "max", "difference"), ("low", "high", "difference"), ("start", "end", "difference"),
    ("first", "last", "difference"), ("from", "to", "difference"), ("open", "close", "difference"),
    ("before", "after", "difference"), ("in", "out", "difference"), ("built", "renovated", "difference"),
    ("9am", "3pm", "difference"), ("part", "total", "ratio"), ("used", "limit", "ratio"),
    ("length", "width", "product"), ("width", "height", "product"), ("x", "y", "product"),
    ("price", "quantity", "product"),
    ("lat", "long", "sum"), ("latitude", "longitude", "sum"),
)  # fmt: skip


def _words_of(name: str) -> list[str]:
    return [w.lower() for w in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+(?:am|pm)?", name)]


def _kinship(a: str, b: str) -> tuple[int, str | None]:
    """(0 strangers, 1 share a word, 2 differ in a known pair of words alone; the op that the pair suggests)."""
    left, right = set(_words_of(a)), set(_words_of(b))
    for first, second, op in _PAIRS:
        for one, other in ((left, right), (right, left)):
            if first in one and second in other and one - {first} == other - {second}:
                return 2, op
    return (1 if left & right else 0), None


def _pair_idea(op: str, a: Any, b: Any, taken: set[str]) -> FeatureIdea:
    one, other = f"df[{a.name!r}]", f"df[{b.name!r}]"
    sign, code = {
        "ratio": ("per", f"{one} / {other}.where({other} != 0)"),
        "difference": ("minus", f"{one} - {other}"),
        "product": ("times", f"{one} * {other}"),
        "sum": ("plus", f"{one} + {other}"),
    }[op]
    name = _free_name(f"{a.name}_{sign}_{b.name}", taken)
    spread = (float(a.std or 0) + 1e-12) / (float(b.std or 0) + 1e-12)
    kin, suggested = _kinship(str(a.name), str(b.name))
    facts = " ".join([
        op,
        association_bucket(a.association),
        association_bucket(b.association),
        f"q{kin}",
        "same" if suggested == op else "other",
        "x" + bucket(max(spread, 1 / spread), (3, 30, 1000)),
        "pos" if min(float(a.min), float(b.min)) >= 0 else "neg",
        "z" + bucket(float(b.zeros or 0), (1e-9, 0.05, 0.3, 0.7)),
        "int" if a.integers and b.integers else "real",
        "v" + bucket(min(a.unique, b.unique), (3, 13, 101, 1001)),
    ])  # fmt: skip
    return FeatureIdea(f"{op}:{a.name}:{b.name}", op, (a.name, b.name), f"df[{name!r}] = {code}", facts)


def _single_idea(op: str, column: Any, code: str, taken: set[str]) -> FeatureIdea:
    name = _free_name(f"{column.name}_{op}", taken)
    facts = " ".join([
        op,
        association_bucket(column.association),
        column.kind,
        "u" + bucket(column.unique, (2, 3, 6, 13, 31, 101, 501, 5001)),
        "w" + bucket(float(getattr(column, "avg_words", None) or 0), (1.2, 2, 4, 8, 20)),
        "h" + name_hint(str(column.name)),
    ])  # fmt: skip
    return FeatureIdea(f"{op}:{column.name}", op, (column.name,), code.replace("NAME", repr(name)), facts)


def _pairs(profile: Any, treatments: Mapping[str, str], taken: set[str]) -> Iterator[tuple[float, FeatureIdea]]:
    numbers = [
        c for c in profile.columns
        if treatments.get(c.name) in ("keep", "log") and c.kind == "number" and c.min is not None and c.unique > 2
    ]  # fmt: skip
    numbers.sort(key=lambda c: -(c.association or 0))
    kin_pairs: set[frozenset[str]] = set()
    for i, a in enumerate(numbers[:40]):
        for b in numbers[i + 1 : 40]:
            strong = (a.association or 0) + (b.association or 0)
            kin, suggested = _kinship(str(a.name), str(b.name))
            if kin == 2 and suggested:
                kin_pairs.add(frozenset((a.name, b.name)))
                yield 0.6 + strong, _pair_idea(suggested, a, b, taken)
            near = 1 / 30 < (float(a.std or 0) + 1e-12) / (float(b.std or 0) + 1e-12) < 30
            bonus = strong + 0.3 * kin
            positive = min(float(a.min), float(b.min)) >= 0
            if positive and suggested != "ratio":
                yield bonus + 0.15, _pair_idea("ratio", a, b, taken)
            if near and suggested != "difference":
                yield bonus + (0.1 if kin else 0), _pair_idea("difference", a, b, taken)
            if suggested != "product":
                yield bonus, _pair_idea("product", a, b, taken)
            if near and kin and suggested != "sum":
                yield bonus - 0.1, _pair_idea("sum", a, b, taken)


def _date_idea(op: str, column: Any, taken: set[str]) -> FeatureIdea:
    part, period = ("when.dt.hour + when.dt.minute / 60", 24) if op == "hour" else ("when.dt.day_of_year", 365.25)
    sin, cos = _free_name(f"{column.name}_{op}_sin", taken), _free_name(f"{column.name}_{op}_cos", taken)
    code = f"when = {_when(column)}\ndf[{sin!r}], df[{cos!r}] = _cycle({part}, {period})"
    return _single_idea(op, column, code, taken)


def _singles(profile: Any, treatments: Mapping[str, str], taken: set[str]) -> Iterator[tuple[float, FeatureIdea]]:
    for column in profile.columns:
        choice, source = treatments.get(column.name), f"df[{column.name!r}]"
        strong = float(column.association or 0)
        if column.kind == "date" and choice == "date":
            yield 0.5 + strong, _date_idea("month", column, taken)
            if any(":" in value or re.search(r"\dT\d\d", value) for value in _top_values(column)):
                yield 0.3 + strong, _date_idea("hour", column, taken)
        elif column.kind == "text":
            yield 0.4 + strong, _single_idea("length", column, f"df[NAME] = {source}.str.len().astype(float)", taken)
            words = f'df[NAME] = {source}.str.count(r"\\S+").astype(float)'
            yield 0.35 + strong, _single_idea("words", column, words, taken)
        if column.kind in ("id", "category", "text") and not _is_numeric(column) and column.unique > 30:
            numbered = column.kind == "id" or any(re.search(r"\d", value) for value in _top_values(column))
            if numbered:
                digits = f'df[NAME] = {source}.str.extract(r"(\\d{{1,12}})", expand=False).astype(float)'
                yield 0.25 + strong, _single_idea("digits", column, digits, taken)
        if column.kind == "number" and _is_numeric(column) and choice in ("keep", "log"):
            if column.integers and column.unique > 200 and abs(float(column.max)) >= 1000:
                yield 0.05 + strong, _single_idea("last", column, f"df[NAME] = {source} % 10", taken)
            if not column.integers and column.unique > 200 and abs(float(column.max)) < 1000:
                yield 0.02 + strong, _single_idea("round", column, f"df[NAME] = {source} % 1", taken)


def _is_numeric(column: Any) -> bool:
    return column.kind in ("number", "id") and column.min is not None


def _missing_idea(profile: Any, taken: set[str]) -> Iterator[tuple[float, FeatureIdea]]:
    holed = [c for c in profile.columns if 0.005 < float(c.missing or 0) < 0.99]
    if len(holed) >= 2:
        name = _free_name("missing_values", taken)
        names = [c.name for c in holed]
        share = sum(float(c.missing) for c in holed) / len(holed)
        facts = f"missing m{bucket(share, (1e-9, 0.01, 0.05, 0.2, 0.5))} v{bucket(len(holed), (3, 6, 13, 31))}"
        code = f"df[{name!r}] = df[{names!r}].isna().sum(axis=1).astype(float)"
        yield 0.3, FeatureIdea("missing", "missing", tuple(names), code, facts)


def crosses(pairs: Sequence[Pair], names: Iterable[str]) -> list[FeatureIdea]:
    """A category for each pair of columns: the two cells that a row lies in. `names`: of the table's columns."""
    taken, made = set(names), []
    for pair in pairs:
        name = _free_name("_with_".join(pair.columns), taken)
        taken.add(name)
        cells = [
            f"_cells(df[{column!r}]{f', {list(bounds)!r}' if bounds else ''})"
            for column, bounds in zip(pair.columns, pair.edges, strict=True)
        ]
        code = f'df[{name!r}] = {cells[0]} + "|" + {cells[1]}'
        made.append(FeatureIdea("cross:" + ":".join(pair.columns), "cross", pair.columns, code, ""))
    return made


def crosses_of(source: str) -> list[FeatureIdea]:
    """The pairs of columns that `crosses` put into a features function, for a replay."""
    lines = [line.strip() for line in source.splitlines() if "] = _cells(df[" in line]
    return [FeatureIdea(f"cross:{i}", "cross", (), line, "") for i, line in enumerate(lines)]


def propose(profile: Any, treatments: Mapping[str, str], limit: int = 12) -> list[FeatureIdea]:
    """At most `limit` ideas, likeliest first: by association with the target and by what the names suggest."""
    taken = {str(c.name) for c in profile.columns}
    makers: tuple[Callable[[], Iterator[tuple[float, FeatureIdea]]], ...] = (
        lambda: _pairs(profile, treatments, taken),
        lambda: _singles(profile, treatments, taken),
        lambda: _missing_idea(profile, taken),
    )
    ranked = sorted((pair for make in makers for pair in make()), key=lambda pair: (-pair[0], pair[1].key))
    chosen: list[FeatureIdea] = []
    uses: dict[str, int] = {}
    for _, idea in ranked:
        if all(uses.get(name, 0) < 4 for name in idea.columns) or idea.op == "missing":
            chosen.append(idea)
            for name in idea.columns if idea.op != "missing" else ():
                uses[name] = uses.get(name, 0) + 1
        if len(chosen) == limit:
            break
    return chosen
