"""Tables as the live system sees them: profiled features, coded target, ready to be decided about and measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from automlgpt_local.agents import compact
from automlgpt_local.data.profile import Profile, profile
from automlgpt_local.metrics import METRICS
from finetune.tables import FAMILIES, Table, generate


@dataclass(frozen=True)
class Case:
    """features: (n_rows, n_columns). y: (n_rows,) codes or floats. `truth` is the generator's table, if it has one."""

    name: str
    family: str
    held_out: bool
    features: pd.DataFrame
    y: np.ndarray
    classes: tuple[str, ...]
    kind: str
    metric: str
    profile: Profile
    truth: Table | None = None

    def task(self, time_limit_s: float = 120.0) -> Any:
        """What `compact.opening` reads of a TaskSpec."""
        return SimpleNamespace(kind=self.kind, metric=self.metric, time_limit_s=time_limit_s)

    @property
    def n_classes(self) -> int:
        return len(self.classes)

    def default_treatments(self) -> dict[str, str]:
        rows = self.profile.rows
        return {c.name: compact.default_treatment(c, rows) for c in self.profile.columns}

    def true_treatments(self) -> dict[str, str]:
        """What the table's maker knows to be right, where the profile allows it; the rules for the rest.

        Between keep and log the rules decide: trees do not mind, so that asking for the other one is not worth a try.
        """
        known = self.truth.treatments if self.truth else {}
        found = self.default_treatments()
        for column in self.profile.columns:
            wanted = known.get(column.name, "")
            if {wanted, found[column.name]} == {"keep", "log"}:
                continue
            if wanted in compact.TREATMENTS[column.kind]:
                found[column.name] = wanted
        return found

    def loss(self, prediction: np.ndarray, rows: np.ndarray | slice = slice(None)) -> float:
        """Lower is better, in the metric's own units."""
        metric = METRICS[self.metric]
        return metric.loss(metric.score(self.y[rows], prediction))


def from_table(table: Table) -> Case:
    return make_case(
        table.name, table.family, table.held_out, table.frame, table.target, table.kind, table.metric, table
    )


def make_case(
    name: str, family: str, held_out: bool, frame: pd.DataFrame, target: str, kind: str, metric: str,
    truth: Table | None = None,
) -> Case:  # fmt: skip
    features = frame.drop(columns=[target])
    for column in features:
        if not pd.api.types.is_numeric_dtype(features[column]):
            features[column] = features[column].astype("str").where(features[column].notna())
    if kind == "regression":
        classes: tuple[str, ...] = ()
        y = frame[target].to_numpy(dtype=float)
    else:
        classes = tuple(sorted(frame[target].astype(str).unique()))
        y = np.searchsorted(classes, frame[target].astype(str).to_numpy(dtype=str))
    return Case(
        name, family, held_out, features, y, classes, kind, metric, profile(features, y, classes=classes), truth
    )


def generated(count: int, first_seed: int = 0, families: tuple[str, ...] = FAMILIES) -> Iterator[Case]:
    """`count` cases, taking turns over the families; the same arguments are the same cases."""
    for i in range(count):
        yield from_table(generate(families[i % len(families)], first_seed + i // len(families)))


def bundled() -> Iterator[Case]:
    """scikit-learn's own data sets; digits is left out, its ten classes cost more than all others together."""
    from sklearn import datasets

    for name, metrics in {
        "load_breast_cancer": ("roc_auc", "log_loss"), "load_wine": ("log_loss", "accuracy"),
        "load_iris": ("log_loss",), "load_diabetes": ("rmse", "mae"),
    }.items():  # fmt: skip
        data = getattr(datasets, name)(as_frame=True)
        frame = data.frame.rename(columns={c: str(c) for c in data.frame.columns})
        kind = "regression" if name == "load_diabetes" else "binary" if data.target.nunique() == 2 else "multiclass"
        for metric in metrics:
            yield make_case(f"{name[5:]}-{metric}", "bundled", False, frame, "target", kind, metric)
