"""The terminal app. This process draws events and sends commands; tables, models and fits live in others."""

from __future__ import annotations

import asyncio
import gc
import importlib
import signal
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from textual.app import App, SystemCommand
from textual.events import Event, Key
from textual.screen import Screen

from automlgpt_local import client, settings
from automlgpt_local.client import Session
from automlgpt_local.errors import AutoMLGPTError
from automlgpt_local.settings import parse_seconds
from automlgpt_local.task import Request
from automlgpt_local.tui.actions import BY_ID, Place, acts_of, bindings_of
from automlgpt_local.tui.screens.start import StartScreen
from automlgpt_local.tui.theme import THEMES

RUN_SCREEN = "automlgpt_local.tui.screens.run"  # loaded while the first screen is looked at
SETTLED_S = 2.0


def settle() -> None:
    """What was imported stays: the collector need not walk through it again and again, in the way of a key press."""
    gc.collect()
    gc.freeze()


class AutoMLApp(App[int]):
    """One start screen below, at most one run above it, dialogs on top."""

    TITLE = "AutoML-GPT Local"
    BINDINGS = bindings_of("app")
    ENABLE_COMMAND_PALETTE = True
    CSS = """
    Screen { background: $background; }
    ModalScreen { background: $background 60%; }
    * {
        scrollbar-size-vertical: 1; scrollbar-size-horizontal: 1; scrollbar-background: $surface;
        scrollbar-background-hover: $surface; scrollbar-background-active: $surface; scrollbar-color: $secondary 40%;
        scrollbar-corner-color: $surface;
    }
    Input { scrollbar-size-horizontal: 0; }
    Toast { background: $panel; }
    """

    def __init__(self, path: str = "") -> None:
        super().__init__()
        self.path = path
        self.key_at = 0.0  # when a letter was typed last, on the monotonic clock
        for theme in THEMES:
            self.register_theme(theme)
        self.settings = settings.load()
        self.theme = self.settings.theme if self.settings.theme in self.available_themes else THEMES[0].name
        self.set_keymap(self.settings.keys)

    def on_mount(self) -> None:
        self.push_screen(StartScreen(self.path))
        self.set_timer(SETTLED_S, settle)
        self.call_after_refresh(threading.Thread(target=importlib.import_module, args=(RUN_SCREEN,), daemon=True).start)
        if threading.current_thread() is threading.main_thread():
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self.exit, 130)

    async def on_event(self, event: Event) -> None:
        if isinstance(event, Key) and event.is_printable:
            self.key_at = time.monotonic()
        await super().on_event(event)

    # --- actions
    def carry_out(self, act_id: str, argument: str = "") -> None:
        """Run an action of the registry on the screen that has it."""
        act = BY_ID[act_id]
        for target in (self.screen, self):
            if (method := getattr(target, act.method, None)) is not None:
                method(argument)
                return
        self.notify(f"{act.title}: not on this screen.", severity="warning")

    async def action_perform(self, act_id: str) -> None:
        self.carry_out(act_id)

    def get_system_commands(self, screen: Screen[Any]) -> Iterable[SystemCommand]:
        """The palette: the same registry, and nothing of the toolkit's that is no action of ours."""
        places: list[Place] = ["app"]
        places += ["run"] if hasattr(screen, "session") else ["start"] if isinstance(screen, StartScreen) else []
        for act in acts_of(*places):
            keys = "  ".join(x for x in (act.key, act.slash) if x)
            yield SystemCommand(act.title, f"{act.help}  [{keys}]".replace("[", "("). replace("]", ")"),
                                lambda act_id=act.id: self.carry_out(act_id))  # fmt: skip

    def do_help(self, argument: str = "") -> None:
        from automlgpt_local.tui.screens.help import HelpScreen

        self.push_screen(HelpScreen())

    def do_settings(self, argument: str = "") -> None:
        from automlgpt_local.tui.screens.settings import SettingsScreen

        self.push_screen(SettingsScreen())

    def do_sessions(self, argument: str = "") -> None:
        from automlgpt_local.tui.screens.sessions import SessionsScreen

        self.push_screen(SessionsScreen())

    def do_models(self, argument: str = "") -> None:
        from automlgpt_local.tui.screens.models import ModelsScreen

        self.push_screen(ModelsScreen())

    def do_doctor(self, argument: str = "") -> None:
        from automlgpt_local.tui.screens.doctor import DoctorScreen

        self.push_screen(DoctorScreen())

    def do_theme(self, argument: str = "") -> None:
        dark, light = (t.name for t in THEMES)
        self.theme = light if self.theme == dark else dark

    def do_new(self, argument: str = "") -> None:
        if not self._busy():
            self._to_start()

    def do_target(self, argument: str = "") -> None:
        self._only_in_the_form()

    def do_metric(self, argument: str = "") -> None:
        self._only_in_the_form()

    def _only_in_the_form(self) -> None:
        self.notify("That is chosen on the first screen (ctrl+n), or for the next run from an ended one.")

    def ask_again(self, request: Request) -> None:
        """The form, filled in as for an earlier run and changed where the person said so."""
        if self._busy():
            return
        self._to_start()
        screen = self.screen
        if isinstance(screen, StartScreen):
            screen.fill(request)

    def _busy(self) -> bool:
        """One run at a time: two would share the cores and both be late."""
        for screen in self.screen_stack:
            session: Session | None = getattr(screen, "session", None)
            if session is not None and not session.closed and session.process:
                self.notify("A run works here. Stop it first (Esc), or leave with ctrl+q.", severity="warning")
                return True
        return False

    def do_quit(self, argument: str = "") -> None:
        self.exit(0)

    def _to_start(self) -> None:
        while len(self.screen_stack) > 2:
            self.pop_screen()

    # --- runs
    def show_session(self, session: Session, data: str) -> None:
        from automlgpt_local.tui.screens.run import RunScreen

        session.yield_to_people()
        self._to_start()
        self.push_screen(RunScreen(session, data))

    def open_run(self, run_dir: Path) -> None:
        """Go on with an interrupted run; look at any other."""
        if self._busy():
            return
        try:
            data = Path(client.load_request(run_dir).data[0]).name
            session = client.resume(run_dir) if client.state(run_dir) == "interrupted" else client.attach(run_dir)
        except (AutoMLGPTError, IndexError) as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.show_session(session, data)

    def resume_run(self, run_dir: Path, more: str = "", branch: int | None = None) -> None:
        """Go on with a run that ended, with `more` time when it is given, from attempt `branch`."""
        try:
            ended = client.state(run_dir) == "done"
            session = client.resume(run_dir, parse_seconds(more) if more else parse_seconds("10m") if ended else None)
            data = Path(client.load_request(run_dir).data[0]).name
        except (AutoMLGPTError, IndexError) as error:
            self.notify(str(error), severity="error", markup=False)
            return
        if branch is not None:
            session.branch(branch)
        self.show_session(session, data)


def run_app(path: str = "") -> int:
    """Open the app on this terminal; its exit code."""
    app = AutoMLApp(path)
    code = app.run()
    return code if code is not None else app.return_code or 0
