"""The forecast of memory against what the worker really took."""

from __future__ import annotations

from pathlib import Path

import pytest
from llm_fixtures import write_model

from automlgpt_local.errors import ModelError
from automlgpt_local.llm import memory
from automlgpt_local.llm.backend import Choice
from automlgpt_local.llm.gguf_header import read_header
from automlgpt_local.llm.local import LocalBackend
from automlgpt_local.llm.memory import Forecast, Load, estimate, fit, forecast


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


@pytest.mark.parametrize(
    ("gpu_mib", "share", "layers", "kv_type"),
    [(24_000, 1.0, 7, "f16"), (8_200, 1.0, 7, "q8_0"), (4_600, 1.0, 3, "f16"), (9_200, 0.5, 3, "f16")],
    ids=["all", "all, with a smaller cache", "some", "half of it for another model"],
)
def test_layers_go_to_a_gpu_as_far_as_it_holds_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gpu_mib: float, share: float, layers: int, kv_type: str
) -> None:
    """Six layers and the output of 7 GiB: 6 GiB of memory suffice where the GPU takes some of them."""

    def forecasts(path: Path, loads: list[Load]) -> tuple[list[Forecast], float]:
        return [Forecast(7000, 800 if kv == "f16" else 425, 200, 60) for _, kv in loads], gpu_mib

    monkeypatch.setattr(memory, "forecasts", forecasts)
    plan = fit(write_model(tmp_path / "model.gguf", layers=6), 6000, gpu_share=share)
    assert (plan.n_gpu_layers, plan.kv_type) == (layers, kv_type)
    monkeypatch.setattr(memory, "forecasts", lambda path, loads: (forecasts(path, loads)[0], 0.0))
    with pytest.raises(ModelError):
        fit(tmp_path / "model.gguf", 6000)
