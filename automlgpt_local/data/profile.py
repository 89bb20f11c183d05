"""What a table holds, column by column, in numbers that fit into a prompt, a report and the nano's features."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import pandas as pd

from automlgpt_local.data import association, kinds
from automlgpt_local.data.dates import EPOCH, day_numbers, parse_dates
from automlgpt_local.data.kinds import ColumnKind
from automlgpt_local.data.leaks import find_leaks

ASSOCIATION_ROWS = 5_000
ASSOCIATION_CELLS = 5_000_000
DISTINCT_ROWS = 100_000
MOST_TEXT = 40
TELLING = 0.3  # association of an id with the target that chance hardly gives
MOST_BINNED = 300  # numeric columns whose association is also looked for beyond a rise or a fall


@dataclass(frozen=True)
class ColumnProfile:
    """`missing`, `zeros` and shares in `top` are of all rows; `unique` counts what is there (of at most 100,000 rows).

    Statistics of numbers are None for other kinds; for numeric_text they are those of the numbers in the text.
    `association` with the target is from 0 to 1. `date_format`: strptime, "" when mixed or no date.
    """

    name: str
    kind: ColumnKind
    missing: float
    unique: int
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    median: float | None = None
    skew: float | None = None
    zeros: float | None = None
    integers: bool = False
    top: list[tuple[str, float]] = field(default_factory=list)
    avg_words: float | None = None
    date_format: str = ""
    sentinels: list[Any] = field(default_factory=list)
    association: float = 0.0
    leak: bool = False
    leak_reason: str = ""


@dataclass(frozen=True)
class Profile:
    """rows, duplicates: counts. target: kind, and counts per class or the statistics of the numbers."""

    rows: int
    duplicates: int
    columns: list[ColumnProfile]
    target: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Profile:
        known = {f.name for f in fields(ColumnProfile)}
        columns = [
            ColumnProfile(**{k: v for k, v in c.items() if k in known} | {"top": [(t, s) for t, s in c.get("top", [])]})
            for c in values["columns"]
        ]
        return cls(values["rows"], values["duplicates"], columns, values.get("target", {}))

    def of_kind(self, *wanted: str) -> list[str]:
        return [c.name for c in self.columns if c.kind in wanted]

    @property
    def telling_ids(self) -> dict[str, float]:
        """Ids, which no model gets, that go with the target all the same: name -> association."""
        return {c.name: c.association for c in self.columns if c.kind == "id" and c.association >= TELLING}

    @property
    def leaks(self) -> dict[str, str]:
        """Suspects: name -> reason."""
        return {c.name: c.leak_reason for c in self.columns if c.leak}


def profile(
    features: pd.DataFrame, y: np.ndarray | None = None, *, classes: tuple[str, ...] = (), seed: int = 0
) -> Profile:
    """Profile features (n_rows, n_columns) against y (n_rows,): class codes when `classes` are given, else floats.

    Costly statistics look at a sample of rows, the same for the same seed.
    """
    n_rows, n_columns = features.shape
    rng = np.random.default_rng(seed)
    distinct_rows = _sample(rng, n_rows, DISTINCT_ROWS)
    few_rows = _sample(rng, n_rows, max(200, min(ASSOCIATION_ROWS, ASSOCIATION_CELLS // max(1, n_columns))))
    numeric = [c for c in features.columns if pd.api.types.is_numeric_dtype(features[c])]
    matrix = features[numeric].to_numpy(dtype="float64") if numeric else np.empty((n_rows, 0))
    found, comparable = _numeric_profiles(numeric, matrix, distinct_rows, few_rows)
    for name in features.columns:
        if name not in found:
            found[name], comparable[name] = _text_profile(str(name), features[name], distinct_rows, few_rows)
    order = [found[name] for name in features.columns]
    if y is None:
        return Profile(n_rows, _duplicates(features, matrix), order)
    y_few = np.asarray(y)[few_rows]
    scores = _associations(order, comparable, y_few, len(classes))
    missing = {c.name: features[c.name].isna().to_numpy()[few_rows] for c in order if 0.01 < c.missing < 0.99}
    values = {name: pair[0] for name, pair in comparable.items()}
    looked_at = {c.name: scores[c.name] for c in order if c.kind not in ("constant", "id", "text")}
    amounts = [c.name for c in order if c.kind in ("number", "numeric_text")]
    leaks = find_leaks(values, looked_at, y_few, len(classes), missing, amounts)
    columns = [_with_target(c, scores[c.name], leaks.get(c.name)) for c in order]
    return Profile(n_rows, _duplicates(features, matrix), columns, _target(np.asarray(y), classes))


def _with_target(column: ColumnProfile, score: float, reason: str | None) -> ColumnProfile:
    values = {f.name: getattr(column, f.name) for f in fields(column)}
    return ColumnProfile(
        **values | {"association": _round(score) or 0.0, "leak": reason is not None, "leak_reason": reason or ""}
    )


def _sample(rng: np.random.Generator, n_rows: int, most: int) -> np.ndarray:
    if n_rows <= most:
        return np.arange(n_rows)
    rows: np.ndarray = np.sort(rng.choice(n_rows, most, replace=False))
    return rows


def _round(value: float | np.floating[Any] | None) -> float | None:
    """Four significant digits; what is not finite is None (JSON knows no NaN)."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{float(value):.4g}")


def _numeric_profiles(
    names: list[str], matrix: np.ndarray, distinct_rows: np.ndarray, few_rows: np.ndarray
) -> tuple[dict[str, ColumnProfile], dict[str, tuple[np.ndarray, bool]]]:
    found: dict[str, ColumnProfile] = {}
    comparable: dict[str, tuple[np.ndarray, bool]] = {}
    for k, name in enumerate(names):
        column = matrix[:, k]
        missing = float(np.isnan(column).mean()) if len(column) else 0.0
        seen = column[distinct_rows]
        seen = seen[~np.isnan(seen)]
        values, counts = np.unique(seen, return_counts=True)
        kind = kinds.number_kind(str(name), seen, len(values), missing)
        stats = _statistics(column)
        often = np.argsort(-counts, kind="stable")[:5]
        scale = (1 - missing) / max(1, len(seen))
        top = [(f"{values[i]:g}", _round(counts[i] * scale) or 0.0) for i in often] if len(values) <= 50 else []
        sentinels = kinds.sentinels_of_numbers(values, counts)
        fmt = "%Y%m%d" if kind == "date" else ""
        found[name] = ColumnProfile(
            str(name), kind, _round(missing) or 0.0, len(values), **stats, top=top, sentinels=sentinels, date_format=fmt
        )
        comparable[name] = (column[few_rows], False)
    return found, comparable


def _statistics(column: np.ndarray) -> dict[str, Any]:
    values = column[np.isfinite(column)]
    if not len(values):
        return {}
    mean, std = float(values.mean()), float(values.std())
    if std > 1e-12 * max(1.0, abs(mean)):
        centred = (values - mean) / std
        skew = float((centred * centred * centred).mean())
    else:
        skew = 0.0
    return {
        "min": _round(values.min()),
        "max": _round(values.max()),
        "mean": _round(mean),
        "std": _round(std),
        "median": _round(np.median(values)),
        "skew": _round(skew),
        "zeros": _round(float((values == 0).sum() / len(column))),
        "integers": bool((values == np.floor(values)).all()),
    }


def _text_profile(
    name: str, column: pd.Series, distinct_rows: np.ndarray, few_rows: np.ndarray
) -> tuple[ColumnProfile, tuple[np.ndarray, bool]]:
    missing = float(column.isna().mean()) if len(column) else 0.0
    seen = column if len(distinct_rows) == len(column) else column.iloc[distinct_rows]
    counts = seen.value_counts()
    present = int(counts.sum())
    kind, fmt = kinds.text_kind(name, counts, present, missing)
    few = column.iloc[few_rows]
    stats: dict[str, Any] = {}
    if kind == "numeric_text":
        numbers = kinds.text_as_number(few).to_numpy()
        stats, values = _statistics(numbers), (numbers, False)
    elif kind == "date":
        dates = parse_dates(few, fmt)
        seconds = (dates - EPOCH).dt.total_seconds().to_numpy(dtype="float64")
        values = (seconds, False)
    else:
        codes, _ = pd.factorize(few, use_na_sentinel=False)
        values = (codes.astype("float64"), True)
    scale = (1 - missing) / max(1, present)
    top = [(_inert(str(v)), _round(int(n) * scale) or 0.0) for v, n in counts.iloc[:5].items()]
    words = few.dropna().iloc[:500].astype("str").str.count(r"\S+").mean() if present else None
    found = ColumnProfile(
        name, kind, _round(missing) or 0.0, len(counts), **stats, top=top, avg_words=_round(words), date_format=fmt,
        sentinels=kinds.sentinels_of_text(counts),
    )  # fmt: skip
    return found, values


def _inert(text: str) -> str:
    """A value from the data as one short line: no line breaks, no control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MOST_TEXT else line[: MOST_TEXT - 1] + "…"


def _associations(
    columns: list[ColumnProfile], comparable: dict[str, tuple[np.ndarray, bool]], y: np.ndarray, n_classes: int
) -> dict[str, float]:
    scores = dict.fromkeys((c.name for c in columns), 0.0)
    if len(y) < 10 or len(np.unique(y)) < 2:
        return scores
    useful = [c.name for c in columns if c.kind != "constant"]
    ordered = [name for name in useful if not comparable[name][1]]
    if ordered:
        block = np.column_stack([comparable[name][0] for name in ordered])
        scores |= {n: float(s) for n, s in zip(ordered, association.of_numbers(block, y, n_classes))}
        for name in ordered if len(ordered) <= MOST_BINNED else []:
            binned = association.of_codes(association.bins(comparable[name][0]), y, n_classes)
            scores[name] = max(scores[name], binned)
    for name in useful:
        values, is_code = comparable[name]
        if is_code:
            scores[name] = association.of_codes(values.astype("int64"), y, n_classes)
    return scores


def _duplicates(features: pd.DataFrame, matrix: np.ndarray) -> int:
    """Rows that occurred before. Rows whose numbers differ in a random projection are not compared further."""
    if matrix.shape[1] == 0:
        return int(features.duplicated().sum())
    weights = np.random.default_rng(0).normal(size=matrix.shape[1])
    keys = pd.Series(np.nan_to_num(matrix, nan=-1.2345678e9) @ weights)
    twins = keys.duplicated(keep=False).to_numpy()
    return int(features[twins].duplicated().sum()) if twins.any() else 0


def _target(y: np.ndarray, classes: tuple[str, ...]) -> dict[str, Any]:
    if not classes:
        return {"kind": "regression", "unique": len(np.unique(y)), **_statistics(y.astype("float64"))}
    counts = np.bincount(y, minlength=len(classes))
    kind = "binary" if len(classes) == 2 else "multiclass"
    return {
        "kind": kind,
        "classes": {c: int(n) for c, n in zip(classes, counts)},
        "rarest": _round(counts.min() / len(y)),
    }


__all__ = ["ColumnProfile", "Profile", "day_numbers", "profile"]
