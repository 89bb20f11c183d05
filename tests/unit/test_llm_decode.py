"""The token loop over a model that is a table: stops, whole characters, markers, budgets, logprobs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llm_fixtures import CharacterModel

from automlgpt_local.llm import decode
from automlgpt_local.llm.decode import Markers, TextStream, ThoughtBudget, generate
from automlgpt_local.llm.sampling import NoNumbersError, Sampler, SamplingOptions


def writes(script: str) -> Callable[[str], dict[str, float]]:
    """A model that writes `script` after whatever it was given (one ":"), then ends its turn."""
    return lambda text: {(script + "\0" * 50)[len(text) - 1]: 5.0}


def run(score: Callable[[str], dict[str, float]], **options: Any):
    model = CharacterModel(score)
    model.feed((ord(":"),))
    done = generate(model, model, Sampler(SamplingOptions(temperature=0.0)), **{"max_tokens": 40, **options})
    return done, model


class Digits:
    """A grammar of digits."""

    def __init__(self) -> None:
        self.accepted = ""

    def allowed(self, tokens: np.ndarray) -> np.ndarray:
        return np.isin(tokens, [ord(digit) for digit in "0123456789"]) | (tokens == 0)

    def accept(self, token: int) -> None:
        self.accepted += chr(token)


def test_a_turn_ends_by_its_end_its_limit_or_a_stop_string() -> None:
    assert (run(writes("done"))[0].text, run(writes("done"))[0].finish) == ("done", "stop")
    limited, model = run(writes("done"), max_tokens=3)
    assert (limited.text, limited.finish, limited.tokens) == ("don", "length", [100, 111, 110])
    assert model.text == ":don"
    stopped, _ = run(writes("go on END more"), stops=["END", "never"])
    assert (stopped.text, stopped.finish) == ("go on ", "stop")


def test_the_grammar_rules_everything_or_what_follows_its_markers() -> None:
    grammar = Digits()
    done, _ = run(lambda text: {"x": 9.0, "7": 5.0, "\0": 1.0}, grammar=grammar, max_tokens=4)
    assert done.text == grammar.accepted == "7777"

    def score(text: str) -> dict[str, float]:
        free = "hm 1 </t> a ```"[len(text) - 1 : len(text)]
        return {free: 9.0} if free else {"x": 9.0, "4": 5.0}

    grammar = Digits()
    done, _ = run(score, grammar=grammar, grammar_after=["</t>", "```"], max_tokens=18)
    assert done.text == "hm 1 </t> a ```444"
    assert grammar.accepted == "444"


def test_a_model_that_ends_before_its_answer_is_led_to_it() -> None:
    def score(text: str) -> dict[str, float]:
        return {"\0": 9.0, "4": 5.0} if "```" not in text or text.endswith("44") else {"4": 5.0}

    done, _ = run(score, grammar=Digits(), grammar_after=["</t>", "```"])
    assert (done.text, done.finish) == ("\n</t>\n\n```\n44", "stop")


def test_without_a_grammar_the_turn_ends_behind_the_markers() -> None:
    done, model = run(writes("hm</t>and more"), grammar_after=["</t>"])
    assert (done.text, done.finish, model.text) == ("hm</t>", "stop", ":hm</t>")


class PairModel(CharacterModel):
    """Also knows the token 300, which is `>x`."""

    def piece(self, token: int) -> bytes:
        return b">x" if token == 300 else super().piece(token)

    def feed(self, tokens: tuple[int, ...] | list[int]) -> None:
        self.text += "".join(self.piece(token).decode() for token in tokens)

    def logits(self) -> np.ndarray:
        logits = np.full(301, -20.0, np.float32)
        logits[300 if self.text.endswith("</t") else ord("</t"[len(self.text)]) if len(self.text) < 3 else ord("5")] = 5
        return logits


def test_what_a_token_says_behind_a_marker_is_taken_back() -> None:
    model, grammar = PairModel(lambda text: {}), Digits()
    done = generate(
        model, model, Sampler(SamplingOptions(temperature=0.0)), max_tokens=6, grammar=grammar, grammar_after=["</t>"]
    )
    assert done.text == model.text == "</t>55"
    assert grammar.accepted == "55"


def test_markers_are_found_across_pieces_and_in_their_order() -> None:
    markers = Markers(["</think>", "```"])
    assert [markers.passed(piece) for piece in (b"``` </th", b"ink> ``", b"`{")] == [False, False, True]
    assert markers.surplus == 1


def test_reasoning_beyond_its_budget_is_ended() -> None:
    thought = ThoughtBudget("<t>", "</t>", max_tokens=5, opened=True)
    done, _ = run(lambda text: {"a": 1.0}, thought=thought, max_tokens=20)
    assert done.text.startswith("aaaaa\n</t>\n\naaa")
    closed, _ = run(writes("b</t>cccccc"), thought=thought)
    assert closed.text == "b</t>cccccc"


def test_logprobs_are_the_models_own() -> None:
    done, _ = run(lambda text: {"a": 2.0, "b": 1.0, "\0": 0.0 if len(text) < 3 else 9.0}, logprobs=2)
    assert [score.text for score in done.scores] == ["a", "a"]
    shares = np.exp([2.0, 1.0, 0.0]) / (np.exp([2.0, 1.0, 0.0]).sum() + 125 * np.exp(-20.0))
    assert done.scores[0].logprob == pytest.approx(np.log(shares[0]), abs=1e-5)
    assert [text for text, _ in done.scores[0].top] == ["a", "b"]
    assert done.scores[0].top[1][1] == pytest.approx(np.log(shares[1]), abs=1e-5)
    assert run(writes("ab"))[0].scores == []


def test_no_numbers_end_the_turn() -> None:
    with pytest.raises(NoNumbersError, match="NaN"):
        run(lambda text: {"a": float("nan")})
    with pytest.raises(NoNumbersError):
        run(lambda text: {"a": float("inf")})


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=30), st.lists(st.text(min_size=1, max_size=3), max_size=3), st.integers(1, 5), st.data())
def test_any_cut_of_the_bytes_gives_the_same_text(text: str, stops: list[str], size: int, data: Any) -> None:
    decode_interval, decode.TELL_INTERVAL_S = decode.TELL_INTERVAL_S, 0.0  # every piece is told at once
    try:
        raw = text.encode("utf-8", "replace")
        text = raw.decode()
        stops = [stop.encode("utf-8", "replace").decode() for stop in stops]
        parts: list[str] = []
        stream = TextStream(stops, parts.append)
        stopped = False
        while raw and not stopped:
            cut = data.draw(st.integers(1, size))
            stopped, raw = stream.add(raw[:cut]), raw[cut:]
        stream.finish()
    finally:
        decode.TELL_INTERVAL_S = decode_interval
    assert "".join(parts) == stream.text
    assert stopped == any(stop in text for stop in stops)
    if stopped:
        assert text.startswith(stream.text) and not any(stop in stream.text for stop in stops)
    else:
        assert stream.text == text
