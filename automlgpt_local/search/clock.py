"""The budget of a run in seconds: one promise for the whole process, model turns, fits, refit and export included."""

from __future__ import annotations

import time

# Left for the last event, the processes' own end and the reader of the exit code.
CLOSING_S = 1.0


class Clock:
    """Counts from `started_at` (CLOCK_MONOTONIC: the caller's start counts), on top of what earlier sittings used."""

    def __init__(self, limit_s: float, started_at: float | None = None, used_before_s: float = 0.0) -> None:
        self.limit_s = limit_s
        self._started_at = time.monotonic() if started_at is None else started_at
        self._used_before_s = used_before_s
        self._paused_s = 0.0
        self._paused_at: float | None = None

    def used_s(self) -> float:
        now = time.monotonic() if self._paused_at is None else self._paused_at
        return self._used_before_s + now - self._started_at - self._paused_s

    def left_s(self) -> float:
        """Seconds that work may still take; the closing second is not among them."""
        return self.limit_s - CLOSING_S - self.used_s()

    def pause(self) -> None:
        """Time that a person takes (a pause, an approval) is not counted."""
        self._paused_at = self._paused_at or time.monotonic()

    def go_on(self) -> None:
        if self._paused_at is not None:
            self._paused_s += time.monotonic() - self._paused_at
            self._paused_at = None
