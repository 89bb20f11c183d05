"""What the run costs this machine: processor, memory, tokens."""

from __future__ import annotations

import shutil
import subprocess
import time

from textual import work
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
        self._gpu_tool = shutil.which("nvidia-smi")
        self._gpu_said = "not known yet"

    def show(self, view: RunView) -> None:
        if time.monotonic() - self._at < MEASURE_S:
            return
        self._at = time.monotonic()
        busy, memory_mib, count = self._measure()
        speed = f", {view.tokens / view.model_s:.0f} tok/s" if view.model_s > 0 else ""
        room = f"room for {view.context_tokens:,}" if view.context_tokens else "no model"
        sandbox = ", ".join(f"{k}: {v}" for k, v in view.sandbox.items())
        lines = (
            ("Processor", f"{busy:.0f} % of one core, {count} processes" if count else "the engine has ended"),
            ("Memory", f"{memory_mib:,.0f} MiB" if count else ""),
            ("GPU", self._gpu()),
            ("Agents", f"{view.tokens:,} tokens chosen, {format_seconds(view.model_s)} of model turns{speed}"),
            ("Context", f"{view.read_tokens:,} new tokens read last, {room}"),
            ("Fits", f"{format_seconds(view.fit_s)} of fitting, {len(view.attempts)} attempts"),
            ("Recipes", f"took over {view.took_over} times"),
            ("Sandbox", sandbox or "not known yet"),
        )
        self.update(Content("\n").join(Content.assemble((f"{k:<11}", "bold"), v) for k, v in lines))

    def _gpu(self) -> str:
        """What the driver's own tool says; asked in a thread, so it is that of the look before."""
        if self._gpu_tool is None:
            return "none"
        self._ask_gpu(self._gpu_tool)
        return self._gpu_said

    @work(thread=True, exclusive=True, group="gpu")
    def _ask_gpu(self, tool: str) -> None:
        query = "--query-gpu=utilization.gpu,memory.used,memory.total"
        try:
            answer = subprocess.run(
                [tool, query, "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=5.0
            ).stdout
            rows = [[float(x) for x in line.split(",")] for line in answer.splitlines()]
            self._gpu_said = "; ".join(f"{b:.0f} % busy, {u:,.0f} of {t:,.0f} MiB" for b, u, t in rows) or "none"
        except (OSError, ValueError, subprocess.SubprocessError):
            self._gpu_said = "not known"

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
