"""Taking a chat model's answer apart: thought, code, calls. Whatever the text, the result is a `Reply`."""

from __future__ import annotations

from typing import Any

from automlgpt_local.llm.backend import Reply


def parse_reply(answer: dict[str, Any], schema: dict[str, Any] | None, *, seconds: float) -> Reply:
    raise NotImplementedError
