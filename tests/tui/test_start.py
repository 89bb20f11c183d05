"""From nothing to a running job, in few keys."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import Button, DataTable, Input, OptionList, Select
from tui_support import NARROW, WIDE, running, text_of, until

from automlgpt_local import client
from automlgpt_local.client import children
from automlgpt_local.errors import UsageError
from automlgpt_local.events import Failed, Record
from automlgpt_local.task import Request
from automlgpt_local.tui.app import AutoMLApp
from automlgpt_local.tui.screens.examples import ExamplesScreen
from automlgpt_local.tui.screens.run import RunScreen
from automlgpt_local.tui.screens.start import PathSuggester, StartScreen
from automlgpt_local.tui.words import entry


@pytest.mark.parametrize("size", [WIDE, NARROW])
async def test_path_enter_enter_and_it_runs(size: tuple[int, int]) -> None:
    app = AutoMLApp()
    async with app.run_test(size=size) as pilot:
        await pilot.press(*"data.csv", "enter")
        go = app.screen.query_one("#go", Button)
        await until(pilot, lambda: not go.disabled)
        assert app.screen.query_one("#table", DataTable).row_count == 50
        assert app.screen.query_one("#target", Select).value == "target"
        assert app.screen.query_one("#metric", Select).value == "roc_auc"
        await until(pilot, lambda: app.focused is go)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        screen = app.screen
        assert isinstance(screen, RunScreen)
        await until(pilot, lambda: screen.session.closed)
        request = client.load_request(screen.run_dir)
        assert request.target == "target" and request.metric is None and request.time_limit_s == 600.0


async def test_what_was_chosen_in_the_form_is_asked_for(own_dirs: Path) -> None:
    app = AutoMLApp("data.csv")
    async with app.run_test(size=WIDE) as pilot:
        screen = app.screen
        assert isinstance(screen, StartScreen)
        await until(pilot, lambda: screen.suggested)
        await pilot.pause()
        screen.query_one("#metric", Select).value = "accuracy"
        screen.query_one("#time", Input).value = "2m"
        screen.query_one("#model", Input).value = "none"
        await pilot.pause()
        request = screen.request()
        assert (request.metric, request.time_limit_s, request.model) == ("accuracy", 120.0, "none")
        screen.query_one("#ask", Input).value = "predict a instead"
        assert screen.request().target is None, "a suggestion must not overrule what was said in words"
        screen.query_one("#time", Input).value = "soon"
        await pilot.press("ctrl+s")
        assert app.screen is screen and "not a duration" in str(screen.query_one("#message").render())


async def test_an_unclear_target_is_asked_for(own_dirs: Path) -> None:
    lines = ["a,b,c"] + [f"{i * 0.37:.3f},{i * 1.7 % 3:.3f},{i * 2.3 % 5:.3f}" for i in range(60)]
    (own_dirs / "unclear.csv").write_text("\n".join(lines) + "\n")
    app = AutoMLApp("unclear.csv")
    async with app.run_test(size=WIDE) as pilot:
        target = app.screen.query_one("#target", Select)
        await until(pilot, lambda: app.focused is target)
        assert app.screen.query_one("#go", Button).disabled
        target.value = "c"
        await until(pilot, lambda: not app.screen.query_one("#go", Button).disabled)


async def test_what_to_do_is_said_in_the_names_of_the_form(own_dirs: Path) -> None:
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, StartScreen))
        app.ask_again(Request(data=("data.csv",), target="gone"))
        await until(pilot, lambda: "There is no column gone." in text_of(app))
        assert 'Name it with "Predict".' in text_of(app)


async def test_a_table_is_read_again_as_it_was_for_the_run(own_dirs: Path) -> None:
    (own_dirs / "semicolons.csv").write_text((own_dirs / "data.csv").read_text().replace(",", ";"))
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, StartScreen))
        screen = app.screen
        assert isinstance(screen, StartScreen)
        app.ask_again(Request(data=("semicolons.csv",), target="target", sep=";"))
        await until(pilot, lambda: screen.suggested.get("target") == "target")
        assert not screen.query_one("#go", Button).disabled
        screen.do_target("a")
        await until(pilot, lambda: screen.suggested.get("target") == "a")


@pytest.mark.parametrize(
    ("hint", "shown"),
    [
        ("Go on with `automlgpt sessions resume` and a longer --time-limit.", "Go on with /continue 10m or more."),
        ("Go on with: automlgpt sessions resume /runs/a b", "Go on with: /continue"),
        (
            "`automlgpt models list` shows those; `--model none` needs none.",
            '/models shows those; `"Model" none` needs none.',
        ),
        ("Use --kind multiclass for classes.", "Use kind multiclass for classes."),
    ],
)
def test_a_failed_run_says_what_to_do_here(hint: str, shown: str) -> None:
    drawn = entry(Record(1, "", 0.0, Failed("UsageError", "No.", hint, 2)), client.RunView())
    assert drawn is not None and drawn.plain == f"✗ Failed\nNo.\n{shown}"


async def test_a_wish_longer_than_its_field_stays_visible() -> None:
    app = AutoMLApp("data.csv")
    async with app.run_test(size=NARROW) as pilot:
        await until(pilot, lambda: app.screen.suggested)  # type: ignore[attr-defined]
        field = app.screen.query_one("#ask", Input)
        field.focus()
        field.value = "which of them will leave us next month, and no deep learning"
        await until(pilot, lambda: "no deep learning" in text_of(app))


@pytest.mark.parametrize(
    ("path", "problem"),
    [("gone.csv", "There is no file"), (".", "is a folder"), ("empty.csv", "The file is empty")],
)
async def test_a_file_that_is_no_table_is_explained(own_dirs: Path, path: str, problem: str) -> None:
    (own_dirs / "empty.csv").write_text("")
    app = AutoMLApp(path)
    async with app.run_test(size=WIDE) as pilot:
        message = app.screen.query_one("#message")
        await until(pilot, lambda: "reading" not in str(message.render()) and str(message.render()).strip())
        assert problem in str(message.render())
        assert app.screen.query_one("#go", Button).disabled
        await pilot.press("ctrl+s")
        assert isinstance(app.screen, StartScreen)


async def test_an_example_is_written_and_opened(own_dirs: Path) -> None:
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        await pilot.press("f3")
        await until(pilot, lambda: isinstance(app.screen, ExamplesScreen))
        options = app.screen.query_one(OptionList)
        await until(pilot, lambda: options.has_focus and options.highlighted == 0)
        await pilot.press("enter")
        await until(pilot, lambda: (own_dirs / "shop.csv").exists())
        await until(pilot, lambda: isinstance(app.screen, StartScreen) and app.screen.columns)


async def test_an_interrupted_run_is_offered_and_goes_on(act: Callable[..., None]) -> None:
    act("--mode", "crash")
    session = client.start(Request(data=("data.csv",), target="Churn"))
    session.wait()
    act()
    app = AutoMLApp()
    async with app.run_test(size=WIDE) as pilot:
        recent = app.screen.query_one("#recent", OptionList)
        await until(pilot, lambda: recent.option_count >= 2)
        assert "interrupted" in str(recent.get_option_at_index(0).prompt)
        recent.focus()
        recent.highlighted = 0
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen.view.finished)
        await until(pilot, lambda: client.state(session.run_dir) != "running")  # the engine ends just after
        assert client.state(session.run_dir) == "done"


def test_the_real_preview_says_the_same(own_dirs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-P", "-m", "automlgpt_local.client.preview"]
    monkeypatch.setattr(children, "PREVIEW_COMMAND", command)
    steps = {step["step"]: step for step in children.preview(Request(data=("data.csv",)))}
    assert steps["table"]["columns"] == ["a", "target"] and len(steps["table"]["head"]) == 50
    assert steps["table"]["head"][3] == ["3", "No"]
    assert (steps["task"]["task"]["target"], steps["task"]["task"]["kind"]) == ("target", "binary")
    assert [c["name"] for c in steps["profile"]["profile"]["columns"]] == ["a"]
    with pytest.raises(UsageError, match="no column 'x'"):
        list(children.preview(Request(data=("data.csv",), target="x")))


async def test_hostile_names_are_drawn_inert(own_dirs: Path) -> None:
    names = [
        "\x1b[31mred\x1b[0m",
        "[bold]markup[/bold]",
        "ab\u202ecd",
        "日本語の列",
        "👩‍👩‍👧 family",
        "x" * 5000,
        "[/]",
        "$primary",
    ]
    rows = [",".join([f'"{name}"' for name in names] + ["target"])]
    rows += [",".join([f"{i}"] * len(names) + [("No", "Yes")[i % 2]]) for i in range(60)]
    (own_dirs / "hostile.csv").write_text("\n".join(rows) + "\n")
    app = AutoMLApp("hostile.csv")
    async with app.run_test(size=WIDE) as pilot:
        await until(pilot, lambda: app.screen.columns)  # type: ignore[attr-defined]
        await pilot.pause(0.3)
        shown = app.export_screenshot()
        assert "\x1b" not in shown and "\u202e" not in shown
        labels = [str(c.label) for c in app.screen.query_one("#table", DataTable).ordered_columns]
        assert labels[0] == "red" and labels[1] == "[bold]markup[/bold]" and labels[2] == "abcd"
        assert max(map(len, labels)) <= 30
        screen = await running(pilot)
        assert screen.view.task


async def test_a_leak_is_told_before_the_run(own_dirs: Path) -> None:
    (own_dirs / "leaky.csv").write_text("leaky,target\n" + "".join(f"{i % 2},{'NY'[i % 2]}\n" for i in range(60)))
    app = AutoMLApp("leaky.csv")
    async with app.run_test(size=WIDE) as pilot:
        message = app.screen.query_one("#message")
        await until(pilot, lambda: "leaky may know the answer: it follows the target" in str(message.render()))
        assert not app.screen.query_one("#go", Button).disabled
        screen = app.screen
        assert isinstance(screen, StartScreen) and screen.query_one("#leaks").display
        assert screen.request().leaks == "drop"
        screen.query_one("#leaks", Select).value = "keep"
        await pilot.pause()
        assert screen.request().leaks == "keep"
        screen.open_path("data.csv")
        await until(pilot, lambda: screen.suggested)
        assert screen.request().leaks == Request(data=()).leaks


async def test_paths_are_completed(own_dirs: Path) -> None:
    (own_dirs / "folder").mkdir()
    (own_dirs / "notes.md").write_text("")
    suggest = PathSuggester().get_suggestion
    assert await suggest("da") == "data.csv"
    assert await suggest(str(own_dirs) + "/fol") == f"{own_dirs}/folder/"
    assert await suggest("not") is None and await suggest("/nowhere/x") is None
    assert await suggest("~nobody-of-that-name") is None
