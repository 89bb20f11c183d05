"""Tables as the live system sees them: profiled features, coded target, ready to be decided about and measured."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd

from automlgpt_local.agents import compact
from automlgpt_local.data.profile import Profile, profile
from automlgpt_local.metrics import METRICS
from finetune.tables import FAMILIES, Table, generate

FOLDS = 3
MOST_MEASURED = 2400
FRESH_ROWS = 4000  # of a measured table, for scoring alone
MEASURED_SEED = 10_000  # tables that are measured have other seeds than those that only tell the truth


@dataclass(frozen=True)
class Case:
    """features: (n_rows, n_columns). y: (n_rows,) codes or floats. `truth` is the generator's table, if it has one.

    The first `n_train` rows are the data set that a run would see. Rows after them are fresh: only what is measured
    is scored on them.
    """

    name: str
    family: str
    held_out: bool
    features: pd.DataFrame
    y: np.ndarray
    classes: tuple[str, ...]
    kind: str
    metric: str
    profile: Profile
    n_train: int
    truth: Table | None = None

    def task(self, time_limit_s: float = 120.0) -> Any:
        """What `compact.opening` reads of a TaskSpec."""
        return SimpleNamespace(kind=self.kind, metric=self.metric, time_limit_s=time_limit_s)

    @property
    def n_classes(self) -> int:
        return len(self.classes)

    def default_treatments(self) -> dict[str, str]:
        return compact.default_treatments(self.profile)

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

    def splits(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(training rows, scored rows): the fresh rows once, where there are some; else three folds."""
        from sklearn.model_selection import KFold, StratifiedKFold

        rows = np.arange(len(self.y))
        if self.n_train < len(rows):
            return [(rows[: self.n_train], rows[self.n_train :])]
        if self.kind == "regression":
            return list(KFold(FOLDS, shuffle=True, random_state=0).split(rows))
        return list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(rows, self.y))

    @property
    def scored(self) -> slice:
        """The rows that splits() predicts."""
        return slice(self.n_train if self.n_train < len(self.y) else 0, None)

    def error(self, prediction: np.ndarray) -> float:
        """Of the scored rows, lower is better: one less the score where higher is better, else the loss."""
        metric = METRICS[self.metric]
        score = metric.score(self.y[self.scored], prediction)
        return max(1e-6, 1.0 - score if metric.higher_is_better else metric.loss(score))


def from_table(table: Table, fresh: int = 0) -> Case:
    """fresh: the table's last rows, which its profile must not know."""
    return make_case(
        table.name, table.family, table.held_out, table.frame, table.target, table.kind, table.metric, table, fresh
    )


def make_case(
    name: str, family: str, held_out: bool, frame: pd.DataFrame, target: str, kind: str, metric: str,
    truth: Table | None = None, fresh: int = 0,
) -> Case:  # fmt: skip
    n_train = len(frame) - fresh
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
    seen = profile(features.iloc[:n_train], y[:n_train], classes=classes)
    return Case(name, family, held_out, features, y, classes, kind, metric, seen, n_train, truth)


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


def measured_cases(count: int) -> Iterator[tuple[str, Callable[[], Case]]]:
    """(name, what makes it): the bundled sets first, then generated tables, families in turn, of 400 to 5,000 rows."""
    for case in bundled():
        yield case.name, lambda case=case: case  # type: ignore[misc]
    for i in range(count):
        family, seed = FAMILIES[i % len(FAMILIES)], MEASURED_SEED + i // len(FAMILIES)
        n_rows = round(10 ** random.Random(i).uniform(2.6, 3.7)) + FRESH_ROWS
        yield f"{family}-{seed}-{n_rows}", partial(_measured_case, family, seed, n_rows)


def _measured_case(family: str, seed: int, n_rows: int) -> Case:
    return from_table(generate(family, seed, n_rows), FRESH_ROWS)
