"""One registry: every action by key, palette and slash command, and all of them in the help."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.binding import Binding
from textual.widgets import DataTable, Input, Select
from tui_support import NARROW, WIDE, running, until

from automlgpt_local import client
from automlgpt_local.client.health import Check
from automlgpt_local.tui.actions import ACTS, BY_ID, BY_SLASH, Act, parse_slash
from automlgpt_local.tui.app import AutoMLApp
from automlgpt_local.tui.screens import doctor, models
from automlgpt_local.tui.screens.approval import ApprovalScreen
from automlgpt_local.tui.screens.doctor import DoctorScreen
from automlgpt_local.tui.screens.help import HelpScreen, help_text
from automlgpt_local.tui.screens.models import ModelsScreen
from automlgpt_local.tui.screens.run import RunScreen, Words
from automlgpt_local.tui.screens.sessions import SessionsScreen
from automlgpt_local.tui.screens.settings import SettingsScreen
from automlgpt_local.tui.screens.start import StartScreen
from automlgpt_local.tui.threads import hand_over
from automlgpt_local.tui.widgets.timeline import Timeline

HOMES = {"app": AutoMLApp, "start": StartScreen, "run": RunScreen}


def test_every_action_has_a_method_a_slash_command_and_a_line_of_help() -> None:
    text = help_text()
    for act in ACTS:
        assert callable(getattr(HOMES[act.place], act.method)), act.id
        assert act.slash.startswith("/") and act.help and f"`{act.slash}" in text
        assert act.key and f"| {act.key} |" in text, f"{act.id} has no key"
    assert len({a.id for a in ACTS}) == len(BY_SLASH) == len(ACTS)
    for place in HOMES:
        keys = [a.key for a in ACTS if a.key and a.place in ("app", place)]
        assert len(keys) == len(set(keys))
        assert not {"alt+b", "alt+f"} & set(keys), "terminals send these for ctrl and an arrow"


def test_the_keys_of_dialogs_are_in_the_help() -> None:
    text = help_text()
    for dialog in (ApprovalScreen, SessionsScreen, ModelsScreen, SettingsScreen):
        for binding in dialog.BINDINGS:
            assert isinstance(binding, Binding) and f"| {binding.key.split(',')[0]} | {binding.description} |" in text


def test_slash_commands_are_read_with_their_argument() -> None:
    assert parse_slash("/budget  20m ")[0] is BY_SLASH["/budget"] and parse_slash("/budget  20m ")[1] == "20m"
    assert parse_slash("/leader")[0] is BY_SLASH["/leaderboard"]
    assert parse_slash("/re")[0] is None and parse_slash("/nothing")[0] is None


PANELS = {"plan": "plan", "board": "board", "code": "code", "data": "data", "tree": "tree", "plot": "plot",
          "log": "log", "report": "report", "resources": "load"}  # fmt: skip
DIALOGS = {"help": HelpScreen, "settings": SettingsScreen, "sessions": SessionsScreen, "models": ModelsScreen,
           "doctor": DoctorScreen}  # fmt: skip


@pytest.mark.parametrize("by", ["slash", "key"])
async def test_every_action_does_what_it_says(by: str) -> None:
    """In a run that has ended, by its slash command and by its key."""
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        screen = await running(pilot)
        await until(pilot, lambda: screen.session.closed)
        say = screen.query_one("#say", Input)

        async def do(act: Act) -> None:
            say.focus()
            if by == "slash":
                say.value = act.slash
            await pilot.press("enter" if by == "slash" else act.key)

        for name, panel in PANELS.items():
            screen.show_panel("plan" if name != "plan" else "log")
            await do(BY_ID[f"run.{name}"])
            await until(pilot, lambda panel=panel: screen.active == panel)
        for name, dialog in DIALOGS.items():
            await do(BY_ID[f"app.{name}"])
            await until(pilot, lambda dialog=dialog: isinstance(app.screen, dialog))
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is screen)
        theme = app.theme
        await do(BY_ID["app.theme"])
        await until(pilot, lambda: app.theme != theme)
        entries = screen.query_one("#entries").children
        before = len(entries)
        await do(BY_ID["run.export"])
        await until(pilot, lambda: len(entries) == before + 1 and "predict.py" in str(entries[-1].render()))
        timeline = screen.query_one(Timeline)
        await do(BY_ID["run.thoughts"])
        await until(pilot, lambda: timeline.unfolded)
        shown = screen.has_class("panels")
        await do(BY_ID["run.toggle"])
        await until(pilot, lambda: screen.has_class("panels") != shown)
        for name, told in (("run.stop", "has ended"), ("run.pause", "has ended"), ("run.undo", "has ended"),
                           ("run.branch", "Choose an attempt"), ("app.target", "Churn"),
                           ("app.metric", "roc_auc")):  # fmt: skip
            app.clear_notifications()
            await do(BY_ID[name])
            await until(pilot, lambda told=told: any(told in n.message for n in app._notifications))
        await do(BY_ID["run.go_on"])
        await until(pilot, lambda: app.screen is not screen and isinstance(app.screen, RunScreen))
        await until(pilot, lambda: app.screen.session.closed)  # type: ignore[attr-defined]
        ended = app.screen
        assert isinstance(ended, RunScreen) and client.load_request(ended.run_dir).time_limit_s > 600
        await pilot.press("ctrl+n")
        await until(pilot, lambda: isinstance(app.screen, StartScreen))
        await pilot.press("ctrl+q")
        await until(pilot, lambda: not app.is_running)


async def test_another_target_is_another_run_with_the_same_form() -> None:
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        screen = await running(pilot, time_limit_s=77.0, model="none", sandbox=False)
        await until(pilot, lambda: screen.session.closed)
        screen.query_one("#say", Input).value = "/target a"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, StartScreen))
        form = app.screen
        assert isinstance(form, StartScreen)
        await until(pilot, lambda: form.query_one("#target", Select).value == "a" and form.suggested)
        asked = form.request()
        assert (asked.target, asked.time_limit_s, asked.model) == ("a", 77.0, "none")
        assert asked.sandbox, "the form does not say that there would be none"
        form.do_metric("accur")
        await until(pilot, lambda: form.query_one("#metric", Select).value == "accuracy")
        form.do_target("TARGET")
        await until(pilot, lambda: form.query_one("#target", Select).value == "target")
        await until(pilot, lambda: form.suggested.get("target") == "target")
        assert (form.request().target, form.request().metric) == ("target", "accuracy")
        form.do_metric("nonsense")
        await until(pilot, lambda: any("no metric nonsense" in n.message for n in app._notifications))


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
            await until(pilot, lambda: any(b.region.width for b in app.screen.query("#box, VerticalScroll")))
            box = app.screen.query("#box, VerticalScroll").first().region
            assert 60 <= box.width <= size[0] - 2 and box.x > 0 and box.bottom <= size[1], (
                "the box is not on the screen"
            )
            await pilot.press("escape")
            await until(pilot, lambda: isinstance(app.screen, StartScreen))


async def test_a_box_that_is_closed_before_its_rows_are_known_is_just_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    closed, told = threading.Event(), threading.Event()

    def slow() -> Iterator[Check]:
        closed.wait(10)
        yield Check("late", "ok", "found after the box was closed")
        told.set()

    monkeypatch.setattr(doctor, "checks", slow)
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        app.do_doctor()
        await until(pilot, lambda: isinstance(app.screen, DoctorScreen) and bool(app.screen.query("#heading")))
        screen = app.screen
        assert isinstance(screen, DoctorScreen)
        await pilot.press("escape")
        await until(pilot, lambda: not screen.query("#heading"))
        closed.set()
        await until(pilot, told.is_set)
        await asyncio.to_thread(hand_over, screen, screen.show_rows, [("late", ["ok"] * 4)])


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
        await until(pilot, lambda: screen.active == "report")  # what the end of a run brings to the front
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


async def test_a_model_is_checked_in_a_process_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"ok": False, "findings": [{"name": "loads", "ok": True, "detail": ""},
                                      {"name": "repeats", "ok": False, "detail": "two answers differ"}]}  # fmt: skip
    monkeypatch.setattr(models, "CHECK_COMMAND", [sys.executable, "-c", f"print({json.dumps(json.dumps(told))})"])
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("ctrl+l")
        await until(pilot, lambda: isinstance(app.screen, ModelsScreen) and app.screen.query_one(DataTable).row_count)
        app.screen.query_one(DataTable).focus()
        await pilot.press("c")
        await until(pilot, lambda: any("repeats: two answers differ" in n.message for n in app._notifications))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, StartScreen))
        assert app.screen.query_one("#model", Input).value == "nano"
