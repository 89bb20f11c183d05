"""predictions.csv in the shape of a sample submission: its columns, its order of rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from automlgpt_local.artifacts.predictions import predictions_frame, write_csv
from automlgpt_local.data.load import Table, load
from automlgpt_local.errors import DataError


def write_test_predictions(
    path: Path,
    prediction: Any,
    test: Table,
    *,
    classes: Sequence[str],
    decision: dict[str, Any] | None,
    id_column: str | None,
    sample: str | None,
    probabilities: bool,
) -> tuple[Path, str]:
    """Write the predictions of the test table. Returns the path, and what it lacks and why ("": nothing).

    probabilities: the metric is about probabilities, not labels.
    """
    try:
        if len(prediction) != len(test.frame):
            raise DataError(f"{test.paths[0]} changed after its rows were predicted.", "Predict it as it is now.")
        ids = test.exact(id_column) if id_column is not None and id_column in test.frame.columns else None
    except DataError as error:
        alone = predictions_frame(prediction, classes, decision)
        return write_csv(alone, path), f"predictions.csv holds the predictions alone. {error.message}"
    frame = predictions_frame(prediction, classes, decision, ids)
    if sample is None:
        return write_csv(frame, path), ""
    try:
        shape = load(sample)
        target = test.schema.target  # a test file may have it, too, filled or empty
        carried = [name for name in shape.frame.columns if name in test.frame.columns and name != target]
        texts = pd.DataFrame({name: shape.exact(name) if name in carried else "" for name in shape.frame.columns})
        table = pd.DataFrame({name: test.exact(name) for name in carried}, index=test.frame.index)
        return write_csv(as_submission(frame, texts, table, classes, probabilities), path), ""
    except DataError as error:
        return write_csv(frame, path), f"predictions.csv has not the shape of the sample submission. {error.message}"


def as_submission(
    predictions: pd.DataFrame, sample: pd.DataFrame, table: pd.DataFrame, classes: Sequence[str], probabilities: bool
) -> pd.DataFrame:
    """`predictions` (as `predictions_frame` makes them) with the columns and the row order of `sample`.

    table: the rows that were predicted, as text, without the target; columns of the sample that it has are carried
    over. The one column left takes the prediction, or the positive class's probability where `probabilities` count;
    several columns are classes. sample, table: all text. Raises DataError where the shape cannot be met.
    """
    out = pd.DataFrame(index=predictions.index)
    answers = [name for name in sample.columns if name not in table.columns]
    if not answers:
        raise DataError(
            "All columns of the sample submission are in the test table: none is left for the prediction.",
            "Give it one column for the prediction, or one for each class, that the test table lacks.",
        )
    shares = {name: f"proba_{label}" for name, label in _classes_of(answers, classes).items()}
    for name in sample.columns:
        if name in table.columns:
            out[name] = table[name].to_numpy()
        elif len(answers) == 1:
            positive = probabilities and len(classes) == 2
            out[name] = predictions[f"proba_{classes[1]}" if positive else "prediction"].to_numpy()
        elif name in shares:
            out[name] = predictions[shares[name]].to_numpy()
        else:
            raise DataError(
                f"The sample submission has a column {name!r} that is neither in the test table nor a class.",
                "Give it the test table's id column, and one column for the prediction or one for each class.",
            )
    return _in_order(out, sample, [name for name in sample.columns if name in table.columns])


def _classes_of(names: Sequence[str], classes: Sequence[str]) -> dict[str, str]:
    """Column -> class, where each column is named like one class, perhaps with something in front of it."""
    found: dict[str, str] = {}
    for name in names:
        fitting = [c for c in classes if name == c] or [c for c in classes if name.endswith(c)]
        if fitting:
            found[name] = max(fitting, key=len)
    return found if len(set(found.values())) == len(found) else {}


def _in_order(out: pd.DataFrame, sample: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    """Rows as the sample has them, when its ids are those of the table, each once."""
    for key in keys:
        if out[key].is_unique and len(out) == len(sample) and set(out[key]) == set(sample[key]):
            return out.set_index(key, drop=False).loc[sample[key]].reset_index(drop=True)
    return out
