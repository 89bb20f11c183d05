"""The target column: which kind of task it makes, its classes in order, its rows that count."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from automlgpt_local.data.load import Table
from automlgpt_local.data.schema import DEFAULT_MISSING, Schema, as_number
from automlgpt_local.task import Kind, TaskSpec

MOST_INTEGER_CLASSES = 15
MOST_CODES = 200  # that begin with a zero
MOST_SPELLINGS = 1000  # different values of a target that may be labels
SHORTEST_FOLDED = 3  # letters of a label from which on "Yes" and "YES" are one; "Co" and "CO" may not be
_YES = frozenset(
    {"yes", "true", "y", "t", "positive", "pos", "ja", "j", "oui", "si", "sí", "sì", "sim", "tak", "evet", "да", "так",
     "ναι", "是", "有", "はい", "예", "네", "نعم", "כן", "हाँ", "malignant"}
)  # fmt: skip
_NO = frozenset(
    {"no", "false", "negative", "neg", "none", "nein", "nee", "nej", "non", "não", "nao", "nie", "hayır", "нет", "ні",
     "όχι", "否", "不", "无", "無", "いいえ", "아니요", "아니오", "لا", "לא", "नहीं", "0", "0.0",
     "never", "absent", "normal", "healthy", "benign", "control"}
)  # fmt: skip
_NUMBER = re.compile(r"[+-]?(?:0|[1-9]\d{0,14})(?:\.\d*)?")  # not "007", which is a code
_ONES, _ZEROS = ("1", "1.0", "+1"), ("0", "0.0", "-1", "-1.0")


@dataclass(frozen=True)
class Dataset:
    """What a run works on: rows that have a target, columns that are features.

    features: (n_rows, n_columns), index 0..n_rows-1. y: (n_rows,) class codes or floats. rows: (n_rows,) positions in
    the table. weight, group, time: (n_rows,) or None. classes: the labels by code; empty for regression.
    schema: of the table; it requires the features alone of new rows.
    """

    features: pd.DataFrame
    y: np.ndarray
    classes: tuple[str, ...]
    rows: np.ndarray
    schema: Schema
    weight: np.ndarray | None = None
    group: np.ndarray | None = None
    time: np.ndarray | None = None


def feature_names(task: TaskSpec, columns: Sequence[str]) -> list[str]:
    """The columns a model may see: neither target, weight nor group, none of the ignored."""
    hidden = {task.target, task.weight, task.group, *task.ignore}
    return [name for name in columns if name not in hidden]


def make_dataset(table: Table, task: TaskSpec) -> Dataset:
    """The rows with a target, their features, and the target as codes or floats."""
    classification = task.kind != "regression"
    if classification:
        found = target_text(table, task.target, task.positive, exact=task.exact_target)
        table = table.with_target(task.target, "text", exact=found.exact)
        schema = replace(table.schema, spellings=found.spellings)
        table = replace(table.with_column(task.target, found.values), schema=schema)
    else:
        table = table.with_target(task.target, "number")
    target = table.frame[task.target]
    rows = np.flatnonzero(target.notna().to_numpy())
    frame = table.frame.iloc[rows].reset_index(drop=True)
    target = frame[task.target]
    classes: tuple[str, ...] = ()
    if classification:
        classes = tuple(class_labels(target, task.positive))
        y = encode(target, classes)
    else:
        y = target.to_numpy(dtype="float64")
    weight = None
    if task.weight is not None:
        weight = as_number(frame[task.weight]).fillna(0.0).clip(lower=0.0).to_numpy(dtype="float64")
    group = None
    if task.group is not None:
        group = pd.factorize(frame[task.group], use_na_sentinel=False)[0]
    time = None if task.time is None else time_order(frame[task.time])
    features = frame[feature_names(task, list(frame.columns))]
    schema = replace(table.schema, required=tuple(features.columns))
    return Dataset(features, y, classes, rows, schema, weight, group, time)


@dataclass(frozen=True)
class TargetText:
    """values: (n_rows,) the target as text, missing NaN. exact: "NA" and the like are classes. spellings: what the
    file writes -> the label that it stands for."""

    values: pd.Series
    exact: bool
    spellings: dict[str, str]


def target_text(table: Table, target: str, positive: str | None = None, *, exact: bool = False) -> TargetText:
    """The target as the text of the file. "NA" is a class when it is said to be, or when it is the positive label."""
    values = table.exact(target) if not exact else table.with_target(target, "text", exact=True).frame[target]
    if positive is not None and positive in DEFAULT_MISSING and positive not in set(values.dropna().unique()):
        literal = table.with_target(target, "text", exact=True).frame[target]
        if positive in set(literal.dropna().unique()):
            values, exact = literal, True
    values = values.where(values.astype("str").str.strip() != "")
    found = spellings(values)
    values = values.map(lambda text: found.get(text, text), na_action="ignore") if found else values
    return TargetText(values, exact, found)


def spellings(values: pd.Series) -> dict[str, str]:
    """Labels that differ from another in blanks or case alone, and that one: {"yes ": "Yes"}. It is the most frequent
    of them that has no blank too many. Where all are numbers, so are "1" and "1.0".

    Case counts in short labels. Many different values are no labels: none of them is touched.
    """
    counts = values.value_counts()
    if not 2 <= len(counts) <= MOST_SPELLINGS:
        return {}
    first: dict[str, str] = {}
    found: dict[str, str] = {}
    tidy = {label: " ".join(label.split()) for label in map(str, counts.index)}
    numbers = all(map(_NUMBER.fullmatch, tidy.values()))

    def order(text: str) -> tuple[bool, int, int, str]:
        return text != tidy[text], len(text) if numbers else 0, -int(counts[text]), text

    for label in sorted(tidy, key=order):
        plain = tidy[label]
        folded = plain.casefold()
        key = folded if len(folded) >= SHORTEST_FOLDED or folded in _YES | _NO else plain
        key = str(float(plain)) if numbers else key
        known = first.setdefault(key, label)
        if known != label:
            found[label] = known
    return found


def encode(target: pd.Series, classes: Sequence[str]) -> np.ndarray:
    """Labels as int64 codes; -1 where a label is unknown or missing."""
    codes: np.ndarray = pd.Categorical(target.astype(object), categories=list(classes)).codes.astype("int64")
    return codes


def class_labels(target: pd.Series, positive: str | None = None) -> list[str]:
    """The labels in the order of their codes: numbers by value, text by alphabet; of two, the positive one last."""
    labels = sorted((str(v) for v in target.dropna().unique()), key=_label_order)
    if len(labels) == 2:
        chosen = positive if positive in labels else default_positive(target)
        labels.sort(key=lambda label: label == chosen)
    return labels


def _label_order(label: str) -> tuple[int, float, str]:
    try:
        return (0, float(label), label)
    except ValueError:
        return (1, 0.0, label)


def plain_positive(labels: Sequence[str]) -> str | None:
    """Of two labels the one that says yes, or whose other says no; None where neither is plain."""
    said = {label: label.strip().casefold() for label in labels}
    yes = [
        label for label in labels
        if said[label] in _YES or (said[label] in _ONES and any(other in _ZEROS for other in said.values()))
    ]  # fmt: skip
    if len(yes) == 1:
        return yes[0]
    others = [label for label in labels if said[label] not in _NO]
    return others[0] if len(others) == 1 and len(labels) == 2 else None


def default_positive(target: pd.Series) -> str:
    """Of two labels the one that says yes, else the rarer, else the later in order."""
    counts = target.dropna().value_counts()
    labels = sorted((str(v) for v in counts.index), key=_label_order)
    plain = plain_positive(labels)
    return plain if plain is not None else min(reversed(labels), key=lambda label: int(counts[label]))


def time_order(values: pd.Series) -> np.ndarray:
    """A column of dates or numbers as float64 that sorts by time; NaN where unreadable."""
    if pd.api.types.is_numeric_dtype(values):
        return values.to_numpy(dtype="float64")
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().sum() >= 0.9 * max(1, values.notna().sum()):
        return numbers.to_numpy(dtype="float64")
    from automlgpt_local.data.dates import EPOCH, parse_dates

    dates = parse_dates(values)
    seconds: np.ndarray = (dates - EPOCH).dt.total_seconds().to_numpy(dtype="float64")
    return seconds


@dataclass(frozen=True)
class Guess:
    """A kind of task and why; `doubt` says what else it might be."""

    kind: Kind
    doubt: str = ""


def guess_kind(values: pd.Series, numbers: pd.Series) -> Guess:
    """Binary, multiclass or regression. values: (n_rows,) exact text, missing NaN; numbers: the same as float64."""
    present = values.notna()
    n_unique = int(values[present].nunique())
    if n_unique <= 2:
        return Guess("binary")
    if numbers[present].notna().mean() < 0.9:
        return Guess("multiclass")
    if (numbers.dropna() % 1 != 0).any():
        return Guess("regression")
    if n_unique <= MOST_CODES and values[present].astype("str").str.fullmatch(r"0\d+").any():
        return Guess("multiclass", "its numbers have leading zeros, so they were taken as codes of classes")
    if n_unique <= MOST_INTEGER_CLASSES and present.sum() >= 5 * n_unique:
        doubt = f"it has {n_unique} different whole numbers, taken as classes; amounts are --kind regression"
        return Guess("multiclass", doubt)
    return Guess("regression")
