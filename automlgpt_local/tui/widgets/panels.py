"""The panels of the table, the event log and the report. Each draws itself from the view when it is looked at."""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import DataTable, Log, Markdown, Static

from automlgpt_local.client import RunView
from automlgpt_local.client.inert import inert, inert_line
from automlgpt_local.settings import format_seconds
from automlgpt_local.tui.words import cell

MOST_LINES = 2_000


class Columns(Vertical):
    """The table: what was found in each column, and the target above."""

    DEFAULT_CSS = """
    Columns #data-head { padding: 0 1; height: auto; max-height: 6; color: $text-muted; }
    Columns DataTable { height: 1fr; }
    """
    LABELS = (("Column", 24), ("Kind", 12), ("Missing", 7), ("Unique", 8), ("Target", 6), ("Note", 34), ("Values", 40))

    def __init__(self, *, widget_id: str) -> None:
        super().__init__(id=widget_id)
        self._drawn: object = None

    def compose(self) -> ComposeResult:
        yield Static("The table is being read.", id="data-head", markup=False)
        table: DataTable[Text] = DataTable(cursor_type="row", zebra_stripes=True, id="data-table")
        for label, width in self.LABELS:
            table.add_column(label, width=width)
        yield table

    def forget(self) -> None:
        """Draw everything anew the next time."""
        self._drawn = None

    def show(self, view: RunView) -> None:
        self.show_profile(view.profile, view.task)

    def show_profile(self, profile: dict[str, Any], task: dict[str, Any]) -> None:
        if not profile or self._drawn is profile:
            return
        self._drawn = profile
        columns = profile.get("columns", [])
        head = f"{profile.get('rows', 0):,} rows · {len(columns)} columns · {profile.get('duplicates', 0):,} duplicates"
        target = profile.get("target") or {}
        classes = target.get("classes")
        what = (
            ", ".join(f"{k}: {n:,}" for k, n in list(classes.items())[:8])
            if isinstance(classes, dict)
            else ", ".join(
                f"{k} {target[k]:.4g}"
                for k in ("min", "median", "mean", "max")
                if isinstance(target.get(k), int | float)
            )
        )
        self.query_one("#data-head", Static).update(
            Content.assemble(head, "\n", ("target ", "bold"), inert_line(f"{task.get('target', '?')}  {what}", 300))
        )
        table = self.query_one("#data-table", DataTable)
        table.clear()
        leaks_first = sorted(columns, key=lambda c: (not c.get("leak"), -float(c.get("association") or 0.0)))
        for column in leaks_first[:2000]:
            table.add_row(*self._row(column))

    def _row(self, c: dict[str, Any]) -> list[Text]:
        if c.get("mean") is not None:
            values = f"{c['min']:.4g} … {c['max']:.4g}, mean {c['mean']:.4g}" if c.get("min") is not None else ""
        else:
            values = ", ".join(str(t[0] if isinstance(t, list | tuple) else t) for t in c.get("top", [])[:4])
        note = ("! leak? " + str(c.get("leak_reason", ""))) if c.get("leak") else ""
        style = "$warning" if note else ""
        cells = (
            (c.get("name", ""), 24, style), (c.get("kind", ""), 12, ""), (f"{float(c.get('missing') or 0):.0%}", 7, ""),
            (f"{c.get('unique', 0):,}", 8, ""), (f"{float(c.get('association') or 0):.2f}", 6, ""), (note, 80, style),
            (values, 34, ""),
        )  # fmt: skip
        colours = self.app.theme_variables
        return [cell(colours, *each) for each in cells]


class EventLogPanel(Log):
    """Every event as a line; the oldest are let go. Lines wait until the panel is looked at."""

    def __init__(self, *, widget_id: str) -> None:
        super().__init__(id=widget_id, max_lines=MOST_LINES, highlight=False)
        self._waiting: deque[str] = deque(maxlen=MOST_LINES)

    def note(self, t: float, line: str) -> None:
        self._waiting.append(f"{format_seconds(t):>8}  {inert_line(line, 300)}")

    def show(self) -> None:
        if self._waiting:
            self.write_lines(list(self._waiting))
            self._waiting.clear()


class Report(VerticalScroll):
    """The report as Markdown; links are shown and not followed."""

    DEFAULT_CSS = "Report { padding: 0 1; }"

    def __init__(self, *, widget_id: str) -> None:
        super().__init__(id=widget_id)
        self._shown = ""

    def compose(self) -> ComposeResult:
        yield Markdown("The report is written when the run ends.", open_links=False, id="report-text")

    def load(self, run_dir: Path) -> None:
        try:
            text = (run_dir / "report.md").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        if text != self._shown:
            self._shown = text
            self.query_one("#report-text", Markdown).update(inert(text, 400_000, 4_000))
