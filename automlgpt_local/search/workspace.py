"""The run's arrays on disk, each in the folder that only those forks are granted that may see it.

work/data/development.feather   features of all development rows
work/data/holdout.feather       features of the locked rows; their labels exist in the engine's memory alone
work/data/fold_<k>/             train_rows.npy train_y.npy [train_weight.npy] valid_rows.npy
work/data/probe_<k>/            the same for few rows, to settle questions cheaply
work/refit/                     features and labels of all rows, written when the search has ended
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automlgpt_local.data.splits import Splits, make_splits
from automlgpt_local.data.target import Dataset
from automlgpt_local.errors import DataError
from automlgpt_local.metrics import METRICS, Metric
from automlgpt_local.task import TaskSpec

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

# Rows of a probe's training: a part of the table, so that effects of rare values show, as far as the time allows; the
# last figure is for two classes at most, since boosting grows a tree for each.
PROBE_ROWS, MOST_PROBE_ROWS, PROBE_ROWS_A_SECOND = 6_000, 24_000, 200
# A boosted model handles about this many cells (rows x columns x trees) a second on one core; only the order counts.
CELLS_PER_S = 6e7
TREES = 400
TREES_PER_CLASS = 120
FOLDS_SHARE = 0.25  # of the time limit, for all folds of one typical model
# From so many rows on half of them tell enough: there are two folds where three would take half of FOLDS_SHARE.
ROWS_FOR_TWO_FOLDS = 50_000
PROBE_FOLDS = 4
REPEATED_COLUMNS = 200
SIDE_BY_SIDE_CELLS = 20_000_000
SECONDS_A_CUT = 60.0  # of all threads together


@dataclass(frozen=True)
class Fold:
    """One train / validation cut of the development rows: row positions, and the folder that holds them."""

    index: int
    train: np.ndarray
    valid: np.ndarray
    folder: Path


class Workspace:
    """Rows with a target. `y`: (n_rows,) class codes or floats; `development` and `holdout` are positions in it."""

    def __init__(self, run_dir: Path, task: TaskSpec, dataset: Dataset) -> None:
        self.run_dir, self.task, self.dataset = run_dir, task, dataset
        self.metric: Metric = METRICS[task.metric]
        self.features, self.y, self.weight = dataset.features, dataset.y, dataset.weight
        self.classes = list(dataset.classes)
        shape = len(self.y), self.features.shape[1], len(self.classes)
        self.side_by_side = fits_at_once(task, *shape)
        self.splits: Splits = make_splits(
            task, self.y, group=dataset.group, time=dataset.time, most_folds=affordable_folds(task, *shape),
            most_repeats=affordable_repeats(task, *shape[1:]), side_by_side=self.side_by_side,
        )  # fmt: skip
        self.splits = self._scorable(self.splits)
        self.development, self.holdout = self.splits.development, self.splits.holdout
        self.data_dir = run_dir / "work" / "data"
        self.folds: list[Fold] = []
        self.probes: list[Fold] = []

    def can_score(self, rows: np.ndarray) -> bool:
        """Is the metric defined on these positions of `y`? On rows of one class, or without weight, some are not."""
        import numpy as np

        y = self.y[rows]
        if self.n_classes == 2 and self.metric.of_positives and not y.any():
            return False
        guess: np.ndarray = np.full(len(y), y.mean())
        if self.n_classes:
            guess = np.zeros((len(y), self.n_classes))
            guess[:, np.bincount(y).argmax()] = 1.0
        try:
            self.metric.score(y, guess, None if self.weight is None else self.weight[rows])
        except ValueError:
            return False
        return True

    def _scorable(self, splits: Splits) -> Splits:
        """Without the folds whose validation rows the metric cannot score. Raises DataError when none is left."""
        folds = [fold for fold in splits.folds if self.can_score(splits.development[fold[1]])]
        if not folds:
            raise DataError(
                f"No part of the table can be validated on: {self.metric.name} is not defined on any of them.",
                "Rows of several classes are needed in each: leave --time or --group out, or name another --metric.",
            )
        return replace(splits, folds=folds)

    @property
    def n_classes(self) -> int:
        return len(self.classes)

    @property
    def y_development(self) -> np.ndarray:
        return self.y[self.development]

    @property
    def weight_development(self) -> np.ndarray | None:
        return None if self.weight is None else self.weight[self.development]

    def sample(self, most: int) -> tuple[pd.DataFrame, np.ndarray]:
        """Features and y of at most `most` development rows, the same for the same seed."""
        import numpy as np

        rows = np.random.default_rng(self.task.seed).permutation(self.development)[:most]
        return self.features.iloc[rows], self.y[rows]

    def write(self) -> None:
        """Everything the forks read before the refit. Safe to call again: a resumed run writes the same files."""
        import numpy as np

        shutil.rmtree(self.data_dir, ignore_errors=True)
        self.data_dir.mkdir(parents=True)
        write_features(self.features.iloc[self.development], self.data_dir / "development.feather")
        if len(self.holdout):
            write_features(self.features.iloc[self.holdout], self.data_dir / "holdout.feather")
        self.folds = [
            self._write_fold("fold", i, np.asarray(train), np.asarray(valid))
            for i, (train, valid) in enumerate(self.splits.folds)
        ]
        self.probes = self._write_probes()

    def _write_fold(self, kind: str, index: int, train: np.ndarray, valid: np.ndarray) -> Fold:
        import numpy as np

        folder = self.data_dir / f"{kind}_{index}"
        folder.mkdir()
        np.save(folder / "train_rows.npy", train.astype(np.int64))
        np.save(folder / "train_y.npy", self.y_development[train])
        np.save(folder / "valid_rows.npy", valid.astype(np.int64))
        if self.weight_development is not None:
            np.save(folder / "train_weight.npy", self.weight_development[train])
        return Fold(index, train, valid, folder)

    def _write_probes(self) -> list[Fold]:
        """Folds over a sample of rows. On a small table the first real folds serve."""
        import numpy as np

        n_rows = len(self.development)
        if n_rows <= PROBE_ROWS:
            return self.folds
        rng = np.random.default_rng(self.task.seed)
        by_time = int(PROBE_ROWS_A_SECOND * self.task.time_limit_s / max(1, self.n_classes / 2))
        most = max(PROBE_ROWS, min(n_rows // 4, MOST_PROBE_ROWS, by_time))
        half = most // 2
        free = self.dataset.time is None and self.dataset.group is None
        if len(self.folds) == 1 and free:  # a probe needs several cuts, to tell a gain from noise
            draws = [rng.permutation(n_rows)[: most + half] for _ in range(PROBE_FOLDS)]
            parts = [(draw[:most], draw[most:]) for draw in draws]
        else:
            parts = [
                (rng.choice(f.train, min(len(f.train), most), replace=False),
                 rng.choice(f.valid, min(len(f.valid), half), replace=False))
                for f in (self.folds[i % len(self.folds)] for i in range(PROBE_FOLDS))
            ]  # fmt: skip
        return [self._write_fold("probe", i, np.sort(train), np.sort(valid)) for i, (train, valid) in enumerate(parts)]

    def write_refit(self) -> Path:
        """Features, labels and weights of all rows; the folder that the refit's forks are granted."""
        import numpy as np

        folder = self.run_dir / "work" / "refit"
        if not (folder / "y.npy").exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_features(self.features, folder / "features.feather")
            if self.weight is not None:
                np.save(folder / "weight.npy", self.weight)
            np.save(folder / "y.npy", self.y)
        return folder

    def context(
        self, columns: dict[str, list[str]], *, seed: int, threads: int, seconds: float | None
    ) -> dict[str, Any]:
        """`ctx` of the solution contract, less `n_rows`, which depends on the fit."""
        return {
            "kind": self.task.kind,
            "n_classes": self.n_classes,
            "metric": self.task.metric,
            "seed": seed,
            "n_threads": threads,
            "seconds": seconds,
            "columns": columns,
        }


def fits_at_once(task: TaskSpec, n_rows: int, n_columns: int, n_classes: int) -> int:
    """Folds side by side with one thread each beat one fold with all threads, as long as memory is not too dear."""
    cells = n_rows * max(1, n_columns) * max(1, n_classes / 4)
    return task.threads if cells <= SIDE_BY_SIDE_CELLS else 1


def affordable_folds(task: TaskSpec, n_rows: int, n_columns: int, n_classes: int) -> int:
    """How many folds of a typical model fit into FOLDS_SHARE of the time limit: 8, 5, 3, 2 or 1 (a single split)."""
    trees = TREES if n_classes <= 2 else TREES_PER_CLASS * n_classes
    fit_s = n_rows * n_columns * trees / (CELLS_PER_S * task.threads)
    affordable = FOLDS_SHARE * task.time_limit_s / max(fit_s, 1e-9)
    if n_rows >= ROWS_FOR_TWO_FOLDS and affordable < 6:
        return 2 if affordable >= 2 else 1
    return next((k for k in (8, 5, 3) if k <= affordable), 1)


def affordable_repeats(task: TaskSpec, n_columns: int, n_classes: int) -> int:
    """How often the rows of a small table may be cut anew: by the time limit, unless the table is wide.

    A fixed number of trials is a fixed amount of work: there the rows are cut once.
    """
    if task.trials is not None or n_columns * max(1, n_classes / 4) > REPEATED_COLUMNS:
        return 1
    return max(1, int(task.time_limit_s * task.threads // SECONDS_A_CUT))


def write_features(frame: pd.DataFrame, path: Path) -> None:
    import pyarrow
    from pyarrow import feather

    table = pyarrow.Table.from_pandas(frame, preserve_index=False, nthreads=1)
    feather.write_feather(table, str(path), compression="uncompressed")
