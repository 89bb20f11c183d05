"""Small cross-validations of the real recipes, cached: what the teachers' labels are made of.

One line of `measurements.jsonl` per (case, recipe, hyper-parameters, features); out-of-fold predictions beside it in
`oof/`. Interrupting it loses at most one measurement. Runs recipes of this package in this very process: nothing here
comes from a model.
"""

from __future__ import annotations

import hashlib
import json
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from automlgpt_local import recipes
from automlgpt_local.agents import ideas
from automlgpt_local.agents.assemble import assemble
from automlgpt_local.sandbox.harness import fit_estimator, load_solution, predict_aligned, prepare
from finetune.cases import Case

FOLDS = 3


@dataclass(frozen=True)
class Measurement:
    """loss: of the out-of-fold predictions, lower is better. fold_losses: (FOLDS,). inf where the recipe failed."""

    key: str
    case: str
    recipe: str
    params: dict[str, Any]
    features: tuple[str, ...]
    loss: float
    fold_losses: tuple[float, ...]
    seconds: float
    error: str = ""


class Bench:
    """Measures and remembers. `seconds`: limit of one fit, handed to the recipe."""

    def __init__(self, folder: Path, seconds: float = 1.0) -> None:
        self.folder, self.seconds = folder, seconds
        for part in ("oof", "solutions"):
            (folder / part).mkdir(parents=True, exist_ok=True)
        self.path = folder / "measurements.jsonl"
        self.known: dict[str, Measurement] = {}
        if self.path.exists():
            for line in self.path.read_text(encoding="utf-8").splitlines():
                try:
                    values = json.loads(line)
                except json.JSONDecodeError:  # the torn last line of a killed run
                    continue
                values["fold_losses"], values["features"] = tuple(values["fold_losses"]), tuple(values["features"])
                self.known[values["key"]] = Measurement(**values)

    def measure(
        self, case: Case, recipe: str, params: Mapping[str, Any] | None = None,
        treatments: Mapping[str, str] | None = None, extra: Sequence[ideas.FeatureIdea] = (),
    ) -> Measurement:  # fmt: skip
        params = dict(params or {})
        treatments = dict(treatments or case.default_treatments())
        key = _key(case, recipe, params, treatments, extra)
        if key in self.known:
            return self.known[key]
        started = time.monotonic()
        try:
            oof, fold_losses = _cross_validate(case, recipe, params, treatments, extra, self)
            loss, error = case.loss(oof), ""
            np.savez_compressed(self.folder / "oof" / f"{key}.npz", oof=oof.astype(np.float32))
        except Exception as problem:  # a recipe that fails on a table is a measurement too
            loss, fold_losses, error = (
                float("inf"),
                [float("inf")] * FOLDS,
                f"{type(problem).__name__}: {problem}"[:300],
            )
        found = Measurement(
            key, case.name, recipe, params, tuple(i.key for i in extra), loss, tuple(fold_losses),
            round((time.monotonic() - started) / FOLDS, 4), error,
        )  # fmt: skip
        with self.path.open("a", encoding="utf-8") as out:
            out.write(json.dumps(found.__dict__) + "\n")
        self.known[key] = found
        return found

    def oof(self, measurement: Measurement) -> np.ndarray:
        """(n_rows, n_classes) probabilities or (n_rows,) floats."""
        with np.load(self.folder / "oof" / f"{measurement.key}.npz") as arrays:
            values: np.ndarray = arrays["oof"].astype(float)
        return values


def folds(case: Case) -> list[tuple[np.ndarray, np.ndarray]]:
    from sklearn.model_selection import KFold, StratifiedKFold

    if case.kind == "regression":
        return list(KFold(FOLDS, shuffle=True, random_state=0).split(case.features))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(case.features, case.y))


def _key(
    case: Case,
    recipe: str,
    params: Mapping[str, Any],
    treatments: Mapping[str, str],
    extra: Sequence[ideas.FeatureIdea],
) -> str:
    data = hashlib.sha256(np.ascontiguousarray(case.y).tobytes()).hexdigest()
    code = [ideas.features_body(case.profile.columns, treatments, extra), sorted(treatments.items())]
    text = json.dumps([case.name, case.metric, data, recipe, sorted(params.items()), code], default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@lru_cache(maxsize=64)
def _solution(source: str, folder: str) -> Any:
    name = "measured_" + hashlib.sha256(source.encode()).hexdigest()[:12]
    path = Path(folder) / f"{name}.py"
    path.write_text(source, encoding="utf-8")
    return load_solution(str(path), name)


def _cross_validate(
    case: Case, recipe: str, params: dict[str, Any], treatments: Mapping[str, str],
    extra: Sequence[ideas.FeatureIdea], bench: Bench,
) -> tuple[np.ndarray, list[float]]:  # fmt: skip
    source = assemble(recipes.load(installed_only=False)[recipe].source,
                      ideas.features_source(case.profile.columns, treatments, extra))  # fmt: skip
    solution = _solution(source, str(bench.folder / "solutions"))
    ctx: dict[str, Any] = {
        "kind": case.kind, "n_classes": case.n_classes, "metric": case.metric, "seed": 0, "n_threads": 1,
        "seconds": bench.seconds, "n_rows": len(case.y),
        "columns": ideas.columns_by_type(case.profile.columns, treatments),
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame, ctx = prepare(case.features, solution, ctx)
        oof = np.zeros((len(case.y), case.n_classes) if case.n_classes else len(case.y))
        losses = []
        for train, valid in folds(case):
            estimator = solution.build(params, {**ctx, "n_rows": len(train)})
            estimator = fit_estimator(estimator, frame.iloc[train], case.y[train])
            oof[valid] = predict_aligned(estimator, frame.iloc[valid], ctx)
            try:
                losses.append(case.loss(oof[valid], valid))
            except ValueError:  # a class is missing from this fold
                losses.append(float("nan"))
    return oof, losses
