"""Takes out of a text what nobody wants in a data set: keys, passwords, addresses, the names of home folders."""

from __future__ import annotations

import re

# Digits or capitals among the letters of a word: a key, not a name as sk_customer_dimension.
_MIXED = r"(?=[\w-]*(?:[A-Za-z]\d|\d[A-Za-z]|[a-z][A-Z]|[A-Z][a-z]))"
_SECRETS = tuple(map(re.compile, (
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    rf"\b(?:sk|pk|rk)[-_]{_MIXED}(?:live|test|proj|ant)?[-_]?[A-Za-z0-9_-]{{16,}}",
    r"\b(?:gh[pousr]|github_pat|glpat|hf|xox[abprs])[-_][A-Za-z0-9_-]{16,}",
    r"\bA(?:KIA|SIA)[A-Z0-9]{16}\b",
    r"\bAIza[A-Za-z0-9_-]{30,}",
    r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]*",
    r"(?<=[Bb]earer )[A-Za-z0-9._~+/-]{12,}=*",
    r"(?<=://)[^\s/:@]+:[^\s/@]+(?=@)",
    r"(?i:password|passwd|pwd|secret|api[_-]?key|access[_-]?key|token)[\"']?\s*[=:]\s*"
    r"(?:[\"'][^\s\"']{6,}|(?=[^\s\"',;()\[\]{}]*\d)[^\s\"',;()\[\]{}]{6,}+(?![(\[]))",  # not a call
    r"(?<![\w.+-])[\w.+-]++@(?:(?:[^\W_](?:-*[^\W_])*+\.)+[^\W\d_]{2,}|\d+(?:\.\d+){3})"
    r"(?![\w(\[-]|\.\w)",  # not X@other.T or X@np.linalg.inv(Y)
    r"(?<=/home/)[^/\s\"']+|(?<=/Users/)[^/\s\"']+|(?<=\\Users\\)[^\\\s\"']+",
)))  # fmt: skip


def redact(text: str) -> str:
    """The same text with "[secret]" in the place of each."""
    for pattern in _SECRETS:
        text = pattern.sub("[secret]", text)
    return text
