"""Generated tables: the same for the same seed, profiled as the live system does, with a truth that fits."""

import numpy as np
import pytest

from automlgpt_local.agents import compact, feature_code, ideas
from finetune import tables
from finetune.cases import from_table


@pytest.mark.parametrize("family", tables.FAMILIES)
def test_a_table_is_determined_by_family_and_seed(family):
    first, second = (tables.generate(family, 7, n_rows=120) for _ in range(2))
    assert first.frame.equals(second.frame) and first.treatments == second.treatments and first.ideas == second.ideas
    assert not first.frame.equals(tables.generate(family, 8, n_rows=120).frame)
    assert set(first.treatments) == set(first.frame.columns) - {first.target}
    assert first.frame[first.target].nunique() > 1


@pytest.mark.parametrize("family", ["mixed", "parsed", "holes"])
def test_true_treatments_are_options_and_make_code_that_runs(family):
    case = from_table(tables.generate(family, 3, n_rows=150))
    right = case.true_treatments()
    assert all(right[c.name] in compact.TREATMENTS[c.kind] for c in case.profile.columns)
    space: dict = {}
    exec(feature_code.features_source(case.profile.columns, right), space)
    frame = space["features"](case.features)
    assert len(frame) == 150 and frame.columns.is_unique


def test_truth_of_pairs_is_among_the_proposals():
    found = total = 0
    for seed in range(6):
        case = from_table(tables.generate("pairs", seed, n_rows=400))
        keys = {i.key for i in ideas.propose(case.profile, case.true_treatments())}
        pairs = {frozenset(k.split(":")) for k in case.truth.ideas if k.count(":") == 2}
        total += len(pairs)
        found += sum(any(frozenset(k.split(":")) == p for k in keys) for p in pairs)
    assert total > 5 and found / total > 0.3


def test_error_is_lower_for_better_predictions():
    case = from_table(tables.generate("plain", 0, n_rows=200))
    n = len(case.y)
    if case.kind == "regression":
        good, bad = case.y.copy(), np.full(n, case.y.mean() + case.y.std())
    else:
        good = np.full((n, case.n_classes), 0.01)
        good[np.arange(n), case.y] = 1 - 0.01 * (case.n_classes - 1)
        bad = np.roll(good, 1, axis=1)
    assert 0 < case.error(good) < case.error(bad)


def test_fresh_rows_are_unknown_to_the_profile_and_alone_are_scored():
    table = tables.generate("plain", 1, n_rows=300)
    case, whole = from_table(table, fresh=100), from_table(table)
    [(train, scored)] = case.splits()
    assert case.profile.rows == len(train) == 200 and list(scored) == list(range(200, 300))
    seen = sorted(int(i) for _, part in whole.splits() for i in part)
    assert seen == list(range(300)) and len(whole.splits()) == 3
