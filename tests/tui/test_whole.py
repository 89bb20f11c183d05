"""The whole product from the keyboard: a real terminal, the real engine, the embedded model."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path

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


@pytest.fixture
def terminal(own_dirs: Path) -> Iterator[Terminal]:
    write_example("iris", own_dirs)
    (own_dirs / "config.toml").write_text('time_limit = "10s"\n', encoding="utf-8")
    opened = Terminal(
        own_dirs,
        engine=[sys.executable, "-P", "-m", "automlgpt_local.engine"],
        preview=[sys.executable, "-P", "-m", "automlgpt_local.client.preview"],
    )
    yield opened
    opened.close()


def test_from_a_table_to_a_model_by_keys_alone(terminal: Terminal, own_dirs: Path) -> None:
    eyes = Eyes(terminal)
    eyes.until("path of a CSV", "iris.csv")
    terminal.type("iris.csv\r")
    eyes.until("sepal", "setosa", "Which column is to be predicted?")  # four numbers and a class: it could be any
    terminal.type("\r")  # the list of columns
    time.sleep(1.0)
    terminal.type("\x1b[F\r")  # the last one
    form = eyes.until("multiclass: predict")
    assert "log_loss" in form and "10s" in form
    terminal.type("\x13")  # ctrl+s
    eyes.until("Attempt 1", "model nano")
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
