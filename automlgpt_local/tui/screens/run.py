"""A run: the chat beside its panels, and one line to type in."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from textual import events as ui
from textual import work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.suggester import Suggester
from textual.theme import Theme
from textual.widgets import Footer, Input, TabbedContent, TabPane

from automlgpt_local import events as ev
from automlgpt_local.client import Session, children
from automlgpt_local.client.inert import inert_line
from automlgpt_local.client.words import line_of
from automlgpt_local.errors import AutoMLGPTError
from automlgpt_local.tui.actions import BY_SLASH, bindings_of, parse_slash
from automlgpt_local.tui.screens.steering import Steering
from automlgpt_local.tui.threads import hand_over
from automlgpt_local.tui.widgets.attempts import AttemptChosen, Board, Code, Descent, Plan, read_solution
from automlgpt_local.tui.widgets.panels import Columns, EventLogPanel, Report
from automlgpt_local.tui.widgets.plot import Plots
from automlgpt_local.tui.widgets.resources import Resources
from automlgpt_local.tui.widgets.status import StatusBar
from automlgpt_local.tui.widgets.timeline import Entry, Timeline
from automlgpt_local.tui.words import place, say

FRAME_S = 0.1
PER_FRAME = 300
PANEL_S = 0.5  # between two drawings of the same panel
# While somebody types, their letters come first: drawing waits until they pause, for at most so long.
TYPING_S = 0.4
LONGEST_WAIT_S = 0.5
LONGEST_PANEL_WAIT_S = 2.0
WRITING_LINES = 60


class Words(Suggester):
    """Completes a slash command at the beginning, and the name of a column after an @."""

    def __init__(self, columns: Callable[[], list[str]]) -> None:
        super().__init__(use_cache=False, case_sensitive=False)
        self._columns = columns

    async def get_suggestion(self, value: str) -> str | None:
        if value.startswith("/") and " " not in value:
            return next((slash for slash in sorted(BY_SLASH) if slash.startswith(value) and slash != value), None)
        before, at, begun = value.rpartition("@")
        if not at:
            return None
        found = (name for name in self._columns() if name.lower().startswith(begun.lower()))
        return next((f"{before}@{inert_line(name)}" for name in found), None)


class RunScreen(Steering):
    """Draws a session; the session may also be one that ended long ago."""

    BINDINGS = bindings_of("run")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
    AUTO_FOCUS = "#say"
    CSS = """
    RunScreen #body { height: 1fr; }
    RunScreen #chat { width: 2fr; }
    RunScreen #panels { width: 3fr; border-left: solid $panel; }
    RunScreen TabPane { padding: 0; }
    RunScreen TabbedContent, RunScreen ContentSwitcher { height: 1fr; }
    RunScreen TabPane { height: 1fr; }
    RunScreen.-narrow #panels { display: none; border-left: none; }
    RunScreen.-narrow.panels #panels { display: block; width: 1fr; }
    RunScreen.-narrow #chat { width: 1fr; }
    RunScreen.-narrow.panels #chat { display: none; }
    RunScreen #say { border: none; height: 1; padding: 0 1; background: $surface; }
    RunScreen #say:focus { border: none; background: $boost; }
    """

    def __init__(self, session: Session, data: str = "") -> None:
        super().__init__()
        self.session = session
        self.data = data
        self._shown_attempt: int | None = None
        self._tokens = 0
        self._tokens_at = time.monotonic()
        self._dirty = True
        self._drawn_at = self._panel_at = 0.0
        self._panel_drawn = ""
        self._code_shown = ""

    def compose(self) -> ComposeResult:
        yield StatusBar(widget_id="status")
        with Horizontal(id="body"):
            with Vertical(id="chat"):
                yield Timeline(widget_id="timeline")
            with TabbedContent(id="panels"):
                for name, panel in (
                    ("Plan", Plan(widget_id="plan-panel")),
                    ("Board", Board(widget_id="board-panel")),
                    ("Code", Code(id="code-panel")),
                    ("Data", Columns(widget_id="data-panel")),
                    ("Tree", Descent(widget_id="tree-panel")),
                    ("Plot", Plots(widget_id="plot-panel")),
                    ("Log", EventLogPanel(widget_id="log-panel")),
                    ("Report", Report(widget_id="report-panel")),
                    ("Load", Resources(widget_id="load-panel")),
                ):
                    with TabPane(name, id=name.lower()):
                        yield panel
        yield Input(
            placeholder="Say something, or / for commands", id="say", suggester=Words(self._columns),
            select_on_focus=False,
        )  # fmt: skip
        yield Footer(show_command_palette=False)

    def _columns(self) -> list[str]:
        return [str(c.get("name", "")) for c in self.view.profile.get("columns", [])]

    def on_mount(self) -> None:
        self.title = self.data
        self.query_one(Descent).run_dir = self.session.run_dir
        self.query_one(Resources).pid = self.session.process.pid if self.session.process else None
        self.set_interval(FRAME_S, self._frame)
        self.app.theme_changed_signal.subscribe(self, self._recolour)

    # --- events of the engine
    def _frame(self) -> None:
        now = time.monotonic()
        if self._typing(now) and now - self._drawn_at < LONGEST_WAIT_S:
            return
        self._drawn_at = now
        records = self.session.drain(PER_FRAME)
        timeline, log = self.query_one(Timeline), self.query_one(EventLogPanel)
        for record in records:
            self.view.apply(record)
            timeline.add(record, self.view)
            if isinstance(record.event, ev.Token):
                self._tokens += 1
            else:
                self._dirty = True
                self._note(record, log)
        timeline.flush(self.view)
        if self.session.closed and not self.ended:
            self.ended = self._dirty = True
            self._on_end()
        if len(records) < PER_FRAME:
            self.ask_what_is_open()
        self._measure()
        self.query_one(StatusBar).show(self.view, self.data, live=not self.ended)
        if (self._dirty or self.active in ("load", "code")) and self._panel_is_due(now):
            self._dirty, self._panel_at, self._panel_drawn = False, now, self.active
            self._draw_panel()

    def _typing(self, now: float) -> bool:
        return now - self.app.key_at < TYPING_S  # type: ignore[attr-defined]

    def _panel_is_due(self, now: float) -> bool:
        """At once when another panel was opened, else now and then."""
        wait_s = LONGEST_PANEL_WAIT_S if self._typing(now) else PANEL_S
        return self.active != self._panel_drawn or now - self._panel_at >= wait_s

    def _note(self, record: ev.Record, log: EventLogPanel) -> None:
        event = record.event
        if (line := line_of(record, self.view)) is not None:
            log.note(record.t, line)
        elif isinstance(event, ev.FoldFinished):
            log.note(record.t, f"attempt {event.attempt}, fold {event.fold}: {event.status} {event.score}")

    def _measure(self) -> None:
        elapsed = time.monotonic() - self._tokens_at
        if elapsed >= 1.0:
            self.query_one(StatusBar).tokens_per_s = self._tokens / elapsed
            self._tokens, self._tokens_at = 0, time.monotonic()

    def _on_end(self) -> None:
        outcome = self.session.outcome
        timeline = self.query_one(Timeline)
        if isinstance(outcome, ev.Failed):
            back = "The form is still filled in: ctrl+n." if not self.view.attempts else "/continue goes on with it."
            timeline.note(say(("Next", "bold"), back))
        self.query_one(Report).load(self.session.run_dir)
        if isinstance(outcome, ev.Finished):
            timeline.note(say(("Files", "bold"), place(self.session.run_dir)))
            self.show_panel("report", switch=False)
        self.open_next_form()

    def _draw_panel(self) -> None:
        match self.active:
            case "plan":
                self.query_one(Plan).show(self.view)
            case "board":
                self.query_one(Board).show(self.view)
            case "data":
                self.query_one(Columns).show(self.view)
            case "tree":
                self.query_one(Descent).show(self.view)
            case "code":
                self._draw_code()
            case "plot":
                self.call_later(self.query_one(Plots).show, self.view)
            case "log":
                self.query_one(EventLogPanel).show()
            case "load":
                self.query_one(Resources).show(self.view)
            case "report":
                self.query_one(Report).load(self.session.run_dir)

    def _draw_code(self) -> None:
        """The chosen attempt, or the newest, or what is being written just now."""
        timeline, code = self.query_one(Timeline), self.query_one("#code-panel", Code)
        if timeline.written and self._shown_attempt is None:
            if timeline.written != self._code_shown:
                self._code_shown = timeline.written
                tail = "\n".join(timeline.written.splitlines()[-WRITING_LINES:])
                code.show_code("being written", tail)
            return
        chosen = self._shown_attempt or max(self.view.attempts, default=0)
        if not chosen:
            return
        attempt = self.view.attempts.get(chosen)
        name = f"attempt {chosen}: {attempt.title if attempt else ''}   attempts/{chosen:04d}/solution.py"
        if name != self._code_shown:
            text = read_solution(self.session.run_dir, chosen)
            self._code_shown = name if text else ""
            code.show_code(name, text)

    def _recolour(self, theme: Theme) -> None:
        """Cells of tables hold the colours they were drawn with."""
        self.query_one(Board).forget()
        self.query_one(Columns).forget()
        self._dirty, self._panel_drawn = True, ""

    # --- panels
    @property
    def active(self) -> str:
        return self.query_one("#panels", TabbedContent).active

    def show_panel(self, name: str, switch: bool = True) -> None:
        self.query_one("#panels", TabbedContent).active = name
        if switch:
            self.add_class("panels")
        self._dirty = True

    def on_tabbed_content_tab_activated(self, event: TabbedContent.TabActivated) -> None:
        self._panel_at, self._panel_drawn = time.monotonic(), self.active
        self._draw_panel()

    def on_attempt_chosen(self, event: AttemptChosen) -> None:
        self.open_code(event.attempt)

    def on_entry_opened(self, event: Entry.Opened) -> None:
        self.open_code(event.attempt)

    @property
    def chosen_attempt(self) -> int | None:
        """The one under the cursor of the open panel, or whose code is shown."""
        match self.active:
            case "board":
                return self.query_one(Board).chosen
            case "tree":
                return self.query_one(Descent).chosen
            case "plan":
                return self.query_one(Plan).chosen
        return self._shown_attempt

    def open_code(self, attempt: int) -> None:
        self._shown_attempt = attempt
        self.show_panel("code")

    # --- what a person says
    def on_key(self, event: ui.Key) -> None:
        """Letters belong to the line, wherever the focus is."""
        if event.is_printable and event.character and not event.character.isspace():
            line = self.query_one("#say", Input)  # its own letters do not come up to here
            event.stop()
            line.focus()
            line.insert_text_at_cursor(event.character)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        text = event.value.strip()
        event.input.value = ""
        if not text:
            return
        if text.startswith("/"):
            act, argument = parse_slash(text)
            if act is None:
                self.notify(
                    f"There is no command {inert_line(text, 40)}; F1 lists them.", severity="warning", markup=False
                )
            else:
                self.run_act(act.id, argument)
        elif text.endswith("?"):
            timeline = self.query_one(Timeline)
            timeline.note(say(("You", "bold $accent"), text))
            timeline.flush(self.view)
            self._answer(text)
        else:
            self.say_to_run(text)

    @work(thread=True, group="answers")
    def _answer(self, question: str) -> None:
        """A question is answered from the rows, in a process of its own; the run goes on meanwhile."""
        try:
            title, text = "From the data", children.ask(self.session.run_dir, question)
        except AutoMLGPTError as error:
            title, text = "No answer", str(error)
        hand_over(self, self._show_answer, title, text)

    def _show_answer(self, title: str, text: str) -> None:
        timeline = self.query_one(Timeline)
        timeline.answer(title, text)
        timeline.flush(self.view)

    def run_act(self, act_id: str, argument: str = "") -> None:
        self.app.carry_out(act_id, argument)  # type: ignore[attr-defined]

    async def action_perform(self, act_id: str) -> None:
        self.run_act(act_id)

    # --- actions on what is seen
    def do_toggle(self, argument: str = "") -> None:
        self.toggle_class("panels")
        self._dirty = True

    def do_thoughts(self, argument: str = "") -> None:
        timeline = self.query_one(Timeline)
        timeline.fold(not timeline.unfolded)

    def do_code(self, argument: str = "") -> None:
        self._shown_attempt = int(argument) if argument.isdigit() else None
        self.show_panel("code")

    def do_plan(self, argument: str = "") -> None:
        self.show_panel("plan")

    def do_board(self, argument: str = "") -> None:
        self.show_panel("board")

    def do_data(self, argument: str = "") -> None:
        self.show_panel("data")

    def do_plot(self, argument: str = "") -> None:
        self.show_panel("plot")

    def do_tree(self, argument: str = "") -> None:
        self.show_panel("tree")

    def do_log(self, argument: str = "") -> None:
        self.show_panel("log")

    def do_report(self, argument: str = "") -> None:
        self.show_panel("report")

    def do_resources(self, argument: str = "") -> None:
        self.show_panel("load")

    def do_export(self, argument: str = "") -> None:
        files = [name for name in self.view.files if not name.startswith("attempts")]
        timeline = self.query_one(Timeline)
        timeline.note(
            say(("Files", "bold"), place(self.session.run_dir), ", ".join(files) or "nothing is exported yet")
        )
        timeline.flush(self.view)

    def on_unmount(self, event: ui.Unmount) -> None:
        if not self.session.closed:
            self.session.let_go()

    @property
    def run_dir(self) -> Path:
        return self.session.run_dir
