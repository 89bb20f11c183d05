"""The whole job, in its real processes: table in, model out, as its user would start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes

from automlgpt_local.client import Session, resume, start, state, stop_run
from automlgpt_local.errors import UsageError
from automlgpt_local.events import (
    Answered,
    AttemptFinished,
    CodeWritten,
    Decided,
    EnsembleChosen,
    Exported,
    Failed,
    Finished,
    HoldoutScored,
    Record,
    Refitted,
    Stopped,
    TaskChanged,
    TookOver,
)
from automlgpt_local.task import Request

# Hides our package from a child, as on a machine that does not have it.
WITHOUT_US = """
import sys
class Hide:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "automlgpt_local":
            raise ImportError(name)
sys.meta_path.insert(0, Hide())
sys.path.insert(0, ".")
import runpy
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__") if sys.argv[0].endswith(".py") else runpy.run_module(
    sys.argv[0], run_name="__main__", alter_sys=True)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tables")
    frame = load_breast_cancer(as_frame=True).frame
    frame["target"] = np.where(frame["target"] == 1, "benign", "malignant")
    frame.iloc[:450].to_csv(folder / "train.csv", index=False)
    frame.iloc[450:].drop(columns="target").to_csv(folder / "test.csv", index=False)
    load_diabetes(as_frame=True).frame.to_csv(folder / "diabetes.csv", index=False)
    return folder


def ask(folder: Path, **values: object) -> Request:
    settings = {"data": (str(folder / "train.csv"),), "target": "target", "threads": 1, "memory_mib": 4096}
    return Request.from_json({**settings, **values})


def run(request: Request, out: Path) -> tuple[Session, list[Record]]:
    session = start(request, out=out)
    return session, list(session)


def of(records: list[Record], cls: type) -> list:  # type: ignore[type-arg]
    return [r.event for r in records if isinstance(r.event, cls)]


def without_us(cwd: Path, *arguments: str) -> None:
    subprocess.run([sys.executable, "-I", "-c", WITHOUT_US, *arguments], cwd=cwd, check=True, timeout=300)


def test_the_nano_drives_a_run_to_code_that_gives_the_same_predictions(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    request = ask(folder, model="nano", trials=6, time_limit_s=400.0, test=str(folder / "test.csv"))
    session, records = run(request, out)
    assert session.exit_code == 0, (out / "engine.log").read_text()

    decided = [d for d in of(records, Decided) if d.by == "model"]
    assert {d.by for d in of(records, Decided)} <= {"model", "recipes"}  # what was passed over once comes by rule
    assert {d.decision for d in decided} >= {"next_tool", "treatments", "features", "next_recipe"}
    assert {d.agent for d in decided} == {"reasoner", "coder"}
    assert all(0 < p <= 1 for d in decided for p in d.probabilities.values())
    assert all(d.chosen_tokens > 0 and d.forced_tokens > 0 for d in decided)
    assert all(c.forced_tokens > 0 for c in of(records, CodeWritten))
    assert of(records, TookOver) == []
    assert of(records, Stopped)[0].reason == "trials"
    assert of(records, HoldoutScored)[0].score > 0.9
    assert all(r.status == "ok" for r in of(records, Refitted))

    answers = pd.read_csv(out / "predictions.csv")
    assert len(answers) == 119
    assert set(answers["prediction"]) <= {"benign", "malignant"}
    files = set(of(records, Exported)[0].files)
    assert {"predict.py", "requirements.txt", "report.html", "manifest.json"} <= files
    for code in out.rglob("*.py"):
        if "attempts" not in code.parts:
            assert "automlgpt" not in code.read_text()

    again = tmp_path / "again"
    script = ("pipeline.py",) if (out / "pipeline.py").exists() else ("pipeline",)
    without_us(out, *script, str(folder / "train.csv"), "--out", str(again))
    without_us(out, "predict.py", str(folder / "test.csv"), "-o", str(tmp_path / "p.csv"), "--model", str(again))
    retrained = pd.read_csv(tmp_path / "p.csv")
    for column in ("proba_benign", "proba_malignant"):
        np.testing.assert_allclose(retrained[column], answers[column], atol=1e-6)


def test_recipes_alone_need_no_model_and_keep_the_scores_honest(folder: Path, tmp_path: Path) -> None:
    request = ask(
        folder, data=(str(folder / "diabetes.csv"),), model="none", trials=4, metric="mae", time_limit_s=300.0
    )
    session, records = run(request, tmp_path / "run")
    assert session.exit_code == 0
    assert {d.by for d in of(records, Decided)} == {"recipes"}
    chosen, finished = of(records, EnsembleChosen)[0], of(records, Finished)[0]
    assert finished.metric == "mae"
    assert finished.score == (chosen.score if chosen.kept else chosen.single_score)
    assert 30 < finished.holdout_score < 60  # a mean guess has 65, the best known models 42


def stop_at(session: Session, attempt: int) -> list[Record]:
    records = []
    for record in session:
        records.append(record)
        if isinstance(record.event, CodeWritten) and record.event.attempt == attempt:
            session.stop()
    return records


def test_stopping_keeps_the_best_model_and_with_more_time_the_search_goes_on(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    session = start(ask(folder, model="none", time_limit_s=300.0), out=out)
    records = stop_at(session, 3)
    assert session.exit_code == 130
    assert of(records, Stopped)[0].reason == "user"
    assert (out / "predict.py").exists()
    session = resume(out, time_limit_s=300.0)
    records = stop_at(session, 5)
    assert session.exit_code == 130
    assert [e.attempt for e in of(records, CodeWritten)] == [1, 2, 3, 4, 5]
    assert [e.looks for e in of(records, HoldoutScored)] == [1, 2]
    assert len(of(records, Finished)) == 2


def test_a_run_stopped_before_its_first_model_is_interrupted_and_goes_on(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    session = start(ask(folder, model="none", trials=1, time_limit_s=300.0), out=out)
    session.stop()
    failed = list(session)[-1].event
    assert isinstance(failed, Failed) and failed.error == "Interrupted" and "resume" in failed.hint
    assert session.exit_code == 130 and state(out) == "interrupted"
    assert isinstance(list(resume(out))[-1].event, Finished)


def test_what_a_person_says_changes_the_run_even_over_a_kill(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    session = start(ask(folder, model="none", trials=6, time_limit_s=300.0), out=out)
    for record in session:
        if isinstance(record.event, AttemptFinished) and record.event.attempt == 2:
            session.message("only linear models and no ensemble; ignore mean radius")
        elif isinstance(record.event, Answered):
            assert record.event.branch == {"ignore": ["mean radius"]}
            session.kill()
    assert session.exit_code == 130

    records = list(resume(out))
    assert isinstance(records[-1].event, Finished) and records[-1].event.exit_code == 0
    (changed,) = of(records, TaskChanged)
    assert changed.left_out
    at = next(i for i, r in enumerate(records) if r.event is changed)
    assert {e.recipe for e in of(records[at:], CodeWritten)} == {"linear"}
    (member,) = {r.attempt for r in of(records, Refitted)}
    assert next(e.recipe for e in of(records, CodeWritten) if e.attempt == member) == "linear"
    task = json.loads((out / "task.json").read_text())
    assert task["families"]["only"] == ["linear"] and task["source"]["ensemble"] == "message"
    assert "Changed while it ran: Only linear models." in (out / "report.md").read_text()


def test_a_run_of_another_process_is_stopped_by_its_folder(folder: Path, tmp_path: Path) -> None:
    session = start(ask(folder, model="none", time_limit_s=300.0), out=tmp_path / "run", detach=True)
    records = []
    for record in session:
        records.append(record)
        if isinstance(record.event, CodeWritten) and record.event.attempt == 2:
            stop_run(tmp_path / "run")
    assert of(records, Stopped)[0].reason == "user"
    assert isinstance(records[-1].event, Finished)
    with pytest.raises(UsageError, match="No engine works"):
        stop_run(tmp_path / "run")


@pytest.mark.parametrize(
    ("values", "says"),
    [({"target": "tarjet"}, "tarjet"), ({"metric": "rmse"}, "rmse"), ({"model": "no-such-model"}, "no-such-model")],
)
def test_what_cannot_be_is_said_with_a_remedy(folder: Path, tmp_path: Path, values: dict[str, str], says: str) -> None:
    session, records = run(ask(folder, **{"model": "none", **values}), tmp_path / "run")
    failed = records[-1].event
    assert isinstance(failed, Failed)
    assert session.exit_code == (3 if "model" in values else 2)
    assert says in failed.message
    assert failed.hint


def test_rows_to_predict_that_cannot_be_read_are_told_before_the_search(folder: Path, tmp_path: Path) -> None:
    lines = (folder / "test.csv").read_text().splitlines()
    lines[40] += ",9"
    (tmp_path / "test.csv").write_text("\n".join(lines))
    request = ask(folder, model="none", trials=1, test=str(tmp_path / "test.csv"))
    session, records = run(request, tmp_path / "run")
    assert session.exit_code == 2
    assert "line 41" in records[-1].event.message
    assert not of(records, CodeWritten)


def test_a_model_that_does_not_open_ends_the_run(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUTOMLGPT_SLOW_TOKENS_PER_S", "not a number")
    session, records = run(ask(folder, model="nano", trials=1), tmp_path / "run")
    assert session.exit_code == 70
    assert isinstance(records[-1].event, Failed) and "not a number" in records[-1].event.message


def test_the_engine_dies_with_its_parent_and_leaves_no_child(folder: Path, tmp_path: Path) -> None:
    code = (
        "import json, sys, os; from automlgpt_local.client import start; from automlgpt_local.task import Request\n"
        "s = start(Request.from_json(json.loads(sys.argv[1])), out=sys.argv[2])\n"
        "for r in s:\n    if r.seq > 12: print(s.process.pid, flush=True); os.kill(os.getpid(), 9)\n"
    )
    request = ask(folder, model="none", time_limit_s=300.0).to_json()
    parent = subprocess.run(
        [sys.executable, "-c", code, json.dumps(request), str(tmp_path / "run")],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    engine = int(parent.stdout.split()[0])
    for _ in range(150):
        if not Path(f"/proc/{engine}").exists():
            break
        os.sched_yield()
        subprocess.run(["sleep", "0.1"], check=True)
    assert not Path(f"/proc/{engine}").exists()
