"""Makes text of unknown origin (a table's cells, a model's words, a child's output) safe to draw on a terminal."""

from __future__ import annotations

import re

# CSI and OSC sequences, then any other escape; C0 and C1 controls; bidi and other invisible format characters.
_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[\]PX^_].*?(?:\x07|\x1b\\|$)|\x1b.?", re.DOTALL)
_CONTROLS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]")
# Fillers, tags, variation selectors, skin tones, keycaps: unseen by themselves, and terminals disagree on their width.
_JOINING = re.compile(
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u20e3\u3164\ufe00-\ufe0f\uffa0"
    "\U0001f3fb-\U0001f3ff\U000e0000-\U000e0fff]"
)
# Two of these make a flag, on some terminals.
_FLAG_LETTERS = {0x1F1E6 + n: chr(ord("A") + n) for n in range(26)}
_SURROGATES = re.compile("[\ud800-\udfff]")


def inert(text: object, limit: int = 20_000, line_limit: int = 2_000) -> str:
    """`text` without escape sequences, control or direction characters; what is cut off is said, never hidden."""
    whole = str(text)
    head = whole[: limit * 4]
    # A zero-width joiner glues emoji together; without it they fall apart into their parts, aligned.
    clean = _CONTROLS.sub("", _ESCAPES.sub("", head.replace("\r\n", "\n")))
    clean = _SURROGATES.sub("\ufffd", _JOINING.sub("", clean)).translate(_FLAG_LETTERS).expandtabs(4)
    lines = [f"{x[:line_limit]} … ({len(x) - line_limit:,} more characters)" if len(x) > line_limit else x
             for x in clean.split("\n")]  # fmt: skip
    clean = "\n".join(lines)
    left_out = len(clean) - limit + len(whole) - len(head)
    return f"{clean[:limit]}\n… ({left_out:,} more characters)" if left_out > 0 else clean


def inert_line(text: object, limit: int = 200) -> str:
    """`inert` on one line of at most `limit` characters."""
    clean = " ".join(inert(str(text)[: limit * 8], limit * 8, limit * 8).split())
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"
