"""How strongly one column goes with the target: cheap univariate scores from 0 (not at all) to 1 (determines it)."""

from __future__ import annotations

import numpy as np
from scipy.stats import rankdata

MOST_CLASSES = 10


def targets_of(y: np.ndarray, n_classes: int) -> np.ndarray:
    """What columns are compared with. Returns (n_rows, n_targets): ranks for regression, else 0/1 per class."""
    if n_classes == 0:
        return rankdata(y)[:, None]
    if n_classes == 2:
        return (y == 1).astype("float64")[:, None]
    frequent = np.argsort(-np.bincount(y, minlength=n_classes), kind="stable")[:MOST_CLASSES]
    return (y[:, None] == frequent[None, :]).astype("float64")


def of_numbers(columns: np.ndarray, y: np.ndarray, n_classes: int) -> np.ndarray:
    """|Spearman| for regression, |2 AUC - 1| for two classes, its mean over one-against-rest for more.

    columns: (n_rows, n_columns) with NaN missing; a missing value counts as the median. Returns (n_columns,).
    """
    if columns.shape[1] == 0:
        return np.zeros(0)
    absent = np.isnan(columns)
    filled = np.where(absent, np.where(absent.all(axis=0), 0.0, _medians(columns)), columns)
    ranks = rankdata(filled, axis=0)
    ranks -= ranks.mean(axis=0)
    goal = targets_of(y, n_classes)
    if n_classes == 0:
        centred = goal - goal.mean(axis=0)
        scale = np.sqrt((ranks**2).sum(axis=0) * (centred**2).sum())
        return np.clip(np.abs((ranks * centred).sum(axis=0)) / np.where(scale > 0, scale, np.inf), 0, 1)
    positives = goal.sum(axis=0)
    negatives = len(y) - positives
    # The mean rank of the positives against that of all rows is the area under the curve.
    lifted = ranks.T @ goal
    scale = positives * negatives / 2
    each = np.abs(lifted) / np.where(scale > 0, scale, np.inf)
    return np.clip(each.mean(axis=1), 0, 1)


def _medians(columns: np.ndarray) -> np.ndarray:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        medians: np.ndarray = np.nan_to_num(np.nanmedian(columns, axis=0))
    return medians


def of_codes(codes: np.ndarray, y: np.ndarray, n_classes: int, seed: int = 0) -> float:
    """The same for a category: each half of the rows is encoded by the target's means in the other half.

    codes: (n_rows,) from 0, missing being a code of its own. An id, whose values do not come again, scores 0.
    """
    goal = targets_of(y, n_classes)
    encoded = means_of_other_half(codes, goal, halves(len(y), seed))
    scores = [_signed(encoded[:, k], goal[:, k], n_classes) for k in range(goal.shape[1])]
    return float(np.clip(np.mean(scores), 0, 1))


def halves(n_rows: int, seed: int) -> np.ndarray:
    """0 or 1 per row, (n_rows,), at random and as many of each."""
    half: np.ndarray = np.random.default_rng(seed).permutation(n_rows) % 2
    return half


def means_of_other_half(codes: np.ndarray, goal: np.ndarray, half: np.ndarray) -> np.ndarray:
    """Each row's code as the targets' means over the rows of that code in the other half, less their overall mean.

    codes: (n_rows,) from 0. goal: (n_rows, n_targets). Returns (n_rows, n_targets).
    """
    encoded = np.empty_like(goal)
    n_codes = int(codes.max()) + 1 if len(codes) else 0
    for part in (0, 1):
        there, here = half != part, half == part
        prior = goal[there].mean(axis=0)
        counts = np.bincount(codes[there], minlength=n_codes)
        for k in range(goal.shape[1]):
            sums = np.bincount(codes[there], weights=goal[there, k], minlength=n_codes)
            encoded[here, k] = ((sums + prior[k]) / (counts + 1))[codes[here]] - prior[k]
    return encoded


def bins(values: np.ndarray, n_bins: int = 16) -> np.ndarray:
    """Numbers as codes by quantile, missing as code 0: for associations that neither rise nor fall."""
    present = ~np.isnan(values)
    codes: np.ndarray = np.zeros(len(values), dtype="int64")
    if present.any():
        edges = np.unique(np.quantile(values[present], np.linspace(0, 1, n_bins + 1)[1:-1]))
        codes[present] = 1 + np.searchsorted(edges, values[present], side="right")
    return codes


def _signed(encoded: np.ndarray, goal: np.ndarray, n_classes: int) -> float:
    """Association in the right direction only: an encoding that fails on the other half counts nothing."""
    ranks = rankdata(encoded)
    ranks -= ranks.mean()
    if n_classes == 0:
        centred = goal - goal.mean()
        scale = float(np.sqrt((ranks**2).sum() * (centred**2).sum()))
        return max(0.0, float(ranks @ centred) / scale) if scale else 0.0
    positives = float(goal.sum())
    scale = positives * (len(goal) - positives) / 2
    return max(0.0, float(ranks @ goal) / scale) if scale else 0.0
