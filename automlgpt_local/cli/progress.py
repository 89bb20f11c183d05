"""Three ways to draw a run: JSON lines on stdout, plain lines on stderr, or a live panel on a terminal's stderr."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

import click

from automlgpt_local import events as ev
from automlgpt_local.client import RunView, Session
from automlgpt_local.client.inert import inert_line
from automlgpt_local.settings import format_seconds


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.5g}"


def line_of(record: ev.Record, seen: RunView) -> str | None:
    """One line for people about an event; None for what would only be noise."""
    match record.event:
        case ev.SessionStarted() as e:
            return f"run {e.run_id}, model {e.model}"
        case ev.TaskResolved(task=task):
            return f"task: predict {task['target']} ({task['kind']}), {task['metric']}, {task['time_limit_s']:g} s"
        case ev.Profiled(profile=profile):
            return f"data: {profile.get('rows', 0):,} rows, {len(profile.get('columns', []))} columns"
        case ev.SplitMade() as e:
            rows = f"{e.development_rows:,} rows to learn from, {e.holdout_rows:,} locked away"
            return f"split: {e.strategy}, {e.folds} folds, {rows}"
        case ev.Warned(message=message):
            return f"warning: {message}"
        case ev.StageStarted(stage=stage):
            return f"== {stage}"
        case ev.Decided() as e:
            return f"{e.agent}: {e.decision}" + ("" if e.by == "model" else f" ({e.by})")
        case ev.CodeWritten() as e:
            return f"attempt {e.attempt}: {e.title}"
        case ev.CodeRejected(problem=problem):
            return f"the code was sent back: {problem}"
        case ev.TookOver(reason=reason):
            return f"recipes take over: {reason}"
        case ev.Noted() as e:
            return f"{e.title}: {e.text}"
        case ev.AttemptFinished(score=None) as e:
            return f"attempt {e.attempt}: {e.status} {e.error.strip().splitlines()[-1] if e.error.strip() else ''}"
        case ev.AttemptFinished() as e:
            noise = f" ± {e.noise:.2g}" if e.noise is not None else ""
            return f"attempt {e.attempt}: {seen.metric} {number(e.score)}{noise} in {e.seconds:.1f} s"
        case ev.Gated() as e:
            gain = "" if e.against is None else f", {e.gain:+.3g} against attempt {e.against} (noise {e.noise:.2g})"
            return f"attempt {e.attempt}: {'kept' if e.kept else 'dropped'}{gain}"
        case ev.EnsembleChosen() as e:
            parts = ", ".join(f"{w:.0%} of attempt {k}" for k, w in e.weights.items())
            return f"ensemble: {number(e.score)}, {'kept' if e.kept else 'dropped'} ({parts})"
        case ev.HoldoutScored() as e:
            return f"locked holdout: {number(e.score)} (validation {number(e.validation_score)}, gap {e.gap:+.3g})"
        case ev.Refitted() as e:
            return f"attempt {e.attempt} fitted on all rows: {e.status}"
        case ev.Exported(files=files):
            return f"exported: {', '.join(files)}"
        case ev.Stopped() as e:
            return f"search ended: {e.reason.replace('_', ' ')}. {e.evidence}"
        case ev.Commanded() as e:
            return f"you: {e.command} {e.values.get('text', '')}"
        case ev.Resumed():
            return "resumed"
    return None


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

    def __exit__(self, kind: type | None, value: BaseException | None, trace: TracebackType | None) -> None:
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
            self._console.print(Text(f"{format_seconds(record.t):>7}  ", style="dim") + Text(inert_line(line, 400), style))
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
