"""Optuna by ask and tell: the engine suggests, the solution's own `space(trial)` runs in the sandbox and asks.

A study is rebuilt from the journal at each ask, so the event log stays the only truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from automlgpt_local.sandbox import results
from automlgpt_local.sandbox.jobs import Job, Limits
from automlgpt_local.search.evaluate import Evaluator, plain_params

ASK_S = 20.0


class Tuner:
    """`suggest(...)` proposes hyper-parameters for one solution; None when it has no search space."""

    def __init__(self, evaluator: Evaluator, seed: int) -> None:
        self._evaluator, self._seed = evaluator, seed
        self._spaces: dict[str, dict[str, Any]] = {}  # recipe -> parameter -> Optuna distribution

    def suggest(
        self, recipe: str, solution: Path, columns: dict[str, list[str]],
        history: Sequence[tuple[dict[str, Any], float]], number: int,
    ) -> dict[str, Any] | None:  # fmt: skip
        """history: (hyper-parameters, loss) of earlier attempts of this recipe. number: of the attempt to come."""
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        if recipe not in self._spaces:
            self._spaces[recipe] = self._probe(solution, columns)
        space = self._spaces[recipe]
        if not space:
            return None
        sampler = optuna.samplers.TPESampler(
            seed=self._seed * 10_007 + number, n_startup_trials=6, multivariate=True, warn_independent_sampling=False
        )
        study = optuna.create_study(sampler=sampler)
        for params, loss in history:
            known = {k: v for k, v in params.items() if k in space and _within(space[k], v)}
            if known:
                distributions = {k: space[k] for k in known}
                study.add_trial(optuna.trial.create_trial(params=known, distributions=distributions, value=loss))
        trial = study.ask()
        return self._run(solution, columns, lambda question: _answer(trial, question))

    def _probe(self, solution: Path, columns: dict[str, list[str]]) -> dict[str, Any]:
        """The search space of a solution, found by answering each of its questions once."""
        import optuna

        space: dict[str, Any] = {}
        trial = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=self._seed)).ask()
        if self._run(solution, columns, lambda question: _answer(trial, question)) is not None:
            space = dict(trial.distributions)
        return space

    def _run(self, solution: Path, columns: dict[str, list[str]], answer: Any) -> dict[str, Any] | None:
        work = self._evaluator.job_dir("space")
        workspace = self._evaluator.workspace
        ctx = workspace.context(columns, seed=self._seed, threads=1, seconds=ASK_S)
        ctx["n_rows"] = len(workspace.development)
        spec = {"solution": str(solution), "module": "solution", "ctx": ctx, "seed": self._seed}
        job = Job("space", spec, work, (solution,), Limits(wall_s=ASK_S, threads=1), on_ask=answer)
        try:
            outcome = self._evaluator.sandbox.run(job)
        finally:
            results.remove(work)
        params = outcome.result.get("params")
        return plain_params(params) if outcome.status == "ok" and isinstance(params, dict) and params else None


def _within(distribution: Any, value: Any) -> bool:
    """Could Optuna have suggested this value? A recipe's grid may go beyond its search space."""
    try:
        return bool(distribution._contains(distribution.to_internal_repr(value)))
    except (ValueError, TypeError):
        return False


def _answer(trial: Any, question: dict[str, Any]) -> dict[str, Any]:
    """Optuna's answer to one suggest call of the child. Raises ValueError for a question that makes no sense."""
    kind, name = question.get("suggest"), str(question.get("name"))[:100]
    if kind == "categorical":
        return {"value": trial.suggest_categorical(name, list(question["choices"])[:100])}
    if kind == "int":
        step = int(question.get("step") or 1)
        low, high = int(question["low"]), int(question["high"])
        return {"value": trial.suggest_int(name, low, high, step=step, log=bool(question.get("log")))}
    if kind == "float":
        bounds = float(question["low"]), float(question["high"])
        grain = None if question.get("step") is None else float(question["step"])
        return {"value": trial.suggest_float(name, *bounds, step=grain, log=bool(question.get("log")))}
    raise ValueError(f"unknown question {kind!r}")
