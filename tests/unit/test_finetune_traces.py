"""From recorded sessions to rows: written by the code that prompts the live model, kept apart by data set."""

import json

import pytest

from automlgpt_local.llm.random import RandomBackend
from finetune import circle, traces
from finetune.cases import from_table
from finetune.rows import Row
from finetune.tables import generate


@pytest.fixture
def sessions(tmp_path):
    for i, family in enumerate(("wordy", "plain", "wordy")):
        case = from_table(generate(family, i % 2, n_rows=100))
        folder = tmp_path / f"s{i}"
        folder.mkdir()
        circle.record_session(case, RandomBackend(i), folder / "events.jsonl")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "events.jsonl").write_text("no event\n{}\n")
    return tmp_path


def test_rows_of_a_session(sessions):
    rows = list(traces.session_rows(sessions / "s0"))
    assert {r.decision for r in rows} >= {"treat", "next_recipe", "params"}
    first = rows[0]
    assert first.prompt.startswith("reasoner ") and "treat\nc0 " in first.prompt
    recipes = [r for r in rows if r.decision == "next_recipe"]
    assert recipes[0].completion == "linear\n" and "\nboard\nlightgbm best g0 " in recipes[0].prompt
    assert "linear best g5" in recipes[1].prompt and recipes[1].outcome == {}
    treat = next(r for r in rows if r.decision == "treat")
    assert treat.outcome == {"ran": True, "score": 0.5, "gain": 0.0, "kept": True}


def test_no_name_and_no_value_of_the_data_is_in_the_rows(sessions):
    case = from_table(generate("wordy", 0, n_rows=100))
    text = "".join(traces.preview(r) for r in traces.session_rows(sessions / "s0"))
    for column in case.profile.columns:
        assert len(column.name) < 3 or f" {column.name} " not in text
        assert not any(value in text for value, _ in column.top if len(value) > 8)


def test_doubles_and_broken_sessions_are_left_out(sessions):
    paths = sorted(sessions.glob("*/events.jsonl"))
    rows = traces.collect(paths)
    assert rows and len(traces.collect([*paths, *paths])) == len(rows)


def test_split_is_by_data_set_and_leaves_out_what_is_banned(sessions):
    rows = traces.collect(sorted(sessions.glob("*/events.jsonl")))
    groups = sorted({r.group for r in rows})
    assert len(groups) == 2
    for share in (0.0, 0.5, 1.0):
        marked = traces.split(rows, share)
        assert all(len({r.held_out for r in marked if r.group == g}) == 1 for g in groups)
    assert {r.group for r in traces.split(rows, without=[groups[0]])} == {groups[1]}


def test_exports_and_preview():
    part = {"name": "next", "options": ["a", "b"], "choice": "b"}
    row = Row("next_recipe", "g", "f", False, "truth", ("open\n",), ("board\nnext=", part, "\n"))
    assert traces.preview(row) == "open\nboard\nnext=[[b]]\n"
    messages = traces.as_messages(row)["messages"]
    assert [m["content"] for m in messages] == ["open\nboard\nnext=", "b\n"]
    assert json.loads(json.dumps(traces.as_sharegpt(row)))["conversations"][1]["value"] == "b\n"
