"""predictions.csv: the id where one is known, the prediction in the target's own labels, each class's probability.

`predictions_frame` stands alone beside `decision.adjust`: the exporter copies the source of both.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from automlgpt_local.decision import adjust


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
    adjusted = adjust(prediction, decision)
    frame["prediction"] = [classes[code] for code in adjusted.argmax(axis=1)]
    # A temperature mends the probabilities; multipliers and cuts only choose among them.
    shown = adjusted if decision and "temperature" in decision else prediction
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
