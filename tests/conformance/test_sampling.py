"""Our sampling against llama.cpp's own chain of samplers: the same candidates with the same probabilities."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
import pytest

from automlgpt_local.llm import native
from automlgpt_local.llm.sampling import Sampler, SamplingOptions

CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
SETTINGS = (
    {},
    {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0},
    {"temperature": 0.7, "top_k": 20},
    {"temperature": 1.5, "top_k": 0, "top_p": 0.8, "min_p": 0.0},
    {"temperature": 0.9, "top_p": 0.6, "min_p": 0.2},  # min-p must not change what top-p adds up
    {"temperature": 0.6, "top_p": 1.0, "min_p": 0.1, "repetition_penalty": 1.3},
    {"temperature": 1.0, "repetition_penalty": 1.1, "last_tokens": 8},
)


def llama_cpp(options: SamplingOptions, logits: np.ndarray, recent: list[int]) -> dict[int, float]:
    """Token -> probability after llama.cpp's samplers in their default order."""
    api = native.load()
    chain = api.llama_sampler_chain_init(api.llama_sampler_chain_default_params())
    for sampler in (
        api.llama_sampler_init_penalties(len(logits), options.last_tokens, options.repetition_penalty, 0.0, 0.0),
        api.llama_sampler_init_top_k(options.top_k),
        api.llama_sampler_init_top_p(options.top_p, 1),
        api.llama_sampler_init_min_p(options.min_p, 1),
        api.llama_sampler_init_temp(options.temperature),
    ):
        api.llama_sampler_chain_add(chain, sampler)
    for token in recent:
        api.llama_sampler_accept(chain, token)
    candidates: Any = np.zeros(len(logits), CANDIDATE)
    candidates["id"], candidates["logit"] = np.arange(len(logits)), logits
    array = api.llama_token_data_array()
    array.data = candidates.ctypes.data_as(api.llama_token_data_p)
    array.size, array.selected, array.sorted = len(logits), -1, False
    api.llama_sampler_apply(chain, ctypes.byref(array))
    kept = candidates[: array.size]
    powers = np.exp(kept["logit"].astype(np.float64) - kept["logit"].max())
    api.llama_sampler_free(chain)
    return dict(zip(kept["id"].tolist(), powers / powers.sum()))


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
def test_candidates_and_probabilities_are_those_of_llama_cpp(settings: dict[str, Any]) -> None:
    rng = np.random.default_rng(1)
    for width in (1.0, 3.0):
        logits = rng.normal(0, width, 2000).astype(np.float32)
        options = SamplingOptions(**settings)
        sampler = Sampler(options)
        recent = [int(token) for token in np.argsort(-logits)[:12]]
        sampler.recent.extend(recent)
        kept, weights = sampler.weights(sampler.penalised(logits))
        expected = llama_cpp(options, logits, recent)
        assert set(kept.tolist()) == set(expected)
        assert dict(zip(kept.tolist(), weights)) == pytest.approx(expected, abs=1e-6)
