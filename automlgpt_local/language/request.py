"""What a sentence of plain English asks for. No language model, no pandas: words that are known, columns that exist."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from automlgpt_local.data.names import ColumnIndex
from automlgpt_local.errors import UsageError
from automlgpt_local.language import durations, goal, left_out, phrases, roles
from automlgpt_local.language.mentions import Mentions
from automlgpt_local.metrics import METRICS
from automlgpt_local.settings import format_seconds
from automlgpt_local.task import Kind

_LABEL = r"[\"'`][^\"'`]+[\"'`]|[\w<>=+-][\w<>=+.-]*"
_POSITIVE = re.compile(
    r"(?<!false )(?<!true )\bpositive\s*(?:\b(?:class|label)\s*(?:of\s+[^.;,]{1,40}?\s+(?=is\b|should\b|[:=]))?"
    rf"(?:is|should\s+be|[:=])?|\bis\b|[:=])\s*(?!(?:the|an?|rare|makes?|has|of)\b)(?P<a>{_LABEL})"
    rf"|\b(?:treat|take|count|use|with)\s+(?P<b>{_LABEL})\s+as\s+(?:the\s+)?positive\b"
    rf"|(?P<c>{_LABEL})\s+is\s+the\s+positive\s+(?:class|label)\b"
    rf"|\b(?:class|label)\s+(?P<d>{_LABEL})\s+(?:is|should\s+be|counts\s+as)\s+(?:the\s+)?positive\b"
    rf"|\b(?:interesting|relevant)\s+(?:class|label)\s+is\s+(?P<g>{_LABEL})"
    r"|\b(?:positive|for\s+the\s+(?:label|class))\s+(?P<h>[\"'`][^\"'`]+[\"'`]|yes|no|true|false|[YN01])(?!\w)"
    rf"|\bcare\s+(?:most\s+)?about\s+(?:the\s+)?(?P<f>{_LABEL})\s+class\b"
    r"|(?<!\w)(?P<e>[\"'`][^\"'`]+[\"'`]|yes|no|true|false|[YN]|0|1)"
    r"(?:\s*=|\s+(?:is|should\s+be|counts\s+as|(?:is|should\s+be)\s+(?:treated|taken)\s+as))\s*(?:the\s+)?positive\b",
    re.IGNORECASE,
)
_NA_IS_A_CLASS = re.compile(
    r"[\"'`“”]?(?:N/?A|None|null|NaN)[\"'`“”]?\s+(?:is|counts\s+as|stands\s+for)\s+(?:a|one|its\s+own|another)\s+"
    r"(?:\w+\s+){0,2}?(?:class|label|category|value|region|group|country)\b",
    re.IGNORECASE,
)
_CLAUSES = re.compile(r"(?<=[.;!?])\s+|,\s+|\s+(?=(?:and|but)\s)|\s*[()]\s*")
_DEMANDS = re.compile(
    r"^(?:and\s+|but\s+|please\s+|also\s+|then\s+)*(?:use|try|keep|treat|take|split|make|ensure|focus|handle|impute|fill|scale"
    r"|encode|remove|drop|ignore|avoid|stop|fit|train|optimi[sz]e|maximi[sz]e|minimi[sz]e|report|tune|limit|build|give|include"
    r"|exclude|leave|forget|skip|weight|group|validate|test|score|prefer|be|do|never|no|not|only|without)\b"
    rf"|{phrases.NEGATION}|\b(?:actually|sorry|i\s+mean\w*|changed|must|should|shall|need|needs|want|prefer|please|make\s+sure|cannot|only|never|without)\b",
    re.IGNORECASE,
)
LONGEST_REQUEST = 2000  # characters that are read
MOST_CLAUSES = 20  # of which it is found out whether they have an effect, and
MOST_READ = 20_000  # the characters that may be read anew for it


@dataclass
class Asked:
    """None or empty: not said."""

    target: str | None = None
    target_guessed: bool | None = None  # it is only the one column that the request mentions
    kind: Kind | None = None
    metric: str | None = None
    time_limit_s: float | None = None
    ignore: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    weight: str | None = None
    positive: str | None = None
    exact_target: bool | None = None
    only: tuple[str, ...] = ()
    never: tuple[str, ...] = ()
    ensemble: bool | None = None
    threads: int | None = None
    trials: int | None = None
    warnings: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)  # clauses that demand something and change nothing


def parse_ask(text: str, columns: Sequence[str]) -> Asked:
    """Read a request against the columns of the table. Raises UsageError for a column that does not exist."""
    text = " ".join(text.split())
    read, index = text[:LONGEST_REQUEST], ColumnIndex(columns)
    asked = read_words(read, index)
    asked.unread = [clause for clause in _demands(read) if not _has_effect(clause, read, asked, index)]
    if read != text:
        asked.warnings.append(f"Of the request the first {LONGEST_REQUEST:,} characters were read.")
    return asked


def _demands(text: str) -> list[str]:
    clauses = (clause.strip(" .,;:!?") for clause in _CLAUSES.split(text))
    demands = [c for c in clauses if _DEMANDS.search(c) and len(re.sub(r"^(?:and|but)\s", "", c).split()) > 1]
    return demands[: min(MOST_CLAUSES, MOST_READ // max(1, len(text)))]


def _has_effect(clause: str, text: str, asked: Asked, index: ColumnIndex) -> bool:
    """Is the request another one without the clause, or the clause a request of its own?"""
    try:
        if read_words(text.replace(clause, "", 1), index) != asked:
            return True
        alone = read_words(clause, index)
    except UsageError:
        return True
    if alone.target_guessed:  # the only column there, and no more is said of it
        alone.target, alone.target_guessed, alone.warnings = None, None, []
    return alone != Asked()


def read_words(text: str, index: ColumnIndex) -> Asked:
    """What the words of a text without line ends ask for, without a look at those that change nothing."""
    asked = Asked()
    said = Mentions(text, index)
    asked.target = goal.target(said, asked.warnings)
    asked.group = roles.group(said, asked.target, asked.warnings)
    asked.time = roles.time(said)
    asked.weight = roles.weight(said)
    taken = (asked.target, asked.group, asked.time, asked.weight)
    asked.ignore = tuple(
        c for c in left_out.ignored(said, taken, asked.warnings) if c not in (asked.target, asked.weight)
    )
    known = {*taken, *asked.ignore}
    if asked.target is None:
        asked.target = goal.only_mention(said, known, asked.warnings)
        asked.target_guessed = asked.target is not None or None
    found = _POSITIVE.search(text)
    if found:
        asked.positive = next(filter(None, found.groups())).strip("\"'`").rstrip(".,")
    elif asked.target is not None:
        equals = re.search(
            rf"(?<!\w){re.escape(asked.target)}[\"'`]?\s*={{1,2}}\s*(?!target\b)(?P<label>{_LABEL})",
            text,
            re.IGNORECASE,
        )
        asked.positive = equals["label"].strip("\"'`").rstrip(".,") if equals else None
    asked.exact_target = True if _NA_IS_A_CLASS.search(text) else None
    unread = left_out.unread(said, {*known, asked.target})
    asked.warnings += [unread] if unread else []
    rest = said.blanked()
    metrics = phrases.metrics(rest)
    if metrics:
        asked.metric = metrics[0]
        if len(metrics) > 1:
            asked.warnings.append(f"The request names several metrics ({', '.join(metrics)}); {metrics[0]} is used.")
    elif foreign := phrases.foreign_metric(rest):
        raise UsageError(f"There is no metric {foreign!r} here.", f"There are: {', '.join(METRICS)}.")
    asked.kind = phrases.kind(rest)
    limits = durations.limits(rest)
    asked.time_limit_s = limits[0] if limits else None
    if len(set(limits)) > 1:
        asked.warnings.append(
            f"The request names several durations; a time limit of {format_seconds(limits[0])} is used."
        )
    asked.trials = phrases.count(rest, r"trials?|attempts?|configurations?")
    asked.threads = phrases.count(rest, r"threads?|cores?|cpus?")
    asked.ensemble = False if phrases.NO_ENSEMBLE.search(rest) else None
    asked.only, asked.never = phrases.families(rest)
    both = set(asked.only) & set(asked.never)
    if asked.only and both == set(asked.only):
        raise UsageError(f"The request wants only {', '.join(asked.only)} and also none of it.", "Say one of the two.")
    asked.only = tuple(f for f in asked.only if f not in both)
    return asked
