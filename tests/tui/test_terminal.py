"""The app on a real (pseudo) terminal: keys go in, a screen comes out, and the terminal is given back."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tui_support import ENGINE

from automlgpt_local import client

LEFT = b"\x1b[?1049l"  # out of the alternate screen


class Terminal:
    def __init__(self, folder: Path, engine: list[str], preview: list[str] | None = None) -> None:
        preview = preview or [sys.executable, str(Path(__file__).with_name("fake_preview.py"))]
        code = (
            "from automlgpt_local.client import session, children\n"
            f"session.ENGINE_COMMAND = {engine!r}\n"
            f"children.PREVIEW_COMMAND = {preview!r}\n"
            "from automlgpt_local.cli.main import main\nmain()"
        )
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 48, 160, 0, 0))
        self.before = termios.tcgetattr(slave)
        self.slave = slave
        env = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")} | {"TERM": "xterm-256color"}
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", code], stdin=slave, stdout=slave, stderr=slave, cwd=folder,
            env=env, start_new_session=True,
        )  # fmt: skip
        self.drawn = b""

    def read(self, seconds: float) -> bool:
        """Take in what is drawn: wait so long for the first of it; False at the end of the line."""
        while select.select([self.master], [], [], seconds)[0]:
            try:
                self.drawn += os.read(self.master, 1 << 16)
            except OSError:
                return False
            seconds = 0.0
        return True

    def until(self, mark: bytes, seconds: float = 60.0) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.read(0.2):
            if mark in re.sub(rb"\x1b\[[0-9;]*m", b"", self.drawn):
                return
        raise AssertionError(f"{mark!r} was not drawn; the last was {self.drawn[-400:]!r}")

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def app_pid(self) -> int:
        """The child that draws."""
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0])

    def close(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.master)
        os.close(self.slave)


def wait_while_running(run: Path) -> None:
    """An engine ends just after its last event, and by itself when its app was killed."""
    deadline = time.monotonic() + 20
    while client.state(run) == "running" and time.monotonic() < deadline:
        time.sleep(0.1)


@pytest.fixture
def terminal(own_dirs: Path) -> Iterator[Terminal]:
    opened = Terminal(own_dirs, [*ENGINE, "--pace", "0.1"])
    yield opened
    opened.close()


def test_from_nothing_to_a_run_and_out_again(terminal: Terminal, own_dirs: Path) -> None:
    terminal.until(b"path of a CSV")
    terminal.type("data.csv\r")
    terminal.until(b"predict target")
    terminal.type("\x13")  # ctrl+s
    terminal.until(b"Attempt 1")
    terminal.type("\x1bl")  # alt+l, while the line to type in has the focus
    terminal.until(b"Processor")
    terminal.type("\x11")  # ctrl+q
    terminal.until(LEFT)
    assert terminal.process.wait(20) == 0
    assert termios.tcgetattr(terminal.slave) == terminal.before
    run = Path(client.list_runs()[0].path)
    wait_while_running(run)
    assert client.state(run) in ("done", "interrupted")


def test_killed_in_the_middle_it_gives_the_terminal_back_and_the_run_goes_on(own_dirs: Path) -> None:
    first = Terminal(own_dirs, [*ENGINE, "--pace", "0.2"])
    try:
        first.until(b"path of a CSV")
        first.type("data.csv\r")
        first.until(b"predict target")
        first.type("\x13")
        first.until(b"Attempt 1")
        os.kill(first.app_pid(), signal.SIGKILL)
        first.until(b"The app was ended by SIGKILL")
        assert LEFT in first.drawn and first.process.wait(10) == 130
        assert termios.tcgetattr(first.slave) == first.before
    finally:
        first.close()
    run = Path(client.list_runs()[0].path)
    wait_while_running(run)
    assert client.state(run) == "interrupted"
    second = Terminal(own_dirs, ENGINE)
    try:
        second.until(b"interrupted: target")
        second.type("\x1b[Z\x1b[Z")  # shift+tab twice: from the path over the files to the list of runs
        second.type("\x1b[B\r")
        second.until(b"done: roc_auc")
        wait_while_running(run)
        assert client.state(run) == "done"
    finally:
        second.close()


def test_without_its_terminal_the_app_ends_and_the_run_can_go_on(own_dirs: Path) -> None:
    app = Terminal(own_dirs, [*ENGINE, "--pace", "0.2"])
    try:
        app.until(b"path of a CSV")
        app.type("data.csv\r")
        app.until(b"predict target")
        app.type("\x13")
        app.until(b"Attempt 1")
        child = app.app_pid()
        os.close(app.slave), os.close(app.master)  # the window was closed, the connection was cut
        assert app.process.wait(20) in (129, 130)
        assert not Path(f"/proc/{child}").exists()
    finally:
        app.process.kill()
    run = Path(client.list_runs()[0].path)
    wait_while_running(run)
    assert client.state(run) == "interrupted"
