"""The scores of the attempts as points, the best so far as a line, and the target as bars."""

from __future__ import annotations

from typing import Any

from rich.cells import cell_len, set_cell_size
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from automlgpt_local.client import RunView
from automlgpt_local.client.inert import inert_line
from automlgpt_local.metrics import METRICS

MOST_POINTS = 400
MOST_CLASSES = 8
NAME_CELLS = 20


class Plots(Vertical):
    """The plotting library is loaded when the panel is opened for the first time."""

    DEFAULT_CSS = """
    Plots { padding: 0 1; }
    Plots #scores { height: 3fr; }
    Plots #scores-note { height: auto; color: $text-muted; }
    Plots #target-bars { height: auto; max-height: 40%; margin-top: 1; }
    """

    def __init__(self, *, widget_id: str) -> None:
        super().__init__(id=widget_id)
        self._drawn: object = None
        self._view: RunView | None = None

    def compose(self) -> ComposeResult:
        yield Static("There is nothing to plot before the second attempt has a score.", id="scores-note", markup=False)
        yield Static(id="target-bars", markup=False)

    async def on_resize(self) -> None:
        """Bars are as wide as the panel, which may be laid out after it was drawn first."""
        if self._view is not None:
            await self.show(self._view)

    async def show(self, view: RunView) -> None:
        self._view = view
        scored = [a for a in view.attempts.values() if a.score is not None and not a.probe][-MOST_POINTS:]
        drawn = (tuple((a.number, a.score, a.status) for a in scored), id(view.profile), self.size, self.app.theme)
        if drawn == self._drawn:
            return
        self._drawn = drawn
        self.query_one("#target-bars", Static).update(target_bars(view.profile, view.task, self.size.width - 4))
        if len(scored) < 2:
            return
        from textual_plotext import PlotextPlot

        if not self.query("#scores"):
            await self.mount(PlotextPlot(id="scores"), before="#scores-note")
        plot = self.query_one("#scores", PlotextPlot)
        metric = METRICS.get(view.metric)
        larger = metric is None or metric.higher_is_better
        best: list[float] = []
        for attempt in scored:
            score = float(attempt.score or 0.0)
            best.append(score if not best else max(best[-1], score) if larger else min(best[-1], score))
        canvas = plot.plt
        canvas.clear_figure()
        numbers = [a.number for a in scored]
        steps = [(x, y) for i, y in enumerate(best) for x in ((numbers[i],) if i == 0 else (numbers[i], numbers[i]))]
        heights = [y for i, y in enumerate(best) for y in ((y,) if i == 0 else (best[i - 1], y))]
        canvas.plot([x for x, _ in steps], heights, marker="braille")
        kept = [a for a in scored if a.status == "kept"]
        for group, marker in ((kept, "✓"), ([a for a in scored if a.status != "kept"], "○")):
            if group:
                canvas.scatter([a.number for a in group], [float(a.score or 0.0) for a in group], marker=marker)
        ticks = numbers[:: max(1, len(numbers) // 10)]
        canvas.xticks([float(n) for n in ticks], [str(n) for n in ticks])
        canvas.title(f"{inert_line(view.metric, 30)} by attempt")
        plot.refresh()
        better = "higher" if larger else "lower"
        self.query_one("#scores-note", Static).update(
            f"✓ kept   ○ not kept   the line is the best so far; {better} is better"
        )


def target_bars(profile: dict[str, Any], task: dict[str, Any], width: int) -> Content:
    """How often each class occurs, in words and as bars; nothing for a number."""
    classes = (profile.get("target") or {}).get("classes")
    if not isinstance(classes, dict) or not classes:
        return Content("")
    counts = {str(name): int(n) for name, n in classes.items()}
    total = max(1, sum(counts.values()))
    shown = sorted(counts.items(), key=lambda item: -item[1])[:MOST_CLASSES]
    names = min(NAME_CELLS, max(cell_len(inert_line(name, NAME_CELLS)) for name, _ in shown))
    room = max(5, width - names - 20)
    lines = [Content.assemble((inert_line(task.get("target", "target"), 60), "bold"))]
    for name, count in shown:
        bar = "━" * max(1, round(room * count / shown[0][1]))
        label = set_cell_size(inert_line(name, NAME_CELLS), names)
        lines.append(Content.assemble(label, " ", (bar, "$primary"), f" {count:,} ({count / total:.0%})"))
    if len(counts) > MOST_CLASSES:
        lines.append(Content.styled(f"and {len(counts) - MOST_CLASSES} more classes", "$secondary"))
    return Content("\n").join(lines)
