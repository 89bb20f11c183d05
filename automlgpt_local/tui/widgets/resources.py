"""What the run costs this machine: processor, memory, tokens."""

from __future__ import annotations

import time

from textual.content import Content
from textual.widgets import Static

from automlgpt_local.client import RunView
from automlgpt_local.settings import format_seconds

MEASURE_S = 1.0


class Resources(Static):
    """Looks at the engine and its children once a second while it is shown."""

    DEFAULT_CSS = "Resources { padding: 1 2; }"

    def __init__(self, *, widget_id: str) -> None:
        super().__init__(id=widget_id, markup=False)
        self.pid: int | None = None
        self._at = 0.0
        self._cpu: dict[int, tuple[float, float]] = {}

    def show(self, view: RunView) -> None:
        if time.monotonic() - self._at < MEASURE_S:
            return
        self._at = time.monotonic()
        busy, memory_mib, count = self._measure()
        sandbox = ", ".join(f"{k}: {v}" for k, v in view.sandbox.items())
        lines = (
            ("Processor", f"{busy:.0f} % of one core, {count} processes" if count else "the engine has ended"),
            ("Memory", f"{memory_mib:,.0f} MiB" if count else ""),
            ("Agents", f"{view.tokens:,} tokens chosen, {format_seconds(view.model_s)} of model turns"),
            ("Fits", f"{format_seconds(view.fit_s)} of fitting, {len(view.attempts)} attempts"),
            ("Recipes", f"took over {view.took_over} times"),
            ("Sandbox", sandbox or "not known yet"),
        )
        self.update(Content("\n").join(Content.assemble((f"{k:<11}", "bold"), v) for k, v in lines))

    def _measure(self) -> tuple[float, float, int]:
        """CPU in percent of a core and memory in MiB of the engine with all its children, and how many there are."""
        if self.pid is None:
            return 0.0, 0.0, 0
        import psutil

        try:
            engine = psutil.Process(self.pid)
            family = [engine, *engine.children(recursive=True)]
        except psutil.Error:
            return 0.0, 0.0, 0
        busy = memory = 0.0
        seen: dict[int, tuple[float, float]] = {}
        now = time.monotonic()
        for process in family:
            try:
                times = process.cpu_times()
                used = times.user + times.system
                memory += process.memory_info().rss / 2**20
            except psutil.Error:
                continue
            before = self._cpu.get(process.pid)
            if before is not None and now > before[1]:
                busy += 100.0 * (used - before[0]) / (now - before[1])
            seen[process.pid] = (used, now)
        self._cpu = seen
        return max(0.0, busy), memory, len(seen)
