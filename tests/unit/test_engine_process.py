"""The engine's process: its lock, its channels, and the time limit of a resumed run."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from pathlib import Path

from automlgpt_local.durable import write_request
from automlgpt_local.engine import process
from automlgpt_local.task import Request


def test_the_folder_of_another_engine_stays_as_it_is(tmp_path: Path) -> None:
    write_request(tmp_path, Request(data=("x.csv",), time_limit_s=60.0))
    command = [sys.executable, "-P", "-m", "automlgpt_local.engine", str(tmp_path), "--resume", "--time-limit", "99"]
    with open(tmp_path / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert "in use" in done.stderr and "Traceback" not in done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {"lock", "request.json"}
    assert json.loads((tmp_path / "request.json").read_text())["time_limit_s"] == 60.0


def test_a_new_time_limit_is_kept_with_the_request(tmp_path: Path) -> None:
    write_request(tmp_path, Request(data=("x.csv",), target="é", time_limit_s=60.0))
    for asked_s, kept_s in ((None, 60.0), (99.0, 99.0), (None, 99.0)):
        assert process._request(tmp_path, asked_s) == Request(data=("x.csv",), target="é", time_limit_s=kept_s)


def test_the_channels_are_utf8_in_any_locale() -> None:
    code = (
        "import sys; from automlgpt_local.engine import process as p\n"
        "p._speak_utf8(); p._emit(sys.stdin.readline().strip() + ' → 6'); p._emit('the next')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input="5 ±".encode(), capture_output=True, check=True,
        env={**os.environ, "PYTHONIOENCODING": "latin-1"},
    )  # fmt: skip
    assert done.stdout.decode() == "5 ± → 6\nthe next\n"
