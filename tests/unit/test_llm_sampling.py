"""Sampling in numpy: the order of llama.cpp, seeds, and masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automlgpt_local.errors import BackendError
from automlgpt_local.llm.sampling import COLDEST, Sampler, SamplingOptions, softmax


def draws(logits: list[float], n: int = 600, **options: float) -> list[int]:
    sampler = Sampler(SamplingOptions(**{"temperature": 1.0, "min_p": 0.0, "top_p": 1.0, "top_k": 0, **options}))
    values = np.array(logits, np.float32)
    return [sampler.sample(values) for _ in range(n)]


def test_temperature_zero_takes_the_best() -> None:
    assert set(draws([1, 3, 2], temperature=0.0)) == {1}


def test_shares_follow_the_probabilities() -> None:
    drawn = draws([0, 1, 2], n=4000)
    expected = softmax(np.array([0.0, 1.0, 2.0]))
    assert [drawn.count(token) / 4000 for token in range(3)] == pytest.approx(list(expected), abs=0.03)
    colder = draws([0, 1, 2], n=4000, temperature=0.5)
    assert colder.count(2) / 4000 == pytest.approx(softmax(np.array([0.0, 2.0, 4.0]))[2], abs=0.03)


def test_the_tail_is_cut() -> None:
    assert set(draws([5, 4, 3, 0], top_k=2)) == {0, 1}
    assert set(draws([5, 4, 3, 0], min_p=0.2)) == {0, 1}
    assert set(draws([5, 5, -5, -5], top_p=0.9)) == {0, 1}


def test_a_seed_repeats_its_draws() -> None:
    assert draws([0, 0.1, 0.2], n=50, seed=3) == draws([0, 0.1, 0.2], n=50, seed=3)
    assert draws([0, 0.1, 0.2], n=50, seed=3) != draws([0, 0.1, 0.2], n=50, seed=4)


def test_repetition_is_penalised() -> None:
    assert set(draws([2.0, 1.9], n=40, temperature=0.0, repetition_penalty=1.5)) == {0, 1}


def test_a_mask_is_asked_about_the_first_draw_then_about_the_best() -> None:
    logits = np.zeros(10_000, np.float32)
    logits[7], logits[9999] = 9.0, 8.0
    asked: list[int] = []

    def mask(tokens: np.ndarray) -> np.ndarray:
        asked.append(len(tokens))
        return tokens == 9999

    sampler = Sampler(SamplingOptions(temperature=0.0))
    assert sampler.sample(logits, mask) == 9999
    assert asked == [1, 256]
    assert sampler.refused == 1


def test_a_mask_that_allows_only_the_worst_is_followed_to_the_end() -> None:
    logits = np.linspace(1, 0, 10_000, dtype=np.float32)
    sampler = Sampler(SamplingOptions(temperature=0.7))
    assert sampler.sample(logits, lambda tokens: tokens == 9999) == 9999
    with pytest.raises(BackendError, match="no token"):
        sampler.sample(logits, lambda tokens: np.zeros(len(tokens), bool))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.floats(-50, 50, width=32), min_size=1, max_size=40),
    st.floats(0, 2), st.integers(0, 5), st.floats(0.01, 1), st.floats(0, 1), st.integers(0, 9),
)  # fmt: skip
def test_any_options_draw_a_token_that_exists(
    logits: list[float], temperature: float, top_k: int, top_p: float, min_p: float, seed: int
) -> None:
    options = SamplingOptions(temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seed=seed)
    values = np.array(logits, np.float32)
    token = Sampler(options).sample(values)
    assert 0 <= token < len(logits)
    if min_p > 0 and temperature >= COLDEST:
        assert values[token] >= values.max() + np.log(min_p) - 1e-3
