"""The chat: what the agents decide, write and find, the newest at the bottom. Its memory is bounded."""

from __future__ import annotations

from textual import events as ui
from textual.app import ComposeResult
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.highlight import highlight
from textual.message import Message
from textual.widgets import Markdown, Static
from textual.widgets.markdown import MarkdownStream

from automlgpt_local import events as ev
from automlgpt_local.client import RunView
from automlgpt_local.client.inert import inert, inert_line
from automlgpt_local.tui.words import attempt_card, entry

MOST_ENTRIES = 150
LIVE_LINES = 8
LIVE_CHARACTERS = 4_000
NOTE_CHARACTERS = 1_500
# What a card tells; the rest has a line of its own.
ABOUT_ATTEMPTS = (ev.FoldFinished, ev.AttemptFinished, ev.Gated, ev.ApprovalAsked, ev.Approved)


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


class Note(Markdown):
    """What a tool answered; links are shown and not followed."""

    def __init__(self, title: str, text: str) -> None:
        heading = inert_line(title, 120).replace("*", "\\*").replace("`", "\\`")
        super().__init__(f"**{heading}**\n\n{inert(text, NOTE_CHARACTERS)}", open_links=False)


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
    Timeline Note { height: auto; padding: 0 0 0 1; margin: 0; border-left: outer $secondary 60%; color: $text-muted; }
    Timeline Note > * { margin: 0; padding: 0; }
    Timeline #writing { height: 9; padding: 0 2; background: $surface; color: $text-muted; display: none; }
    Timeline #writing.shown { display: block; }
    Timeline #thinking { height: 8; display: none; }
    Timeline #thinking Markdown { padding: 0; margin: 0; background: transparent; }
    Timeline #thinking.shown { display: block; }
    """

    def __init__(self, *, widget_id: str) -> None:
        super().__init__(id=widget_id)
        self._cards: dict[int, Entry] = {}
        self._changed: dict[int, bool] = {}  # attempt -> may its card have grown?
        self._waiting: list[Entry | Note] = []
        self._writer = ""
        self.written = ""
        self._written_changed = False
        self._unstreamed = ""
        self._stream: MarkdownStream | None = None
        self.unfolded = False

    def compose(self) -> ComposeResult:
        yield VerticalScroll(id="entries", can_focus=True)
        with Vertical(id="writing"):
            yield Static(id="written", markup=False)
            with VerticalScroll(id="thinking", can_focus=False):
                yield Markdown(open_links=False, id="thought")

    def on_mount(self) -> None:
        self.query_one("#entries", VerticalScroll).anchor()
        self.query_one("#thinking", VerticalScroll).anchor()

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
        elif number in self._cards and isinstance(event, ABOUT_ATTEMPTS):
            self._changed[number] = self._changed.get(number, False) or not isinstance(event, ev.FoldFinished)
        elif isinstance(event, ev.Noted):
            self._waiting.append(Note(event.title, event.text))
        if isinstance(event, ev.TaskChanged):
            self._changed = dict.fromkeys(self._cards, False) | self._changed
        if (content := entry(record, view, self.unfolded)) is not None:
            self._waiting.append(Entry(content, record))

    def note(self, content: Content) -> None:
        """Something that the app itself has to say."""
        self._waiting.append(Entry(content))

    def answer(self, title: str, text: str) -> None:
        """What was found out for the person who asked; lines stay lines."""
        self._waiting.append(Note(title, text.replace("\n", "  \n")))

    def _token(self, event: ev.Token) -> None:
        if event.agent != self._writer:
            self._writer, self.written = event.agent, ""
        if event.agent == "reasoner":
            self._unstreamed += event.text
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
        self.query_one("#writing").set_class(bool(self.written), "shown")
        thinking = self._writer == "reasoner"
        self.query_one("#thinking").set_class(thinking, "shown")
        fresh, self._unstreamed = self._unstreamed, ""
        self.call_later(self._think, inert(fresh) if thinking else None)
        if self.written:
            head = Content.styled(f"{self._writer.capitalize()} {'thinks' if thinking else 'writes'}", "bold $primary")
            if not thinking:
                tail = "\n".join(inert(self.written, line_limit=400).splitlines()[-LIVE_LINES:])
                head = Content.assemble(head, "\n", highlight(tail, language="python"))
            self.query_one("#written", Static).update(head)

    async def _think(self, fresh: str | None) -> None:
        """Add to the thought that is being drawn as Markdown; None when it is over."""
        thought = self.query_one("#thought", Markdown)
        if (fresh is None or len(thought.source) > LIVE_CHARACTERS) and self._stream is not None:
            await self._stream.stop()
            self._stream = None
            await thought.update("")
        if fresh:
            self._stream = self._stream or Markdown.get_stream(thought)
            await self._stream.write(fresh)

    def fold(self, unfolded: bool) -> None:
        self.unfolded = unfolded
        for item in self.query(Entry):
            if item.record is not None and isinstance(item.record.event, ev.Decided):
                item.fold(unfolded)
