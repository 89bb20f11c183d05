"""From recorded sessions to rows: written by the code that prompts the live model, kept apart by data set."""

import json
from dataclasses import replace

import pytest

from automlgpt_local import offline
from automlgpt_local.agents import compact
from automlgpt_local.events import (
    AttemptFinished,
    Budget,
    CodeRejected,
    CodeWritten,
    Decided,
    EventLog,
    Gated,
    Profiled,
    TaskChanged,
    TaskResolved,
)
from automlgpt_local.task import TaskSpec
from finetune import traces
from finetune.__main__ import main
from finetune.cases import from_table
from finetune.outcome import outcome_of
from finetune.redact import redact
from finetune.rows import Row
from finetune.tables import generate

FIRST = "def build(params, ctx):\n    return broken\n"
MENDED = "KEY = 'sk-proj-a1b2c3d4e5f6a7b8c9d0'\n\n\ndef build(params, ctx):\n    return None\n"


def record(folder, case):
    """A session with all that rows are made of: choices, a module, its error, the mended module, and the gate."""
    folder.mkdir()
    log = EventLog(folder / "events.jsonl")
    columns = list(case.profile.columns)[: compact.BATCH]
    by_rule = {f"c{i}": case.default_treatments()[c.name] for i, c in enumerate(columns)}
    task = TaskSpec(target="target", kind=case.kind, metric=case.metric, time_limit_s=120.0)
    for t, event in enumerate([
        TaskResolved(task.to_json()), Profiled(case.profile.to_json()),
        Decided("reasoner", "process", "treatments", by_rule, "model", about=[c.name for c in columns]),
        CodeWritten(1, "process", "recipes", "the rules", "lightgbm", None, {}, {}, ""),
        AttemptFinished(1, "ok", 0.5, 0.01, [0.5], 1.0), Gated(1, None, 0.0, 0.0, True),
        Decided("reasoner", "select", "next_recipe", {"next": "linear"}, "model", about=["linear", "extra_trees"]),
        CodeWritten(2, "select", "recipes", "Linear", "linear", None, {}, {}, ""),
        AttemptFinished(2, "ok", 0.4, 0.01, [0.4], 1.0), Gated(2, 1, -0.1, 0.01, False),
        Decided("coder", "select", "solution", {"source": FIRST}, "model", "Why not."),
        CodeWritten(3, "select", "model", "own", "own_1", None, {}, {}, ""),
        AttemptFinished(3, "error", None, None, [], 1.0, "NameError"),
        CodeRejected("select", "could not convert 'Mrs Smith' to float: 123.45", 2),
        Decided("coder", "select", "repair", {"source": MENDED}, "model"),
        CodeWritten(4, "select", "model", "own", "own_1", None, {}, {}, ""),
        AttemptFinished(4, "ok", 0.3, 0.01, [0.3], 1.0), Gated(4, 1, -0.2, 0.01, False),
    ]):  # fmt: skip
        log.append(event, float(t))
    log.close()


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs")
    wordy, plain = generate("wordy", 0, n_rows=150), generate("plain", 1, n_rows=100)
    record(folder / "s0", from_table(wordy))
    record(folder / "s1", from_table(plain))
    record(folder / "other-rows", from_table(replace(wordy, frame=wordy.frame.iloc[50:].reset_index(drop=True))))
    (folder / "broken").mkdir()
    (folder / "broken" / "events.jsonl").write_text("no event\n{}\n")
    return folder


def test_rows_of_a_session(sessions):
    rows = {r.decision: r for r in traces.session_rows(sessions / "s0")}
    assert set(rows) == {"treat", "next_recipe"}  # the compact dialect has no code
    assert rows["treat"].prompt.startswith("reasoner ") and "treat\nc0 " in rows["treat"].prompt
    assert rows["treat"].outcome == {"ran": True, "score": 0.5, "gain": 0.0, "kept": True}
    assert rows["next_recipe"].completion == "linear\n"
    assert "\nboard\nlightgbm best g0 " in rows["next_recipe"].prompt


def test_chats_are_what_a_chat_model_would_be_asked(sessions):
    chats = {c.decision: c for c in traces.session_chats(sessions / "s0")}
    assert set(chats) == {"treat", "next_recipe", "solution", "repair"}
    for chat in chats.values():
        assert [m["role"] for m in chat.messages] == ["system", "user", "assistant"]
    assert json.loads(chats["next_recipe"].messages[-1]["content"]) == {"thought": "", "next": "linear"}
    assert "lightgbm: rank 1" in chats["next_recipe"].messages[1]["content"]
    assert chats["solution"].messages[-1]["content"] == f"Why not.\n\n```python\n{FIRST.strip()}\n```"


def test_a_repaired_error_is_a_pair(sessions):
    [repair] = [c for c in traces.session_chats(sessions / "s0") if c.decision == "repair"]
    asked, answer = repair.messages[1]["content"], repair.messages[-1]["content"]
    assert "return broken" in asked and "could not convert ... to float" in asked
    assert "return None" in answer and repair.outcome["ran"]
    shown = [c for c in traces.session_chats(sessions / "s0", traces.Wanted(cells=True)) if c.decision == "repair"]
    assert "Mrs Smith" in shown[0].messages[1]["content"]


def test_only_what_led_somewhere(sessions):
    kept = [c.decision for c in traces.session_chats(sessions / "s0", traces.Wanted(only_kept=True))]
    assert kept == ["treat", "repair"]  # next_recipe was refused, the solution did not run, the mended one did


def told(folder, *events):
    """A session on a small table in which these events follow."""
    case = from_table(generate("plain", 1, n_rows=100))
    task = TaskSpec(target="target", kind=case.kind, metric=case.metric, time_limit_s=120.0)
    folder.mkdir()
    log = EventLog(folder / "events.jsonl")
    for t, event in enumerate([TaskResolved(task.to_json()), Profiled(case.profile.to_json()), *events]):
        log.append(event, 100.0 + t)
    log.close()
    return folder


def tried(number, recipe, status="ok", title="", params={}):  # noqa: B006
    kept = [Gated(number, None, 0.1, 0.01, True)] if status == "ok" else []
    written = CodeWritten(number, "select", "model", title, recipe, None, params, {}, "")
    return [written, AttemptFinished(number, status, 0.5, 0.01, [0.5], 1.0), *kept]


def chose(recipe, decision="next_recipe", by="model", **values):
    return Decided("reasoner", "select", decision, {"next": recipe, **values}, by, about=["linear", "extra_trees"])


def wrote(decision="solution"):
    return Decided("coder", "select", decision, {"source": FIRST}, "model")


REFUSED = CodeRejected("select", "os is not allowed", 2)
KEPT = {"ran": True, "score": 0.5, "gain": 0.1, "kept": True}
SLOTS = Decided("coder", "process", "features", {"f0": "no"}, "model")


@pytest.mark.parametrize(("events", "outcome"), [
    ([wrote(), REFUSED, wrote("repair"), *tried(1, "own_1")], {"ran": False}),
    ([wrote("repair"), REFUSED, chose("linear"), *tried(1, "linear")], {"ran": False}),
    ([wrote(), *tried(1, "own_1", "pruned")], {"ran": True, "score": 0.5, "kept": False}),
    ([chose("own"), wrote(), *tried(1, "own_1", "error"), REFUSED, wrote("repair"), *tried(2, "own_1")], KEPT),
    ([chose("own"), wrote(), REFUSED], {"ran": False}),
    ([chose("stop"), chose("linear", "next_tune"), *tried(1, "linear")], {}),
    ([chose("linear", "next_tune"), Decided("coder", "tune", "params", {"a": 1}, "model"), *tried(1, "linear")], KEPT),
    ([Decided("coder", "tune", "params", {"a": 1}, "model"), *tried(1, "linear", params={"a": 1, "b": 2})], KEPT),
    ([Decided("coder", "tune", "params", {"a": 1}, "model"), *tried(1, "linear", params={"a": 3})], {}),
    ([SLOTS, *tried(1, "lightgbm", title="all proposed features")], {}),
    ([SLOTS, *tried(1, "lightgbm", title="the Coder's features")], KEPT),
])  # fmt: skip
def test_an_outcome_is_that_of_the_decision_s_own_attempt(events, outcome):
    assert outcome_of(events[0], events[1:]) == outcome


def test_code_that_was_refused_is_not_kept(tmp_path):
    story = told(tmp_path / "s", wrote(), REFUSED, chose("linear"), *tried(1, "linear"))
    kept = [c.decision for c in traces.session_chats(story, traces.Wanted(only_kept=True))]
    assert kept == ["next_recipe"]


def test_every_answer_is_one_that_the_question_allows(tmp_path):
    by_rule = Decided("reasoner", "select", "next_recipe", {"next": "neighbours"}, "recipes")
    settled = Decided("reasoner", "tune", "next_tune", {"next": "stop", "evidence": "calm"}, "recipes")
    story = [by_rule, chose("neighbours"), chose("stop", "next_tune", evidence="calm"), settled]
    [chat] = traces.session_chats(told(tmp_path / "s", *story))
    assert json.loads(chat.messages[-1]["content"]) == {"thought": "", "next": "stop"}
    assert '"next": "linear" | "extra_trees" | "stop"' in chat.messages[1]["content"]


def test_questions_follow_what_the_user_changed(tmp_path):
    task = TaskSpec(target="target", kind="multiclass", metric="f1_macro", time_limit_s=120.0)
    steered = TaskChanged("no linear models", task.to_json(), left_out=[1])
    story = [*tried(1, "linear"), steered, Budget(103.0, 400.0, 0.0, 1.0, "select"), chose("extra_trees")]
    [chat] = traces.session_chats(told(tmp_path / "s", *story))
    system, asked, _ = (m["content"] for m in chat.messages)
    assert "f1_macro" in system and "linear: rank 1" not in asked and "Time left: 29" in asked


def test_cells_secrets_and_in_rows_even_names_stay_out(sessions):
    case = from_table(generate("wordy", 0, n_rows=150))
    text = "".join(traces.preview(r) for r in traces.session_rows(sessions / "s0"))
    chats = "".join(traces.preview(c) for c in traces.session_chats(sessions / "s0"))
    for column in case.profile.columns:
        assert len(column.name) < 3 or f" {column.name} " not in text
        assert json.dumps(column.name) in chats
        assert not any(value in text or value in chats for value, _ in column.top if len(value) > 8)
        if column.min is not None and column.max is not None:
            assert f"{column.min:.4g} to {column.max:.4g}" not in chats
    assert "sk-proj" not in chats and "KEY = '[secret]'" in chats


@pytest.mark.parametrize(("text", "hidden"), [
    ("password = 'hunter2222'", "hunter2222"), ("AKIAABCDEFGHIJKLMNOP", "AKIA"), ("postgres://me:pw1@host/db", "pw1"),
    ("/home/maria/data.csv", "maria"), ("write to jo.doe@example.org", "jo.doe"),
    ('api_key="correcthorse"', "correcthorse"), ("ghp_abcdefghij0123456789", "ghp_"),
    ("-----BEGIN RSA PRIVATE KEY-----\nabc", "abc"), ("sk_live_AbCdEfGhIjKlMnOp", "AbCd"), ("token=abc123def)", "abc1"),
    ("root@10.0.0.1", "root"), ("jo@a-b.co.uk,", "jo"),
])  # fmt: skip
def test_secrets(text, hidden):
    assert hidden not in redact(text) and "[secret]" in redact(text)


def test_code_and_facts_are_no_secrets():
    text = """df["token_count"] = df["text"].str.len()
- "password age": number, 0% missing, 12 distinct
x = df @ df.T
z = X@coef_.T + X@np.linalg.inv(A)
n_token = len(x1[0])
token = frame2["a"]
df["sk_customer_dimension_key"] / df["pk_order_header_number"]"""
    assert redact(text) == text


def test_doubles_are_left_out_and_broken_sessions_named(sessions):
    paths = traces.sessions_below([sessions])
    rows, broken = traces.collect(paths)
    assert rows and broken == [sessions / "broken" / "events.jsonl"]
    assert traces.collect([*paths, *paths])[0] == rows
    assert len(traces.collect([sessions / "s0", sessions / "s0"], chat=True)[0]) == 4


def test_split_is_by_data_set(sessions):
    rows, _ = traces.collect(traces.sessions_below([sessions]))
    groups = sorted({r.group for r in rows})
    assert len(groups) == 2  # other rows of the same table are the same data set
    for share in (0.0, 0.5, 1.0):
        marked = traces.split(rows, share)
        assert all(len({r.held_out for r in marked if r.group == g}) == 1 for g in groups)


def rows_of(*groups):
    part = {"name": "next", "options": ["a", "b"], "choice": "b"}
    return [Row("next_recipe", group, "f", False, "recorded", (f"{group}\n",), ("next=", part)) for group in groups]


def test_a_data_set_is_always_left_to_train_on():
    unlucky = [f"g{i}" for i in range(100) if traces.split(rows_of("luckiest", f"g{i}"))[1].held_out]
    assert 10 < len(unlucky) < 30
    for group in unlucky:
        assert not traces.split(rows_of(group))[0].held_out
    assert [r.held_out for r in traces.split(rows_of(*unlucky))].count(False) == 1
    assert all(r.held_out for r in traces.split(rows_of(*unlucky), 1.0))


def test_nothing_to_learn_from_overwrites_nothing(sessions, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    out = tmp_path / "rows.jsonl"
    out.write_text("mine")
    for folder, problem in [("rnus", "there is no"), ("empty", "no recorded session"), ("broken", "no decision")]:
        path = sessions / folder if folder == "broken" else tmp_path / folder
        assert main(["data", str(path), "--out", str(out)]) == 2
        assert problem in capsys.readouterr().err and out.read_text() == "mine"
    assert main(["data", str(sessions / "s0"), str(tmp_path / "empty"), "--out", str(out)]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out)["held_out"] == 0 and "no data set is held out" in told.err
    assert main(["data", str(sessions / "s0"), "--without", str(tmp_path / "empty"), "--out", str(out)]) == 2


def test_rows_are_written_where_the_recipes_look_for_them(sessions, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for form in ("rows", "messages", "sharegpt"):
        assert main(["data", str(sessions / "s0"), "--format", form]) == 0
    assert {p.name for p in tmp_path.iterdir()} == {"rows.jsonl", "messages.jsonl", "sharegpt.jsonl"}


def test_it_works_offline(monkeypatch, sessions, tmp_path):
    told = []
    monkeypatch.setattr(offline, "enforce", lambda: told.append("offline"))
    assert main(["data", str(sessions / "s0"), "--out", str(tmp_path / "r.jsonl")]) == 0 and told


def test_a_defect_is_no_parity_error(monkeypatch, capsys):
    monkeypatch.delattr(traces, "collect")
    monkeypatch.setattr(traces, "sessions_below", lambda _: [])
    assert main(["data", "runs"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_evaluation_data_are_left_out_as_whole_data_sets(sessions, tmp_path):
    table = generate("wordy", 0, n_rows=150)
    table.frame.iloc[:20].to_csv(tmp_path / "test.csv", index=False)
    for banned in (tmp_path / "test.csv", sessions / "s0"):
        logs = [sessions / name / "events.jsonl" for name in ("s0", "s1", "other-rows", "broken")]
        assert traces.apart_from(logs, traces.columns_of(banned)) == [logs[1], logs[3]]


def test_tables_of_any_csv_are_left_out_and_counted(sessions, tmp_path, capsys):
    table = tmp_path / "test.csv"
    generate("wordy", 0, n_rows=150).frame.to_csv(table, index=False, sep=";")
    command = ["data", str(sessions / "s0"), str(sessions / "s1"), "--out", str(tmp_path / "r.jsonl")]
    assert main([*command, "--without", str(table)]) == 0
    assert json.loads(capsys.readouterr().out)["left_out"] == 1


def test_exports_and_preview(sessions):
    part = {"name": "next", "options": ["a", "b"], "choice": "b"}
    row = Row("next_recipe", "g", "f", False, "truth", ("open\n",), ("board\nnext=", part, "\n"))
    assert traces.preview(row) == "open\nboard\nnext=[[b]]\n"
    chat = replace(next(traces.session_chats(sessions / "s0", traces.Wanted(licence="CC0"))), held_out=True)
    written = json.loads(json.dumps(traces.as_messages(chat)))
    assert written["held_out"] and written["outcome"]["licence"] == "CC0" and len(written["messages"]) == 3
    shared = json.loads(json.dumps(traces.as_sharegpt(chat)))
    assert [t["from"] for t in shared.pop("conversations")] == ["system", "human", "gpt"]
    assert shared == {k: v for k, v in written.items() if k != "messages"}
    assert traces.preview(chat).endswith(f"[[{chat.messages[-1]['content']}]]\n")
