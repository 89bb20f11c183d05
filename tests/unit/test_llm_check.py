"""`models check` and `bench` on a model of random weights."""

from __future__ import annotations

from pathlib import Path

import pytest
from llm_fixtures import write_model

from automlgpt_local.errors import ModelError
from automlgpt_local.llm.check import bench, check


def test_a_sound_model_passes(tmp_path: Path) -> None:
    found = check(str(write_model(tmp_path / "tiny.gguf", dialect=None)))
    by_name = {finding["name"]: finding for finding in found["findings"]}
    assert {"loads", "choices", "repeats", "cache", "template", "json"} <= set(by_name)
    assert all(by_name[name]["ok"] for name in ("loads", "choices", "repeats", "cache", "template", "json"))


def test_a_template_that_drops_turns_is_told(tmp_path: Path) -> None:
    template = "{{ messages[-1].content }}"
    found = check(str(write_model(tmp_path / "tiny.gguf", dialect=None, chat_template=template)))
    assert not found["ok"]
    (finding,) = [one for one in found["findings"] if one["name"] == "template"]
    assert "S1" in finding["detail"]


def test_speed_is_measured(tmp_path: Path) -> None:
    found = bench(str(write_model(tmp_path / "tiny.gguf")))
    assert found["read_tokens_per_s"] > 0 and found["write_tokens_per_s"] >= 0 and found["peak_mib"] > 20
    assert found["gpu_layers"] == 0 and 0 <= found["bandwidth_share"] < 1


def test_what_is_no_model_is_refused() -> None:
    with pytest.raises(ModelError, match="no model file and no server"):
        check("random")
    with pytest.raises(ModelError, match="no model file"):
        bench("none")
