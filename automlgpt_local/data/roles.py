"""Which role a sentence gives to a column: the group, the time, the weight."""

from __future__ import annotations

import re

from automlgpt_local.data import phrases
from automlgpt_local.data.mentions import Mentions
from automlgpt_local.data.names import is_id_name, tokens

_NOT = r"(?:not|never|n['’]t|nt)"
_PRONOUNS = {"it", "this", "that", "them"}
_SPLIT_BY = r"split(?:ting)?(?:\s+the\s+(?:data|rows|table))?\s+(?:by|on)"
_ROWS_OF = r"(?:rows|records|observations|samples|cases|entries)\s+(?:of|with|from)\s+(?:one|the\s+same|each|an?)"
_GROUP = re.compile(
    r"\b(?:group(?:ed|ing|s)?(?:\s+(?:(?:the\s+)?(?:folds|rows|data|splits?|it|them)\s+)?(?:by|on|column(?:\s+is)?|is|are(?:\s+given\s+by)?)|\s*[:=])"
    rf"|{_SPLIT_BY}"
    r"|(?:group(?:ed)?[\s-]*(?:k-?\s?fold|cv|cross[\s-]*validation|split|out))\s+(?:by|on|with|using)"
    r"|leave[\s-]+(?:one|a)[\s-]+(?=[\w\s-]{1,40}out\b)|(?:cross[\s-]*)?validat(?:e|ion)\s+(?:should\s+be\s+|must\s+be\s+)?(?:by|across|per)"
    rf"|(?:(?:keep(?:ing)?\s+(?:all\s+)?(?:the\s+)?)?{_ROWS_OF}|keep(?:ing)?(?:\s+(?:each|every|all|one))?)"
    r"(?=[\w\s]{1,40}\btogether)"
    r"|(?:the|an?|one)\s+same(?=\s[^.;]*\b(?:together|folds?|split|spread|both|separat\w*|at\s+once|one\s+side)\b)"
    r"|unseen|new(?=\s+\w+\s+(?:at|when)\s+predict))",
    re.IGNORECASE,
)
_IS_GROUP = re.compile(
    rf"\s+(?:is|as|(?:should|must)\s+be)\s+the\s+group(?:ing)?\b|\s+(?:must|should|may|can)\s*{_NOT}\s+(?:appear|be)\s+in\s+both\b"
    rf"|\s+(?:that\s+)?(?:we|it|you|the\s+model)\s*(?:has|have|had|['’]ve|)\s*{_NOT}\s+(?:yet\s+)?(?:been\s+)?seen\b",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"\b(?:(?:time|date|timestamp)[\s-]*(?:column\s*)?(?:is|[:=])|(?:time|date|timestamp)[\s-]column\b"
    r"|in\s+time\s+(?:using|by|with|on)|(?:time[\s-]*)?order(?:ed)?\s+(?:by|in time by)"
    r"|sort(?:ed)?\s+by|chronological(?:ly)?(?:\s+split)?\s+(?:by|on|using)|(?:past|history)\s+by|over\s+time\s+by"
    r"|time[\s-]*(?:based[\s-]*|ordered[\s-]*|series[\s-]*)?(?:split|validation)\s+(?:by|on|with|using)|by\s+time(?:,|\s+(?:using|with|on))"
    r"|time[\s-]*series(?:,|\s+(?:by|on|in|with|using))"
    r"|(?:later|latest|most\s+recent|newest|future)\b[^.;]{0,40}?\b(?:by|using|with))",
    re.IGNORECASE,
)
_IS_TIME = re.compile(
    r"\s+(?:is\s+the|as\s+(?:the\s+)?)\s*(?:time|date|timestamp|order)\b"
    r"|\s+and\s+(?:test|validate|evaluate)\s+on\s+(?:the\s+)?(?:later|newer|newest|latest|most\s+recent)\b"
    r"|\s+(?:gives|decides|defines|tells(?:\s+you)?)\s+the\s+(?:order|split|time)\b",
    re.I,
)
_SPLIT = re.compile(rf"\b{_SPLIT_BY}\b", re.IGNORECASE)
_FOR_THE_SPLIT = re.compile(r"\s+for\s+the\s+(?:time\s+)?(?:split|order|validation)\b", re.IGNORECASE)
_TIME_TOKENS = {"date", "time", "datetime", "timestamp", "day", "month", "year", "week"}
_WEIGHT = re.compile(
    r"\b(?:weigh(?:t(?:ed|s|ing)?)?\s+(?:(?:the\s+|each\s+|all\s+)?(?:rows?|samples?|cases)\s+)?(?:by|with)|weights?\s+(?:column\s+)?is"
    r"|weights?\s*,?\s+(?:(?:are\s+|stands?\s+)?in|see|from)|weights?\s*[:=]|counts?(?=\s[\w\s]{1,40}\stimes\b)|(?:sample|row)\s+weights?\s+(?:in|from|is)?)",
    re.IGNORECASE,
)
_IS_WEIGHT = re.compile(r"\s+(?:is|holds|contains|gives)\s+the\s+(?:sample\s+|row\s+)?weights?\b", re.IGNORECASE)
_AS_WEIGHT = re.compile(
    r"\b(?:use|take|treat)\s+(?P<name>[^,.;]{1,60}?)\s+as\s+(?:the\s+)?(?:sample\s+|row\s+)?weights?\b", re.IGNORECASE
)
_NEW = re.compile(r"\b(?:new|unseen|unknown|future)\s+(?=\w)", re.IGNORECASE)


def group(said: Mentions, target: str | None, warnings: list[str]) -> str | None:
    for match in _GROUP.finditer(said.text):
        found, _, unknown = said.list_at(match.end(), most=1, loose=True)
        if found and not (_SPLIT.match(match[0]) and _tells_time(found[0])):
            return found[0]
        if id_column := _id_of(said, unknown.split()[0] if unknown else "", target):
            return id_column
        named = unknown and unknown.split()[0].lower() not in phrases.COMMON_WORDS
        if named and re.match(r"group(?:ed|ing|s)?\b(?!\s*-)", match[0], re.IGNORECASE):
            raise said.no_column(unknown)
    return _subject(said, _IS_GROUP) or _newcomers(said, target, warnings)


def _tells_time(column: str) -> bool:
    return bool(_TIME_TOKENS & set(tokens(column)))


def _newcomers(said: Mentions, target: str | None, warnings: list[str]) -> str | None:
    """ "for new patients": the id of a patient, where a column has it, is the group."""
    for match in _NEW.finditer(said.text):
        word = re.match(r"\w+", said.text[match.end() :])
        column = _id_of(said, word[0], target) if word else None
        if word and column:
            warnings.append(f"{match[0].strip()!r} {word[0]}: rows of one {column!r} stay together.")
            return column
    return None


def _id_of(said: Mentions, word: str, target: str | None) -> str | None:
    """The only column whose name says that it is the id of such a thing."""
    names = sorted({word.lower(), word.lower().rstrip("s")} - {""})
    having = [c for c in dict.fromkeys(c for n in names for c in said.having(n)) if is_id_name(c)]
    return having[0] if len(having) == 1 and having[0] != target else None


def time(said: Mentions) -> str | None:
    found = _first(said, _TIME) or _subject(said, _IS_TIME)
    if found is None:
        split = [said.list_at(m.end(), most=1, loose=True)[0] for m in _SPLIT.finditer(said.text)]
        split += [said.subject(m.start()) for m in _FOR_THE_SPLIT.finditer(said.text)]
        found = next((c for columns in split for c in columns if _tells_time(c)), None)
    return found


def weight(said: Mentions) -> str | None:
    for match in _WEIGHT.finditer(said.text):
        found, _, unknown = said.list_at(match.end(), most=1, loose=True)
        if found:
            return found[0]
        if unknown and " by" in match[0].lower():
            if unknown.lower() in _PRONOUNS and (named := said.last_named(match.start())):
                return named[-1]
            raise said.no_column(unknown)
    used = _AS_WEIGHT.search(said.text)
    if used is None:
        return _subject(said, _IS_WEIGHT)
    if used["name"].lower() in _PRONOUNS:
        found, unknown = said.last_named(used.start()), ""
    else:
        found, _, unknown = said.list_at(used.start("name"), most=1, loose=True)
    if not found:
        raise said.no_column(unknown or used["name"])
    return found[0]


def _first(said: Mentions, trigger: re.Pattern[str]) -> str | None:
    """The first column behind one of these words."""
    for match in trigger.finditer(said.text):
        found, _, _ = said.list_at(match.end(), most=1, loose=True)
        if found:
            return found[0]
    return None


def _subject(said: Mentions, predicate: re.Pattern[str]) -> str | None:
    """The first column of which this is said."""
    return next((c for m in predicate.finditer(said.text) for c in said.subject(m.start(), loose=True)[-1:]), None)
