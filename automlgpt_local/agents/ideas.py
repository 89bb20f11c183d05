"""Ideas for new columns, each as lines of pandas: what the Coding agent chooses from in the compact dialect.

Lines are row-wise, and column names only enter them through repr(), as in `feature_code`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from automlgpt_local.agents.compact import association_bucket, bucket, name_hint
from automlgpt_local.agents.feature_code import FeatureIdea, free_name, is_numeric, parsed_date
from automlgpt_local.data.interactions import Pair

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


def _top_values(column: Any) -> Iterator[str]:
    for value in getattr(column, "top", ()):
        yield str(value[0] if isinstance(value, (tuple, list)) else value)


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
    name = free_name(f"{a.name}_{sign}_{b.name}", taken)
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
    name = free_name(f"{column.name}_{op}", taken)
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
    sin, cos = free_name(f"{column.name}_{op}_sin", taken), free_name(f"{column.name}_{op}_cos", taken)
    code = f"when = {parsed_date(column)}\ndf[{sin!r}], df[{cos!r}] = _cycle({part}, {period})"
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
        if column.kind in ("id", "category", "text") and not is_numeric(column) and column.unique > 30:
            numbered = column.kind == "id" or any(re.search(r"\d", value) for value in _top_values(column))
            if numbered:
                digits = f'df[NAME] = {source}.str.extract(r"(\\d{{1,12}})", expand=False).astype(float)'
                yield 0.25 + strong, _single_idea("digits", column, digits, taken)
        if column.kind == "number" and is_numeric(column) and choice in ("keep", "log"):
            if column.integers and column.unique > 200 and abs(float(column.max)) >= 1000:
                yield 0.05 + strong, _single_idea("last", column, f"df[NAME] = {source} % 10", taken)
            if not column.integers and column.unique > 200 and abs(float(column.max)) < 1000:
                yield 0.02 + strong, _single_idea("round", column, f"df[NAME] = {source} % 1", taken)


def _missing_idea(profile: Any, taken: set[str]) -> Iterator[tuple[float, FeatureIdea]]:
    holed = [c for c in profile.columns if 0.005 < float(c.missing or 0) < 0.99]
    if len(holed) >= 2:
        name = free_name("missing_values", taken)
        names = [c.name for c in holed]
        share = sum(float(c.missing) for c in holed) / len(holed)
        facts = f"missing m{bucket(share, (1e-9, 0.01, 0.05, 0.2, 0.5))} v{bucket(len(holed), (3, 6, 13, 31))}"
        code = f"df[{name!r}] = df[{names!r}].isna().sum(axis=1).astype(float)"
        yield 0.3, FeatureIdea("missing", "missing", tuple(names), code, facts)


def levels(columns: Sequence[Any], names: Iterable[str]) -> list[FeatureIdea]:
    """A category of each column's exact numbers, or of its days. `names`: of the table's columns."""
    taken, made = set(names), []
    for column in columns:
        name = free_name(f"{column.name}_level", taken)
        taken.add(name)
        value = f"_days({parsed_date(column)}) // 1" if column.kind == "date" else f"df[{column.name!r}]"
        made.append(FeatureIdea(f"level:{column.name}", "level", (column.name,), f"df[{name!r}] = _cells({value})", ""))
    return made


def crosses(pairs: Sequence[Pair], names: Iterable[str]) -> list[FeatureIdea]:
    """A category for each pair of columns: the two cells that a row lies in. `names`: of the table's columns."""
    taken, made = set(names), []
    for pair in pairs:
        name = free_name("_with_".join(pair.columns), taken)
        taken.add(name)
        cells = [
            f"_cells(df[{column!r}]{f', {list(bounds)!r}' if bounds else ''})"
            for column, bounds in zip(pair.columns, pair.edges, strict=True)
        ]
        code = f'df[{name!r}] = {cells[0]} + "|" + {cells[1]}'
        made.append(FeatureIdea("cross:" + ":".join(pair.columns), "cross", pair.columns, code, ""))
    return made


def cells_of(source: str) -> list[FeatureIdea]:
    """What `levels` and `crosses` put into a features function, for a replay."""
    lines = [line.strip() for line in source.splitlines() if "] = _cells(" in line]
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
