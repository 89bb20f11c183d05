"""Text that came from a table, a model or a sandbox, made harmless for a terminal, Markdown and HTML."""

from __future__ import annotations

import re
import unicodedata

# Control characters (ESC and C1 among them), bidirectional overrides, zero-width and other invisible characters.
_INVISIBLE = {"Cc", "Cf", "Cs", "Co", "Cn"}
_MARKDOWN = re.compile(r"([\\`*_{}\[\]<>#|!~$&])")
_LINK = re.compile(r"(?i)\b(https?|ftp|www)(://|\.)")


def plain(value: object, limit: int = 200) -> str:
    """One line of visible text, at most `limit` characters."""
    text = str(value)[: limit * 4]
    shown = "".join(
        " " if c in "\n\r\t" else c for c in text if c in "\n\r\t" or unicodedata.category(c) not in _INVISIBLE
    )
    shown = " ".join(shown.split())
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def lines(value: object, limit: int = 2000) -> str:
    """Several lines of visible text, for a preformatted block."""
    kept = [plain(line, limit) for line in str(value)[: limit * 4].splitlines()]
    return "\n".join(kept)[:limit]


def markdown(value: object, limit: int = 200) -> str:
    """`plain`, with everything that Markdown would read as markup taken as text."""
    text = _MARKDOWN.sub(r"\\\1", plain(value, limit))
    return _LINK.sub(lambda m: f"{m[1]}\u200b{m[2]}", text)
