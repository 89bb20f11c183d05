"""The fakes, and opening a model by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from automlgpt_local.errors import BackendError, ModelError
from automlgpt_local.llm.backend import Choice, Message, Reply, Text
from automlgpt_local.llm.open import open_backend, split_adapters
from automlgpt_local.llm.random import RandomBackend
from automlgpt_local.llm.scripted import ScriptedBackend

TEMPLATE = ["c0 ", Choice("c0", ("log", "none")), "\nwhy ", Text("why", "\n", 9), "\n"]


def test_scripted_answers_in_order() -> None:
    backend = ScriptedBackend(
        [{"c0": "none", "why": "skewed"}, "```python\nx = 1\n```", Reply("hm"), BackendError("no")]
    )
    filled = backend.fill("coder", ["facts"], TEMPLATE)
    assert filled.values == {"c0": "none", "why": "skewed"}
    assert filled.text == "c0 none\nwhy skewed\n"
    assert backend.chat("coder", [Message("user", "go")]).code == "x = 1\n"
    assert backend.chat("coder", []).text == "hm"
    with pytest.raises(BackendError, match="no"):
        backend.chat("coder", [])
    with pytest.raises(BackendError, match="no answer left"):
        backend.chat("coder", [])
    assert [call.agent for call in backend.asked] == ["coder"] * 5
    assert backend.asked[0].transcript == ("facts",)


def test_scripted_refuses_what_a_model_could_not_answer() -> None:
    with pytest.raises(BackendError, match="one of"):
        ScriptedBackend([{"c0": "sqrt"}]).fill("coder", [], TEMPLATE)
    with pytest.raises(BackendError, match="not asked"):
        ScriptedBackend([{"c9": "log"}]).fill("coder", [], TEMPLATE)
    with pytest.raises(BackendError, match="chat turn"):
        ScriptedBackend(["text"]).fill("coder", [], TEMPLATE)


def test_scripted_checks_json_against_the_schema() -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "maximum": 3}}, "required": ["n"]}
    backend = ScriptedBackend(['{"n": 2}', '{"n": 7}'])
    assert backend.chat("coder", [], schema=schema).calls[0].arguments == {"n": 2}
    assert backend.chat("coder", [], schema=schema).calls == ()


def test_random_is_seeded_and_uniform() -> None:
    options = tuple("abcd")
    drawn = [RandomBackend(seed).fill("coder", ["x"], [Choice("s", options)]).values["s"] for seed in range(400)]
    assert {drawn.count(option) > 60 for option in options} == {True}
    again = RandomBackend(5).fill("coder", ["x"], [Choice("s", options)])
    assert again.values["s"] == drawn[5]
    assert again.probabilities == {"s": 0.25}


def test_opening_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMLGPT_MODELS_DIR", str(tmp_path / "models"))
    assert open_backend("none") is None
    random = open_backend("random", seed=3)
    assert random is not None and random.info.name == "random"
    with pytest.raises(ModelError) as missing:
        open_backend("no-such-model")
    assert "models list" in missing.value.hint
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(b"GGUF\x03")
    with pytest.raises(ModelError, match="ends within"):
        open_backend(str(broken))


def test_adapters_are_named_with_the_model(tmp_path: Path) -> None:
    one, odd = tmp_path / "one.gguf", tmp_path / "a+b.gguf"
    one.touch()
    odd.touch()
    assert split_adapters("nano") == ("nano", {})
    assert split_adapters(f"nano+{one}") == ("nano", {"reasoner": one, "coder": one})
    assert split_adapters(f"nano+coder={one}") == ("nano", {"coder": one})
    assert split_adapters(str(odd)) == (str(odd), {})
    with pytest.raises(ModelError, match="no adapter"):
        split_adapters("nano+missing.gguf")
    with pytest.raises(ModelError, match="no agent"):
        split_adapters(f"nano+painter={one}")
