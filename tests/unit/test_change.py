"""Messages to a run: what they change, what needs another run, what is asked back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from automlgpt_local.language.change import Reply, read_change
from automlgpt_local.task import TaskSpec

COLUMNS = ["customer id", "city", "age", "churn", "plan"]
TASK = TaskSpec("churn", "binary", "roc_auc", 600.0)
USED_S, LIMIT_S = 120.0, 600.0


def read(text: str, task: TaskSpec = TASK) -> Reply:
    return read_change(text, task, COLUMNS, USED_S, LIMIT_S)


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("only linear models", {"only": ["linear"], "never": []}),
        ("no neural networks please", {"only": [], "never": ["neural"]}),
        ("don't use lightgbm or catboost", {"only": [], "never": ["lightgbm", "catboost"]}),
        ("no ensemble", {"ensemble": False}),
        ("10 more minutes", {"time_limit_s": LIMIT_S + 600}),
        ("extend it by 90 seconds", {"time_limit_s": LIMIT_S + 90}),
        ("stop in 2 minutes", {"time_limit_s": USED_S + 120}),
        ("5 minutes in all", {"time_limit_s": 300.0}),
        ("increase the time limit by 5 minutes", {"time_limit_s": LIMIT_S + 300}),
        ("reduce the limit by a minute", {"time_limit_s": LIMIT_S - 60}),
        ("2 minutes less", {"time_limit_s": LIMIT_S - 120}),
        ("extend to 20 minutes", {"time_limit_s": 1200.0}),
        ("no more than 5 more minutes", {"time_limit_s": USED_S + 300}),
        ("add 90s", {"time_limit_s": LIMIT_S + 90}),
        ("I don't want an ensemble", {"ensemble": False}),
        ("stop using neural networks", {"only": [], "never": ["neural"]}),
        ("get rid of knn", {"only": [], "never": ["neighbours"]}),
        ("stop training neural nets", {"only": [], "never": ["neural"]}),
        ("dont waste time on neural networks", {"only": [], "never": ["neural"]}),
        ("use only the forest and the linear", {"only": ["forest", "linear"], "never": []}),
        ("no xgboost, and sorry, 10 more minutes", {"only": [], "never": ["xgboost"], "time_limit_s": LIMIT_S + 600}),
        ("increase the time limit by 10 minutes to be safe", {"time_limit_s": LIMIT_S + 600}),
        ("extend it by 10 minutes to get a better model", {"time_limit_s": LIMIT_S + 600}),
        ("finish in less than 2 minutes", {"time_limit_s": USED_S + 120}),
        ("I have less time now, finish in 2 minutes", {"time_limit_s": USED_S + 120}),
        ("you can have five more minutes", {"time_limit_s": LIMIT_S + 300}),
        ("let it run five more minutes", {"time_limit_s": LIMIT_S + 300}),
        ("go on for another quarter of an hour please", {"time_limit_s": LIMIT_S + 900}),
        ("please extend the whole thing by another 90 seconds", {"time_limit_s": LIMIT_S + 90}),
        ("the run should not take more than 12 minutes in total", {"time_limit_s": 720.0}),
        ("+2 minutes", {"time_limit_s": LIMIT_S + 120}),
        ("cut two minutes off the time limit", {"time_limit_s": LIMIT_S - 120}),
        ("double the time limit", {"time_limit_s": 2 * LIMIT_S}),
        ("ten more minutes, no wait, fifteen more minutes", {"time_limit_s": LIMIT_S + 900}),
        ("no xgboost. sorry, I mean no catboost", {"only": [], "never": ["catboost"]}),
        ("only linear models, no ensemble", {"only": ["linear"], "never": [], "ensemble": False}),
    ],
)
def test_what_a_run_can_change(text: str, changes: dict[str, Any]) -> None:
    reply = read(text)
    assert (reply.changes, reply.branch, reply.choices, reply.stop) == (changes, {}, (), False)
    assert reply.known and reply.text


@pytest.mark.parametrize(
    ("text", "branch"),
    [
        ("target: plan", {"target": "plan"}),
        ("change the target to age", {"target": "age"}),
        ("ignore city and the customer id", {"ignore": ["city", "customer id"]}),
        ("use f1 as the metric", {"metric": "f1"}),
        ("change the metric from auc to f1", {"metric": "f1"}),
        ("group by customer id", {"group": "customer id"}),
    ],
)
def test_what_needs_a_run_of_its_own(text: str, branch: dict[str, Any]) -> None:
    reply = read(text)
    assert (reply.changes, reply.branch) == ({}, branch)
    assert "new run" in reply.text


def test_both_can_be_said_at_once() -> None:
    reply = read("only linear models and ignore city")
    assert reply.changes["only"] == ["linear"] and reply.branch == {"ignore": ["city"]}


@pytest.mark.parametrize(
    "text",
    [
        "stop",
        "please stop now",
        "ok, stop",
        "that's enough, stop",
        "Finish and keep the best model.",
        "stop it",
        "end the run!",
        "that's good enough, end the run now",
        "abort!! wrong file",
        "pls finish immediately and give me the best you have until now",
        "ok I've seen enough, you can stop here",
    ],
)
def test_a_wish_to_stop(text: str) -> None:
    assert read(text).stop


@pytest.mark.parametrize(
    "text", ["stop using trees", "stop in 5 minutes", "the bus stop", "abort the neural nets", "you can stop boosting"]
)
def test_no_wish_to_stop(text: str) -> None:
    assert not read(text).stop


@pytest.mark.parametrize(
    "text", ["5 minutes", "neural networks", "don't only use linear models", "what about city", "plan"]
)
def test_an_unclear_message_gets_one_question_whose_answers_are_clear(text: str) -> None:
    question = read(text)
    assert not question.changes and not question.branch
    assert len(question.choices) == 3
    for label, message in question.choices:
        assert label
        if message:
            answer = read(message)
            assert (answer.changes or answer.branch) and not answer.choices, message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "why no neural networks",
        "be careful, it is for a hospital",
        "hello",
        "is the ensemble better than the best single model so far?",
        "what would happen if I gave you ten more minutes?",
        "did you ignore city?",
        "don't stop in 5 minutes",
        "no need to double the time limit",
        "🤖" * 50,
    ],
)
def test_words_that_are_not_known(text: str) -> None:
    reply = read(text)
    assert not reply.known
    assert not reply.changes and not reply.branch and not reply.choices and not reply.stop


def test_what_is_so_already_changes_nothing() -> None:
    assert read("only linear models", replace(TASK, only=("linear",))).text == "That is so already."
    assert read("no ensemble", replace(TASK, ensemble=False)).text == "That is so already."
    assert read("target: churn").text == "That is so already."


def test_a_change_that_leaves_nothing_is_refused() -> None:
    for text, task in (
        ("no linear models", replace(TASK, only=("linear",))),
        ("only linear models but no linear models", TASK),
        ("ignore the column colour", TASK),
    ):
        reply = read(text, task)
        assert not reply.changes and not reply.branch and "Nothing was changed" in reply.text, text


def test_an_ensemble_is_wanted_again() -> None:
    without = replace(TASK, ensemble=False)
    for text in ("switch the ensemble back on", "ok you may ensemble again", "could you turn on the ensemble?"):
        assert read(text, without).changes == {"ensemble": True}


def test_what_was_ruled_out_can_be_wanted_again() -> None:
    reply = read("only linear models", replace(TASK, never=("linear", "neural")))
    assert reply.changes == {"only": ["linear"], "never": ["neural"]}


def test_a_metric_that_does_not_fit_is_told() -> None:
    reply = read("use rmse as the metric")
    assert not reply.branch and "does not fit" in reply.text


def test_what_is_said_of_the_data_forbids_no_models() -> None:
    assert not read("the relation is not linear").changes


def test_endless_words_and_numbers_end() -> None:
    assert not read("stop" + " and keep the best now" * 60 + "?").stop
    read("9" * 400 + " more minutes")
    read("tr\u0131ple the time limit")


def test_a_long_message_is_read_in_little_time() -> None:
    import time

    started = time.process_time()
    read("no ensemble " + "only the the the " * 5000)
    assert time.process_time() - started < 2.0
