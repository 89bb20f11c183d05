"""What was tried and what came of it: the agents' memory, and the pool that the ensemble is chosen from."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from automlgpt_local.metrics import Metric
from automlgpt_local.search.evaluate import Evaluation

POOL = 24  # the ensemble is chosen among this many of the best


@dataclass(frozen=True)
class BoardRow:
    """One recipe as the agents see it: its best attempt's rank (1 is best), relative gain over the first, seconds."""

    recipe: str
    rank: int
    gain: float
    seconds: float
    tries: int


@dataclass
class Journal:
    metric: Metric
    predict_limit_ms: float = math.inf  # for 1,000 rows; slower attempts are no candidates
    evaluations: list[Evaluation] = field(default_factory=list)
    sources: dict[int, str] = field(default_factory=dict)  # attempt -> module text
    prints: dict[str, int] = field(default_factory=dict)  # fingerprint of code and params -> attempt
    kept: set[int] = field(default_factory=set)  # attempts whose gain was more than noise
    left_out: set[int] = field(default_factory=set)  # attempts of kinds that the user has ruled out since
    own_asked: int = 0  # solutions of the Coder's own that were asked for, those that never ran among them

    @property
    def next_number(self) -> int:
        return len(self.sources) + 1

    def add(self, evaluation: Evaluation) -> None:
        self.evaluations.append(evaluation)

    def loss(self, evaluation: Evaluation) -> float:
        """Lower is better; infinite for an attempt without a score."""
        return float("inf") if evaluation.score is None else self.metric.loss(evaluation.score)

    def pool(self) -> list[Evaluation]:
        """Complete attempts on all folds, best first. Where none predicts fast enough, the fastest alone.

        Where folds were left on the way, attempts are compared on those that all have.
        """
        complete = [
            e for e in self.evaluations if e.ok and not e.attempt.probe and e.attempt.number not in self.left_out
        ]
        fast = [e for e in complete if e.predict_ms <= self.predict_limit_ms]
        complete = fast or sorted(complete, key=lambda e: e.predict_ms)[:1]
        folds = [e.folds or e.loss_by_fold for e in complete]
        shared = set[int]().union(*folds).intersection(*folds)

        def loss(e: Evaluation) -> float:
            if len(e.folds or e.loss_by_fold) == len(shared):
                return self.loss(e)
            return math.fsum(e.loss_by_fold[fold] for fold in shared) / max(1, len(shared))

        return sorted(complete, key=lambda e: (loss(e), e.attempt.number))[:POOL]

    def best(self) -> Evaluation | None:
        pool = self.pool()
        return pool[0] if pool else None

    def own(self) -> list[Evaluation]:
        """Attempts at modules of the Coder's own, which are named own_1, own_2 and so on."""
        return [e for e in self.evaluations if e.attempt.recipe.startswith("own")]

    def failures(self) -> list[Evaluation]:
        """Attempts that ended without a score for another reason than being left early, oldest first."""
        return [e for e in self.evaluations if e.status not in ("ok", "pruned")]

    def of_recipe(self, recipe: str) -> list[Evaluation]:
        return [e for e in self.evaluations if e.attempt.recipe == recipe and not e.attempt.probe]

    def history(self, recipe: str) -> list[tuple[dict[str, Any], float]]:
        """Hyper-parameters and loss of each scored attempt of a recipe, oldest first.

        Of one that was left early, the loss that it would have if it were as much worse than the best one on all folds
        as it was on those that it has.
        """
        found = [(e.attempt.params, self._expected_loss(e)) for e in self.of_recipe(recipe)]
        return [(params, loss) for params, loss in found if math.isfinite(loss)]

    def _expected_loss(self, evaluation: Evaluation) -> float:
        if evaluation.ok:
            return self.loss(evaluation)
        best = self.best()
        if evaluation.status != "pruned" or best is None:
            return math.inf
        theirs = best.loss_by_fold
        worse = [loss - theirs[fold] for fold, loss in evaluation.loss_by_fold.items() if fold in theirs]
        return self.loss(best) + sum(worse) / len(worse) if worse else math.inf

    def board(self) -> list[BoardRow]:
        best: dict[str, Evaluation] = {}
        for evaluation in self.pool():
            best.setdefault(evaluation.attempt.recipe, evaluation)
        first = next((self.loss(e) for e in self.evaluations if e.ok and not e.attempt.probe), 0.0)
        scale = max(abs(first), 1e-9)
        return [
            BoardRow(
                name, rank, (first - self.loss(e)) / scale, e.seconds, len(self.of_recipe(name))
            )
            for rank, (name, e) in enumerate(best.items(), start=1)
        ]  # fmt: skip
