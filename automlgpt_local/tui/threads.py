"""What a thread found out, for the screen that asked for it."""

from __future__ import annotations

from collections.abc import Callable

from textual.screen import Screen


def hand_over(screen: Screen, act: Callable[..., object], *args: object) -> None:  # type: ignore[type-arg]
    """From a thread: `act` in the app's own, unless the screen was closed meanwhile."""

    def unless_closed() -> object:
        return act(*args) if screen in screen.app.screen_stack else None

    screen.app.call_from_thread(unless_closed)
