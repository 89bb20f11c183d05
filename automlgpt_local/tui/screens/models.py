"""The models: those on this machine, and those of the catalogue that could be brought here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.widgets import Input

from automlgpt_local.client.inert import inert
from automlgpt_local.errors import AutoMLGPTError
from automlgpt_local.paths import typed_path
from automlgpt_local.tui.screens.dialog import TableDialog
from automlgpt_local.tui.threads import hand_over

CHECK_COMMAND: list[str] = [sys.executable, "-P", "-m", "automlgpt_local.cli", "models", "check"]


class ModelsScreen(TableDialog):
    heading = "Models: Enter takes one for the next run"
    columns = (("Name", 28), ("State", 9), ("From", 10), ("Size", 10), ("For", 10), ("Licence", 16), ("File", 50))
    BINDINGS = [
        Binding("i", "import_file", "Import", id="models.import"),
        Binding("v", "verify", "Verify", id="models.verify"),
        Binding("c", "check", "Check", id="models.check"),
    ]
    DEFAULT_CSS = """
    ModelsScreen #import { display: none; border: none; height: 1; background: $boost; padding: 0 1; }
    ModelsScreen #import.shown { display: block; }
    """

    def compose(self) -> ComposeResult:
        yield from super().compose()
        yield Input(placeholder="path of a GGUF file, then Enter", id="import")

    def on_mount(self) -> None:
        self._load()

    @work(thread=True, exclusive=True, group="models")
    def _load(self) -> None:
        from automlgpt_local.llm import catalog

        rows = []
        for r in catalog.list_models():
            size = f"{int(r.get('bytes') or 0) / 2**20:,.0f} MiB" if r.get("bytes") else ""
            state = "here" if r["here"] else "not here"
            file = str(r.get("path", r.get("file", "")))
            rows.append(
                (
                    str(r["name"]),
                    [
                        str(r["name"]),
                        state,
                        str(r.get("source", "")),
                        size,
                        str(r.get("role", "")),
                        str(r.get("licence", "")),
                        Path(file).name if r.get("source") == "embedded" else file,
                    ],
                )
            )
        rows += [
            ("none", ["none", "here", "built in", "", "both", "", "recipes alone, no model"]),
            ("random", ["random", "here", "built in", "", "both", "", "valid decisions at random: a control"]),
        ]
        hand_over(self, self.show_rows, rows)

    def chosen(self, key: str) -> None:
        from automlgpt_local.tui.screens.start import StartScreen

        for screen in self.app.screen_stack:
            if isinstance(screen, StartScreen):
                screen.query_one("#model", Input).value = key
        self.notify(f"The next run uses {key}.", markup=False)
        self.dismiss()

    def action_import_file(self) -> None:
        field = self.query_one("#import", Input)
        field.add_class("shown")
        field.focus()

    @on(Input.Submitted, "#import")
    def _import_named(self, event: Input.Submitted) -> None:
        event.stop()
        event.input.remove_class("shown")
        if event.value.strip():
            self._import(typed_path(event.value.strip()))

    @work(thread=True, exclusive=True, group="models")
    def _import(self, path: Path) -> None:
        from automlgpt_local.llm import catalog

        try:
            entry = catalog.import_(path)
            self.app.call_from_thread(self.notify, f"{entry.name} is here now.", markup=False)
        except (AutoMLGPTError, OSError) as error:
            self.app.call_from_thread(self.notify, str(error), severity="error", markup=False)
        hand_over(self, self._load)

    @work(thread=True, exclusive=True, group="models")
    def _verify(self, name: str) -> None:
        from automlgpt_local.llm import catalog

        try:
            found = catalog.verify(name)
            text = {True: "as recorded", False: "CHANGED", None: "no hash was ever recorded"}[found["ok"]]
            severity = "error" if found["ok"] is False else "information"
            self.app.call_from_thread(self.notify, f"{name}: {text}", severity=severity, markup=False)
        except (AutoMLGPTError, OSError) as error:
            self.app.call_from_thread(self.notify, str(error), severity="error", markup=False)

    def action_check(self) -> None:
        if (name := self.selected) is not None:
            self.notify(f"{name} is being tried; this takes a while.", markup=False)
            self._check(name)

    @work(thread=True, exclusive=True, group="models")
    def _check(self, name: str) -> None:
        """The conformance test, in a process of its own: models are never loaded in this one."""
        child = subprocess.run(
            [*CHECK_COMMAND, name, "--json"], capture_output=True, text=True, stdin=subprocess.DEVNULL, errors="replace"
        )
        try:
            failed = [f"{f['name']}: {f['detail']}" for f in json.loads(child.stdout)["findings"] if f["ok"] is False]
            text = f"{name}: " + ("; ".join(failed) if failed else "works here as it should")
        except (ValueError, KeyError):
            failed, text = [name], child.stderr.strip().rpartition("\n\n")[2] or "the check broke off"
        severity = "error" if failed else "information"
        self.app.call_from_thread(self.notify, inert(text, 600), severity=severity, markup=False, timeout=15)

    def action_verify(self) -> None:
        if (name := self.selected) is not None:
            self._verify(name)
