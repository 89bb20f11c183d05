"""Scores of decided labels, fast enough to be computed thousands of times."""

from __future__ import annotations

from typing import Any

THRESHOLD_METRICS = ("accuracy", "balanced_accuracy", "f1", "f1_macro", "mcc")


def scores_by_threshold(name: str, y: Any, p: Any, weight: Any = None, cuts: int = 200) -> tuple[Any, Any]:
    """(thresholds, scores): row is positive when p >= threshold. y: 0 or 1; p: (n_rows,) probabilities.

    Scores are scikit-learn's for `name`, one of THRESHOLD_METRICS. Thresholds are even in the arcsine of the root, so
    that they lie close together where a class is rare.
    """
    import numpy as np

    place = np.arcsin(np.sqrt(np.clip(p, 0, 1))) * (2 / np.pi)
    bins = np.minimum((place * cuts).astype(np.int64), cuts - 1)
    weight = np.ones(len(y)) if weight is None else weight
    positive = np.bincount(bins, weight * (y == 1), minlength=cuts)
    everything = np.bincount(bins, weight, minlength=cuts)
    tp = positive[::-1].cumsum()[::-1]
    predicted = everything[::-1].cumsum()[::-1]
    fp, fn = predicted - tp, positive.sum() - tp
    tn = everything.sum() - tp - fp - fn

    def ratio(above: Any, below: Any) -> Any:
        return np.divide(above, below, out=np.zeros_like(above, dtype=float), where=below > 0)

    if name == "accuracy":
        found = (tp + tn) / everything.sum()
    elif name == "balanced_accuracy":
        found = (ratio(tp, tp + fn) + ratio(tn, tn + fp)) / 2
    elif name == "f1":
        found = ratio(2 * tp, 2 * tp + fp + fn)
    elif name == "f1_macro":
        found = (ratio(2 * tp, 2 * tp + fp + fn) + ratio(2 * tn, 2 * tn + fp + fn)) / 2
    else:
        found = ratio(tp * tn - fp * fn, np.sqrt((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)))
    return np.sin(np.arange(cuts) * (np.pi / (2 * cuts))) ** 2, found


def smoothed(scores: Any, width: int = 5) -> Any:
    """A moving mean: the threshold in the middle of a plateau holds on new rows better than a lone peak."""
    import numpy as np

    return np.convolve(np.pad(scores, width // 2, mode="edge"), np.ones(width) / width, "valid")


def score_of_labels(name: str, y: Any, labels: Any, n_classes: int, weight: Any = None) -> float:
    """scikit-learn's score for `name`, one of THRESHOLD_METRICS (F1 as macro mean). y, labels: (n_rows,) codes."""
    import numpy as np

    pairs = np.bincount(y * n_classes + labels, weight, minlength=n_classes * n_classes)
    matrix = pairs.reshape(n_classes, n_classes).astype(float)
    hits, actual, predicted = np.diag(matrix), matrix.sum(axis=1), matrix.sum(axis=0)
    total = matrix.sum()
    if name == "accuracy":
        return float(hits.sum() / total)
    if name == "balanced_accuracy":
        return float((hits[actual > 0] / actual[actual > 0]).mean())
    if name == "mcc":
        spread = (total**2 - (predicted**2).sum()) * (total**2 - (actual**2).sum())
        return float((hits.sum() * total - predicted @ actual) / np.sqrt(spread)) if spread > 0 else 0.0
    seen = actual + predicted > 0
    return float((2 * hits[seen] / (actual + predicted)[seen]).mean())
