"""What the tests of the app share: sizes, patience, and a run on the screen."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

from textual.app import App
from textual.pilot import Pilot

from automlgpt_local import client
from automlgpt_local.task import Request
from automlgpt_local.tui.app import AutoMLApp
from automlgpt_local.tui.screens.run import RunScreen

SNAPSHOTS = Path(__file__).with_name("snapshots")
ENGINE = [sys.executable, "-P", "-m", "automlgpt_local.client.scripted"]
WIDE, NARROW = (160, 48), (80, 24)


async def until(pilot: Pilot[int], true: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something to become true, for at most so long."""
    for _ in range(int(seconds / 0.05)):
        if true():
            return
        await pilot.pause(0.05)
    raise AssertionError(f"still not true after {seconds} s")


async def running(pilot: Pilot[int], **values: object) -> RunScreen:
    """The run screen of a new session."""
    request = Request(data=("data.csv",), target="Churn", **values)  # type: ignore[arg-type]
    app = pilot.app
    assert isinstance(app, AutoMLApp)
    app.show_session(client.start(request), "data.csv")
    await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.view.task)
    assert isinstance(app.screen, RunScreen)
    return app.screen


def text_of(app: App[int]) -> str:
    """What is on the screen, as text."""
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips()) + "\n"


# What differs from run to run: names of runs and times of day. Their digits become zeros, so that nothing moves.
UNSTABLE = re.compile(r"\b20\d{6}-\d{6}(?:-[0-9a-f]*)?|\b20\d\d-\d\d-\d\d(?: [\d:]*)?")


async def check_snapshot(pilot: Pilot[int], name: str) -> None:
    """Wait until the screen's text is what it was; AUTOMLGPT_UPDATE_SNAPSHOTS=1 writes it anew, to be looked at."""
    app = pilot.app
    path = SNAPSHOTS / f"{name}-{app.size.width}x{app.size.height}.txt"
    if os.environ.get("AUTOMLGPT_UPDATE_SNAPSHOTS"):
        await pilot.pause(1.5)
        path.parent.mkdir(exist_ok=True)
        path.write_text(stable_text(app), encoding="utf-8")
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    for _ in range(100):
        text = stable_text(app)
        if text == before:
            return
        await pilot.pause(0.1)
    changed = difflib.unified_diff(before.splitlines(), text.splitlines(), "before", "now", lineterm="", n=0)
    raise AssertionError(f"{path.name} changed:\n" + "\n".join(changed))


def stable_text(app: App[int]) -> str:
    return UNSTABLE.sub(lambda found: re.sub("[0-9a-f]", "0", found[0]), text_of(app))
