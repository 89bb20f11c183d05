"""The end of a run when the clock or the kernel is in the way: there is a model, and its score is its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from automlgpt_local.events import EnsembleChosen, EventLog, Refitted
from automlgpt_local.metrics import METRICS
from automlgpt_local.sandbox.jobs import Outcome
from automlgpt_local.search.blend import Blender
from automlgpt_local.search.clock import Clock
from automlgpt_local.search.closing import GRACE_S, Closing
from automlgpt_local.search.evaluate import Attempt, Evaluation
from automlgpt_local.search.recorder import Recorder

Y = np.random.default_rng(0).normal(size=2000)
WEIGHTS = {1: 0.5, 2: 0.3, 3: 0.2}
FIT_S = {1: 20.0, 2: 0.5, 3: 9.0, 4: 0.1}  # attempt 4 is in the pool, but no member


class Evaluator:
    def __init__(self, run_dir: Path) -> None:
        draw = np.random.default_rng(1)
        self._predictions = {n: Y + draw.normal(scale=0.3 + 0.1 * n, size=len(Y)) for n in FIT_S}
        self.workspace = SimpleNamespace(
            run_dir=run_dir, y=Y, y_development=Y, weight_development=None, folds=[SimpleNamespace(train=Y)],
            task=SimpleNamespace(seed=0, trials=None), write_refit=lambda: run_dir,
            context=lambda columns, **rest: dict(rest),
        )  # fmt: skip
        self.metric, self.parallel, self.threads_per_fold = METRICS["rmse"], 1, 1
        self.out_of_fold = self._predictions.__getitem__

    def validated_rows(self) -> Any:
        return np.arange(len(Y))


class Fits(Closing):
    """A Closing whose fits end as `ends` says; `asked`: which were tried, and the least seconds that each had."""

    ends: dict[int, list[str]]
    asked: list[tuple[int, str, float]]

    def _refit_one(
        self, evaluation: Evaluation, module: str, n_test: int | None, least_s: float, copies: int | None
    ) -> Outcome:
        number = evaluation.attempt.number
        self.asked.append((number, module, least_s))
        return Outcome(self.ends[number].pop(0), 1.0, result={"fitted_params": {"n": number}})


def evaluation(number: int) -> Evaluation:
    attempt = Attempt(number, "select", "linear", "", {"a": 1}, {}, None)
    return Evaluation(attempt, "ok", 0.5, 0.01, (0.5,), FIT_S[number], FIT_S[number], {}, "", (0,))


def closing(run_dir: Path, **ends: str) -> Fits:
    recorder = Recorder(EventLog(run_dir / "events.jsonl"), Clock(60.0), lambda line: None)
    evaluator: Any = Evaluator(run_dir)
    control: Any = SimpleNamespace(leave_if_abandoned=lambda: None)
    blender = Blender(evaluator, lambda: 60.0, ensemble=True, weights=dict(WEIGHTS))
    made = Fits(evaluator, recorder, control, blender, [evaluation(n) for n in FIT_S])
    made.ends = {int(n[1:]): said.split() for n, said in ends.items()}
    made.asked = []
    return made


def chosen() -> EnsembleChosen:
    return EnsembleChosen({str(n): w for n, w in WEIGHTS.items()}, 0.4, 0.45, True)


def test_members_that_do_not_fit_are_left_out_and_the_score_is_that_of_the_others(tmp_path: Path) -> None:
    run = closing(tmp_path, a1="ok", a2="ok", a3="timeout")
    members = run.refit(None)
    assert {m.evaluation.attempt.number: m.weight for m in members} == pytest.approx({1: 0.625, 2: 0.375})
    assert members[0].params == {"a": 1, "n": 1}
    settled = run.settle(chosen(), members)
    assert settled.weights.keys() == {"1", "2"}
    blended = 0.625 * run.evaluator.out_of_fold(1) + 0.375 * run.evaluator.out_of_fold(2)
    assert settled.score == pytest.approx(float(np.sqrt(np.mean((blended - Y) ** 2))))
    assert run.asked[0][:2] == (1, "pipeline.member_1") and run.asked[0][2] > GRACE_S and run.asked[1][2] == 0.0


def test_a_blend_and_a_single_model_are_compared_with_the_threshold_of_each(tmp_path: Path) -> None:
    made = closing(tmp_path)
    draw = np.random.default_rng(5)
    y = (draw.random(6000) < 0.06).astype(int)
    evaluator: Any = made.evaluator
    evaluator.metric = METRICS["f1"]
    evaluator.workspace.y_development = y
    evaluator.validated_rows = lambda: np.arange(len(y))
    sharp = {}
    for number, slope, low in zip(FIT_S, (4.0, 1.0, 1.0, 1.0), (8.0, 4.0, 4.0, 4.0)):  # the first is the most extreme
        p = 1 / (1 + np.exp(low - slope * (2.2 * y + draw.normal(size=len(y)))))
        sharp[number] = np.column_stack([1 - p, p])
    evaluator.out_of_fold = sharp.__getitem__
    made.blender.weights = {}
    found = made.choose()
    assert found.kept and len(found.weights) > 1
    assert found.score > found.single_score
    plain = [METRICS["f1"].score(y, p) for p in (made.blender.blended(), sharp[1])]
    assert plain[0] < plain[1], "at 0.5 the single model is ahead"


def test_the_heaviest_members_are_fitted_first_so_that_slow_fits_cost_the_lightest(tmp_path: Path) -> None:
    run = closing(tmp_path, a1="ok", a2="ok", a3="timeout")
    members = run.refit(None)
    assert [number for number, _, _ in run.asked] == [1, 2, 3], "3 takes longer than 2"
    assert [m.evaluation.attempt.number for m in members] == [1, 2]


def test_when_all_members_fit_the_choice_stands(tmp_path: Path) -> None:
    run = closing(tmp_path, a1="ok", a2="ok", a3="ok")
    choice = chosen()
    assert run.settle(choice, run.refit(None)) is choice


def test_where_no_member_fits_a_quick_model_is_fitted_a_little_late(tmp_path: Path) -> None:
    run = closing(tmp_path, a1="timeout", a2="timeout ok", a3="timeout")
    (only,) = run.refit(None)
    assert (only.evaluation.attempt.number, only.weight) == (2, 1.0)
    assert run.asked[-1] == (2, only.module, GRACE_S)
    assert run.settle(chosen(), [only]).weights == {"2": 1.0}


def test_where_nothing_at_all_can_be_fitted_there_is_no_member(tmp_path: Path) -> None:
    run = closing(tmp_path, a1="timeout", a2="timeout timeout", a3="timeout")
    assert run.refit(None) == []


def test_resumed_with_more_time_what_did_not_fit_is_tried_again(tmp_path: Path) -> None:
    closing(tmp_path, a1="timeout", a2="timeout timeout", a3="timeout").refit(None)
    run = closing(tmp_path, a1="ok", a2="ok", a3="ok")
    assert [m.evaluation.attempt.number for m in run.refit(None)] == [1, 2, 3]


def test_resumed_after_it_was_settled_the_same_members_make_the_model(tmp_path: Path) -> None:
    first = closing(tmp_path, a1="timeout", a2="timeout ok", a3="timeout")
    before = first.refit(None)
    settled = first.settle(chosen(), before)
    again = closing(tmp_path)
    after = again.refit(None)
    assert again.asked == [] and after == before
    assert again.settle(chosen(), after) == settled
    assert not again.recorder.replaying


def test_the_events_of_fits_tell_what_became_of_each(tmp_path: Path) -> None:
    run = closing(tmp_path, a1="ok", a2="timeout", a3="ok")
    run.refit(None)
    told = [(r.event.attempt, r.event.status) for r in run.recorder.log.records if isinstance(r.event, Refitted)]
    assert told == [(1, "ok"), (2, "timeout"), (3, "ok")]


def test_locked_rows_of_one_class_give_no_score(tmp_path: Path) -> None:
    made = closing(tmp_path)
    made.evaluator.workspace.holdout, made.evaluator.workspace.can_score = np.arange(5), lambda rows: False
    chosen = EnsembleChosen({"1": 1.0}, 0.5, 0.5, False)
    assert made.score_holdout(chosen, {}) is None
    assert "not defined on the locked rows" in (tmp_path / "events.jsonl").read_text()


@pytest.mark.parametrize("told", ["auto", True, 0, -3, 0.2])
def test_a_number_of_trees_that_is_none_is_left_out(tmp_path: Path, told: Any) -> None:
    made = closing(tmp_path)
    assert made._found(replace(evaluation(1), fitted_params={"n_trees": told, "rate": 0.1}), 4) == {
        "rate": 0.1, "copies": 4,
    }  # fmt: skip
    assert made._found(replace(evaluation(1), fitted_params={"n_trees": 30}), None) == {"n_trees": 30}


def keep(tmp_path: Path, test: Any, n_classes: int, size: int = 5, max_bytes: int = 100) -> Outcome:
    """What becomes of a refit of three test rows that left a model of `size` bytes."""
    tmp_path.mkdir(exist_ok=True)
    made, work = closing(tmp_path), tmp_path / "job"
    made.evaluator.workspace.n_classes = n_classes
    made.model_path(1).parent.mkdir(parents=True, exist_ok=True)
    made.model_path(1).write_text("of a sitting before")
    work.mkdir()
    with open(work / "model.joblib", "wb") as file:
        file.truncate(size)
    return made._keep(Outcome("ok", 1.0, arrays={"test": test}), 1, work, 3, max_bytes)


@pytest.mark.parametrize("n_classes", [0, 2])
def test_predictions_of_the_test_rows_have_the_shape_of_the_task(tmp_path: Path, n_classes: int) -> None:
    right = np.ones((3, n_classes) if n_classes else 3)
    wrong = [np.ones(2), np.ones((3, 5)), np.ones((1, 3)), np.full_like(right, np.nan), right.astype(int), None]
    assert keep(tmp_path / "right", right, n_classes).status == "ok"
    assert (tmp_path / "right/work/refit/model_0001.joblib").read_bytes() == bytes(5)
    assert {keep(tmp_path / str(n), values, n_classes).status for n, values in enumerate(wrong)} == {"bad_result"}


def test_a_model_file_beyond_the_budget_is_not_copied(tmp_path: Path) -> None:
    outcome = keep(tmp_path, np.ones(3), 0, size=1 << 40)
    assert outcome.status == "bad_result" and "more than 100" in outcome.error
    assert not (tmp_path / "work/refit/model_0001.joblib").exists()
