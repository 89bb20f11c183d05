"""What runs inside the sandbox, one function for each task: fold, refit, predict, shuffle, space.

Knows no label but those of its training rows, no score, no path but those of its spec. It needs the standard library
and the ML libraries alone. `prepare`, `extend_columns`, `fit_estimator`, `predict_aligned` and `fitted_params` are
copied into exported pipelines: keep them self-contained.
"""

from __future__ import annotations

import importlib.util
import json
import random
import sys
import time
import types
import warnings
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pyarrow.feather
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

ROWS_TRIED_ALONE = 25
Ask = Callable[[dict[str, Any]], Any]


# --- shared with exported pipelines
def extend_columns(ctx, frame, before=None):  # type: ignore[no-untyped-def]
    """ctx whose lists of columns fit `frame`: vanished ones leave, new or retyped ones (against `before`) come in."""

    def numeric(column):  # type: ignore[no-untyped-def]
        return pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column)

    listed = {name for names in ctx["columns"].values() for name in names}
    untouched = set(listed)
    if before is not None:
        same = {c for c in before.columns if c in frame.columns and numeric(before[c]) == numeric(frame[c])}
        untouched = same | (listed - set(before.columns))
    kept = untouched & set(frame.columns)
    columns = {kind: [name for name in names if name in kept] for kind, names in ctx["columns"].items()}
    for name in frame.columns:
        if name not in untouched:
            columns.setdefault("number" if numeric(frame[name]) else "category", []).append(name)
    return {**ctx, "columns": columns}


def prepare(df, solution, ctx):  # type: ignore[no-untyped-def]
    """The frame that the estimator sees, and ctx with its columns. Raises ValueError when rows do not stay."""
    features = getattr(solution, "features", None)
    if features is None:
        return df, ctx
    frame = features(df.copy())
    if not isinstance(frame, pd.DataFrame):
        raise ValueError(f"features(df) must return a DataFrame, not {type(frame).__name__}")
    if len(frame) != len(df) or not frame.index.equals(df.index):
        raise ValueError(f"features(df) must keep the rows: {len(df)} went in, {len(frame)} came back or were moved")
    if not frame.columns.is_unique:
        raise ValueError("features(df) returned two columns of the same name")
    return frame, extend_columns(ctx, frame, df)


def fit_estimator(estimator, X, y, weight=None):  # type: ignore[no-untyped-def]
    """Fit; `weight` (n_rows,) goes to the last step where that step takes sample weights."""
    if weight is None:
        return estimator.fit(X, y)
    if isinstance(estimator, Pipeline):
        name, last = estimator.steps[-1]
        if has_fit_parameter(last, "sample_weight"):
            return estimator.fit(X, y, **{f"{name}__sample_weight": weight})
        return estimator.fit(X, y)
    if has_fit_parameter(estimator, "sample_weight"):
        return estimator.fit(X, y, sample_weight=weight)
    return estimator.fit(X, y)


def predict_aligned(estimator, X, ctx):  # type: ignore[no-untyped-def]
    """Regression: (n_rows,) floats. Classification: (n_rows, n_classes) probabilities in the order of the codes."""
    if ctx["kind"] == "regression":
        values = np.asarray(estimator.predict(X), dtype=float).reshape(-1)
    elif hasattr(estimator, "predict_proba"):
        raw = np.asarray(estimator.predict_proba(X), dtype=float)
        values = np.zeros((len(X), ctx["n_classes"]))
        values[:, np.asarray(estimator.classes_, dtype=int)] = raw
    else:
        codes = np.asarray(estimator.predict(X), dtype=int).reshape(-1)
        values = np.eye(ctx["n_classes"])[codes]
    if len(values) != len(X):
        raise ValueError(f"{len(values)} predictions for {len(X)} rows")
    if not np.isfinite(values).all():
        raise ValueError("some predictions are not finite numbers")
    return values


def fitted_params(estimator):  # type: ignore[no-untyped-def]
    """`fitted_params_` of the estimator, or of the one inside a Pipeline or a TransformedTargetRegressor."""
    while not hasattr(estimator, "fitted_params_"):
        if isinstance(estimator, Pipeline):
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "regressor_"):
            estimator = estimator.regressor_
        else:
            return {}
    return dict(estimator.fitted_params_)


# --- tasks
def fold(spec: dict[str, Any], work: Path, ask: Ask) -> dict[str, Any]:
    """Fit on the training rows of one fold; predict its validation rows, and the holdout's rows when given."""
    solution = load_solution(spec["solution"], spec["module"])
    folder = Path(spec["fold"])
    table = read_frame(spec["features"])
    frame, ctx = prepare(table, solution, {**spec["ctx"]})
    check_row_wise(table, frame, solution)
    train_rows, valid_rows = _array(folder / "train_rows.npy"), _array(folder / "valid_rows.npy")
    weight = _array(folder / "train_weight.npy") if (folder / "train_weight.npy").exists() else None
    ctx["n_rows"] = len(train_rows)
    with _caught_warnings() as caught:
        started = time.monotonic()
        estimator = solution.build(spec["params"], ctx)
        estimator = fit_estimator(estimator, frame.iloc[train_rows], _array(folder / "train_y.npy"), weight)
        fit_s = time.monotonic() - started
        started = time.monotonic()
        _save(work / "valid.npy", predict_aligned(estimator, frame.iloc[valid_rows], ctx))
        predict_s = time.monotonic() - started
        if spec.get("holdout"):
            rows, _ = prepare(read_frame(spec["holdout"]), solution, {**spec["ctx"]})
            _save(work / "holdout.npy", predict_aligned(estimator, rows[frame.columns], ctx))
    return _summary(estimator, frame, fit_s, predict_s, caught)


def refit(spec: dict[str, Any], work: Path, ask: Ask) -> dict[str, Any]:
    """Fit on all rows, keep the estimator as model.joblib, predict the test rows when given."""
    solution = load_solution(spec["solution"], spec["module"])
    frame, ctx = prepare(read_frame(spec["features"]), solution, {**spec["ctx"]})
    weight = _array(spec["weight"]) if spec.get("weight") else None
    ctx["n_rows"] = len(frame)
    with _caught_warnings() as caught:
        started = time.monotonic()
        estimator = fit_estimator(solution.build(spec["params"], ctx), frame, _array(spec["y"]), weight)
        fit_s = time.monotonic() - started
        joblib.dump(estimator, work / "model.joblib", compress=3)
        started = time.monotonic()
        if spec.get("test"):
            rows, _ = prepare(read_frame(spec["test"]), solution, {**spec["ctx"]})
            _save(work / "test.npy", predict_aligned(estimator, rows[frame.columns], ctx))
    return _summary(estimator, frame, fit_s, time.monotonic() - started, caught)


def predict(spec: dict[str, Any], work: Path, ask: Ask) -> dict[str, Any]:
    """The weighted mean of the members' predictions for all rows of `features`."""
    table, total, started = read_frame(spec["features"]), 0.0, time.monotonic()
    weights = np.array([member.get("weight", 1.0) for member in spec["members"]], dtype=float)
    for member, weight in zip(spec["members"], weights / weights.sum()):
        solution = load_solution(member["solution"], member.get("module", "pipeline"))
        estimator = joblib.load(member["model"])
        frame, ctx = prepare(table, solution, member["ctx"])
        total = total + weight * predict_aligned(estimator, frame, ctx)
    _save(work / "prediction.npy", np.asarray(total))
    return {"predict_s": time.monotonic() - started, "rows": len(table)}


def shuffle(spec: dict[str, Any], work: Path, ask: Ask) -> dict[str, Any]:
    """Fit as `fold` does; predict some rows as they are, then with one of the columns `names` shuffled at a time.

    shuffled.npy: (blocks * n_rows, n_classes or 1). After the first block come rounds over all names; when `seconds`
    are over, a round that was begun is left out, unless it is the first.
    """
    solution = load_solution(spec["solution"], spec["module"])
    folder, table = Path(spec["fold"]), read_frame(spec["features"])
    frame, ctx = prepare(table, solution, {**spec["ctx"]})
    train_rows = _array(folder / "train_rows.npy")
    weight = _array(folder / "train_weight.npy") if (folder / "train_weight.npy").exists() else None
    ctx["n_rows"] = len(train_rows)
    estimator = solution.build(spec["params"], ctx)
    estimator = fit_estimator(estimator, frame.iloc[train_rows], _array(folder / "train_y.npy"), weight)
    rows = table.iloc[_array(folder / "shuffled_rows.npy")].reset_index(drop=True)

    def predicted(changed: Any) -> Any:
        found, _ = prepare(changed, solution, {**spec["ctx"]})
        return predict_aligned(estimator, found[frame.columns], ctx).reshape(len(rows), -1)

    started, random_order = time.monotonic(), np.random.default_rng(spec["seed"])
    blocks = [predicted(rows)]
    for done in range(spec["rounds"]):
        this_round = []
        for name in spec["names"]:
            changed = rows.copy()
            changed[name] = rows[name].iloc[random_order.permutation(len(rows))].set_axis(rows.index)
            this_round.append(predicted(changed))
            if time.monotonic() - started > spec["seconds"]:
                break
        if done and len(this_round) < len(spec["names"]):
            break
        blocks += this_round
        if len(this_round) < len(spec["names"]):
            break
    _save(work / "shuffled.npy", np.vstack(blocks))
    return {"blocks": len(blocks)}


def space(spec: dict[str, Any], work: Path, ask: Ask) -> dict[str, Any]:
    """Run `space(trial)` of the solution; the engine answers each suggest call."""
    solution = load_solution(spec["solution"], spec["module"])
    params = solution.space(ProxyTrial(ask))
    if not isinstance(params, dict):
        raise ValueError(f"space(trial) must return a dict, not {type(params).__name__}")
    return {"params": params}


TASKS: dict[str, Callable[[dict[str, Any], Path, Ask], dict[str, Any]]] = {
    "fold": fold,
    "refit": refit,
    "predict": predict,
    "shuffle": shuffle,
    "space": space,
}


class ProxyTrial:
    """The part of optuna.Trial that a search space needs; each answer comes from the engine's study."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self.params: dict[str, Any] = {}

    def _value(self, question: dict[str, Any]) -> Any:
        name = question["name"]
        if name not in self.params:
            self.params[name] = self._ask(question)["value"]
        return self.params[name]

    def suggest_float(self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False) -> Any:
        question = {"suggest": "float", "name": name, "low": float(low), "high": float(high), "log": log, "step": step}
        return float(self._value(question))

    def suggest_int(self, name: str, low: int, high: int, *, step: int = 1, log: bool = False) -> Any:
        question = {"suggest": "int", "name": name, "low": int(low), "high": int(high), "log": log, "step": step}
        return int(self._value(question))

    def suggest_categorical(self, name: str, choices: Any) -> Any:
        return self._value({"suggest": "categorical", "name": name, "choices": list(choices)})


# --- helpers
def check_row_wise(table: Any, frame: Any, solution: Any) -> None:
    """Raise ValueError when features(df) gives a few rows other values than they have among all rows."""
    if not hasattr(solution, "features") or not len(table):
        return
    rows = np.unique(np.linspace(0, len(table) - 1, ROWS_TRIED_ALONE).astype(int))
    alone, among = solution.features(table.iloc[rows].copy()), frame.iloc[rows]
    for name in among.columns:
        if name not in alone.columns:
            raise ValueError(f"features(df) must be row-wise: column {name!r} is missing when it sees a few rows alone")
        if not _same(alone[name], among[name]):
            raise ValueError(
                f"features(df) must be row-wise: column {name!r} depends on the other rows. "
                "Statistics over rows belong into build(), where they are fitted on training rows."
            )


def _same(left: Any, right: Any) -> bool:
    if pd.api.types.is_numeric_dtype(left) and pd.api.types.is_numeric_dtype(right):
        a, b = (np.asarray(column, dtype=float) for column in (left, right))
        return bool(np.isclose(a, b, rtol=1e-6, atol=1e-12, equal_nan=True).all())
    return left.astype(str).tolist() == right.astype(str).tolist()


def load_solution(path: str, module: str) -> Any:
    """Import the file under `module`; "pipeline.member_3" gets an empty parent package, so that pickles load later."""
    parent, _, name = module.rpartition(".")
    if parent and parent not in sys.modules:
        package = types.ModuleType(parent)
        package.__path__ = []
        sys.modules[parent] = package
    source = importlib.util.spec_from_file_location(module, path)
    if source is None or source.loader is None:
        raise ValueError("the solution is not a Python file")
    solution = importlib.util.module_from_spec(source)
    sys.modules[module] = solution
    if parent:
        setattr(sys.modules[parent], name, solution)
    source.loader.exec_module(solution)
    return solution


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed % 2**32)


def read_frame(path: str) -> Any:
    return pyarrow.feather.read_table(path, use_threads=False, memory_map=False).to_pandas(use_threads=False)


def write_json(path: Path, value: dict[str, Any]) -> None:
    path.write_text(json.dumps(value, allow_nan=False, default=_plain), encoding="utf-8")


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} cannot be handed back; plain numbers, text, lists and dicts can")


def _array(path: str | Path) -> Any:
    return np.load(path, allow_pickle=False)


def _save(path: Path, values: Any) -> None:
    np.save(path, np.ascontiguousarray(values, dtype=float), allow_pickle=False)


@contextmanager
def _caught_warnings():  # type: ignore[no-untyped-def]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        yield caught


def _summary(estimator: Any, frame: Any, fit_s: float, predict_s: float, caught: Any) -> dict[str, Any]:
    said = dict.fromkeys(f"{w.category.__name__}: {w.message}"[:300] for w in caught)
    return {
        "fit_s": fit_s,
        "predict_s": predict_s,
        "fitted_params": fitted_params(estimator),
        "warnings": list(said)[:5],
        "n_features": int(frame.shape[1]),
    }
