"""Generated tables whose truth is known: which column matters how, and which feature would help.

A table is put together from components. Each makes columns, adds its effect to a hidden score, and says which
treatment and which ideas are right for them. The target is made of the score and noise. Seeded: the same
(family, seed) is the same table. Names come from invented domains, so that names carry the hints they carry in life.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from finetune.components import (
    Maker,
    category,
    cents,
    code,
    constant,
    count,
    date,
    flag,
    identity,
    interaction,
    linear_tail,
    many_levels,
    noise,
    number,
    ordinal,
    pair,
    parsed,
    share,
    skewed,
    words,
    year,
)  # fmt: skip

FAMILIES = (
    "plain", "skewed", "levels", "codes", "pairs", "dated", "wordy", "parsed", "noisy", "holes", "wide", "mixed",
)  # fmt: skip
HELD_OUT = ("codes", "holes", "mixed")  # families that no model is trained on
METRICS = {
    "binary": ("roc_auc", "log_loss", "accuracy", "f1", "average_precision"),
    "multiclass": ("log_loss", "accuracy", "balanced_accuracy", "f1_macro"),
    "regression": ("rmse", "mae", "r2", "rmsle"),
}


@dataclass
class Table:
    """frame: (n_rows, n_columns) with the target. treatments: column -> what its maker knows to be right."""

    name: str
    family: str
    frame: pd.DataFrame
    target: str
    kind: str
    metric: str
    treatments: dict[str, str] = field(default_factory=dict)
    ideas: set[str] = field(default_factory=set)  # FeatureIdea keys that hold signal, in either order of columns

    @property
    def held_out(self) -> bool:
        return self.family in HELD_OUT


_COMMON: dict[Callable[[Maker], None], float] = {
    number: 3, ordinal: 1, category: 2, skewed: 1, noise: 1.5, identity: 0.4, constant: 0.1, linear_tail: 0.5,
    flag: 0.7, year: 0.3, count: 0.6, share: 0.6,
}  # fmt: skip
_MORE: dict[str, dict[Callable[[Maker], None], float]] = {
    "plain": {number: 3},
    "skewed": {skewed: 5, linear_tail: 2, cents: 0.5},
    "levels": {many_levels: 3, category: 4},
    "codes": {code: 3, many_levels: 1, ordinal: 2},
    "pairs": {pair: 4, interaction: 2},
    "dated": {date: 3, number: 1},
    "wordy": {words: 3, many_levels: 0.5},
    "parsed": {parsed: 4},
    "noisy": {noise: 8},
    "holes": {number: 2, skewed: 1, category: 1},
    "wide": {noise: 10, number: 6},
    "mixed": {code: 1, date: 1, words: 1, parsed: 1, pair: 2, many_levels: 1, interaction: 0.5, cents: 0.3},
}
_SPICE: dict[Callable[[Maker], None], float] = {
    code: 0.6,
    date: 0.3,
    words: 0.2,
    parsed: 0.3,
    pair: 0.6,
    many_levels: 0.4,
}


def generate(family: str, seed: int, n_rows: int | None = None) -> Table:
    """The table number `seed` of a family, 300 to 1,500 rows unless told."""
    rng = np.random.default_rng([FAMILIES.index(family), seed])
    n = int(n_rows or rng.integers(300, 1500))
    m = Maker(rng, n)
    weights = dict(_COMMON)
    for extra in (_MORE[family], _SPICE if rng.random() < 0.5 else {}):
        for component, weight in extra.items():
            weights[component] = weights.get(component, 0.0) + weight
    components = list(weights)
    chances = np.array([weights[c] for c in components])
    size = int(rng.integers(30, 90) if family == "wide" else rng.integers(3, 24))
    for i in np.asarray(rng.choice(len(components), size=(size,), p=chances / chances.sum())):
        components[i](m)
    holes = rng.uniform(0.05, 0.3) if family == "holes" or rng.random() < 0.25 else 0.0
    frame = pd.DataFrame(m.columns)
    if holes:
        frame = _with_holes(m, frame, holes)
    kind = str(rng.choice(["binary", "binary", "regression", "multiclass"]))
    if rng.random() < 0.65:
        _thicket(m)
    frame = frame[list(rng.permutation(frame.columns))]
    target = next(t for t in ("target", "label", "outcome", "outcome_") if t not in frame)
    frame[target] = _target(m, kind)
    metric = str(rng.choice(METRICS[kind]))
    if metric == "rmsle" and frame[target].min() < 0:
        metric = "rmse"
    name = f"{family}-{seed}" if n_rows is None else f"{family}-{seed}-{n_rows}"
    return Table(name, family, frame, target, kind, metric, m.treatments, m.ideas)


def _thicket(m: Maker) -> None:
    """Adds what real tables are full of: thresholds and interactions, as a sum of random trees over the columns."""
    codes = []
    for values in m.columns.values():
        code = pd.factorize(values, sort=True)[0].astype(float)
        codes.append(pd.Series(code).rank(pct=True).to_numpy())
    matrix = np.column_stack(codes)
    matter = m.rng.choice(matrix.shape[1], min(matrix.shape[1], int(m.rng.integers(3, 9))), replace=False)
    total = np.zeros(m.n)
    for _ in range(int(m.rng.integers(5, 40))):
        leaf: np.ndarray = np.zeros(m.n, dtype=int)
        for _ in range(int(m.rng.integers(2, 5))):
            column = matrix[:, m.rng.choice(matter)]
            leaf = leaf * 2 + (column > m.rng.uniform(0.15, 0.85))
        total += m.rng.normal(size=leaf.max() + 1)[leaf]
    m.effect(total, float(m.rng.uniform(0.6, 2.5)) * max(1.0, float(m.score.std())))


def _with_holes(m: Maker, frame: pd.DataFrame, share: float) -> pd.DataFrame:
    """Missing at random; sometimes how much of a row is missing matters."""
    frame = frame.copy()
    where = m.rng.random(frame.shape) < share * m.rng.uniform(0, 2, frame.shape[1])
    if m.rng.random() < 0.4:
        shy = m.rng.random(m.n) < 0.3
        where |= shy[:, None] & (m.rng.random(frame.shape) < 0.4)
        m.effect(where.sum(axis=1).astype(float), 0.9)
        m.ideas.add("missing")
    return frame.mask(where)


def _target(m: Maker, kind: str) -> np.ndarray:
    spread = m.score.std() or 1.0
    noisy = m.score / spread + m.rng.normal(size=m.n) * m.rng.uniform(0.2, 1.2)
    if kind == "regression":
        style = m.rng.integers(3)
        if style == 0:
            return np.asarray(np.round(np.exp(noisy * 0.8 + 3), 2))
        return np.asarray(np.round(noisy * 10 + (60 if style == 1 else 0), 3)).clip(0 if style == 1 else None)
    if kind == "binary":
        share = m.rng.choice([0.5, 0.3, 0.1])
        return np.where(noisy > np.quantile(noisy, 1 - share), "yes", "no").astype(object)
    classes = int(m.rng.integers(3, 6))
    cuts = np.quantile(noisy, np.sort(m.rng.uniform(0.1, 0.9, classes - 1)))
    return np.array([f"k{i}" for i in (noisy[:, None] > cuts).sum(axis=1).tolist()], dtype=object)
