"""The bundled data sets, for a first run on a machine that has none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Label, OptionList
from textual.widgets.option_list import Option

from automlgpt_local.client.examples import EXAMPLES
from automlgpt_local.tui.threads import hand_over

WRITE_COMMAND: list[str] = [sys.executable, "-P", "-m", "automlgpt_local.client.examples"]


class ExamplesScreen(ModalScreen[str | None]):
    """Dismissed with the path of the file that was written."""

    BINDINGS = [Binding("escape", "dismiss", "Back", id="examples.back")]
    CSS = """
    ExamplesScreen { align: center middle; }
    ExamplesScreen #box {
        width: 84;
        max-width: 98%;
        height: auto;
        max-height: 80%;
        background: $surface;
        border: round $primary;
        padding: 0 1;
    }
    ExamplesScreen OptionList { height: auto; border: none; background: transparent; }
    """

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Label("Write one of these into the current folder:")
            yield OptionList(
                *(Option(Content.assemble((f"{e.name:<15}", "bold"), e.what), id=e.name) for e in EXAMPLES.values())
            )

    def on_mount(self) -> None:
        self.query_one(OptionList).highlighted = 0

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        name = str(event.option_id)
        path = Path.cwd() / f"{name}.csv"
        if path.exists():
            self.dismiss(str(path))
        else:
            self._write(name)

    @work(thread=True, exclusive=True)
    def _write(self, name: str) -> None:
        child = subprocess.run(
            [*WRITE_COMMAND, name, str(Path.cwd())], capture_output=True, text=True, stdin=subprocess.DEVNULL
        )
        if child.returncode == 0:
            hand_over(self, self.dismiss, child.stdout.strip())
        else:
            last = child.stderr.strip().splitlines()[-1:] or ["it could not be written"]
            self.app.call_from_thread(self.app.notify, last[0], severity="error", markup=False)
