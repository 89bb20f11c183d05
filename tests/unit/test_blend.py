"""The ensemble as the search goes on: who is in it, what it claims, what its ending costs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from automlgpt_local.agents.journal import Journal
from automlgpt_local.events import FoldFinished
from automlgpt_local.metrics import METRICS
from automlgpt_local.search.blend import LEAST_WEIGHT, Blender
from automlgpt_local.search.evaluate import Attempt, Evaluation, predict_ms
from automlgpt_local.search.workspace import Fold

N = 4000
RNG = np.random.default_rng(0)
Y = RNG.normal(size=N)


class Evaluator:
    """Members whose errors are independent; the spread of each and the seconds of its fit are given."""

    def __init__(self, spreads: dict[int, float], fit_s: dict[int, float]) -> None:
        folds = [SimpleNamespace(index=k, train=np.arange(3000), valid=np.arange(1000) + 1000 * k) for k in range(4)]
        task = SimpleNamespace(trials=None)
        self.workspace = SimpleNamespace(folds=folds, y=Y, y_development=Y, weight_development=None, task=task)
        self.metric, self.parallel = METRICS["rmse"], 1
        self._predictions = {n: Y + RNG.normal(scale=s, size=N) for n, s in spreads.items()}
        self.pool = [self._evaluation(n, s, fit_s.get(n, 1.0)) for n, s in sorted(spreads.items(), key=lambda i: i[1])]

    def _evaluation(self, number: int, score: float, fit_s: float) -> Evaluation:
        attempt = Attempt(number, "select", "lightgbm", "", {}, {}, None)
        return Evaluation(attempt, "ok", score, 0.01, (score,) * 4, fit_s * 4, fit_s, {}, "", (0, 1, 2, 3))

    def out_of_fold(self, number: int, folds: Any = None) -> Any:
        rows = slice(None) if folds is None else np.concatenate([f.valid for f in folds])
        return self._predictions[number][rows]

    def validated_rows(self) -> Any:
        return np.arange(N)


def blender(spreads: dict[int, float], fit_s: dict[int, float] | None = None, limit_s: float = 1000.0) -> Blender:
    evaluator = Evaluator(spreads, fit_s or {})
    return Blender(evaluator, lambda: limit_s, ensemble=True)  # type: ignore[arg-type]


def timed(number: int, loss: float, predict_ms: float) -> Evaluation:
    attempt = Attempt(number, "select", "lightgbm", "", {}, {}, None)
    return Evaluation(attempt, "ok", loss, 0.01, (loss,) * 4, 4.0, 1.0, {}, "", (0, 1, 2, 3), predict_ms)


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


def test_the_ending_expects_refits_in_the_order_of_their_weights() -> None:
    blend = blender({1: 0.5, 2: 0.5, 3: 0.5}, fit_s={1: 4.0, 2: 4.0, 3: 20.0})
    blend.learn(blend.evaluator.pool)  # type: ignore[attr-defined]
    blend.weights = {3: 0.1, 1: 0.5, 2: 0.4}
    blend.evaluator.parallel = 2
    assert blend.ending_s() >= blend.closing_s + blend.refit_s(1) + blend.refit_s(3), "the longest begins last"


def test_an_attempt_that_helps_at_no_share_adds_nothing() -> None:
    blend = blender({1: 0.5, 2: 0.55, 3: 0.9, 4: 12.0})
    three, two = blend.evaluator.workspace.folds[:3], blend.evaluator.workspace.folds[:2]
    assert not blend.adds_nothing(4, three), "there is no ensemble yet"
    blend.update(blend.evaluator.pool[:2])  # type: ignore[attr-defined]
    assert blend.adds_nothing(4, three)
    assert not blend.adds_nothing(3, three), "worse alone, and yet of use"
    assert not blend.adds_nothing(4, two), "few rows tell too little"
    blend.evaluator.workspace.task.trials = 5  # type: ignore[misc]
    assert not blend.adds_nothing(4, three), "a fixed amount of work is done whole"


def test_where_one_model_is_wanted_a_worse_one_adds_nothing() -> None:
    blend = blender({1: 0.5, 3: 0.6, 4: 0.4})
    blend.ensemble = False
    three = blend.evaluator.workspace.folds[:3]
    blend.update([e for e in blend.evaluator.pool if e.attempt.number == 1])  # type: ignore[attr-defined]
    assert blend.adds_nothing(3, three) and not blend.adds_nothing(4, three)


def test_trees_grow_with_the_rows_of_a_refit_where_folds_had_few_of_them() -> None:
    blend = blender({1: 0.5, 2: 0.6})
    first, second = blend.evaluator.pool  # type: ignore[attr-defined]
    forest = replace(second, attempt=replace(second.attempt, recipe="extra_trees"))
    blend.update([first, forest])
    assert blend.more_trees(1) == 1.0, "4,000 rows after 3,000"
    seconds = blend.refit_s(1)
    for fold in blend.evaluator.workspace.folds:
        fold.train = np.arange(1500)  # type: ignore[misc]
    assert blend.more_trees(1) == pytest.approx(4000 / 1500 / 1.5) and blend.more_trees(2) == 1.0
    assert blend.refit_s(1) > 3 * seconds


def with_copies(found: Evaluation, copies: int) -> Evaluation:
    return replace(found, fitted_params={"copies": copies})


def test_a_refit_averages_more_seeds_as_far_as_the_time_reaches_the_weightiest_first() -> None:
    blend = blender({1: 0.5, 2: 0.6, 3: 0.7}, fit_s={1: 3.0, 2: 3.0, 3: 3.0})
    first, second, third = blend.evaluator.pool  # type: ignore[attr-defined]
    blend.update([with_copies(first, 1), with_copies(second, 2), third])
    refits_s = sum(blend.refit_s(n) for n in (1, 2, 3))
    assert blend.refit_copies(1000.0) == {1: 3, 2: 3}, "a member that knows no copies stays as it is"
    assert blend.refit_copies(refits_s) == {}
    assert blend.refit_copies(refits_s + 1.2 * blend.refit_s(1)) == {1: 2}
    plain = blender({1: 0.5, 2: 0.6, 3: 0.7}, fit_s={1: 3.0, 2: 3.0, 3: 3.0})
    plain.update(plain.evaluator.pool)  # type: ignore[attr-defined]
    assert blend.ending_s() > plain.ending_s()
    blend.predict_limit_ms = 100.0
    assert blend.refit_copies(1000.0) == {} and blend.ending_s() == plain.ending_s()


def test_members_together_predict_as_fast_as_was_asked_for() -> None:
    blend = blender({1: 0.5, 2: 0.6, 3: 0.7})
    pool = [timed(n, s, 10.0) for n, s in ((1, 0.5), (2, 0.6), (3, 0.7))]
    blend.update(pool)
    assert blend.weights.keys() == {1, 2, 3}
    blend.predict_limit_ms = 25.0
    blend.update(pool)
    assert blend.weights.keys() == {1, 2}


def test_slow_models_are_no_candidates_unless_nothing_is_fast_enough() -> None:
    journal = Journal(METRICS["rmse"], predict_limit_ms=20.0)
    journal.evaluations += [timed(1, 0.5, 90.0), timed(2, 0.6, 15.0), timed(3, 0.7, 5.0)]
    assert [e.attempt.number for e in journal.pool()] == [2, 3]
    journal.predict_limit_ms = 1.0
    assert [e.attempt.number for e in journal.pool()] == [3]


def test_an_attempt_that_was_left_early_counts_by_the_folds_that_it_has() -> None:
    journal = Journal(METRICS["rmse"])
    whole, again = timed(1, 0.5, 1.0), timed(3, 0.55, 1.0)
    whole = replace(whole, fold_losses=(0.4, 0.4, 0.6, 0.6))
    early = replace(timed(2, 0.43, 1.0), status="pruned", fold_losses=(0.42, 0.44), folds=(0, 1))
    failed = replace(timed(4, 0.43, 1.0), status="error", score=None, fold_losses=(), folds=())
    journal.evaluations += [whole, early, again, failed]
    assert [loss for _, loss in journal.history("lightgbm")] == pytest.approx([0.5, 0.53, 0.55])


def test_seconds_of_folds_become_milliseconds_for_a_thousand_rows() -> None:
    folds = [Fold(k, np.arange(10), np.arange(500), Path()) for k in range(2)]
    events = [FoldFinished(1, k, "ok", 0.5, 1.0, predict_s=0.02) for k in range(2)]
    assert predict_ms(events, folds) == pytest.approx(40.0)
    assert predict_ms([], folds) == 0.0


def test_predictions_of_folds_that_were_left_are_read_anew() -> None:
    blend = blender({1: 0.5, 2: 0.6})
    blend.update(blend.evaluator.pool)  # type: ignore[attr-defined]
    evaluator: Any = blend.evaluator
    evaluator.validated_rows = lambda: np.arange(N // 2)
    evaluator._predictions = {n: p[: N // 2] for n, p in evaluator._predictions.items()}
    blend.update(evaluator.pool)
    assert blend.score is not None and blend.score < 0.5


def test_attempts_of_other_folds_are_compared_on_those_that_both_have() -> None:
    journal = Journal(METRICS["rmse"])
    journal.add(replace(timed(1, 0.75, 1.0), fold_losses=(0.5, 1.0), folds=(0, 1)))
    journal.add(replace(timed(2, 0.6, 1.0), fold_losses=(0.6,), folds=(0,)))
    assert [e.attempt.number for e in journal.pool()] == [1, 2], "worse on all that it has"
