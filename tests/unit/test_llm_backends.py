"""The fakes, and opening a model by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from automlgpt_local.errors import BackendError, ModelError
from automlgpt_local.llm.backend import Choice, Message, Reply, Text
from automlgpt_local.llm.open import absolute_model, model_files, open_backend, split_adapters, split_agents
from automlgpt_local.llm.pair import PairBackend
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


def test_each_agent_may_have_its_own_model() -> None:
    reasoner = ScriptedBackend([{"c0": "none"}, "thought"], context_tokens=4096)
    coder = ScriptedBackend([{"c0": "log"}, "```python\nx = 1\n```"])
    pair = PairBackend(reasoner, coder)
    assert pair.info.context_tokens == 4096 and "coder scripted" in pair.info.name
    assert pair.fill("reasoner", [], TEMPLATE[:3]).values["c0"] == "none"
    assert pair.fill("coder", [], TEMPLATE[:3]).values["c0"] == "log"
    assert pair.chat("coder", []).code == "x = 1\n"
    assert pair.chat("reasoner", []).text == "thought"
    pair.close()
    assert reasoner.closed and coder.closed
    with pytest.raises(ModelError, match="dialect"):
        _ = PairBackend(reasoner, RandomBackend(0)).info


def test_two_models_are_opened_by_name() -> None:
    pair = open_backend("random,coder=random", seed=3)
    assert isinstance(pair, PairBackend) and pair.info.dialect == "compact"
    with pytest.raises(ModelError, match="without a model"):
        open_backend("random,coder=none")
    with pytest.raises(ModelError, match="No model is called 'nowhere'"):
        model_files("random,coder=nowhere")
    assert model_files("http://127.0.0.1:1/v1,coder=random") == []


@pytest.mark.parametrize(
    ("model", "absolute"),
    [
        ("nano", "nano"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        ("m.gguf", "{here}/m.gguf"),
        ("nano+x.gguf", "nano+{here}/x.gguf"),
        ("nano+coder=x/y.gguf", "nano+coder={here}/x/y.gguf"),
        ("m.gguf+reasoner=r.gguf+coder=c.gguf", "{here}/m.gguf+reasoner={here}/r.gguf+coder={here}/c.gguf"),
        ("qwen3-8b,coder=c.gguf+a.gguf", "qwen3-8b,coder={here}/c.gguf+{here}/a.gguf"),
        ("http://localhost:1/v1,coder=b/c.gguf", "http://localhost:1/v1,coder={here}/b/c.gguf"),
    ],
)
def test_paths_within_a_models_name_become_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str, absolute: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_model(model) == absolute.format(here=tmp_path)


def test_a_file_whose_name_looks_like_two_models_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a,coder=b.gguf").touch()
    Path("c+d.gguf").touch()
    assert split_agents("a,coder=b.gguf") == ("a,coder=b.gguf", None)
    assert absolute_model("a,coder=b.gguf") == f"{tmp_path}/a,coder=b.gguf"
    assert absolute_model("c+d.gguf") == f"{tmp_path}/c+d.gguf"
