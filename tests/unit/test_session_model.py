"""What a session loads: the agents' model, how long that may take and what a stop does to it; the rows to predict."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from loop_fixtures import TASK, events

from automlgpt_local.data.schema import Schema
from automlgpt_local.engine import session as session_module
from automlgpt_local.engine.session import Session
from automlgpt_local.errors import BackendError, DataError, ModelError
from automlgpt_local.events import EventLog, Exported, SplitMade, Warned
from automlgpt_local.llm.backend import BackendInfo
from automlgpt_local.llm.scripted import ScriptedBackend
from automlgpt_local.search.clock import Clock
from automlgpt_local.search.control import Control
from automlgpt_local.search.recorder import Recorder
from automlgpt_local.task import Request


class Loading(ScriptedBackend):
    """Is never loaded; ends when it is closed, as a LocalBackend does."""

    def __init__(self) -> None:
        self._end = threading.Event()

    @property
    def info(self) -> BackendInfo:  # type: ignore[override]
        self._end.wait()
        raise ModelError("the model was closed")

    def close(self) -> None:
        self._end.set()


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Session]:
    monkeypatch.setattr(session_module, "LEAST_LOADING_S", 0.05)
    recorder = Recorder(EventLog(tmp_path / "events.jsonl"), Clock(1.2), lambda line: None)
    request = Request(data=("x.csv",), model="none")
    yield Session(tmp_path, request, recorder, Control(recorder, asks=False), lambda agent, text: None)
    recorder.log.close()


def test_a_model_that_loads_too_long_is_given_up_and_the_user_is_told(session: Session) -> None:
    backend = Loading()
    timed = replace(TASK, trials=None)
    assert session._loaded(backend, timed) is None
    assert backend._end.is_set() and "the recipes decide" in events(session.recorder, Warned)[0].message
    ready = ScriptedBackend()
    assert session._loaded(ready, timed) == ready.info and not ready.closed


def test_a_model_that_cannot_be_opened_ends_the_run(session: Session) -> None:
    backend = Loading()
    backend.close()
    with pytest.raises(ModelError):
        session._loaded(backend, TASK)


def test_a_stop_ends_the_loading(session: Session) -> None:
    backend = Loading()
    threading.Thread(target=session._end_when_stopped, args=(backend,), daemon=True).start()
    threading.Timer(0.1, session.control.put, args=({"command": "stop"},)).start()
    assert session._loaded(backend, TASK) is None, "with a number of trials it would wait as long as it takes"
    assert not events(session.recorder, Warned)
    with pytest.raises(BackendError):
        session._token("coder", "a word of a turn that goes on")


def test_rows_to_predict_that_cannot_be_read_stop_no_search_that_has_begun(session: Session, tmp_path: Path) -> None:
    session.request = replace(session.request, test=str(tmp_path / "gone.csv"))
    schema = Schema("csv", {"x": "number", "y": "number"}, "y")
    with pytest.raises(DataError, match="no file"):
        session._test_rows(schema)
    session.recorder.note(SplitMade("random", 5, 30, 0, "f" * 64))
    resumed = session.recorder = Recorder(session.recorder.log, Clock(1.2), lambda line: None)
    assert session._test_rows(schema) is None
    assert "gone.csv" in events(resumed, Warned)[0].message
    resumed.take(SplitMade)
    resumed.note(Exported([]))
    session.recorder = Recorder(resumed.log, Clock(1.2), lambda line: None)
    assert session._test_rows(schema) is None, "predictions.csv is there"
    assert len(events(resumed, Warned)) == 1
