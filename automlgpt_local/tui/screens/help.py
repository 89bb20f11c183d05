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
3. **Steer.** Say what you want ("no neural networks", "10 more minutes"): it is answered at once and in force from the
   next step on; undo takes it back. Pause, go on from any attempt, or stop: the best model is kept.
4. **Take it home.** The run folder holds the model, plain scikit-learn code, predictions and a report.

A line that ends with a question mark is answered from the data, while the run goes on.
`ctrl+p` finds every action by name; a `/` at the beginning of the line runs it.
"""


def dialog_keys() -> list[tuple[str, list[tuple[str, str]]]]:
    """The keys of each dialog, with what they do, from the dialogs themselves."""
    from automlgpt_local.tui.screens.approval import ApprovalScreen
    from automlgpt_local.tui.screens.choice import ChoiceScreen
    from automlgpt_local.tui.screens.models import ModelsScreen
    from automlgpt_local.tui.screens.sessions import SessionsScreen
    from automlgpt_local.tui.screens.settings import SettingsScreen

    dialogs = (("May this code run?", ApprovalScreen), ("A question", ChoiceScreen), ("Sessions", SessionsScreen),
               ("Models", ModelsScreen), ("Settings", SettingsScreen))  # fmt: skip
    return [
        (title, [(b.key.split(",")[0], b.description) for b in dialog.BINDINGS if isinstance(b, Binding)])
        for title, dialog in dialogs
    ]


def help_text() -> str:
    parts = [INTRO]
    for place, title in PLACES.items():
        rows = [_row(act) for act in ACTS if act.place == place]
        parts.append(f"## {title}\n| key | command | what it does |\n|---|---|---|\n" + "\n".join(rows))
    rows = [f"| {title} | {key} | {what} |" for title, keys in dialog_keys() for key, what in keys]
    parts.append("## In dialogs\n| dialog | key | what it does |\n|---|---|---|\n" + "\n".join(rows))
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


def _section(title: str, lines: list[Content]) -> Static:
    return Static(Content("\n").join([Content.styled(title, "bold $primary"), *lines]), classes="acts")


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
                yield _section(title, [_line(act) for act in acts])
            for title, keys in dialog_keys():
                yield _section(title, [Content.assemble((f"{key:<8}", "$accent"), what) for key, what in keys])
