"""The ensemble as the search goes on: who is in it, what it claims, what its ending costs."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from automlgpt_local.metrics import METRICS
from automlgpt_local.search.blend import LEAST_WEIGHT, Blender
from automlgpt_local.search.evaluate import Attempt, Evaluation

N = 4000
RNG = np.random.default_rng(0)
Y = RNG.normal(size=N)


class Evaluator:
    """Members whose errors are independent; the spread of each and the seconds of its fit are given."""

    def __init__(self, spreads: dict[int, float], fit_s: dict[int, float]) -> None:
        folds = [SimpleNamespace(index=k, train=np.arange(3000), valid=np.arange(1000) + 1000 * k) for k in range(4)]
        self.workspace = SimpleNamespace(folds=folds, y=Y, y_development=Y, weight_development=None)
        self.metric, self.parallel = METRICS["rmse"], 1
        self._predictions = {n: Y + RNG.normal(scale=s, size=N) for n, s in spreads.items()}
        self.pool = [self._evaluation(n, s, fit_s.get(n, 1.0)) for n, s in sorted(spreads.items(), key=lambda i: i[1])]

    def _evaluation(self, number: int, score: float, fit_s: float) -> Evaluation:
        attempt = Attempt(number, "select", "lightgbm", "", {}, {}, None)
        return Evaluation(attempt, "ok", score, 0.01, (score,) * 4, fit_s * 4, fit_s, {}, "", (0, 1, 2, 3))

    def out_of_fold(self, number: int) -> Any:
        return self._predictions[number]

    def validated_rows(self) -> Any:
        return np.arange(N)


def blender(spreads: dict[int, float], fit_s: dict[int, float] | None = None, limit_s: float = 1000.0) -> Blender:
    evaluator = Evaluator(spreads, fit_s or {})
    return Blender(evaluator, limit_s, ensemble=True)  # type: ignore[arg-type]


def score_of(blend: Blender) -> float:
    return float(blend.evaluator.metric.score(Y, blend.blended()))


def test_the_score_is_that_of_the_members_that_are_kept() -> None:
    spreads = {1: 0.5, 2: 0.55, 3: 0.6, 4: 2.0, 5: 2.2}
    blend = blender(spreads)
    blend.update(blend.evaluator.pool)  # type: ignore[attr-defined]
    assert {1, 2, 3} <= blend.weights.keys()
    assert min(blend.weights.values()) >= LEAST_WEIGHT
    assert sum(blend.weights.values()) == pytest.approx(1.0)
    assert blend.score == pytest.approx(score_of(blend)) and blend.score < 0.5


def test_members_whose_refits_do_not_fit_are_left_out_the_lightest_first() -> None:
    spreads = {1: 0.5, 2: 0.6, 3: 0.7}
    blend = blender(spreads, fit_s={1: 4.0, 2: 4.0, 3: 4.0})
    blend.update(blend.evaluator.pool)  # type: ignore[attr-defined]
    everyone = dict(blend.weights)
    assert len(everyone) == 3
    blend.update(blend.evaluator.pool, refits_s=2.5 * blend.refit_s(1))  # type: ignore[attr-defined]
    assert blend.weights.keys() == {1, 2}
    assert blend.score == pytest.approx(score_of(blend))
    blend.update(blend.evaluator.pool, refits_s=0.0)  # type: ignore[attr-defined]
    assert blend.weights == {1: 1.0}, "the best member stays, however little time is left"


def test_the_ending_takes_as_long_as_its_longest_refit_at_least() -> None:
    blend = blender({1: 0.5, 2: 0.52}, fit_s={1: 1.0, 2: 10.0})
    blend.update(blend.evaluator.pool)  # type: ignore[attr-defined]
    blend.evaluator.parallel = 4
    assert blend.ending_s() >= blend.closing_s + blend.refit_s(2)
