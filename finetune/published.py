"""Where two cores cannot measure: the portfolio's order, and published hyper-parameters, for 6,000 rows and more.

Hyper-parameters are the recipes' defaults, the portfolio's variants, and AutoGluon's and pytabkit's tuned defaults,
each moved to the nearest value of the grid.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from automlgpt_local import recipes
from automlgpt_local.agents import compact
from automlgpt_local.agents.loop import OFFERED
from finetune.cases import Case
from finetune.rows import Row
from finetune.teachers import EXTRA, TIME_LIMITS_S, default_params, nearest_on_grid, plan, row

KNOWN_GOOD: dict[str, tuple[dict[str, Any], ...]] = {
    "lightgbm": (
        {
            "learning_rate": 0.05,
            "num_leaves": 63,
            "min_child_samples": 40,
            "min_data_in_leaf": 40,
            "feature_fraction": 0.7,
        },
        {"learning_rate": 0.05, "num_leaves": 127, "min_data_in_leaf": 10, "feature_fraction": 0.5},
    ),
    "lightgbm_fine": ({"learning_rate": 0.012, "num_leaves": 53, "min_data_in_leaf": 14, "feature_fraction": 0.7},),
    "lightgbm_extra": ({"learning_rate": 0.015, "num_leaves": 16, "min_data_in_leaf": 48, "feature_fraction": 0.56},),
    "catboost": (
        {"learning_rate": 0.069, "depth": 6, "l2_leaf_reg": 2.15},
        {"learning_rate": 0.03, "depth": 8, "l2_leaf_reg": 3.0},
    ),
    "xgboost": ({"learning_rate": 0.02, "max_depth": 10, "min_child_weight": 0.6, "colsample_bytree": 0.69},),
    "extra_trees": ({"max_features": 0.75, "min_samples_leaf": 1},),
}
SHARES = {"lightgbm": 0.03, "linear": 0.02, "lightgbm_extra": 0.04, "neighbours": 0.04, "xgboost": 0.06}  # of the limit


def published_rows(case: Case, rng: random.Random) -> Iterator[Row]:
    """The case's table stands in for one of 6,000 to 300,000 rows, on a machine with or without all recipes."""
    n_rows = int(10 ** rng.uniform(3.78, 5.5))
    limit_s = rng.choice(TIME_LIMITS_S)
    entries = plan(case, n_rows, without=rng.choice([(), EXTRA]), installed_only=False)
    order = list(dict.fromkeys(e.recipe for e in entries))
    tried = order[: rng.randint(0, len(order) - 1)]
    if len(tried) > 2 and rng.random() < 0.4:  # off the beaten track
        tried = rng.sample(order, len(tried))
    left = [n for n in order if n not in tried]
    board = _likely_board(tried, order, limit_s, rng)
    template = compact.next_recipe(board, left[:OFFERED])
    yield row(case, "next_recipe", "reasoner", "published", template, {"next": left[0]}, limit_s, n_rows)
    for name in rng.sample(order, 2):
        grid = recipes.load(installed_only=False)[name].grid
        if not grid:
            continue
        known = [*KNOWN_GOOD.get(name, ()), *(e.params for e in entries if e.recipe == name and e.params)]
        wanted = default_params(name)
        if known and rng.random() < 0.5:
            wanted = {**wanted, **rng.choice(known)}
        choices = {k: str(v) for k, v in nearest_on_grid(name, wanted).items()}
        template = compact.params(name, grid, board)
        yield row(case, "params", "coder", "published", template, choices, limit_s, n_rows)
    if len(tried) >= 3:
        strength = [n for n, rank, *_ in sorted(board, key=lambda b: _RANKS.index(b[1]))]
        template = compact.next_tune(board, strength[:4])
        choice = rng.choices(strength[:3], [0.6, 0.25, 0.15])[0]
        yield row(case, "next_tune", "reasoner", "published", template, {"next": choice}, limit_s, n_rows)


_RANKS = ("best", "high", "middle", "low")


def _likely_board(tried: list[str], order: list[str], limit_s: float, rng: random.Random) -> compact.Board:
    """Ranks and gains as such tables tend to have them, with noise."""
    worth = {n: -0.01 * order.index(n) + rng.gauss(0, 0.012) for n in tried}
    ranked = sorted(tried, key=lambda n: -worth[n])
    first = worth[tried[0]] if tried else 0.0
    return [
        (
            n, compact.rank_bucket(ranked.index(n) + 1, len(tried)), compact.gain_bucket(worth[n] - first),
            compact.seconds_bucket(limit_s * SHARES.get(n, 0.12) * rng.uniform(0.4, 2), limit_s),
        )
        for n in tried
    ]  # fmt: skip
