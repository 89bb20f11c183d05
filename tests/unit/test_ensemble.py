import numpy as np
import pytest
from sklearn import metrics as sk
from sklearn.metrics import cohen_kappa_score

from automlgpt_local.decision import adjust
from automlgpt_local.metrics import METRICS
from automlgpt_local.search.confusion import THRESHOLD_METRICS, score_of_labels, scores_by_threshold
from automlgpt_local.search.decision import decided_score, decision
from automlgpt_local.search.ensemble import _auc, _of_ranks, _rows, mix, select


def _values(n: int = 400) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    rng = np.random.default_rng(0)
    y = rng.normal(size=n)
    return y, {i: y + rng.normal(size=n) * (1 + 0.2 * i) for i in range(4)}


def _classes(n: int = 600, k: int = 3, members: int = 4) -> tuple[np.ndarray, dict[int, np.ndarray]]:
    rng = np.random.default_rng(1)
    truth = rng.normal(size=(n, k)) * 1.5 + np.arange(k) * 0.6
    y = (truth + rng.gumbel(size=(n, k))).argmax(axis=1)
    found = {}
    for i in range(members):
        odds = np.exp(truth + rng.normal(size=(n, k)) * (0.5 + 0.3 * i))
        found[i] = odds / odds.sum(axis=1, keepdims=True)
    return y, found


def test_blend_of_independent_errors_beats_its_best_member() -> None:
    y, found = _values()
    blend = select(found, y, METRICS["rmse"])
    assert blend.score < min(METRICS["rmse"].score(y, p) for p in found.values()) * 0.85
    assert sum(blend.weights.values()) == pytest.approx(1.0)
    assert blend.score == pytest.approx(METRICS["rmse"].score(y, mix(found, blend.weights)))
    assert blend.weights[0] == max(blend.weights.values())


def _rare(rng: np.random.Generator, a: float, b: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    p = rng.beta(a, b, size=n)
    return (rng.random(n) < p).astype(int), np.column_stack([1 - p, p])


@pytest.mark.parametrize("name", ["roc_auc", "log_loss", "accuracy", "f1", "mcc", "average_precision", "qwk"])
@pytest.mark.parametrize("k", [2, 3])
def test_every_metric_finds_a_blend_no_worse_than_the_worst_member(name: str, k: int) -> None:
    y, found = _classes(k=k)
    metric = METRICS[name]
    losses = [metric.loss(metric.score(y, p)) for p in found.values()]
    assert metric.loss(select(found, y, metric).score) < np.mean(losses)


def test_a_perfect_member_stays_alone() -> None:
    y, found = _values()
    assert select({**found, 9: y.copy()}, y, METRICS["rmse"]).weights == {9: 1.0}


def test_equal_members_count_once_and_single_members_are_taken() -> None:
    y, found = _values()
    assert select({3: found[0], 7: found[0].copy()}, y, METRICS["mae"]).weights == {3: 1.0}
    assert select({5: found[1]}, y, METRICS["mae"]).weights == {5: 1.0}


def test_few_rows_spread_part_of_the_weight() -> None:
    y, found = _values(100)
    few = select(found, y, METRICS["rmse"]).weights
    y, found = _values(4000)
    many = select(found, y, METRICS["rmse"]).weights
    assert min(few.get(i, 0.0) for i in found) > 0.1
    assert min(many.get(i, 0.0) for i in found) < 0.2


def test_never_more_members_than_allowed() -> None:
    y, found = _values()
    assert len(select(found, y, METRICS["rmse"], max_members=2).weights) <= 2


def test_weights_of_rows_count() -> None:
    y = np.r_[np.zeros(50), np.ones(50)]
    found = {0: np.zeros(100), 1: np.ones(100)}
    weight = np.r_[np.full(50, 10.0), np.ones(50)]
    assert select(found, y, METRICS["mae"], weight).weights == {0: 1.0}


def test_nothing_to_select_is_an_error() -> None:
    with pytest.raises(ValueError, match="no member"):
        select({}, np.zeros(3), METRICS["rmse"])


def test_auc_equals_that_of_sklearn_with_ties() -> None:
    rng = np.random.default_rng(2)
    y, p = rng.integers(0, 2, 500), rng.random(500).round(1)
    assert _auc(y == 1, p) == pytest.approx(sk.roc_auc_score(y, p))


@pytest.mark.parametrize("name", THRESHOLD_METRICS)
def test_fast_scores_equal_those_of_sklearn(name: str) -> None:
    y, found = _classes()
    weight = np.random.default_rng(0).random(len(y))
    expected = METRICS[name].score(y, found[0], weight)
    assert score_of_labels(name, y, found[0].argmax(axis=1), 3, weight) == pytest.approx(expected)
    y2, p = (y > 0) * 1, found[0][:, 1]
    thresholds, scores = scores_by_threshold(name, y2, p, weight, cuts=100)
    decided = np.column_stack([p < thresholds[30], p >= thresholds[30]]).astype(float)
    assert thresholds[50] == pytest.approx(0.5) and thresholds[0] == 0 and 0 < thresholds[1] < 0.001
    assert scores[30] == pytest.approx(METRICS[name].score(y2, decided, weight))


def test_a_rare_class_gets_a_lower_threshold_for_f1() -> None:
    y, blended = _rare(np.random.default_rng(3), 0.6, 6, 6000)
    found = decision(y, blended, METRICS["f1"])
    assert found["multipliers"][0] < 0.4
    assert METRICS["f1"].score(y, adjust(blended, found)) > METRICS["f1"].score(y, blended) + 0.1


@pytest.mark.parametrize("name", ["f1", "mcc", "balanced_accuracy"])
def test_attempts_are_ranked_by_what_a_threshold_of_their_own_makes_of_them(name: str) -> None:
    draw = np.random.default_rng(3)
    y = (draw.random(6000) < 0.1).astype(int)
    odds = np.exp([[2.0 * y + draw.normal(size=6000) - 3.5], [2.5 * y + draw.normal(size=6000) - 6.0]])[:, 0]
    knows_less, knows_more = (np.column_stack([1 / (1 + o), o / (1 + o)]) for o in odds)  # the latter is too cautious
    metric, weight = METRICS[name], np.ones(len(y))
    assert metric.score(y, knows_more) < metric.score(y, knows_less)
    assert decided_score(y, knows_more, metric, weight) > decided_score(y, knows_less, metric, weight)


def test_a_decision_is_judged_on_rows_that_it_was_not_chosen_on() -> None:
    draw = np.random.default_rng(0)
    y, noise = draw.integers(0, 2, 60), draw.random((60, 1))
    by_chance = [decided_score(draw.permutation(y), np.hstack([noise, 1 - noise]), METRICS["mcc"]) for _ in range(200)]
    assert abs(np.mean(by_chance)) < 0.03
    few = np.hstack([noise, 1 - noise])[:3]
    assert decided_score(np.array([0, 0, 1]), few, METRICS["f1"]) == METRICS["f1"].score(np.array([0, 0, 1]), few)


def test_temperature_undoes_overconfidence_and_leaves_honest_probabilities() -> None:
    y, found = _classes(n=4000, members=1)
    sharp = found[0] ** 2 / (found[0] ** 2).sum(axis=1, keepdims=True)
    chosen = decision(y, sharp, METRICS["log_loss"])
    assert chosen["temperature"] > 1.3
    assert METRICS["log_loss"].score(y, adjust(sharp, chosen)) < METRICS["log_loss"].score(y, sharp)


def test_kappa_gets_cut_points_on_the_expected_class() -> None:
    rng = np.random.default_rng(4)
    latent = rng.normal(size=3000)
    y = np.searchsorted([-1.5, -0.5, 0.5, 1.5], latent + rng.normal(size=3000) * 0.7)
    distance = -((np.arange(5) - 2 - latent[:, None] * 0.5) ** 2)
    blended = np.exp(distance) / np.exp(distance).sum(axis=1, keepdims=True)
    found = decision(y, blended, METRICS["qwk"])
    assert len(found["cuts"]) == 4
    assert METRICS["qwk"].score(y, adjust(blended, found)) > METRICS["qwk"].score(y, blended) + 0.05


def test_ranking_metrics_and_values_need_no_decision() -> None:
    y, found = _classes(k=2)
    assert decision(y, found[0], METRICS["roc_auc"]) == {}
    assert decision(*_values()[:1], _values()[1][0], METRICS["rmse"]) == {}


def test_adjusted_probabilities_sum_to_one() -> None:
    _, found = _classes()
    for rule in ({}, {"multipliers": [1.0, 2.0, 0.5]}, {"temperature": 2.0}, {"cuts": [0.5, 1.5]}):
        assert adjust(found[0], rule).sum(axis=1) == pytest.approx(1.0)


def test_kappa_knows_the_classes_between_those_that_occur() -> None:
    y, label = np.array([0, 1, 4, 4, 0, 1]), np.array([0, 4, 4, 1, 0, 1])
    prediction = np.eye(5)[label]
    whole = cohen_kappa_score(y, label, labels=range(5), weights="quadratic")
    assert METRICS["qwk"].score(y, prediction) == pytest.approx(whole)
    assert whole != pytest.approx(cohen_kappa_score(y, label, weights="quadratic"))


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "qwk"])
def test_a_score_that_is_not_defined_is_an_error(name: str) -> None:
    certain = np.column_stack([np.ones(9), np.zeros(9)])
    if name != "average_precision":  # scikit-learn gives 0 where nothing is positive
        with pytest.raises(ValueError, match="not defined"):
            METRICS[name].score(np.zeros(9, dtype=int), certain)
    with pytest.raises(ValueError):
        METRICS["log_loss"].score(np.zeros(9, dtype=int), certain, np.zeros(9))


def test_a_decision_is_judged_on_other_rows_where_rows_occur_several_times() -> None:
    kept = {"told": 0, "not told": 0}
    for seed in range(8):
        rng = np.random.default_rng(seed)
        y, shares = rng.integers(0, 12, 150), rng.dirichlet(np.ones(12), 150)  # nothing to learn
        rows = np.concatenate([rng.permutation(150) for _ in range(3)])
        kept["told"] += bool(decision(y[rows], shares[rows], METRICS["accuracy"], rows=rows))
        kept["not told"] += bool(decision(y[rows], shares[rows], METRICS["accuracy"]))
    assert kept["told"] <= 5 and kept["not told"] == 8


def test_a_very_rare_class_gets_a_threshold_below_its_share() -> None:
    y, blended = _rare(np.random.default_rng(6), 0.3, 150, 20_000)
    found = decision(y, blended, METRICS["balanced_accuracy"])
    assert 0 < found["multipliers"][0] < 0.005
    assert METRICS["balanced_accuracy"].score(y, adjust(blended, found)) > 0.65


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("name", "theirs"), [("roc_auc", sk.roc_auc_score), ("average_precision", sk.average_precision_score)]
)
def test_scores_of_ranks_are_those_of_scikit_learn(name, theirs, weighted):
    rng = np.random.default_rng(3)
    y, p = rng.random(500) < 0.2, rng.random(500).round(1)
    weight = rng.integers(0, 3, 500).astype(float) if weighted else None
    assert _of_ranks(name, y, p, weight) == pytest.approx(theirs(y, p, sample_weight=weight))


@pytest.mark.parametrize("name", ["average_precision", "f1", "roc_auc"])
def test_rare_rows_are_all_looked_at(name):
    y = np.zeros(200_000, dtype=int)
    y[::10_000] = 1
    rows, weight = _rows(y, np.zeros((len(y), 2)), METRICS[name], None)
    assert y[rows].sum() == 20 and len(rows) <= 30_000
    if name != "roc_auc":
        assert weight.sum() == pytest.approx(len(y)) and set(weight[y[rows] == 1]) == {1.0}


def test_a_class_without_weight_among_the_rows_is_no_error():
    rng = np.random.default_rng(0)
    y = np.where(rng.random(40_000) < 0.002, 3, rng.integers(0, 3, 40_000))
    weight = (rng.random(40_000) < 0.05).astype(float)
    weight[np.flatnonzero(y == 3)[:2]] = 1.0
    members = {i: rng.dirichlet(np.ones(4), 40_000) for i in range(3)}
    assert np.isfinite(select(members, y, METRICS["roc_auc"], weight).score)
