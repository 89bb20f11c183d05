"""The client against an engine that acts: events, commands, ends of every kind, and run folders."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import automlgpt_local
from automlgpt_local import client
from automlgpt_local import events as ev
from automlgpt_local.client import runs
from automlgpt_local.client import session as session_module
from automlgpt_local.client.api import Result
from automlgpt_local.durable import write_request
from automlgpt_local.errors import DataError, ResumeError, UsageError
from automlgpt_local.task import Request

ENGINE = [sys.executable, "-P", "-m", "automlgpt_local.client.scripted"]


@pytest.fixture(autouse=True)
def own_dirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOMLGPT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("AUTOMLGPT_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text("a,Churn\n1,Yes\n2,No\n")
    use_engine(monkeypatch)
    return tmp_path


def use_engine(monkeypatch: pytest.MonkeyPatch, *flags: str) -> None:
    monkeypatch.setattr(session_module, "ENGINE_COMMAND", [*ENGINE, *flags])


def request(**values: object) -> Request:
    return Request(data=("data.csv",), target="Churn", **values)  # type: ignore[arg-type]


def test_a_session_hands_out_every_event_once_and_in_order() -> None:
    session = client.start(request())
    records = list(session)
    stored = [r.seq for r in records if r.seq]
    assert stored == list(range(1, len(stored) + 1))
    assert any(isinstance(r.event, ev.Token) for r in records)
    assert isinstance(records[-1].event, ev.Finished)
    assert session.wait() == 0
    assert session.closed and session.get() is None
    session.close()


def test_the_request_is_written_before_the_engine_starts_and_its_paths_are_absolute(own_dirs: Path) -> None:
    session = client.start(request(test="data.csv"), out="here")
    assert session.run_dir == own_dirs / "here"
    kept = client.load_request(session.run_dir)
    assert kept.data == (str(own_dirs / "data.csv"),) and kept.test == str(own_dirs / "data.csv")
    session.wait()


def test_view_folds_a_run() -> None:
    session = client.start(request())
    session.wait()
    seen = client.view(session.run_dir)
    assert seen.metric == "roc_auc" and seen.best == 6
    assert [a.number for a in seen.ranking()][:2] == [6, 3]
    assert seen.attempts[6].status == "kept" and seen.attempts[4].status == "dropped"
    assert seen.attempts[6].folds_done == 5 and seen.attempts[6].weight == 0.55
    assert seen.score == 0.8511 and seen.holdout is not None and seen.over
    assert set(seen.stages.values()) == {"done"} and seen.took_over == 1
    assert client.state(session.run_dir) == "done"


def test_stop_keeps_the_best_and_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    use_engine(monkeypatch, "--pace", "0.05")
    session = client.start(request())
    session.get()
    assert session.stop()
    assert session.wait() == 130
    assert any(isinstance(r.event, ev.Commanded) for r in ev.read_events(session.run_dir / "events.jsonl"))


def test_pause_holds_the_engine_until_it_may_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    use_engine(monkeypatch, "--pace", "0.01")
    session = client.start(request())
    session.get()
    session.pause()
    time.sleep(0.4)
    before = len(session.drain(10_000))
    time.sleep(0.3)
    assert before and session.drain(10_000) == []
    session.go_on()
    assert session.wait() == 0


def test_an_engine_that_dies_is_a_failure_with_its_last_words(monkeypatch: pytest.MonkeyPatch) -> None:
    use_engine(monkeypatch, "--mode", "crash")
    session = client.start(request())
    assert session.wait() == 70
    assert isinstance(session.outcome, ev.Failed)
    assert "part of the play" in session.outcome.message and "resume" in session.outcome.hint
    assert client.state(session.run_dir) == "interrupted"
    followed = client.attach(session.run_dir)
    assert followed.wait() == 130
    assert isinstance(followed.outcome, ev.Failed) and "resume" in followed.outcome.hint


def test_kill_ends_an_engine_that_does_not_hear(monkeypatch: pytest.MonkeyPatch) -> None:
    use_engine(monkeypatch, "--mode", "hang")
    session = client.start(request())
    session.get()
    session.stop()
    session.kill()
    assert session.wait(5) == 130


def test_a_killed_run_is_resumed_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    use_engine(monkeypatch, "--mode", "crash")
    first = client.start(request())
    first.wait()
    use_engine(monkeypatch)
    second = client.resume(first.run_dir.name)
    records = list(second)
    stored = [r.seq for r in records if r.seq]
    assert stored == list(range(1, len(stored) + 1))
    assert sum(isinstance(r.event, ev.CodeWritten) for r in records) == 6
    assert second.wait() == 0


def test_a_run_without_a_sandbox_is_resumed_only_where_that_is_said_again(monkeypatch: pytest.MonkeyPatch) -> None:
    use_engine(monkeypatch, "--mode", "crash")
    first = client.start(request(sandbox=False))
    first.wait()
    use_engine(monkeypatch)
    with pytest.raises(UsageError, match="without the sandbox"):
        client.resume(first.run_dir)
    assert client.resume(first.run_dir, unsafe_no_sandbox=True).wait() == 0


def test_a_run_that_ended_is_resumed_only_with_more_time() -> None:
    session = client.start(request(time_limit_s=60.0))
    session.wait()
    with pytest.raises(ResumeError, match="has ended"):
        client.resume(session.run_dir)
    used_s = client.view(session.run_dir).used_s
    again = client.resume(session.run_dir, time_limit_s=30.0)
    again.wait()
    assert client.load_request(session.run_dir).time_limit_s == pytest.approx(used_s + 30.0, abs=1.0)


@pytest.mark.parametrize("detach", [False, True])
def test_a_resume_that_is_refused_keeps_the_folder(
    own_dirs: Path, monkeypatch: pytest.MonkeyPatch, detach: bool
) -> None:
    run_dir = own_dirs / "killed"  # before its first attempt
    run_dir.mkdir()
    write_request(run_dir, request())
    use_engine(monkeypatch, "--mode", "fail")
    assert client.resume(run_dir, detach=detach).wait() == 2
    assert client.load_request(run_dir).target == "Churn"


def test_a_detached_run_is_followed_from_its_log(monkeypatch: pytest.MonkeyPatch) -> None:
    use_engine(monkeypatch, "--pace", "0.01")
    session = client.start(request(), detach=True)
    records = list(session)
    assert isinstance(records[-1].event, ev.Finished) and session.exit_code == 0
    assert not session.send("stop")
    again = list(client.attach(session.run_dir))
    assert [r.seq for r in again] == [r.seq for r in records]
    log = ev.EventLog(session.run_dir / "events.jsonl")
    log.append(ev.Answered("The search has ended."), 60.0)  # to what was said while the engine ended
    log.close()
    assert client.attach(session.run_dir).wait() == 0


def test_a_detached_run_that_asked_for_approval_is_refused_but_where_all_is_allowed(
    own_dirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="Nobody can be asked"):
        client.start(request(approve="ask"), out="asks", detach=True)
    with pytest.raises(UsageError, match="nobody"):
        automlgpt_local.run("data.csv", target="Churn", out="asks", approve="ask")
    monkeypatch.setenv("AUTOMLGPT_APPROVE", "ask")
    with pytest.raises(UsageError, match="nobody"):
        automlgpt_local.run("data.csv", target="Churn", out="asks")
    assert automlgpt_local.run("data.csv", target="Churn", approve="auto").score == 0.8511
    assert not (own_dirs / "asks").exists()
    for answer in ("once", "always"):
        use_engine(monkeypatch, "--mode", "ask")
        session = client.start(request(approve="ask"), out=answer)
        for record in session:
            if isinstance(record.event, ev.ApprovalAsked):
                session.approve(record.event.attempt, answer)
        use_engine(monkeypatch)
        if answer == "once":
            with pytest.raises(UsageError, match="Nobody can be asked"):
                client.resume(session.run_dir, time_limit_s=30.0, detach=True)
        else:
            assert client.resume(session.run_dir, time_limit_s=30.0, detach=True).wait() == 0


def test_a_record_with_a_line_separator_of_unicode_is_one_record(own_dirs: Path) -> None:
    log = ev.EventLog(own_dirs / "events.jsonl")
    said = [ev.Warned("one\u2028two\u2029three\x85four"), ev.Warned("five")]
    for event in said:
        log.append(event, 1.0)
    log.close()
    assert [r.event for r in runs.LogTail(own_dirs / "events.jsonl").read()] == said


def test_runs_made_anywhere_are_listed_and_forgotten_when_gone(own_dirs: Path) -> None:
    inside, outside = client.start(request()), client.start(request(), out=own_dirs / "far" / "away")
    inside.wait(), outside.wait()
    listed = {r.path: r for r in client.list_runs()}
    assert set(listed) == {str(inside.run_dir), str(outside.run_dir)}
    assert listed[str(outside.run_dir)].score == 0.8511 and listed[str(outside.run_dir)].target == "Churn"
    client.remove_run(outside.run_dir)
    assert [r.path for r in client.list_runs()] == [str(inside.run_dir)]
    assert client.find_run(inside.run_dir.name[:10]) == inside.run_dir


def test_a_read_only_home_is_no_reason_to_fail(own_dirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (own_dirs / "file").write_text("")
    monkeypatch.setenv("AUTOMLGPT_STATE_DIR", str(own_dirs / "file" / "state"))
    session = client.start(request())
    session.wait()
    assert [r.path for r in client.list_runs()] == [str(session.run_dir)]


def test_a_running_engine_keeps_its_folder(own_dirs: Path) -> None:
    session = client.start(request())
    session.wait()
    assert not runs.is_locked(session.run_dir)
    with open(session.run_dir / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert client.state(session.run_dir) == "running"
        with pytest.raises(ResumeError, match="in use"):
            client.remove_run(session.run_dir)
        with pytest.raises(ResumeError, match="in use"):
            client.resume(session.run_dir, time_limit_s=10)


@pytest.mark.parametrize(
    ("data", "out", "problem"),
    [(("gone.csv",), None, "no file"), (("..",), None, "is a folder"), ((), None, "No data"),
     (("data.csv",), "full", "not empty"), (("data.csv",), "data.csv", "is a file")],
)  # fmt: skip
def test_what_cannot_be_started_leaves_no_folder(
    own_dirs: Path, data: tuple[str, ...], out: str | None, problem: str
) -> None:
    (own_dirs / "full").mkdir()
    (own_dirs / "full" / "file").write_text("mine")
    with pytest.raises(UsageError, match=problem):
        client.start(Request(data=data), out=out)
    assert not (own_dirs / "runs").exists()


def test_a_path_that_is_no_utf8_is_refused_and_leaves_no_folder(own_dirs: Path) -> None:
    strange = os.fsdecode(b"caf\xe9")
    (own_dirs / strange).write_text("a,Churn\n1,Yes\n")
    for refused, out in ((Request(data=(strange,)), "here"), (request(test=strange), "here"),
                         (request(model=f"{strange}.gguf"), "here"), (request(), f"{strange}_out")):  # fmt: skip
        with pytest.raises(UsageError, match=r"caf\\udce9.* is no UTF-8") as caught:
            client.start(refused, out=out)
        assert "Rename" in caught.value.hint
    assert {p.name for p in own_dirs.iterdir()} == {"data.csv", strange} and client.list_runs() == []


def test_a_folder_that_takes_no_file_is_refused_and_not_listed(own_dirs: Path) -> None:
    (own_dirs / "gone").mkdir()
    handle = os.open(own_dirs / "gone", os.O_RDONLY)
    (own_dirs / "gone").rmdir()  # an existing empty folder that even root cannot write to
    try:
        with pytest.raises(UsageError, match="cannot be made or written"):
            client.start(request(), out=f"/proc/self/fd/{handle}")
        assert client.list_runs() == []
    finally:
        os.close(handle)


def test_what_one_may_not_look_into_hides_no_run(own_dirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = client.start(request()), client.start(request())
    first.wait(), second.wait()
    lost = own_dirs / "runs" / "lost+found"
    lost.mkdir()
    really = os.stat

    def stat(path: Any, **options: Any) -> os.stat_result:
        if Path(str(path)).parent in (lost, second.run_dir):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return really(path, **options)

    monkeypatch.setattr(os, "stat", stat)  # to root all folders are open
    assert {r.path: r.state for r in client.list_runs()} == {
        str(first.run_dir): "done", str(second.run_dir): "unreadable",
    }  # fmt: skip


def test_find_run_says_what_is_wrong(own_dirs: Path) -> None:
    with pytest.raises(UsageError, match="no run"):
        client.find_run("nothing")
    client.start(request(), out="a/same").wait()
    with pytest.raises(UsageError, match="is empty"):
        client.find_run("")
    client.start(request(), out="b/same").wait()
    with pytest.raises(UsageError, match="2 runs"):
        client.find_run("same")


def test_the_process_start_is_before_now_and_after_boot() -> None:
    code = (
        "import time; t = time.monotonic()\n"
        "from automlgpt_local.client.session import process_started_at as p\n"
        "print(t - p())"
    )
    age_s = float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
    assert -0.01 <= age_s < 2.0


def test_run_from_python(own_dirs: Path) -> None:
    seen: list[ev.Event] = []
    result = automlgpt_local.run("data.csv", target="Churn", time_limit="1m", on_event=seen.append)
    assert result.score == 0.8511 and result.holdout_score == 0.8472 and result.metric == "roc_auc"
    assert result.path.parent == own_dirs / "runs" and "0.8472" in result.report
    assert isinstance(next(iter(result.events)), ev.SessionStarted) and isinstance(seen[-1], ev.Finished)


def test_run_from_python_raises_what_ended_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    use_engine(monkeypatch, "--mode", "fail")
    with pytest.raises(DataError, match="no column") as caught:
        automlgpt_local.run("data.csv", target="nope", ignore="a,b")
    assert "tenure" in caught.value.hint
    with pytest.raises(UsageError, match="targett"):
        automlgpt_local.run("data.csv", targett="x")


def test_run_from_python_takes_a_frame(own_dirs: Path) -> None:
    import pandas as pd

    result = automlgpt_local.run(pd.DataFrame({"a": [1, 2], "Churn": ["x", "y"]}), target="Churn", out="framed")
    assert client.load_request(result.path).data == (str(own_dirs / "framed" / "data.parquet"),)


def test_a_frame_of_mixed_objects_becomes_text_and_its_gaps_stay(own_dirs: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame({"a": ["x", 1, None], "Churn": [True, "no", None], "b": [1, 2, 3]})
    kept = pd.read_parquet(automlgpt_local.run(frame, target="Churn").path / "data.parquet")
    assert kept["a"].tolist()[:2] == ["x", "1"] and kept["Churn"].tolist()[:2] == ["True", "no"]
    assert kept.iloc[2].isna().tolist() == [True, True, False] and frame["a"].tolist() == ["x", 1, None]


def test_a_frame_that_cannot_be_kept_leaves_no_folder(own_dirs: Path) -> None:
    import pandas as pd

    for frame in (pd.DataFrame([[1, 2]], columns=["a", "a"]), pd.DataFrame({"a": [2**70], "Churn": [1]})):
        with pytest.raises(DataError, match="data frame") as caught:
            automlgpt_local.run(frame, target="Churn", out="framed")
        assert caught.value.hint
    with pytest.raises(UsageError, match=r"no file gone\.csv"):
        automlgpt_local.run(pd.DataFrame({"a": [1], "Churn": [1]}), test="gone.csv", out="framed")
    assert not (own_dirs / "framed").exists() and client.list_runs() == []


@pytest.mark.parametrize("labels", [["01", "1", "NA"], [True, False, True], [0, 1, 1]])
def test_predictions_have_the_labels_and_ids_of_their_table(
    own_dirs: Path, monkeypatch: pytest.MonkeyPatch, labels: list[object]
) -> None:
    import pandas as pd

    from automlgpt_local.client import children

    table = "\n".join(["id,prediction,proba_NA", *(f"0{i},{label},0.5" for i, label in enumerate(labels))])
    write = f"import sys; open(sys.argv[3], 'w').write({table!r})"
    monkeypatch.setattr(children, "PREDICT_COMMAND", [sys.executable, "-c", write])
    model = own_dirs / "run" / "model" / "model.json"
    model.parent.mkdir(parents=True)
    model.write_text(json.dumps({"classes": ["a class"], "id": "id", "target": "Churn"}))
    result = Result(own_dirs / "run", None, None, "", "Churn", 0.0)

    found = result.predict("data.csv")
    assert found["prediction"].tolist() == list(map(str, labels)) and found["id"].tolist() == ["00", "01", "02"]
    pd.DataFrame({"Churn": labels}).to_parquet(own_dirs / "run" / "data.parquet")
    found = result.predict(pd.DataFrame({"id": [0, 1, 2], "mixed": ["x", 1, None]}))
    assert found["prediction"].tolist() == labels and found["id"].tolist() == [0, 1, 2]
    assert found["proba_NA"].tolist() == [0.5] * 3


def test_importing_the_client_is_light() -> None:
    code = "import sys, automlgpt_local, automlgpt_local.client\nprint(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"pandas", "numpy", "sklearn", "pydantic", "textual", "rich", "llama_cpp", "click"} & set(loaded)


def test_no_engine_outlives_its_client(own_dirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_engine(monkeypatch, "--pace", "0.2")
    code = (
        "from automlgpt_local import client\nfrom automlgpt_local.client import session as s\n"
        f"s.ENGINE_COMMAND = {session_module.ENGINE_COMMAND!r}\n"
        "from automlgpt_local.task import Request\nimport os\n"
        "x = client.start(Request(data=('data.csv',), target='Churn'), out='orphan'); x.get()\n"
        "print(x.process.pid, flush=True); os._exit(1)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    pid = int(done.stdout)
    assert pid > 0
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline and client.state(own_dirs / "orphan") == "running":
        time.sleep(0.05)
    assert client.state(own_dirs / "orphan") == "interrupted"
