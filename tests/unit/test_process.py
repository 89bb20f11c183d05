"""The process stage: what columns become, kept only where a probe gains."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loop_fixtures import events, iris_profile, loop

from automlgpt_local.agents.rules import RuleAdvisor
from automlgpt_local.data.profile import Profile, profile
from automlgpt_local.events import CodeWritten, Warned
from automlgpt_local.task import TaskSpec


@pytest.fixture(scope="module")
def iris() -> Profile:
    return iris_profile()


@pytest.mark.parametrize("gains", [True, False])
def test_days_become_a_category_where_a_probe_gains_and_the_user_is_told(tmp_path: Path, gains: bool) -> None:
    rng = np.random.default_rng(0)
    days = pd.date_range("2020-01-01", periods=200).strftime("%Y-%m-%d").to_numpy()
    drawn = rng.integers(0, 200, 3000)
    frame = pd.DataFrame({"when": days[drawn], "x": rng.normal(size=3000)})
    y = rng.normal(size=200)[drawn] + 0.3 * rng.normal(size=3000)
    search, recorder = loop(tmp_path, profile(frame, y), RuleAdvisor(), TaskSpec("y", "regression", "rmse", 60.0))
    search.bench.evaluator.workspace.sample = lambda most: (frame, y)  # type: ignore[method-assign]
    search.bench.evaluator.workspace.n_classes = 0  # type: ignore[misc]
    kept, better = SimpleNamespace(), SimpleNamespace()
    search.process._gains = lambda *_: better if gains else None  # type: ignore[assignment, method-assign, return-value]
    columns = search.bench.profile.columns
    levels, against = search.process._levels(columns, {"when": "date", "x": "keep"}, kept)  # type: ignore[arg-type]
    assert [idea.columns for idea in levels] == ([("when",)] if gains else [])
    assert against is (better if gains else kept)
    assert ("when_level" in search.process.features_source) is gains
    assert [("--time 'when'" in w.message) for w in events(recorder, Warned)] == ([True] if gains else [])


@pytest.mark.parametrize("gain", [0.1, -0.1])
def test_pairs_of_columns_are_kept_where_they_gain(tmp_path: Path, iris: Profile, gain: float) -> None:
    search, recorder = loop(tmp_path, iris, RuleAdvisor())
    evaluator: Any = search.bench.evaluator
    rng = np.random.default_rng(0)
    sample = pd.DataFrame({c.name: rng.integers(0, 9, 3_000) for c in iris.columns})
    together = (sample["petal length (cm)"] + sample["petal width (cm)"]).to_numpy() % 3
    evaluator.workspace.sample = lambda _: (sample, together)
    evaluator.loss = lambda text: 0.5 - gain * ("_cells(df['petal" in text)
    search.run()
    crossed = [w.attempt for w in events(recorder, CodeWritten) if "_cells(" in search.bench.journal.sources[w.attempt]]
    tried = next(w for w in events(recorder, CodeWritten) if w.title == "pairs of columns as one")
    assert tried.attempt in crossed and (tried.attempt in search.bench.journal.kept) == (gain > 0)
    later = [w.attempt for w in events(recorder, CodeWritten) if w.stage != "process"]
    assert later and (set(later) <= set(crossed) if gain > 0 else not set(later) & set(crossed))
