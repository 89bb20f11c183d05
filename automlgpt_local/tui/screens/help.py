"""Help, made from the registry of actions, so that it cannot be wrong."""

from __future__ import annotations

from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Markdown, Static

from automlgpt_local.tui.actions import ACTS, Act

PLACES = {"app": "Everywhere", "start": "On the first screen", "run": "In a run"}
INTRO = """# How it works
1. **Choose a table.** Target and metric are suggested; you confirm them.
2. **Watch.** The Reasoner decides the next step, the Coder writes it, the code runs in a walled-off process, and
   the program itself scores what came out on folds that the code has never seen.
3. **Steer.** Pause, say something (it goes out at the next step), give more time, or stop: the best model is kept.
4. **Take it home.** The run folder holds the model, plain scikit-learn code, predictions and a report.

`ctrl+p` finds every action by name; a `/` at the beginning of the line runs it.
"""


def help_text() -> str:
    parts = [INTRO]
    for place, title in PLACES.items():
        rows = [_row(act) for act in ACTS if act.place == place]
        parts.append(f"## {title}\n| key | command | what it does |\n|---|---|---|\n" + "\n".join(rows))
    return "\n\n".join(parts)


def _row(act: Act) -> str:
    slash = f"`{act.slash}{' ' + act.takes if act.takes else ''}`" if act.slash else ""
    return f"| {act.key} | {slash} | **{act.title}**: {act.help} |"


def _line(act: Act) -> Content:
    """Key, command and meaning of an action, under each other from line to line."""
    slash = f"{act.slash} {act.takes}".strip()
    return Content.assemble(
        (f"{act.key:<8}", "$accent"), (f"{slash:<18}", "$secondary"), (f"{act.title}: ", "bold"), act.help
    )


class HelpScreen(ModalScreen[None]):
    BINDINGS = [Binding("escape,f1,q", "dismiss", "Back", id="help.back")]
    CSS = """
    HelpScreen { align: center middle; }
    HelpScreen VerticalScroll {
        width: 92%;
        max-width: 110;
        height: 92%;
        background: $surface;
        border: round $primary;
        padding: 0 1;
    }
    HelpScreen .acts { padding: 0 1; margin-bottom: 1; }
    """

    def compose(self) -> ComposeResult:
        with VerticalScroll():
            yield Markdown(INTRO, open_links=False)
            for place, title in PLACES.items():
                acts = [act for act in ACTS if act.place == place]
                yield Static(
                    Content("\n").join([Content.styled(title, "bold $primary"), *map(_line, acts)]), classes="acts"
                )
