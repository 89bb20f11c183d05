"""From nothing to a running job: choose a table, confirm target, metric and time, start."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.cells import cell_len
from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Button, DataTable, DirectoryTree, Footer, Input, Label, OptionList, Select, Static
from textual.widgets.option_list import Option
from textual.widgets.select import InvalidSelectValueError
from textual.worker import get_current_worker

from automlgpt_local import client, settings
from automlgpt_local.client.children import preview
from automlgpt_local.client.inert import inert, inert_line
from automlgpt_local.errors import AutoMLGPTError
from automlgpt_local.metrics import METRICS
from automlgpt_local.paths import typed_path
from automlgpt_local.task import Request
from automlgpt_local.tui.actions import bindings_of
from automlgpt_local.tui.threads import hand_over
from automlgpt_local.tui.widgets.files import PathSuggester, Tables
from automlgpt_local.tui.words import here

MOST_COLUMNS, CELL = 200, 30
KEPT = ("kind", "positive", "group", "time", "weight", "trials")
LEAKS = [("leave suspicious columns out", "drop"), ("keep them", "keep")]
GUIDE = """
1  Choose a table: type its path above, or pick
   it on the left. F3 writes an example.
2  Confirm what is predicted, and the time.
3  Ctrl+S starts. Watch, say something, pause, or
   stop: the best model so far is always kept.
4  The run folder then holds the model, plain
   scikit-learn code, predictions and a report.

F1 explains every key. Nothing leaves this machine.
"""
WELCOME = (
    "Choose a table on the left, or type its path. Two agents on one local model then try, measure and choose; "
    "you get the model as plain scikit-learn code. Nothing leaves this machine."
)


def kept_words(request: Request) -> list[str]:
    """What a request says beside the fields of the form."""
    words = [f"{name} {value}" for name in KEPT if (value := getattr(request, name)) is not None]
    words += [f"without {', '.join(request.ignore)}"] * bool(request.ignore)
    words += [f"only {', '.join(request.only)}"] * bool(request.only)
    words += [f"no {', '.join(request.never)}"] * bool(request.never)
    words += ["no ensemble"] * (not request.ensemble)
    words += [f"test rows of {Path(request.test).name}"] if request.test else []
    words += [f"branched from {request.branched_from}"] if request.branched_from else []
    return words


class Step(Message):
    """A step of the preview's child process, for the path that it belongs to."""

    def __init__(self, path: str, values: dict[str, Any]) -> None:
        super().__init__()
        self.path, self.values = path, values


class StartScreen(Screen[None]):
    BINDINGS = bindings_of("start")
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (110, "-wide")]
    AUTO_FOCUS = "#path"
    CSS = """
    StartScreen #top { height: auto; padding: 0 1; background: $surface; }
    StartScreen #body { height: 1fr; }
    StartScreen #left { width: 34; border-right: solid $panel; }
    StartScreen.-narrow #left { width: 26; }
    StartScreen #recent { height: auto; max-height: 40%; border: none; background: transparent; padding: 0 1; }
    StartScreen Tables { height: 1fr; background: transparent; padding: 0 1; }
    StartScreen .head { color: $text-muted; padding: 0 1; }
    StartScreen #right { width: 1fr; padding: 0 1; }
    StartScreen #path { border: none; height: 1; padding: 0; background: $boost; margin: 0 0 1 0; }
    StartScreen #table { height: 1fr; min-height: 3; display: none; }
    StartScreen #guide { height: 1fr; color: $text-muted; }
    StartScreen.opened #table { display: block; }
    StartScreen.opened #guide { display: none; }
    StartScreen #form { height: auto; margin-top: 1; }
    StartScreen .row { height: 1; margin-bottom: 0; }
    StartScreen .row Label { width: 12; color: $text-muted; }
    StartScreen .row Input { border: none; height: 1; width: 1fr; padding: 0; background: $surface; }
    StartScreen .row Select { width: 1fr; }
    StartScreen #message { height: auto; max-height: 6; margin: 1 0 0 0; }
    StartScreen #kept { height: auto; max-height: 3; display: none; color: $text-muted; }
    StartScreen #kept.shown { display: block; }
    StartScreen.-narrow #message { max-height: 4; margin: 0; }
    StartScreen.-narrow #form { margin-top: 0; }
    StartScreen.-narrow #welcome { display: none; }
    StartScreen.-narrow #go { margin-top: 0; }
    StartScreen .leaks { display: none; }
    StartScreen.leaking .leaks { display: block; }
    StartScreen #go { margin-top: 1; min-width: 20; }
    """

    def __init__(self, path: str = "") -> None:
        super().__init__()
        self.path = path
        self.settings = settings.load()
        self.base = Request(data=())  # what the form has no field for
        self.columns: list[str] = []
        self.suggested: dict[str, Any] = {}
        self._touched: set[str] = set()
        self._metric_shown = ""
        self._said = ""

    def compose(self) -> ComposeResult:
        with Vertical(id="top"):
            yield Static(
                Content.assemble(("AutoML-GPT Local\n", "bold $primary"), (WELCOME, "$secondary")), id="welcome"
            )
        with Horizontal(id="body"):
            with Vertical(id="left"):
                yield Label("Recent", classes="head")
                yield OptionList(id="recent", markup=False)
                yield Label("Files", classes="head")
                yield Tables(Path.cwd(), id="files")
            with Vertical(id="right"):
                yield Input(
                    self.path,
                    placeholder="path of a CSV or parquet file, then Enter",
                    id="path",
                    suggester=PathSuggester(),
                )
                yield Static(GUIDE, id="guide", markup=False)
                yield DataTable(id="table", cursor_type="none", zebra_stripes=True)
                with VerticalScroll(id="form"):
                    with Horizontal(classes="row"):
                        yield Label("Predict")
                        yield Select[str]([], prompt="choose the target", id="target", compact=True)
                    with Horizontal(classes="row"):
                        yield Label("Measure by")
                        yield Select[str](
                            [(n, n) for n in METRICS], prompt="what fits the task", id="metric", compact=True
                        )
                    with Horizontal(classes="row"):
                        yield Label("Time")
                        yield Input(self.settings.time_limit, id="time")
                    with Horizontal(classes="row"):
                        yield Label("Model")
                        yield Input(
                            self.settings.model, id="model", placeholder="nano, none, random, a name or a GGUF file"
                        )
                    with Horizontal(classes="row"):
                        yield Label("In words")
                        yield Input(id="ask", placeholder="what you want, if the fields above do not say it")
                    with Horizontal(classes="row leaks"):
                        yield Label("Leaks")
                        yield Select[str](LEAKS, allow_blank=False, id="leaks", compact=True)
                yield Static(id="kept", markup=False)
                yield Static(id="message", markup=False)
                yield Button("Start (ctrl+s)", id="go", variant="primary", disabled=True, compact=True)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        self._list_recent()
        if self.path:
            self.open_path(self.path)

    def on_screen_resume(self) -> None:
        self._list_recent()

    @work(thread=True, exclusive=True, group="recent")
    def _list_recent(self) -> None:
        rows: list[tuple[str, str]] = []
        files: dict[str, None] = {}
        for run in client.list_runs()[:40]:
            if run.state in ("interrupted", "running"):
                rows.append((f"run:{run.path}", f"▸ {run.state}: {run.target or run.id}"))
            try:
                files.update(dict.fromkeys(client.load_request(Path(run.path)).data[:1]))
            except AutoMLGPTError:
                continue
        rows = rows[:4] + [(f"file:{f}", Path(f).name) for f in list(files)[:6] if Path(f).is_file()]
        if not get_current_worker().is_cancelled:
            hand_over(self, self._show_recent, rows)

    def _show_recent(self, rows: list[tuple[str, str]]) -> None:
        recent = self.query_one("#recent", OptionList)
        recent.clear_options()
        recent.add_options([Option(Content(inert_line(text, 60)), id=key) for key, text in rows])
        if not rows:
            recent.add_option(Option("nothing yet: F3 for an example", disabled=True))

    # --- choosing a table
    @on(OptionList.OptionSelected, "#recent")
    def _recent_chosen(self, event: OptionList.OptionSelected) -> None:
        kind, _, path = (event.option_id or "").partition(":")
        if kind == "run":
            self.app.open_run(Path(path))  # type: ignore[attr-defined]
        elif kind == "file":
            self.open_path(path)

    @on(DirectoryTree.FileSelected)
    def _file_chosen(self, event: DirectoryTree.FileSelected) -> None:
        self.open_path(str(event.path))

    @on(Input.Submitted, "#path")
    def _path_typed(self, event: Input.Submitted) -> None:
        if event.value.strip().startswith("/") and not Path(event.value.strip()).exists():
            from automlgpt_local.tui.actions import parse_slash

            act, argument = parse_slash(event.value)
            if act is not None:
                event.input.value = ""
                self.app.carry_out(act.id, argument)  # type: ignore[attr-defined]
                return
        self.open_path(event.value.strip())

    def open_path(self, path: str) -> None:
        """Look at a table; the form is filled with what is found."""
        self._open(Request(data=(str(typed_path(path)),) if path else ()))

    def _open(self, request: Request) -> None:
        self.path = request.data[0] if request.data else ""
        self.query_one("#path", Input).value = self.path
        self._keep(request)
        self.columns, self.suggested, self._touched = [], {}, set()
        self.remove_class("leaking")
        self.query_one("#table", DataTable).clear(columns=True)
        self.query_one("#go", Button).disabled = True
        self._tell("reading …", "$secondary")
        self._look(replace(request, metric=None))  # that is chosen in the form

    @on(Select.Changed, "#target")
    def _target_chosen(self, event: Select.Changed) -> None:
        if event.value is Select.NULL or not self.columns:
            return
        if event.value != self.suggested.get("target"):
            self._touched.add("target")
            self._tell("looking again …", "$secondary")
            self._look(replace(self.base, target=str(event.value), ask=None, metric=None))
        self.query_one("#go", Button).disabled = False

    @on(Select.Changed, "#metric")
    def _metric_chosen(self, event: Select.Changed) -> None:
        if event.value is not Select.NULL and event.value != self._metric_shown:
            self._touched.add("metric")

    @work(thread=True, exclusive=True, group="look")
    def _look(self, request: Request) -> None:
        worker = get_current_worker()
        path = request.data[0] if request.data else ""
        try:
            for step in preview(request):
                if worker.is_cancelled:
                    return
                self.post_message(Step(path, step))
        except AutoMLGPTError as error:
            self.post_message(Step(path, {"step": "error", "message": error.message, "hint": here(error.hint)}))

    def on_step(self, event: Step) -> None:
        if event.path != (self.path or ""):
            return
        values = event.values
        if values["step"] == "table":
            self._show_table(values)
        elif values["step"] == "task":
            self._show_task(values["task"])
        elif values["step"] == "profile" and self.suggested:
            leaks = [c for c in values["profile"].get("columns", []) if c.get("leak")]
            lines = [f"! {c['name']} may know the answer: {c.get('leak_reason', '')}" for c in leaks[:3]]
            self.set_class(bool(leaks), "leaking")
            if lines:
                self._tell("\n".join([self._said, *lines]), "")
        elif values["step"] == "error" and self.columns and "target" not in self._touched:
            self._tell("Which column is to be predicted? Choose it, or say in words what you want.", "bold")
            self.query_one("#go", Button).disabled = True
            self.query_one("#target", Select).focus()
        elif values["step"] == "error":
            self._tell(values["message"] + ("\n" + values["hint"] if values["hint"] else ""), "$error")

    def _show_table(self, values: dict[str, Any]) -> None:
        if self.columns == values["columns"]:
            return
        self.columns = values["columns"]
        table = self.query_one("#table", DataTable)
        table.clear(columns=True)
        self.add_class("opened")
        names = [inert_line(name, CELL) for name in self.columns[:MOST_COLUMNS]]
        rows = [[inert_line(text, CELL) for text in row[:MOST_COLUMNS]] for row in values["head"]]
        for i, name in enumerate(names):
            widest = max(cell_len(text) for text in (name, *(row[i] for row in rows if i < len(row))))
            table.add_column(Text(name), width=max(1, min(CELL, widest)))
        for row in rows:
            table.add_row(*(Text(text, no_wrap=True) for text in row))
        self.query_one("#target", Select).set_options([(Text(inert_line(c, 60)), c) for c in self.columns])
        more = f" (the first {MOST_COLUMNS} of them shown)" if len(self.columns) > MOST_COLUMNS else ""
        self._tell(f"{values['rows']:,} rows, {len(self.columns)} columns{more}", "$secondary")

    def _show_task(self, task: dict[str, Any]) -> None:
        self.suggested = task
        self.query_one("#target", Select).value = task["target"]
        fitting = [m.name for m in METRICS.values() if task["kind"] in m.kinds]
        metric = self.query_one("#metric", Select)
        chosen = metric.value if "metric" in self._touched and metric.value in fitting else task["metric"]
        metric.set_options([(name, name) for name in fitting])
        self._metric_shown = metric.value = chosen
        warnings = "\n".join(f"! {here(w)}" for w in task.get("warnings", []))
        how = {"flag": "as you said", "inferred": "as the data suggest"}.get(
            task.get("source", {}).get("target", ""), ""
        )
        self._said = f"{task['kind']}: predict {task['target']}, {how}\n{warnings}".strip()
        self._tell(self._said, "")
        self.query_one("#go", Button).disabled = False
        if self.focused is not None and self.focused.id in ("path", "files", "recent", None):
            self.query_one("#go", Button).focus()

    def _tell(self, text: str, style: str) -> None:
        self.query_one("#message", Static).update(Content.styled(inert(text, 2_000, 400), style))

    # --- start
    @on(Button.Pressed, "#go")
    def _pressed(self) -> None:
        self.do_go()

    @on(Input.Submitted, "#time,#model,#ask")
    def _form_submitted(self) -> None:
        self.do_go()

    def request(self) -> Request:
        """What the form says. Raises UsageError."""
        chosen, base = self.settings, self.base
        target, metric = self.query_one("#target", Select).value, self.query_one("#metric", Select).value
        ask = self.query_one("#ask", Input).value.strip()
        request = replace(
            base, target=None if target is Select.NULL else str(target),
            time_limit_s=settings.parse_seconds(self.query_one("#time", Input).value),
            model=self.query_one("#model", Input).value.strip() or "nano", ask=ask or None, metric=None,
            threads=base.threads or chosen.threads,
            memory_mib=base.memory_mib or (settings.parse_mib(chosen.memory) if chosen.memory else None),
            approve="ask" if chosen.approve == "ask" else base.approve,
        )  # fmt: skip
        if self.has_class("leaking"):
            request = replace(request, leaks="keep" if self.query_one("#leaks", Select).value == "keep" else "drop")
        # What was only suggested stays open when the wish in words may say otherwise.
        if ask and "target" not in self._touched:
            request = replace(request, target=None)
        return replace(request, metric=str(metric)) if "metric" in self._touched else request

    def do_go(self, argument: str = "") -> None:
        said = self.query_one("#ask", Input).value.strip()
        if not self.columns or (self.query_one("#go", Button).disabled and not said):
            if not self.path:
                self._tell("Choose a table first.", "$warning")
            return
        try:
            session = client.start(self.request())
        except AutoMLGPTError as error:
            self._tell(f"{error.message}\n{here(error.hint)}", "$error")
            return
        self.app.show_session(session, Path(self.path).name)  # type: ignore[attr-defined]

    def do_target(self, argument: str = "") -> None:
        self._choose("#target", argument, self.columns, "column")

    def do_metric(self, argument: str = "") -> None:
        self._choose("#metric", argument, list(METRICS), "metric")

    def _choose(self, field: str, wanted: str, known: list[str], what: str) -> None:
        """Set a field by name; without one, open its list."""
        select: Select[str] = self.query_one(field, Select)
        fitting = [k for k in known if k.lower() == wanted.lower()] or [
            k for k in known if wanted and k.lower().startswith(wanted.lower())
        ]
        if not wanted and known:
            select.focus()
            select.expanded = True
        elif len(fitting) != 1:
            told = f"There is no {what} {inert_line(wanted, 40)} here." if wanted else "Choose a table first."
            self.notify(told, severity="warning", markup=False)
        else:
            self._touched.add(field[1:])
            with suppress(InvalidSelectValueError):
                select.value = fitting[0]

    def fill(self, request: Request) -> None:
        """The form as it was for another run, with what it has no field for in words."""
        self._open(request)
        self.query_one("#time", Input).value = f"{request.time_limit_s:g}s"
        self.query_one("#model", Input).value = request.model
        self.query_one("#ask", Input).value = request.ask or ""
        if request.metric:
            self._touched.add("metric")
            with suppress(InvalidSelectValueError):  # a word that is no metric, or one of another kind of task
                self.query_one("#metric", Select).value = request.metric
                self._metric_shown = request.metric
        if request.target:
            self._touched.add("target")

    def _keep(self, request: Request) -> None:
        self.base = request
        words = kept_words(request)
        kept = self.query_one("#kept", Static)
        kept.set_class(bool(words), "shown")
        kept.update(Content.assemble(("Also        ", "$text-muted"), inert_line("; ".join(words), 400)))

    def do_examples(self, argument: str = "") -> None:
        from automlgpt_local.tui.screens.examples import ExamplesScreen

        self.app.push_screen(ExamplesScreen(), self._example_written)

    def _example_written(self, path: str | None) -> None:
        if path:
            self.open_path(path)

    async def action_perform(self, act_id: str) -> None:
        self.app.carry_out(act_id)  # type: ignore[attr-defined]
