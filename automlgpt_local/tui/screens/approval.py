"""May this code run? Once, always, no, or with changes. Esc is no."""

from __future__ import annotations

import ast

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.highlight import highlight
from textual.screen import ModalScreen
from textual.widgets import Button, ContentSwitcher, Static, TextArea

from automlgpt_local.client.inert import inert, inert_line


class ApprovalScreen(ModalScreen[tuple[str, str | None]]):
    """Dismissed with (answer, code): once, always, reject, never, or edit with the whole new module."""

    BINDINGS = [
        Binding("a", "answer('once')", "Allow", id="approval.once"),
        Binding("A,shift+a", "answer('always')", "Always in this run", id="approval.always"),
        Binding("e", "edit", "Edit", id="approval.edit"),
        Binding("r", "answer('reject')", "Reject", id="approval.reject"),
        Binding("R,shift+r", "answer('never')", "Reject all", id="approval.never"),
        Binding("escape", "deny", "Reject", show=False, id="approval.deny", priority=True),
        Binding("ctrl+s", "run_edited", "Run the edited code", show=False, id="approval.run_edited"),
    ]
    CSS = """
    ApprovalScreen { align: center middle; }
    ApprovalScreen #box {
        width: 90%;
        max-width: 120;
        height: 90%;
        background: $surface;
        border: round $warning;
        padding: 0 1;
    }
    ApprovalScreen #question { height: auto; margin-bottom: 1; }
    ApprovalScreen ContentSwitcher { height: 1fr; }
    ApprovalScreen TextArea { height: 1fr; border: none; background: $boost; }
    ApprovalScreen #read { width: auto; }
    ApprovalScreen #answers { height: auto; margin-top: 1; }
    ApprovalScreen Button { margin-right: 1; min-width: 10; }
    ApprovalScreen .edited { display: none; }
    ApprovalScreen .editing .edited { display: block; }
    ApprovalScreen .editing .asked { display: none; }
    """

    def __init__(self, attempt: int, title: str, code: str) -> None:
        super().__init__()
        self.attempt, self.attempt_title, self.code = attempt, title, code

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(id="question")
            with ContentSwitcher(initial="reading"):
                with VerticalScroll(id="reading"):
                    yield Static(highlight(inert(self.code, 200_000), language="python"), id="read")
                yield TextArea.code_editor("", language=None, theme="css", id="code")
            with Horizontal(id="answers"):
                yield Button("a Allow", id="once", variant="success", compact=True, classes="asked")
                yield Button("A Always", id="always", compact=True, classes="asked")
                yield Button("e Edit", id="edit", compact=True, classes="asked")
                yield Button("r, Esc Reject", id="reject", variant="error", compact=True, classes="asked")
                yield Button("R Reject all", id="never", variant="error", compact=True, classes="asked")
                yield Button("Ctrl+S Run edited", id="run_edited", variant="success", compact=True, classes="edited")
                yield Button("Esc Back", id="deny", compact=True, classes="edited")

    def on_mount(self) -> None:
        if self.query(ContentSwitcher):  # not where the app ends while this screen is being made
            self._ask()

    def _show(self, part: str) -> None:
        self.query_one(ContentSwitcher).current = part
        self.query_one("#answers").set_class(part == "code", "editing")

    def _ask(self) -> None:
        self._show("reading")
        self.query_one("#reading").focus()
        question = Content.assemble(
            (f"May attempt {self.attempt} run?  ", "bold $warning"),
            inert_line(self.attempt_title),
        )
        self.query_one("#question", Static).update(question)

    def on_button_pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "edit":
            self.action_edit()
        elif event.button.id == "run_edited":
            self.action_run_edited()
        elif event.button.id == "deny":
            self.action_deny()
        else:
            self.action_answer(str(event.button.id))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """While the code is edited nothing runs it as it was."""
        return not (action == "answer" and self.query(ContentSwitcher) and self.editing)

    def action_answer(self, answer: str) -> None:
        self.dismiss((answer, None))

    @property
    def editing(self) -> bool:
        return self.query_one(ContentSwitcher).current == "code"

    def action_deny(self) -> None:
        if self.editing:
            self._ask()
            return
        self.dismiss(("reject", None))

    def action_edit(self) -> None:
        if self.editing:
            return
        self._show("code")
        area = self.query_one("#code", TextArea)
        area.text = inert(self.code, 200_000)
        area.focus()
        self.query_one("#question", Static).update(
            Content.assemble(("Edit the code.  ", "bold $warning"), "Ctrl+S runs it, Esc takes the changes back.")
        )

    def action_run_edited(self) -> None:
        if not self.editing:
            return
        code = self.query_one("#code", TextArea).text
        try:
            ast.parse(code)
        except (SyntaxError, ValueError) as error:
            line = f"line {error.lineno}: {error.msg}" if isinstance(error, SyntaxError) else str(error)
            self.notify(f"This is no Python, {line}.", severity="warning", markup=False)
        else:
            self.dismiss(("edit", code))
