"""The forecast of memory against what the worker really took."""

from __future__ import annotations

from pathlib import Path

import pytest
from llm_fixtures import write_model

from automlgpt_local.errors import ModelError
from automlgpt_local.llm.backend import Choice
from automlgpt_local.llm.gguf_header import read_header
from automlgpt_local.llm.local import LocalBackend
from automlgpt_local.llm.memory import estimate, fit, forecast


@pytest.mark.parametrize("architecture", ["llama", "qwen2", "qwen3", "gemma", "phi3"])
def test_forecast_is_within_a_tenth(tmp_path: Path, architecture: str) -> None:
    model = write_model(
        tmp_path / "model.gguf", architecture=architecture, width=512, layers=6, heads=8, kv_heads=4, context=8192,
        extra_tokens=20_000, scale=0.02, half=True,
    )  # fmt: skip
    expected = forecast(model, 2 * 8192)
    assert expected.exact
    with LocalBackend(model, context_tokens=8192) as backend:
        backend.fill("coder", ["the table " * 120], ["x", Choice("x", ("log", "none"))])
        peak_mib = backend.stats()["peak_mib"]
    guessed = estimate(read_header(model), 2 * 8192)
    assert expected.total_mib == pytest.approx(peak_mib, rel=0.1)
    assert guessed.total_mib == pytest.approx(peak_mib, rel=0.15)


def test_a_model_that_does_not_fit_is_refused_with_what_would(tmp_path: Path) -> None:
    model = write_model(tmp_path / "model.gguf", width=512, layers=6, heads=8, context=32768, scale=0.02)
    roomy, tight = fit(model, 4000), fit(model, 300)
    assert roomy.kv_type == "f16" and roomy.context_tokens == 16384
    assert tight.context_tokens < roomy.context_tokens
    with pytest.raises(ModelError, match="weights") as refused:
        fit(model, 100)
    assert "would fit" in refused.value.hint
