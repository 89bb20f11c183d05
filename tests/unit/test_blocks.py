"""Solutions that small models put together from blocks: they run on messy tables, and are mended by other blocks."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from loop_fixtures import TASK, events, iris_profile, loop

from automlgpt_local.agents import blocks, compact
from automlgpt_local.agents.advisor import Situation
from automlgpt_local.agents.check import problems
from automlgpt_local.agents.fill_in import KINDS_BEFORE_OWN, FillInAgents
from automlgpt_local.agents.journal import Journal
from automlgpt_local.data.profile import Profile
from automlgpt_local.events import CodeRejected, CodeWritten, Decided
from automlgpt_local.llm.random import RandomBackend
from automlgpt_local.metrics import METRICS
from automlgpt_local.sandbox.harness import fit_estimator, load_solution, predict_aligned
from automlgpt_local.task import TaskSpec


@pytest.fixture(scope="module")
def iris() -> Profile:
    return iris_profile()


def messy(n: int) -> pd.DataFrame:
    """Numbers with gaps and infinities, an empty and a constant column, levels of which some are seen once, words."""
    rng = np.random.default_rng(n)
    number = rng.normal(size=n)
    number[:3] = [np.inf, -np.inf, np.nan]
    level = rng.choice(["a", "b", "c"], n).astype(object)
    level[:4] = [None, np.nan, f"only here {n}", "d"]
    words = rng.choice(["good red wine", "bad wine", ""], n).astype(object)
    words[5] = None
    return pd.DataFrame(
        {"number": number, "whole": rng.integers(0, 5, n), "empty": np.nan, "same": 1.0, "level": level, "words": words}
    )


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
@pytest.mark.parametrize("model", list(blocks.MODELS))
def test_every_block_runs_on_a_messy_table(tmp_path: Path, kind: str, model: str) -> None:
    """All pairs of the blocks for columns."""
    train, new = messy(120), messy(40)
    n_classes = {"binary": 2, "multiclass": 3, "regression": 0}[kind]
    signal = train["whole"] + (train["level"] == "a")
    y = np.exp(signal.to_numpy(float)) if kind == "regression" else signal.to_numpy(int) % n_classes
    ctx: dict[str, Any] = {
        "kind": kind, "n_classes": n_classes, "metric": "rmsle" if kind == "regression" else "log_loss", "seed": 0,
        "columns": {"number": ["number", "whole", "empty", "same"], "category": ["level"], "text": ["words"]},
    }  # fmt: skip
    places = [blocks.PLACES[place] for place in ("scale", "expand", "encode")]
    for i, (scale, expand, encode) in enumerate(itertools.product(*places)):
        choices = {"model": model, "scale": scale, "expand": expand, "encode": encode, "penalty": "medium"}
        source = blocks.compose(choices, kind)
        assert blocks.choices_of(source) == choices
        assert problems(source, train.columns) == []
        path = tmp_path / f"own_{i}.py"
        path.write_text(source)
        estimator = fit_estimator(load_solution(str(path), path.stem).build({}, ctx), train, y)
        found = predict_aligned(estimator, new, ctx)
        assert found.shape == ((40, n_classes) if n_classes else (40,))
        assert np.allclose(predict_aligned(estimator, new.iloc[:5], ctx), found[:5])


def test_other_modules_hold_no_blocks() -> None:
    assert blocks.choices_of("") == {}
    assert blocks.choices_of('"""Splits by model=x."""\n') == {}


def test_what_a_table_is_too_large_for_is_not_offered(iris: Profile) -> None:
    assert "vectors" in blocks.options(iris)["model"] and "products" in blocks.options(iris)["expand"]
    assert "vectors" not in blocks.options(replace(iris, rows=100_000))["model"]
    assert "products" not in blocks.options(replace(iris, columns=iris.columns * 10))["expand"]


def situation(iris: Profile, task: TaskSpec = TASK) -> Situation:
    return Situation(task, iris, Journal(METRICS["log_loss"]), 50.0, 10.0, 1)


@pytest.mark.parametrize("seed", range(8))
def test_a_module_that_failed_is_mended_by_another_model(iris: Profile, seed: int) -> None:
    agents = FillInAgents(RandomBackend(seed), "random", seed)
    features = "def features(df):\n    df = df.copy()\n    return df"
    first = agents.solution(situation(iris), "", features).values["source"]
    mended = agents.repair(situation(iris), first, "timeout").values["source"]
    assert features in first and features in mended
    assert blocks.choices_of(first)["model"] != blocks.choices_of(mended)["model"]


def test_what_the_user_rules_out_is_not_composed(iris: Profile) -> None:
    task = replace(TASK, never=("linear", "lightgbm"))
    agents = [FillInAgents(RandomBackend(seed), "random", seed) for seed in range(8)]
    models = {blocks.choices_of(a.solution(situation(iris, task), "", "").values["source"])["model"] for a in agents}
    assert models == {"kernel", "vectors"}


@pytest.mark.parametrize("fails", [False, True])
def test_one_solution_of_its_own_once_the_kinds_of_model_are_known(
    tmp_path: Path, iris: Profile, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    monkeypatch.setattr("automlgpt_local.agents.fill_in.KINDS_BEFORE_OWN", 2)
    assert KINDS_BEFORE_OWN > 2, "of recipes there are three here"
    search, recorder = loop(tmp_path, iris, FillInAgents(RandomBackend(3), "random", 3), replace(TASK, trials=12))
    search.bench.evaluator.fails = {"own_1"} if fails else set()  # type: ignore[attr-defined]
    search.run()
    own = [w for w in events(recorder, CodeWritten) if w.recipe.startswith("own")]
    assert [(w.recipe, w.by, w.stage) for w in own] == [("own_1", "random", "select"), ("own_2", "random", "select")][
        : 1 + fails
    ]
    rejected, repaired = (
        events(recorder, CodeRejected),
        [d for d in events(recorder, Decided) if d.decision == "repair"],
    )
    assert len(rejected) == len(repaired) == int(fails)
    if fails:
        assert repaired[0].values["model"] != blocks.choices_of(search.bench.journal.sources[own[0].attempt])["model"]


@pytest.mark.parametrize(
    "error, why",
    [("timeout", "time"), ("Memory limit of 2 GiB", "memory"), ("RuntimeError: no", "error"), ("ValueError", "error")],
)
def test_kinds_of_failure(error: str, why: str) -> None:
    assert compact.failure(error) == why


def test_the_question_tells_what_failed(iris: Profile) -> None:
    options = blocks.options(iris)
    failed = {place: values[0] for place, values in options.items()}
    text = str(compact.own([], options, failed, compact.failure("the fold ran out of memory"))[0])
    assert text == "own\nfailed linear standard none levels weak memory\nmodel="
