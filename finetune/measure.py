"""Fits of the real recipes, scored on rows they did not see, cached: what the teachers' labels are made of.

One line of `measurements.jsonl` per (case, recipe, hyper-parameters, treatments, features); predictions of the scored
rows beside it in `predictions/`. Interrupting it loses at most one fit, and several processes may measure at once.
Seconds are the processor's, for the recipes too: what else a machine has to do changes no label.
Runs recipes of this package in this very process: nothing here comes from a model.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from automlgpt_local import recipes
from automlgpt_local.agents import blocks, feature_code
from automlgpt_local.agents.assemble import assemble
from automlgpt_local.sandbox.harness import fit_estimator, load_solution, predict_aligned, prepare
from finetune.cases import Case

OWN = "own"  # in the place of a recipe's name: a solution put together from blocks


@dataclass(frozen=True)
class Measurement:
    """error: of the scored rows, lower is better, inf where the recipe failed. about: what the fit was to settle.

    about: first (the portfolio's hyper-parameters), params, features, treatments or own (`params` are blocks then).
    """

    key: str
    case: str
    about: str
    recipe: str
    params: dict[str, Any]
    features: tuple[str, ...]
    error: float
    seconds: float  # of one fit with its predictions, on one core
    problem: str = ""


class Bench:
    """Measures and remembers. `seconds`: limit of one fit, handed to the recipe."""

    def __init__(self, folder: Path, seconds: float = 2.0) -> None:
        self.folder, self.seconds = folder, seconds
        for part in ("predictions", "solutions"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        self.path = folder / "measurements.jsonl"
        self.known: dict[str, Measurement] = {}
        self.by_case: dict[str, list[Measurement]] = {}
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    values = json.loads(line)
                except json.JSONDecodeError:  # the torn last line of a killed run
                    continue
                self._remember(Measurement(**{**values, "features": tuple(values["features"])}))

    def _remember(self, found: Measurement) -> None:
        if found.key not in self.known:
            self.known[found.key] = found
            self.by_case.setdefault(found.case, []).append(found)

    def measure(
        self, case: Case, about: str, recipe: str, params: Mapping[str, Any] | None = None,
        treatments: Mapping[str, str] | None = None, extra: Sequence[feature_code.FeatureIdea] = (),
    ) -> Measurement:  # fmt: skip
        params = dict(params or {})
        treatments = dict(treatments or case.default_treatments())
        key = _key(case, recipe, params, treatments, extra)
        if key in self.known:
            return self.known[key]
        started = time.process_time()
        error, problem, splits = float("inf"), "", case.splits()
        try:
            predictions = self._predict(case, recipe, params, treatments, extra, splits)
            error = case.error(predictions)
            np.savez_compressed(self.folder / "predictions" / f"{key}.npz", scored=predictions.astype(np.float32))
        except Exception as failure:  # a recipe that fails on a table is a measurement too
            problem = f"{type(failure).__name__}: {failure}"[:300]
        seconds = round((time.process_time() - started) / len(splits), 4)
        found = Measurement(key, case.name, about, recipe, params, tuple(i.key for i in extra), error, seconds, problem)
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(found.__dict__) + "\n")
        self._remember(found)
        return found

    def predictions(self, measurement: Measurement) -> np.ndarray:
        """(n_scored, n_classes) probabilities or (n_scored,) floats."""
        with np.load(self.folder / "predictions" / f"{measurement.key}.npz") as arrays:
            values: np.ndarray = arrays["scored"].astype(float)
        return values

    def _predict(
        self, case: Case, recipe: str, params: dict[str, Any], treatments: Mapping[str, str],
        extra: Sequence[feature_code.FeatureIdea], splits: Sequence[tuple[np.ndarray, np.ndarray]],
    ) -> np.ndarray:  # fmt: skip
        module = (
            blocks.compose(params, case.kind) if recipe == OWN else recipes.load(installed_only=False)[recipe].source
        )
        source = assemble(module, feature_code.features_source(case.profile.columns, treatments, extra))
        solution = _solution(source, str(self.folder / "solutions"))
        ctx: dict[str, Any] = {
            "kind": case.kind, "n_classes": case.n_classes, "metric": case.metric, "seed": 0, "n_threads": 1,
            "seconds": self.seconds, "n_rows": case.n_train,
            "columns": feature_code.columns_by_type(case.profile.columns, treatments),
        }  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            frame, ctx = prepare(case.features, solution, ctx)
            found = np.full((len(case.y), case.n_classes) if case.n_classes else len(case.y), np.nan)
            for train, scored in splits:
                estimator = solution.build(params, {**ctx, "n_rows": len(train)})
                estimator = fit_estimator(estimator, frame.iloc[train], case.y[train])
                found[scored] = predict_aligned(estimator, frame.iloc[scored], ctx)
        return found[case.scored]


def _key(
    case: Case,
    recipe: str,
    params: Mapping[str, Any],
    treatments: Mapping[str, str],
    extra: Sequence[feature_code.FeatureIdea],
) -> str:
    data = hashlib.sha256(np.ascontiguousarray(case.y).tobytes()).hexdigest()
    code = [feature_code.features_body(case.profile.columns, treatments, extra), sorted(treatments.items())]
    text = json.dumps([case.name, case.metric, data, recipe, sorted(params.items()), code], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@lru_cache(maxsize=64)
def _solution(source: str, folder: str) -> Any:
    name = "measured_" + hashlib.sha256(source.encode()).hexdigest()[:12]
    path = Path(folder) / f"{name}.py"
    part = path.with_suffix(f".{os.getpid()}")
    part.write_text(source, encoding="utf-8")
    part.replace(path)
    solution = load_solution(str(path), name)
    if hasattr(solution, "time"):
        solution.time = SimpleNamespace(monotonic=time.process_time)
    return solution
