"""Which columns say more by their exact values, or two together, than where they lie says: cheap screens, by cells."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from automlgpt_local.data.association import bins, halves, means_of_other_half, targets_of

FEW_LEVELS = 64  # a number of at most so many values is a cell each; one of more is cut into N_INTERVALS
MOST_LEVELS = 300  # of a category
MOST_CELLS = 5_000
N_INTERVALS = 24
SCREENED_COLUMNS = 14
LIKELY_PAIRS = 12  # those that are looked at again beside the pairs that were found
LEAST_ROWS = 200
ROWS_A_LEVEL = 4  # at least, where a number or a day is a level of its own
FINE_INTERVALS = 64
LEVEL_ERRORS = 1.5  # standard errors, for a column alone: a probe asks about all that were found together
LEAST_ERRORS = 4.0  # standard errors by which a pair must beat the columns added up


@dataclass(frozen=True)
class Pair:
    """Two columns. `edges`: per column the bounds of a number's intervals, () where each value is a cell.

    `gain`: the share of the target's variance that the pair explains beyond the telling columns added up; on rows that
    took no part in the means.
    """

    columns: tuple[str, str]
    edges: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    gain: float = 0.0


def find_pairs(
    features: pd.DataFrame, names: Sequence[str], y: np.ndarray, n_classes: int, most: int, seed: int = 0
) -> list[Pair]:
    """At most `most` pairs among the columns `names`, strongest first, each beside those before it; none by chance.

    features: (n_rows, n_columns). y: (n_rows,) class codes, or floats where n_classes is 0.
    """
    goal = _centred(y, n_classes)
    if goal is None:
        return []
    half = halves(len(goal), seed)
    codes, edges = _codes(features, names)
    alone = {name: means_of_other_half(code, goal, half) for name, code in codes.items()}
    left = {name: float(((goal - means) ** 2).sum()) for name, means in alone.items()}
    telling = sorted(codes, key=lambda name: left[name])[:SCREENED_COLUMNS]
    encodings = {
        (a, b): means_of_other_half(codes[a] * (int(codes[b].max()) + 1) + codes[b], goal, half)
        for a, b in combinations(telling, 2)
        if (int(codes[a].max()) + 1) * (int(codes[b].max()) + 1) <= MOST_CELLS
    }
    added = [alone[name] for name in telling]
    found: list[Pair] = []
    while encodings and len(found) < most:
        sums = _sums(goal, added)
        gains = {pair: _gain(sums, encoding) for pair, encoding in encodings.items()}
        likely = [pair for pair, (_, errors) in gains.items() if errors > LEAST_ERRORS]
        if not likely:
            break
        best, *others = sorted(likely, key=lambda pair: -gains[pair][0])
        found.append(Pair(best, (edges[best[0]], edges[best[1]]), gains[best][0] / float((goal**2).sum())))
        added.append(encodings[best])
        encodings = {pair: encodings[pair] for pair in others[:LIKELY_PAIRS]}
    return found


def find_levels(numbers: pd.DataFrame, y: np.ndarray, n_classes: int, seed: int = 0) -> list[str]:
    """Columns of numbers each of whose values has an effect of its own, as of a day or a shop; strongest first.

    numbers: (n_rows, n_columns) floats. y: (n_rows,) class codes, or floats where n_classes is 0. What a value's rows
    say is held against what FINE_INTERVALS intervals of the same column say, on rows that took no part in the means.
    """
    goal = _centred(y, n_classes)
    if goal is None:
        return []
    half = halves(len(goal), seed)
    found = {}
    for name in numbers:
        values = numbers[name].to_numpy(dtype="float64")
        level = pd.factorize(values, use_na_sentinel=False)[0]
        if not FEW_LEVELS < level.max() < len(goal) / ROWS_A_LEVEL:
            continue
        place = means_of_other_half(bins(values, FINE_INTERVALS), goal, half)
        gain, errors = _gain(_sums(goal, [place]), means_of_other_half(level, goal, half))
        if errors > LEVEL_ERRORS:
            found[name] = gain
    return sorted(found, key=lambda name: -found[name])


def _centred(y: np.ndarray, n_classes: int) -> np.ndarray | None:
    """The targets less their means, (n_rows, n_targets); None where there are too few rows, or nothing varies."""
    goal = targets_of(np.asarray(y), n_classes)
    goal = goal - goal.mean(axis=0)
    return goal if len(goal) >= LEAST_ROWS and (goal**2).sum() > 0 else None


class _Sum:
    """The least-squares fit of a target by the columns of `parts`, (n_rows, n_parts), and what it leaves."""

    def __init__(self, target: np.ndarray, parts: np.ndarray) -> None:
        self.parts = parts
        self.inverse = np.linalg.pinv(parts.T @ parts)
        self.left = self.without(target)

    def without(self, column: np.ndarray) -> np.ndarray:
        """`column` less what the parts say of it."""
        rest: np.ndarray = column - self.parts @ (self.inverse @ (self.parts.T @ column))
        return rest


def _sums(goal: np.ndarray, encodings: Sequence[np.ndarray]) -> list[_Sum]:
    """One fit per target, of its columns in all `encodings`, each (n_rows, n_targets)."""
    return [_Sum(goal[:, k], np.column_stack([e[:, k] for e in encodings])) for k in range(goal.shape[1])]


def _gain(sums: Sequence[_Sum], encoding: np.ndarray) -> tuple[float, float]:
    """(fall of the squared error when `encoding` joins the sums, one column each; the same in standard errors)."""
    fall = np.zeros(len(encoding))
    for k, fit in enumerate(sums):
        news = fit.without(encoding[:, k])
        weight = (fit.left @ news) / (news @ news + 1e-300)
        fall += fit.left**2 - (fit.left - weight * news) ** 2
    return float(fall.sum()), float(fall.mean() / (fall.std() / np.sqrt(len(fall)) + 1e-300))


def _codes(features: pd.DataFrame, names: Sequence[str]) -> tuple[dict[str, np.ndarray], dict[str, tuple[float, ...]]]:
    """Codes from 0 per column, (n_rows,), and bounds of numbers that were cut. Columns of one level are left out."""
    codes: dict[str, np.ndarray] = {}
    edges: dict[str, tuple[float, ...]] = {}
    for name in names:
        column = features[name]
        edges[name] = ()
        if pd.api.types.is_numeric_dtype(column) and column.nunique() > FEW_LEVELS:
            values = column.to_numpy(dtype="float64")
            edges[name] = _intervals(values)
            code = np.where(np.isnan(values), 0, 1 + np.searchsorted(edges[name], values, side="right"))
        else:
            code = pd.factorize(column, use_na_sentinel=False)[0]
        if 0 < code.max() < MOST_LEVELS:
            codes[name] = code
    return codes, edges


def _intervals(values: np.ndarray) -> tuple[float, ...]:
    """Bounds between N_INTERVALS intervals of about as many rows each, to five significant digits."""
    shares = np.linspace(0, 1, N_INTERVALS + 1)[1:-1]
    return tuple(sorted({float(f"{bound:.5g}") for bound in np.nanquantile(values, shares)}))
