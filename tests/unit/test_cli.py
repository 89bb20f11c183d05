"""The command line: flags, exit codes, what goes to which stream, and how light it starts."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from automlgpt_local import client, settings
from automlgpt_local.cli import exits, main, plain, run
from automlgpt_local.client import session as session_module
from automlgpt_local.errors import UsageError
from automlgpt_local.events import ApprovalAsked, EventLog, SessionStarted, StageStarted, TaskResolved, Warned
from automlgpt_local.task import Request
from automlgpt_local.tui.actions import BY_ID

ENGINE = [sys.executable, "-P", "-m", "automlgpt_local.client.scripted"]


@pytest.fixture(autouse=True)
def own_dirs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOMLGPT_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("AUTOMLGPT_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("AUTOMLGPT_MODELS_DIR", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.csv").write_text("a,Churn\n" + "".join(f"{i},{'Yes' if i % 3 else 'No'}\n" for i in range(60)))
    monkeypatch.setattr(session_module, "ENGINE_COMMAND", ENGINE)
    return tmp_path


def call(capfd: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command, through the same door as the real one."""
    capfd.readouterr()
    code = main._run(list(args))
    out, err = capfd.readouterr()
    return code, out, err


def last_paragraph(text: str) -> str:
    return text.strip().split("\n\n")[-1]


def child(*args: str, engine: list[str] = ENGINE, **options: Any) -> subprocess.Popen[str]:
    code = (
        "from automlgpt_local.client import session\n"
        f"session.ENGINE_COMMAND = {engine!r}\nfrom automlgpt_local.cli.main import main\nmain()"
    )
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code, *args],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, **options,
    )  # fmt: skip


def test_run_prints_the_run_folder_alone_on_stdout(capfd: pytest.CaptureFixture[str], own_dirs: Path) -> None:
    code, out, err = call(capfd, "run", "data.csv", "--target", "Churn", "--out", "here")
    assert code == 0 and out == f"{own_dirs / 'here'}\n"
    assert "locked holdout: 0.8472" in err and "attempt 6: kept" in err and "automlgpt predict" in err


def test_run_json_is_the_event_log(capfd: pytest.CaptureFixture[str], own_dirs: Path) -> None:
    code, out, err = call(capfd, "run", "data.csv", "--target", "Churn", "--json", "--out", "here")
    assert code == 0 and err == ""
    assert out == (own_dirs / "here" / "events.jsonl").read_text()
    assert [json.loads(x)["seq"] for x in out.splitlines()] == list(range(1, len(out.splitlines()) + 1))


@pytest.mark.parametrize(("mode", "expected"), [("fail", 2), ("crash", 70)])
def test_the_engine_decides_the_exit_code(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mode: str, expected: int
) -> None:
    monkeypatch.setattr(session_module, "ENGINE_COMMAND", [*ENGINE, "--mode", mode])
    for flags in ((), ("--json",)):
        code, _out, err = call(capfd, "run", "data.csv", "--target", "nope", *flags)
        assert code == expected
        assert last_paragraph(err).startswith("Error: ")
    if mode == "fail":
        assert last_paragraph(err) == "Error: There is no column 'nope'.\nThe columns are: tenure, Contract."


@pytest.mark.parametrize(
    ("args", "problem"),
    [
        (("run", "gone.csv"), "no file gone.csv"),
        (("run", "."), "is a folder"),
        (("run", "data.csv", "--time-limit", "soon"), "not a duration"),
        (("run", "data.csv", "--time-limit", "0"), "not a duration"),
        (("run", "data.csv", "--memory", "much"), "not an amount of memory"),
        (("run", "data.csv", "--metric", "auuc"), "no metric 'auuc'"),
        (("run", "data.csv", "--kind", "clustering"), "clustering"),
        (("run", "data.csv", "--out", "data.csv"), "is a file"),
        (("run", "data.csv", "--target", "Churn", "--dry-run", "--out", "data.csv/sub"), "data.csv/sub: Not a dir"),
        (("run", "data.csv", "--approve", "ask", "--detach"), "Nobody can be asked"),
        (("run",), "Missing argument"),
        (("run", "data.csv", "--frobnicate"), "--frobnicate"),
        (("frobnicate",), "The commands are: run"),
        (("predict", "none-such", "data.csv", "-o", "x.csv"), "no run 'none-such'"),
        (("sessions", "show", "none-such"), "no run"),
        (("sessions", "resume", "none-such"), "no run"),
        (("example", "titanic", "."), "no example 'titanic'"),
        (("logs",), "no runs yet"),
    ],
)
def test_what_the_user_must_change_is_said_last_and_ends_with_2(
    capfd: pytest.CaptureFixture[str], args: tuple[str, ...], problem: str
) -> None:
    code, out, err = call(capfd, *args)
    assert code == 2 and out == ""
    paragraph = last_paragraph(err)
    assert paragraph.startswith("Error: ") and problem in paragraph
    assert len(paragraph.splitlines()) >= 2, "the remedy is missing"


def test_a_refused_request_can_be_corrected_under_the_same_name(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, own_dirs: Path
) -> None:
    monkeypatch.setattr(session_module, "ENGINE_COMMAND", [*ENGINE, "--mode", "fail"])
    for flags in ((), ("--json",), ("--detach",)):
        assert call(capfd, "run", "data.csv", "--target", "nope", "--out", "here", *flags)[0] == 2
        assert not (own_dirs / "here").exists()
    assert json.loads(call(capfd, "sessions", "list", "--json")[1]) == []
    monkeypatch.setattr(session_module, "ENGINE_COMMAND", ENGINE)
    assert call(capfd, "run", "data.csv", "--target", "Churn", "--out", "here")[0] == 0


@pytest.mark.parametrize("flags", [(), ("--dry-run",), ("--detach",)])
def test_an_unknown_model_is_told_before_anything_starts(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, own_dirs: Path, flags: tuple[str, ...]
) -> None:
    monkeypatch.setattr(session_module, "ENGINE_COMMAND", ["/no/such/program"])
    code, out, err = call(capfd, "run", "data.csv", "--target", "Churn", "--model", "gpt5", "--out", "here", *flags)
    assert (code, out) == (3, "")
    assert "No model is called 'gpt5'" in err and "automlgpt models list" in err
    assert not (own_dirs / "here").exists()


def test_flags_make_the_request(monkeypatch: pytest.MonkeyPatch) -> None:
    flags = {p.name: None for p in run.command.params}
    context = run.command.make_context("run", [
        "a.csv", "b.csv", "--target", "y", "--ignore", "id, name", "--time-limit", "1.5h", "--memory", "8g",
        "--metric", "AUC", "--no-ensemble", "--time", "when", "--unsafe-no-sandbox", "--trials", "7",
    ])  # fmt: skip
    assert set(flags) == set(context.params)
    drop = ("data", "out", "as_json", "detach", "dry_run")
    request = run.make_request(context.params["data"], **{k: v for k, v in context.params.items() if k not in drop})
    assert request.data == ("a.csv", "b.csv") and request.ignore == ("id", "name") and request.time == "when"
    assert request.time_limit_s == 5400.0 and request.memory_mib == 8192 and request.metric == "roc_auc"
    assert not request.ensemble and not request.sandbox and request.trials == 7 and request.model == "nano"


def test_settings_are_overridden_in_order(monkeypatch: pytest.MonkeyPatch, own_dirs: Path) -> None:
    (own_dirs / "config.toml").write_text('model = "user"\ntime_limit = "3m"\nthreads = 1\n')
    (own_dirs / "automlgpt.toml").write_text('model = "project"\ntime_limit = "4m"\n')
    monkeypatch.setenv("AUTOMLGPT_MODEL", "environment")
    chosen = settings.load()
    assert (chosen.model, chosen.time_limit, chosen.threads, chosen.approve) == ("environment", "4m", 1, "auto")
    assert chosen.source["model"] == "AUTOMLGPT_MODEL" and chosen.source["threads"].endswith("config.toml")
    context = run.command.make_context("run", ["a.csv", "--model", "flag"])
    drop = ("data", "out", "as_json", "detach", "dry_run")
    request = run.make_request(("a.csv",), **{k: v for k, v in context.params.items() if k not in drop})
    assert request.model == "flag" and request.time_limit_s == 240.0 and request.threads == 1


@pytest.mark.parametrize("text", ['modle = "x"', "threads = 0", 'time_limit = "soon"', "= 3", 'approve = "never"'])
def test_a_settings_file_that_makes_no_sense_is_named(
    capfd: pytest.CaptureFixture[str], own_dirs: Path, text: str
) -> None:
    (own_dirs / "config.toml").write_text(text)
    code, _out, err = call(capfd, "run", "data.csv")
    assert code == 2 and "config.toml" in last_paragraph(err)
    assert call(capfd, "config", "path")[0] == 0


def test_the_template_of_settings_can_be_switched_on(capfd: pytest.CaptureFixture[str], own_dirs: Path) -> None:
    code, out, _err = call(capfd, "config", "init")
    file = own_dirs / "config.toml"
    assert code == 0 and out.strip() == str(file)
    assert settings.load() == settings.Settings(source=settings.load().source)
    switched_on = [
        x[2:] if (x.startswith("# ") and "=" in x) or x == "# [keys]" else x for x in file.read_text().splitlines()
    ]
    file.write_text("\n".join(switched_on))
    assert settings.load().memory == "8g" and settings.load().keys == {"app.help": BY_ID["app.help"].key}
    assert call(capfd, "config", "init")[0] == 2
    shown = json.loads(call(capfd, "config", "show", "--json")[1])
    assert shown["memory"] == {"value": "8g", "source": str(file)}


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("10m", 600),
        ("1.5h", 5400),
        (" 2 min ", 120),
        ("1d", 86400),
        ("10 minutes", 600),
        ("1 Hour", 3600),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert settings.parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-5", "1h30", "nan", "1e3", "10x"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError):
        settings.parse_seconds(text)


def test_sessions(capfd: pytest.CaptureFixture[str], own_dirs: Path) -> None:
    assert json.loads(call(capfd, "sessions", "list", "--json")[1]) == []
    call(capfd, "run", "data.csv", "--target", "Churn", "--out", "here")
    listed = json.loads(call(capfd, "sessions", "list", "--json")[1])
    assert [set(x) for x in listed] == [{"id", "path", "state", "target", "metric", "score", "started_at", "seconds"}]
    assert listed[0]["id"] == "here" and listed[0]["state"] == "done" and listed[0]["score"] == 0.8511
    code, out, _ = call(capfd, "sessions", "show", "here")
    assert code == 0 and "predict Churn (binary)" in out and "locked holdout 0.8472" in out
    assert len(json.loads(call(capfd, "sessions", "show", "here", "--json")[1])["attempts"]) == 6
    assert call(capfd, "sessions", "show", "here", "--events")[1] == (own_dirs / "here" / "events.jsonl").read_text()
    code, out, err = call(capfd, "sessions", "resume", "here")
    assert code == 2 and "has ended" in last_paragraph(err) and "--time-limit" in last_paragraph(err)
    assert call(capfd, "sessions", "resume", "here", "--time-limit", "20")[0] == 0
    assert call(capfd, "report", "here")[1].startswith("# Report")
    assert call(capfd, "report", "here", "--html")[1].strip() == str(own_dirs / "here" / "report.html")
    assert call(capfd, "logs", "here")[0] == 0
    assert call(capfd, "sessions", "rm", "her", "--yes")[0] == 2 and (own_dirs / "here").exists()
    assert call(capfd, "sessions", "rm", "here", "--yes")[0] == 0 and not (own_dirs / "here").exists()


def test_a_run_killed_before_its_first_event_has_none_to_show(
    capfd: pytest.CaptureFixture[str], own_dirs: Path
) -> None:
    call(capfd, "run", "data.csv", "--target", "Churn", "--out", "here")
    (own_dirs / "here" / "events.jsonl").unlink()
    assert call(capfd, "sessions", "show", "here", "--events") == (0, "", "")


def test_a_table_line_up_whatever_it_holds(capfd: pytest.CaptureFixture[str]) -> None:
    from automlgpt_local.cli.options import print_table

    print_table(["A", "B"], [["日本語", "x"], ["\x1b[31mred\x1b[0m\u202e", "y"]])
    out = capfd.readouterr().out
    assert out == "A       B\n日本語  x\nred     y\n"


def test_a_run_of_somebody_else_is_printed_inert(capfd: pytest.CaptureFixture[str], own_dirs: Path) -> None:
    evil = "\x1b]0;owned\x07"
    (own_dirs / "theirs").mkdir()
    log = EventLog(own_dirs / "theirs" / "events.jsonl")
    task = {"target": f"y{evil}", "kind": f"binary{evil}", "metric": f"auc{evil}", "time_limit_s": 1.0}
    for event in (
        SessionStarted("id", "1", f"nano{evil}"),
        TaskResolved(task),
        StageStarted(f"tune{evil}"),
        Warned(evil),
    ):
        log.append(event, 1.0)
    log.close()
    (own_dirs / "theirs" / "report.md").write_text(f"# Report\n\n\tof a run{evil}\n")
    code, out, _err = call(capfd, "sessions", "show", "theirs")
    assert code == 0 and "predict y (binary), auc, model nano" in out and "stage tune" in out and "\x1b" not in out
    assert call(capfd, "report", "theirs") == (0, "# Report\n\n    of a run\n", "")


def test_data_are_utf8_in_any_locale(own_dirs: Path) -> None:
    (own_dirs / "here").mkdir()
    log = EventLog(own_dirs / "here" / "events.jsonl")
    log.append(Warned("5 → 6"), 1.0)
    log.close()
    process = child("sessions", "show", "here", "--events", env={**os.environ, "PYTHONIOENCODING": "latin-1"})
    assert process.communicate(timeout=20) == ((own_dirs / "here" / "events.jsonl").read_text(), "")


def test_detach_leaves_a_run_behind(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "ENGINE_COMMAND", [*ENGINE, "--pace", "0.02"])
    code, out, err = call(capfd, "run", "data.csv", "--target", "Churn", "--detach")
    assert code == 0 and "Follow it" in err
    run_dir = Path(out.strip())
    code, out, _err = call(capfd, "sessions", "show", run_dir.name, "--follow", "--events")
    assert code == 0 and json.loads(out.splitlines()[-1])["type"] == "finished"


@pytest.mark.parametrize(("ends_with", "expected", "told"), [(2, 2, "is in use"), (3, 70, "with exit code 3")])
@pytest.mark.parametrize("flags", [(), ("--detach",)])
def test_a_resumed_run_that_fails_at_once_is_no_success(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...], ends_with: int,
    expected: int, told: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(session_module, "ENGINE_COMMAND", [*ENGINE, "--mode", "crash"])
    call(capfd, "run", "data.csv", "--target", "Churn", "--out", "here")
    monkeypatch.setattr(session_module, "ENGINE_COMMAND", [sys.executable, "-c", f"raise SystemExit({ends_with})"])
    code, out, err = call(capfd, "sessions", "resume", "here", *flags)
    assert (code, out) == (expected, "") and told in last_paragraph(err)


def test_a_reader_that_leaves_interrupts_the_run(own_dirs: Path) -> None:
    process = child(
        "run", "data.csv", "--target", "Churn", "--json", "--out", "here", engine=[*ENGINE, "--pace", "0.1"]
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(20) == 130
    process.stderr.close()


def test_ctrl_c_keeps_the_best_and_ends_with_130(own_dirs: Path) -> None:
    process = child("run", "data.csv", "--target", "Churn", "--out", "here", engine=[*ENGINE, "--pace", "0.1"])
    log = own_dirs / "here" / "events.jsonl"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not (log.is_file() and "gated" in log.read_text()):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=10)
    assert process.returncode == 130 and out.strip() == str(own_dirs / "here")
    assert "Stopping" in err and json.loads(log.read_text().splitlines()[-1])["type"] == "finished"


def test_ctrl_c_leaves_a_run_that_is_only_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "ENGINE_COMMAND", [*ENGINE, "--mode", "hang"])
    session = client.start(Request(data=("data.csv",), target="Churn"), out="here")
    follower = child("sessions", "show", "here", "--follow")
    try:
        assert session.process is not None and follower.stderr is not None
        follower.stderr.readline()
        follower.send_signal(signal.SIGINT)
        _out, err = follower.communicate(timeout=10)
        assert follower.returncode == 130 and "The run goes on" in err and "sessions stop" in err
        assert session.process.poll() is None
    finally:
        follower.kill()
        session.kill()


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_the_end_of_an_interrupted_run_that_is_followed_is_told(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    monkeypatch.setattr(session_module, "ENGINE_COMMAND", [*ENGINE, "--mode", "crash"])
    call(capfd, "run", "data.csv", "--target", "Churn", "--out", "here")
    code, _out, err = call(capfd, "sessions", "show", "here", "--follow", *flags)
    assert code == 130
    assert "was interrupted" in last_paragraph(err) and "sessions resume" in last_paragraph(err)


def test_a_second_ctrl_c_ends_an_engine_that_does_not_hear(own_dirs: Path) -> None:
    process = child("run", "data.csv", "--target", "Churn", "--out", "here", engine=[*ENGINE, "--mode", "hang"])
    log = own_dirs / "here" / "events.jsonl"
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and not log.is_file():
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    _out, err = process.communicate(timeout=10)
    assert process.returncode == 130 and "sessions resume" in last_paragraph(err)


def test_without_a_person_what_was_not_allowed_is_rejected(capfd: pytest.CaptureFixture[str], own_dirs: Path) -> None:
    process = child("run", "data.csv", "--approve", "ask", "--out", "here", engine=[*ENGINE, "--mode", "ask"])
    process.communicate(timeout=20)
    lines = [json.loads(x) for x in (own_dirs / "here" / "events.jsonl").read_text().splitlines()]
    answers = [x["answer"] for x in lines if x["type"] == "approved"]
    assert answers and set(answers) == {"reject"}


def test_a_question_is_no_trap_for_the_keyboard() -> None:
    typist, terminal = pty.openpty()
    code = (
        "from automlgpt_local.client import session\n"
        f"session.ENGINE_COMMAND = {[*ENGINE, '--mode', 'ask']!r}\nfrom automlgpt_local.cli.main import main\nmain()"
    )
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code, "run", "data.csv", "--approve", "ask", "--out", "here"],
        stdin=terminal, stderr=terminal, stdout=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip
    os.close(terminal)
    said, again_at, deadline = b"", 0.0, time.monotonic() + 60
    while process.poll() is None and time.monotonic() < deadline:
        if select.select([typist], [], [], 0.1)[0]:
            with suppress(OSError):  # its end
                said += os.read(typist, 4096)
        if b"[r]eject" in said and time.monotonic() > again_at:  # one that comes just before the read is not heard
            again_at = time.monotonic() + 2.0
            process.send_signal(signal.SIGINT)
    os.close(typist)
    process.kill()
    assert process.wait(5) == 130, said.decode()


def test_only_what_is_asked_in_this_sitting_is_answered(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, own_dirs: Path
) -> None:
    monkeypatch.setattr(session_module, "ENGINE_COMMAND", [*ENGINE, "--mode", "ask"])
    killed = client.start(Request(data=("data.csv",), approve="ask"), out="here")
    for record in killed:
        if isinstance(record.event, ApprovalAsked):
            killed.kill()
    asked: list[int] = []
    approve = client.Session.approve

    def heard(session: client.Session, attempt: int, answer: str) -> bool:
        asked.append(attempt)
        return approve(session, attempt, answer)

    monkeypatch.setattr(client.Session, "approve", heard)
    assert call(capfd, "sessions", "resume", "here")[0] == 0
    assert asked == [2, 3, 4, 5, 6]
    assert call(capfd, "sessions", "show", "here", "--follow")[0] == 0
    assert asked == [2, 3, 4, 5, 6]


def test_dry_run_prints_the_task_and_makes_no_run(capfd: pytest.CaptureFixture[str], own_dirs: Path) -> None:
    code, out, _err = call(capfd, "run", "data.csv", "--target", "Churn", "--dry-run")
    task = json.loads(out)
    assert code == 0 and task["target"] == "Churn" and task["kind"] == "binary" and task["version"] == 1
    assert not (own_dirs / "runs").exists()
    code, _out, err = call(capfd, "run", "data.csv", "--target", "Chrun", "--dry-run")
    assert code == 2 and "Churn" in last_paragraph(err)


def test_a_defect_leaves_a_report(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, own_dirs: Path
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr(session_module, "begin", broken)
    code, _out, err = call(capfd, "run", "data.csv")
    assert code == exits.INTERNAL == 70
    report = next((own_dirs / "state" / "crashes").iterdir())
    assert str(report) in err and "ZeroDivisionError: a defect" in report.read_text()


def test_examples_are_written_once(capfd: pytest.CaptureFixture[str], own_dirs: Path) -> None:
    code, out, err = call(capfd, "example", "breast_cancer", "sub")
    assert code == 0 and out.strip() == "sub/breast_cancer.csv" and "--target diagnosis" in err
    head, first = (own_dirs / "sub" / "breast_cancer.csv").read_text().splitlines()[:2]
    assert head.endswith(",diagnosis") and first.endswith(",malignant")
    assert call(capfd, "example", "breast_cancer", "sub")[0] == 2


def test_doctor_finds_out(capfd: pytest.CaptureFixture[str]) -> None:
    code, out, _err = call(capfd, "doctor", "--json")
    found = {c["name"]: c for c in json.loads(out)}
    assert {"program", "libraries", "memory", "disk", "model"} <= set(found)
    assert code == (3 if any(c["state"] == "problem" for c in found.values()) else 0)
    assert all(c["remedy"] for c in found.values() if c["state"] != "ok" and "sandbox" not in c["name"])


def test_predict_is_done_by_a_child(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, own_dirs: Path
) -> None:
    from automlgpt_local.client import children

    call(capfd, "run", "data.csv", "--out", "here")
    write = "import sys; open(sys.argv[3], 'w').write('prediction\\nYes\\n')"
    monkeypatch.setattr(children, "PREDICT_COMMAND", [sys.executable, "-c", write])
    code, out, _err = call(capfd, "predict", "here", "data.csv", "-o", "out.csv")
    assert code == 0 and out.strip() == "out.csv" and Path("out.csv").read_text() == "prediction\nYes\n"
    refuse = "import sys; print('Error: There is no column a.\\nAdd it.', file=sys.stderr); sys.exit(2)"
    monkeypatch.setattr(children, "PREDICT_COMMAND", [sys.executable, "-c", refuse])
    code, _out, err = call(capfd, "predict", "here", "data.csv", "-o", "out.csv")
    assert code == 2 and last_paragraph(err) == "Error: There is no column a.\nAdd it."
    assert call(capfd, "predict", "here", "gone.csv", "-o", "out.csv")[0] == 2
    code, _out, err = call(capfd, "predict", "here", "data.csv", "-o", os.fsdecode(b"caf\xe9.csv"))
    assert code == 2 and "no UTF-8" in last_paragraph(err)


def test_without_a_terminal_there_is_no_app() -> None:
    process = child()
    _out, err = process.communicate(timeout=10)
    assert process.returncode == 2 and "automlgpt run" in last_paragraph(err)


def test_every_command_has_help_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom automlgpt_local.cli.main import COMMANDS, _run\n"
        "for name in ('', *COMMANDS):\n"
        "    if name != 'finetune': assert _run([*([name] if name else []), '--help']) == 0, name\n"
        "print(*sorted({m.split('.')[0] for m in sys.modules}), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    heavy = {
        "pandas",
        "numpy",
        "sklearn",
        "pydantic",
        "textual",
        "rich",
        "llama_cpp",
        "psutil",
        "platformdirs",
        "asyncio",
    }
    assert not heavy & set(done.stderr.split())


def test_the_runner_of_click_agrees(own_dirs: Path) -> None:
    result: Result = CliRunner().invoke(main.cli, ["--version"])
    assert result.exit_code == 0 and "automlgpt, version" in result.output
    assert isinstance(main.cli, click.Group) and set(main.cli.list_commands(click.Context(main.cli))) == set(
        main.COMMANDS
    )


class Plain:
    """`automlgpt --plain` on a terminal, with an engine that acts; lines are typed as their cue comes."""

    def __init__(self, *flags: str) -> None:
        code = (
            "from automlgpt_local.client import session\n"
            f"session.ENGINE_COMMAND = {[*ENGINE, *flags]!r}\nfrom automlgpt_local.cli.main import main\nmain()"
        )
        self.typist, terminal = pty.openpty()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", code, "--plain"], stdin=terminal, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        os.close(terminal)

    def type(self, text: str) -> None:
        os.write(self.typist, text.encode())

    def play(self, cues: dict[str, str]) -> tuple[int, str, str]:
        """cue on stderr -> what is then typed. Exit code, stdout, stderr."""
        assert self.process.stderr is not None
        said = []
        for line in self.process.stderr:
            said.append(line)
            for cue in [c for c in cues if c in line]:
                self.type(cues.pop(cue))
        out, _ = self.process.communicate(timeout=30)
        os.close(self.typist)
        return self.process.returncode, out, "".join(said)


def test_plain_mode_asks_and_runs(own_dirs: Path) -> None:
    plain = Plain()
    plain.type("gone.csv\ndata.csv\nnope\nChurn\n1m\n")
    code, out, err = plain.play({})
    assert code == 0, err
    assert "There is no file gone.csv" in err and "no column 'nope'" in err and "60 rows, 2 columns" in err
    assert Path(out.strip()).parent == own_dirs / "runs"


def test_in_plain_mode_a_name_is_drawn_inert_and_a_slip_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "pri\x1b]0;owned\x07ce"
    steps = [{"step": "table", "rows": 3, "columns": ["a", name]}, {"step": "task", "task": {"target": name}}]
    asked: list[Request] = []
    monkeypatch.setattr(plain, "preview", lambda request: iter(steps))
    monkeypatch.setattr(plain, "sys", SimpleNamespace(stdin=SimpleNamespace(isatty=lambda: True)))
    monkeypatch.setattr(plain, "_follow", lambda session: 0)
    monkeypatch.setattr(client, "start", asked.append)
    result = CliRunner().invoke(click.command()(plain.converse), input="data.csv\n\nsoon\n10 minutes\n")
    assert result.exit_code == 0 and "\x1b" not in result.output and "[price]" in result.output
    assert "'soon' is not a duration" in result.output
    assert [(r.target, r.time_limit_s) for r in asked] == [(name, 600.0)]


def test_in_plain_mode_typed_lines_steer_the_run(own_dirs: Path) -> None:
    plain = Plain("--pace", "0.1")
    plain.type("data.csv\nChurn\n10m\n")
    code, _, err = plain.play({
        "attempt 2: kept": "20 minutes\n",
        "1) 20 minutes in all": "1\n",
        "you: 20 minutes in all": "undo\n",
        "taken back": "branch 2\n",
        "from here on: The search goes on from attempt 2": "pause\n",
        "you: pause": "continue\n",
        "you: continue": "stop\n",
    })  # fmt: skip
    assert code == 130, err
    assert "answer: The run may take 20:00 in all" in err and "search ended" not in err.split("you: stop")[0]


def test_the_page_of_the_documents_is_what_the_commands_say() -> None:
    script = Path(__file__).resolve().parents[2] / "scripts" / "make_cli_docs.py"
    assert subprocess.run([sys.executable, str(script), "--check"]).returncode == 0, f"run {script}"
