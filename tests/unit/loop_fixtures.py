"""A loop without fits, for tests: modules are scored by their text, and nothing leaves the process."""

from __future__ import annotations

import zlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from sklearn.datasets import load_iris

from automlgpt_local.agents.loop import Loop
from automlgpt_local.agents.workbench import Workbench
from automlgpt_local.data.profile import Profile, profile
from automlgpt_local.events import AttemptFinished, EventLog, FoldFinished
from automlgpt_local.metrics import METRICS
from automlgpt_local.recipes import load
from automlgpt_local.search.clock import Clock
from automlgpt_local.search.control import Control
from automlgpt_local.search.evaluate import Attempt, Evaluation
from automlgpt_local.search.portfolio import PortfolioEntry
from automlgpt_local.search.recorder import Recorder
from automlgpt_local.task import TaskSpec

TASK = TaskSpec("species", "multiclass", "log_loss", 60.0, trials=6)


def iris_profile() -> Profile:
    bunch = load_iris(as_frame=True)
    return profile(bunch.data, bunch.target.to_numpy(), classes=("setosa", "versicolor", "virginica"))


class Evaluator:
    """Scores a module by a checksum of its text: deterministic, and no fit in sight."""

    def __init__(self, run_dir: Path, recorder: Recorder) -> None:
        folds = [SimpleNamespace(index=k, train=np.arange(80), valid=np.arange(20)) for k in range(4)]
        splits = SimpleNamespace(folds_of_a_cut=4)
        names = [f"{part} {size} (cm)" for part in ("sepal", "petal") for size in ("length", "width")]
        sample = pd.DataFrame({name: np.arange(100) for name in names}), np.zeros(100, dtype=int)
        self.workspace = SimpleNamespace(
            folds=folds, probes=folds, task=TASK, y=np.zeros(100), n_classes=3, splits=splits, sample=lambda _: sample
        )
        self.metric, self.parallel, self.fit_s = METRICS["log_loss"], 1, 0.0
        self.run_dir, self.recorder = run_dir, recorder
        self.fails: set[str] = set()
        self.loss = lambda text: zlib.crc32(text.encode()) % 1000 / 1000

    def solution_path(self, number: int) -> Path:
        return self.run_dir / f"{number}.py"

    def evaluate(self, attempt: Attempt, seconds: float, best: Evaluation | None = None) -> Evaluation:
        for fold in range(4):
            self.recorder.note(FoldFinished(attempt.number, fold, "ok", 0.5, 0.1))
        base = self.loss(self.solution_path(attempt.number).read_text() + repr(attempt.params))
        status = "error" if attempt.recipe in self.fails else "ok"
        scores = [base + 0.01 * k for k in range(4)] if status == "ok" else []
        score = float(np.mean(scores)) if scores else None
        error = "" if scores else "Traceback ...\nNameError: name 'typo' is not defined"
        self.recorder.note(AttemptFinished(attempt.number, status, score, 0.01, scores, 0.4, error))
        return Evaluation(attempt, status, score, 0.01, tuple(scores), 0.4, 0.1, {}, error)


class Blender:
    def __init__(self) -> None:
        self.ensemble = True
        self.weights: dict[int, float] = {}
        self.history: list[float] = []

    def update(self, pool: list[Evaluation]) -> None:
        pass

    def unmoved(self) -> None:
        pass

    def ending_s(self) -> float:
        return 0.0


class Tuner:
    def suggest(self, recipe: str, *rest: Any) -> dict[str, Any]:
        return {"n": len(rest[2])}


def loop(tmp_path: Path, iris: Profile, advisor: Any, task: TaskSpec = TASK) -> tuple[Loop, Recorder]:
    recorder = Recorder(EventLog(tmp_path / "events.jsonl"), Clock(60.0), lambda line: None)
    recipes = {n: r for n, r in load().items() if n in ("baseline", "lightgbm", "linear", "extra_trees")}
    bench = Workbench(
        task, iris, recipes, advisor, Evaluator(tmp_path, recorder), recorder, Control(recorder, asks=False),  # type: ignore[arg-type]
        Blender(), None,  # type: ignore[arg-type]
    )  # fmt: skip
    bench.control.begin(task, [c.name for c in iris.columns])
    portfolio = [PortfolioEntry(name, {}) for name in ("lightgbm", "linear", "extra_trees")]
    return Loop(bench, portfolio, Tuner()), recorder  # type: ignore[arg-type]


def events(recorder: Recorder, cls: type) -> list[Any]:
    return [r.event for r in recorder.log.records if isinstance(r.event, cls)]
