"""What is left out of a conversation that is too long: the oldest exchanges, then the middle of long messages."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from automlgpt_local.llm.template import Turn
from automlgpt_local.llm.trim import trim, without_middle

TALK = [
    {"role": "system", "content": "You decide."},
    {"role": "user", "content": "first " * 20},
    {"role": "assistant", "content": "one"},
    {"role": "user", "content": "second " * 20},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "third"},
]


def below(characters: int):
    return lambda messages: sum(len(message["content"]) for message in messages) <= characters


def test_what_fits_is_left_alone() -> None:
    assert trim(TALK, below(10_000)) == (TALK, "")


def test_the_oldest_exchanges_go_first() -> None:
    kept, words = trim(TALK, below(200))
    assert kept == [TALK[0], *TALK[3:]]
    assert words == "The context was short: the 2 oldest messages were left out."
    kept, words = trim(TALK, below(100))
    assert kept == [TALK[0], TALK[5]]
    assert "4 oldest messages" in words


def test_then_long_messages_lose_their_middle() -> None:
    lines = "\n".join(f"column {number}" for number in range(2000))
    talk = [{"role": "system", "content": "Decide."}, {"role": "user", "content": f"Task.\n{lines}\nError: the end"}]
    kept, words = trim(talk, below(5000))
    text = kept[1]["content"]
    assert kept[0] == talk[0]
    assert text.startswith("Task.\ncolumn 0\n") and text.endswith("\nError: the end")
    assert "characters left out ...]\n" in text and 3000 < len(text) <= 5000
    assert "characters from the middle of long messages were left out" in words


def test_what_cannot_be_made_to_fit_is_as_short_as_it_gets() -> None:
    kept, _ = trim(TALK, lambda messages: False)
    assert kept == [TALK[0], TALK[5]]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text(max_size=900)), max_size=6),
    st.integers(0, 2000),
)
def test_any_conversation_keeps_its_last_words(turns: list[tuple[str, str]], room: int) -> None:
    talk: Sequence[Turn] = [{"role": role, "content": content} for role, content in turns]
    kept, words = trim(talk, below(room))
    assert bool(words) == (kept != talk)
    assert len(kept) <= len(talk)
    if talk:
        assert kept[-1]["role"] == talk[-1]["role"]
        assert _roles(kept).count("system") == _roles(talk).count("system")


def _roles(talk: Sequence[Turn]) -> list[str]:
    return [turn["role"] for turn in talk]


def test_the_head_of_a_text_outweighs_its_tail() -> None:
    cut = without_middle("a" * 1000 + "b" * 1000, 300)
    assert cut.count("a") >= 200 and cut.count("b") >= 100
