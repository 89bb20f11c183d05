"""One question with a few answers to choose from; Esc is none of them."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events, on
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from automlgpt_local.client.inert import inert, inert_line


class ChoiceScreen(ModalScreen[str | None]):
    """Dismissed with what the chosen label stands for; a number key chooses, too."""

    BINDINGS = [Binding("escape", "dismiss", "None of them", id="choice.none")]
    CSS = """
    ChoiceScreen { align: center middle; }
    ChoiceScreen #box {
        width: 70;
        max-width: 98%;
        height: auto;
        max-height: 90%;
        background: $surface;
        border: round $accent;
        padding: 0 1;
    }
    ChoiceScreen #question { margin-bottom: 1; }
    ChoiceScreen OptionList { height: auto; border: none; background: transparent; padding: 0; }
    ChoiceScreen #hint { color: $text-muted; margin-top: 1; }
    """

    def __init__(self, question: str, choices: Sequence[tuple[str, str]]) -> None:
        """choices: (label, what it stands for)."""
        super().__init__()
        self.question, self.choices = question, choices

    def compose(self) -> ComposeResult:
        with Vertical(id="box"):
            yield Static(Content.styled(inert(self.question, 1_000), "bold"), id="question")
            yield OptionList(
                *(Option(Content(f"{i}  {inert_line(label, 200)}")) for i, (label, _) in enumerate(self.choices, 1))
            )
            yield Static(f"1 to {len(self.choices)}, or Enter; Esc: none of them", id="hint")

    def on_mount(self) -> None:
        self.query_one(OptionList).highlighted = 0

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self.choices[event.option_index][1])

    def on_key(self, event: events.Key) -> None:
        if event.key.isdecimal() and 1 <= int(event.key) <= len(self.choices):
            event.stop()
            self.dismiss(self.choices[int(event.key) - 1][1])
