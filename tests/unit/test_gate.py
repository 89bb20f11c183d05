import math

import pytest

from automlgpt_local.search.gate import compare


def test_a_steady_gain_is_kept() -> None:
    found = compare([0.90, 0.91, 0.89, 0.90], [1.00, 1.01, 0.99, 1.00])
    assert found.gain == pytest.approx(0.1)
    assert found.kept


def test_a_gain_within_noise_is_not_kept() -> None:
    found = compare([0.80, 1.10, 0.98, 1.05], [1.0, 1.0, 1.0, 1.0])
    assert found.gain == pytest.approx(0.0175)
    assert found.noise > found.gain
    assert not found.kept


def test_noise_is_that_of_nadeau_and_bengio() -> None:
    found = compare([1.0, 2.0, 3.0], [2.0, 4.0, 6.0])  # differences 1, 2, 3: variance 1
    assert found.noise == pytest.approx(math.sqrt(1 / 3 + 1 / 2))


@pytest.mark.parametrize("losses", [([], []), ([0.5], [1.0])])
def test_one_fold_proves_nothing(losses: tuple[list[float], list[float]]) -> None:
    found = compare(*losses)
    assert found.noise == math.inf
    assert not found.kept


def test_equal_models_are_not_a_gain() -> None:
    assert not compare([1.0, 1.0], [1.0, 1.0]).kept


def test_several_cuts_of_the_same_rows_count_less_than_as_many_rows() -> None:
    new, old = [0.9, 0.8, 0.95, 0.85] * 3, [1.0, 0.99, 1.01, 1.0] * 3
    cut_once, cut_thrice = compare(new, old), compare(new, old, folds_of_a_cut=4)
    assert cut_thrice.gain == pytest.approx(cut_once.gain)
    assert cut_once.noise < cut_thrice.noise < compare(new[:4], old[:4]).noise
