"""How a run ends: the ensemble is chosen, the locked holdout is scored once, the members are fitted on all rows."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automlgpt_local.decision import adjust
from automlgpt_local.events import EnsembleChosen, HoldoutScored, Refitted, Warned
from automlgpt_local.sandbox import results
from automlgpt_local.sandbox.jobs import Job, Limits, Outcome
from automlgpt_local.search.blend import Blender
from automlgpt_local.search.control import Control
from automlgpt_local.search.decision import decision
from automlgpt_local.search.evaluate import Evaluation, Evaluator, plain_params
from automlgpt_local.search.recorder import Recorder

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

WRITING_S = 2.0  # kept for export and report behind the last refit
GRACE_S = 5.0  # for one member, even when the clock has run out: a late model is better than none
COPIES_MARGIN = 0.8  # of the time left, that refits with more seeds than were scored may fill
LATE_SHARE = 0.05  # of the time limit, that the heaviest member may be late: without it the model is another one
MIB = 1 << 20


@dataclass(frozen=True)
class FittedMember:
    """One member of the final model. `params`: with what early stopping found, so that a fit is repeatable."""

    evaluation: Evaluation
    weight: float
    params: dict[str, Any]
    ctx: dict[str, Any]
    model: Path  # joblib file; never opened outside a sandbox
    module: str  # the name under which it was fitted, and will be exported
    test: np.ndarray | None


@dataclass
class Closing:
    evaluator: Evaluator
    recorder: Recorder
    control: Control
    blender: Blender
    pool: list[Evaluation]  # best first, not empty
    looks_before: int = 0  # that other runs had at the same locked rows

    def __post_init__(self) -> None:
        self._decisions: dict[frozenset[tuple[int, float]], tuple[dict[str, Any], float]] = {}  # by weights
        self.blender.learn(self.pool)

    def choose(self) -> EnsembleChosen:
        """The ensemble, unless the best single model is as good out of fold."""

        def make() -> EnsembleChosen:
            self.blender.update(self.pool, self.recorder.clock.left_s() - WRITING_S)
            metric, alone = self.evaluator.metric, {self.pool[0].attempt.number: 1.0}
            _, single = self._decided(alone)
            score = single if len(self.blender.weights) == 1 else self._decided(self.blender.weights)[1]
            kept = metric.loss(score) < metric.loss(single)
            weights = self.blender.weights if kept else alone
            return EnsembleChosen({str(n): w for n, w in weights.items()}, score, single, kept)

        chosen = self.recorder.step(EnsembleChosen, make)
        self.blender.weights = {int(n): w for n, w in chosen.weights.items()}
        return chosen

    def settle(self, chosen: EnsembleChosen, members: list[FittedMember]) -> EnsembleChosen:
        """`chosen`, or what is left of it where not every member could be fitted."""
        weights = {m.evaluation.attempt.number: m.weight for m in members}
        if weights.keys() == self.blender.weights.keys():
            return chosen
        self.blender.weights = weights

        def make() -> EnsembleChosen:
            _, score = self._decided(weights)
            return EnsembleChosen({str(n): w for n, w in weights.items()}, score, chosen.single_score, True)

        return self.recorder.step(EnsembleChosen, make)

    def _decided(self, weights: dict[int, float]) -> tuple[dict[str, Any], float]:
        """(the decision that serves a blend best, the blend's score out of fold with it).

        At 0.5 a blend, whose probabilities are less extreme, looks worse than each of its members.
        """
        known = frozenset(weights.items())
        if known not in self._decisions:
            workspace, rows, metric = self.evaluator.workspace, self.evaluator.validated_rows(), self.evaluator.metric
            y, blended = workspace.y_development[rows], self.blender.blended(weights)
            weight = None if workspace.weight_development is None else workspace.weight_development[rows]
            rule = decision(y, blended, metric, weight, rows)
            self._decisions[known] = rule, metric.score(y, adjust(blended, rule), weight)
        return self._decisions[known]

    def decision(self) -> dict[str, Any]:
        """Threshold, multipliers or the like that serve the metric, tuned out of fold; empty: argmax."""
        return self._decided(self.blender.weights)[0]

    def score_holdout(self, chosen: EnsembleChosen, rule: dict[str, Any]) -> HoldoutScored | None:
        """The fold models' mean on the locked rows. None when nothing was locked away, or it cannot be scored."""
        workspace, metric = self.evaluator.workspace, self.evaluator.metric
        if not len(workspace.holdout):
            return None
        if not workspace.can_score(workspace.holdout):
            self.recorder.ambient(Warned(f"{metric.name} is not defined on the locked rows: they give no score."))
            return None
        looks = 1 + self.looks_before + sum(isinstance(r.event, HoldoutScored) for r in self.recorder.log.records)

        def make() -> HoldoutScored:
            blended = sum(w * self.evaluator.holdout(n) for n, w in self.blender.weights.items())
            y = workspace.y[workspace.holdout]
            weight = None if workspace.weight is None else workspace.weight[workspace.holdout]
            score = metric.score(y, adjust(blended, rule), weight)
            validation = chosen.score if chosen.kept else chosen.single_score
            return HoldoutScored(score, validation, metric.loss(score) - metric.loss(validation), looks)

        return self.recorder.step(HoldoutScored, make)

    # --- refit on all rows
    def refit(self, test: pd.DataFrame | None) -> list[FittedMember]:
        """Every member on all rows; one that does not fit into the time is left out.

        The heaviest come first: where fits take longer than was expected, the lightest are lost.
        Where none can be fitted in time, a quick model of the pool is, a little late.

        test: rows to predict, or None. Returns [] when nothing could be fitted.
        """
        from automlgpt_local.search.workspace import write_features

        weights = self.blender.weights
        heaviest, *others = sorted(weights, key=lambda n: -weights[n])
        evaluations = {e.attempt.number: e for e in self.pool}
        test_path = self.evaluator.workspace.write_refit() / "test.feather"
        n_test = None if test is None else len(test)
        if test is not None:
            write_features(test, test_path)
        names = {heaviest: "pipeline"}
        if others:
            names = {n: f"pipeline.member_{i}" for i, n in enumerate((heaviest, *others), 1)}
        fitted = {e.attempt: e for e in self.recorder.take(Refitted) if e.status == "ok"}
        if not self.recorder.ahead(EnsembleChosen):  # else a sitting before this one settled what could be fitted
            pending = [evaluations[n] for n in (heaviest, *others) if n not in fitted]
            late_s = max(GRACE_S, self.recorder.clock.left_s() - WRITING_S + LATE_SHARE * self.blender.limit_s())
            fitted |= self._refit_all(pending, names, n_test, first_s=0.0 if fitted else late_s)
            if not fitted:
                quick = self._quick()
                names.setdefault(quick.attempt.number, "pipeline")
                fitted = self._refit_all([quick], names, n_test, first_s=GRACE_S)
        numbers = [n for n in (heaviest, *others) if n in fitted] or list(fitted)
        total = sum(weights.get(n, 1.0) for n in numbers)
        return [
            FittedMember(
                evaluations[n], weights.get(n, 1.0) / total,
                {**evaluations[n].attempt.params, **fitted[n].fitted_params}, self._context(evaluations[n]),
                self.model_path(n), names.get(n, "pipeline"), self._test_predictions(n) if test is not None else None,
            )
            for n in numbers
        ]  # fmt: skip

    def _quick(self) -> Evaluation:
        """The best model of the pool whose fit is short, or the quickest one."""
        short = [e for e in self.pool if e.fit_s < GRACE_S / 4]
        return short[0] if short else min(self.pool, key=lambda e: e.fit_s)

    def _refit_all(
        self, pending: list[Evaluation], names: dict[int, str], n_test: int | None, *, first_s: float
    ) -> dict[int, Refitted]:
        """Attempt -> what its fit found, of those that could be fitted. The first of them has `first_s` at least."""
        fitted = {}
        copies = self.blender.refit_copies(COPIES_MARGIN * (self.recorder.clock.left_s() - WRITING_S))
        least_s = [first_s, *[0.0] * len(pending)]
        with ThreadPoolExecutor(self.evaluator.parallel) as pool:
            outcomes = pool.map(
                lambda e, s: self._refit_one(e, names[e.attempt.number], n_test, s, copies.get(e.attempt.number)),
                pending, least_s,
            )  # fmt: skip
            for evaluation, outcome in zip(pending, outcomes):
                if outcome.status != "ok":
                    self.control.leave_if_abandoned()
                number = evaluation.attempt.number
                found = plain_params(outcome.result.get("fitted_params"))
                event = Refitted(number, str(outcome.status), round(outcome.seconds, 3), found, outcome.error[-2000:])
                self.recorder.note(event)
                if event.status == "ok":
                    fitted[number] = event
        return fitted

    def _context(self, evaluation: Evaluation) -> dict[str, Any]:
        workspace = self.evaluator.workspace
        ctx = workspace.context(
            evaluation.attempt.columns, seed=workspace.task.seed, threads=self.evaluator.threads_per_fold, seconds=None
        )
        return {**ctx, "n_rows": len(workspace.y)}

    def _refit_one(
        self, evaluation: Evaluation, module: str, n_test: int | None, least_s: float, copies: int | None
    ) -> Outcome:
        """`copies`: seeds to average, when that is not what was scored."""
        left_s = max(self.recorder.clock.left_s() - WRITING_S, least_s)
        if self.control.abandoned.is_set() or left_s < 0.5:
            return Outcome("timeout", 0.0, error="no time was left for this member")
        number, workspace = evaluation.attempt.number, self.evaluator.workspace
        folder = workspace.run_dir / "work" / "refit"
        work = self.evaluator.job_dir(f"refit_{number:04d}")
        weight, test, solution = folder / "weight.npy", folder / "test.feather", self.evaluator.solution_path(number)
        spec = {
            "solution": str(solution),
            "module": module,
            "params": {**evaluation.attempt.params, **self._found(evaluation, copies)},
            "ctx": self._context(evaluation),
            "features": str(folder / "features.feather"),
            "y": str(folder / "y.npy"),
            "weight": str(weight) if weight.exists() else None,
            "test": str(test) if n_test is not None else None,
            "n_classes": workspace.n_classes,
            "seed": workspace.task.seed,
        }
        limits = Limits(
            wall_s=left_s, memory_mib=workspace.task.memory_mib // self.evaluator.parallel,
            threads=self.evaluator.threads_per_fold,
        )  # fmt: skip
        outcome = self.evaluator.sandbox.run(
            Job("refit", spec, work, (solution, folder), limits), cancelled=self.control.abandoned.is_set
        )
        if outcome.status == "ok":
            outcome = self._keep(outcome, number, work, n_test, limits.disk_mib * MIB)
        results.remove(work)
        return outcome

    def _found(self, evaluation: Evaluation, copies: int | None) -> dict[str, Any]:
        """What the folds' fits found, for a fit on more rows. A fork said it: a number of trees may be anything."""
        found = dict(evaluation.fitted_params)
        trees = found.pop("n_trees", None)
        if type(trees) in (int, float) and trees >= 1:
            found["n_trees"] = round(trees * self.blender.more_trees(evaluation.attempt.number))
        if copies is not None:
            found["copies"] = copies
        return found

    def _keep(self, outcome: Outcome, number: int, work: Path, n_test: int | None, max_bytes: int) -> Outcome:
        """Move the fitted model, as bytes, and its test predictions out of the fork's folder."""
        import numpy as np

        model, n_classes = self.model_path(number), self.evaluator.workspace.n_classes
        try:
            model.unlink(missing_ok=True)  # of a sitting before this one
            results.copy_file(work, "model.joblib", model, max_bytes)
            if n_test is not None:
                values, shape = outcome.arrays.get("test"), (n_test, n_classes) if n_classes else (n_test,)
                if not isinstance(values, np.ndarray) or values.dtype.kind != "f" or values.shape != shape:
                    raise results.BadResultError(f"the predictions of the test rows must be floats of shape {shape}")
                if not np.isfinite(values).all():
                    raise results.BadResultError("the predictions of the test rows are not finite")
                np.save(model.with_suffix(".npy"), values)
        except results.BadResultError as bad:
            return Outcome("bad_result", outcome.seconds, error=str(bad))
        return outcome

    def model_path(self, number: int) -> Path:
        return self.evaluator.workspace.run_dir / "work" / "refit" / f"model_{number:04d}.joblib"

    def _test_predictions(self, number: int) -> np.ndarray:
        import numpy as np

        values: np.ndarray = np.load(self.model_path(number).with_suffix(".npy"))
        return values
