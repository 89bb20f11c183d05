"""The metrics, by the names that the command line takes. Heavy imports happen when one is computed.

A score has scikit-learn's sense and sign (RMSE 3.2 is 3.2); `loss` turns it into a number that is lower for better.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

KINDS_CLASSIFICATION = ("binary", "multiclass")


@dataclass(frozen=True)
class Metric:
    """`compute(y, prediction, weight) -> score`.

    y: (n_rows,) class codes 0..n_classes-1, or floats. prediction: (n_rows, n_classes) probabilities for
    classification, (n_rows,) floats for regression.
    """

    name: str
    kinds: tuple[str, ...]
    higher_is_better: bool
    from_labels: bool  # the score depends on the predicted label alone, so a decision threshold matters
    compute: Callable[[Any, Any, Any], float]

    @property
    def of_positives(self) -> bool:
        """Is it 0, whatever was predicted, on rows of which none is positive?"""
        return self.name in ("average_precision", "f1", "precision", "recall", "mcc")

    def loss(self, score: float) -> float:
        return -score if self.higher_is_better else score

    def score(self, y: np.ndarray, prediction: np.ndarray, weight: np.ndarray | None = None) -> float:
        """Our score for predictions that came out of the sandbox. Raises ValueError where it is undefined."""
        import numpy as np

        if not np.isfinite(prediction).all():
            raise ValueError("the predictions hold NaN or infinite values")
        try:
            score = float(self.compute(y, prediction, weight))
        except ZeroDivisionError as error:
            raise ValueError("these rows have no weight") from error
        if not np.isfinite(score):  # so scikit-learn says that a class is missing
            raise ValueError(f"{self.name} is not defined on these rows")
        return score


def _labels(prediction: Any) -> Any:
    return prediction.argmax(axis=1)


def _of_labels(name: str, **fixed: Any) -> Callable[[Any, Any, Any], float]:
    def compute(y: Any, prediction: Any, weight: Any) -> float:
        import sklearn.metrics as m

        return float(getattr(m, name)(y, _labels(prediction), sample_weight=weight, **fixed))

    return compute


def _of_values(name: str, **fixed: Any) -> Callable[[Any, Any, Any], float]:
    def compute(y: Any, prediction: Any, weight: Any) -> float:
        import sklearn.metrics as m

        return float(getattr(m, name)(y, prediction, sample_weight=weight, **fixed))

    return compute


def _binary_or_macro(name: str) -> Callable[[Any, Any, Any], float]:
    """F1, precision, recall: of the positive class (code 1) when binary, macro mean otherwise."""

    def compute(y: Any, prediction: Any, weight: Any) -> float:
        import sklearn.metrics as m

        average = "binary" if prediction.shape[1] == 2 else "macro"
        score = getattr(m, name)(y, _labels(prediction), sample_weight=weight, average=average, zero_division=0.0)
        return float(score)

    return compute


def _roc_auc(y: Any, prediction: Any, weight: Any) -> float:
    import numpy as np
    from sklearn.metrics import roc_auc_score

    if prediction.shape[1] == 2:
        return float(roc_auc_score(y, prediction[:, 1], sample_weight=weight))
    present = np.unique(y)
    scores = [roc_auc_score(y == k, prediction[:, k], sample_weight=weight) for k in present]
    return float(np.mean(scores))


def _average_precision(y: Any, prediction: Any, weight: Any) -> float:
    import numpy as np
    from sklearn.metrics import average_precision_score

    if prediction.shape[1] == 2:
        return float(average_precision_score(y, prediction[:, 1], sample_weight=weight))
    present = np.unique(y)
    return float(np.mean([average_precision_score(y == k, prediction[:, k], sample_weight=weight) for k in present]))


def _log_loss(y: Any, prediction: Any, weight: Any) -> float:
    import numpy as np

    p = np.clip(prediction, 1e-15, None)
    p = p / p.sum(axis=1, keepdims=True)
    return float(np.average(-np.log(p[np.arange(len(y)), np.asarray(y, dtype=int)]), weights=weight))


def _qwk(y: Any, prediction: Any, weight: Any) -> float:
    import numpy as np
    from sklearn.metrics import cohen_kappa_score

    classes = np.arange(prediction.shape[1])  # with those between others that these rows lack
    return float(cohen_kappa_score(y, _labels(prediction), labels=classes, weights="quadratic", sample_weight=weight))


def _rmsle(y: Any, prediction: Any, weight: Any) -> float:
    import numpy as np

    if np.min(y) <= -1:
        raise ValueError("RMSLE needs targets above -1")
    squared = (np.log1p(np.clip(prediction, 0, None)) - np.log1p(y)) ** 2
    return float(np.sqrt(np.average(squared, weights=weight)))


def _tweedie(y: Any, prediction: Any, weight: Any) -> float:
    import numpy as np
    from sklearn.metrics import mean_tweedie_deviance

    return float(mean_tweedie_deviance(y, np.clip(prediction, 1e-9, None), sample_weight=weight, power=1.5))


_REGRESSION = ("regression",)
METRICS: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("roc_auc", KINDS_CLASSIFICATION, True, False, _roc_auc),
        Metric("average_precision", KINDS_CLASSIFICATION, True, False, _average_precision),
        Metric("accuracy", KINDS_CLASSIFICATION, True, True, _of_labels("accuracy_score")),
        Metric("balanced_accuracy", KINDS_CLASSIFICATION, True, True, _of_labels("balanced_accuracy_score")),
        Metric("f1", KINDS_CLASSIFICATION, True, True, _binary_or_macro("f1_score")),
        Metric(
            "f1_macro", KINDS_CLASSIFICATION, True, True, _of_labels("f1_score", average="macro", zero_division=0.0)
        ),
        Metric("precision", KINDS_CLASSIFICATION, True, True, _binary_or_macro("precision_score")),
        Metric("recall", KINDS_CLASSIFICATION, True, True, _binary_or_macro("recall_score")),
        Metric("log_loss", KINDS_CLASSIFICATION, False, False, _log_loss),
        Metric("mcc", KINDS_CLASSIFICATION, True, True, _of_labels("matthews_corrcoef")),
        Metric("qwk", KINDS_CLASSIFICATION, True, True, _qwk),
        Metric("rmse", _REGRESSION, False, False, _of_values("root_mean_squared_error")),
        Metric("mae", _REGRESSION, False, False, _of_values("mean_absolute_error")),
        Metric("rmsle", _REGRESSION, False, False, _rmsle),
        Metric("r2", _REGRESSION, True, False, _of_values("r2_score")),
        Metric("mape", _REGRESSION, False, False, _of_values("mean_absolute_percentage_error")),
        Metric("medae", _REGRESSION, False, False, _of_values("median_absolute_error")),
        Metric("tweedie", _REGRESSION, False, False, _tweedie),
    )
}

DEFAULT_METRIC = {"binary": "roc_auc", "multiclass": "log_loss", "regression": "rmse"}
ALIASES = {
    "auc": "roc_auc", "ap": "average_precision", "acc": "accuracy", "logloss": "log_loss", "macro_f1": "f1_macro",
    "root_mean_squared_error": "rmse", "mean_absolute_error": "mae", "kappa": "qwk", "prauc": "average_precision",
}  # fmt: skip
