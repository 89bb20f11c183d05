"""What the forks are given to read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automlgpt_local.data.load import load
from automlgpt_local.data.target import make_dataset
from automlgpt_local.errors import DataError
from automlgpt_local.search.workspace import Workspace, affordable_folds
from automlgpt_local.task import TaskSpec


def workspace(folder: Path, n_rows: int, time_limit_s: float) -> Workspace:
    rng = np.random.default_rng(0)
    pd.DataFrame({"x": rng.normal(size=n_rows).round(3), "y": rng.normal(size=n_rows).round(3)}).to_csv(
        folder / "data.csv", index=False
    )
    task = TaskSpec("y", "regression", "rmse", time_limit_s, holdout=0.1)
    made = Workspace(folder, task, make_dataset(load(folder / "data.csv"), task))
    made.write()
    return made


@pytest.mark.parametrize(
    ("n_rows", "time_limit_s", "expected"), [(20_000, 120.0, 6_000), (60_000, 120.0, 13_500), (60_000, 40.0, 8_000)]
)
def test_a_probe_has_a_part_of_the_rows_as_far_as_the_time_allows(
    tmp_path: Path, n_rows: int, time_limit_s: float, expected: int
) -> None:
    probes = workspace(tmp_path, n_rows, time_limit_s).probes
    assert {len(p.train) for p in probes} == {expected} and {len(p.valid) for p in probes} == {expected // 2}
    assert not any(np.intersect1d(p.train, p.valid).size for p in probes)


def test_probes_keep_the_order_of_time_where_there_is_one_split(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    days = pd.date_range("1900-01-01", periods=40_000).strftime("%Y-%m-%d")
    frame = pd.DataFrame({"when": days, "x": rng.normal(size=40_000).round(3), "y": rng.normal(size=40_000).round(3)})
    frame.to_csv(tmp_path / "data.csv", index=False)
    task = TaskSpec("y", "regression", "rmse", 0.1, time="when", holdout=0.1)
    made = Workspace(tmp_path, task, make_dataset(load(tmp_path / "data.csv"), task))
    made.write()
    assert len(made.folds) == 1 and len(made.probes) == 4
    when = pd.to_datetime(days)[made.development]
    for probe in made.probes:
        assert when[probe.train].max() <= when[made.folds[0].train].max() < when[probe.valid].min()


def test_on_a_small_table_the_folds_are_the_probes(tmp_path: Path) -> None:
    made = workspace(tmp_path, 2_000, 60.0)
    assert made.probes is made.folds


@pytest.mark.parametrize(
    ("n_rows", "time_limit_s", "folds"),
    [(15_000, 120.0, 8), (15_000, 20.0, 3), (90_000, 120.0, 2), (90_000, 600.0, 8), (90_000, 30.0, 1)],
)
def test_with_many_rows_two_folds_leave_time_for_more_models(n_rows: int, time_limit_s: float, folds: int) -> None:
    task = TaskSpec("y", "binary", "roc_auc", time_limit_s, threads=2)
    assert affordable_folds(task, n_rows, 25, 2) == folds


def of_two_classes(folder: Path, late: int, metric: str = "roc_auc", **fields: Any) -> Workspace:
    """300 days; the last `late` ones and, of those before, every third are positive."""
    positive = np.where(np.arange(300) < 300 - late, np.arange(300) % 3 == 0, True)
    days = pd.date_range("2020-01-01", periods=300).strftime("%Y-%m-%d")
    w = np.where(np.arange(300) < 250, 1.0, 0.0)
    frame = pd.DataFrame({"when": days, "x": np.arange(300) % 17, "w": w, "y": np.where(positive, "yes", "no")})
    frame.to_csv(folder / "data.csv", index=False)
    task = TaskSpec("y", "binary", metric, 60.0, time="when", holdout=0.1, **fields)
    return Workspace(folder, task, make_dataset(load(folder / "data.csv"), task))


def test_validation_parts_that_the_metric_cannot_score_are_left_out(tmp_path: Path) -> None:
    everything, few = of_two_classes(tmp_path, 0), of_two_classes(tmp_path, 120)
    assert 0 < len(few.splits.folds) < len(everything.splits.folds)
    assert not few.can_score(few.holdout) and everything.can_score(everything.holdout)
    assert not of_two_classes(tmp_path, 0, weight="w").can_score(np.arange(260, 300)), "rows without weight"
    with pytest.raises(DataError, match="roc_auc is not defined"):
        of_two_classes(tmp_path, 200)


def test_rows_without_positives_tell_nothing_about_their_precision(tmp_path: Path) -> None:
    found = of_two_classes(tmp_path, 0, "average_precision")
    negative, some = np.flatnonzero(found.y == 0), np.arange(20)
    assert not found.can_score(negative) and found.can_score(some)
    assert of_two_classes(tmp_path, 0, "accuracy").can_score(negative)
