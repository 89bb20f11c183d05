"""Each screen at 80 x 24 and 160 x 48, as text: what moved or vanished shows up as a difference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import DataTable, Input, OptionList
from tui_support import NARROW, WIDE, check_snapshot, running, until

from automlgpt_local import client
from automlgpt_local.client.health import Check
from automlgpt_local.task import Request
from automlgpt_local.tui.app import AutoMLApp
from automlgpt_local.tui.screens.approval import ApprovalScreen
from automlgpt_local.tui.screens.choice import ChoiceScreen
from automlgpt_local.tui.screens.run import RunScreen
from automlgpt_local.tui.screens.start import StartScreen


@pytest.fixture(autouse=True)
def same_folder(own_dirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the current folder is on the screen."""
    here = own_dirs / "shop"
    here.mkdir()
    (own_dirs / "data.csv").rename(here / "data.csv")
    monkeypatch.chdir(here)


SIZES = pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])


@SIZES
async def test_the_first_screen(size: tuple[int, int]) -> None:
    app = AutoMLApp()
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.screen.query_one("#recent", OptionList).option_count)
        await check_snapshot(pilot, "start")


@SIZES
async def test_the_form(size: tuple[int, int]) -> None:
    app = AutoMLApp("data.csv")
    async with app.run_test(size=size) as pilot:
        screen = app.screen
        assert isinstance(screen, StartScreen)
        await until(pilot, lambda: screen.suggested)
        await until(pilot, lambda: screen.query_one("#recent", OptionList).option_count)
        await check_snapshot(pilot, "form")


@SIZES
async def test_a_run_and_its_panels(size: tuple[int, int]) -> None:
    app = AutoMLApp()
    async with app.run_test(size=size) as pilot:
        screen = await running(pilot)
        await until(pilot, lambda: screen.session.closed)
        await check_snapshot(pilot, "chat")
        if size == NARROW:
            await pilot.press("ctrl+o")
        for name in ("plan", "board", "code", "data", "tree", "plot", "log", "report"):
            screen.show_panel(name)
            await check_snapshot(pilot, name)


@SIZES
async def test_an_approval(size: tuple[int, int], act: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunScreen, "_measure", lambda screen: None)  # tokens per second are never the same
    act("--mode", "ask")
    app = AutoMLApp()
    async with app.run_test(size=size) as pilot:
        app.show_session(client.start(Request(data=("data.csv",), approve="ask")), "data.csv")
        await until(pilot, lambda: isinstance(app.screen, ApprovalScreen) and app.screen.query("#read"))
        await check_snapshot(pilot, "approval")


@SIZES
async def test_the_dialogs(size: tuple[int, int], own_dirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from automlgpt_local.llm import catalog
    from automlgpt_local.tui.screens import doctor

    models = [{"name": "nano", "here": True, "source": "embedded", "bytes": 10 * 2**20, "role": "both",
               "licence": "Apache-2.0", "path": "/models/nano.gguf"}]  # fmt: skip
    monkeypatch.setattr(catalog, "list_models", lambda: models)
    found = [Check("program", "ok", "as installed"), Check("memory", "hint", "1.0 GiB", "Close other programs.")]
    monkeypatch.setattr(doctor, "checks", lambda: iter(found))
    client.start(Request(data=("data.csv",), target="Churn"), out="first").wait()
    app = AutoMLApp()
    async with app.run_test(size=size) as pilot:
        for name in ("help", "sessions", "models", "doctor", "settings", "examples"):
            app.carry_out(("start." if name == "examples" else "app.") + name)
            await until(pilot, lambda: not isinstance(app.screen, StartScreen))
            tables = app.screen.query(DataTable)
            await until(pilot, lambda tables=tables: not tables or tables.first().row_count)
            await check_snapshot(pilot, name)
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, StartScreen))


@SIZES
async def test_a_question_and_the_form_of_a_run_like_another(size: tuple[int, int]) -> None:
    app = AutoMLApp()
    async with app.run_test(size=size) as pilot:
        app.push_screen(ChoiceScreen("CatBoost: what about them?", [("only CatBoost", "a"), ("change nothing", "")]))
        await until(pilot, lambda: app.screen.query("#question"))
        await check_snapshot(pilot, "question")
        await pilot.press("escape")
        app.ask_again(Request(
            data=("data.csv",), target="target", ignore=("a",), never=("neural",), ensemble=False, time_limit_s=90.0,
            branched_from="20260101-120000-abcd",
        ))  # fmt: skip
        screen = app.screen
        assert isinstance(screen, StartScreen)
        await until(pilot, lambda: screen.suggested)
        await check_snapshot(pilot, "again")


async def test_the_palette_and_a_completed_command() -> None:
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        screen = await running(pilot)
        assert isinstance(screen, RunScreen)
        await until(pilot, lambda: screen.session.closed)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: app.screen is not screen)
        await pilot.press(*"leader")
        await check_snapshot(pilot, "palette")
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        screen.query_one("#say", Input).focus()
        await pilot.press(*"/lea")
        await pilot.pause(0.7)
        assert screen.query_one("#say", Input)._suggestion == "/leaderboard"
