"""The whole product from the keyboard: a real terminal, the real engine, the embedded model."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyte
import pytest
from test_terminal import LEFT, Terminal

from automlgpt_local import client
from automlgpt_local import events as ev
from automlgpt_local.data.examples import write_example

COLUMNS, LINES = 160, 48
# What pyte does not know and would draw as letters: questions about the terminal and key protocols.
UNKNOWN = re.compile(rb"\x1b\[[<>=][0-9;]*[a-z]|\x1b\[\?[0-9;]*\$p|\x1b\[\?[0-9;]*u|\x1bP.*?\x1b\\", re.DOTALL)


class Eyes:
    """What a person would see on the terminal."""

    def __init__(self, terminal: Terminal) -> None:
        self.terminal = terminal
        self.screen = pyte.Screen(COLUMNS, LINES)
        self._stream = pyte.ByteStream(self.screen)
        self._fed = 0

    def text(self) -> str:
        self.terminal.read(0.1)
        fresh = self.terminal.drawn[self._fed :]
        whole = fresh if b"\x1b" not in fresh[-40:] else fresh[: fresh.rindex(b"\x1b")]
        self._fed += len(whole)
        self._stream.feed(UNKNOWN.sub(b"", whole))
        return "\n".join(line.rstrip() for line in self.screen.display)

    def until(self, *marks: str, seconds: float = 60.0) -> str:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            text = self.text()
            if all(mark in text for mark in marks):
                return text
        raise AssertionError(f"{marks} not on the screen:\n{self.text()}")

    def wait(self, true: Callable[[], object], seconds: float = 90.0) -> None:
        """Look on until something has come true."""
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, self.text()
            self.text()


@contextmanager
def open_app(folder: Path, time_limit: str) -> Iterator[Terminal]:
    (folder / "config.toml").write_text(f'time_limit = "{time_limit}"\n', encoding="utf-8")
    terminal = Terminal(
        folder,
        engine=[sys.executable, "-P", "-m", "automlgpt_local.engine"],
        preview=[sys.executable, "-P", "-m", "automlgpt_local.client.preview"],
    )
    try:
        yield terminal
    finally:
        terminal.close()


@pytest.fixture
def folder(own_dirs: Path) -> Path:
    write_example("iris", own_dirs)
    return own_dirs


def start_run(terminal: Terminal, eyes: Eyes) -> str:
    """The species of iris; the form as it was when it was sent."""
    eyes.until("path of a CSV", "iris.csv")
    terminal.type("iris.csv\r")
    eyes.until("sepal", "setosa", "Which column is to be predicted?")  # four numbers and a class: it could be any
    terminal.type("\r")  # the list of columns
    time.sleep(1.0)
    terminal.type("\x1b[F\r")  # the last one
    form = eyes.until("multiclass: predict")
    terminal.type("\x13")  # ctrl+s
    eyes.until("Attempt 1", "model nano")
    return form


def test_from_a_table_to_a_model_by_keys_alone(folder: Path) -> None:
    with open_app(folder, "20s") as terminal:
        eyes = Eyes(terminal)
        form = start_run(terminal, eyes)
        assert "log_loss" in form and "20s" in form
        eyes.until("done: log_loss", seconds=90.0)
        eyes.until("species is predicted by")  # the report opens by itself
        terminal.type("\x1bOS")  # F4
        board = eyes.until("State", "± noise", "✓ kept")
        assert "log_loss" in board and board.splitlines()[1].startswith(" done")
        terminal.type("\x1b[20~")  # F9
        eyes.until("species is predicted by")
        terminal.type("\x1b[15~")  # F5
        eyes.until("def build(params, ctx)")
        terminal.type("\x11")  # ctrl+q
        terminal.until(LEFT)
        assert terminal.process.wait(20) == 0
    run = Path(client.list_runs()[0].path)
    assert client.state(run) == "done" and (run / "report.html").is_file()
    happened = [record.event for record in ev.read_events(run / "events.jsonl")]
    assert any(isinstance(e, ev.Decided) and e.by == "model" for e in happened), "the nano decided nothing"
    assert not any(isinstance(e, ev.Failed) for e in happened)
    assert os.access(run / "predict.py", os.R_OK)


def happened(run: Path, cls: type[ev.Event]) -> list[Any]:
    return [record.event for record in ev.read_events(run / "events.jsonl") if isinstance(record.event, cls)]


def one_to_go_on_from(run: Path) -> int | None:
    """The first attempt of a recipe on all folds, once it has a score."""
    scored = {e.attempt for e in happened(run, ev.AttemptFinished) if e.status == "ok"}
    tried = (e for e in happened(run, ev.CodeWritten) if e.recipe != "baseline" and not e.probe)
    return next((e.attempt for e in tried if e.attempt in scored), None)


def test_a_run_is_steered_by_words_killed_and_brought_to_its_end(folder: Path) -> None:
    with open_app(folder, "10m") as terminal:
        eyes = Eyes(terminal)
        start_run(terminal, eyes)
        run = Path(client.list_runs()[0].path)
        terminal.type("how many rows?\r")
        eyes.until("From the data", "150")
        terminal.type("no neural networks\r")
        eyes.until("Answer No neural networks.", "In force now:")
        terminal.type("\x1a")  # ctrl+z
        eyes.until("The last change is taken back.")
        terminal.type("90 seconds\r")
        eyes.until("counted from when?", "3  90 seconds more than now")
        terminal.type("3")
        eyes.until("The run may take 11:30 in all", "of 11:30")
        eyes.wait(lambda: one_to_go_on_from(run))
        terminal.type(f"/branch {one_to_go_on_from(run)}\r")
        eyes.until("The search goes on from attempt")
        terminal.type("ignore sepal width (cm)\r")
        eyes.wait(lambda: happened(run, ev.Answered)[-1].branch)
        terminal.type("\x07")  # ctrl+g
        eyes.until(" paused")
        os.kill(terminal.app_pid(), signal.SIGKILL)
        terminal.until(b"The app was ended by SIGKILL")
        assert terminal.process.wait(20) == 130
    deadline = time.monotonic() + 20
    while client.state(run) == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    attempts = len(happened(run, ev.CodeWritten))
    with open_app(folder, "10m") as terminal:
        eyes = Eyes(terminal)
        eyes.until("interrupted: species")
        terminal.type("\x1b[Z\x1b[Z\x1b[B\r")  # from the path to the list of runs, and the first of them
        eyes.until("of 11:30")
        eyes.wait(lambda: len(happened(run, ev.CodeWritten)) >= attempts + 2)
        terminal.type("\x1b")
        eyes.until("done: log_loss", "species is predicted by")
        terminal.type("\x11")
        terminal.until(LEFT)
        assert terminal.process.wait(20) == 0
    changes = happened(run, ev.TaskChanged)
    assert [c.task["families"]["never"] for c in changes] == [["neural"], [], [], []]
    assert changes[-1].attempt == one_to_go_on_from(run) and changes[-1].task["time_limit_s"] == 690.0
    assert [e.branch for e in happened(run, ev.Answered) if e.branch] == [{"ignore": ["sepal_width_cm"]}]
    after = [e.parent for e in happened(run, ev.CodeWritten)[attempts:]]
    assert after[0] == changes[-1].attempt
    assert "Changed while it ran: The search goes on from attempt" in (run / "report.md").read_text(encoding="utf-8")
