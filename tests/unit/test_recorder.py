"""A resumed run answers recorded steps from the log and does only the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from automlgpt_local.errors import ResumeError
from automlgpt_local.events import (
    Budget,
    Decided,
    Event,
    EventLog,
    Failed,
    Finished,
    FoldFinished,
    Noted,
    Resumed,
    StageStarted,
    Stopped,
    TaskChanged,
    Token,
    read_events,
)
from automlgpt_local.search.clock import Clock
from automlgpt_local.search.recorder import Recorder, StopSearchError, replayable


def recorder(path: Path) -> Recorder:
    return Recorder(EventLog(path), Clock(60.0), lambda line: None)


def decided(value: str) -> Decided:
    return Decided("reasoner", "select", "next_recipe", {"next": value}, "recipes")


def work(bench: Recorder, made: list[str], upto: int) -> None:
    """A deterministic program of steps, which stops after `upto` of them."""
    for i in range(upto):
        bench.note(StageStarted(f"stage {i}"))
        bench.ambient(Budget(1.0, 60.0, 0.0, 0.0, "select"))

        def make(i: int = i) -> Decided:
            made.append(str(i))
            return decided(str(i))

        assert bench.step(Decided, make, decision="next_recipe").values == {"next": str(i)}


def steps(path: Path) -> list[Event]:
    return [r.event for r in read_events(path) if not isinstance(r.event, Budget | Resumed)]


@pytest.mark.parametrize("killed_after", [0, 1, 3, 5])
def test_a_resumed_run_repeats_nothing(tmp_path: Path, killed_after: int) -> None:
    whole, broken = tmp_path / "whole.jsonl", tmp_path / "broken.jsonl"
    work(recorder(whole), [], 5)
    first: list[str] = []
    work(recorder(broken), first, killed_after)
    second: list[str] = []
    work(recorder(broken), second, 5)
    assert first + second == ["0", "1", "2", "3", "4"]
    assert steps(broken) == steps(whole)
    assert [r.seq for r in read_events(broken)] == list(range(1, 1 + len(list(read_events(broken)))))


def test_a_torn_last_line_is_cut_off_and_its_number_used_again(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    work(recorder(path), [], 2)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"v": 1, "seq": 7, "type": "deci')
    log = EventLog(path)
    assert log.append(Noted("s", "t", "x"), 1.0).seq == whole.count(b"\n") + 1
    assert path.read_bytes().startswith(whole)


def test_a_broken_line_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    work(recorder(path), [], 2)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + b"nonsense\n" + lines[1])
    with pytest.raises(ResumeError, match="middle"):
        EventLog(path)


def test_another_program_cannot_go_on_with_the_log(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    work(recorder(path), [], 2)
    with pytest.raises(ResumeError):
        recorder(path).step(Noted, lambda: Noted("s", "t", "x"))


def test_the_recorded_end_of_the_search_ends_it_again(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    bench = recorder(path)
    bench.note(StageStarted("tune"))
    bench.step(Stopped, lambda: Stopped("time", "60 s used"))
    again = recorder(path)
    again.note(StageStarted("tune"))
    with pytest.raises(StopSearchError) as stop:
        again.step(Decided, lambda: decided("x"))
    assert (stop.value.reason, stop.value.evidence) == ("time", "60 s used")


def test_folds_are_taken_in_any_order(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    bench = recorder(path)
    for fold in (1, 0):
        bench.note(FoldFinished(3, fold, "ok", 0.5, 1.0))
    again = recorder(path)
    assert [e.fold for e in again.take(FoldFinished, attempt=3)] == [1, 0]
    assert again.take(FoldFinished, attempt=3) == []


def test_a_finished_run_with_more_time_searches_on(tmp_path: Path) -> None:
    bench = recorder(tmp_path / "events.jsonl")
    bench.note(StageStarted("tune"))
    bench.step(Stopped, lambda: Stopped("time"))
    bench.note(Finished(0.9, 0.9, "roc_auc", 60.0, 0))
    bench.ambient(Resumed("0", 120.0))
    assert replayable(bench.log.records) == [StageStarted("tune")]


def test_a_run_that_failed_for_want_of_a_model_searches_on(tmp_path: Path) -> None:
    bench = recorder(tmp_path / "events.jsonl")
    bench.note(StageStarted("tune"))
    bench.step(Stopped, lambda: Stopped("time"))
    bench.note(TaskChanged("late", {}))
    bench.ambient(Failed("BudgetError", "no model", "", 4))
    bench.ambient(Resumed("0", 120.0))
    assert replayable(bench.log.records) == [StageStarted("tune")]


def test_a_run_that_broke_in_its_ending_ends_again(tmp_path: Path) -> None:
    bench = recorder(tmp_path / "events.jsonl")
    bench.step(Stopped, lambda: Stopped("time"))
    bench.note(StageStarted("ensemble"))
    bench.ambient(Failed("OSError", "disk full", "", 70))
    bench.ambient(Resumed("0"))
    assert replayable(bench.log.records) == [Stopped("time"), StageStarted("ensemble")]


def test_tokens_have_a_name_yet_no_place_in_the_log() -> None:
    from automlgpt_local.events import NAMES

    assert NAMES[Token] == "token"
