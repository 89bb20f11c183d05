"""The order in which recipes are tried when no model decides: cheap and strong first, another family early."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any


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
    if n_rows < 1_500:
        entries = _few_rows()
    elif kind == "multiclass":
        entries = _many_classes()
    elif kind == "regression":
        entries = _values()
    else:
        entries = _two_classes()
    if n_columns > 10 * n_rows or n_columns > 2_000:
        entries.sort(key=lambda e: e.recipe not in ("linear", "extra_trees"))
    slow = {"neighbours"} if n_rows > 100_000 or n_columns > 500 else set()
    slow |= {"neural"} if n_columns > 2_000 else set()
    kept = [e for e in entries if e.recipe not in slow]
    return [PortfolioEntry("lightgbm"), *[e for e in kept if not installed or e.recipe in installed]]


def _few_rows() -> list[PortfolioEntry]:
    return [
        PortfolioEntry("linear"),
        PortfolioEntry("catboost", {"depth": 4}),
        PortfolioEntry("extra_trees"),
        PortfolioEntry("lightgbm_extra", {"num_leaves": 8}),
        PortfolioEntry("random_forest"),
        PortfolioEntry("neural"),
        PortfolioEntry("catboost"),
        PortfolioEntry("xgboost", {"max_depth": 4}),
        PortfolioEntry("lightgbm", {"num_leaves": 8}),
        PortfolioEntry("neighbours"),
    ]


def _two_classes() -> list[PortfolioEntry]:
    return [
        PortfolioEntry("catboost"),
        PortfolioEntry("linear"),
        PortfolioEntry("lightgbm_extra"),
        PortfolioEntry("extra_trees"),
        PortfolioEntry("lightgbm_fine"),
        PortfolioEntry("neural"),
        PortfolioEntry("xgboost"),
        PortfolioEntry("lightgbm", {"num_leaves": 8}),
        PortfolioEntry("catboost", {"depth": 8}),
        PortfolioEntry("neighbours"),
        PortfolioEntry("random_forest"),
    ]


def _many_classes() -> list[PortfolioEntry]:
    return [
        PortfolioEntry("neural"),
        PortfolioEntry("extra_trees"),
        PortfolioEntry("neighbours"),
        PortfolioEntry("neural", {"width": 256}),
        PortfolioEntry("xgboost"),
        PortfolioEntry("linear"),
        PortfolioEntry("lightgbm_extra"),
        PortfolioEntry("catboost"),
        PortfolioEntry("random_forest"),
    ]


def _values() -> list[PortfolioEntry]:
    return [
        PortfolioEntry("catboost"),
        PortfolioEntry("extra_trees"),
        PortfolioEntry("lightgbm_fine"),
        PortfolioEntry("neural"),
        PortfolioEntry("lightgbm_extra"),
        PortfolioEntry("xgboost"),
        PortfolioEntry("linear"),
        PortfolioEntry("neighbours"),
        PortfolioEntry("catboost", {"depth": 8}),
        PortfolioEntry("random_forest"),
    ]
