"""Time limits in plain English. A duration that belongs to what is predicted is none."""

from __future__ import annotations

import re
from dataclasses import dataclass

_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_PHRASES = {
    "half an": 0.5, "half a": 0.5, "half": 0.5, "a quarter of an": 0.25, "quarter of an": 0.25,
    "three quarters of an": 0.75, "a couple of": 2, "a few": 3, "a": 1, "an": 1,
}  # fmt: skip
_WORDS = (
    {word: float(n) for n, word in enumerate(_ONES)}
    | {word: 10.0 * n for n, word in enumerate(_TENS, 2)}
    | {f"{tens} {_ONES[one]}": 10.0 * n + one for n, tens in enumerate(_TENS, 2) for one in range(1, 10)}
    | {phrase: float(n) for phrase, n in _PHRASES.items()}
)
WORD_NUMBER = "|".join(
    re.escape(word).replace(r"\ ", r"[\s-]+") for word in sorted(_WORDS, key=len, reverse=True) if word != "zero"
)
_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(
    rf"(?:(?<![\w.,:/$€£])|(?<=\d[hm]))(?:(?P<h>\d{{1,9}})h(?P<min>[0-5]\d)\b|(?P<n>\d{{1,9}}:\d\d|\d{{1,9}}(?:[.,]\d{{1,9}})?|(?:{WORD_NUMBER})(?=[\s-]))"
    r"(?P<half>\s*(?:½|\s1/2|\sand\s+a\s+half))?(?P<gap>\s*-?\s*)"
    r"(?P<unit>seconds?|secs?|s|minutes?|mins?|m|hours?|hrs?|h|days?)(?![^\W\d_])(?P<and_half>\s+and\s+a\s+half)?)",
    re.IGNORECASE | re.ASCII,
)
_JOINT = re.compile(r"\s*(?:,|and|,\s*and)?\s*$", re.IGNORECASE)
_LETTER_BEHIND = re.compile(  # what makes "5 m" minutes
    r"(?:\b(?:in|within|for|takes?|taking|up\s+to|at\s+most|max(?:imum)?|under|than|(?:limit|budget|time)(?:\s+(?:is|of|to))?"
    r"|spend|use|have|has|about|only|after)|[:=])\s*$",
    re.IGNORECASE,
)
_COMPARED = re.compile(  # "delayed by more than 15 minutes", not "take no more than 15 minutes"
    r"\b(?:(?<!no )(?<!not )(?:more|longer|greater|later|older|larger|bigger|shorter|earlier|fewer)\s+than|over|above"
    r"|below|exceed\w*|every|each|per)\s+$",
    re.IGNORECASE,
)
_OF_AN_EVENT = re.compile(  # "2 hours before departure", "30 minutes late", "48 hours of discharge"
    r"\s*(?:before|ahead|late|early|earlier|ago|apart|old|delay\w*|or\s+(?:more|longer|later)"
    r"|from\s+(?!now\b|here\b)|away\b|by\s+(?:car|train|bus|bike|foot)\b|on\s+foot\b|walk\w*|drive|interval|window|step|resolution"
    r"|after\s+(?!that\b|which\b)|of\s+(?!train|search|fit|time|work|comput|cpu|the\s|your|my))\b",
    re.IGNORECASE,
)
_PAST_OR_AHEAD = re.compile(
    r"\b(?:next|coming|following|last|past|previous|lasted)\s+$|\btook\b[^,.;]{0,40}$|\b(?:ran|\w+ed\b[^.;]{0,40})\s+for\s+$",
    re.IGNORECASE,
)
_AMOUNT_OF = re.compile(r"(?<!limit )(?<!budget )(?<!maximum )(?<!time )\bof\s+$", re.IGNORECASE)  # "delays of 2 hours"
_SOMETHING_TAKES = re.compile(
    r"\b(?:an?|the|each|every|one)\s+(?!run\b|search\b|training\b)\w+\s+takes\b", re.IGNORECASE
)
_LIMIT_BEFORE = re.compile(
    r"(?:\b(?:in(?:\s+under)?|within|for|only|just|than|say)|[-–:=])\s*(?:about\s+|the\s+)?$", re.IGNORECASE
)
_IS_ENOUGH = re.compile(
    r"\s+(?:(?:is|are|will\s+be|should\s+be)\s+)?(?:all\b|enough|fine|ok\b|okay|plenty|the\s+limit|max\w*|tops|do\b|of\s+(?:comput|train|work|cpu)\w*|to\s+(?:train|run|fit|work)|for\s+train\w*|at\s+most|or\s+less)",
    re.IGNORECASE,
)
MOST_WORDS_BESIDE = 4  # of a clause that gives a limit without a word for it
_EFFORT = re.compile(
    r"\b(?:train\w*|fit\w*|search\w*|finish\w*|done|ready|tak(?:e|es|ing)|spend\w*|budget\w*|limit\w*|at\s+most"
    r"|up\s+to|max\w*|give|want|stop|deadline|(?:you|i)(?:['’]ve|\s+(?:(?:only|can|may|could)\s+)*have)"
    r"|let\s+(?:it|the\s+(?:run|search))|go(?:ing)?\s+on|continu\w*|keep\s+(?:going|running)|extend\w*|time\s*(?:[:=]|is\b))",
    re.IGNORECASE,
)
_OUTCOME = re.compile(
    r"\b(?:will|would|whether|if|likely|chances?|probability|risk|who|which|is|are|means?|find)\b|=", re.IGNORECASE
)


@dataclass(frozen=True)
class _Duration:
    start: int
    end: int
    seconds: float
    unit: str


def limits(text: str) -> list[float]:
    """Time limits in seconds that a text names: those of clauses that speak of effort first, else in their order."""
    found: list[tuple[bool, float]] = []
    for duration in _durations(text):
        clause = re.split(r"[,;:!?/|](?!\d)|\.(?!\d)", text[: duration.end])[-1]
        effort = _EFFORT.search(clause) is not None
        if not _of_the_question(text, duration, clause, effort):
            found.append((effort, duration.seconds))
    return [seconds for _, seconds in sorted(found, key=lambda f: not f[0])]


def _durations(text: str) -> list[_Duration]:
    """All durations; "1 hour 30 minutes" and "1h30m" are one."""
    found: list[_Duration] = []
    for match in _PART.finditer(text):
        if match["h"]:  # 1h30
            found.append(_Duration(match.start(), match.end(), 3600.0 * int(match["h"]) + 60 * int(match["min"]), "h"))
            continue
        unit = match["unit"][0].lower()
        if match[0].lower() == "a second" or re.fullmatch(
            r"(?:1[89]|20)\d0s", match[0]
        ):  # "a second league", "the 1990s"
            continue
        before = text[: match.start()]
        joined = bool(found) and _JOINT.match(text[found[-1].end : match.start()])
        alone = re.search(r"(?:^|[.,;:!?])\s*$", before) and re.match(r"\s*(?:$|[.,;!?])", text[match.end() :])
        if len(match["unit"]) == 1 and match["gap"] and not (joined or alone or _LETTER_BEHIND.search(before)):
            continue
        amount = number(match["n"]) + 0.5 * bool(match["half"]) + 0.5 * bool(match["and_half"])
        part = _Duration(match.start(), match.end(), amount * _SECONDS[unit], unit)
        last = found[-1] if found else None
        if last and "," in text[last.end : part.start] and not text[part.start].isdigit():
            last = None  # "not an hour, ten minutes"
        if last and _JOINT.match(text[last.end : part.start]) and _SECONDS[last.unit] > _SECONDS[unit]:
            found[-1] = _Duration(last.start, part.end, last.seconds + part.seconds, unit)
        else:
            found.append(part)
    return found


def number(text: str) -> float:
    if ":" in text:
        whole, sixtieths = text.split(":")
        return int(whole) + int(sixtieths) / 60
    if text[0].isdigit():
        return float(text.replace(",", "") if re.fullmatch(r"\d{1,3},\d{3}", text) else text.replace(",", "."))
    return _WORDS[re.sub(r"[\s-]+", " ", text.lower())]


def _of_the_question(text: str, duration: _Duration, clause: str, effort: bool) -> bool:
    before, alone = text[: duration.start], clause.strip() == text[duration.start : duration.end].strip()
    compared = _COMPARED.search(before) and not re.search(r"n['’]t\s|\bnot\s", clause, re.IGNORECASE)
    if compared or _OF_AN_EVENT.match(text, duration.end):
        return True
    if duration.unit == "m" and re.match(r"\s+of\b", text[duration.end :]) and text[duration.end - 1] == "m":  # metres
        return True
    if re.search(r"(?:n['’]t|\bnot)\s+(?:want|need|have)\s+an?\b", clause, re.IGNORECASE):
        return True
    if _PAST_OR_AHEAD.search(before) and not re.search(r"\b(?:finish|stop|end)\b.*$", clause, re.IGNORECASE):
        return True
    if _AMOUNT_OF.search(before) or _SOMETHING_TAKES.search(clause):
        return True
    if effort or alone or _IS_ENOUGH.match(text, duration.end):
        return False
    if len(clause.split()) > MOST_WORDS_BESIDE and not _LIMIT_BEFORE.search(before):
        return True
    within = re.search(r"\bwithin\s+(?:the\s+)?$", before, re.IGNORECASE)
    return duration.unit == "d" or bool((duration.unit == "h" or within) and _OUTCOME.search(clause))
