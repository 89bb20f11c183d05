"""All runs of this machine: open, search, remove."""

from __future__ import annotations

from pathlib import Path

from textual import work
from textual.binding import Binding

from automlgpt_local import client
from automlgpt_local.errors import AutoMLGPTError
from automlgpt_local.settings import format_seconds
from automlgpt_local.tui.screens.dialog import TableDialog
from automlgpt_local.tui.threads import hand_over
from automlgpt_local.tui.words import place


class SessionsScreen(TableDialog):
    heading = "Sessions: Enter opens one; an interrupted one goes on"
    columns = (
        ("State", 12),
        ("Target", 20),
        ("Metric", 10),
        ("Score", 9),
        ("Started (UTC)", 16),
        ("Time", 9),
        ("Folder", 60),
    )
    BINDINGS = [
        Binding("r", "go_on", "Resume with 10m more", id="sessions.go_on"),
        Binding("delete", "remove", "Remove", id="sessions.remove"),
    ]

    def on_mount(self) -> None:
        self._asked = ""
        self._load()

    @work(thread=True, exclusive=True)
    def _load(self) -> None:
        rows = []
        for r in client.list_runs():
            score = "" if r.score is None else f"{r.score:.5g}"
            started = (r.started_at or "")[:16].replace("T", " ")
            rows.append(
                (
                    r.path,
                    [
                        r.state,
                        r.target or "",
                        r.metric or "",
                        score,
                        started,
                        format_seconds(r.seconds),
                        place(Path(r.path)),
                    ],
                )
            )
        hand_over(self, self.show_rows, rows)

    def chosen(self, key: str) -> None:
        self.dismiss()
        self.app.open_run(Path(key))  # type: ignore[attr-defined]

    def action_go_on(self) -> None:
        if (key := self.selected) is not None and not self.app._busy():  # type: ignore[attr-defined]
            self.dismiss()
            self.app.resume_run(Path(key))  # type: ignore[attr-defined]

    def action_remove(self) -> None:
        key = self.selected
        if key is None:
            return
        if self._asked != key:
            self._asked = key
            self.notify(f"Delete again to remove {key} with everything in it.", severity="warning", markup=False)
            return
        try:
            client.remove_run(Path(key))
        except (AutoMLGPTError, OSError) as error:
            self.notify(str(error), severity="error", markup=False)
        self._load()
