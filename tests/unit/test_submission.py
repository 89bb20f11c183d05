"""A sample submission gives predictions.csv its columns and its order."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automlgpt_local.artifacts.predictions import predictions_frame
from automlgpt_local.artifacts.submission import as_submission, write_test_predictions
from automlgpt_local.data.load import load
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


def test_a_sample_without_a_column_for_the_answer_is_an_error() -> None:
    with pytest.raises(DataError, match="none is left"):
        as_submission(predictions_frame(PROBABILITIES, ("a", "b")), TABLE, TABLE, ("a", "b"), True)


@pytest.mark.parametrize("known", [{"y": 7.0}, {"y": None}])
def test_a_test_file_with_the_target_gives_predictions_all_the_same(tmp_path: Path, known: dict[str, object]) -> None:
    rows = pd.DataFrame({"Id": [f"{i:03d}" for i in range(30)], "x": range(30)})
    rows.assign(y=1.0).to_csv(tmp_path / "train.csv", index=False)
    rows.assign(**known).to_csv(tmp_path / "test.csv", index=False)
    rows[["Id"]].assign(y=0).to_csv(tmp_path / "sample.csv", index=False)
    schema = load(tmp_path / "train.csv", target="y").schema.with_target("y", "number")
    path, problem = write_test_predictions(
        tmp_path / "predictions.csv", np.arange(30.0), load(tmp_path / "test.csv", schema=schema), classes=(),
        decision=None, id_column="Id", sample=str(tmp_path / "sample.csv"), probabilities=False,
    )  # fmt: skip
    assert problem == ""
    assert pd.read_csv(path)["y"].tolist() == list(range(30))


@pytest.mark.parametrize("rows", [30, 31])
def test_a_test_table_that_changed_leaves_the_predictions_alone(tmp_path: Path, rows: int) -> None:
    test = tmp_path / "test.csv"
    pd.DataFrame({"Id": range(30), "x": range(30)}).to_csv(test, index=False)
    table = load(test)
    test.unlink()
    path, problem = write_test_predictions(
        tmp_path / "predictions.csv", np.arange(float(rows)), table, classes=(), decision=None, id_column="Id",
        sample=None, probabilities=False,
    )  # fmt: skip
    assert list(pd.read_csv(path)) == ["prediction"] and "test.csv" in problem


def test_from_files_ids_keep_their_text_and_a_strange_sample_is_told(tmp_path: Path) -> None:
    rows = pd.DataFrame({"Id": [f"{i:03d}" for i in range(30)], "x": range(30)})
    rows.to_csv(tmp_path / "test.csv", index=False)
    rows[["Id"]].assign(y=0)[::-1].to_csv(tmp_path / "sample.csv", index=False)
    rows[["Id"]].assign(a=0, b=0).to_csv(tmp_path / "strange.csv", index=False)

    def write(sample: str) -> tuple[pd.DataFrame, str]:
        path, problem = write_test_predictions(
            tmp_path / "predictions.csv", np.arange(30.0), load(tmp_path / "test.csv"), classes=(), decision=None,
            id_column="Id", sample=str(tmp_path / sample), probabilities=False,
        )  # fmt: skip
        return pd.read_csv(path, dtype=str), problem

    frame, problem = write("sample.csv")
    assert (list(frame), frame["Id"].iloc[0], frame["y"].iloc[0], problem) == (["Id", "y"], "029", "29.0", "")
    frame, problem = write("strange.csv")
    assert list(frame) == ["Id", "prediction"]
    assert "'a'" in problem
