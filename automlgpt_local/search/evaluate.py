"""Runs an attempt's folds in the sandbox and scores what comes back. The only place where a score is made."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automlgpt_local.events import AttemptFinished, FoldFinished
from automlgpt_local.metrics import Metric
from automlgpt_local.recipes import load as all_recipes
from automlgpt_local.sandbox import results
from automlgpt_local.sandbox.jobs import Job, Limits, Outcome
from automlgpt_local.sandbox.runner import Sandbox
from automlgpt_local.search.control import Control
from automlgpt_local.search.decision import decided_score
from automlgpt_local.search.gate import hopeless
from automlgpt_local.search.recorder import Recorder
from automlgpt_local.search.workspace import Fold, Workspace

if TYPE_CHECKING:
    import numpy as np

CHUNKS = 5  # of the only validation part, where there is a single split


@dataclass(frozen=True)
class Attempt:
    """A solution with the choices that went into it. Its module lies in `attempts/<number>/solution.py`."""

    number: int
    stage: str
    recipe: str
    title: str
    params: dict[str, Any]
    columns: dict[str, list[str]]
    parent: int | None
    probe: bool = False


@dataclass(frozen=True)
class Evaluation:
    """`fold_losses`: lower is better, in the order of the folds. `fit_s`: mean seconds of one fold's fork.

    `predict_ms`: milliseconds that 1,000 rows took to predict.
    """

    attempt: Attempt
    status: str
    score: float | None
    noise: float | None
    fold_losses: tuple[float, ...]
    seconds: float
    fit_s: float
    fitted_params: dict[str, Any] = field(default_factory=dict)
    error: str = ""
    folds: tuple[int, ...] = ()
    predict_ms: float = 0.0

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def copies(self) -> float | None:
        """Seeds that a fit averaged, from 1 to 8; None where it averages none. The fork says so, unchecked."""
        told = self.fitted_params.get("copies")
        return min(max(told, 1), 8) if isinstance(told, int | float) and told == told else None

    @property
    def loss_by_fold(self) -> dict[int, float]:
        """Fold -> loss; after a single split, fifth of its validation rows, from -1 down, -> loss."""
        if len(self.folds) == 1 < len(self.fold_losses):
            return {-1 - part: loss for part, loss in enumerate(self.fold_losses)}
        if len(self.folds) != len(self.fold_losses):
            return dict(enumerate(self.fold_losses))
        return dict(zip(self.folds, self.fold_losses))


class Evaluator:
    def __init__(
        self, workspace: Workspace, sandbox: Sandbox, recorder: Recorder, control: Control, memory_mib: int
    ) -> None:
        self.workspace, self.sandbox = workspace, sandbox
        self._recorder, self._control = recorder, control
        self._memory_mib = memory_mib
        self.metric: Metric = workspace.metric
        self.fit_s = 0.0  # seconds in forks, all together
        # Both are the blend's to know: what must be left for the ending, and whether an attempt is of no use to it.
        self.ending_s: Callable[[], float] = lambda: 0.0
        self.adds_nothing: Callable[[int, Sequence[Fold]], bool] = lambda number, folds: False
        threads = workspace.task.threads
        self._fit_shares: dict[str, float] = {}  # recipe -> share of a fork's seconds that its last fit took
        self.folds = list(workspace.folds)  # those that every attempt is scored on
        self.parallel = min(workspace.side_by_side, len(workspace.folds))
        self.threads_per_fold = max(1, threads // self.parallel)

    def solution_path(self, number: int) -> Path:
        return self.workspace.run_dir / "attempts" / f"{number:04d}" / "solution.py"

    def evaluate(self, attempt: Attempt, seconds: float, best: Evaluation | None = None) -> Evaluation:
        """Fit and score every fold, within about `seconds` in all. Recorded folds are not run again."""
        folds = self.workspace.probes if attempt.probe else self.folds
        finished = {e.fold: e for e in self._recorder.take(FoldFinished, attempt=attempt.number)}
        if not self._recorder.replaying:
            pending = [f for f in folds if f.index not in finished]
            for event in self._run_folds(attempt, pending, seconds, finished, best):
                finished[event.fold] = event
        events = [finished[f.index] for f in folds if f.index in finished]
        done = self._recorder.step(
            AttemptFinished, lambda: self._finish(attempt, folds, events, best), attempt=attempt.number
        )
        losses = tuple(self.metric.loss(s) for s in done.fold_scores)
        if done.status == "ok" and not attempt.probe and len(events) and self._scored(events) != len(self.folds):
            self._leave_folds({e.fold for e in events if e.status == "ok"})
        seconds_each = [e.seconds for e in events if e.status == "ok"]
        return Evaluation(
            attempt, done.status, done.score, done.noise, losses, done.seconds,
            sum(seconds_each) / max(1, len(seconds_each)),
            mean_params([e.fitted_params for e in events if e.status == "ok"]), done.error,
            tuple(e.fold for e in events if e.score is not None), predict_ms(events, folds),
        )  # fmt: skip

    def _scored(self, events: list[FoldFinished]) -> int:
        return sum(e.status == "ok" for e in events)

    def _leave_folds(self, kept: set[int]) -> None:
        """From now on attempts are scored on these folds alone: the clock has no room for all of them."""
        self.folds = [f for f in self.folds if f.index in kept]

    def rejected(self, attempt: Attempt) -> Evaluation:
        """The record of a module that the user did not allow to run."""
        self._recorder.note(AttemptFinished(attempt.number, "rejected", None, None, [], 0.0, "not allowed by the user"))
        return Evaluation(attempt, "rejected", None, None, (), 0.0, 0.0)

    def _run_folds(
        self, attempt: Attempt, pending: list[Fold], seconds: float, finished: dict[int, FoldFinished],
        best: Evaluation | None,
    ) -> Iterator[FoldFinished]:  # fmt: skip
        rounds = -(-len(pending) // self.parallel)
        per_fold_s = max(1.0, seconds / max(1, rounds))
        stop = self._given_up(attempt, finished, best) or any(e.status != "ok" for e in finished.values())
        left = threading.Event()  # what still runs of this attempt is of no use any more
        with ThreadPoolExecutor(self.parallel) as pool:
            waiting = list(pending)
            running: dict[Future[Outcome], Fold] = {}
            while running or (waiting and not stop):
                while waiting and not stop and len(running) < self.parallel:
                    fold = waiting.pop(0)
                    running[pool.submit(self._run_fold, attempt, fold, per_fold_s, left)] = fold
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    fold, outcome = running.pop(future), future.result()
                    if outcome.status == "cancelled":
                        stop = True
                        continue
                    event = self._score(attempt, fold, outcome)
                    self._recorder.note(event)
                    yield event
                    if self._given_up(attempt, finished, best):
                        left.set()
                    late = best is not None and self._is_late(per_fold_s)
                    stop = stop or event.status != "ok" or left.is_set() or late
        self._control.check()

    def _is_late(self, spare_s: float) -> bool:
        """Would another fold take the time that the ending needs?"""
        return self.workspace.task.trials is None and self._recorder.clock.left_s() < self.ending_s() - spare_s

    def _given_up(self, attempt: Attempt, finished: dict[int, FoldFinished], best: Evaluation | None) -> bool:
        """Is what is known of an attempt enough to leave it?"""
        if best is not None and best.noise is not None:
            losses = {k: self.metric.loss(e.score) for k, e in finished.items() if e.score is not None}
            least = 1.0 if self.metric.higher_is_better else 0.0
            if hopeless(losses, best.loss_by_fold, best.noise, least):
                return True
        if attempt.probe:
            return False
        done = [f for f in self.folds if f.index in finished and finished[f.index].score is not None]
        return len(done) < len(self.folds) and self.adds_nothing(attempt.number, done)

    def _fit_share(self, recipe: str) -> float:
        """Share of a fork's seconds that may go into the fit; with a tree per class, predicting takes long."""
        n_classes, known = self.workspace.n_classes, all_recipes().get(recipe)
        if n_classes <= 2 or (known is not None and not known.boosted):
            assumed = 0.85
        else:
            assumed = 0.6 if n_classes <= 10 else 0.4
        return self._fit_shares.get(recipe, assumed)

    def _run_fold(self, attempt: Attempt, fold: Fold, seconds: float, left: threading.Event) -> Outcome:
        data = self.workspace.data_dir
        holdout = data / "holdout.feather"
        solution = self.solution_path(attempt.number)
        work = self.job_dir(f"{attempt.number:04d}_{fold.folder.name}")
        spec = {
            "solution": str(solution),
            "module": "solution",
            "params": attempt.params,
            "ctx": self.workspace.context(
                attempt.columns,
                seed=self.workspace.task.seed,
                threads=self.threads_per_fold,
                seconds=seconds * self._fit_share(attempt.recipe),
            ),
            "features": str(data / "development.feather"),
            "fold": str(fold.folder),
            "holdout": str(holdout) if holdout.exists() and not attempt.probe else None,
            "n_classes": self.workspace.n_classes,
            "seed": self.workspace.task.seed,
        }
        read = (solution, data / "development.feather", holdout, fold.folder)
        # The fit looks at ctx["seconds"]; what ends a fork by force is the time that the ending needs.
        wall_s = max(seconds * 1.25 + 2.0, min(seconds * 3.0, self._recorder.clock.left_s() - self.ending_s()))
        limits = Limits(wall_s=wall_s, memory_mib=self._memory_mib // self.parallel, threads=self.threads_per_fold)
        job = Job("fold", spec, work, tuple(p for p in read if p.exists()), limits)
        known = None if attempt.probe else all_recipes().get(attempt.recipe)
        family = None if known is None else known.family
        try:
            return self.sandbox.run(job, cancelled=lambda: left.is_set() or self._unwanted(family))
        finally:
            results.remove(work)

    def _unwanted(self, family: str | None) -> bool:
        """Is a running fit to be cut short? The user stopped, ruled out its kind of model, or drew the limit in.

        Asked many times a second. `family`: of its recipe; None for what no rule about kinds concerns.
        """
        if self._control.interrupted():
            return True
        if family is not None and not self._control.allows(family):
            return True
        return self._control.shortened and self._recorder.clock.left_s() < self.ending_s()

    def job_dir(self, name: str) -> Path:
        """An empty work folder for one fork."""
        work = self.workspace.run_dir / "work" / "jobs" / name
        results.remove(work)
        work.mkdir(parents=True)
        return work

    def _score(self, attempt: Attempt, fold: Fold, outcome: Outcome) -> FoldFinished:
        """Score one fork's predictions; anything but finite numbers of the right shape is a failed fold."""
        self.fit_s += outcome.seconds
        if outcome.output or outcome.error:
            with open(self.solution_path(attempt.number).with_name("stdout.txt"), "a", encoding="utf-8") as file:
                file.write(f"== fold {fold.index}: {outcome.status}\n{outcome.output}\n{outcome.error}\n")
        status, error, score = str(outcome.status), outcome.error, None
        if status == "ok":
            try:
                valid = self._checked(outcome.arrays.get("valid"), len(fold.valid))
                y = self.workspace.y_development[fold.valid]
                weight = self.workspace.weight_development
                score = decided_score(y, valid, self.metric, None if weight is None else weight[fold.valid])
                holdout = outcome.arrays.get("holdout")
                if holdout is not None:
                    holdout = self._checked(holdout, len(self.workspace.holdout))
                self._save(attempt, fold, valid, holdout)
            except ValueError as problem:
                status, error, score = "bad_result", str(problem), None
        fitted, fit_s = outcome.result.get("fitted_params"), outcome.result.get("fit_s")
        if status == "ok" and isinstance(fit_s, float) and outcome.seconds > 1.0:
            self._fit_shares[attempt.recipe] = min(0.9, max(0.2, fit_s / outcome.seconds))
        return FoldFinished(
            attempt.number, fold.index, status, score, round(outcome.seconds, 3), round(outcome.peak_mib, 1),
            plain_params(fitted), error[-2000:], self._predict_s(outcome),
        )  # fmt: skip

    def _predict_s(self, outcome: Outcome) -> float:
        """What the fork says that its validation rows took, as far as it can be true."""
        told = outcome.result.get("predict_s")
        return round(min(max(told, 0.0), outcome.seconds), 4) if isinstance(told, float) and told == told else 0.0

    def _checked(self, values: Any, n_rows: int) -> np.ndarray:
        """Probabilities (n_rows, n_classes) that sum to one, or finite floats (n_rows,). Raises ValueError."""
        import numpy as np

        classes = self.workspace.n_classes
        shape = (n_rows, classes) if classes else (n_rows,)
        if not isinstance(values, np.ndarray) or values.shape != shape or values.dtype.kind != "f":
            raise ValueError(f"predictions must be floats of shape {shape}")
        if not np.isfinite(values).all():
            raise ValueError("the predictions hold NaN or infinite values")
        if classes:
            total = values.sum(axis=1, keepdims=True)
            if (values < 0).any() or (total <= 0).any():
                raise ValueError("probabilities must not be negative, nor all zero")
            values = values / total
        return values.astype(np.float64)

    def _save(self, attempt: Attempt, fold: Fold, valid: np.ndarray, holdout: np.ndarray | None) -> None:
        import numpy as np

        path = self.fold_file(attempt.number, fold.index)
        torn = path.with_suffix(".part.npz")
        arrays: dict[str, Any] = {"valid": valid.astype(np.float32)}
        if holdout is not None:
            arrays["holdout"] = holdout.astype(np.float32)
        with open(torn, "wb") as file:
            np.savez(file, **arrays)
            file.flush()
            os.fsync(file.fileno())
        torn.rename(path)

    def fold_file(self, number: int, fold: int) -> Path:
        return self.solution_path(number).parent / f"fold_{fold}.npz"

    def _finish(
        self, attempt: Attempt, folds: list[Fold], events: list[FoldFinished], best: Evaluation | None
    ) -> AttemptFinished:
        import numpy as np

        scored = [e for e in events if e.score is not None]
        scores = [e.score for e in scored if e.score is not None]
        mean = float(np.mean(scores)) if scores else None
        if len(folds) == 1 and scores:
            scores = self._chunk_scores(attempt, folds[0])
        bad = [e for e in events if e.status != "ok"]
        status = "ok" if len(scored) == len(folds) else bad[0].status if bad else "pruned"
        if status == "timeout" and scored and not attempt.probe and self._beats(scored, best):
            status = "ok"  # on fewer folds; the others are left from here on
        independent = min(len(scores), self.workspace.splits.folds_of_a_cut) if len(folds) > 1 else len(scores)
        noise = float(np.std(scores, ddof=1) / np.sqrt(independent)) if len(scores) > 1 else None
        finished = AttemptFinished(
            attempt.number, status, mean, noise, scores,
            round(sum(e.seconds for e in events), 3), bad[0].error if bad else "",
        )  # fmt: skip
        result = self.solution_path(attempt.number).with_name("result.json")
        result.write_text(json.dumps(asdict(finished), indent=1) + "\n", encoding="utf-8")
        return finished

    def _beats(self, scored: list[FoldFinished], best: Evaluation | None) -> bool:
        """Is an attempt that was cut short better than the best one on the folds that it has?"""
        if best is None:
            return True
        before = best.loss_by_fold
        gains = [before[e.fold] - self.metric.loss(e.score) for e in scored if e.score is not None and e.fold in before]
        return sum(gains) > 0

    def _chunk_scores(self, attempt: Attempt, fold: Fold) -> list[float]:
        """Scores on random fifths of a single validation part: with one fold they stand in for the folds' spread."""
        import numpy as np

        valid = np.load(self.fold_file(attempt.number, fold.index))["valid"]
        y, weight = self.workspace.y_development[fold.valid], self.workspace.weight_development
        chunks = np.array_split(np.random.default_rng(0).permutation(len(y)), CHUNKS)
        weight = None if weight is None else weight[fold.valid]
        try:
            return [decided_score(y[c], valid[c], self.metric, None if weight is None else weight[c]) for c in chunks]
        except ValueError:  # a class that a fifth does not have
            return [decided_score(y, valid, self.metric, weight)]

    def out_of_fold(self, number: int, folds: Sequence[Fold] | None = None) -> np.ndarray:
        """Predictions of the validated development rows, in the order of `validated_rows`; or of some folds' alone."""
        import numpy as np

        parts = [np.load(self.fold_file(number, f.index))["valid"] for f in (self.folds if folds is None else folds)]
        return np.concatenate(parts)

    def validated_rows(self) -> np.ndarray:
        import numpy as np

        return np.concatenate([f.valid for f in self.folds])

    def holdout(self, number: int) -> np.ndarray:
        """The fold models' mean prediction of the locked rows."""
        import numpy as np

        parts = [np.load(self.fold_file(number, f.index))["holdout"] for f in self.folds]
        return np.mean(parts, axis=0)


def plain_params(values: Any) -> dict[str, Any]:
    """The numbers, strings and booleans among a child's `fitted_params`; whatever else it sent is left out."""
    if not isinstance(values, dict):
        return {}
    first = list(values.items())[:64]
    return {str(k)[:64]: v for k, v in first if isinstance(v, str) or (isinstance(v, int | float) and abs(v) < 2**63)}


def predict_ms(events: list[FoldFinished], folds: list[Fold]) -> float:
    """Milliseconds for 1,000 rows, over all folds that ended well."""
    rows = {f.index: len(f.valid) for f in folds}
    known = [(e.predict_s, rows[e.fold]) for e in events if e.status == "ok"]
    return 1e6 * sum(s for s, _ in known) / max(1, sum(n for _, n in known))


def mean_params(each: list[dict[str, Any]]) -> dict[str, Any]:
    """Numbers averaged over the folds (whole ones rounded up); of anything else the first fold's.

    `copies` are rounded down: a fold has fewer where each takes long, so that more of them on all rows, each with the
    mean number of trees, would take longer than any fold did.
    """
    names = each[0] if each else {}
    merged: dict[str, Any] = {}
    for name, first in names.items():
        values = [e[name] for e in each if name in e and type(e[name]) in (type(first), int, float)]
        if isinstance(first, bool | str):
            merged[name] = first
        elif all(isinstance(v, int) for v in values):
            merged[name] = sum(values) // len(values) if name == "copies" else -(-sum(values) // len(values))
        else:
            merged[name] = sum(values) / len(values)
    return merged
