"""A run from the chair: watch, look into panels, steer, approve, come back."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, Markdown, Tree
from tui_support import NARROW, WIDE, running, text_of, until

from automlgpt_local import client
from automlgpt_local import events as ev
from automlgpt_local.client import Attempt, children
from automlgpt_local.task import Request
from automlgpt_local.tui.app import AutoMLApp
from automlgpt_local.tui.screens.approval import ApprovalScreen
from automlgpt_local.tui.screens.choice import ChoiceScreen
from automlgpt_local.tui.screens.run import RunScreen
from automlgpt_local.tui.screens.sessions import SessionsScreen
from automlgpt_local.tui.screens.start import StartScreen
from automlgpt_local.tui.widgets.attempts import MOST_NODES, MOST_ROWS, Board, Descent, Plan
from automlgpt_local.tui.widgets.panels import EventLogPanel
from automlgpt_local.tui.widgets.status import StatusBar
from automlgpt_local.tui.widgets.timeline import MOST_ENTRIES, Note, Timeline


def chat(screen: RunScreen) -> str:
    return "\n".join(e.source if isinstance(e, Note) else str(e.render()) for e in screen.query("Entry, Note"))


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_a_whole_run_is_drawn(size: tuple[int, int]) -> None:
    app = AutoMLApp()
    async with app.run_test(size=size) as pilot:
        screen = await running(pilot)
        await until(pilot, lambda: screen.session.closed)
        await pilot.pause(0.2)
        text = chat(screen)
        assert "Attempt 6 LightGBM + charges per month of tenure" in text and "kept" in text
        assert "build() uses catboost.Pool" in text and "Recipes take over" in text and "leak" in text
        status = str(screen.query_one(StatusBar).render())
        assert "Churn · binary · roc_auc" in status and "best 0.8511" in status and "done" in status
        await pilot.press("f4")
        await until(pilot, lambda: screen.query_one(Board).row_count == 6)
        assert str(screen.query_one(Board).get_cell_at((0, 0))) == "6"  # type: ignore[arg-type]
        await pilot.press("f6")
        await until(pilot, lambda: screen.query_one("#data-table", DataTable).row_count == 7)
        assert "! leak?" in str(screen.query_one("#data-table", DataTable).get_row_at(0)[5])
        await pilot.press("f3")
        await pilot.pause(0.1)
        labels = [str(n.label) for n in screen.query_one(Plan).root.children]
        assert "✓ explore" in labels[0] and "2 attempts" in next(x for x in labels if "tune" in x)
        await pilot.press("f8")
        assert any("locked holdout" in line for line in screen.query_one(EventLogPanel).lines)
        await pilot.press("f9")
        await until(pilot, lambda: "locked holdout" in screen.query_one("#report-text", Markdown).source)


def title(screen: RunScreen, panel: str) -> str:
    return str(screen.query_one(f"#{panel} #code-title").render())


async def test_the_board_opens_the_code_and_the_tree_the_difference() -> None:
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        screen = await running(pilot)
        await until(pilot, lambda: screen.session.closed)
        await pilot.press("f4")
        await pilot.pause(0.2)
        screen.query_one(Board).focus()
        await pilot.press("down", "enter")
        await until(pilot, lambda: "attempt 3:" in str(screen.query_one("#code-panel #code-title").render()))
        assert "def build(params, ctx)" in str(screen.query_one("#code-panel #code-text").render())
        await pilot.press("f7")
        await until(pilot, lambda: screen.query_one("#descent-tree", Tree).cursor_node is not None)
        await until(
            pilot, lambda: "attempt 3 → attempt 6" in str(screen.query_one("#descent-code #code-title").render())
        )
        assert "+" in str(screen.query_one("#descent-code #code-text").render())


async def test_stop_keeps_the_best_and_stays_open(act: Callable[..., None]) -> None:
    act("--pace", "0.05")
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        screen = await running(pilot)
        await pilot.press("escape")
        await until(pilot, lambda: screen.session.closed)
        assert screen.view.finished and screen.session.exit_code == 130
        await pilot.press("escape")
        assert app.screen is screen


async def test_a_second_escape_ends_an_engine_that_does_not_hear(act: Callable[..., None]) -> None:
    act("--mode", "hang")
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        app.show_session(client.start(Request(data=("data.csv",))), "data.csv")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.view.started_at)
        screen = app.screen
        assert isinstance(screen, RunScreen)
        await pilot.press("escape")
        await pilot.pause(0.3)
        assert not screen.session.closed
        await pilot.press("escape")
        await until(pilot, lambda: screen.session.closed)


async def test_pause_extend_and_go_on(act: Callable[..., None]) -> None:
    act("--pace", "0.2")
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        screen = await running(pilot, time_limit_s=100.0)
        await pilot.press("ctrl+g")
        await until(pilot, lambda: screen.view.paused)
        await pilot.pause(0.2)
        assert "paused" in str(screen.query_one(StatusBar).render())
        await pilot.press("ctrl+g")
        await until(pilot, lambda: not screen.view.paused)
        screen.query_one("#say", Input).value = "/budget +5m"
        await pilot.press("enter")
        await until(pilot, lambda: any(
            isinstance(r.event, ev.Commanded) and r.event.command == "extend" and r.event.values == {"seconds": 300.0}
            for r in ev.read_events(screen.run_dir / "events.jsonl")
        ))  # fmt: skip


def happened(screen: RunScreen, cls: type[ev.Event]) -> list[Any]:
    return [r.event for r in ev.read_events(screen.run_dir / "events.jsonl") if isinstance(r.event, cls)]


async def tell(pilot: Pilot[int], text: str) -> None:
    """Type a line into the run and send it."""
    say = pilot.app.screen.query_one("#say", Input)
    say.focus()
    say.value = text
    await pilot.press("enter")


async def test_a_message_changes_the_run_and_undo_takes_it_back(act: Callable[..., None]) -> None:
    act("--pace", "0.1")
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        screen = await running(pilot)
        await until(pilot, lambda: screen.view.best)
        await tell(pilot, "no linear models")
        await until(pilot, lambda: "⇢ In force now:" in chat(screen))
        assert "You no linear models" in chat(screen) and "↳ Answer No linear models." in chat(screen)
        assert "Attempts that count no more: 1" in chat(screen)
        assert screen.view.attempts[1].left_out and screen.view.task["families"]["never"] == ["linear"]
        await pilot.press("f4")
        await until(pilot, lambda: "⊘ left out" in text_of(app))
        await pilot.press("ctrl+z")
        await until(pilot, lambda: not screen.view.attempts[1].left_out)
        assert [e.task["families"]["never"] for e in happened(screen, ev.TaskChanged)] == [["linear"], []]
        await tell(pilot, "/undo")
        await until(pilot, lambda: "There is no change of the task to take back." in chat(screen))


async def test_letters_go_into_the_line_wherever_the_focus_is() -> None:
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        screen = await running(pilot)
        await until(pilot, lambda: screen.session.closed)
        for key, panel in (("f4", Board), ("f3", Plan)):
            await pilot.press(key)
            screen.query_one(panel).focus()
            screen.query_one("#say", Input).value = ""
            await pilot.press("n", "o", "space", "x")
            await until(pilot, lambda: screen.query_one("#say", Input).value == "no x")


async def test_an_unclear_message_is_asked_back_with_choices(act: Callable[..., None]) -> None:
    act("--pace", "0.1")
    app = AutoMLApp()
    async with app.run_test(size=NARROW) as pilot:
        screen = await running(pilot, time_limit_s=600.0)
        await until(pilot, lambda: screen.view.best)
        await tell(pilot, "20 minutes")
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        await until(pilot, lambda: "1  20 minutes in all" in text_of(app))
        await pilot.press("1")
        await until(pilot, lambda: screen.view.limit_s == 1200.0)
        await tell(pilot, "catboost")
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        await pilot.press("escape")
        await until(pilot, lambda: app.screen is screen)
        await pilot.pause(0.3)
        assert app.screen is screen, "the same question was put again"
        assert screen.view.task["families"] == {"only": [], "never": []} or "families" not in screen.view.task


async def test_escape_takes_back_what_is_not_carried_out_yet(act: Callable[..., None]) -> None:
    act("--mode", "hang")  # hears nothing: whatever is asked for stays open
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        app.show_session(client.start(Request(data=("data.csv",))), "data.csv")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.view.started_at)
        screen = app.screen
        assert isinstance(screen, RunScreen)
        screen.view.apply(ev.Record(9, "", 1.0, ev.Commanded("message", {"text": "no ensemble"})))
        screen.view.apply(ev.Record(10, "", 1.0, ev.Answered("No ensemble.", {"ensemble": False})))
        await until(pilot, lambda: "from the next step on: no ensemble" in text_of(app))
        await pilot.press("escape")
        assert any("Taken back: no ensemble" in n.message for n in app._notifications) and not screen.session.stopping
        screen.view.apply(ev.Record(11, "", 1.0, ev.Commanded("undo", {})))
        screen.view.apply(ev.Record(12, "", 1.0, ev.Answered("The last change is taken back.", {"undo": True})))
        await pilot.press("escape")
        assert screen.session.stopping
        screen.session.kill()


async def test_the_search_goes_on_from_the_chosen_attempt(act: Callable[..., None]) -> None:
    act("--pace", "0.1")
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        screen = await running(pilot)
        await until(pilot, lambda: 2 in screen.view.attempts and screen.view.attempts[2].status == "kept")
        await pilot.press("alt+s")
        await until(pilot, lambda: any("Choose an attempt" in n.message for n in app._notifications))
        await pilot.press("f4")
        await until(pilot, lambda: screen.query_one(Board).row_count >= 2)
        board = screen.query_one(Board)
        board.focus()
        board.move_cursor(row=board._numbers.index(2))  # later attempts may be before it by now
        assert board.chosen == 2
        await pilot.press("alt+s")
        await until(pilot, lambda: [e.attempt for e in happened(screen, ev.TaskChanged)] == [2])
        await until(pilot, lambda: "You go on from attempt 2" in chat(screen))
        await tell(pilot, "/branch 99")
        await until(pilot, lambda: "There is no attempt 99" in chat(screen))
        await pilot.press("escape")
        await until(pilot, lambda: screen.session.closed)
        await tell(pilot, "/branch 1")
        await until(pilot, lambda: app.screen is not screen and isinstance(app.screen, RunScreen))
        again = app.screen
        assert isinstance(again, RunScreen)
        await until(pilot, lambda: 1 in [e.attempt for e in happened(again, ev.TaskChanged)])
        again.session.kill()


@pytest.mark.parametrize(("key", "waits", "by"), [("1", False, "alt+n"), ("2", True, "/again")])
async def test_what_a_run_cannot_change_is_a_new_run_in_the_same_form(
    act: Callable[..., None], key: str, waits: bool, by: str
) -> None:
    act("--pace", "0.05")
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        screen = await running(pilot, time_limit_s=300.0, ensemble=False)
        await until(pilot, lambda: screen.view.best)
        await tell(pilot, "ignore tenure")
        await until(pilot, lambda: "A new run can have it: ignore tenure. alt+n opens the form" in chat(screen))
        await (tell(pilot, by) if by.startswith("/") else pilot.press(by))
        await until(pilot, lambda: isinstance(app.screen, ChoiceScreen))
        await pilot.press(key)
        await until(pilot, lambda: isinstance(app.screen, StartScreen))
        assert screen.session.exit_code == (0 if waits else 130)
        form = app.screen
        assert isinstance(form, StartScreen)
        await until(pilot, lambda: "without tenure; no ensemble; branched from" in text_of(app))
        asked = form.request()
        assert (asked.ignore, asked.ensemble, asked.time_limit_s) == (("tenure",), False, 300.0)
        assert (asked.branched_from, asked.looks) == (screen.run_dir.name, 1)
        form.open_path("data.csv")
        await pilot.pause(0.1)
        assert form.request().ignore == () and "branched from" not in text_of(app)


@pytest.mark.parametrize(
    ("keys", "answers"),
    [("a", ["once"]), ("A", ["always"]), ("r", ["reject"]), ("R", ["reject"] * 6), (["escape"], ["reject"])],
)
async def test_approvals(act: Callable[..., None], keys: str | list[str], answers: list[str]) -> None:
    act("--mode", "ask")
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        await_screen = lambda: isinstance(app.screen, ApprovalScreen) and app.screen.query("#read")  # noqa: E731
        screen = None
        app.show_session(client.start(Request(data=("data.csv",), approve="ask")), "data.csv")
        await until(pilot, await_screen)
        screen = next(s for s in app.screen_stack if isinstance(s, RunScreen))
        assert "def build" in str(app.screen.query_one("#read").render())
        await pilot.press(*keys)

        def given() -> list[str]:
            log = ev.read_events(screen.run_dir / "events.jsonl")
            return [r.event.answer for r in log if isinstance(r.event, ev.Approved)]

        await until(pilot, lambda: len(given()) >= len(answers))
        assert given()[: len(answers)] == answers
        if answers in (["always"], ["reject"] * 6):
            await until(pilot, lambda: screen.session.closed)


async def test_code_can_be_edited_before_it_runs(act: Callable[..., None]) -> None:
    act("--mode", "ask")
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        session = client.start(Request(data=("data.csv",), approve="ask"))
        sent: list[tuple[int, str, str | None]] = []
        approve = session.approve
        session.approve = lambda *a: sent.append(a) or approve(*a)  # type: ignore
        app.show_session(session, "data.csv")
        await until(pilot, lambda: isinstance(app.screen, ApprovalScreen) and app.screen.query("#read"))
        await pilot.press("e", "x", "escape")
        assert not app.screen.editing and app.screen.query("#read"), "taken back"
        await pilot.press("e")
        await pilot.press("(", "ctrl+s")
        await until(pilot, lambda: any("no Python, line 1" in n.message for n in app._notifications))
        assert not sent
        app.screen.set_focus(None)
        await pilot.press("a")
        assert isinstance(app.screen, ApprovalScreen) and not app.screen.query_one("#once").display, "not as it was"
        app.screen.query_one("#code").focus()
        await pilot.press("backspace", "#", *" a r")
        await pilot.click("#run_edited")
        await until(pilot, lambda: sent)
        assert sent[0][:2] == (1, "edit") and sent[0][2] is not None and sent[0][2].startswith("# a r")


async def test_an_engine_that_dies_is_explained_and_can_be_resumed(act: Callable[..., None]) -> None:
    act("--mode", "crash")
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        screen = await running(pilot)
        await until(pilot, lambda: screen.session.closed)
        await pilot.pause(0.2)
        assert "failed" in str(screen.query_one(StatusBar).render()) and "part of the play" in chat(screen)
        act()
        screen.query_one("#say", Input).value = "/continue"
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is not screen and getattr(app.screen, "view", screen.view).finished)


async def test_sessions_are_found_and_opened() -> None:
    for out in ("first", "second"):
        client.start(Request(data=("data.csv",), target="Churn"), out=out).wait()
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen))
        await until(pilot, lambda: app.screen.query_one(DataTable).row_count == 2)
        app.screen.query_one("#search", Input).value = "first"
        await until(pilot, lambda: app.screen.query_one(DataTable).row_count == 1)
        app.screen.query_one(DataTable).focus()
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.view.finished)
        await pilot.press("ctrl+n")
        await until(pilot, lambda: isinstance(app.screen, StartScreen))


async def test_a_flood_leaves_the_chat_bounded_and_shows_the_newest() -> None:
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        screen = await running(pilot)
        await until(pilot, lambda: screen.session.closed)
        timeline = screen.query_one(Timeline)
        for n in range(2_000):
            timeline.add(ev.Record(n + 1, "", 1.0, ev.Warned(f"warning {n}")), screen.view)
            if n % 100 == 0:
                timeline.flush(screen.view)
                await pilot.pause()
        timeline.flush(screen.view)
        await until(pilot, lambda: "warning 1999" in text_of(app))
        entries = screen.query_one("#entries").children
        assert MOST_ENTRIES - 1 <= len(entries) <= MOST_ENTRIES + 1
        assert str(entries[-1].render()).endswith("warning 1999")
        screen.view.attempts.update({n: Attempt(n, f"attempt {n}", score=0.5, status="ok") for n in range(10, 2_000)})
        screen.view.attempts[1_999].parent = 20  # an old one, which stays for it
        await pilot.press("f4")
        await until(pilot, lambda: screen.query_one(Board).row_count == MOST_ROWS)
        await pilot.press("f3")
        await until(pilot, lambda: len(screen.query_one(Plan)._leaves) == MOST_NODES)
        await pilot.press("f7")
        branches = screen.query_one(Descent)._branches
        await until(pilot, lambda: len(branches) == MOST_NODES + 1 and 20 in branches)
        assert len(list(screen.query_one("#descent-tree", Tree).root.children)) == MOST_NODES


async def test_a_thought_is_drawn_as_markdown_while_it_is_written() -> None:
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        screen = await running(pilot)
        await until(pilot, lambda: screen.session.closed)
        timeline = screen.query_one(Timeline)

        async def say(agent: str, text: str) -> None:
            timeline.add(ev.Record(0, "", 0.0, ev.Token(agent, text)), screen.view)  # type: ignore[arg-type]
            timeline.flush(screen.view)
            await pilot.pause(0.1)

        for part in ("Two ideas:\n\n- **trees", "** that go deep\n- `logs` of", " the \x1b[31mprice\n"):
            await say("reasoner", part)
        await until(pilot, lambda: "• trees that go deep" in text_of(app) and "• logs of the" in text_of(app))
        assert "Reasoner thinks" in text_of(app) and "\x1b" not in text_of(app)
        await say("coder", "import numpy as np\n")
        await until(pilot, lambda: "Coder writes" in text_of(app) and "import numpy as np" in text_of(app))
        assert "trees that go deep" not in text_of(app)
        timeline.add(ev.Record(9_000, "", 0.0, ev.Noted("tune", "a tool", "it **says** `so`")), screen.view)
        timeline.add(ev.Record(9_001, "", 0.0, ev.StageStarted("tune")), screen.view)
        timeline.flush(screen.view)
        await until(pilot, lambda: "it says so" in text_of(app) and "Coder writes" not in text_of(app))


async def test_a_run_of_another_process_is_watched_and_stopped(act: Callable[..., None]) -> None:
    act("--pace", "0.1")
    elsewhere = client.start(Request(data=("data.csv",), target="Churn"))
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        app.open_run(elsewhere.run_dir)
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.view.task)
        screen = app.screen
        assert isinstance(screen, RunScreen) and screen.session.process is None
        await pilot.press("ctrl+g")
        await until(pilot, lambda: any("Another process" in n.message for n in app._notifications))
        await pilot.press("escape")
        await until(pilot, lambda: screen.session.closed)
        await until(pilot, lambda: not client.runs.is_locked(elsewhere.run_dir))
    elsewhere.kill()


async def test_a_session_is_removed_only_when_asked_twice() -> None:
    session = client.start(Request(data=("data.csv",), target="Churn"))
    session.wait()
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("ctrl+r")
        await until(pilot, lambda: isinstance(app.screen, SessionsScreen) and app.screen.query_one(DataTable).row_count)
        app.screen.query_one(DataTable).focus()
        await pilot.press("delete")
        await pilot.pause(0.2)
        assert session.run_dir.exists()
        await pilot.press("delete")
        await until(pilot, lambda: not session.run_dir.exists())
        await until(pilot, lambda: not app.screen.query_one(DataTable).row_count)


async def test_a_question_is_answered_from_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    say = "import json, sys; print(json.dumps({'answer': f'{sys.argv[-1]} **{len(sys.argv)}** rows'}))"
    monkeypatch.setattr(children, "ASK_COMMAND", [sys.executable, "-c", say])
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        screen = await running(pilot)
        await until(pilot, lambda: screen.session.closed)
        screen.query_one("#say", Input).value = "how many?"
        await pilot.press("enter")
        await until(pilot, lambda: "From the data" in text_of(app) and "how many? 3 rows" in text_of(app))
        assert "You how many?" in text_of(app)
        monkeypatch.setattr(
            children, "ASK_COMMAND", [sys.executable, "-c", "import sys; sys.exit('Error: no such column')"]
        )
        screen.query_one("#say", Input).value = "and x?"
        await pilot.press("enter")
        await until(pilot, lambda: "No answer" in text_of(app) and "no such column" in text_of(app))
