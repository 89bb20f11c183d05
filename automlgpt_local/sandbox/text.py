"""Text of others made inert before it reaches a terminal, a report, a log or a prompt."""

from __future__ import annotations

import re
import unicodedata

# ESC sequences: OSC, DCS, APC, PM, SOS up to their end; CSI; any other escape of two characters. 7 and 8 bit forms.
# Each alternative matches whatever follows its first character: nothing is tried twice, the time is linear.
_ESCAPES = re.compile(
    r"(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)?"
    r"|(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]?"
    r"|\x1b[ -/]*[0-~]?"
)
_KEPT = {"\n", "\t"}
# Cc control, Cf format (bidi overrides, zero width, tags), Cs surrogate, Co private, Zl Zp separators
_DROPPED = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}


def inert(text: str) -> str:
    """`text` without escape sequences, control, bidi and invisible characters; newline and tab stay.

    Brackets stay too: whoever draws it must not parse it as markup (rich: `Text(...)` or `escape`).
    """
    text = _ESCAPES.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    if text.isascii() and text.isprintable():
        return text
    return "".join(c for c in text if c in _KEPT or unicodedata.category(c) not in _DROPPED)


def inert_bytes(raw: bytes) -> str:
    return inert(raw.decode("utf-8", errors="replace"))


def tail(text: str, limit: int) -> str:
    """The last `limit` characters, cut at a line where that loses little."""
    if len(text) <= limit:
        return text
    cut = text[-limit:]
    newline = cut.find("\n")
    return "…" + (cut[newline:] if 0 <= newline < limit // 4 else cut)
