"""Before and after: models told apart by their file's hash, and what their recorded sessions came to."""

from dataclasses import replace
from pathlib import Path

import pytest

from automlgpt_local.events import (
    AttemptFinished,
    CodeRejected,
    Decided,
    EventLog,
    HoldoutScored,
    ModelStarted,
    Profiled,
    SessionStarted,
    TaskResolved,
    TookOver,
)
from automlgpt_local.llm.random import RandomBackend
from finetune import sessions


def session(folder: Path, model: str, column: str, score: float, story: list) -> Path:
    folder.mkdir()
    log = EventLog(folder / "events.jsonl")
    task = {"metric": "roc_auc", "time_limit_s": 60.0}
    started = [SessionStarted("r", "1", model), ModelStarted(model, f"{model}0123456789abcdef", "full", 4096)]
    data = [TaskResolved(task), Profiled({"columns": [{"name": column}]})]
    for event in [*started, *data, *story, HoldoutScored(score, score, 0.0, 1)]:
        log.append(event, 1.0)
    log.close()
    return folder / "events.jsonl"


def wrote(decision="solution"):
    return Decided("coder", "select", decision, {"source": "x = 1"}, "model")


def ended(status):
    return AttemptFinished(1, status, 0.5, 0.1, [], 1.0)


def test_code_repairs_and_scores_by_model(tmp_path):
    refused, failed = CodeRejected("select", "no", 2), CodeRejected("select", "NameError", 1)
    mended = [
        wrote(),
        ended("error"),
        failed,
        wrote("repair"),
        ended("ok"),
        Decided("coder", "tune", "params", {}, "model"),
    ]
    given_up = [wrote(), refused, wrote("repair"), refused, TookOver("select", "no answer")]
    paths = [
        session(tmp_path / "a1", "old", "x", 0.7, mended), session(tmp_path / "a2", "old", "y", 0.9, given_up),
        session(tmp_path / "b1", "new", "x", 0.8, [wrote(), ended("ok")]),
        session(tmp_path / "b2", "new", "y", 0.9, []), session(tmp_path / "b3", "new", "z", 0.1, []),
    ]  # fmt: skip
    found = sessions.outcomes(paths)
    old, new = found["old old012345678"], found["new new012345678"]
    assert (old["modules"], old["ran_at_once"], old["ran_in_the_end"], old["repairs_per_module"]) == (2, 0.0, 0.5, 1.0)
    assert (new["modules"], new["ran_at_once"], new["taken_over"], old["taken_over"]) == (1, 1.0, 0, 1)
    assert (old["mean_rank"], new["mean_rank"], new["shared_data_sets"]) == (1.75, 1.25, 2)
    text = sessions.page(found)
    assert "| new new012345678 | 3 |" in text and "repairs per module" in text


def test_nothing_to_evaluate_is_said(capsys):
    from finetune.__main__ import main

    assert main(["evaluate"]) == 2 and "say what to evaluate" in capsys.readouterr().err


def test_models_are_compared_by_hash(tmp_path, monkeypatch, capsys):
    pytest.importorskip("torch")
    import hashlib
    import json

    from finetune import evaluate
    from finetune.__main__ import main
    from finetune.rows import Row, write_rows

    files = [tmp_path / name for name in ("a.gguf", "b.gguf")]
    for file in files:
        file.write_bytes(file.name.encode())
    monkeypatch.setattr(evaluate.Served, "open", lambda _: RandomBackend(0))
    part = {"name": "next", "options": ["a"], "choice": "a"}
    two = {"name": "next", "options": ["a", "b"], "choice": "a"}
    asked = enumerate((part, *[two] * 200))
    rows = [Row("next_recipe", "g", "f", True, "t", (f"o{i}\n",), ("next=", p, "\n")) for i, p in asked]
    write_rows(tmp_path / "rows.jsonl", [*rows, replace(rows[-1], decision="tool", held_out=False)])
    command = ["evaluate", str(tmp_path / "rows.jsonl"), "--base", str(files[0]), "--other", str(files[1]), "--json"]
    write_rows(tmp_path / "none.jsonl", [replace(row, held_out=False) for row in rows])
    assert main(["evaluate", str(tmp_path / "none.jsonl"), *command[2:]]) == 2
    assert "--all" in capsys.readouterr().err
    assert main(command) == 0
    found = json.loads(capsys.readouterr().out)
    for name, file in zip(("before", "after"), files, strict=True):
        assert found[name].keys() == {"sha256", "next_recipe"}
        assert found[name]["sha256"] == [hashlib.sha256(file.read_bytes()).hexdigest()]
        assert 0.35 < found[name]["next_recipe"] < 0.65
