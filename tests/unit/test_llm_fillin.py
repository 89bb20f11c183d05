"""Fill-in decoding over a model that is a table: which tokens are forced, chosen and taken back."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from llm_fixtures import CharacterModel

from automlgpt_local.errors import BackendError
from automlgpt_local.llm.backend import Choice, Text
from automlgpt_local.llm.fillin import Filler, template_from_json, template_to_json


def fill(score: Callable[[str], dict[str, float]], *template: str | Choice | Text, **options: float):
    model = CharacterModel(score)
    filler = Filler(model, model, temperature=options.get("temperature", 0.0), seed=int(options.get("seed", 0)))
    return filler.fill(list(template)), model, filler


def test_a_choice_reads_logits_only_where_options_part() -> None:
    result, model, _ = fill(lambda text: {"l": 1.0, "n": 0.0}, "a: ", Choice("a", ("log", "none")), "\n")
    assert result.values == {"a": "log"}
    assert result.text == model.text == "a: log\n"
    assert model.readings == ["a: "]
    assert (result.forced_tokens, result.chosen_tokens) == (6, 1)
    assert result.probabilities["a"] == pytest.approx(1 / (1 + np.exp(-1)))


def test_probabilities_of_all_options_add_up_to_one() -> None:
    options = ("ab", "ac", "bd", "b")
    rng = np.random.default_rng(0)
    table = {text: dict(zip("abcd\n", rng.normal(size=5))) for text in ("=", "=a", "=b")}
    total = 0.0
    for wanted in options:
        way = {"=" + (wanted + "\n")[:depth]: (wanted + "\n")[depth] for depth in range(len(wanted) + 1)}

        def score(text: str, way: dict[str, str] = way) -> dict[str, float]:
            return table[text]

        shares = 1.0
        for text, following in way.items():
            children = {(o + "\n")[len(text) - 1] for o in options if ("=" + o + "\n").startswith(text)}
            if len(children) > 1:
                powers = {c: np.exp(table[text][c]) for c in children}
                shares *= powers[following] / sum(powers.values())
        total += shares
        result, _, _ = fill(lambda text: table[text], "=", Choice("x", options), "\n")
        if result.values["x"] == wanted:
            assert result.probabilities["x"] == pytest.approx(shares)
    assert total == pytest.approx(1.0)


@pytest.mark.parametrize(("end", "wanted"), [(3.0, "5"), (-3.0, "50")])
def test_an_option_that_begins_another_one_competes_with_its_end(end: float, wanted: str) -> None:
    result, model, _ = fill(lambda text: {"\n": end, "0": 0.0}, "n=", Choice("n", ("5", "50")), "\nnext")
    assert result.values == {"n": wanted}
    assert model.text == f"n={wanted}\nnext"


def test_options_that_nothing_tells_apart_are_refused() -> None:
    with pytest.raises(ValueError, match="begins another"):
        fill(lambda text: {}, "n=", Choice("n", ("5", "50")), "0")
    with pytest.raises(ValueError, match="begins another"):
        fill(lambda text: {}, "n=", Choice("n", ("5", "50")))
    with pytest.raises(ValueError, match="no options"):
        fill(lambda text: {}, "n=", Choice("n", ()))


def test_later_slots_see_earlier_choices() -> None:
    def score(text: str) -> dict[str, float]:
        return {"b": 1.0, "a": 0.0} if text == "" or text.endswith("=") else {"a": 1.0, "b": 0.0}

    result, _, _ = fill(score, "1=", Choice("one", ("a", "b")), " 2 ", Choice("two", ("a", "b")))
    assert result.values == {"one": "b", "two": "a"}


def test_a_single_option_costs_no_reading() -> None:
    result, model, _ = fill(lambda text: {}, "x=", Choice("x", ("only",)), "\n")
    assert result.probabilities == {"x": 1.0}
    assert model.readings == []


def test_text_ends_before_its_stop_and_takes_it_back() -> None:
    script = "done;more"
    result, model, filler = fill(lambda text: {script[len(text) - 1]: 5.0}, ":", Text("t", ";", 20), ";")
    assert result.values == {"t": "done"}
    assert model.text == result.text == ":done;"
    assert "".join(map(chr, filler.tokens)) == ":done;"


def test_text_ends_at_its_limit_and_at_the_end_of_the_turn() -> None:
    assert fill(lambda text: {"a": 1.0}, ":", Text("t", ";", 3))[0].values == {"t": "aaa"}
    assert fill(lambda text: {"a" if len(text) < 3 else "\0": 1.0}, ":", Text("t", ";", 9))[0].values == {"t": "aa"}


def test_temperature_draws_by_probability_and_seed() -> None:
    drawn = [
        fill(lambda text: {"a": 0.0, "b": 1.0}, "=", Choice("x", ("a", "b")), temperature=1.0, seed=seed)[0]
        for seed in range(300)
    ]
    share = sum(one.values["x"] == "b" for one in drawn) / len(drawn)
    assert share == pytest.approx(1 / (1 + np.exp(-1)), abs=0.08)
    again = fill(lambda text: {"a": 0.0, "b": 1.0}, "=", Choice("x", ("a", "b")), temperature=1.0, seed=7)[0]
    assert again.values == drawn[7].values


def test_logits_that_are_no_numbers_end_the_turn() -> None:
    with pytest.raises(BackendError, match="no numbers"):
        fill(lambda text: {"a": float("nan"), "b": 1.0}, "=", Choice("x", ("a", "b")))


def test_templates_survive_the_wire() -> None:
    template = ["a", Choice("x", ("p", "q")), Text("t", "\n", 5)]
    assert template_from_json(template_to_json(template)) == template
