"""Is this machine ready? The checks of `automlgpt doctor`, one by one."""

from __future__ import annotations

from textual import work
from textual.widgets import Label

from automlgpt_local.client.health import checks
from automlgpt_local.tui.screens.dialog import TableDialog
from automlgpt_local.tui.threads import hand_over


class DoctorScreen(TableDialog):
    heading = "Doctor: looking …"
    columns = (("State", 9), ("What", 22), ("Found", 60), ("What would help", 60))
    searchable = False

    def on_mount(self) -> None:
        self._look()

    @work(thread=True, exclusive=True)
    def _look(self) -> None:
        found = list(checks())
        rows = [(c.name, [c.state if c.state != "problem" else "PROBLEM", c.name, c.detail, c.remedy]) for c in found]
        hand_over(self, self._show, rows)

    def _show(self, rows: list[tuple[str, list[str]]]) -> None:
        problems = sum(cells[0] == "PROBLEM" for _, cells in rows)
        text = (
            f"Doctor: {problems} problem{'s' if problems > 1 else ''}"
            if problems
            else "Doctor: everything a run needs is here"
        )
        self.query_one("#heading", Label).update(text)
        self.show_rows(rows)
