"""What a person said, against what the data hold: the task, where each answer came from, and what cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automlgpt_local.data.load import load
from automlgpt_local.data.target import class_labels, make_dataset
from automlgpt_local.errors import DataError, UsageError
from automlgpt_local.language.resolve import resolve
from automlgpt_local.task import Request, TaskSpec


def frame(n_rows: int = 60) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "row_id": range(n_rows),
            "size": rng.normal(size=n_rows).round(3),
            "colour": rng.choice(["red", "blue"], n_rows),
            "patient_id": np.arange(n_rows) // 3,
            "day": pd.date_range("2020-01-01", periods=n_rows).strftime("%Y-%m-%d"),
            "w": 1.0,
            "price": rng.gamma(2, 50, n_rows).round(2),
            "sold": rng.choice(["yes", "no"], n_rows, p=[0.7, 0.3]),
            "level": rng.integers(1, 4, n_rows),
        }
    )


def task_of(tmp_path: Path, data: pd.DataFrame | None = None, **flags: Any) -> TaskSpec:
    path = tmp_path / "data.csv"
    (frame() if data is None else data).to_csv(path, index=False)
    return resolve(Request((str(path),), **flags), load(path))


@pytest.mark.parametrize(
    ("target", "kind", "metric"),
    [("price", "regression", "rmse"), ("sold", "binary", "roc_auc"), ("level", "multiclass", "log_loss")],
)
def test_kind_and_metric_follow_the_target(tmp_path: Path, target: str, kind: str, metric: str) -> None:
    task = task_of(tmp_path, target=target)
    assert (task.target, task.kind, task.metric) == (target, kind, metric)
    assert task.source["target"] == "flag"
    assert task.source["kind"] == "inferred"
    assert task.source["metric"] == "default"


def test_flag_then_words_then_data_then_default(tmp_path: Path) -> None:
    task = task_of(tmp_path, ask="predict price, minimise MAE in 3 minutes, ignore the row id, group by patient")
    assert (task.target, task.metric, task.time_limit_s, task.ignore, task.group) == (
        "price",
        "mae",
        180.0,
        ("row_id",),
        "patient_id",
    )
    assert task.source["target"] == task.source["metric"] == task.source["time_limit_s"] == "ask"
    flagged = task_of(
        tmp_path, target="price", metric="r2", time_limit_s=90.0, ask="predict sold, minimise MAE in 3 minutes"
    )
    assert (flagged.target, flagged.metric, flagged.time_limit_s) == ("price", "r2", 90.0)
    assert flagged.source["target"] == flagged.source["metric"] == flagged.source["time_limit_s"] == "flag"
    assert sum("flag" in w for w in flagged.warnings) == 3


def test_a_metric_says_the_kind(tmp_path: Path) -> None:
    assert task_of(tmp_path, target="level", metric="rmse").kind == "regression"
    assert task_of(tmp_path, target="level", metric="QWK").kind == "multiclass"


def test_the_target_is_found_by_its_name(tmp_path: Path) -> None:
    task = task_of(tmp_path, frame().rename(columns={"sold": "Target"}))
    assert task.target == "Target"
    assert task.source["target"] == "inferred"
    assert any("Target" in w for w in task.warnings)


def test_the_target_is_what_the_test_file_lacks(tmp_path: Path) -> None:
    frame().drop(columns="price").to_csv(tmp_path / "test.csv", index=False)
    assert task_of(tmp_path, test=str(tmp_path / "test.csv")).target == "price"
    frame()[["row_id", "level"]].to_csv(tmp_path / "sample.csv", index=False)
    assert task_of(tmp_path, submission=str(tmp_path / "sample.csv")).target == "level"


def test_columns_that_the_test_file_lacks_are_left_out(tmp_path: Path) -> None:
    test = tmp_path / "test.csv"
    frame().drop(columns=["price", "w", "level", "patient_id"]).to_csv(test, index=False)
    task = task_of(tmp_path, target="price", weight="w", group="patient_id", ignore=("day",), test=str(test))
    assert task.ignore == ("day", "level")
    assert any("level" in w for w in task.warnings)
    with pytest.raises(UsageError, match="level"):
        task_of(tmp_path, target="price", metric="rmse", test=str(test), strict=True)
    pd.DataFrame({"a": [1, 2], "b": [3, 4]}).to_csv(test, index=False)
    with pytest.raises(DataError, match="none of the columns"):
        task_of(tmp_path, target="price", test=str(test))
    with pytest.raises(DataError, match="no file"):
        task_of(tmp_path, target="price", submission=str(tmp_path / "gone.csv"))


def test_no_target_lists_the_columns(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not clear") as caught:
        task_of(tmp_path)
    assert "patient_id" in caught.value.hint


def test_an_unknown_column_gets_near_names(tmp_path: Path) -> None:
    for flags in ({"target": "prise"}, {"ask": "predict prise"}, {"target": "sold", "ignore": ("prise",)}):
        with pytest.raises(UsageError) as caught:
            task_of(tmp_path, **flags)
        assert "price" in caught.value.hint


def test_a_name_may_differ_in_case_and_blanks(tmp_path: Path) -> None:
    assert task_of(tmp_path, target="PRICE", group="Patient ID").group == "patient_id"


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"target": "price", "metric": "roc_auc"}, "does not fit"),
        ({"target": "sold", "metric": "rmse"}, "does not fit"),
        ({"target": "sold", "metric": "speed"}, "no metric"),
        ({"target": "colour", "kind": "regression"}, "not a number"),
        ({"target": "level", "kind": "binary"}, "not binary"),
        ({"target": "row_id", "kind": "multiclass"}, "too many"),
        ({"target": "price", "positive": "yes"}, "belongs to a binary"),
        ({"target": "sold", "positive": "maybe"}, "no label"),
        ({"target": "price", "group": "price"}, "also be the group"),
        ({"target": "price", "ignore": ("price",)}, "cannot be ignored"),
        ({"target": "price", "weight": "colour"}, "weight column"),
        ({"target": "price", "time": "colour"}, "time column"),
        ({"target": "price", "group": "colour"}, r"only 2 group"),
        ({"target": "price", "time_limit_s": 1.0}, "too short"),
        ({"target": "price", "ask": "only linear models and no linear models"}, "only linear"),
    ],
)
def test_what_cannot_be(tmp_path: Path, flags: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        task_of(tmp_path, **flags)
    assert caught.value.hint


def test_targets_that_teach_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="same value"):
        task_of(tmp_path, frame().assign(sold="yes"), target="sold")
    with pytest.raises(DataError, match="empty in every row"):
        task_of(tmp_path, frame().assign(sold=None), target="sold")
    with pytest.raises(DataError, match="Only 12 rows"):
        task_of(tmp_path, frame(12), target="sold")


def test_rmsle_needs_no_negative_target(tmp_path: Path) -> None:
    assert task_of(tmp_path, target="price", metric="rmsle").metric == "rmsle"
    with pytest.raises(UsageError, match="RMSLE"):
        task_of(tmp_path, target="size", metric="rmsle")


def test_strict_makes_errors_of_doubts(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No metric"):
        task_of(tmp_path, target="sold", strict=True)
    with pytest.raises(UsageError, match="whole numbers"):
        task_of(tmp_path, target="level", strict=True)
    assert task_of(tmp_path, target="sold", metric="roc_auc", strict=True).metric == "roc_auc"


def test_rows_without_a_target_are_left_out(tmp_path: Path) -> None:
    data = frame()
    data.loc[[3, 7], "sold"] = None
    path = tmp_path / "data.csv"
    data.to_csv(path, index=False)
    table = load(path)
    task = resolve(Request((str(path),), target="sold"), table)
    assert any("2 of 60 rows" in w for w in task.warnings)
    dataset = make_dataset(table, task)
    assert len(dataset.y) == len(dataset.features) == len(dataset.rows) == 58
    assert not {3, 7} & set(dataset.rows)
    assert dataset.classes == ("no", "yes")
    labels = data["sold"].dropna().to_numpy()
    assert [dataset.classes[code] for code in dataset.y] == labels.tolist()


def test_a_dataset_hides_what_a_model_may_not_see(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    frame().to_csv(path, index=False)
    table = load(path)
    flags: dict[str, Any] = {"group": "patient_id", "weight": "w", "time": "day", "ignore": ("row_id",)}
    dataset = make_dataset(table, resolve(Request((str(path),), target="price", **flags), table))
    assert list(dataset.features.columns) == ["size", "colour", "day", "sold", "level"]
    assert dataset.group is not None
    assert dataset.weight is not None
    assert dataset.time is not None
    assert len(np.unique(dataset.group)) == 20
    assert dataset.weight.tolist() == [1.0] * 60
    assert (np.diff(dataset.time) == 86400).all()
    assert dataset.classes == ()
    assert dataset.schema.required == ("size", "colour", "day", "sold", "level")
    new_rows = frame(5)[["level", "sold", "day", "colour", "size"]]
    new_rows.to_csv(tmp_path / "new.csv", index=False)
    assert list(load(tmp_path / "new.csv", schema=dataset.schema).frame.columns) == list(dataset.features.columns)


def test_the_positive_label_comes_last() -> None:
    def labels(*values: str, positive: str | None = None) -> list[str]:
        return class_labels(pd.Series(list(values)), positive)

    assert labels("yes", "yes", "no") == ["no", "yes"]
    assert labels("1", "0", "1") == ["0", "1"]
    assert labels("True", "False", "True") == ["False", "True"]
    assert labels("good", "good", "bad") == ["good", "bad"]
    assert labels("a", "b") == ["a", "b"]
    assert labels("yes", "no", positive="no") == ["yes", "no"]
    assert labels("10", "9", "1", "b", "a") == ["1", "9", "10", "a", "b"]


def test_na_becomes_a_class_when_it_is_the_positive_label(tmp_path: Path) -> None:
    data = frame().assign(sold=lambda d: np.where(d["sold"] == "yes", "EU", "NA"))
    path = tmp_path / "data.csv"
    data.to_csv(path, index=False)
    table = load(path)
    with pytest.raises(DataError, match="same value"):
        resolve(Request((str(path),), target="sold"), table)
    task = resolve(Request((str(path),), target="sold", positive="NA"), table)
    dataset = make_dataset(table, task)
    assert dataset.classes == ("EU", "NA")
    assert len(dataset.y) == 60
    assert dataset.schema.exact_target


def test_labels_stay_as_the_file_has_them(tmp_path: Path) -> None:
    data = frame().assign(level=["01", "1", "1.0"] * 20)
    path = tmp_path / "data.csv"
    data.to_csv(path, index=False)
    table = load(path)
    dataset = make_dataset(table, resolve(Request((str(path),), target="level", kind="multiclass"), table))
    assert set(dataset.classes) == {"01", "1", "1.0"}


def test_spellings_of_a_label_are_one_class(tmp_path: Path) -> None:
    data = frame().assign(sold=["yes", "yes", " Yes", "no", "no", "NO "] * 10)
    path = tmp_path / "data.csv"
    data.to_csv(path, index=False)
    table = load(path)
    task = resolve(Request((str(path),), target="sold"), table)
    assert (task.kind, task.positive) == ("binary", "yes")
    assert any("case or blanks" in w and "'NO '" in w for w in task.warnings)
    dataset = make_dataset(table, task)
    assert dataset.classes == ("no", "yes")
    assert dataset.y.tolist() == [1, 1, 1, 0, 0, 0] * 10
    assert dataset.schema.spellings == {" Yes": "yes", "NO ": "no"}
    with pytest.raises(UsageError, match="case or blanks"):
        task_of(tmp_path, data, target="sold", metric="f1", strict=True)


def test_blank_labels_are_missing_and_a_number_is_one_label(tmp_path: Path) -> None:
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    frame().assign(sold=["1", "0", " ", "1", "0", "0"] * 10).to_csv(first, index=False)
    frame().assign(sold=["1.0", "0.0", "", "0.0", "0.0", "0.0"] * 10).to_csv(second, index=False)
    table = load([first, second])
    task = resolve(Request((str(first), str(second)), target="sold"), table)
    dataset = make_dataset(table, task)
    assert (task.kind, dataset.classes) == ("binary", ("0", "1"))
    assert dataset.y.tolist() == [1, 0, 1, 0, 0] * 10 + [1, 0, 0, 0, 0] * 10


def test_a_target_called_as_a_parameter_of_pandas_is(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    frame().rename(columns={"sold": "self"}).to_csv(path, index=False)
    table = load(path)
    assert make_dataset(table, resolve(Request((str(path),), target="self"), table)).classes == ("no", "yes")


def test_rows_without_a_time_are_the_oldest(tmp_path: Path) -> None:
    data = frame()
    data.loc[[3, 7], "day"] = [None, "soon"]
    assert any(
        "2 rows have no readable 'day'" in w for w in task_of(tmp_path, data, target="sold", time="day").warnings
    )
    assert not any("readable" in w for w in task_of(tmp_path, target="sold", time="day").warnings)


def test_a_name_with_a_comma_can_be_ignored(tmp_path: Path) -> None:
    data = frame().rename(columns={"colour": "City, State"})
    task = task_of(tmp_path, data, target="sold", ignore=("row_id", "City", "State", "w"))
    assert task.ignore == ("row_id", "City, State", "w")
    with pytest.raises(UsageError, match="'State'"):
        task_of(tmp_path, data, target="sold", ignore=("State", "w"))


def test_case_counts_in_short_labels(tmp_path: Path) -> None:
    assert task_of(tmp_path, frame().assign(sold=["Co", "CO", "N"] * 20), target="sold").kind == "multiclass"


@pytest.mark.parametrize(
    ("labels", "positive"),
    [
        (["ja", "nein"], "ja"), (["是", "否"], "是"), (["1", "2"], "2"), (["2", "1"], "1"), (["-1", "1"], "1"),
        (["0", "3"], "3"), (["sick", "healthy"], "sick"), (["healthy", "sick"], "sick"), (["Oui", "Non"], "Oui"),
    ],
)  # fmt: skip
def test_the_positive_label_says_yes_or_is_the_rarer_one(tmp_path: Path, labels: list[str], positive: str) -> None:
    data = frame().assign(sold=[labels[0]] * 40 + [labels[1]] * 20)
    assert task_of(tmp_path, data, target="sold").positive == positive


def test_na_is_a_class_when_it_is_said(tmp_path: Path) -> None:
    data = frame().assign(sold=["NA", "EU", "AS"] * 20)
    task = task_of(tmp_path, data, target="sold")
    assert task.kind == "binary"
    assert any("20 cells of 'sold' say 'NA'" in w and "--exact-target" in w for w in task.warnings)
    for flags in ({"exact_target": True}, {"ask": 'predict sold, "NA" is a class of its own'}):
        task = task_of(tmp_path, data, **{"target": "sold", **flags})
        assert (task.kind, task.exact_target) == ("multiclass", True)
        assert make_dataset(load(tmp_path / "data.csv"), task).classes == ("AS", "EU", "NA")
    with pytest.raises(DataError, match="same value") as caught:
        task_of(tmp_path, frame().assign(sold=["NA", "EU"] * 30), target="sold")
    assert "--exact-target" in caught.value.hint


def test_numbers_with_leading_zeros_are_codes(tmp_path: Path) -> None:
    data = frame(300).assign(level=[f"{k % 60:03d}" for k in range(300)])
    task = task_of(tmp_path, data, target="level")
    assert task.kind == "multiclass"
    assert any("leading zeros" in w for w in task.warnings)


def test_a_metric_of_classes_does_not_make_classes_of_fractions(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="roc_auc does not fit a regression"):
        task_of(tmp_path, target="price", metric="roc_auc")


def test_new_patients_are_held_apart(tmp_path: Path) -> None:
    task = task_of(tmp_path, ask="predict price for new patients")
    assert task.group == "patient_id"
    assert any("stay together" in w for w in task.warnings)
    once = frame().assign(patient_id=range(60))
    assert task_of(tmp_path, once, ask="predict price for new patients").group is None


def test_a_name_of_several_words_is_found_in_any_language(tmp_path: Path) -> None:
    data = frame().rename(columns={"price": "Miete in €", "sold": "是否流失"})
    assert task_of(tmp_path, data, ask="Sage die Miete in € voraus").target == "Miete in €"
    assert task_of(tmp_path, data, ask="请预测是否流失").target == "是否流失"


def test_money_is_a_regression_target(tmp_path: Path) -> None:
    data = frame().assign(price=lambda d: [f"${p * 100:,.2f}" for p in d["price"]])
    path = tmp_path / "data.csv"
    data.to_csv(path, index=False)
    table = load(path)
    task = resolve(Request((str(path),), target="price"), table)
    assert task.kind == "regression"
    assert make_dataset(table, task).y[0] == pytest.approx(frame()["price"][0] * 100, abs=0.01)


def test_defaults_fit_the_machine(tmp_path: Path) -> None:
    import os

    task = task_of(tmp_path, target="sold")
    assert 1 <= task.threads <= (os.cpu_count() or 1)
    assert task.memory_mib >= 128
    assert task.holdout == 0.0
    assert TaskSpec.from_json(task.to_json()) == task


def test_kinds_of_models_that_are_not_installed_are_an_error_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automlgpt_local.recipes.installed", lambda recipe: not recipe.requires)
    with pytest.raises(UsageError, match="installed here"):
        task_of(tmp_path, target="sold", only=("catboost",))
    assert task_of(tmp_path, target="sold", only=("catboost", "linear")).only == ("catboost", "linear")


def test_a_number_of_trials_is_not_cut_short_by_a_time_limit_that_nobody_said(tmp_path: Path) -> None:
    assert task_of(tmp_path, target="sold").time_limit_s == 600
    assert task_of(tmp_path, target="sold", trials=5).time_limit_s == 24 * 3600
    assert task_of(tmp_path, target="sold", trials=5, time_limit_s=60.0).time_limit_s == 60
