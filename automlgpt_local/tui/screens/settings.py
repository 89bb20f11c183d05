"""The settings in force and where each comes from; the theme can be tried out here."""

from __future__ import annotations

from textual.binding import Binding

from automlgpt_local import settings
from automlgpt_local.errors import AutoMLGPTError
from automlgpt_local.tui.screens.dialog import TableDialog
from automlgpt_local.tui.theme import THEMES


class SettingsScreen(TableDialog):
    heading = "Settings: `automlgpt config init` writes a file to change them in"
    columns = (("Setting", 12), ("Value", 24), ("From", 34), ("What it is", 70))
    searchable = False
    BINDINGS = [Binding("t", "theme", "Light or dark", id="settings.theme")]

    def on_mount(self) -> None:
        try:
            chosen = settings.load()
        except AutoMLGPTError as error:
            self.notify(f"{error.message} {error.hint}", severity="error", markup=False)
            return
        rows = []
        for key, what in settings.HELP.items():
            value = getattr(chosen, key)
            rows.append((key, [key, "" if value is None else str(value), chosen.source[key], what]))
        self.show_rows(rows)

    def action_theme(self) -> None:
        dark, light = (t.name for t in THEMES)
        self.app.theme = light if self.app.theme == dark else dark
