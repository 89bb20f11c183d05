"""What a person says to a run: answered at once, carried out between steps, kept over a kill."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from automlgpt_local.events import Answered, AttemptFinished, CodeWritten, Event, EventLog, StageStarted, TaskChanged
from automlgpt_local.search.clock import Clock
from automlgpt_local.search.control import Control
from automlgpt_local.search.recorder import AbandonedError, Recorder
from automlgpt_local.task import TaskSpec

TASK = TaskSpec("churn", "binary", "roc_auc", 600.0)
COLUMNS = ["age", "churn", "city"]


def sitting(tmp_path: Path) -> Control:
    """A run that has just been started, or started again, on the log of this folder."""
    recorder = Recorder(EventLog(tmp_path / "events.jsonl"), Clock(600.0), lambda line: None)
    return Control(recorder, asks=False)


def begun(tmp_path: Path) -> Control:
    control = sitting(tmp_path)
    control.begin(TASK, COLUMNS)
    return control


def say(control: Control, text: str) -> Answered:
    return tell(control, "message", text=text)


def tell(control: Control, command: str, **values: Any) -> Answered:
    control.put({"command": command, **values})
    last = control._recorder.log.records[-1].event
    assert isinstance(last, Answered)
    return last


def carry_out(control: Control) -> list[TaskChanged]:
    """As the loop does it between two steps."""
    changes = control.changes()
    for change in changes:
        control._recorder.note(change)
    return changes


def written(number: int, recipe: str, probe: bool = False) -> list[Event]:
    code = CodeWritten(number, "select", "recipes", recipe, recipe, None, {}, {}, "", probe)
    return [code, AttemptFinished(number, "ok", 0.8, 0.01, [0.8], 1.0)]


def test_a_message_is_answered_at_once_and_changes_the_task_at_the_next_step(tmp_path: Path) -> None:
    control = begun(tmp_path)
    answer = say(control, "only linear models")
    assert answer.changes["only"] == ["linear"] and "Only linear models." in answer.text
    assert not control.allows("lightgbm") and control.allows("linear")
    (change,) = carry_out(control)
    task = TaskSpec.from_json(change.task)
    assert task.only == ("linear",) and task.source["only"] == "message"
    assert control.changes() == []


def test_what_was_said_too_early_is_answered_when_the_table_is_known(tmp_path: Path) -> None:
    control = sitting(tmp_path)
    control.put({"command": "message", "text": "no ensemble"})
    assert not any(isinstance(r.event, Answered) for r in control._recorder.log.records)
    control.begin(TASK, COLUMNS)
    assert [TaskSpec.from_json(c.task).ensemble for c in control.changes()] == [False]


def test_undo_takes_back_one_change_after_the_other(tmp_path: Path) -> None:
    control = begun(tmp_path)
    say(control, "no neural networks")
    say(control, "10 more minutes")
    assert control._recorder.clock.limit_s == 1200.0
    assert tell(control, "undo").text == "The last change is taken back."
    assert control._recorder.clock.limit_s == 600.0 and not control.allows("neural")
    tell(control, "undo")
    assert control.allows("neural")
    assert "no change" in tell(control, "undo").text
    tasks = [TaskSpec.from_json(change.task) for change in carry_out(control)]
    assert [(t.never, t.time_limit_s) for t in tasks] == [
        (("neural",), 600.0), (("neural",), 1200.0), (("neural",), 600.0), ((), 600.0),
    ]  # fmt: skip


def test_a_question_back_changes_nothing(tmp_path: Path) -> None:
    control = begun(tmp_path)
    answer = say(control, "5 minutes")
    assert len(answer.choices) == 3 and not answer.changes
    assert control.changes() == []


def test_words_for_the_agents_are_kept_for_them(tmp_path: Path) -> None:
    control = begun(tmp_path)
    assert "passed on" in say(control, "be careful, it is for a hospital").text
    assert begun(tmp_path).words == ["be careful, it is for a hospital"]
    control.agents_read = False
    assert "Understood are" in say(control, "be careful").text


def test_the_search_goes_on_from_an_attempt_that_can_be_varied(tmp_path: Path) -> None:
    control = begun(tmp_path)
    for event in (*written(1, "baseline"), *written(2, "lightgbm"), *written(3, "lightgbm", probe=True)):
        control._recorder.note(event)
    assert tell(control, "branch", attempt=2).changes == {"attempt": 2}
    for other in (1, 3, 9, "x", None):
        assert not tell(control, "branch", attempt=other).changes, other
    say(control, "only linear models")
    assert "ruled out" in tell(control, "branch", attempt=2).text
    assert [change.attempt for change in carry_out(control)] == [2, 2]


def test_after_the_search_changes_are_declined(tmp_path: Path) -> None:
    control = begun(tmp_path)
    say(control, "no ensemble")
    assert len(control.end()) == 1
    answer = say(control, "only linear models")
    assert not answer.changes and "has ended" in answer.text


def test_a_stop_in_words_stops(tmp_path: Path) -> None:
    control = begun(tmp_path)
    say(control, "please stop")
    assert control.interrupted()


@pytest.mark.parametrize("paused", [False, True])
def test_a_run_that_nobody_watches_any_more_has_not_ended(tmp_path: Path, paused: bool) -> None:
    control = begun(tmp_path)
    if paused:
        control.put({"command": "pause"})
    control.abandoned.set()
    with pytest.raises(AbandonedError):
        control.check()


def test_after_a_kill_what_was_answered_is_carried_out_once(tmp_path: Path) -> None:
    control = begun(tmp_path)
    say(control, "no ensemble")
    carry_out(control)
    say(control, "no neural networks")  # killed before the next step
    control._recorder.log.close()
    again = begun(tmp_path)
    assert not again.course.task.ensemble and not again.allows("neural")
    assert [e.task["ensemble"] for e in again._recorder.take(TaskChanged)] == [False]
    assert [TaskSpec.from_json(c.task).never for c in carry_out(again)] == [("neural",)]
    assert "taken back" in tell(again, "undo").text and again.allows("neural")
    again._recorder.log.close()
    third = begun(tmp_path)
    assert len(third._recorder.take(TaskChanged)) == 2 and third.allows("neural")
    third._recorder.note(StageStarted("tune"))  # the log has nothing more: this is a new step
    assert [TaskSpec.from_json(c.task).never for c in carry_out(third)] == [()]
