"""Two agents on one model: each token is evaluated once, and an adapter belongs to one of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from llm_fixtures import CHATML, write_model

from automlgpt_local.llm.backend import Choice, Message
from automlgpt_local.llm.local import LocalBackend
from automlgpt_local.llm.runtime import Runtime

OPTIONS = ("log", "none", "drop", "keep")


@pytest.mark.parametrize(
    ("architecture", "with_adapter"),
    [("llama", False), ("llama", True), ("qwen3", False), ("gemma3", False)],
    ids=["one set of weights", "adapter on the Coder", "another architecture", "sliding windows"],
)
def test_forty_turns_evaluate_each_token_once(
    tmp_path: Path, adapter: Path, architecture: str, with_adapter: bool
) -> None:
    model = write_model(tmp_path / "model.gguf", architecture=architecture, context=16384)
    adapters = {"coder": adapter} if with_adapter else {}
    with LocalBackend(model, context_tokens=16384, adapters=adapters) as backend:
        assert backend.info.context_tokens == 16384
        transcripts = {"reasoner": ["You decide. " * 20], "coder": ["You write. " * 20]}
        known = {"reasoner": 0, "coder": 0}
        for turn in range(40):
            agent = "reasoner" if turn % 2 == 0 else "coder"
            transcript = transcripts[agent]
            transcript.append(f"\nattempt {turn} scored 0.{turn}: " + "details and more details " * 12)
            question = f"\nnext {turn} = "
            filled = backend.fill(agent, transcript, [question, Choice("next", OPTIONS), "\n"])
            now = sum(map(backend.count_tokens, [*transcript, question]))
            shared = _shared_prefix(transcripts) if known[agent] == 0 and turn and not with_adapter else 0
            assert filled.evaluated_tokens == now - known[agent] - shared
            known[agent] = now
            transcript.append(filled.text)


def _shared_prefix(transcripts: dict[str, list[str]]) -> int:
    """Bytes that both begin with: one token each in this text, but for the words of the vocabulary."""
    return len("You ")


THINKER = (  # as Qwen3's: reasoning is dropped from all turns but the last, and each turn opens a place for it
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content.split('</think>')[-1].strip() }}<|im_end|>\n"
    "{% endfor %}<|im_start|>assistant\n<think>\n"
)
MISTRAL = (  # the system message stands before the last question
    "{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}[INST]{% if loop.last %}"
    "{{ messages[0].content }} {% endif %}{{ m.content }}[/INST]{% else %}{{ m.content }}</s>{% endif %}{% endfor %}"
)


@pytest.mark.parametrize("template", [CHATML, THINKER, MISTRAL], ids=["ChatML", "drops reasoning", "moves the system"])
def test_chat_turns_evaluate_each_token_once(tmp_path: Path, template: str) -> None:
    model = write_model(tmp_path / "chat.gguf", context=16384, chat_template=template)
    with LocalBackend(model, context_tokens=16384) as backend:
        talks = {
            agent: [Message("system", f"You are the {agent}. " * 30), Message("user", "go")]
            for agent in ("reasoner", "coder")
        }
        before = {"reasoner": 0, "coder": 0}
        for turn in range(40):
            agent = "reasoner" if turn % 2 == 0 else "coder"
            reply = backend.chat(agent, talks[agent], max_tokens=24, temperature=1.0, seed=turn)
            new = reply.prompt_tokens - before[agent]
            if before[agent]:
                # The answer's last token was drawn, not evaluated, unless the turn's end was read after it.
                assert reply.evaluated_tokens in (new + reply.output_tokens - 1, new + reply.output_tokens)
            ended = 0 if reply.finish == "stop" else 1
            before[agent] = reply.prompt_tokens + reply.output_tokens - ended
            talks[agent] += [Message("assistant", reply.text), Message("user", f"turn {turn}")]


def test_a_conversation_that_outgrows_the_context_loses_its_reasoning_first(tmp_path: Path) -> None:
    model = write_model(tmp_path / "thinker.gguf", context=512, chat_template=THINKER)
    talk, told = [Message("user", "go")], []
    with LocalBackend(model, context_tokens=512) as backend:
        for turn in range(12):
            reply = backend.chat("coder", talk, max_tokens=60, temperature=1.0, seed=turn)
            told.append(reply.trimmed)
            talk += [Message("assistant", reply.text), Message("user", f"turn {turn}")]
    assert told[0] == "" and any("reasoning of earlier turns" in words for words in told)


def test_a_restarted_worker_evaluates_a_transcript_once_again(model: Path) -> None:
    transcript = ["the log " * 200]
    with LocalBackend(model, context_tokens=16384) as backend:
        first = backend.fill("coder", transcript, ["a=", Choice("a", OPTIONS), "\n"])
        backend._kill()
        again = backend.fill("coder", transcript, ["a=", Choice("a", OPTIONS), "\n"])
        assert (again.values, again.evaluated_tokens) == (first.values, first.evaluated_tokens)
        transcript.append(again.text)
        assert backend.fill("coder", transcript, ["b=", Choice("b", OPTIONS)]).evaluated_tokens < 10


def test_an_adapter_changes_its_agent_and_leaves_the_base_bit_identical(model: Path, adapter: Path) -> None:
    runtime = Runtime(model, threads=1, context_tokens=2048, adapters={"coder": adapter})
    tokens = list(runtime.tokenize("the table has columns " * 20))

    def logits(agent: str) -> np.ndarray:
        sequence = runtime.sequence(agent)
        sequence.clear()
        sequence.start(tokens)
        return sequence.logits().copy()

    base = logits("reasoner")
    runtime.sequence("reasoner").clear()
    adapted = logits("coder")
    runtime.sequence("coder").clear()
    again = logits("reasoner")
    assert np.array_equal(base, again)
    assert np.abs(base - adapted).max() > 0.05
    runtime.close()


def test_a_prefix_is_shared_between_agents_of_the_same_weights_only(model: Path, adapter: Path) -> None:
    prompt = ["the table has columns " * 40]
    for adapters, shares in (({}, True), ({"coder": adapter}, False)):
        with LocalBackend(model, adapters=adapters) as backend:
            first = backend.fill("reasoner", prompt, ["r=", Choice("x", OPTIONS)])
            second = backend.fill("coder", prompt, ["c=", Choice("x", OPTIONS)])
            assert (second.evaluated_tokens < 10) == shares
            assert first.evaluated_tokens > 400


def test_sequences_of_more_agents_than_places_take_turns(model: Path) -> None:
    with LocalBackend(model, context_tokens=2048) as backend:
        answers = {}
        for _ in range(2):
            for agent in ("reasoner", "coder", "judge"):
                filled = backend.fill(agent, [f"{agent} " * 50], ["x=", Choice("x", OPTIONS)])
                assert answers.setdefault(agent, filled.values) == filled.values
