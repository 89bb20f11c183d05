"""The order in which recipes are tried when no model decides: cheap and strong first, another family early.

A recipe's first entry is tried when the kinds of model are compared, its later ones when the good ones are tuned.
Orders and values come from cross-validation on training rows of public tables, never from a benchmark's test rows.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

MANY_ROWS, VERY_MANY_ROWS = 30_000, 60_000


@dataclass(frozen=True)
class PortfolioEntry:
    recipe: str
    params: dict[str, Any] = field(default_factory=dict)


def order(
    kind: str,
    metric: str,
    n_rows: int,
    n_columns: int,
    n_classes: int = 0,
    category_share: float = 0.0,
    text_share: float = 0.0,
    installed: Collection[str] = (),
) -> list[PortfolioEntry]:
    """Entries to try, first to last. `installed`: names of recipes that can run here; empty means all.

    n_rows: training rows. category_share, text_share: share of columns of that kind.
    """
    if n_columns > 2_000 or n_columns > 2 * n_rows:
        entries = _wide()
    elif n_rows < 1_500:
        entries = _few_rows(kind)
    elif kind == "multiclass":
        entries = _many_classes(n_classes)
    elif kind == "regression":
        entries = _values(n_rows)
    elif n_rows > MANY_ROWS:
        entries = _two_classes_many_rows(n_rows)
    else:
        entries = _two_classes(n_rows, category_share)
    # On many rows neighbours got no weight beside boosting; with many classes they are cheap, and often good.
    slow = {"neighbours"} if n_rows > (VERY_MANY_ROWS if n_classes > 10 else 8_000) or n_columns > 500 else set()
    slow |= {"random_forest"} if n_rows > 200_000 else set()
    slow |= {"linear"} if metric == "log_loss" and n_classes > 300 else set()
    kept = [PortfolioEntry(recipe, params) for recipe, params in entries if recipe not in slow]
    return [e for e in kept if not installed or e.recipe in installed]


Entries = list[tuple[str, dict[str, Any]]]


def _few_rows(kind: str) -> Entries:
    """Variance is the enemy: shallow trees, strong penalties, averages of many trees."""
    leaf = 1 if kind == "regression" else 3
    return [
        ("linear", {}),
        ("catboost", {"depth": 4, "learning_rate": 0.04, "bootstrap_type": "Bayesian"}),
        ("extra_trees", {"min_samples_leaf": leaf}),
        ("lightgbm", {"num_leaves": 8, "learning_rate": 0.04}),
        ("random_forest", {"min_samples_leaf": leaf}),
        ("xgboost", {"max_depth": 4, "small_trees": 100}),
        ("neural", {"dropout": 0.25}),
        ("lightgbm_extra", {"num_leaves": 8}),
        ("neighbours", {}),
        ("catboost", {}),
        ("linear", {"bins": 0}),
        ("extra_trees", {"max_features": "sqrt", "min_samples_leaf": leaf}),
        ("neural", {"dropout": 0.25, "bins": 0, "width": 64}),
    ]


def _two_classes(n_rows: int, category_share: float) -> Entries:
    """Small trees first, for most such targets are noisy; large ones after them, for tables with structure."""
    shallow = {"depth": 4, "learning_rate": 0.04, "bootstrap_type": "Bayesian"}
    catboost: Entries = [("catboost", {} if n_rows > 8_000 else shallow)]
    linear: Entries = [("linear", {"bins": 16})]
    return [
        ("lightgbm", {"num_leaves": 24 if n_rows > 8_000 else 8}),
        *(catboost + linear if category_share > 0.2 and n_rows > 8_000 else linear + catboost),
        ("lightgbm_fine", {}),
        ("extra_trees", {"min_samples_leaf": 5}),
        ("lightgbm_extra", {} if n_rows > 8_000 else {"num_leaves": 8}),
        ("neural", {}),
        ("xgboost", {"max_depth": 4, "min_child_weight": 10.0}),
        ("random_forest", {"min_samples_leaf": 5}),
        ("neighbours", {}),
        ("catboost", {"bootstrap_type": "Bayesian"} if n_rows > 8_000 else {}),
        ("lightgbm", {"num_leaves": 8 if n_rows > 8_000 else 24}),
        ("lightgbm", {"num_leaves": 63, "feature_fraction": 0.4, "learning_rate": 0.03}),
        ("extra_trees", {"min_samples_leaf": 15, "max_features": 0.75}),
        ("catboost", {"depth": 4, "learning_rate": 0.03, "l2_leaf_reg": 10.0}),
        ("lightgbm", {"num_leaves": 4, "learning_rate": 0.08}),
        ("extra_trees", {"min_samples_leaf": 1}),
        ("neural", {"width": 256, "dropout": 0.25, "rate": 0.003}),
        ("linear", {"bins": 32}),
        ("xgboost", {"max_depth": 8, "learning_rate": 0.03, "colsample_bytree": 0.4}),
    ]


def _first_rate(n_rows: int) -> float:
    """With very many rows half the trees, a little worse, leave their time to other models."""
    return 0.1 if n_rows > VERY_MANY_ROWS else 0.05


def _two_classes_many_rows(n_rows: int) -> Entries:
    """Larger trees first: a few of them say what thousands of small ones do, in less time."""
    return [
        ("lightgbm", {"num_leaves": 63, "learning_rate": _first_rate(n_rows)}),
        ("xgboost", {"max_depth": 8, "learning_rate": 0.1}),
        ("neural", {}),
        ("catboost", {}),
        ("extra_trees", {"min_samples_leaf": 3}),
        ("lightgbm_extra", {}),
        ("linear", {"bins": 16}),
        ("lightgbm_fine", {}),
        ("random_forest", {"min_samples_leaf": 5}),
        ("lightgbm", {"num_leaves": 127, "learning_rate": 0.1}),
        ("lightgbm", {"num_leaves": 24}),
        ("xgboost", {"max_depth": 10, "learning_rate": 0.05, "colsample_bytree": 0.4}),
        ("catboost", {"depth": 8, "learning_rate": 0.1}),
        ("lightgbm", {"num_leaves": 255, "learning_rate": 0.06, "feature_fraction": 0.4}),
        ("neural", {"width": 256, "dropout": 0.25, "rate": 0.003}),
        ("extra_trees", {"min_samples_leaf": 1}),
    ]


def _many_classes(n_classes: int) -> Entries:
    """A network and neighbours share their work between classes; boosting pays for each class."""
    lightgbm: Entries = [("lightgbm", {"learning_rate": 0.08})]
    late: Entries = [("lightgbm", {"num_leaves": 63, "feature_fraction": 0.4})]
    deep: Entries = [("neural", {"width": 256, "layers": 3, "max_epochs": 30, "members": 2, "dropout": 0.1})]
    if n_classes > 10:  # splits drawn at random and forests of bootstraps pay as well, for nothing beside these
        return [
            ("neural", {"width": 256, "max_epochs": 40, "members": 2}),
            ("extra_trees", {"min_samples_leaf": 1}),
            ("neighbours", {}),
            ("linear", {}),
            *lightgbm,
            ("xgboost", {"learning_rate": 0.1}),
            ("catboost", {"learning_rate": 0.1}),
            ("neural", {"max_epochs": 50}),
            *deep,
            *late,
        ]
    return [
        *lightgbm,
        ("neural", {"max_epochs": 50}),
        ("extra_trees", {"min_samples_leaf": 1}),
        ("catboost", {"learning_rate": 0.1}),
        ("xgboost", {"learning_rate": 0.1}),
        ("lightgbm_extra", {"learning_rate": 0.1}),
        ("random_forest", {"min_samples_leaf": 1}),
        *late,
        *deep,
        ("neighbours", {}),
        ("neural", {"width": 256, "max_epochs": 40}),
        ("linear", {}),
    ]


def _values(n_rows: int) -> Entries:
    """With very many rows, first what a short time allows."""
    linear: Entries = [("linear", {"bins": 32})]
    early: Entries = [("catboost", {}), ("neural", {}), *linear]
    late: Entries = []
    if n_rows > VERY_MANY_ROWS:
        early, late = [("xgboost", {"max_depth": 8, "learning_rate": 0.1}), ("neural", {}), ("catboost", {})], linear
    return [
        ("lightgbm", {"num_leaves": 63, "learning_rate": _first_rate(n_rows)}),
        *early,
        ("lightgbm_fine", {"num_leaves": 128, "min_data_in_leaf": 5}),
        ("lightgbm_extra", {}),
        ("extra_trees", {"min_samples_leaf": 1}),
        ("xgboost", {"max_depth": 8, "learning_rate": 0.03}),
        ("neighbours", {}),
        *late,
        ("random_forest", {"min_samples_leaf": 1}),
        ("catboost", {"bootstrap_type": "Bayesian"}),
        ("extra_trees", {"min_samples_leaf": 1, "max_features": "sqrt"}),
        ("neural", {"width": 256, "max_epochs": 60, "bins": 24}),
        ("lightgbm", {"num_leaves": 8, "learning_rate": 0.04}),
        ("lightgbm", {"num_leaves": 127, "feature_fraction": 0.5, "learning_rate": 0.03, "min_data_in_leaf": 5}),
        ("catboost", {"depth": 8, "learning_rate": 0.05}),
        ("catboost", {"depth": 4, "learning_rate": 0.08}),
    ]


def _wide() -> Entries:
    """Far more columns than rows can tell apart."""
    return [
        ("linear", {"bins": 0}),
        ("extra_trees", {"max_features": "sqrt", "min_samples_leaf": 1}),
        ("lightgbm", {"num_leaves": 8, "feature_fraction": 0.2}),
        ("random_forest", {"max_features": "sqrt"}),
        ("xgboost", {"max_depth": 3, "colsample_bytree": 0.1}),
        ("catboost", {"depth": 4}),
        ("neural", {"bins": 0, "dropout": 0.4, "width": 64}),
    ]
