"""Two lines that are always there: what is predicted, and how far the run is."""

from __future__ import annotations

import time

from textual.content import Content
from textual.widgets import Static

from automlgpt_local.client import RunView
from automlgpt_local.client.inert import inert_line
from automlgpt_local.client.words import number
from automlgpt_local.settings import format_seconds


class StatusBar(Static):
    """Call `show` once per frame; it draws only what changed, and its columns do not move."""

    DEFAULT_CSS = """
    StatusBar { height: 2; padding: 0 1; background: $surface; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, *, widget_id: str) -> None:
        super().__init__(id=widget_id, markup=False)
        self._seen_t = 0.0
        self._seen_at = time.monotonic()
        self._shown: tuple[str, ...] = ()
        self.tokens_per_s = 0.0

    def used_s(self, view: RunView, live: bool) -> float:
        if view.used_s != self._seen_t:
            self._seen_t, self._seen_at = view.used_s, time.monotonic()
        if not live or view.over or view.paused or view.approval:
            return view.used_s
        return self._seen_t + time.monotonic() - self._seen_at

    def show(self, view: RunView, data: str, live: bool) -> None:
        used_s = self.used_s(view, live)
        limit_s = view.limit_s
        width = max(8, min(30, self.size.width // 6))
        full = round(width * min(1.0, used_s / limit_s)) if limit_s else 0
        state = (
            "failed"
            if view.failed
            else "done"
            if view.finished
            else "paused"
            if view.paused
            else "waits for you"
            if view.approval
            else "stopped"
            if not live
            else view.stage or "starting"
        )
        task = f"{view.task.get('target', '…')} · {view.task.get('kind', '…')} · {view.metric or '…'}"
        clock = format_seconds(used_s) + (f" of {format_seconds(limit_s)}" if limit_s else "")
        best = f"best {number(view.score)}" if view.score is not None else "no score yet"
        waits = next((text for text in reversed(view.unheard) if text), "")
        speed = f"{self.tokens_per_s:.0f} tok/s" if live and not view.over and self.size.width >= 100 else ""
        shown = (data, task, view.model, state, clock, str(full), best, speed, str(len(view.attempts)), waits,
                 view.doing, str(self.size.width))  # fmt: skip
        if shown == self._shown:
            return
        self._shown = shown
        narrow = self.size.width < 100
        waiting = f"from the next step on: {inert_line(waits, 40)}" if waits else ""
        first = Content.assemble(
            (inert_line(data, 40), "bold"), ("  →  ", "$secondary"), inert_line(task, 60),
            (f"   {waiting}" if narrow and waits else f"   model {inert_line(view.model or '…', 24)}", "$secondary"),
        )  # fmt: skip
        second = Content.assemble(
            (f"{state:<14}", "bold $accent" if live else "bold"),
            ("━" * full, "$primary"),
            ("─" * (width - full), "$secondary 60%"),
            f" {clock:<16}",
            (f"{len(view.attempts):>3} attempts  ", "$secondary"),
            (f"{best:<16}", "bold $success"),
            (f"{speed:<10}", "$secondary"),
            ("" if narrow or view.over else waiting or inert_line(view.doing, 60), "$secondary"),
        )
        self.update(Content.assemble(first, "\n", second.rstrip()), layout=False)
