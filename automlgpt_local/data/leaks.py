"""Columns that know the target: copies of it, consequences of it, or its traces in what is missing."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

MIN_ROWS = 50
WORTH_A_LOOK = 0.6
MOST_LOOKED_AT = 20
MOST_ADDED = 40
NEAR_PERFECT = 0.98
SAME_ORDER = 0.9995
FAR_AHEAD = (0.93, 0.5)


def find_leaks(
    columns: Mapping[str, np.ndarray],
    association: Mapping[str, float],
    y: np.ndarray,
    n_classes: int,
    missing: Mapping[str, np.ndarray] | None = None,
    amounts: Collection[str] = (),
) -> dict[str, str]:
    """Suspects: name -> reason. columns: (n_rows,) numbers (codes for categories), NaN missing; y: codes or floats.
    missing: name -> (n_rows,) bool for columns with gaps. amounts: the columns that can be added up.

    A column is suspect when it copies the target or its order, when a small tree or a line on it alone, tried on the
    other half of the rows, is near perfect (R2 or balanced accuracy of 0.98), or when it is very strong and every
    other column is far behind. Strong but honest columns exist: a suspect is a question to the user, not a verdict.
    """
    if len(y) < MIN_ROWS:
        return {}
    suspects: dict[str, str] = {}
    ranked = sorted(association, key=lambda name: -association[name])
    for name in [n for n in ranked if association[n] >= WORTH_A_LOOK][:MOST_LOOKED_AT]:
        values = columns[name]
        if n_classes == 0 and np.array_equal(values, y):
            suspects[name] = "it is a copy of the target"
            continue
        if n_classes == 0 and association[name] >= SAME_ORDER:
            suspects[name] = "it orders the rows exactly as the target does"
            continue
        skill = _alone(values, y, n_classes)
        if skill >= NEAR_PERFECT:
            measure = "explains" if n_classes == 0 else "tells"
            what = "of the target's variance" if n_classes == 0 else "of the classes (balanced accuracy)"
            suspects[name] = f"alone it {measure} {skill:.1%} {what}"
    for name, absent in (missing or {}).items():
        if name not in suspects and _missing_tells(absent, y, n_classes):
            suspects[name] = "whether it is filled in tells the target"
    if len(ranked) > 2 and ranked[0] not in suspects:
        first, second = association[ranked[0]], association[ranked[1]]
        if first >= FAR_AHEAD[0] and second <= FAR_AHEAD[1] * first:
            suspects[ranked[0]] = f"it goes with the target far more ({first:.2f}) than any other column ({second:.2f})"
    if n_classes == 0 and not suspects:
        addends = [name for name in ranked if name in amounts][:MOST_ADDED]
        suspects |= _sum({name: columns[name] for name in addends}, y)
    return suspects


def _sum(columns: Mapping[str, np.ndarray], y: np.ndarray) -> dict[str, str]:
    """A total of which the target is a part: up to four columns, in a line, that explain nearly all of its variance.

    Chosen one after the other on one half of the rows, judged on the other. The first is the suspect.
    """
    names = [name for name, values in columns.items() if np.isfinite(values).all() and values.std() > 0]
    half = np.random.default_rng(0).permutation(len(y)) % 2 == 0
    chosen: list[str] = []
    while len(chosen) < min(4, len(names)):
        best, r2 = "", -np.inf
        for name in [n for n in names if n not in chosen]:
            x = np.column_stack([*(columns[n] / columns[n].std() for n in (*chosen, name)), np.ones(len(y))])
            weights = np.linalg.lstsq(x[half], y[half], rcond=None)[0]
            score = 1 - float(np.var(y[~half] - x[~half] @ weights)) / max(float(np.var(y[~half])), 1e-300)
            if score > r2:
                best, r2 = name, score
        chosen.append(best)
        if r2 >= NEAR_PERFECT:
            others = " and ".join(map(repr, chosen[1:])) or "a constant"
            return {chosen[0]: f"with {others} it adds up to the target (R2 {r2:.3f})"}
    return {}


def _alone(values: np.ndarray, y: np.ndarray, n_classes: int) -> float:
    """R2 or balanced accuracy of a small tree on one column, fitted on one half of the rows, tried on the other."""
    from sklearn.metrics import balanced_accuracy_score, r2_score
    from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

    half = np.random.default_rng(0).permutation(len(y)) % 2 == 0
    x = np.nan_to_num(values, nan=-1e30)[:, None]
    if n_classes == 0:
        tree = DecisionTreeRegressor(max_leaf_nodes=200, min_samples_leaf=3, random_state=0).fit(x[half], y[half])
        line = np.polyfit(*_without_nan(values[half], y[half]), deg=1)
        guesses = (tree.predict(x[~half]), np.nan_to_num(np.polyval(line, values[~half])))
        return max(float(r2_score(y[~half], guess)) for guess in guesses)
    tree = DecisionTreeClassifier(max_leaf_nodes=200, min_samples_leaf=3, class_weight="balanced", random_state=0)
    guessed = tree.fit(x[half], y[half]).predict(x[~half])
    known = np.isin(y[~half], y[half])
    if len(np.unique(y[~half][known])) < 2:
        return 0.0
    return float(balanced_accuracy_score(y[~half][known], guessed[known]))


def _without_nan(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    present = np.isfinite(x)
    return x[present], y[present]


def _missing_tells(absent: np.ndarray, y: np.ndarray, n_classes: int) -> bool:
    share = float(absent.mean())
    if n_classes != 2 or not 0.01 <= share <= 0.99:
        return False
    if min(int((y == 1).sum()), int((y == 0).sum())) < 10:
        return False
    present = ~absent
    rates = [float(present[y == k].mean()) for k in (0, 1)]
    return abs(rates[0] - rates[1]) >= 0.96
