"""Ordinary sentences in which words that could give a role, a limit or a metric give none."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from automlgpt_local.language.request import parse_ask

COLUMNS = [
    "id", "price", "area", "city", "date", "year", "age", "score", "churn", "tenure", "patient_id", "weight", "height",
    "gender", "phone", "sold_date", "time", "data_source", "submitted_on",
]  # fmt: skip
TOLD = {"warnings", "unread", "target_guessed"}


def said(text: str) -> dict[str, Any]:
    asked = parse_ask(text, COLUMNS)
    return {
        f.name: getattr(asked, f.name)
        for f in fields(asked)
        if getattr(asked, f.name) not in (None, ()) and f.name not in TOLD
    }


@pytest.mark.parametrize(
    "text",
    [
        # group, time, weight
        "Do not group by city.", "Do not split by patient_id.", "Don't sort by date.", "Do not weight by age.",
        "Do not use age as the weight.",
        "Split into train and test, stratified by city.", "Use a single split, from area and city.",
        "Hold out one part for testing.", "Report the average score across folds.", "Use the same split as last year.",
        "city appears in both files.", "Houses on different sides of the city differ.",
        "Area is used in both train and test.", "It should work on unseen data.",
        "Keep area and city together as features.", "It is important that area and city are kept together.",
        "tenure is the time in months that the customer stayed.", "The file is sorted by city.",
        "People order by phone.", "Errors should be listed in order of area.",
        "score is the order total.", "height is the weight of the car in tons.",
        "The newest rows are the best.", "Make sure that it is done well.", "Keep it simple.",
        # left out
        "Area is very important, don't ignore it.", "Fill missing values in age, do not drop them.",
        "Age is not known for some rows.", "Rows with missing area should be dropped.",
        "Remember the outliers in area removed.", "gender should not be considered sensitive.", "Area should go first.",
        "Year is irrelevant before 2000.", "Some items are sold out.", "Requests that time out.",
        "area in square metres (~ age of the plan).", "All columns except city are numeric.",
        "Everything but city is a number.", "We do not know age for some rows.", "You can't rely on age alone.",
        "Take age into account and see how it turns out.", "In some rows there's no age.",
        "It should be out by Friday.", "both area and city matter.",
        # kinds of models, limits, metrics
        "The relation is not linear.", "There is no network on this machine.",
        "Only trees that are alive are in the data.", "The houses were built in the 1990s.",
        "They are within 500m of the sea.", "The revenue is $10m.", "They are flats 10 minutes from the centre.",
        "The data have a 5-minute interval.", "As I recall, age is in years.",
        "Area has a precision of 2 decimals.", "gender is binary.", "The data come from 12 trials.",
        "Try more than one model.", "Don't combine area and city into one feature.",
    ],
)  # fmt: skip
def test_no_more_than_the_target(text: str) -> None:
    assert said(f"Predict price. {text}") == {"target": "price"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Predict weight from height and age", {"target": "weight"}),
        ("Predict weight with height and age", {"target": "weight"}),
        ("Predict weight by age", {"target": "weight"}),
        ("Predict price. Use date only for the split", {"target": "price", "time": "date"}),
        ("Predict price. Use patient_id only for grouping", {"target": "price", "group": "patient_id"}),
        ("Predict price. Split into train and test by date", {"target": "price", "time": "date"}),
        ("Predict price. Validate by date", {"target": "price", "time": "date"}),
        ("Predict price, but note that the area was changed in 2020", {"target": "price"}),
        ("Predict price, but ignore area, it is not really known then", {"target": "price", "ignore": ("area",)}),
        ("Predict the future price using area and city", {"target": "price"}),
        ("Predict the price at the latest date with the area", {"target": "price"}),
        ("Train a regression model on price", {"target": "price", "kind": "regression"}),
        ("Build a regression model for price based on area and city", {"target": "price", "kind": "regression"}),
        ("Predict price for houses without age", {"target": "price"}),
        ("Predict price for plots without trees", {"target": "price"}),
        ("I want age and city left out. Goal: price", {"target": "price", "ignore": ("age", "city")}),
        ("I want city ignored. Target price", {"target": "price", "ignore": ("city",)}),
        ("Depending on what year it is, things change. I want the price", {"target": "price"}),
        ("I guess you can ignore id. Predict price", {"target": "price", "ignore": ("id",)}),
        ("We need good predictions for our customers. The target is churn.", {"target": "churn"}),
        ("The outcome is yes or no. Predict churn", {"target": "churn"}),
        ("Predict price. Many students will drop out", {"target": "price"}),
        ("Predict price. It will drop by next week", {"target": "price"}),
        ("Predict price. Exclude customers under 18", {"target": "price"}),
        ("Predict price. The age group is important", {"target": "price"}),
        ("Predict price. Groups are small", {"target": "price"}),
        ("Predict price and weight by score", {"target": "price", "weight": "score"}),
        ("Predict churn where city=Rome", {"target": "churn"}),
        ("We never want city. Predict price", {"target": "price", "ignore": ("city",)}),
        ("Predict churn after 3 attempts", {"target": "churn"}),
    ],
)
def test_the_meant_role_alone(text: str, expected: dict[str, Any]) -> None:
    assert said(text) == expected


def test_a_column_that_is_called_like_a_metric_or_a_model_is_a_column() -> None:
    asked = parse_ask(
        "predict price, ignore precision, forest and network", ["price", "precision", "forest", "network"]
    )
    assert (asked.ignore, asked.metric, asked.never) == (("precision", "forest", "network"), None, ())


@pytest.mark.parametrize(
    "text", ["predict price in \u017fix minutes", "in 10 \u017feconds", "9" * 400 + " trials", "9" * 400 + "h30"]
)
def test_odd_letters_and_endless_numbers_are_no_crash(text: str) -> None:
    parse_ask(text, COLUMNS)
