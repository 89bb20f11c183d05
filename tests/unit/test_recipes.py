"""Every recipe on small wild tables: shapes, repeatability, refit, clock, contract."""

from __future__ import annotations

import ast
import pickle
import sys
import time
import types
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
import pytest
from threadpoolctl import threadpool_limits

from automlgpt_local.metrics import METRICS
from automlgpt_local.recipes import Recipe, load, parse

RECIPES = load()
NAMES = sorted(RECIPES)
# Recipes that share their code with another one differ in defaults alone.
CODES = [name for name in NAMES if name not in ("lightgbm_fine", "lightgbm_extra", "random_forest")]
KINDS = ("binary", "multiclass", "regression")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def module_of(recipe: Recipe) -> types.ModuleType:
    module = types.ModuleType(f"solution_{recipe.name}")
    sys.modules[module.__name__] = module
    exec(compile(recipe.source, f"{recipe.name}.py", "exec"), module.__dict__)
    return module


MODULES = {name: module_of(recipe) for name, recipe in RECIPES.items()}


def table(n: int, kind: str, seed: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Numbers with gaps and infinities, categories, names of many levels, text, odd column names, a useless column."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=n)
    level = rng.integers(0, 4, n)
    frame = pd.DataFrame(
        {
            'a "b" [c], {d}:': signal + rng.normal(size=n) * 0.3,
            "whole": rng.integers(0, 9, n),
            "gaps": np.where(rng.random(n) < 0.3, np.nan, rng.exponential(size=n)),
            "wide": np.where(rng.random(n) < 0.01, np.inf, rng.normal(size=n) * 1e30),
            "nothing": np.nan,
            "level": pd.Series(np.array(["red", "green", "blue", "ö\n"])[level]).astype(str),
            "name": pd.Series([f"id{v}" for v in rng.integers(0, max(60, n // 3), n)]).astype(str),
            "words": [" ".join(rng.choice(["good", "bad", "old", "new", "big"], 4)) for _ in range(n)],
            "ignored": "x",
        }
    )
    frame.loc[rng.random(n) < 0.1, ["level", "name", "words"]] = np.nan
    value = signal + 0.7 * level + rng.normal(size=n) * 0.2
    if kind == "regression":
        return frame, value * 10 + 50
    return frame, np.searchsorted(np.quantile(value, [0.5] if kind == "binary" else [0.3, 0.6, 0.8]), value)


def context(kind: str, **changed: Any) -> dict[str, Any]:
    columns = {
        "number": ['a "b" [c], {d}:', "whole", "gaps", "wide", "nothing"],
        "category": ["level", "name"],
        "text": ["words"],
    }
    metric = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}[kind]
    classes = {"binary": 2, "multiclass": 4, "regression": 0}[kind]
    ctx = {"kind": kind, "n_classes": classes, "metric": metric, "seed": 0, "n_threads": 1, "seconds": 20.0}
    return {**ctx, "columns": columns, "n_rows": 0, **changed}


QUICK: dict[str, dict[str, Any]] = {
    "extra_trees": {"trees": 30},
    "random_forest": {"trees": 30},
    "neural": {"max_epochs": 12, "width": 32, "rate": 0.005},
    "catboost": {"rounds": 60, "small_trees": 40},
    "lightgbm": {"rounds": 60},
    "lightgbm_fine": {"rounds": 60, "learning_rate": 0.1},
    "lightgbm_extra": {"rounds": 60},
    "xgboost": {"rounds": 60},
}


def fitted(name: str, kind: str, n: int = 850, params: dict[str, Any] | None = None, **changed: Any) -> Any:
    frame, y = table(n, kind)
    return MODULES[name].build({**QUICK.get(name, {}), **(params or {})}, context(kind, **changed)).fit(frame, y)


def predicted(model: Any, frame: pd.DataFrame) -> np.ndarray:
    found: np.ndarray = model.predict_proba(frame) if hasattr(model, "predict_proba") else model.predict(frame)
    return found


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CODES)
def test_learns_and_predicts_finite_numbers_of_the_right_shape(name: str, kind: str) -> None:
    model = fitted(name, kind)
    frame, y = table(300, kind, seed=1)
    found = predicted(model, frame)
    assert found.shape == ((300,) if kind == "regression" else (300, len(np.unique(y))))
    assert np.isfinite(found).all()
    if kind == "regression":
        assert np.mean((found - y) ** 2) < 0.5 * y.var()
    else:
        assert found.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
        assert (found > 0).all()
        assert (found.argmax(axis=1) == y).mean() > 0.5 + (kind == "binary") * 0.15
    assert (model.predict(frame) == (found if kind == "regression" else found.argmax(axis=1))).all()


@pytest.mark.parametrize("name", CODES)
def test_the_same_seed_gives_the_same_model_and_pickles_answer_alike(name: str) -> None:
    frame, _ = table(50, "binary", seed=1)
    one, other, model = (fitted(name, "binary", 300, seconds=None) for _ in range(3))  # the clock decides nothing
    first, second = predicted(one, frame), predicted(other, frame)
    assert (first == second).all()
    assert (predicted(pickle.loads(pickle.dumps(model)), frame) == first).all()


@pytest.mark.parametrize("kind", ["binary", "regression"])
@pytest.mark.parametrize("name", CODES)
def test_a_refit_with_what_was_found_holds_out_no_row_and_keeps_it(name: str, kind: str) -> None:
    found = fitted(name, kind).fitted_params_
    again = fitted(name, kind, params=found, seconds=None)
    assert again.fitted_params_ == found
    assert all(isinstance(v, int | float) for v in found.values())


@pytest.mark.parametrize("name", CODES)
def test_a_row_alone_is_predicted_as_among_others(name: str) -> None:
    model = fitted(name, "regression", 300)
    frame, _ = table(40, "regression", seed=1)
    alone = predicted(model, frame.iloc[[7]].reset_index(drop=True))
    assert alone == pytest.approx(predicted(model, frame)[[7]], rel=1e-4)


@pytest.mark.parametrize("name", CODES)
def test_levels_never_seen_and_empty_rows_are_predicted(name: str) -> None:
    model = fitted(name, "binary", 300)
    frame, _ = table(5, "binary", seed=1)
    frame["level"], frame["name"], frame["words"] = "never", "never", "never ever"
    frame.iloc[4] = np.nan
    assert np.isfinite(predicted(model, frame)).all()


@pytest.mark.parametrize("name", NAMES)
def test_tiny_tables_one_class_and_weights(name: str) -> None:
    frame, _ = table(12, "binary")
    weight = np.linspace(0.5, 2, 12)
    model = MODULES[name].build(QUICK.get(name, {}), context("binary"))
    assert np.isfinite(predicted(model.fit(frame, np.arange(12) % 2, sample_weight=weight), frame)).all()
    single = MODULES[name].build({}, context("binary")).fit(frame, np.ones(12, dtype=int))
    assert single.classes_.tolist() == [1]
    assert (predicted(single, frame) == 1).all()
    values = MODULES[name].build(QUICK.get(name, {}), context("regression")).fit(frame, np.full(12, 3.0))
    assert predicted(values, frame) == pytest.approx(3.0, abs=1e-3)


@pytest.mark.parametrize("metric", ["rmsle", "mae", "mape", "tweedie", "r2"])
@pytest.mark.parametrize("name", CODES)
def test_every_metric_of_values_has_an_objective(name: str, metric: str) -> None:
    frame, y = table(400, "regression")
    y = np.exp(y / 20)
    model = MODULES[name].build(QUICK.get(name, {}), context("regression", metric=metric)).fit(frame, y)
    found = predicted(model, frame)
    assert found.min() >= 0
    assert np.median(np.abs(found - y)) < np.median(np.abs(np.median(y) - y))


@pytest.mark.parametrize("name", ["linear", "neural", "neighbours", "extra_trees", "lightgbm", "catboost", "xgboost"])
def test_no_prediction_of_zero_where_the_deviance_has_no_bound(name: str) -> None:
    frame, y = table(400, "regression")
    y = np.where(y > np.quantile(y, 0.7), y - 40, 0.0)
    ctx = context("regression", metric="tweedie")
    found = predicted(MODULES[name].build(QUICK.get(name, {}), ctx).fit(frame, y), frame)
    assert found.min() > 0
    assert METRICS["tweedie"].score(y, found) < METRICS["tweedie"].score(y, np.full(len(y), y.mean()))


@pytest.mark.parametrize("name", CODES)
def test_the_unit_of_the_target_does_not_matter(name: str) -> None:
    frame, y = table(400, "regression")
    found = [
        predicted(MODULES[name].build(QUICK.get(name, {}), context("regression")).fit(frame, y * unit), frame) / unit
        for unit in (1.0, 2.0**-17)
    ]
    assert np.mean((found[0] - found[1]) ** 2) < 0.05 * y.var()
    assert np.mean((found[1] - y) ** 2) < 0.5 * y.var()


@pytest.mark.parametrize("name", ["lightgbm", "lightgbm_fine", "lightgbm_extra"])
def test_few_rows_of_categories_teach_something(name: str) -> None:
    rng = np.random.default_rng(0)
    level = rng.integers(0, 8, 200)
    y = (rng.random(200) < np.where(level % 2 == 0, 0.9, 0.1)).astype(int)
    frame = pd.DataFrame({"level": pd.Series([f"l{v}" for v in level]).astype(str)})
    ctx = context("binary", columns={"number": [], "category": ["level"], "text": []})
    found = predicted(MODULES[name].build({}, ctx).fit(frame, y), frame)[:, 1]
    assert METRICS["roc_auc"].score(y, np.column_stack([1 - found, found])) > 0.8


def test_linear_chooses_where_a_class_has_one_row() -> None:
    frame, y = table(120, "multiclass")
    for row in range(120):
        rare = y.copy()
        rare[row] = 4
        if row % 24 == 0:
            found = predicted(MODULES["linear"].build({}, context("multiclass", n_classes=5)).fit(frame, rare), frame)
            assert found.shape == (120, 5) and np.isfinite(found).all()


@pytest.mark.parametrize("name", [n for n in CODES if "copies" in RECIPES[n].source])
def test_a_fixed_fit_averages_as_many_seeds_as_it_is_told_to(name: str) -> None:
    found = fitted(name, "binary").fitted_params_
    one, three = (fitted(name, "binary", params={**found, "copies": n}) for n in (1, 3))
    assert {k: v for k, v in three.fitted_params_.items() if found[k] != v or k == "copies"} == {"copies": 3}
    frame, _ = table(300, "binary", seed=1)
    assert not np.allclose(predicted(one, frame), predicted(three, frame))


@pytest.mark.parametrize("columns", [{"number": ["nothing"]}, {"category": ["level", "name"]}, {"text": ["words"]}])
@pytest.mark.parametrize("name", CODES)
def test_columns_of_one_kind_only(name: str, columns: dict[str, list[str]]) -> None:
    frame, y = table(60, "binary")
    ctx = context("binary", columns={"number": [], "category": [], "text": [], **columns})
    assert np.isfinite(predicted(MODULES[name].build(QUICK.get(name, {}), ctx).fit(frame, y), frame)).all()


@pytest.mark.parametrize(
    "name", [n for n in CODES if RECIPES[n].family in ("lightgbm", "catboost", "xgboost", "forest")]
)
def test_a_fit_ends_when_the_time_is_up(name: str) -> None:
    frame, y = table(4000, "regression")
    ctx = context("regression", seconds=0.5)
    model = MODULES[name].build({"rounds": 100_000, "trees": 100_000, "learning_rate": 1e-4}, ctx)
    started = time.monotonic()
    model.fit(frame, y)
    assert time.monotonic() - started < 4.0
    assert model.fitted_params_["n_trees"] < 100_000


@pytest.mark.parametrize("name", NAMES)
def test_the_contract_of_a_solution(name: str) -> None:
    recipe = RECIPES[name]
    assert "automlgpt" not in recipe.source
    tree = ast.parse(recipe.source)
    defaults = [n for n in tree.body if isinstance(n, ast.Assign) and ast.unparse(n.targets[0]) == "DEFAULTS"]
    assert len(defaults) == 1
    assert set(recipe.grid) <= set(ast.literal_eval(defaults[0].value))
    assert recipe.cost > 0
    assert recipe.title
    assert recipe.fits
    assert set(recipe.kinds) <= set(KINDS)


@pytest.mark.parametrize("name", NAMES)
def test_a_search_space_names_known_parameters(name: str) -> None:
    class Trial:
        def suggest_float(self, _name: str, low: float, _high: float, **_: Any) -> float:
            return low

        suggest_int = suggest_float

        def suggest_categorical(self, _name: str, choices: list[Any]) -> Any:
            return choices[0]

    assert set(MODULES[name].space(Trial())) <= set(MODULES[name].DEFAULTS)


@pytest.mark.parametrize("part", ["Encoder", "Dense", "Means", "Classifier", "Regressor", "held_out", "text"])
def test_parts_that_recipes_share_are_word_for_word_the_same(part: str) -> None:
    texts: dict[str, str | None] = {}
    for name, recipe in RECIPES.items():
        for node in ast.parse(recipe.source).body:
            if getattr(node, "name", "") == part:
                texts[name] = ast.get_source_segment(recipe.source, node)
    assert len(texts) > 1
    assert len(set(texts.values())) == 1, sorted(texts)


def test_a_module_without_a_header_is_refused() -> None:
    with pytest.raises(ValueError, match="RECIPE"):
        parse("x", "import numpy\n")


@pytest.mark.parametrize("loss", ["squared", "absolute", "softmax"])
@pytest.mark.parametrize("members", [1, 3])
def test_the_networks_gradients_are_those_of_its_loss(loss: str, members: int) -> None:
    rng = np.random.default_rng(0)
    n_out = 3 if loss == "softmax" else 1
    network = MODULES["neural"].Network([5, 7, 6, n_out], loss, 0.0, 0.0, members, 0)
    network.flat, network.gradient = network.flat.astype(float), network.gradient.astype(float)
    network.flat += 0.3 * rng.normal(size=network.flat.shape)
    network.weights, network.gradients = network.shaped(network.flat), network.shaped(network.gradient)
    features, weight = rng.normal(size=(11, 5)), rng.uniform(0.5, 2, 11)
    y = rng.integers(0, 3, 11) if loss == "softmax" else rng.normal(size=11)

    def mean_loss() -> float:
        out = MODULES["neural"].forward(network.weights, features)[0]
        if loss == "softmax":
            each = np.log(np.exp(out).sum(axis=2)) - out[:, np.arange(11), y]
        else:
            error = out[:, :, 0] - y
            each = error**2 / 2 if loss == "squared" else np.log(np.cosh(4 * error)) / 4
        return float((each * weight).sum() / 11)

    network.backward(features, y, weight)
    for w, gradient in zip(network.weights, network.gradients, strict=True):
        assert gradient.shape == w.shape
        for at in [tuple(rng.integers(0, w.shape)) for _ in range(8)]:
            before = w[at]
            w[at] = before + 1e-5
            above = mean_loss()
            w[at] = before - 1e-5
            below = mean_loss()
            w[at] = before
            assert gradient[at] == pytest.approx((above - below) / 2e-5, rel=1e-4, abs=1e-7)


def test_a_network_short_of_time_learns_alone() -> None:
    hurried = fitted("neural", "binary", 3_000, {"max_epochs": 4000, "width": 256}, seconds=0.5)
    assert hurried.fitted_params_["members"] == 1
    assert fitted("neural", "binary", 300, {"max_epochs": 4}).fitted_params_["members"] == 4
