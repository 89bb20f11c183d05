"""Plain English into flags."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from automlgpt_local.errors import UsageError
from automlgpt_local.language.request import Asked, parse_ask

COLUMNS = [
    "customerID", "gender", "tenure", "MonthlyCharges", "price", "sqft_living", "patient_id", "visit date", "date",
    "Churn", "sample_w", "precision", "room_type", "Survived", "class", "y",
]  # fmt: skip


def said(text: str) -> dict[str, Any]:
    asked = parse_ask(text, COLUMNS)
    return {
        f.name: getattr(asked, f.name)
        for f in fields(asked)
        if getattr(asked, f.name) not in (None, (), []) and f.name != "unread"
    }


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("predict price", {"target": "price"}),
        ("predict price, do not drop tenure, and never ignore the gender", {"target": "price"}),
        ("predict Churn. Don't use accuracy, use F1", {"target": "Churn", "metric": "f1"}),
        ("predict Churn by AUC instead of accuracy", {"target": "Churn", "metric": "roc_auc"}),
        ("predict Churn, I want AUC", {"target": "Churn", "metric": "roc_auc"}),
        ("predict Churn. I don’t want recall; f1 is the important metric", {"target": "Churn", "metric": "f1"}),
        ("Please forecast the prices.", {"target": "price"}),
        ("predict `visit date`", {"target": "visit date"}),
        ("predict the visit date in 90s", {"target": "visit date", "time_limit_s": 90.0}),
        ("the target is Churn, positive class is Yes", {"target": "Churn", "positive": "Yes"}),
        ('treat "No" as positive, predict Churn', {"target": "Churn", "positive": "No"}),
        (
            "Predict the price, minimise MAE, in 10 minutes, and ignore the customer ID column",
            {"target": "price", "metric": "mae", "time_limit_s": 600.0, "ignore": ("customerID",)},
        ),
        (
            "predict whether a customer will churn, maximise AUC",
            {"target": "Churn", "metric": "roc_auc"},
        ),
        (
            "predict churn with only linear models and no neural nets",
            {"target": "Churn", "only": ("linear",), "never": ("neural",)},
        ),
        (
            "predict Churn using gradient boosting only within half an hour",
            {"target": "Churn", "only": ("lightgbm", "xgboost", "catboost"), "time_limit_s": 1800.0},
        ),
        (
            "predict price without neural networks or forests. Ordered by date",
            {"target": "price", "never": ("neural", "forest"), "time": "date"},
        ),
        (
            "predict price grouped by patient, weighted by sample_w, 50 trials, two threads",
            {"target": "price", "group": "patient_id", "weight": "sample_w", "trials": 50, "threads": 2},
        ),
        ("use sample_w as sample weight, predict y", {"target": "y", "weight": "sample_w"}),
        ("Keep all rows of one patient together, predict price", {"target": "price", "group": "patient_id"}),
        ("predict the precision, optimise recall", {"target": "precision", "metric": "recall"}),
        (
            "don't use MonthlyCharges, tenure and gender. predict Churn for F1",
            {"target": "Churn", "ignore": ("MonthlyCharges", "tenure", "gender"), "metric": "f1"},
        ),
        (
            "drop sqft living and room type; predict price; no ensembling",
            {"target": "price", "ignore": ("sqft_living", "room_type"), "ensemble": False},
        ),
        ("classify Churn, balanced accuracy", {"target": "Churn", "kind": "multiclass", "metric": "balanced_accuracy"}),
        ("predict class as a number from 3 to 9", {"target": "class", "kind": "regression"}),
        ("Estimate the price as separate classes", {"target": "price", "kind": "multiclass"}),
        ("predict price and treat room_type as a category", {"target": "price"}),
        ("predict price in 2 hours and 30 minutes", {"target": "price", "time_limit_s": 9000.0}),
        ("predict price but not from tenure and gender", {"target": "price", "ignore": ("tenure", "gender")}),
        ("predict Churn, churn='Yes'", {"target": "Churn", "positive": "Yes"}),
        ("predict Churn; positive=No", {"target": "Churn", "positive": "No"}),
        ("predict the yearly outcome (y)", {"target": "y"}),
        ("Do not use xgboost or catboost to predict y", {"target": "y", "never": ("xgboost", "catboost")}),
        ("don't predict the price but Churn", {"target": "Churn"}),
        ("Instead of predicting price, predict Churn", {"target": "Churn"}),
        ("Churn should be predicted", {"target": "Churn"}),
        ("use price as the target", {"target": "price"}),
        ("predict Churn with everything except tenure", {"target": "Churn", "ignore": ("tenure",)}),
        ("use all columns but the customer ID to predict Churn", {"target": "Churn", "ignore": ("customerID",)}),
        ("predict Churn; the gender must not be used", {"target": "Churn", "ignore": ("gender",)}),
        ("predict Churn. gender and tenure should be ignored", {"target": "Churn", "ignore": ("gender", "tenure")}),
        ("predict Churn. You can't use gender", {"target": "Churn", "ignore": ("gender",)}),
        ("predict Churn, no gender or tenure please", {"target": "Churn", "ignore": ("gender", "tenure")}),
        ("predict Churn, no date limit", {"target": "Churn"}),
        ("We're not interested in price, we want Churn", {"target": "Churn"}),
        (
            "predict y. tenure leaks, do not let the model see it. price goes out.",
            {"target": "y", "ignore": ("tenure", "price")},
        ),
        ("tenure must not be used. Neither should gender. predict y", {"target": "y", "ignore": ("tenure", "gender")}),
        ("predict y with everything bar tenure, ditch price", {"target": "y", "ignore": ("tenure", "price")}),
        (
            "predict y; date tells you the order. Don't combine models",
            {"target": "y", "time": "date", "ensemble": False},
        ),
        ('build a "good" model with "median" values, keep "it" short, no "magic". predict y', {"target": "y"}),
        (
            "Neither tenure nor gender should be used. Predict Churn",
            {"target": "Churn", "ignore": ("tenure", "gender")},
        ),
        ("predict Churn. gender must not be a feature", {"target": "Churn", "ignore": ("gender",)}),
        ("tenure is just noise so throw it away. Learn Churn.", {"target": "Churn", "ignore": ("tenure",)}),
        (
            "predict Churn, leaving aside price, and forget the tenure column",
            {"target": "Churn", "ignore": ("price", "tenure")},
        ),
        ("predict y from tenure. LightGBM is slow, don't use it", {"target": "y", "never": ("lightgbm",)}),
        ("predict price and split the data by gender", {"target": "price", "group": "gender"}),
        ("Model price; sample_w holds the weights.", {"target": "price", "weight": "sample_w"}),
        ("I need a Churn model, and gender is not to be used", {"target": "Churn", "ignore": ("gender",)}),
        ("The response variable is Survived.", {"target": "Survived"}),
        ("Given the past, predict future visit date", {"target": "visit date"}),
        ("predict price with visit date as time", {"target": "price", "time": "visit date"}),
        ("predict price; use date as the time column", {"target": "price", "time": "date"}),
        ("predict price. Validate forward in time using date.", {"target": "price", "time": "date"}),
        ("Take out gender. Predict price. Stay away from tenure.", {"target": "price", "ignore": ("gender", "tenure")}),
        (
            "predict y, keep XGBoost out of this. Random forests are not allowed",
            {"target": "y", "never": ("xgboost", "forest")},
        ),
        ("predict y. Neither neural nets nor knn.", {"target": "y", "never": ("neural", "neighbours")}),
        ("predict y with a linear model, nothing else", {"target": "y", "only": ("linear",)}),
        ("predict y. Ensembles are not wanted", {"target": "y", "ensemble": False}),
        ("train one good model quickly, predict y", {"target": "y", "ensemble": False}),
        ("predict Churn, leave gender out", {"target": "Churn", "ignore": ("gender",)}),
        ("predict price; don't use either tenure or gender", {"target": "price", "ignore": ("tenure", "gender")}),
        ("predict y from tenure, not gender", {"target": "y", "ignore": ("gender",)}),
        ("predict y, drop tenure and also gender", {"target": "y", "ignore": ("tenure", "gender")}),
        ("predict y, drop tenure / gender, then price", {"target": "y", "ignore": ("tenure", "gender", "price")}),
        ("predict y, ignoring tenure (useless) and gender", {"target": "y", "ignore": ("tenure", "gender")}),
        ("predict y. No need to drop tenure, no reason to ignore gender", {"target": "y"}),
        ("predict price; date is the time column", {"target": "price", "time": "date"}),
        ("predict price; validate on the future using visit date", {"target": "price", "time": "visit date"}),
        ("predict price; split by visit date", {"target": "price", "time": "visit date"}),
        ("predict price; time based split on date", {"target": "price", "time": "date"}),
        ("predict price, group: patient_id", {"target": "price", "group": "patient_id"}),
        (
            "target=price group=patient_id weight=sample_w",
            {"target": "price", "group": "patient_id", "weight": "sample_w"},
        ),
        ("predict price, grouped cross-validation by gender", {"target": "price", "group": "gender"}),
        ("predict price for patients the model has never seen", {"target": "price", "group": "patient_id"}),
        ("predict price; sample_w is the weight column", {"target": "price", "weight": "sample_w"}),
        ("predict price, weight rows by sample_w", {"target": "price", "weight": "sample_w"}),
        ("predict y. Not just linear models, all models but neural nets", {"target": "y", "never": ("neural",)}),
        ("predict Churn, class Yes should be positive", {"target": "Churn", "positive": "Yes"}),
        ("predict Churn. A false positive is costly", {"target": "Churn"}),
        ("predict Churn, no accuracy please, use f1", {"target": "Churn", "metric": "f1"}),
        ("predict Churn. Ignore accuracy; what counts is AUC", {"target": "Churn", "metric": "roc_auc"}),
        (
            "predict Churn. accuracy is misleading, use balanced accuracy",
            {"target": "Churn", "metric": "balanced_accuracy"},
        ),
    ],
)
def test_sentences(text: str, expected: dict[str, Any]) -> None:
    assert said(text) == expected


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("predict whether a patient will be readmitted within 48 hours (readmitted)", None),
        ("which customers churn in the next 24 hours? Train for 5 minutes", 300.0),
        ("will it rain in 2 hours, in 10 minutes please", 600.0),
        ("predict if the flight is delayed by more than 15 minutes", None),
        ("forecast the price in the next 60 minutes", None),
        ("predict whether the ticket is closed within 30 minutes; take no more than 2 minutes", 120.0),
        ("you have two hours to predict whether they churn", 7200.0),
        ("predict whether they churn in 10 minutes", 600.0),
        ("finish within the next 3 minutes", 180.0),
        ("predict price within 2 hours", 7200.0),
        ("predict y, 90 seconds", 90.0),
        ("the probability of failure within 12h. Budget 1.5 hours", 5400.0),
        ("Is the patient readmitted within 48 hours of discharge?", None),
        ("we know the price 2 hours before departure", None),
        ("a flight is late when it arrives 30 min late; predict y; 4 min", 240.0),
        ("the old model took 40 minutes, I want 5 minutes", 300.0),
        ("predict y in 30 days", None),
        ("predict y, 120s", 120.0),
        ("predict y, 1h30m max", 5400.0),
        ("predict y, 1h30", 5400.0),
        ("predict y within 2 min 30 s", 150.0),
        ("I don't want a time limit of an hour, ten minutes is plenty. predict y", 600.0),
        ("predict y, give it half hour", 1800.0),
        ("predict y, 1 hour 30 minutes", 5400.0),
        ("spend an hour and a half on y", 5400.0),
        ("predict y; time limit twenty-five minutes", 1500.0),
        ("predict y, two and a half minutes", 150.0),
        ("predict y, 1,5 hours", 5400.0),
        ("predict y in 5:00 minutes", 300.0),
        ("predict y, 2 days", 172800.0),
        ("don't take more than 10 minutes to predict y", 600.0),
    ],
)
def test_a_duration_of_the_question_is_no_time_limit(text: str, seconds: float | None) -> None:
    assert parse_ask(text, COLUMNS).time_limit_s == seconds


@pytest.mark.parametrize(
    ("text", "target", "used"),
    [
        ("predict sales from month and price only", "sales", {"month", "price"}),
        ("predict sales using price alone", "sales", {"price"}),
        ("regress sales on month and price", "sales", {"month", "price"}),
        ("sales ~ month + price", "sales", {"month", "price"}),
        ("forecast next month's sales by store", "sales", {"month", "price", "store", "churned"}),
        ("churned prediction please, 2 min", "churned", {"month", "price", "store", "sales"}),
        ("a prediction of sales", "sales", {"month", "price", "store", "churned"}),
    ],
)
def test_what_is_predicted_and_from_what(text: str, target: str, used: set[str]) -> None:
    columns = ["month", "sales", "price", "store", "churned"]
    asked = parse_ask(text, columns)
    assert asked.target == target
    assert set(columns) - {target, *asked.ignore} == used


@pytest.mark.parametrize(
    ("words", "metric"),
    [
        ("root mean squared log error", "rmsle"),
        ("RMSLE", "rmsle"),
        ("mean squared error", "rmse"),
        ("R²", "r2"),
        ("the area under the curve", "roc_auc"),
        ("PR-AUC", "average_precision"),
        ("cross-entropy", "log_loss"),
        ("macro F1", "f1_macro"),
        ("quadratic weighted kappa", "qwk"),
        ("median absolute error", "medae"),
        ("mean absolute percentage error", "mape"),
        ("Matthews correlation", "mcc"),
    ],
)
def test_metrics_have_many_names(words: str, metric: str) -> None:
    assert said(f"predict price, optimise {words}")["metric"] == metric


def test_of_several_metrics_the_wanted_one() -> None:
    asked = parse_ask("predict price and report RMSE, but minimise MAE", COLUMNS)
    assert asked.metric == "mae"
    assert "several metrics" in asked.warnings[0]


@pytest.mark.parametrize(
    "text",
    [
        "use only tenure and gender to predict Churn",
        "predict Churn from just tenure and gender",
        "predict Churn with tenure and gender as the only features",
        "predict Churn. Only tenure and gender may be used",
        "predict Churn using nothing but gender and tenure",
        "predict Churn; features: tenure, gender",
        "predict Churn. Discard every column except gender and tenure",
        "predict Churn based solely on tenure and gender",
        "predict Churn. The only features you may use are gender and tenure",
        "predict Churn. Ignore everything but tenure and gender",
        "predict Churn using tenure and gender. Nothing else.",
    ],
)
def test_use_only_ignores_the_rest(text: str) -> None:
    assert set(said(text)["ignore"]) == set(COLUMNS) - {"tenure", "gender", "Churn"}


@pytest.mark.parametrize(
    "text",
    [
        "predict price, without what the gender tells us",
        "predict price for people with no gender",
        "predict price; do not use tenure for legal reasons, nor gender",
    ],
)
def test_what_is_said_of_a_column_and_not_understood_is_told(text: str) -> None:
    asked = parse_ask(text, COLUMNS)
    (warning,) = asked.warnings
    assert "gender" in warning and "not understood" in warning
    assert "gender" not in asked.ignore


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("predict price and tenure", "one column"),
        ("predict Churn, brier score", "no metric 'brier score'"),
        ("predict price; metric: huber", "no metric 'huber'"),
        ("predict price with poisson deviance", "no metric 'poisson deviance'"),
        ("predict Churn using only gender and tenuer", "'tenuer'"),
        ("predict Churn, drop gender, tenuer", "'tenuer'"),
    ],
)
def test_what_cannot_be_done_is_an_error_that_says_what(text: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        parse_ask(text, COLUMNS)


def test_a_target_in_other_words_is_taken_with_a_warning() -> None:
    assert said("predict survival")["target"] == "Survived"
    assert said("predict survival")["warnings"]
    assert said("Which customers will churn?")["target"] == "Churn"
    assert said("Which customers of what gender and tenure will churn?")["target"] == "Churn"
    assert "target" not in said("predict whether they will leave")
    assert "not whether" in said("predict if price is above 100")["warnings"][0]


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("predict prise", "price"),
        ('predict "room typ"', "room_type"),
        ("ignore tenur", "tenure"),
        ("ignore tenure, gendr columns", "gender"),
        ("predict y, group by hospital", "customerID"),
        ("predict y, weighted by wt", "customerID"),
    ],
)
def test_unknown_columns_are_errors_with_near_names(text: str, near: str) -> None:
    with pytest.raises(UsageError, match="no such column") as caught:
        parse_ask(text, COLUMNS)
    assert near in caught.value.hint


def test_an_ambiguous_word_names_what_it_could_be() -> None:
    with pytest.raises(UsageError, match="customerID or patient_id"):
        parse_ask("predict y and ignore the id", COLUMNS)


def test_what_is_no_column_is_passed_over_with_a_warning() -> None:
    asked = parse_ask("predict price, ignore missing values and outliers", COLUMNS)
    assert asked.ignore == ()
    assert asked.warnings


WORDS = [
    "predict", "ignore", "price", "the", "id", "group by", "minimise", "mae", "in 10 minutes", "only", "no",
    "linear models", "and", ",", ".", "positive", "is", "Yes", '"price"', "'", "use", "weight", "without",
    "neural nets", "target", "churn", "not",
]  # fmt: skip


@settings(deadline=None, max_examples=80)
@example(words=["predict", "'", '"price"'])
@example(words=["ignore", "price", ",", '"', "'"])
@given(st.lists(st.sampled_from(WORDS) | st.text(max_size=8), max_size=25))
def test_any_words_give_an_answer_or_a_usage_error(words: list[str]) -> None:
    try:
        asked = parse_ask(" ".join(words), COLUMNS)
    except UsageError as error:
        assert error.hint
        return
    assert isinstance(asked, Asked)
    assert asked.target is None or asked.target in COLUMNS
    assert set(asked.ignore) <= set(COLUMNS)
    assert asked.time_limit_s is None or asked.time_limit_s >= 0
