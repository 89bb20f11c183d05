"""Which rows are locked away, and which folds score the attempts. Positions only; deterministic in the seed."""

from __future__ import annotations

import itertools
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from automlgpt_local.errors import DataError
from automlgpt_local.task import TaskSpec

if TYPE_CHECKING:
    import pandas as pd

MIN_HOLDOUT_ROWS = 200
MIN_GROUPS = 4
MOST_BALANCED_GROUPS = 1000  # more even out by themselves, and balancing them takes seconds
TARGET_BINS = 10
REPEAT_SEED = 7919  # between the seeds of two cuts of the same rows


@dataclass(frozen=True)
class Splits:
    """development, holdout: row positions. folds: (training, validation) positions within `development`.

    repeats: how many times the development rows are cut anew, one after the other in `folds`.
    """

    strategy: str
    development: np.ndarray
    holdout: np.ndarray
    folds: list[tuple[np.ndarray, np.ndarray]]
    repeats: int = 1

    @property
    def folds_of_a_cut(self) -> int:
        return max(1, len(self.folds) // self.repeats)


def holdout_share(n_rows: int) -> float:
    """Share of rows locked away: 20 % below 2,000 rows, where 10 % would say nothing; none below 200."""
    if n_rows < MIN_HOLDOUT_ROWS:
        return 0.0
    return 0.2 if n_rows < 2000 else 0.1


def fold_count(n_rows: int) -> int:
    """Folds by development rows: many where rows are dear, few where fits are; 1 is a single 80/20 split.

    8 folds train on 87.5 % of a small table; from 150,000 rows on, one validation part of 30,000 rows has less noise
    than the gains we look for, and repeating the fit would only cost time.
    """
    for rows, folds in ((3_000, 8), (10_000, 6), (30_000, 5), (150_000, 3)):
        if n_rows < rows:
            return folds
    return 1


def even_out(n_folds: int, side_by_side: int) -> int:
    """A near number of folds that leaves no core idle in the last round of those that are fitted side by side.

    Fewer where four are left, for that ends sooner, else more; never more than eight.
    """
    if n_folds == 1 or n_folds % side_by_side == 0:
        return n_folds
    fewer = n_folds - n_folds % side_by_side
    if fewer >= 4:
        return fewer
    more = fewer + side_by_side
    return more if more <= 8 else n_folds


def repeat_count(n_rows: int) -> int:
    """How often a small table is cut anew: with few rows, which rows a fold has matters more than the model."""
    return 3 if n_rows < 1_000 else 2 if n_rows < 2_500 else 1


def make_splits(
    task: TaskSpec, y: np.ndarray, frame: pd.DataFrame | None = None, *, group: np.ndarray | None = None,
    time: np.ndarray | None = None, most_folds: int = 8, most_repeats: int = 1, side_by_side: int = 1,
) -> Splits:  # fmt: skip
    """Split rows for a task. y: (n_rows,). `group` and `time` default to the task's columns in `frame`.

    most_folds, most_repeats: what the time allows; 1 fold is a single 80/20 split. side_by_side: folds fitted at once.

    Raises DataError when a group leaves nothing to validate on.
    """
    group, time = _columns(task, frame, group, time)
    n_rows = len(y)
    share = task.holdout if n_rows >= MIN_HOLDOUT_ROWS else 0.0
    if time is not None:
        return _by_time(time, share, n_rows, most_folds, side_by_side)
    if group is not None:
        require_groups(len(np.unique(group)), task.group)
    strata = _strata(task, y)
    holdout = _one_part(strata, group, share, task.seed + 1) if share > 0 else np.empty(0, dtype=int)
    development = _without(n_rows, holdout)
    if task.kind != "regression":
        holdout, development = _keep_classes(y, holdout, development, group)
    inner_strata, inner_group = strata[development], None if group is None else group[development]
    n_folds = even_out(min(most_folds, fold_count(len(development))), side_by_side)
    if task.kind != "regression":  # else some parts would be of one class
        n_folds = min(n_folds, max(2, len(development) - np.bincount(inner_strata).max()))
    strategy = "grouped" if group is not None else "stratified" if task.kind != "regression" else "quantile-stratified"
    repeats = 1
    if n_folds == 1:
        parts = [_one_part(inner_strata, inner_group, 0.2, task.seed)]
        strategy += " single split"
    else:
        repeats = min(most_repeats, repeat_count(len(development)))
        parts = [
            part for cut in range(repeats)
            for part in _parts(inner_strata, inner_group, n_folds, task.seed + REPEAT_SEED * cut)
        ]  # fmt: skip
        strategy += f", cut {repeats} times" if repeats > 1 else ""
    if task.kind != "regression":
        parts = _train_sees_all(y[development], parts, inner_group)
    folds = [(_without(len(development), part), part) for part in parts if len(part)]
    return Splits(strategy, development, holdout, folds, repeats)


def require_groups(n_groups: int, column: str | None) -> None:
    """Raises DataError when there are too few groups to validate on unseen ones."""
    if n_groups < MIN_GROUPS:
        raise DataError(
            f"The group column {column!r} has only {n_groups} group(s); validation by group needs {MIN_GROUPS}.",
            "Leave --group out, or name a finer column.",
        )


def _columns(task: TaskSpec, frame: Any, group: Any, time: Any) -> tuple[np.ndarray | None, np.ndarray | None]:
    import pandas as pd

    from automlgpt_local.data.target import time_order

    if group is None and task.group is not None and frame is not None:
        group = pd.factorize(frame[task.group], use_na_sentinel=False)[0]
    if time is None and task.time is not None and frame is not None:
        time = time_order(frame[task.time])
    return group, time


def _strata(task: TaskSpec, y: np.ndarray) -> np.ndarray:
    """Class codes, or the decile of a number; equal values share a bin."""
    if task.kind != "regression":
        return np.asarray(y, dtype=int)
    edges = np.unique(np.quantile(y, np.linspace(0, 1, TARGET_BINS + 1)[1:-1]))
    return np.asarray(np.searchsorted(edges, y, side="right"))


def _without(n_rows: int, part: np.ndarray) -> np.ndarray:
    """The positions 0..n_rows-1 that are not in `part`."""
    kept: np.ndarray = np.ones(n_rows, dtype=bool)
    kept[part] = False
    return np.flatnonzero(kept)


def _parts(strata: np.ndarray, group: np.ndarray | None, n_parts: int, seed: int) -> list[np.ndarray]:
    """`n_parts` disjoint sets of positions that cover all rows; strata in proportion, groups never cut."""
    if group is None:
        return _dealt(strata, n_parts, seed)
    n_groups = len(np.unique(group))
    n_parts = min(n_parts, n_groups)
    if n_groups > MOST_BALANCED_GROUPS or np.bincount(strata).max() < n_parts:
        return _group_parts(group, n_parts, seed)
    from sklearn.model_selection import StratifiedGroupKFold

    with warnings.catch_warnings():
        # A stratum with fewer rows than parts: those parts go without it.
        warnings.simplefilter("ignore", UserWarning)
        grouped = StratifiedGroupKFold(n_parts, shuffle=True, random_state=seed)
        return [part for _, part in grouped.split(strata, strata, group)]


def _dealt(strata: np.ndarray, n_parts: int, seed: int) -> list[np.ndarray]:
    """Rows are shuffled, sorted by stratum, and dealt to the parts in turn, like cards."""
    shuffled = np.random.default_rng(seed).permutation(len(strata))
    by_stratum = shuffled[np.argsort(strata[shuffled].astype("int32"), kind="stable")]
    return [np.sort(by_stratum[part::n_parts]) for part in range(n_parts)]


def _group_parts(group: np.ndarray, n_parts: int, seed: int) -> list[np.ndarray]:
    """Whole groups, shuffled, each into the part with the fewest rows. With thousands of groups strata even out."""
    sizes = np.bincount(group)
    order = np.random.default_rng(seed).permutation(len(sizes))
    order = order[np.argsort(-sizes[order], kind="stable")]
    part_of: np.ndarray = np.zeros(len(sizes), dtype=int)
    filled: np.ndarray = np.zeros(n_parts)
    for g in order:
        part_of[g] = filled.argmin()
        filled[part_of[g]] += sizes[g]
    return [np.flatnonzero(part_of[group] == p) for p in range(n_parts)]


def _one_part(strata: np.ndarray, group: np.ndarray | None, share: float, seed: int) -> np.ndarray:
    """About `share` of the rows, strata in proportion, groups never cut; of rare strata as many as a part can hold."""
    parts = _parts(strata, group, max(2, round(1 / share)), seed)
    return max(parts, key=lambda part: len(np.unique(strata[part])))


def _by_time(time: np.ndarray, share: float, n_rows: int, most_folds: int, side_by_side: int) -> Splits:
    """The latest rows are locked away; a fold trains on the past of its validation rows. Equal times stay together."""
    order = np.argsort(np.where(np.isnan(time), -np.inf, time), kind="stable")
    ordered = time[order]

    def cut(at: int) -> int:
        """The first position whose time differs from the one before, from `at` on."""
        while 0 < at < n_rows and ordered[at] == ordered[at - 1]:
            at += 1
        return at

    end = cut(round(n_rows * (1 - share))) if share > 0 else n_rows
    if end >= n_rows and share > 0:
        end = n_rows
    development, holdout = order[:end], order[end:]
    n_folds = even_out(min(5, most_folds, max(1, fold_count(end))), side_by_side)
    first = 0.8 if n_folds == 1 else 0.4
    bounds = [cut(round(end * (first + (1 - first) * k / n_folds))) for k in range(n_folds)] + [end]
    folds = [(np.arange(a), np.arange(a, b)) for a, b in itertools.pairwise(bounds) if 0 < a < b]
    if not folds:
        raise DataError("The time column has too few different times to validate on the future.", "Leave --time out.")
    return Splits("time-ordered", development, holdout, folds)


def _keep_classes(
    y: np.ndarray, holdout: np.ndarray, development: np.ndarray, group: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """A class that would be in the holdout alone goes back to development."""
    counts = np.bincount(y)
    missing = np.flatnonzero((np.bincount(y[holdout], minlength=len(counts)) == counts) & (counts > 0))
    if not len(missing):
        return holdout, development
    back = np.isin(y[holdout], missing)
    if group is not None:
        back = np.isin(group[holdout], np.unique(group[holdout][back]))
    return holdout[~back], np.sort(np.concatenate([development, holdout[back]]))


def _train_sees_all(y: np.ndarray, parts: list[np.ndarray], group: np.ndarray | None) -> list[np.ndarray]:
    """Take the rows of a class out of a validation part when its training rows would have none of that class.

    Those rows are then never validated on; with groups the class stays unseen, since its group may not be cut.
    """
    if group is not None:
        return parts
    counts = np.bincount(y)
    kept = []
    for part in parts:
        lost = np.flatnonzero((np.bincount(y[part], minlength=len(counts)) == counts) & (counts > 0))
        kept.append(part[~np.isin(y[part], lost)] if len(lost) else part)
    return kept
