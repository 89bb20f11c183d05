"""Greedy ensemble selection on out-of-fold predictions (Caruana et al., 2004): which members, with which weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from automlgpt_local.search.confusion import THRESHOLD_METRICS, score_of_labels, scores_by_threshold, smoothed
from automlgpt_local.search.decision import decided_score

if TYPE_CHECKING:
    import numpy as np

    from automlgpt_local.metrics import Metric

# Rows that selection looks at: beyond these, another row changes the choice of members less than their noise does.
ROWS = {"roc_auc": 15_000, "average_precision": 8_000}
ROWS_OTHERWISE = 30_000
FEW_ROWS = 375
CELLS = 200_000  # of one member's predictions, for metrics that need all classes
MOST_CLASSES = 50  # the most frequent ones, for scores of one class against all others
SHARES = (0.1, 0.25, 0.5)  # that a newcomer is tried with


@dataclass(frozen=True)
class Blend:
    """`weights`: share of each member, by its id, summing to 1; `score`: of the blend on the rows given, by the metric.

    Selected on the same rows, the score is a little too good; the locked holdout tells the truth.
    """

    weights: dict[int, float]
    score: float


def mix(predictions: dict[int, np.ndarray], weights: dict[int, float]) -> np.ndarray:
    """The weighted mean of members' predictions."""
    import numpy as np

    total = sum(weights.values())
    blended: np.ndarray = np.sum([predictions[i] * (w / total) for i, w in weights.items()], axis=0)
    return blended


def select(
    predictions: dict[int, np.ndarray],
    y: np.ndarray,
    metric: Metric,
    weight: np.ndarray | None = None,
    max_members: int = 8,
    steps: int = 25,
) -> Blend:
    """Weights for members that were all predicted on the same rows.

    predictions: id -> (n_rows, n_classes) probabilities or (n_rows,) values. From the best member on, each step adds
    the member (again, if need be) that helps most; of equal ones a member already in; the earliest best prefix wins.
    """
    import numpy as np

    if not predictions:
        raise ValueError("no member to select from")
    ids = sorted(predictions)
    y = np.asarray(y)
    rows, row_weight = _rows(y, predictions[ids[0]], metric, weight)
    found = [predictions[i][rows] for i in ids]
    n_classes = found[0].shape[1] if found[0].ndim == 2 else 0
    losses = _losses(metric, y[rows], row_weight, n_classes)
    total, counts = np.zeros(found[0].shape), np.asarray([0] * len(ids))
    best, best_counts = np.inf, counts
    for step in range(min(steps, 1) if len(ids) == 1 else steps):
        open_to = [j for j in range(len(ids)) if counts[j] or (counts > 0).sum() < max_members]
        tried = {j: losses((total + found[j]) / (step + 1)) for j in open_to}
        least = min(tried.values())
        equal = [j for j in open_to if tried[j] <= least + 1e-12 * abs(least)]
        chosen = min(equal, key=lambda j: (counts[j] == 0, j))
        total, counts = total + found[chosen], counts + (np.arange(len(ids)) == chosen)
        if least < best - 1e-9 * abs(best if np.isfinite(best) else 1.0):
            best, best_counts = least, counts
    shares = best_counts / best_counts.sum()
    shares = _evened(shares, found, losses, max_members)
    weights = {i: float(w) for i, w in zip(ids, shares) if w > 0}
    return Blend(weights, decided_score(y, mix(predictions, weights), metric, weight))


def best_gain(
    blended: np.ndarray, newcomer: np.ndarray, y: np.ndarray, metric: Metric, weight: np.ndarray | None = None,
    shares: Sequence[float] = SHARES,
) -> float:  # fmt: skip
    """How much less the blend's error is with the newcomer in it, at its best share; a part of the error.

    Negative where the newcomer makes the blend worse at every share. Shapes as for `select`.
    """

    rows, row_weight = _rows(y, blended, metric, weight)
    blended, newcomer = blended[rows], newcomer[rows]
    n_classes = blended.shape[1] if blended.ndim == 2 else 0
    losses = _losses(metric, y[rows], row_weight, n_classes)
    before = losses(blended)
    after = min(losses((1 - share) * blended + share * newcomer) for share in shares)
    error = 1.0 + before if before < 0 else before  # a negated score falls short of one by its error
    return (before - after) / max(error, 1e-12)


def _evened(shares: Any, found: list[Any], losses: Callable[[Any], float], max_members: int) -> Any:
    """On few rows greedy weights follow noise: part of the weight goes evenly to the best members.

    The part is FEW_ROWS / (FEW_ROWS + rows). It is kept while the blend stays better than each of its members.
    """
    import numpy as np

    n_rows = len(found[0])
    if n_rows > 8 * FEW_ROWS or (shares > 0).sum() < 2:
        return shares
    alone = np.array([losses(p) for p in found])
    members = [*np.flatnonzero(shares), *(j for j in np.argsort(alone, kind="stable") if not shares[j])][:max_members]
    even = np.zeros(len(shares))
    even[members] = 1 / len(members)
    part = FEW_ROWS / (FEW_ROWS + n_rows)
    mixed = (1 - part) * shares + part * even
    return mixed if losses(sum(w * p for w, p in zip(mixed, found))) < alone.min() else shares


def _rows(y: np.ndarray, prediction: np.ndarray, metric: Metric, weight: np.ndarray | None) -> tuple[Any, Any]:
    """(rows that selection looks at, their weights or None): all that weigh something, or an even part of them.

    Of two classes the rarer one is kept whole as far as it fits, and the rows of the other one weigh more for it.
    """
    import numpy as np

    limit = ROWS.get(metric.name, ROWS_OTHERWISE)
    if prediction.ndim == 2:
        limit = max(2_000, min(limit, CELLS // prediction.shape[1] // (4 if metric.name in ROWS else 1)))
    weight = None if weight is None else np.asarray(weight, dtype=float)
    if len(y) <= limit:
        return slice(None), weight
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(y) if weight is None else np.flatnonzero(weight))
    if metric.name not in (*ROWS, *THRESHOLD_METRICS) or prediction.shape[1] != 2 or len(np.unique(y[rows])) != 2:
        rows = np.sort(rows[:limit])
        return rows, None if weight is None else weight[rows]
    parts = [rows[y[rows] == k] for k in (0, 1)]
    few = min(min(map(len, parts)), limit // 2)
    takes = [min(len(part), limit - few if len(part) > limit // 2 else len(part)) for part in parts]
    rows = np.sort(np.concatenate([part[:take] for part, take in zip(parts, takes)]))
    if metric.name == "roc_auc":  # which does not change when a class is thinned out
        return rows, None if weight is None else weight[rows]
    thinned = np.array([len(part) / take for part, take in zip(parts, takes)])[y[rows]]
    return rows, thinned if weight is None else thinned * weight[rows]


def _losses(metric: Metric, y: Any, weight: Any, n_classes: int) -> Callable[[Any], float]:
    """A loss that says what the metric says, faster where it is worth it, and smoother where the metric is coarse."""
    import numpy as np

    rows = np.arange(len(y))
    classes = [1] if n_classes == 2 else np.argsort(-np.bincount(y, weight))[:MOST_CLASSES] if n_classes else []
    classes = [k for k in classes if 0 < np.average(y == k, weights=weight) < 1]

    def log_loss(p: Any) -> float:
        return float(np.average(-np.log(np.clip(p[rows, y], 1e-12, None)), weights=weight))

    def ranked(p: Any) -> float:
        """The mean over classes of the score of one against all others."""
        if weight is None and metric.name == "roc_auc":
            return -float(np.mean([_auc(y == k, p[:, k]) for k in classes]))
        return -float(np.mean([_of_ranks(metric.name, y == k, p[:, k], weight) for k in classes]))

    def generic(p: Any) -> float:
        loss = metric.loss(metric.score(y, p, weight))
        return loss + 1e-3 * log_loss(p) if metric.from_labels else loss

    def thresholded(p: Any) -> float:
        """The threshold is tuned after the blend, so what counts is the best plateau over thresholds."""
        scores = scores_by_threshold(metric.name, y, p[:, 1], weight)[1]
        return metric.loss(float(smoothed(scores).max())) + 1e-3 * log_loss(p)

    def labelled(p: Any) -> float:
        score = score_of_labels(metric.name, y, p.argmax(axis=1), p.shape[1], weight)
        return metric.loss(score) + 1e-3 * log_loss(p)

    def ordered(p: Any) -> float:
        """For kappa, whose cut points are tuned after the blend: how far the expected class is from the true one."""
        return float(np.average((p @ np.arange(p.shape[1]) - y) ** 2, weights=weight))

    if metric.name == "log_loss":
        return log_loss
    if metric.name in ("roc_auc", "average_precision") and classes:
        return ranked
    if metric.name in THRESHOLD_METRICS:
        return thresholded if n_classes == 2 else labelled

    if metric.name == "qwk":
        return ordered
    if metric.name in ("rmse", "r2"):
        return lambda p: float(np.average((p - y) ** 2, weights=weight))
    return generic


def _auc(positive: Any, p: Any) -> float:
    """Area under the ROC curve by one plain sort: the label rides in the lowest bit under the bits of `p` (>= 0)."""
    import numpy as np

    bits: Any = np.ascontiguousarray(p, dtype=np.float32).view(np.uint32).astype(np.int64)
    keys = np.sort(2 * bits + positive)
    values = keys >> 1
    ends: Any = np.append(np.flatnonzero(values[1:] != values[:-1]) + 1, len(keys))
    up_to: Any = (keys & 1).cumsum()[ends - 1]
    n = int(up_to[-1])
    starts: Any = np.append(0, ends[:-1])
    ranks = float((np.diff(up_to, prepend=0) * (starts + ends + 1) / 2).sum())  # equal values share their mean rank
    return (ranks - n * (n + 1) / 2) / max(1, n * (len(keys) - n))


def _of_ranks(name: str, positive: Any, p: Any, weight: Any) -> float:
    """roc_auc or average_precision of one class, by one sort."""
    import numpy as np

    order = np.argsort(-p, kind="stable")
    values, positive = p[order], positive[order]
    weight = np.ones(len(order)) if weight is None else weight[order]
    ends: Any = np.append(np.flatnonzero(values[1:] != values[:-1]), len(order) - 1)  # of rows of one value
    hits, alarms = (weight * positive).cumsum()[ends], (weight * ~positive).cumsum()[ends]
    if name == "roc_auc":
        return float(np.trapezoid(np.append(0, hits), np.append(0, alarms)) / (hits[-1] * alarms[-1]))
    return float((np.diff(hits, prepend=0) * hits / np.maximum(hits + alarms, 1e-300)).sum() / hits[-1])
