"""Importance of columns: out of sample, in the time that is left, from predictions that our code scores."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automlgpt_local.data.load import load
from automlgpt_local.data.profile import profile
from automlgpt_local.data.target import make_dataset
from automlgpt_local.events import Noted
from automlgpt_local.sandbox import harness
from automlgpt_local.sandbox.jobs import Job, Outcome
from automlgpt_local.search import importance
from automlgpt_local.search.workspace import Workspace
from automlgpt_local.task import TaskSpec

SOLUTION = """
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

def features(df):
    df = df.copy()
    df["twice"] = 2 * df["strong"]
    return df.drop(columns=["colour"])

def numbers(X):
    return X[["strong", "weak", "noise", "twice"]].to_numpy()

def build(params, ctx):
    return make_pipeline(
        FunctionTransformer(numbers), LinearRegression() if ctx["kind"] == "regression" else LogisticRegression()
    )
"""


class Fork:
    """The harness's function in this process."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def run(self, job: Job, cancelled: Any = None) -> Outcome:
        self.jobs.append(job)
        result = harness.TASKS[job.task](job.spec, job.work, lambda question: None)
        arrays = {path.stem: np.load(path) for path in job.work.glob("*.npy")}
        return Outcome("ok", 0.1, result=result, arrays=arrays)


def closing(tmp_path: Path, kind: str, left_s: float = 60.0) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(400, 3)).round(4), columns=["strong", "weak", "noise"])
    frame["colour"] = rng.choice(["red", "blue"], 400)
    y = 3 * frame["strong"] + 0.5 * frame["weak"] + rng.normal(0, 0.1, 400)
    frame["y"] = y if kind == "regression" else np.where(y > 0, "yes", "no")
    frame.to_csv(tmp_path / "data.csv", index=False)
    metric = "rmse" if kind == "regression" else "f1"
    table, task = load(tmp_path / "data.csv"), TaskSpec("y", kind, metric, 60.0)  # type: ignore[arg-type]
    dataset = make_dataset(table, task)
    workspace = Workspace(tmp_path, task, dataset)
    workspace.write()
    solution = tmp_path / "solution.py"
    solution.write_text(SOLUTION)
    columns = {"number": ["strong", "weak", "noise"], "category": ["colour"], "text": []}
    attempt = SimpleNamespace(number=3, params={}, columns=columns)

    def job_dir(name: str) -> Path:
        (tmp_path / name).mkdir()
        return tmp_path / name

    evaluator = SimpleNamespace(
        workspace=workspace, folds=workspace.folds, sandbox=Fork(), metric=workspace.metric, threads_per_fold=1,
        solution_path=lambda number: solution, job_dir=job_dir,
    )  # fmt: skip
    made = SimpleNamespace(
        blender=SimpleNamespace(weights={2: 0.3, 3: 0.7}, closing_s=3.0), evaluator=evaluator,
        pool=[SimpleNamespace(attempt=attempt, fitted_params={}, fit_s=0.1)],
        control=SimpleNamespace(interrupted=lambda: False, leave_if_abandoned=lambda: None),
        recorder=SimpleNamespace(
            clock=SimpleNamespace(limit_s=60.0, left_s=lambda: left_s), step=lambda cls, make: make()
        ),
    )  # fmt: skip
    return made, profile(dataset.features, dataset.y, classes=dataset.classes)


@pytest.mark.parametrize("kind", ["regression", "binary"])
def test_columns_are_ranked_by_what_is_lost_without_them(tmp_path: Path, kind: str) -> None:
    made, found = closing(tmp_path, kind)
    rule = {} if kind == "regression" else {"multipliers": [0.4, 0.6]}
    said = importance.explain(made, rule, found)
    assert isinstance(said, Noted) and "attempt 3" in said.text and "3 times" in said.text
    values = json.loads((tmp_path / "importance.json").read_text())
    losses = dict(values["columns"])
    assert list(losses)[:2] == ["strong", "weak"]
    assert losses["strong"] > 3 * losses["weak"] > 0
    assert losses["colour"] == 0.0, "a column that features(df) drops"
    assert values["rows"] == len(made.evaluator.folds[0].valid)


def test_the_time_that_is_over_ends_the_shuffling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, found = closing(tmp_path, "regression")
    monkeypatch.setattr(importance, "MOST_SHARE", 0.0)
    made.evaluator.sandbox.run = lambda job, cancelled=None: Fork().run(
        Job(job.task, {**job.spec, "seconds": -1.0}, job.work, job.read, job.limits)
    )
    said = importance.explain(made, {}, found)
    assert "3 columns that go less with the target were left out" in said.text
    assert [name for name, _ in json.loads((tmp_path / "importance.json").read_text())["columns"]] == ["strong"]


def test_without_time_it_is_not_measured(tmp_path: Path) -> None:
    made, found = closing(tmp_path, "regression", left_s=2.2)
    (tmp_path / "importance.json").write_text("{}")
    assert importance.explain(made, {}, found).text == "Not measured: no time was left."
    assert not (tmp_path / "importance.json").exists()
    assert made.evaluator.sandbox.jobs == []


def test_a_fork_that_hands_back_nonsense_is_not_believed(tmp_path: Path) -> None:
    for i, arrays in enumerate(({}, {"shuffled": np.ones((7, 1))}, {"shuffled": np.full((40, 1), np.nan)})):
        (tmp_path / str(i)).mkdir()
        made, found = closing(tmp_path / str(i), "regression")
        made.evaluator.sandbox.run = lambda job, cancelled=None, arrays=arrays: Outcome("ok", 0.1, arrays=arrays)
        assert importance.explain(made, {}, found).text.startswith("Not measured")
