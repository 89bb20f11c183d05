"""The whole product from the keyboard: a real terminal, the real engine, the embedded model."""

from __future__ import annotations

import os
import re
import shutil
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
from automlgpt_local.llm import catalog

COLUMNS, LINES = 160, 48
PATIENCE_S = 150.0  # for what takes seconds on an idle machine
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
        text = "\n".join(line.rstrip() for line in self.screen.display)
        assert "✗ Failed" not in text, text
        return text

    def until(self, *marks: str) -> str:
        """The screen, once all of these are on it."""
        end = time.monotonic() + PATIENCE_S
        while not all(mark in (text := self.text()) for mark in marks):
            assert time.monotonic() < end, f"{marks} not on the screen:\n{text}"
        return text

    def click(self, mark: str) -> None:
        """Click on a text field, and wait for the cursor in it. Keys sent before would go to what had the focus."""
        lines = self.until(mark).splitlines()
        y = next(i for i, line in enumerate(lines) if mark in line)
        place = f"\x1b[<0;{lines[y].index(mark) + 1};{y + 1}"
        self.terminal.type(f"{place}M{place}m")
        self.wait(lambda: self.screen.cursor.y == y)

    def wait(self, true: Callable[[], object]) -> None:
        """Look on until something has come true."""
        end = time.monotonic() + PATIENCE_S
        while not true():
            assert time.monotonic() < end, self.text()
            self.text()


@contextmanager
def open_app(folder: Path, approve: str = "auto") -> Iterator[Terminal]:
    """Runs have more time than they need, so that a busy machine decides nothing: what is shown ends them."""
    (folder / "config.toml").write_text(f'time_limit = "10m"\napprove = "{approve}"\n', encoding="utf-8")
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


def start_run(terminal: Terminal, eyes: Eyes, words: str = "") -> None:
    """The species of iris, and a wish in words; ends with the first thing that the run shows."""
    eyes.until("path of a CSV", "iris.csv")
    terminal.type("iris.csv\r")
    eyes.until(
        "sepal_length_cm", "setosa", "Which column is to be predicted?"
    )  # four numbers and a class: it could be any
    terminal.type("\r")
    eyes.until("▲")  # the list of columns is open
    terminal.type("\x1b[F\r")  # the last one
    form = eyes.until("multiclass: predict species, as you said")
    assert "log_loss" in form and "10m" in form
    if words:
        eyes.click("what you want, if the fields")
        terminal.type(words)
        eyes.until(words)
    terminal.type("\x13")  # ctrl+s


def leave(terminal: Terminal) -> None:
    terminal.type("\x11")  # ctrl+q
    terminal.until(LEFT)
    assert terminal.process.wait(PATIENCE_S) == 0


def test_from_a_table_to_a_model_and_on_to_another_run(folder: Path) -> None:
    with open_app(folder) as terminal:
        eyes = Eyes(terminal)
        start_run(terminal, eyes, "6 attempts")
        eyes.until("Attempt 1", "model nano")
        eyes.until("done: log_loss", "species is predicted by")  # the report opens by itself
        terminal.type("\x1bOS")  # F4
        board = eyes.until("State", "± noise", "✓ kept")
        assert "log_loss" in board and board.splitlines()[1].startswith(" done")
        terminal.type("\x1b[17~")  # F6
        eyes.until("150 rows · 4 columns", "setosa: 50, versicolor: 50", "petal_length_cm")
        terminal.type("\x1b[20~")  # F9
        eyes.until("species is predicted by")
        terminal.type("/code 1\r")
        eyes.until("attempts/0001/solution.py", "def build(params, ctx)")
        run = Path(client.list_runs()[0].path)
        terminal.type("\x1bn")  # alt+n
        eyes.until("multiclass: predict species, as you said", f"branched from {run.name}", "6 attempts")
        terminal.type("\x13")  # ctrl+s
        eyes.until("Attempt 1", "model nano")
        leave(terminal)
    assert client.state(run) == "done" and (run / "report.html").is_file()
    assert any(e.by == "model" for e in happened(run, ev.Decided)), "the nano decided nothing"
    assert happened(run, ev.Stopped)[0].reason == "trials" and os.access(run / "predict.py", os.R_OK)
    second = client.load_request(Path(client.list_runs()[0].path))
    assert second.branched_from == run.name


def test_code_of_an_imported_model_runs_as_a_person_allows(folder: Path) -> None:
    shutil.copy(catalog.resolve("nano").path, folder / "small.gguf")
    with open_app(folder, approve="ask") as terminal:
        eyes = Eyes(terminal)
        eyes.until("path of a CSV")
        terminal.type("\x0c")  # ctrl+l
        eyes.until("Models: Enter takes one", "embedded")
        terminal.type("i")
        eyes.until("path of a GGUF file")
        terminal.type("small.gguf\r")
        eyes.until("small is here now.", "imported")
        terminal.type("\x1b[Bc")  # it stands below the embedded one
        eyes.until("small: works here as it should")
        terminal.type("\r")
        eyes.until("The next run uses small.")
        start_run(terminal, eyes)
        eyes.until("May attempt 1 run?")
        terminal.type("e")
        eyes.until("Edit the code.")
        terminal.type("# read by a person\r\x13")  # ctrl+s
        for attempt, answer in ((2, "r"), (3, "a"), (4, "A")):
            eyes.until(f"May attempt {attempt} run?")
            terminal.type(answer)
        run = Path(client.list_runs()[0].path)
        eyes.wait(lambda: len(happened(run, ev.CodeWritten)) > 5)
        terminal.type("\x1b")
        eyes.until("done: log_loss", "species is predicted by", "model small")
        leave(terminal)
    assert [e.answer for e in happened(run, ev.Approved)] == ["edit", "reject", "once", "always"]
    assert (run / "attempts/0001/solution.py").read_text(encoding="utf-8").startswith("# read by a person\n")
    outcome = {e.attempt: e.status for e in happened(run, ev.AttemptFinished)}
    assert [outcome[n] for n in (1, 2, 3, 4)] == ["ok", "rejected", "ok", "ok"]


def happened(run: Path, cls: type[ev.Event]) -> list[Any]:
    return [record.event for record in ev.read_events(run / "events.jsonl") if isinstance(record.event, cls)]


def one_to_go_on_from(run: Path) -> int | None:
    """The first attempt of a recipe on all folds, once it has a score."""
    scored = {e.attempt for e in happened(run, ev.AttemptFinished) if e.status == "ok"}
    tried = (e for e in happened(run, ev.CodeWritten) if e.recipe != "baseline" and not e.probe)
    return next((e.attempt for e in tried if e.attempt in scored), None)


def test_a_run_is_steered_by_words_killed_and_brought_to_its_end(folder: Path) -> None:
    with open_app(folder) as terminal:
        eyes = Eyes(terminal)
        start_run(terminal, eyes)
        terminal.type("\x1b[17~")  # F6
        eyes.until("Attempt 1", "150 rows · 4 columns", "petal_length_cm")
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
        assert terminal.process.wait(PATIENCE_S) == 130
        eyes.wait(lambda: client.state(run) == "interrupted")
    attempts = len(happened(run, ev.CodeWritten))
    with open_app(folder) as terminal:
        eyes = Eyes(terminal)
        eyes.until("interrupted: species")
        terminal.type("\x12")  # ctrl+r
        eyes.until("Sessions: Enter opens one", "interrupted   species")
        terminal.type("\r")
        eyes.until("of 11:30")
        eyes.wait(lambda: len(happened(run, ev.CodeWritten)) >= attempts + 2)
        terminal.type("\x1b")
        eyes.until("done: log_loss", "species is predicted by")
        leave(terminal)
    changes = happened(run, ev.TaskChanged)
    assert [c.task["families"]["never"] for c in changes] == [["neural"], [], [], []]
    assert changes[-1].attempt == one_to_go_on_from(run) and changes[-1].task["time_limit_s"] == 690.0
    assert [e.branch for e in happened(run, ev.Answered) if e.branch] == [{"ignore": ["sepal_width_cm"]}]
    after = [e.parent for e in happened(run, ev.CodeWritten)[attempts:]]
    assert after[0] == changes[-1].attempt
    assert "Changed while it ran: The search goes on from attempt" in (run / "report.md").read_text(encoding="utf-8")
