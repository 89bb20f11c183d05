"""What the tests of the app share: sizes, patience, and a run on the screen."""

from __future__ import annotations

import sys
from collections.abc import Callable

from textual.pilot import Pilot

from automlgpt_local import client
from automlgpt_local.task import Request
from automlgpt_local.tui.app import AutoMLApp
from automlgpt_local.tui.screens.run import RunScreen

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
