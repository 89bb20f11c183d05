"""Styled text of events. Everything of foreign origin is made inert and never read as markup."""

from __future__ import annotations

import re
from pathlib import Path

from rich.text import Text
from textual.content import Content

from automlgpt_local import events as ev
from automlgpt_local.client import Attempt, RunView
from automlgpt_local.client.inert import inert, inert_line
from automlgpt_local.client.words import answer_of, decision_of, line_of, number, said_of

MARKS = {
    "kept": ("✓", "$success"), "dropped": ("·", "$secondary"), "ok": ("•", ""), "running": ("▸", "$accent"),
    "written": ("▸", "$accent"), "waiting": ("?", "$warning"),
}  # fmt: skip
# What hints of the command line are called here, in this order; a field without a name here is said in words.
HERE = (
    (r"`automlgpt sessions resume` and a longer --time-limit", "/continue 10m or more"),
    (r"`automlgpt sessions resume`|automlgpt sessions resume /.*", "/continue"),
    (r"`automlgpt sessions list`", "/resume"), (r"`automlgpt models (list|import)`", "/models"),
    (r"`automlgpt doctor`", "/doctor"), (r"--target\b", '"Predict"'), (r"--metric\b", '"Measure by"'),
    (r"--time-limit\b", '"Time"'), (r"--model\b", '"Model"'), (r"--leaks drop\b", 'alt+n and "Leaks"'),
    (r"--(kind|positive|group|time|ignore)\b", r"\1"),
)  # fmt: skip
FAILED = ("✗", "$error")
LEFT_OUT = ("⊘", "$secondary")


def mark(attempt: Attempt) -> tuple[str, str]:
    if attempt.left_out:
        return LEFT_OUT
    return MARKS.get(attempt.status, FAILED)


def here(hint: str) -> str:
    """What to do, in the app's names of fields and commands."""
    for there, ours in HERE:
        hint = re.sub(there, ours, hint)
    return hint


def say(*parts: str | tuple[str, str]) -> Content:
    """Parts of one line, each inert: text, or (text, style)."""
    return Content.assemble(*((inert_line(p, 600) if not p.isspace() else p) if isinstance(p, str)
                              else (inert_line(p[0], 600) if not p[0].isspace() else p[0], p[1])
                              for p in _spaced(parts)))  # fmt: skip


def rich_say(variables: dict[str, str], *parts: str | tuple[str, str]) -> Text:
    """`say` for widgets that still draw rich's Text: a style's variables are looked up in the theme's `variables`."""
    text = Text(no_wrap=True)
    for part in _spaced(parts):
        words, style = (part, "") if isinstance(part, str) else part
        text.append(words if words.isspace() else inert_line(words, 600), rich_style(variables, style))
    return text


def rich_style(variables: dict[str, str], style: str) -> str:
    """A style such as "bold $accent" with the theme's colours in place of their names."""
    parts = [variables.get(s[1:], "") if s[:1] == "$" else s for s in style.split()]
    return " ".join(p for p in parts if p)


def _spaced(parts: tuple[str | tuple[str, str], ...]) -> list[str | tuple[str, str]]:
    """`inert_line` trims, so the spaces between parts are parts of their own."""
    spaced: list[str | tuple[str, str]] = []
    for part in parts:
        if spaced:
            spaced.append(" ")
        spaced.append(part)
    return spaced


def attempt_card(attempt: Attempt, view: RunView) -> Content:
    """Two lines: what it is, and how it does."""
    sign, style = mark(attempt)
    head = say((f"{sign} Attempt {attempt.number}", f"bold {style}".strip()), attempt.title)
    if attempt.score is not None:
        noise = f" ± {attempt.noise:.2g}" if attempt.noise is not None else ""
        gain = f"  {attempt.gain:+.3g}" if attempt.gain is not None else ""
        tail = say(
            (f"{view.metric} {number(attempt.score)}{noise}{gain}", "bold"),
            (f"{attempt.state},", "$secondary"),
            (f"{attempt.seconds:.1f} s", "$secondary"),
        )
    elif attempt.error.strip():
        tail = say((f"{attempt.status}:", "$error"), attempt.error.strip().splitlines()[-1])
    else:
        folds = view.split.folds if view.split else 0
        done = "▰" * attempt.folds_done + "▱" * max(0, folds - attempt.folds_done)
        tail = say(
            (attempt.status, "$secondary"), (done, "$accent"), (f"fold {attempt.folds_done} of {folds}", "$secondary")
        )
    return Content.assemble(head, "\n  ", tail)


def decision(e: ev.Decided, unfolded: bool) -> Content:
    odds = list(e.probabilities.values())
    sure = f"{min(odds):.0%} sure" if odds and e.by == "model" else "" if e.by == "model" else f"by {e.by}"
    head = say((e.agent.capitalize(), "bold $primary"), decision_of(e), (sure, "$secondary"))
    if not e.thought.strip():
        return head
    if unfolded:
        return Content.assemble(
            head, "\n", (inert("  " + e.thought.strip().replace("\n", "\n  "), 4_000), "italic $secondary")
        )
    return Content.assemble(head, "\n  ", (inert_line(e.thought, 90), "italic $secondary"))


def entry(record: ev.Record, view: RunView, unfolded: bool = False) -> Content | None:
    """A line of the chat for an event; attempts have cards of their own, and noise has none."""
    match record.event:
        case ev.Decided() as e:
            return decision(e, unfolded)
        case ev.StageStarted(stage=stage):
            return say((stage.capitalize(), "bold underline"))
        case ev.Warned(message=message):
            return say(("! Warning", "bold $warning"), here(message))
        case ev.CodeRejected() as e:
            return say(("↻ Sent back", "bold $warning"), e.problem, (f"({e.repairs_left} repairs left)", "$secondary"))
        case ev.TookOver(reason=reason):
            return say(("⇄ Recipes take over", "bold $warning"), reason)
        case ev.Failed() as e:
            return Content.assemble(
                say(("✗ Failed", "bold $error")),
                "\n",
                inert(e.message, 3_000),
                "\n",
                (inert(here(e.hint)), "$secondary"),
            )
        case ev.EnsembleChosen() | ev.HoldoutScored() | ev.Finished() | ev.Stopped():
            text = line_of(record, view)
            if isinstance(record.event, ev.Finished):
                text = f"done: {record.event.metric} {number(record.event.score)}"
            return say(("■" if isinstance(record.event, ev.Stopped | ev.Finished) else "◆", "$success"), text or "")
        case ev.Commanded() as e:
            return say(("You", "bold $accent"), said_of(e))
        case ev.Answered() as e:
            offer = ("alt+n opens the form for it.", "$secondary") if e.branch else ""
            return say(("↳ Answer", "bold $primary"), answer_of(e), offer)
        case ev.TaskChanged() as e:
            gone = f"Attempts that count no more: {', '.join(map(str, e.left_out))}." if e.left_out else ""
            best = "" if e.best is None else f"the best is attempt {e.best}."
            return say(("⇢ In force now:", "bold $success"), best, (gone, "$secondary"))
        case ev.SessionStarted() | ev.TaskResolved() | ev.Profiled() | ev.SplitMade() | ev.Resumed() | ev.Exported():
            return say((line_of(record, view) or "", "$secondary"))
    return None


def place(path: Path) -> str:
    """A path as short as it can be said here: below the current folder, below home, or whole."""
    for base, sign in ((Path.cwd(), ""), (Path.home(), "~/")):
        if path.is_relative_to(base) and path != base:
            return f"{sign}{path.relative_to(base)}"
    return str(path)


def cell(colours: dict[str, str], text: object, limit: int = 60, style: str = "") -> Text:
    """A cell of a table: it draws rich's Text far quicker than anything else."""
    return Text(inert_line(text, limit), rich_style(colours, style), no_wrap=True, end="")
