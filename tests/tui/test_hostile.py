"""Text from tables, models and children, drawn inert and aligned in every panel."""

from __future__ import annotations

import pytest
from rich.cells import cell_len
from tui_support import NARROW, WIDE, running, text_of, until

from automlgpt_local import client
from automlgpt_local import events as ev
from automlgpt_local.client.inert import inert, inert_line
from automlgpt_local.tui.app import AutoMLApp
from automlgpt_local.tui.screens.approval import ApprovalScreen
from automlgpt_local.tui.screens.run import RunScreen
from automlgpt_local.tui.widgets.panels import EventLogPanel
from automlgpt_local.tui.widgets.timeline import Timeline

BAD = {
    "escapes": "\x1b]0;title\x07\x1b[2J\x1b[31mred\x9b1m\x08\x7f",
    "markup": "[bold red]x[/bold red] [/] [@click=app.bell]y[/] $primary",
    "bidi": "ab\u202ecd\u2066ef\u200fgh",
    "emoji": "👩‍👩‍👧 🇩🇪 ❤️ e\u0301",
    "cjk": "日本語の列の名前がとても長いので切られるはずです" * 3,
    "rtl": "שם העמודה العمود",
    "surrogate": "a\ud800b",
    "long": "y" * 1_000_000,
    "lines": "a\r\nb\x0bc\u2028d\x85e",
}
PANELS = ("plan", "board", "code", "data", "tree", "plot", "log", "report", "load")
BORDER = 64  # the cell in which the panels begin at 160 columns
FORBIDDEN = ("\x1b", "\x9b", "\x07", "\x08", "\x7f", "\u202e", "\u2066", "\u200f", "\u2028", "\ud800")


def hostile_events(bad: str, number: int) -> list[ev.Event]:
    """number: of the first of two attempts."""
    return [
        ev.StageStarted("tune"),
        ev.Warned(bad),
        ev.Noted("tune", bad, bad),
        ev.Decided("reasoner", "tune", bad, {bad: bad, "b": bad}, "model", bad),
        ev.CodeRejected("tune", bad, 1),
        ev.TookOver("tune", bad),
        ev.CodeWritten(number, "tune", "model", bad, bad, None, {}, {}, ""),
        ev.AttemptFinished(number, bad, None, None, [], 1.0, bad),
        ev.CodeWritten(number + 1, "tune", "model", bad, bad, number, {}, {}, ""),
        ev.AttemptFinished(number + 1, "ok", 0.5, 0.1, [0.5], 1.0),
        ev.Gated(number + 1, number, 0.1, 0.1, True),
        ev.EnsembleChosen({bad: 1.0}, 0.5, 0.5, True),
        ev.Stopped(bad, bad),
        ev.Exported([bad]),
        ev.Commanded("message", {"text": bad}),
        ev.Failed(bad, bad, bad, 70),
        ev.Token("reasoner", bad),
        ev.Token("coder", bad),
    ]


def hostile_profile() -> ev.Profiled:
    columns = [
        {"name": bad, "kind": bad, "missing": 0.5, "unique": 1, "top": [bad], "leak": True, "leak_reason": bad}
        for bad in BAD.values()
    ]
    return ev.Profiled({"rows": 1, "columns": columns, "target": {"classes": dict.fromkeys(BAD.values(), 3)}})


@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
async def test_every_panel_draws_it_inert_and_aligned(size: tuple[int, int]) -> None:
    app = AutoMLApp()
    async with app.run_test(size=size) as pilot:
        screen = await running(pilot)
        await until(pilot, lambda: screen.session.closed)
        timeline, log = screen.query_one(Timeline), screen.query_one(EventLogPanel)
        name = "".join(BAD.values())
        events: list[ev.Event] = [hostile_profile(), ev.TaskResolved(
            {"target": name, "kind": name, "metric": "roc_auc", "time_limit_s": 60.0}
        )]  # fmt: skip
        seen = []
        for k, bad in enumerate(BAD.values()):
            number = 7 + 2 * k
            for n in (number, number + 1):
                folder = screen.run_dir / "attempts" / f"{n:04d}"
                folder.mkdir()
                (folder / "solution.py").write_bytes(f"# {bad}\nx = {n}\n".encode("utf-8", "replace"))
            for event in [*events, *hostile_events(bad, number)]:
                record = ev.Record(1000, "", 1.0, event)
                screen.view.apply(record)
                timeline.add(record, screen.view)
                screen._note(record, log)
            timeline.flush(screen.view)
            await pilot.pause(0.2)
            seen.append(text_of(app))
        report = "\n\n".join(f"# {bad}\n\n{bad}" for bad in BAD.values())
        (screen.run_dir / "report.md").write_bytes(report.encode("utf-8", "replace"))
        screen.add_class("panels")
        for panel in PANELS:
            screen.show_panel(panel)
            await pilot.pause(0.3)
            seen.append(text_of(app))
        everything = "".join(seen)
        for sign in FORBIDDEN:
            assert sign not in everything, f"{sign!r} is on the screen"
        for wanted in ("[bold red]x[/bold red]", "日本語の列", "שם העמודה", "abcdefgh", "$primary"):
            assert wanted in everything, wanted
        for text in seen:
            assert text.splitlines()[1].startswith((" failed", " done")), "the second line of the status was pushed out"
            for line in text.splitlines():
                assert cell_len(line) <= size[0]
                if size == WIDE and line not in text.splitlines()[:2] + text.splitlines()[-2:]:
                    assert at_cell(line, BORDER) in "│╸╺━", "the panels' border moved"


def at_cell(line: str, position: int) -> str:
    """The character that stands at a cell of a line."""
    at = 0
    for character in line:
        if at >= position:
            return character
        at += cell_len(character)
    return "│"


async def test_code_that_waits_for_an_approval_is_shown_as_it_is() -> None:
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        await app.push_screen(ApprovalScreen(1, BAD["escapes"], "import os  # \x1b[8mhidden\x1b[0m \u202eback\n"))
        await pilot.pause(0.3)
        text = text_of(app)
        assert "import os" in text and "hidden" in text and "back" in text
        assert not any(sign in text for sign in FORBIDDEN)


async def test_a_hostile_session_list_is_drawn_inert() -> None:
    from automlgpt_local.task import Request

    session = client.start(Request(data=("data.csv",), target="\x1b[31m[bold]日本\u202e"))
    session.wait()
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "日本" in text_of(app))
        assert "[bold]日本" in text_of(app) and not any(sign in text_of(app) for sign in FORBIDDEN)
        assert not isinstance(app.screen, RunScreen)


@pytest.mark.parametrize("kind", BAD)
def test_inert_text_has_nothing_that_a_terminal_obeys(kind: str) -> None:
    for clean in (inert(BAD[kind]), inert_line(BAD[kind])):
        assert not any(sign in clean for sign in FORBIDDEN)
    assert len(inert_line(BAD[kind], 30)) <= 30
    if kind == "long":
        assert "more characters" in inert(BAD[kind])
