"""From blended probabilities to the decision that a metric rewards: multipliers, cut points, a temperature.

A decision is JSON: {} (none), {"multipliers": [...]} (a binary threshold t is [t, 1 - t]), {"cuts": [...]} for
ordered classes, or {"temperature": t}. It is kept only when it gains on rows that it was not chosen on.

`decided_score` ranks attempts by what they will be worth with one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from automlgpt_local.decision import adjust
from automlgpt_local.search.confusion import THRESHOLD_METRICS, score_of_labels, scores_by_threshold, smoothed

if TYPE_CHECKING:
    import numpy as np

    from automlgpt_local.metrics import Metric

# Precision and recall alone are best served by predicting next to nothing, or everything: no decision for them.
TUNED = (*THRESHOLD_METRICS, "qwk", "log_loss")
RANKED = ("balanced_accuracy", "f1", "f1_macro", "mcc", "qwk")  # far from their best where the likeliest class decides
CELLS = 400_000  # of predictions that are looked at


def decision(
    y: np.ndarray, blended: np.ndarray, metric: Metric, weight: np.ndarray | None = None, rows: np.ndarray | None = None
) -> dict[str, Any]:
    """The decision for out-of-fold probabilities `blended` (n_rows, n_classes), or {} where none gains.

    rows: (n_rows,) which row of the table each one is, where rows occur several times.
    """
    import numpy as np

    if blended.ndim != 2 or metric.name not in TUNED:
        return {}
    rng = np.random.default_rng(0)
    kept = rng.permutation(len(y))[: max(2_000, CELLS // blended.shape[1])]
    rows = kept if rows is None else rows[kept]
    y, blended = np.asarray(y)[kept], blended[kept]
    weight = None if weight is None else weight[kept]
    half = rng.permutation(rows.max() + 1)[rows] % 2 == 0
    if min(len(np.unique(y[half])), len(np.unique(y[~half]))) < 2:
        return {}
    losses = {"plain": 0.0, "decided": 0.0}
    for chosen_on, judged_on in ((half, ~half), (~half, half)):
        found = _choose(y[chosen_on], blended[chosen_on], metric, None if weight is None else weight[chosen_on])
        part = None if weight is None else weight[judged_on]
        for way, prediction in (("plain", blended[judged_on]), ("decided", adjust(blended[judged_on], found))):
            losses[way] += metric.loss(metric.score(y[judged_on], prediction, part))
    if losses["decided"] >= losses["plain"]:
        return {}
    return _choose(y, blended, metric, weight)


def decided_score(y: np.ndarray, prediction: np.ndarray, metric: Metric, weight: np.ndarray | None = None) -> float:
    """The metric's score of what a decision of its own would make of a prediction; for RANKED metrics alone.

    Half of the rows is decided by what serves the other half, so that it is no better than it would be on new rows.
    Shapes as for `Metric.score`. Raises ValueError where the score is undefined.
    """
    import numpy as np

    if metric.name not in RANKED or prediction.ndim != 2 or not np.isfinite(prediction).all():
        return metric.score(y, prediction, weight)
    half = np.random.default_rng(0).permutation(len(y)) % 2 == 0
    if min(len(np.unique(y[half])), len(np.unique(y[~half]))) < 2:
        return metric.score(y, prediction, weight)
    after = prediction.copy()
    for chosen_on, judged_on in ((half, ~half), (~half, half)):
        part = None if weight is None else weight[chosen_on]
        found = _choose(y[chosen_on], prediction[chosen_on], metric, part, thorough=False)
        after[judged_on] = adjust(prediction[judged_on], found)
    return metric.score(y, after, weight)


def _choose(y: Any, blended: Any, metric: Metric, weight: Any, thorough: bool = True) -> dict[str, Any]:
    if metric.name == "log_loss":
        return _temperature(y, blended, metric, weight)
    if metric.name == "qwk":
        return _cuts(y, blended, metric, weight, (0.5, 0.25, 0.12, 0.06) if thorough else ())
    if blended.shape[1] == 2:
        return _threshold(y, blended, metric, weight)
    return _multipliers(y, blended, metric, weight, 20 if thorough else 0)


def _temperature(y: Any, blended: Any, metric: Metric, weight: Any) -> dict[str, Any]:
    grid = [round(0.6 + 0.04 * i, 2) for i in range(26)]
    best = min(grid, key=lambda t: metric.loss(metric.score(y, adjust(blended, {"temperature": t}), weight)))
    return {"temperature": best}


def _threshold(y: Any, blended: Any, metric: Metric, weight: Any) -> dict[str, Any]:
    thresholds, scores = scores_by_threshold(metric.name, y, blended[:, 1], weight)
    best = float(thresholds[smoothed(scores[1:]).argmax() + 1])
    return {"multipliers": [best, 1 - best]}


def _multipliers(y: Any, blended: Any, metric: Metric, weight: Any, classes: int) -> dict[str, Any]:
    """Coordinate ascent over a grid of log multipliers, from even ones or from those that even out the classes.

    classes: so many of the most frequent ones are moved.
    """
    import numpy as np

    n_classes = blended.shape[1]
    shares = np.bincount(y, weight, minlength=n_classes) / (len(y) if weight is None else weight.sum())

    def loss(values: Any) -> float:
        return -score_of_labels(metric.name, y, (blended * values).argmax(axis=1), n_classes, weight)

    even_out = np.where(shares > 0, 1 / np.clip(shares, 1e-6, None), 1.0)  # a class may have no row here
    best_values = min((np.ones(n_classes), even_out / even_out.max()), key=loss)
    best = loss(best_values)
    for k in np.argsort(-shares)[:classes]:
        for step in np.exp(np.linspace(-1.2, 1.2, 7)):
            tried = np.where(np.arange(n_classes) == k, best_values * step, best_values)
            if (found := loss(tried)) < best:
                best_values, best = tried, found
    return {"multipliers": (best_values / best_values.sum()).tolist()}


def _cuts(y: Any, blended: Any, metric: Metric, weight: Any, widths: Sequence[float]) -> dict[str, Any]:
    """Cut points on the expected class code, moved one at a time from the quantiles that give each class its share.

    widths: of the moves, in classes.
    """
    import numpy as np

    n_classes = blended.shape[1]
    expected = blended @ np.arange(n_classes)
    shares = np.bincount(y, weight, minlength=n_classes)
    cuts = np.quantile(expected, np.clip(np.cumsum(shares)[:-1] / shares.sum(), 0, 1))

    def loss(values: Any) -> float:
        return metric.loss(metric.score(y, adjust(blended, {"cuts": np.sort(values)}), weight))

    best = loss(cuts)
    for width in widths:
        for k in range(len(cuts)):
            for shift in (-width, width):
                tried = np.where(np.arange(len(cuts)) == k, cuts + shift, cuts)
                if (found := loss(tried)) < best:
                    cuts, best = tried, found
    return {"cuts": np.sort(cuts).tolist()}
