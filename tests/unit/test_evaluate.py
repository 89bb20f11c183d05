"""What an evaluation does after a resume, without a sandbox."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from automlgpt_local.events import FoldFinished
from automlgpt_local.metrics import METRICS
from automlgpt_local.search.evaluate import Attempt, Evaluation, Evaluator, mean_params, plain_params

ATTEMPT = Attempt(2, "select", "linear", "", {}, {}, None)
BEST = Evaluation(ATTEMPT, "ok", 0.1, 0.001, (0.1,) * 4, 4.0, 1.0, {}, "", (0, 1, 2, 3))


def evaluator() -> Any:
    bare = object.__new__(Evaluator)
    bare.metric, bare.parallel = METRICS["rmse"], 1
    bare._control = SimpleNamespace(check=lambda: None)  # type: ignore[assignment]
    bare.folds = [SimpleNamespace(index=k) for k in range(4)]  # type: ignore[misc]
    bare.adds_nothing = lambda number, folds: False
    bare._run_fold = lambda *_: pytest.fail("a fold was run")  # type: ignore[method-assign]
    return bare


@pytest.mark.parametrize(("status", "score"), [("ok", 5.0), ("error", None)])
def test_an_attempt_that_was_given_up_before_a_kill_stays_given_up(status: str, score: float | None) -> None:
    recorded = {k: FoldFinished(2, k, status, score, 1.0) for k in (0, 1)}
    pending = [SimpleNamespace(index=k) for k in (2, 3)]
    assert list(evaluator()._run_folds(ATTEMPT, pending, 10.0, recorded, BEST)) == []


def test_a_promising_one_goes_on() -> None:
    recorded = {k: FoldFinished(2, k, "ok", 0.09, 1.0) for k in (0, 1)}
    with pytest.raises(pytest.fail.Exception, match="a fold was run"):
        list(evaluator()._run_folds(ATTEMPT, [SimpleNamespace(index=2)], 10.0, recorded, BEST))


def test_one_that_adds_nothing_to_the_ensemble_is_left() -> None:
    recorded = {k: FoldFinished(2, k, "ok", 0.09, 1.0) for k in (0, 1)}
    bare = evaluator()
    bare.adds_nothing = lambda number, folds: (number, len(folds)) == (2, 2)
    assert list(bare._run_folds(ATTEMPT, [SimpleNamespace(index=2)], 10.0, recorded, BEST)) == []


def test_what_folds_say_of_their_parameters_need_not_agree() -> None:
    each = [{"n": 3, "rate": 0.1, "kind": "a", "huge": 10**400}, {"n": "three", "rate": 0.3, "kind": 7}, {"n": 4}]
    assert mean_params([plain_params(e) for e in each]) == {"n": 4, "rate": pytest.approx(0.2), "kind": "a"}


def test_a_refit_takes_no_more_seeds_than_the_folds_had_time_for() -> None:
    slow_and_quick = [{"n_trees": 1200, "copies": 1}, {"n_trees": 500, "copies": 2}]
    assert mean_params(slow_and_quick) == {"n_trees": 850, "copies": 1}
    assert plain_params(["no", "object"]) == {}


def test_no_more_folds_run_side_by_side_than_there_are() -> None:
    folds, task = [SimpleNamespace(index=k) for k in range(3)], SimpleNamespace(threads=16)
    workspace: Any = SimpleNamespace(side_by_side=16, folds=folds, metric=METRICS["rmse"], task=task)
    nobody: Any = None
    made = Evaluator(workspace, nobody, nobody, nobody, 6_000)
    assert (made.parallel, made.threads_per_fold) == (3, 5), "the other cores help the folds"
