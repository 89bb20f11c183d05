"""Requests in longer prose, as people write them in a mail."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from automlgpt_local.language.request import parse_ask

COLUMNS = ["customerID", "gender", "tenure", "price", "patient_id", "date", "Churn", "sample_w", "room_type"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "predict price. The column tenure is free text and should be left out",
            {"target": "price", "ignore": ("tenure",)},
        ),
        (
            "gender and tenure are written afterwards, so they have to go. predict price",
            {"target": "price", "ignore": ("gender", "tenure")},
        ),
        ("predict price. tenure has to go up first", {"target": "price"}),
        ("predict price. Please not use tenure", {"target": "price", "ignore": ("tenure",)}),
        ("predict price. I don't want that the tenure is used", {"target": "price", "ignore": ("tenure",)}),
        ("predict price. Don't bother with tenure", {"target": "price", "ignore": ("tenure",)}),
        ("predict price. tenure should play no role", {"target": "price", "ignore": ("tenure",)}),
        ("price, mae, tenure out", {"target": "price", "metric": "mae", "ignore": ("tenure",)}),
        (
            "We used to drop tenure. Kick out gender, people get touchy. Target price",
            {"target": "price", "ignore": ("gender",)},
        ),
        ("tenure is only a number. Ignore it. predict price", {"target": "price", "ignore": ("tenure",)}),
        ("What we need instead is price, by MAPE", {"target": "price", "metric": "mape"}),
        ("The column to predict is price", {"target": "price"}),
        ("Not tenure but price is what I want to predict", {"target": "price"}),
        ("I need price predicted", {"target": "price"}),
        ("predict price. Keep the rows of one customerID together", {"target": "price", "group": "customerID"}),
        (
            "predict price; rows with the same customerID must not be split across folds",
            {"target": "price", "group": "customerID"},
        ),
        (
            "predict price; rows of the same patient need to stay together",
            {"target": "price", "group": "patient_id"},
        ),
        ("predict price. Group the folds by gender so that it is fair", {"target": "price", "group": "gender"}),
        (
            "predict price; gender should be the grouping column for the folds",
            {"target": "price", "group": "gender"},
        ),
        ("predict price; use date and test on the later rows", {"target": "price", "time": "date"}),
        ("predict price; use date for the split", {"target": "price", "time": "date"}),
        ("There is sample_w; weight the rows by it. predict price", {"target": "price", "weight": "sample_w"}),
        ("predict price. sample_w says how many, take it as the weight", {"target": "price", "weight": "sample_w"}),
        ("predict price. Each row has a weight, see sample_w", {"target": "price", "weight": "sample_w"}),
        ("predict Churn. The positive class of Churn is 'N' and not 'Y'", {"target": "Churn", "positive": "N"}),
        ("predict Churn, where 'Yes' counts as positive", {"target": "Churn", "positive": "Yes"}),
        ("I play in a second league. predict price", {"target": "price"}),
        ("predict Churn. We'd tried F1, so go for plain accuracy", {"target": "Churn", "metric": "accuracy"}),
        (
            "We distrust neural networks and kNN, so leave both of them out. predict price",
            {"target": "price", "never": ("neural", "neighbours")},
        ),
        ("predict price; a patient must never be split across folds", {"target": "price", "group": "patient_id"}),
        ("predict price and keep each patient in one fold only", {"target": "price", "group": "patient_id"}),
        ("predict price. Patients are kept together", {"target": "price", "group": "patient_id"}),
        (
            "predict price. Having one patient_id in both would be cheating, so avoid that",
            {"target": "price", "group": "patient_id"},
        ),
        ("predict price. Validate on the most recent dates", {"target": "price", "time": "date"}),
        (
            "predict price. Newer sales (date) for validation, older ones for training",
            {"target": "price", "time": "date"},
        ),
        ("predict price. Rows count according to sample_w", {"target": "price", "weight": "sample_w"}),
        ("predict price. Step 2: use sample_w for the sample weights", {"target": "price", "weight": "sample_w"}),
        (
            "I want predict price from the others, but gender is made of the price so must not be used",
            {"target": "price", "ignore": ("gender",)},
        ),
        ("predict price. Not to use gender", {"target": "price", "ignore": ("gender",)}),
        ("predict price with gender and tenure removed", {"target": "price", "ignore": ("gender", "tenure")}),
        ("target=price ignore=gender,tenure", {"target": "price", "ignore": ("gender", "tenure")}),
        (
            "predict price. gender and tenure are known only later, exclude those two",
            {"target": "price", "ignore": ("gender", "tenure")},
        ),
        ("What we would like to predict is the price", {"target": "price"}),
        ("Churn -> target, Y = positive class", {"target": "Churn", "positive": "Y"}),
        ("Churn is what I want to predict (the positive label is yes)", {"target": "Churn", "positive": "yes"}),
        (
            "predict Churn. 'Yes' should be treated as the positive class. F1",
            {"target": "Churn", "positive": "Yes", "metric": "f1"},
        ),
        ("It took us two hours to clean this. predict price", {"target": "price"}),
        ("predict Churn. Accuracy, no wait, balanced accuracy", {"target": "Churn", "metric": "balanced_accuracy"}),
        (
            "predict Churn. We judged by accuracy, which was a mistake. We want recall",
            {"target": "Churn", "metric": "recall"},
        ),
        ("predict price. Any model apart from linear ones", {"target": "price", "never": ("linear",)}),
        ("predict price, lightgbm + catboost only", {"target": "price", "only": ("lightgbm", "catboost")}),
        ("predict price. IT forbids CatBoost", {"target": "price", "never": ("catboost",)}),
        ("Churn = target. AUC", {"target": "Churn", "metric": "roc_auc"}),
        ("I'm after price. RMSLE", {"target": "price", "metric": "rmsle"}),
        ("Somebody told me to predict tenure, but actually the client wants price predicted", {"target": "price"}),
        ("predict price, weighting every row by sample_w", {"target": "price", "weight": "sample_w"}),
        (
            "target price; group patient_id; weight sample_w; 600s",
            {"target": "price", "group": "patient_id", "weight": "sample_w", "time_limit_s": 600.0},
        ),
        (
            "predict price with patient_id as group and sample_w as the weights",
            {"target": "price", "group": "patient_id", "weight": "sample_w"},
        ),
        (
            "predict price. Rows of the same patient_id are alike; keep them together in the folds",
            {"target": "price", "group": "patient_id"},
        ),
        ("Order the data by date and validate on the latest part. predict price", {"target": "price", "time": "date"}),
        ("We discussed the scorecard for two hours. predict price", {"target": "price"}),
        ("predict price. XGBoost is out of the question", {"target": "price", "never": ("xgboost",)}),
        ("predict price, none of XGBoost or CatBoost", {"target": "price", "never": ("xgboost", "catboost")}),
        ("Just a plain linear model for price", {"target": "price", "only": ("linear",)}),
        (
            "predict price. A random forest or a linear model, nothing fancier",
            {"target": "price", "only": ("forest", "linear")},
        ),
        ("predict price with anything, as long as it's not an ensemble", {"target": "price", "ensemble": False}),
        (
            "predict price. What is written later must go: gender, tenure",
            {"target": "price", "ignore": ("gender", "tenure")},
        ),
        (
            "predict price. Ignore everything that identifies a person, that is the customerID",
            {"target": "price", "ignore": ("customerID",)},
        ),
        (
            "predict price. It is important to keep each patient in one fold",
            {"target": "price", "group": "patient_id"},
        ),
        ("predict price. X was mostly 30 seconds, and people stay on average two hours", {"target": "price"}),
        ("predict price. random forests only. 120 s.", {"target": "price", "time_limit_s": 120.0, "only": ("forest",)}),
        ("I want to know the price in advance", {"target": "price"}),
        ("predict Churn. F1 for the label 'yes'", {"target": "Churn", "metric": "f1", "positive": "yes"}),
        ("predict price. CatBoost alone will do", {"target": "price", "only": ("catboost",)}),
    ],
)
def test_prose(text: str, expected: dict[str, Any]) -> None:
    asked = parse_ask(text, COLUMNS)
    told = {"warnings", "unread", "target_guessed"}
    assert {
        f.name: getattr(asked, f.name)
        for f in fields(asked)
        if getattr(asked, f.name) not in (None, ()) and f.name not in told
    } == expected


def test_a_name_that_ends_in_out_is_no_order() -> None:
    asked = parse_ask("Dropped Out. AUC.", ["Dropped Out", "School Name", "Exam Score"])
    assert (asked.target, asked.ignore) == ("Dropped Out", ())


@pytest.mark.parametrize(
    ("text", "unread"),
    [
        ("predict price", []),
        ("predict price, be careful with outliers and use MAE", ["be careful with outliers"]),
        ("Hello! predict price, thanks. Do not hurry.", ["Do not hurry"]),
        ("I want AUC. predict Churn with AUC", []),  # each of the two says it
        ("predict price. Treat room_type as text", ["Treat room_type as text"]),
    ],
)
def test_demands_that_change_nothing_are_told(text: str, unread: list[str]) -> None:
    assert parse_ask(text, COLUMNS).unread == unread
