"""Is this machine ready? The checks of `automlgpt doctor`, one by one."""

from __future__ import annotations

from textual import work

from automlgpt_local.client.health import checks
from automlgpt_local.tui.screens.dialog import TableDialog


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
        problems = sum(cells[0] == "PROBLEM" for _, cells in rows)
        heading = f"Doctor: {problems} problem{'s' if problems > 1 else ''}"
        self.app.call_from_thread(
            self.show_rows, rows, heading if problems else "Doctor: everything a run needs is here"
        )
