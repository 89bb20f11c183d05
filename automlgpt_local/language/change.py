"""What a message to a run asks for: what changes in the run itself, what needs a run of its own, what is unclear.

The words are those of a request (`request.read_words`); no model reads them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from automlgpt_local.data.names import ColumnIndex
from automlgpt_local.errors import UsageError
from automlgpt_local.language import phrases
from automlgpt_local.language.durations import WORD_NUMBER
from automlgpt_local.language.request import Asked, read_words
from automlgpt_local.language.resolve import require_models
from automlgpt_local.metrics import METRICS
from automlgpt_local.settings import format_seconds
from automlgpt_local.task import TaskSpec

LONGEST_MESSAGE = 2000
EXAMPLES = "Understood are, for example: only linear models · no neural networks · no ensemble · stop in 2 minutes"
FIXED = "A run keeps its target, metric and columns, for its scores would no longer compare."

_STOP = re.compile(
    r"(?:(?:ok(?:ay)?|please|pls|thanks|just|(?:i\s+think\s+)?(?:that['’]?s\s+)?(?:good\s+)?enough|i['’]?ve\s+seen\s+enough"
    r"|you\s+(?:can|may|should))[\s,.!]+)*(?:stop|finish|end|quit|halt|abort|cancel)"
    r"(?:[\s,]+(?:it|now|here|the\s+run|the\s+search|please|pls|immediately|at\s+once|right\s+(?:now|away)))*"
    r"(?:[\s,]+and\s+(?:keep|take|give\s+me)\s+the\s+best\b[\w\s]{0,40})?[.!]*|abort\s*!.*",
    re.IGNORECASE,
)
_TARGET = re.compile(
    r"^\s*(?:(?:the|change|set|use|new|make|switch)\s+)*target(?:\s+column)?(?:\s+(?:to|is|should\s+be)|\s*[:=])?\s+(?=\S)",
    re.IGNORECASE,
)
_MORE_BETWEEN = re.compile(
    r"(\b[\w.-]+\s+)(?:more|extra|additional|further)\s+(?=(?:seconds?|secs?|minutes?|mins?|hours?)\b)", re.IGNORECASE
)
_MORE = re.compile(
    r"\b(?:(?<!no )(?<!not )more(?!\s+than)|add|longer(?!\s+than)|increase|raise|another|extra|additional|further"
    r"|extend\w*|prolong\w*)\b|(?<![\w.])\+\s*(?=\d)",
    re.IGNORECASE,
)
_BY = re.compile(r"\bby\s+(?=(?:an?\b|half|\d|[a-z]+\s+(?:seconds?|minutes?|hours?)\b))", re.IGNORECASE)
_UNIT = r"(?:seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h)"
_LESS = re.compile(
    rf"\b{_UNIT}\s+(?:less|fewer|shorter)\b|\d{_UNIT}\s+(?:less|shorter)\b"
    r"|\b(?:(?:reduce|cut|shorten|decrease|lower)\w*\b.*\bby|(?:cut|take|knock|shave)\b[^.;]*\boff)\b",
    re.IGNORECASE,
)
_TO = re.compile(
    r"\b(?:extend|prolong|increase|raise|reduce|cut|shorten|decrease|lower|set|change)\b[^.;]*?\bto\s+"
    rf"(?:\d[\d:.,]*\s*-?\s*{_UNIT}|(?:{WORD_NUMBER})[\s-]+{_UNIT})\b",
    re.IGNORECASE,
)
_AT_MOST = re.compile(r"\b(?:at\s+most|no(?:t)?\s+more\s+than|up\s+to|more\s+than)\b", re.IGNORECASE)
_QUESTION = re.compile(
    r"\s*(?:why|how\s+come)\b|\s*(?:(?:so|and|but|ok|hey|hm+)[\s,]+)*"
    r"(?:is|are|was|were|did|does|do|has|have|how(?!\s+about)|what(?!\s+about)|which|who|when|where|should|would\s+it|will\s+it)\b.*\?\s*$",
    re.IGNORECASE,
)
_CORRECTION = re.compile(r"\b(?:no\s*,?\s+wait|sorry|i\s+meant?|scratch\s+that|correction)\b[\s,:.–-]*", re.IGNORECASE)
_TIMES = re.compile(r"\b(?P<how>doubl|tripl|halv)\w*\b[^.;]*\b(?:time|limit|budget)\b", re.IGNORECASE | re.ASCII)
_NOT_SO = re.compile(  # "don't stop in 5 minutes"
    r"(?:n['’]t|\bnot|\bnever|\bno\s+need\s+to|\bdont)\s+(?:\w+\s+)?(?:stop|finish|end|doubl|tripl|halv|extend|increas|rais|add|reduc|cut)\w*",
    re.IGNORECASE,
)
_FACTORS = {"doubl": 2.0, "tripl": 3.0, "halv": 0.5}
_IN_ALL = re.compile(r"\b(?:in\s+all|in\s+total|altogether|overall|limit|budget)\b", re.IGNORECASE)
_FROM_NOW = re.compile(
    r"\b(?:from\s+(?:now|here)|left)\b|\b(?:stop|finish|end|done|ready|over|wrap\s+up)\b.{0,20}\b(?:in|within)\b", re.I
)
FAMILY_WORDS = {
    "linear": "linear models", "neural": "neural networks", "forest": "forests", "neighbours": "nearest neighbours",
    "lightgbm": "LightGBM", "xgboost": "XGBoost", "catboost": "CatBoost",
}  # fmt: skip
_ENSEMBLE = re.compile(
    r"\b(?:use|with|build|make|allow|want|do)\s+(?:an?\s+|the\s+)?(?:ensembl|blend|stack)\w*"
    r"|\b(?:ensembl|blend|stack)\w*\s+(?:back\s+on|on|again)\b|\b(?:switch|turn)\s+on\s+(?:the\s+)?ensembl\w*",
    re.I,
)


@dataclass(frozen=True)
class Reply:
    """`changes`: fields of TaskSpec that this run can change; `branch`: fields of Request for a run of its own.

    `choices`: (label, the message that it stands for) where the words can mean several things. `known`: were the words
    understood at all?
    """

    text: str
    changes: dict[str, Any] = field(default_factory=dict)
    branch: dict[str, Any] = field(default_factory=dict)
    choices: tuple[tuple[str, str], ...] = ()
    stop: bool = False
    known: bool = True


def read_change(text: str, task: TaskSpec, columns: Sequence[str], used_s: float, limit_s: float) -> Reply:
    """What a message changes. task: as it is now; used_s, limit_s: of the run's clock."""
    text = " ".join(text.split())[:LONGEST_MESSAGE]
    if _STOP.fullmatch(text):
        return Reply("Stopping; the best model is kept.", stop=True)
    if _QUESTION.match(text):
        return Reply("Not understood as a change of the run.", known=False)
    if (correction := _CORRECTION.search(text)) and correction.start():
        first, last = (
            read_change(part, task, columns, used_s, limit_s)
            for part in (text[: correction.start()], text[correction.end() :])
        )
        if last.changes or last.branch or last.stop:
            return _corrected(first, last)
    more = _MORE_BETWEEN.search(text) is not None
    plain = re.sub(r"@(?=\S)", "", _TARGET.sub("target: ", _BY.sub("for ", _MORE_BETWEEN.sub(r"\1", text))))
    told: list[str] = []
    changes: dict[str, Any] = {}
    try:
        asked = read_words(plain, ColumnIndex(columns))
        _families(asked, task, changes, told)
        _ensemble(asked, text, task, changes, told)
    except UsageError as error:
        return Reply(f"{error.message} {error.hint} Nothing was changed.".strip())
    branch = _branch(asked, task, told)
    unclear, denied = None, _NOT_SO.search(text) is not None
    if asked.time_limit_s is not None and not denied:
        unclear = _time(asked.time_limit_s, text, more, used_s, limit_s, changes, told)
    elif (times := _TIMES.search(text)) and not denied:
        _end_at(_FACTORS[times["how"].lower()] * limit_s, used_s, changes, told)
    if unclear is not None:
        return unclear
    if changes or branch or told:
        return Reply(" ".join(told), changes, branch)
    return _unclear(asked, plain) or Reply("Not understood as a change of the run.", known=False)


def _corrected(first: Reply, last: Reply) -> Reply:
    """What was said behind "sorry, I mean", and of what was said before it what that leaves as it is."""
    if not last.changes.keys().isdisjoint(first.changes) or first.branch or last.branch or first.stop or last.stop:
        return last
    both = f"{first.text} {last.text}" if first.changes else last.text
    return replace(last, text=both, changes=first.changes | last.changes)


def _families(asked: Asked, task: TaskSpec, changes: dict[str, Any], told: list[str]) -> None:
    if not asked.only and not asked.never:
        return
    only = tuple(f for f in asked.only or task.only if f not in asked.never)
    never = tuple(dict.fromkeys(f for f in (*task.never, *asked.never) if f not in asked.only))
    wanted = replace(task, only=only, never=never)
    if task.only and not only:
        raise UsageError(f"The run may only use {listed(task.only)}; without that nothing is left.", "/undo first.")
    require_models(wanted)
    if (only, never) == (task.only, task.never):
        told.append("That is so already.")
        return
    changes.update(only=list(only), never=list(never))
    told.append(f"{_sentence(only, never)} From the next step on; models of other kinds no longer count.")


def _sentence(only: Sequence[str], never: Sequence[str]) -> str:
    parts = [f"only {listed(only)}"] * bool(only) + [f"no {listed(never)}"] * bool(never)
    said = "; ".join(parts) or "all kinds of models"
    return said[0].upper() + said[1:] + "."


def listed(families: Sequence[str]) -> str:
    return ", ".join(FAMILY_WORDS.get(f, f) for f in families)


def _ensemble(asked: Asked, text: str, task: TaskSpec, changes: dict[str, Any], told: list[str]) -> None:
    wanted = asked.ensemble if asked.ensemble is not None else True if _ENSEMBLE.search(text) else None
    if wanted is None:
        return
    if wanted == task.ensemble:
        told.append("That is so already.")
        return
    changes["ensemble"] = wanted
    told.append("The best models are put together at the end." if wanted else "No ensemble: the best single model.")


def _time(
    seconds: float, text: str, more: bool, used_s: float, limit_s: float, changes: dict[str, Any], told: list[str]
) -> Reply | None:
    """A question when it is not said from when the time counts."""
    if more and _AT_MOST.search(text):
        end_s = used_s + seconds
    elif _LESS.search(text):
        end_s = limit_s - seconds
    elif (more or _MORE.search(text)) and not _TO.search(text):
        end_s = limit_s + seconds
    elif _IN_ALL.search(text) or _TO.search(text):
        end_s = seconds
    elif _FROM_NOW.search(text):
        end_s = used_s + seconds
    else:
        time = _duration(seconds)
        return Reply(
            f"{time}, counted from when? {format_seconds(used_s)} of {format_seconds(limit_s)} are used.",
            choices=((f"{time} in all", f"{time} in all"), (f"{time} from now on", f"stop in {time}"),
                     (f"{time} more than now", f"{time} more")),
        )  # fmt: skip
    _end_at(end_s, used_s, changes, told)
    return None


def _end_at(end_s: float, used_s: float, changes: dict[str, Any], told: list[str]) -> None:
    changes["time_limit_s"] = round(end_s, 2)
    if end_s <= used_s:
        told.append(f"That time is over ({format_seconds(used_s)} are used): the run ends with the best model.")
    else:
        told.append(f"The run may take {format_seconds(end_s)} in all; {format_seconds(end_s - used_s)} are left.")


def _duration(seconds: float) -> str:
    units = ((3600, "hour"), (60, "minute"), (1, "second"))
    size, unit = next((s, u) for s, u in units if s == 1 or (seconds >= s and seconds % s == 0))
    return f"{seconds / size:g} {unit}{'s' * (seconds != size)}"


def _branch(asked: Asked, task: TaskSpec, told: list[str]) -> dict[str, Any]:
    """What a run cannot change, as fields of the request for another one."""
    fields: dict[str, Any] = {}
    said = bool(asked.ignore) or (asked.target is not None and not asked.target_guessed)
    if asked.target is not None and not asked.target_guessed and asked.target != task.target:
        fields["target"] = asked.target
    fresh = [c for c in asked.ignore if c not in task.ignore and c != fields.get("target", task.target)]
    if fresh:
        fields["ignore"] = [*task.ignore, *fresh]
    for name in ("metric", "group", "time", "weight", "positive", "kind", "trials", "threads"):
        wanted = getattr(asked, name)
        said = said or wanted is not None
        if wanted is not None and wanted != getattr(task, name):
            fields[name] = wanted
    metric = fields.get("metric")
    if (
        metric is not None
        and "target" not in fields
        and "kind" not in fields
        and task.kind not in METRICS[metric].kinds
    ):
        told.append(f"The metric {metric} does not fit a {task.kind} task.")
        del fields["metric"]
    if fields:
        what = ", ".join(f"{k} {listed(v[len(task.ignore) :]) if k == 'ignore' else v}" for k, v in fields.items())
        told.append(f"{FIXED} A new run can have it: {what}.")
    elif not told and said:
        told.append("That is so already.")
    return fields


def _unclear(asked: Asked, text: str) -> Reply | None:
    """One question about words that are known but do not say what is wanted."""
    families = phrases.families_in(text)
    if families:
        names, words = ", ".join(families), listed(families)
        return Reply(
            f"{words}: what about them?",
            choices=((f"only {words}", f"only {names}"), (f"no {words}", f"no {names}"), ("change nothing", "")),
        )
    if asked.target is not None and asked.target_guessed:
        name = asked.target
        quoted = f'"{name}"' if '"' not in name else name
        return Reply(
            f"{name}: what about it?",
            choices=(("predict it, in a new run", f"target: {quoted}"),
                     ("leave it out, in a new run", f"ignore {quoted}"), ("change nothing", "")),
        )  # fmt: skip
    return None
