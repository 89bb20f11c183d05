"""A chat turn inside the worker."""

from __future__ import annotations

from typing import Any


class ChatLoop:
    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
