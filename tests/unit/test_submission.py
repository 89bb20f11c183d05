"""A sample submission gives predictions.csv its columns and its order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from automlgpt_local.artifacts.predictions import predictions_frame
from automlgpt_local.artifacts.submission import as_submission
from automlgpt_local.errors import DataError

TABLE = pd.DataFrame({"Id": ["01", "02", "03"], "x": ["5", "6", "7"]})
PROBABILITIES = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8]])


def test_numbers_in_the_order_of_the_sample() -> None:
    sample = pd.DataFrame({"Id": ["03", "01", "02"], "SalePrice": ["0", "0", "0"]})
    out = as_submission(predictions_frame(np.array([1.5, 2.5, 3.5]), ()), sample, TABLE, (), False)
    assert out.to_dict("list") == {"Id": ["03", "01", "02"], "SalePrice": [3.5, 1.5, 2.5]}


@pytest.mark.parametrize(("probabilities", "expected"), [(True, [0.1, 0.6, 0.8]), (False, ["no", "yes", "yes"])])
def test_two_classes_by_what_the_metric_asks(probabilities: bool, expected: list[object]) -> None:
    sample = pd.DataFrame({"Id": ["01", "02", "03"], "target": ["0", "0", "0"]})
    frame = predictions_frame(PROBABILITIES, ("no", "yes"))
    assert as_submission(frame, sample, TABLE, ("no", "yes"), probabilities)["target"].tolist() == expected


def test_a_column_for_each_class() -> None:
    sample = pd.DataFrame({"Id": ["01", "02", "03"], "is_b": ["0"] * 3, "is_a": ["0"] * 3})
    out = as_submission(predictions_frame(PROBABILITIES, ("a", "b")), sample, TABLE, ("a", "b"), True)
    assert list(out) == ["Id", "is_b", "is_a"]
    assert out["is_a"].tolist() == [0.9, 0.4, 0.2]


def test_other_ids_keep_the_order_of_the_table() -> None:
    sample = pd.DataFrame({"Id": ["7", "8", "9"], "y": ["0"] * 3})
    out = as_submission(predictions_frame(np.array([1.0, 2.0, 3.0]), ()), sample, TABLE, (), False)
    assert out["Id"].tolist() == ["01", "02", "03"]


def test_a_column_that_means_nothing_is_an_error() -> None:
    sample = pd.DataFrame({"Id": ["01"], "a": ["0"], "z": ["0"]})
    with pytest.raises(DataError, match="'z'"):
        as_submission(predictions_frame(PROBABILITIES, ("a", "b")), sample, TABLE, ("a", "b"), True)
