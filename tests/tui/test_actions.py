"""One registry: every action by key, palette and slash command, and all of them in the help."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.widgets import Input
from tui_support import NARROW, WIDE, running, until

from automlgpt_local.tui.actions import ACTS, BY_SLASH, parse_slash
from automlgpt_local.tui.app import AutoMLApp
from automlgpt_local.tui.screens.doctor import DoctorScreen
from automlgpt_local.tui.screens.help import HelpScreen, help_text
from automlgpt_local.tui.screens.models import ModelsScreen
from automlgpt_local.tui.screens.run import RunScreen, Words
from automlgpt_local.tui.screens.settings import SettingsScreen
from automlgpt_local.tui.screens.start import StartScreen

HOMES = {"app": AutoMLApp, "start": StartScreen, "run": RunScreen}


def test_every_action_has_a_method_a_slash_command_and_a_line_of_help() -> None:
    text = help_text()
    for act in ACTS:
        assert callable(getattr(HOMES[act.place], act.method)), act.id
        assert act.slash.startswith("/") and act.help and f"`{act.slash}" in text and act.key in text
    assert len({a.id for a in ACTS}) == len(BY_SLASH) == len(ACTS)
    for place in HOMES:
        keys = [a.key for a in ACTS if a.key and a.place in ("app", place)]
        assert len(keys) == len(set(keys))


def test_slash_commands_are_read_with_their_argument() -> None:
    assert parse_slash("/budget  20m ")[0] is BY_SLASH["/budget"] and parse_slash("/budget  20m ")[1] == "20m"
    assert parse_slash("/leader")[0] is BY_SLASH["/leaderboard"]
    assert parse_slash("/re")[0] is None and parse_slash("/nothing")[0] is None


async def test_every_action_can_be_carried_out_in_a_run() -> None:
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        screen = await running(pilot)
        await until(pilot, lambda: screen.session.closed)
        for act in ACTS:
            if act.place == "start" or act.id in ("app.quit", "app.new", "run.go_on", "run.extend"):
                continue
            screen.query_one("#say", Input).value = act.slash
            screen.query_one("#say", Input).focus()
            await pilot.press("enter")
            await pilot.pause(0.1)
            while app.screen is not screen:
                await app.screen.dismiss()


async def test_the_palette_lists_the_actions_of_the_screen() -> None:
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        titles = {c.title for c in app.get_system_commands(app.screen)}
        assert titles == {a.title for a in ACTS if a.place in ("app", "start")}
        screen = await running(pilot)
        titles = {c.title for c in app.get_system_commands(screen)}
        assert titles == {a.title for a in ACTS if a.place in ("app", "run")}
        await pilot.press("ctrl+p")
        await pilot.pause(0.2)
        await pilot.press(*"leaderb", "enter")
        await until(pilot, lambda: screen.active == "board")


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_dialogs_open_and_close(size: tuple[int, int]) -> None:
    app = AutoMLApp()
    async with app.run_test(size=size) as pilot:
        for opens, screen in (
            (app.do_help, HelpScreen),
            (app.do_settings, SettingsScreen),
            (app.do_models, ModelsScreen),
            (app.do_doctor, DoctorScreen),
        ):
            opens()
            await until(pilot, lambda screen=screen: isinstance(app.screen, screen))
            await pilot.pause(0.1)
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, StartScreen))


async def test_keys_and_theme_are_the_users_to_choose(own_dirs: Path) -> None:
    (own_dirs / "config.toml").write_text('theme = "automlgpt-light"\n[keys]\n"app.help" = "f12"\n')
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        assert app.theme == "automlgpt-light"
        await pilot.press("f12")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))


async def test_a_narrow_terminal_switches_between_chat_and_panels() -> None:
    app = AutoMLApp()
    async with app.run_test(size=NARROW) as pilot:
        screen = await running(pilot)
        assert screen.query_one("#chat").display and not screen.query_one("#panels").display
        await pilot.press("ctrl+o")
        assert screen.query_one("#panels").display and not screen.query_one("#chat").display
        await pilot.press("ctrl+o", "f5")
        assert screen.query_one("#panels").display and screen.active == "code"
        await pilot.resize_terminal(160, 48)
        await pilot.pause(0.2)
        assert screen.query_one("#panels").display and screen.query_one("#chat").display


async def test_commands_and_columns_are_completed() -> None:
    suggest = Words(lambda: ["tenure", "TotalCharges", "\x1b[1mbad"]).get_suggestion
    assert await suggest("/lea") == "/leaderboard" and await suggest("/leaderboard") is None
    assert await suggest("leave out @tot") == "leave out @TotalCharges"
    assert await suggest("plain words") is None and await suggest("@nothing") is None
    assert "\x1b" not in str(await suggest("@\x1b"))
