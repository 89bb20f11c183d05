"""Three ways to draw a run: JSON lines on stdout, plain lines on stderr, or a live panel on a terminal's stderr."""

from __future__ import annotations

import sys
import time
from typing import Any

import click

from automlgpt_local import events as ev
from automlgpt_local.client import RunView, Session
from automlgpt_local.client.inert import inert_line
from automlgpt_local.client.words import line_of, number
from automlgpt_local.settings import format_seconds


class Drawing:
    """Draws nothing: the base of the others."""

    def __enter__(self) -> Drawing:
        return self

    def __exit__(self, *_: object) -> None: ...
    def draw(self, record: ev.Record, seen: RunView) -> None: ...
    def tick(self, seen: RunView) -> None: ...
    def say(self, text: str) -> None: ...
    def suspend(self) -> None: ...
    def go_on(self) -> None: ...


class JsonLines(Drawing):
    """Every stored event as its line of events.jsonl."""

    def draw(self, record: ev.Record, seen: RunView) -> None:
        if record.seq:
            sys.stdout.write(record.to_line() + "\n")
            sys.stdout.flush()


class PlainLines(Drawing):
    """One line per thing worth knowing, with the seconds used; a sign of life each 30 s."""

    QUIET_S = 30.0

    def __init__(self) -> None:
        self._last = time.monotonic()

    def draw(self, record: ev.Record, seen: RunView) -> None:
        if (line := line_of(record, seen)) is not None:
            self._write(f"[{record.t:7.1f}s] {inert_line(line, 400)}")

    def tick(self, seen: RunView) -> None:
        if time.monotonic() - self._last > self.QUIET_S:
            self._write(f"          … {inert_line(seen.doing)}; best so far {number(seen.score)}")

    def say(self, text: str) -> None:
        self._write(text)

    def _write(self, text: str) -> None:
        self._last = time.monotonic()
        click.echo(text, err=True)


class LivePanel(Drawing):
    """Three lines that change in place below the lines that stay."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.live import Live

        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)
        self._t_seen = 0.0
        self._at = time.monotonic()

    def __enter__(self) -> LivePanel:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def suspend(self) -> None:
        self._live.stop()

    def go_on(self) -> None:
        self._live.start()

    def draw(self, record: ev.Record, seen: RunView) -> None:
        from rich.text import Text

        self._t_seen, self._at = max(record.t, self._t_seen), time.monotonic()
        if (line := line_of(record, seen)) is not None:
            style = "bold" if line.startswith("==") else "yellow" if line.startswith("warning") else ""
            self._console.print(
                Text(f"{format_seconds(record.t):>7}  ", style="dim") + Text(inert_line(line, 400), style)
            )
        self.tick(seen)

    def say(self, text: str) -> None:
        self._console.print(text, style="yellow", markup=False)

    def tick(self, seen: RunView) -> None:
        self._live.update(panel(seen, seen.used_s if seen.over or seen.paused else self._used_s()))

    def _used_s(self) -> float:
        return self._t_seen + time.monotonic() - self._at


def panel(seen: RunView, used_s: float) -> Any:
    """Phase, time used of the limit, attempts, best score, and what goes on now."""
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    line = Table.grid(padding=(0, 2), expand=False)
    limit_s = seen.limit_s or 1.0
    score = f"{seen.metric} {number(seen.score)}" if seen.score is not None else "no score yet"
    line.add_row(
        Text(inert_line(seen.stage or "start", 12), "bold"),
        ProgressBar(total=limit_s, completed=min(used_s, limit_s), width=24),
        Text(f"{format_seconds(used_s)} of {format_seconds(limit_s)}" if seen.limit_s else format_seconds(used_s)),
        Text(f"{len(seen.attempts)} attempts"),
        Text(score, "bold green"),
    )
    state = "paused" if seen.paused else seen.doing
    return Group(line, Text(inert_line(state, 160), "dim", no_wrap=True, overflow="ellipsis"))


def make_drawing(as_json: bool, session: Session) -> Drawing:
    if as_json:
        return JsonLines()
    return LivePanel() if sys.stderr.isatty() else PlainLines()
