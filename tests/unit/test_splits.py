"""Splits: nothing in two places, nothing lost, groups whole, the future unseen, the same for the same seed."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automlgpt_local.data.splits import Splits, even_out, fold_count, holdout_share, make_splits
from automlgpt_local.errors import DataError
from automlgpt_local.task import TaskSpec


def task(kind: str = "binary", n_rows: int = 1000, **changes: Any) -> TaskSpec:
    return TaskSpec("y", kind, "roc_auc", 60.0, holdout=holdout_share(n_rows), **changes)  # type: ignore[arg-type]


def check(splits: Splits, n_rows: int) -> None:
    """Every row once in development or holdout; no row on both sides of a fold."""
    both = np.concatenate([splits.development, splits.holdout])
    assert np.array_equal(np.sort(both), np.arange(n_rows))
    for train, valid in splits.folds:
        assert len(train)
        assert len(valid)
        assert not set(train) & set(valid)
        assert max(train.max(), valid.max()) < len(splits.development)


@pytest.mark.parametrize(
    ("n_rows", "holdout", "folds"),
    [
        (199, 0, 8),
        (200, 40, 8),
        (1999, 400, 8),
        (2000, 200, 8),
        (4000, 400, 6),
        (20_000, 2000, 5),
        (40_000, 4000, 3),
        (200_000, 20_000, 1),
    ],
)
def test_sizes(n_rows: int, holdout: int, folds: int) -> None:
    y = np.arange(n_rows) % 2
    splits = make_splits(task(n_rows=n_rows), y)
    check(splits, n_rows)
    assert abs(len(splits.holdout) - holdout) <= 1
    assert len(splits.folds) == folds
    assert fold_count(len(splits.development)) == folds
    if folds > 1:
        validated = np.concatenate([valid for _, valid in splits.folds])
        assert np.array_equal(np.sort(validated), np.arange(len(splits.development)))


@pytest.mark.parametrize(
    ("n_folds", "side_by_side", "evened"),
    [(5, 1, 5), (5, 2, 4), (8, 2, 8), (3, 2, 4), (1, 2, 1), (5, 4, 4), (3, 4, 4), (5, 3, 6), (8, 3, 6), (5, 16, 5)],
)
def test_no_core_is_idle_in_the_last_round_of_folds(n_folds: int, side_by_side: int, evened: int) -> None:
    assert even_out(n_folds, side_by_side) == evened
    splits = make_splits(task(n_rows=15_000), np.arange(15_000) % 2, most_folds=n_folds, side_by_side=side_by_side)
    check(splits, 15_000)
    assert len(splits.folds) == even_out(min(5, n_folds), side_by_side)


@pytest.mark.parametrize(("n_rows", "repeats"), [(500, 3), (2400, 2), (9000, 1)])
def test_few_rows_are_cut_anew_as_often_as_the_time_allows(n_rows: int, repeats: int) -> None:
    y = np.arange(n_rows) % 2
    once, often = make_splits(task(n_rows=n_rows), y), make_splits(task(n_rows=n_rows), y, most_repeats=9)
    check(often, n_rows)
    assert (once.repeats, often.repeats) == (1, repeats)
    assert often.folds_of_a_cut == len(once.folds) and len(often.folds) == repeats * len(once.folds)
    first_parts = [valid for _, valid in often.folds[:: often.folds_of_a_cut]]
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(once.folds, often.folds)), "the first cut is the only one's"
    assert len({valid.tobytes() for valid in first_parts}) == repeats
    validated = np.bincount(np.concatenate([valid for _, valid in often.folds]))
    assert (validated == repeats).all()


def test_classes_are_in_proportion() -> None:
    y = (np.random.default_rng(0).random(3000) < 0.05).astype(int)
    splits = make_splits(task(n_rows=3000), y)
    assert splits.strategy == "stratified"
    for rows in (splits.holdout, *(splits.development[valid] for _, valid in splits.folds)):
        assert abs(y[rows].mean() - y.mean()) < 0.005


def test_a_regression_target_is_spread_evenly() -> None:
    y = np.random.default_rng(0).lognormal(sigma=2, size=1000)
    splits = make_splits(task("regression"), y)
    assert splits.strategy == "quantile-stratified"
    means = [np.log(y[splits.development[valid]]).mean() for _, valid in splits.folds]
    assert np.ptp(means) < 0.2


def test_the_seed_decides() -> None:
    y = np.arange(500) % 3
    first, again = make_splits(task("multiclass", seed=3), y), make_splits(task("multiclass", seed=3), y)
    other = make_splits(task("multiclass", seed=4), y)
    assert np.array_equal(first.holdout, again.holdout)
    assert all(np.array_equal(a, b) for fa, fb in zip(first.folds, again.folds) for a, b in zip(fa, fb))
    assert not np.array_equal(first.holdout, other.holdout)


@pytest.mark.parametrize("n_groups", [5, 60, 7000])
@pytest.mark.parametrize("kind", ["binary", "regression"])
def test_groups_stay_whole(n_groups: int, kind: str) -> None:
    rng = np.random.default_rng(0)
    group = rng.integers(0, n_groups, 9000)
    _, group = np.unique(group, return_inverse=True)
    y = rng.integers(0, 2, 9000) if kind == "binary" else rng.normal(size=9000)
    splits = make_splits(task(kind, 9000, group="g"), y, group=group)
    check(splits, 9000)
    assert splits.strategy == "grouped"
    assert not set(group[splits.development]) & set(group[splits.holdout])
    inner = group[splits.development]
    for train, valid in splits.folds:
        assert not set(inner[train]) & set(inner[valid])


def test_too_few_groups() -> None:
    with pytest.raises(DataError, match="group"):
        make_splits(task(group="g"), np.arange(100) % 2, group=np.arange(100) % 3)


def test_time_goes_forward() -> None:
    rng = np.random.default_rng(0)
    time = rng.integers(0, 300, 3000).astype(float)
    splits = make_splits(task("regression", 3000, time="t"), rng.normal(size=3000), time=time)
    check(splits, 3000)
    assert splits.strategy == "time-ordered"
    assert time[splits.development].max() < time[splits.holdout].min()
    inner = time[splits.development]
    assert len(splits.folds) == 5
    for train, valid in splits.folds:
        assert inner[train].max() < inner[valid].min()


def test_one_single_time_cannot_be_split() -> None:
    with pytest.raises(DataError, match="time"):
        make_splits(task("regression", 300, time="t"), np.arange(300.0), time=np.zeros(300))


@settings(deadline=None, max_examples=60)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=12), st.integers(0, 5), st.booleans())
def test_rare_classes_are_always_trained_on(counts: list[int], seed: int, large: bool) -> None:
    counts[0] += 250 if large else 20
    y = np.repeat(np.arange(len(counts)), counts)
    np.random.default_rng(seed).shuffle(y)
    splits = make_splits(task("multiclass", len(y), seed=seed), y)
    check(splits, len(y))
    assert set(y[splits.development]) == set(y)
    inner = y[splits.development]
    for train, _ in splits.folds:
        assert set(inner[train]) == set(y)


@pytest.mark.parametrize("seed", range(6))
def test_the_locked_rows_hold_a_rare_class_too(seed: int) -> None:
    y = np.zeros(3000, dtype=int)
    y[np.random.default_rng(seed).permutation(3000)[:8]] = 1
    splits = make_splits(task(n_rows=3000, seed=seed), y)
    assert y[splits.holdout].sum() == 1
    assert len(splits.holdout) == 300


@pytest.mark.parametrize("positives", [3, 5, 12])
def test_every_part_has_both_classes_of_a_rare_event(positives: int) -> None:
    y = np.zeros(2_500, dtype=int)
    y[:: len(y) // positives][:positives] = 1
    y = np.roll(y, 7)
    splits = make_splits(task(n_rows=len(y)), y)
    assert all(len(np.unique(y[splits.development][valid])) == 2 for _, valid in splits.folds) and len(splits.folds) > 1
