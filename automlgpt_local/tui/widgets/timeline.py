"""The chat: what the agents decide, write and find, the newest at the bottom. Its memory is bounded."""

from __future__ import annotations

from textual import events as ui
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.highlight import highlight
from textual.message import Message
from textual.widgets import Static

from automlgpt_local import events as ev
from automlgpt_local.client import RunView
from automlgpt_local.client.inert import inert
from automlgpt_local.tui.words import attempt_card, entry

MOST_ENTRIES = 250
LIVE_LINES = 8
LIVE_CHARACTERS = 4_000


class Entry(Static):
    """One thing that happened. A click on an attempt opens its code; on a decision, its thought."""

    class Opened(Message):
        def __init__(self, attempt: int) -> None:
            super().__init__()
            self.attempt = attempt

    def __init__(self, content: Content, record: ev.Record | None = None, attempt: int | None = None) -> None:
        super().__init__(content, markup=False)
        self.record = record
        self.attempt = attempt
        self.unfolded = False
        if attempt is not None:
            self.add_class("attempt")
        elif record is not None and isinstance(record.event, ev.StageStarted):
            self.add_class("stage")

    def on_click(self, event: ui.Click) -> None:
        if self.attempt is not None:
            self.post_message(self.Opened(self.attempt))
        elif self.record is not None and isinstance(self.record.event, ev.Decided):
            self.fold(not self.unfolded)

    def fold(self, unfolded: bool) -> None:
        self.unfolded = unfolded
        if self.record is not None and (content := entry(self.record, RunView(), unfolded)) is not None:
            self.update(content)


class Timeline(Vertical):
    """`add` events, `token` for text that is being written, `flush` once per frame."""

    DEFAULT_CSS = """
    Timeline { height: 1fr; }
    Timeline #entries { height: 1fr; scrollbar-size-vertical: 1; padding: 0 1; }
    Timeline Entry { height: auto; }
    Timeline Entry.stage { margin-top: 1; }
    Timeline Entry.attempt { margin-bottom: 1; }
    Timeline Entry.attempt { padding-left: 1; border-left: outer $primary 60%; }
    Timeline Entry.attempt:hover { background: $boost; }
    Timeline #writing {
        height: 9;
        padding: 0 2;
        background: $surface;
        color: $text-muted;
        display: none;
    }
    Timeline #writing.shown { display: block; }
    """

    def __init__(self, *, widget_id: str) -> None:
        super().__init__(id=widget_id)
        self._cards: dict[int, Entry] = {}
        self._changed: dict[int, bool] = {}  # attempt -> may its card have grown?
        self._waiting: list[Entry] = []
        self._writer = ""
        self.written = ""
        self._written_changed = False
        self.unfolded = False

    def compose(self) -> ComposeResult:
        yield VerticalScroll(id="entries", can_focus=True)
        yield Static(id="writing", markup=False)

    def on_mount(self) -> None:
        self.query_one("#entries", VerticalScroll).anchor()

    def add(self, record: ev.Record, view: RunView) -> None:
        event = record.event
        if isinstance(event, ev.Token):
            self._token(event)
            return
        if isinstance(event, ev.Decided | ev.CodeWritten | ev.CodeRejected | ev.StageStarted | ev.Finished | ev.Failed):
            self._writer = self.written = ""
            self._written_changed = True
        number = getattr(event, "attempt", None)
        if isinstance(event, ev.CodeWritten):
            card = Entry(attempt_card(view.attempts[event.attempt], view), attempt=event.attempt)
            self._cards[event.attempt] = card
            self._waiting.append(card)
        elif number in self._cards and not isinstance(event, ev.Refitted):
            self._changed[number] = self._changed.get(number, False) or not isinstance(event, ev.FoldFinished)
        elif (content := entry(record, view, self.unfolded)) is not None:
            self._waiting.append(Entry(content, record))

    def note(self, content: Content) -> None:
        """Something that the app itself has to say."""
        self._waiting.append(Entry(content))

    def _token(self, event: ev.Token) -> None:
        if event.agent != self._writer:
            self._writer, self.written = event.agent, ""
        self.written = (self.written + event.text)[-LIVE_CHARACTERS:]
        self._written_changed = True

    def flush(self, view: RunView) -> None:
        for number, grown in self._changed.items():
            if (card := self._cards.get(number)) is not None and number in view.attempts:
                card.update(attempt_card(view.attempts[number], view), layout=grown)
        self._changed.clear()
        entries = self.query_one("#entries", VerticalScroll)
        if self._waiting:
            entries.mount_all(self._waiting[-MOST_ENTRIES:])
            self._waiting = []
            surplus = list(entries.children)[: max(0, len(entries.children) - MOST_ENTRIES)]
            for child in surplus:
                if isinstance(child, Entry) and child.attempt is not None:
                    self._cards.pop(child.attempt, None)
            if surplus:
                entries.remove_children(surplus)
        if self._written_changed:
            self._written_changed = False
            self._draw_writing()

    def _draw_writing(self) -> None:
        """The last lines, in a box of fixed height, so that nothing else has to move."""
        writing = self.query_one("#writing", Static)
        writing.set_class(bool(self.written), "shown")
        if self.written:
            tail = "\n".join(inert(self.written, line_limit=400).splitlines()[-LIVE_LINES:])
            body = highlight(tail, language="python") if self._writer == "coder" else Content(tail)
            text = Content.assemble((f"{self._writer.capitalize()} writes\n", "bold $primary"), body)
            writing.update(text, layout=False)

    def fold(self, unfolded: bool) -> None:
        self.unfolded = unfolded
        for item in self.query(Entry):
            if item.record is not None and isinstance(item.record.event, ev.Decided):
                item.fold(unfolded)
