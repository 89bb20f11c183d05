"""The ensemble as the search goes on: its members, its score, and the seconds that its ending will take."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from automlgpt_local.recipes import Recipe
from automlgpt_local.recipes import load as all_recipes
from automlgpt_local.search.decision import decided_score
from automlgpt_local.search.ensemble import Blend, best_gain, mix, select
from automlgpt_local.search.evaluate import Evaluation, Evaluator
from automlgpt_local.search.workspace import Fold

if TYPE_CHECKING:
    import numpy as np

MAX_MEMBERS = 8
# Of the time limit: members whose refits need more are left out, the lightest first. After a single split a refit
# costs more than the fit that was scored, so that an ensemble needs a larger share.
ENDING_SHARE = 0.3
ENDING_SHARE_SINGLE_SPLIT = 0.45
# Report, export, predictions and the start of the refit's forks, on an idle machine.
CLOSING_WORK_S = 3.0
# Seconds of a refit over those of a fold, beside the rows that it has more, by family; measured. A fold of boosting or
# of a network goes on past its best until it knows that this is of no use, a refit does not; a forest's trees grow
# deeper.
REFIT_MARGINS = {
    "neural": 0.75, "lightgbm": 0.85, "xgboost": 0.85, "catboost": 0.85, "linear": 0.95, "neighbours": 0.95,
    "forest": 1.2,
}  # fmt: skip
REFIT_MARGIN_OTHERWISE = 1.2
REFIT_MARGIN_SINGLE_SPLIT = 1.1
# A recipe's own number of trees for a refit is for this many times the rows of a fold; beyond, trees grow as rows do.
ROWS_OF_A_REFIT = 1.5
# A member that averages fits of several seeds (`copies` among its fitted_params) is refitted with this many, where time
# allows; this share of the time limit at most is kept for those beyond the ones that were scored.
COPIES = 3
COPIES_SHARE = 0.06
# An attempt is left after two folds or more when, on this many rows, every share of it makes the ensemble's error
# larger by more than this part; without an ensemble, when its own is larger than the best one's by more than that.
USELESS_AFTER_ROWS = 3_000
USELESS_LOSS = 0.001
USELESS_LOSS_ALONE = 0.01
LEAST_WEIGHT = 0.05  # a member of less weight changes less than its refit and its predictions cost


@dataclass
class Blender:
    """`ensemble` False: the best single model only. `predict_limit_ms`: of all members together, for 1,000 rows."""

    evaluator: Evaluator
    limit_s: Callable[[], float]  # the run's time limit, which may change
    ensemble: bool
    closing_s: float = CLOSING_WORK_S
    predict_limit_ms: float = math.inf
    weights: dict[int, float] = field(default_factory=dict)
    score: float | None = None
    history: list[float] = field(default_factory=list)  # the blend's loss after each attempt
    _evaluations: dict[int, Evaluation] = field(default_factory=dict)
    _predictions: dict[int, Any] = field(default_factory=dict)

    def update(self, pool: list[Evaluation], refits_s: float = math.inf) -> None:
        """Choose members among `pool` (best first), by their out-of-fold predictions.

        refits_s: wall seconds that fitting them on all rows may take, beside the share of the time limit.
        """
        if not pool:
            return
        self.learn(pool)
        metric, workspace = self.evaluator.metric, self.evaluator.workspace
        if not self.ensemble or len(pool) == 1:
            self.weights, self.score = {pool[0].attempt.number: 1.0}, pool[0].score
        else:
            rows = self.evaluator.validated_rows()
            known = {n: p for n, p in self._predictions.items() if len(p) == len(rows)}  # else of folds since left
            self._predictions = {
                n: known[n] if n in known else self.evaluator.out_of_fold(n) for n in self._evaluations
            }
            weight = workspace.weight_development
            blend: Blend = select(
                self._predictions, workspace.y_development[rows], metric,
                None if weight is None else weight[rows], max_members=MAX_MEMBERS,
            )  # fmt: skip
            self.weights, self.score = self._affordable(blend.weights, refits_s), blend.score
            if self.weights.keys() != blend.weights.keys():
                blended = mix({n: self._predictions[n] for n in self.weights}, self.weights)
                self.score = decided_score(
                    workspace.y_development[rows], blended, metric, None if weight is None else weight[rows]
                )
        if self.score is not None:
            self.history.append(metric.loss(self.score))

    def unmoved(self) -> None:
        """An attempt was left early: the ensemble is what it was."""
        self.history += self.history[-1:]

    def learn(self, pool: list[Evaluation]) -> None:
        """What is known of the attempts that may be members: of a resumed run's, nothing is told by an update."""
        self._evaluations = {e.attempt.number: e for e in pool}

    def blended(self, weights: dict[int, float] | None = None) -> np.ndarray:
        """The out-of-fold prediction of the ensemble, or of other weights, in the order of
        `evaluator.validated_rows()`."""
        weights = self.weights if weights is None else weights
        return sum(w * self.evaluator.out_of_fold(n) for n, w in weights.items())  # type: ignore[return-value]

    def adds_nothing(self, number: int, folds: Sequence[Fold]) -> bool:
        """Does an attempt, by its predictions of these folds, make the ensemble worse with every share?

        Where one model is wanted: is it worse than the best one?
        """
        import numpy as np

        workspace = self.evaluator.workspace
        least_members = 2 if self.ensemble else 1
        if len(self.weights) < least_members or workspace.task.trials is not None or len(folds) < 2:
            return False
        rows = np.concatenate([f.valid for f in folds])
        if len(rows) < USELESS_AFTER_ROWS:
            return False
        blended = mix({n: self.evaluator.out_of_fold(n, folds) for n in self.weights}, self.weights)
        y, weight = workspace.y_development[rows], workspace.weight_development
        newcomer, part = self.evaluator.out_of_fold(number, folds), None if weight is None else weight[rows]
        if self.ensemble:
            return best_gain(blended, newcomer, y, self.evaluator.metric, part) < -USELESS_LOSS
        return best_gain(blended, newcomer, y, self.evaluator.metric, part, shares=(1.0,)) < -USELESS_LOSS_ALONE

    def refit_s(self, number: int) -> float:
        """Expected wall seconds of fitting one member on all rows, with the threads of its folds."""
        evaluation = self._evaluations[number]
        margin = REFIT_MARGINS.get(self._family(number), REFIT_MARGIN_OTHERWISE)
        if len(self.evaluator.workspace.folds) == 1:
            margin = max(margin, REFIT_MARGIN_SINGLE_SPLIT)
        return evaluation.fit_s * self._rows_more() * margin * self.more_trees(number) + 0.3

    def _recipe(self, number: int) -> Recipe | None:
        """None for a module of the Coder's own."""
        return all_recipes().get(self._evaluations[number].attempt.recipe)

    def _family(self, number: int) -> str:
        recipe = self._recipe(number)
        return "" if recipe is None else recipe.family

    def more_trees(self, number: int) -> float:
        """What a member's number of trees is to be multiplied by in its refit; 1 for all but boosted recipes."""
        recipe = self._recipe(number)
        boosted = recipe is not None and recipe.boosted
        return max(1.0, self._rows_more() / ROWS_OF_A_REFIT) if boosted else 1.0

    def _rows_more(self) -> float:
        """Rows of a refit over those of a fold's training, in the mean."""
        workspace = self.evaluator.workspace
        return len(workspace.y) * len(workspace.folds) / max(1, sum(len(f.train) for f in workspace.folds))

    def ending_s(self) -> float:
        more_copies_s = sum((COPIES - self._copies(n)) * self._copy_s(n) for n in self.weights)
        return (
            self.closing_s
            + self._refits_s(sorted(self.weights, key=lambda n: -self.weights[n]))
            + min(more_copies_s / self.evaluator.parallel, COPIES_SHARE * self.limit_s())
        )

    def _refits_s(self, numbers: Sequence[int]) -> float:
        """Expected wall seconds of refits that begin in this order, as many side by side as folds are."""
        ends = [0.0] * self.evaluator.parallel
        for n in numbers:
            heapq.heapreplace(ends, ends[0] + self.refit_s(n))
        return max(ends)

    def _copies(self, number: int) -> int:
        """Seeds that a member averaged when it was scored; COPIES where there is nothing to add."""
        bounded = math.isfinite(self.predict_limit_ms)  # each copy takes its time to predict
        averaged = None if bounded else self._evaluations[number].copies
        return COPIES if averaged is None else min(int(averaged), COPIES)

    def _copy_s(self, number: int) -> float:
        return self.refit_s(number) / self._copies(number)

    def refit_copies(self, left_s: float) -> dict[int, int]:
        """Member -> seeds to average in its refit, where that is more than was scored and ends within `left_s`.

        Networks come first: from seed to seed they differ more than trees.
        """
        fixed_work = self.evaluator.workspace.task.trials is not None
        spare_s = left_s * self.evaluator.parallel - sum(self.refit_s(n) for n in self.weights)
        more: dict[int, int] = {}
        for n in sorted(self.weights, key=lambda n: (self._family(n) != "neural", -self.weights[n])):
            affordable = min(spare_s, left_s - self.refit_s(n)) / self._copy_s(n)
            added = COPIES - self._copies(n) if fixed_work else min(COPIES - self._copies(n), int(affordable))
            if added > 0:
                more[n] = self._copies(n) + added
                spare_s -= added * self._copy_s(n)
        return more

    def _affordable(self, weights: dict[int, float], refits_s: float) -> dict[int, float]:
        kept = {n: w for n, w in sorted(weights.items(), key=lambda item: -item[1]) if w >= LEAST_WEIGHT}
        single = len(self.evaluator.workspace.folds) == 1
        limit = min(refits_s, self.limit_s() * (ENDING_SHARE_SINGLE_SPLIT if single else ENDING_SHARE))
        while len(kept) > 1 and (
            self._refits_s(list(kept)) > limit
            or sum(self._evaluations[n].predict_ms for n in kept) > self.predict_limit_ms
        ):
            kept.popitem()
        total = sum(kept.values())
        return {n: w / total for n, w in kept.items()}
