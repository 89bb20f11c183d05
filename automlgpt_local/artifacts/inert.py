"""Text that came from a table, a model or a sandbox, made harmless for Markdown and HTML."""

from __future__ import annotations

import re

from automlgpt_local.sandbox.text import inert

_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|!~$&])")
_LINK = re.compile(r"(?i)\b(https?|ftp|www)(://|\.)")


def plain(value: object, limit: int = 200) -> str:
    """One line of visible text, at most `limit` characters."""
    shown = " ".join(inert(str(value)[: limit * 4]).split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def lines(value: object, limit: int = 2000) -> str:
    """Several lines of visible text, for a preformatted block."""
    return inert(str(value)[: limit * 4])[:limit]


def markdown(value: object, limit: int = 200) -> str:
    """`plain`, with everything that Markdown would read as markup taken as text."""
    text = _MARKDOWN.sub(r"\\\1", plain(value, limit))
    return _LINK.sub(lambda m: f"{m[1]}\u200b{m[2]}", text)
