"""The target column: which kind of task it makes, its classes in order, its rows that count."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from automlgpt_local.data.load import Table
from automlgpt_local.data.schema import DEFAULT_MISSING, Schema, as_number
from automlgpt_local.task import Kind, TaskSpec

MOST_INTEGER_CLASSES = 15
POSITIVE_WORDS = ("yes", "true", "1", "1.0", "y", "t", "positive", "pos")


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
    exact = classification and target_text(table, task.target, task.positive)[1]
    table = table.with_target(task.target, "text" if classification else "number", exact=exact)
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


def target_text(table: Table, target: str, positive: str | None = None) -> tuple[pd.Series, bool]:
    """The target as the text of the file, and whether "NA" and the like are classes: a positive label says so."""
    values = table.exact(target)
    if positive is not None and positive in DEFAULT_MISSING and positive not in set(values.dropna().unique()):
        literal = table.with_target(target, "text", exact=True).frame[target]
        if positive in set(literal.dropna().unique()):
            return literal, True
    return values, False


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


def default_positive(target: pd.Series) -> str:
    """Of two labels the one that says yes, else the rarer, else the later in order."""
    counts = target.dropna().value_counts()
    labels = sorted((str(v) for v in counts.index), key=_label_order)
    saying_yes = [label for label in labels if label.strip().lower() in POSITIVE_WORDS]
    if len(saying_yes) == 1:
        return saying_yes[0]
    return min(reversed(labels), key=lambda label: int(counts[label]))


def time_order(values: pd.Series) -> np.ndarray:
    """A column of dates or numbers as float64 that sorts by time; NaN where unreadable."""
    if pd.api.types.is_numeric_dtype(values):
        return values.to_numpy(dtype="float64")
    numbers = pd.to_numeric(values, errors="coerce")
    if numbers.notna().sum() >= 0.9 * max(1, values.notna().sum()):
        return numbers.to_numpy(dtype="float64")
    from automlgpt_local.data.dates import parse_dates

    dates = parse_dates(values)
    seconds: np.ndarray = (dates - pd.Timestamp(0)).dt.total_seconds().to_numpy(dtype="float64")
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
    if n_unique <= MOST_INTEGER_CLASSES and present.sum() >= 5 * n_unique:
        doubt = f"it has {n_unique} different whole numbers, taken as classes; amounts are --kind regression"
        return Guess("multiclass", doubt)
    return Guess("regression")
