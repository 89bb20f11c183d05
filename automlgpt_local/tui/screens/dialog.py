"""A list in a box over the screen, with a line to search in: sessions, models, settings and the doctor look alike."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Input, Label

from automlgpt_local.client.inert import inert_line


class TableDialog(ModalScreen[None]):
    """Subclasses give `heading`, `columns` (label, width) and fill it with `show_rows`; Enter calls `chosen`."""

    heading = ""
    columns: Sequence[tuple[str, int]] = ()
    searchable = True

    BINDINGS = [Binding("escape", "dismiss", "Back", id="dialog.back"), Binding("down", "to_table", show=False)]
    DEFAULT_CSS = """
    TableDialog { align: center middle; }
    TableDialog #box {
        width: 96%;
        max-width: 150;
        height: 90%;
        background: $surface;
        border: round $primary;
        padding: 0 1;
    }
    TableDialog #heading { text-style: bold; }
    TableDialog #search { border: none; height: 1; background: $boost; padding: 0 1; margin: 0 0 1 0; }
    TableDialog DataTable { height: 1fr; background: transparent; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[tuple[str, list[str]]] = []
        self._keys: list[str] = []

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Label(self.heading, id="heading", markup=False)
            if self.searchable:
                yield Input(placeholder="search", id="search")
            table: DataTable[Text] = DataTable(cursor_type="row", zebra_stripes=True)
            for label, width in self.columns:
                table.add_column(label, width=width or None)
            yield table
            yield Footer(show_command_palette=False)

    def show_rows(self, rows: list[tuple[str, list[str]]]) -> None:
        """rows: a key and the cells of each."""
        self._rows = rows
        self._filter(self.query_one("#search", Input).value if self.searchable else "")
        if not self.searchable or not rows:
            return
        self.query_one(DataTable).focus()

    def _filter(self, text: str) -> None:
        table = self.query_one(DataTable)
        table.clear()
        self._keys = []
        for key, cells in self._rows:
            if text.lower() in " ".join(cells).lower():
                self._keys.append(key)
                table.add_row(*(Text(inert_line(c, 120), no_wrap=True) for c in cells))

    @on(Input.Changed, "#search")
    def _searched(self, event: Input.Changed) -> None:
        self._filter(event.value)

    @on(Input.Submitted, "#search")
    def _submitted(self) -> None:
        self.action_to_table()

    def action_to_table(self) -> None:
        self.query_one(DataTable).focus()

    @property
    def selected(self) -> str | None:
        row = self.query_one(DataTable).cursor_row
        return self._keys[row] if 0 <= row < len(self._keys) else None

    @on(DataTable.RowSelected)
    def _row_selected(self) -> None:
        if (key := self.selected) is not None:
            self.chosen(key)

    def chosen(self, key: str) -> None:
        """Enter on a row."""
