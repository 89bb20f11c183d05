"""Draws the screens of the documents (docs/screens/*.svg) with an engine that acts; they name no external font."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

OUT = Path(__file__).resolve().parent.parent / "docs" / "screens"
SIZES = {"wide": (160, 48), "narrow": (80, 24)}


def save(app: object, name: str) -> None:
    svg = app.export_screenshot()  # type: ignore[attr-defined]
    svg = re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = re.sub(r"font-family: [^;]*;", "font-family: 'DejaVu Sans Mono', Menlo, Consolas, monospace;", svg)
    (OUT / f"{name}.svg").write_text(re.sub(r"[ \t]+\n", "\n", svg), encoding="utf-8")


async def until(pilot: object, true: Callable[[], object]) -> None:
    for _ in range(1200):
        if true():
            return
        await pilot.pause(0.05)  # type: ignore[attr-defined]
    raise SystemExit("a screen did not come up")


async def draw() -> None:
    from automlgpt_local.client import session
    from automlgpt_local.tui.app import AutoMLApp

    engine = [sys.executable, "-P", "-m", "automlgpt_local.client.scripted"]
    for size, cells in SIZES.items():
        session.ENGINE_COMMAND = [*engine, "--pace", "0.15"]
        app = AutoMLApp("customers.csv")
        async with app.run_test(size=cells) as pilot:
            screen = app.screen
            await until(pilot, lambda: screen.columns)  # type: ignore[attr-defined]  # noqa: B023
            screen.query_one("#target").value = "Churn"  # type: ignore[attr-defined]
            await until(pilot, lambda: screen.suggested)  # type: ignore[attr-defined]  # noqa: B023
            await pilot.pause(0.3)
            save(app, f"start-{size}")
            await pilot.press("ctrl+s")
            await until(pilot, lambda: len(getattr(getattr(app.screen, "view", None), "attempts", ())) >= 4)  # noqa: B023
            await pilot.pause(0.3)
            save(app, f"run-{size}")
            app.screen.say_to_run("no linear models")  # type: ignore[attr-defined]
            app.screen.say_to_run("20 minutes")  # type: ignore[attr-defined]
            await until(pilot, lambda: app.screen.query("#question"))  # noqa: B023
            await pilot.pause(0.5)
            save(app, f"question-{size}")
            await pilot.press("3")
            await until(pilot, lambda: app.screen.session.closed)  # type: ignore[attr-defined]  # noqa: B023
            for name in ("board", "tree", "data", "plot", "code"):
                app.screen.show_panel(name)  # type: ignore[attr-defined]
                await pilot.pause(0.8)
                save(app, f"{name}-{size}")
            if size == "wide":
                app.screen.show_panel("plot")  # type: ignore[attr-defined]
                await pilot.press("ctrl+y")
                await pilot.pause(1.2)
                save(app, "light-wide")
                for name in ("help", "sessions", "models"):
                    app.carry_out(f"app.{name}")
                    await pilot.pause(1.0)
                    save(app, f"{name}-wide")
                    await pilot.press("escape")
    session.ENGINE_COMMAND = [*engine, "--mode", "ask"]
    app = AutoMLApp("customers.csv")
    async with app.run_test(size=SIZES["wide"]) as pilot:
        from automlgpt_local import client
        from automlgpt_local.task import Request

        app.show_session(client.start(Request(data=("customers.csv",), target="Churn")), "customers.csv")
        await until(pilot, lambda: app.screen.query("#answers"))
        await pilot.pause(0.3)
        save(app, "approval-wide")


def main() -> int:
    OUT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["AUTOMLGPT_STATE_DIR"] = f"{folder}/state"
        os.environ["AUTOMLGPT_CONFIG"] = f"{folder}/config.toml"
        here = Path(folder) / "churn"
        here.mkdir()
        os.chdir(here)
        rows = [
            f"{i % 72},{('Month-to-month', 'One year')[i % 2]},{20 + i % 90},{('No', 'Yes')[i % 5 == 0]}"
            for i in range(300)
        ]
        Path("customers.csv").write_text(
            "tenure,Contract,MonthlyCharges,Churn\n" + "\n".join(rows) + "\n", encoding="utf-8"
        )
        asyncio.run(draw())
        os.chdir("/")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
