"""Which two columns say together what neither says alone: a cheap screen of pairs, by cells of their values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from automlgpt_local.data.association import halves, means_of_other_half, targets_of

FEW_LEVELS = 64  # a number of at most so many values is a cell each; one of more is cut into N_INTERVALS
MOST_LEVELS = 300  # of a category
MOST_CELLS = 5_000
N_INTERVALS = 24
SCREENED_COLUMNS = 14
SCREENED_ROWS = 20_000
LEAST_ERRORS = 4.0  # standard errors by which a pair must beat its two columns added up


@dataclass(frozen=True)
class Pair:
    """Two columns. `edges`: per column the bounds of a number's intervals, () where each value is a cell.

    `gain`: the share of the target's variance that the pair explains beyond its columns added up; on rows that took
    no part in the means. `errors`: the same in standard errors.
    """

    columns: tuple[str, str]
    edges: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())
    gain: float = 0.0
    errors: float = 0.0


def find_pairs(
    features: pd.DataFrame, names: Sequence[str], y: np.ndarray, n_classes: int, most: int, seed: int = 0
) -> list[Pair]:
    """At most `most` pairs among the columns `names`, strongest first; those that are there by chance are left out.

    features: (n_rows, n_columns). y: (n_rows,) class codes, or floats where n_classes is 0.
    """
    rows = np.random.default_rng(seed).permutation(len(y))[:SCREENED_ROWS]
    goal = targets_of(np.asarray(y)[rows], n_classes)
    goal = goal - goal.mean(axis=0)
    total = float((goal**2).sum())
    if len(rows) < 200 or total <= 0:
        return []
    half = halves(len(rows), seed)
    codes, edges = _codes(features.iloc[rows], names)
    alone = {name: means_of_other_half(code, goal, half) for name, code in codes.items()}
    left = {name: float(((goal - means) ** 2).sum()) for name, means in alone.items()}
    telling = sorted(codes, key=lambda name: left[name])[:SCREENED_COLUMNS]
    found = []
    for a, b in combinations(telling, 2):
        n_cells = (int(codes[a].max()) + 1) * (int(codes[b].max()) + 1)
        if n_cells > MOST_CELLS:
            continue
        together = means_of_other_half(codes[a] * (int(codes[b].max()) + 1) + codes[b], goal, half)
        fall = _squares(goal, [alone[a], alone[b]]) - _squares(goal, [alone[a], alone[b], together])
        errors = fall.mean() / (fall.std() / np.sqrt(len(fall)) + 1e-300)
        if errors > LEAST_ERRORS:
            found.append(Pair((a, b), (edges[a], edges[b]), float(fall.sum()) / total, float(errors)))
    return sorted(found, key=lambda pair: -pair.gain)[:most]


def _squares(goal: np.ndarray, encodings: Sequence[np.ndarray]) -> np.ndarray:
    """Squared errors per row, (n_rows,), of the least-squares fit of each target by its own encodings."""
    squares = np.zeros(len(goal))
    for k in range(goal.shape[1]):
        columns = np.column_stack([encoding[:, k] for encoding in encodings])
        weights = np.linalg.lstsq(columns.T @ columns, columns.T @ goal[:, k], rcond=None)[0]
        squares += (goal[:, k] - columns @ weights) ** 2
    return squares


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
