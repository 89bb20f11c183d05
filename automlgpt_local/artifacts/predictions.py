"""predictions.csv: the id where one is known, the prediction in the target's own labels, each class's probability.

`predictions_frame` and `shown_probabilities` stand alone beside `decision.adjust`: the exporter copies their source.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from automlgpt_local.decision import adjust


def shown_probabilities(probability: np.ndarray, decision: dict[str, Any] | None) -> np.ndarray:
    """A temperature mends the probabilities; multipliers and cuts only choose among them."""
    return adjust(probability, decision) if decision and "temperature" in decision else probability


def predictions_frame(
    prediction: np.ndarray,
    classes: Sequence[str],
    decision: dict[str, Any] | None = None,
    ids: pd.Series | None = None,
) -> pd.DataFrame:
    """One row per prediction: floats (n_rows,), or probabilities (n_rows, n_classes) in the order of `classes`."""
    frame = pd.DataFrame(index=range(len(prediction)))
    if ids is not None:
        frame[ids.name] = ids.to_numpy()
    if not classes:
        frame["prediction"] = prediction
        return frame
    frame["prediction"] = [classes[code] for code in adjust(prediction, decision).argmax(axis=1)]
    shown = shown_probabilities(prediction, decision)
    return pd.concat([frame, pd.DataFrame(shown, columns=[f"proba_{label}" for label in classes])], axis=1)


def write_predictions(
    path: Path,
    prediction: np.ndarray,
    *,
    classes: Sequence[str] = (),
    decision: dict[str, Any] | None = None,
    ids: pd.Series | None = None,
) -> Path:
    """Write the table and return its path."""
    return write_csv(predictions_frame(prediction, classes, decision, ids), path)


def write_csv(frame: pd.DataFrame, path: Path) -> Path:
    """No reader sees half of the file, and nothing is left of it where the disk is full."""
    torn = path.with_name(path.name + ".part")
    try:
        frame.to_csv(torn, index=False)
        return torn.replace(path)
    except OSError:
        torn.unlink(missing_ok=True)
        raise
