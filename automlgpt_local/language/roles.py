"""Which role a sentence gives to a column: the group, the time, the weight."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from automlgpt_local.data.names import is_id_name, tokens
from automlgpt_local.language import phrases
from automlgpt_local.language.mentions import Mentions

_SPLIT_BY = r"split(?:ting)?(?:\s+the\s+(?:data|rows|table))?(?:\s+into\s+[\w\s]{1,30}?)?\s+(?:by|on)"
_VALIDATE_BY = r"(?:cross[\s-]*)?validat(?:e|ion)\s+(?:should\s+be\s+|must\s+be\s+)?(?:by|across|per)"
_GROUP = re.compile(
    r"\b(?:group(?:ed|ing|s)?(?:\s+(?:(?:the\s+)?(?:folds|rows|data|splits?|it|them)\s+)?(?:by|on|column(?:\s+is)?|is|are(?:\s+given\s+by)?)|\s*[:=])"
    rf"|{_SPLIT_BY}|{_VALIDATE_BY}"
    r"|(?:group(?:ed)?[\s-]*(?:k-?\s?fold|cv|cross[\s-]*validation|split|out))\s+(?:by|on|with|using)"
    r"|leave[\s-]+(?:one|a)[\s-]+(?=[\w\s-]{1,40}out\b)"
    r"|unseen(?!\s+data\b)|new(?=\s+\w+\s+(?:at|when)\s+predict))",
    re.IGNORECASE,
)
_GROUP_IS_SAID = re.compile(r"group.*(?:\b(?:by|on|column)|[:=])", re.IGNORECASE)
_IS_GROUP = re.compile(
    r"\s+(?:is|as|(?:should|must)\s+be)\s+the\s+group(?:ing)?\b|\s+as\s+group(?:s|ing)?\b|\s+forms?\s+(?:a|one)\s+group\b"
    r"|\s+only\s+for\s+(?:the\s+)?group(?:s|ing)\b"
    rf"|\s+(?:that\s+)?(?:we|it|you|the\s+model)\s*(?:has|have|had|['’]ve|)\s*{phrases.NOT}\s+(?:yet\s+)?(?:been\s+)?seen\b",
    re.IGNORECASE,
)
_ONE_FOLD = re.compile(
    r"\b(?:same|one|single)\s+fold\b|\b(?:stay\w*|kept?|keep(?:ing)?|be|held(?:\s+out)?)\b[^.;]{0,80}\btogether\b",
    re.IGNORECASE,
)
_TWO_FOLDS = re.compile(  # where a denial says that this must not be
    r"\b(?:across|over|between|in\s+(?:different|several|two))\s+(?:\w+\s+)?(?:folds|splits|sides)\b|\bin\s+both\b"
    r"|\bboth\s+(?:the\s+)?(?:in\s+)?(?:train\w*|folds|sides|sets|parts)\b|\btrain\w*\s+and\s+(?:in\s+)?(?:the\s+)?(?:test|validation)\b",
    re.IGNORECASE,
)
_DENIAL = re.compile(rf"\b{phrases.NOT}\b|n['’]t\b|\b(?:avoid|cheat\w*|leak\w*|wrong|forbidden)\b", re.IGNORECASE)
_ONE_OF = re.compile(
    r"\b(?:(?:the|an?|one)\s+same|one|each|every|single|any|an?)\s+(?!(?:fold|side|split|part|same|row|model|time|few|single)s?\b)",
    re.IGNORECASE,
)
_UNITS = re.compile(  # "patients are kept together", "keep patients in one fold"
    r"(?<!and )(?P<before>\b[\w.-]{3,})\s+(?:(?:are|is|must|should|shall|may|can|cannot|can['’]t"
    r"|have|has|need|needs|to|never|not|always)\s+)*"
    r"(?:be\s+)?(?:kept|stay\w*|held|appear\w*|end\s+up|split|spread)\b|\bkeep(?:ing)?\s+(?:all\s+)?(?:the\s+)?(?P<behind>[\w.-]{3,})",
    re.IGNORECASE,
)
_THEM = re.compile(r"\b(?:them|these|they)\b", re.IGNORECASE)
_AS_FEATURES = re.compile(r"\b(?:features?|columns\s+together)\b", re.IGNORECASE)
_NO_UNITS = {
    "rows", "row", "folds", "fold", "train", "training", "validation", "test", "same", "split", "data", "set", "both",
    "them", "they", "these", "each", "all", "one",
}  # fmt: skip
_ENDS = (
    r"(?=\s*(?:$|[.,;:!?)]|(?:and|but|so|for|because"
    r"|of\s+(?:each|a|every|the)\s+(?:row|sample|record|case|observation))\b))"
)
_TIME = re.compile(
    r"\b(?:(?:time|date|timestamp)[\s-]*(?:column\s*)?(?:is|[:=])|(?:time|date|timestamp)[\s-]column\b"
    r"|in\s+time\s+(?:using|by|with|on)|chronological(?:ly)?(?:\s+split)?\s+(?:by|on|using)|(?:past|history)\s+by|over\s+time\s+by"
    r"|time[\s-]*(?:based[\s-]*|ordered[\s-]*|series[\s-]*)?(?:split|validation)\s+(?:by|on|with|using)|by\s+time(?:,|\s+(?:using|with|on))"
    r"|time[\s-]*series(?:,|\s+(?:by|on|in|with|using)))",
    re.IGNORECASE,
)
_ORDER = re.compile(  # of a column that tells the time, or where later rows are for validation
    r"\b(?:(?:time[\s-]*)?order(?:ed)?\s+(?:(?:the\s+)?(?:data|rows|table)\s+)?(?:by|in time by)"
    r"|in\s+order\s+of|sort(?:ed)?\s+by"
    r"|(?:later|latest|most\s+recent|newest|future)\b[^.;]{0,40}?\b(?:by|using|with))",
    re.IGNORECASE,
)
_LATER = re.compile(
    r"\b(?:later|latest|newer|newest|most\s+recent|future)\b.*\b(?:validat|test|hold|held|check|evaluat)\w*"
    r"|\b(?:validat|test|hold|held|check|evaluat)\w*\b.*\b(?:later|latest|newer|newest|most\s+recent|future)\b",
    re.IGNORECASE,
)
_IS_TIME = re.compile(
    r"\s+(?:(?:is|has|holds|gives)\s+the|as\s+(?:the\s+)?)\s*(?:time|date|timestamp|order)(?:[\s-]*(?:column|stamp))?"
    + _ENDS
    + r"|\s+(?:gives|decides|defines|tells(?:\s+you)?)\s+the\s+(?:order|split|time)\b|\s+only\s+for\s+the\s+split\b",
    re.IGNORECASE,
)
_SPLIT = re.compile(rf"\b(?:{_SPLIT_BY}|{_VALIDATE_BY})\b", re.IGNORECASE)
_FOR_THE_SPLIT = re.compile(r"\s+for\s+the\s+(?:time\s+)?(?:split|order|validation)\b", re.IGNORECASE)
_TIME_TOKENS = {"date", "time", "datetime", "timestamp", "day", "month", "year", "week"}
_WEIGHT = re.compile(
    r"\b(?:weigh(?:t(?:ed|ing)?)?\s+(?:(?:the\s+|each\s+|every\s+|all\s+)?(?:rows?|samples?|cases)\s+)?(?:by|with)|weights?\s+(?:column\s+)?is"
    r"|weights\s*,?\s+(?:(?:are\s+|stand\s+)?in|see|from)|an?\s+weight\s*,?\s+(?:see|in)|weights?\s*[:=]"
    r"|counts?(?:\s+as\s+much\s+as|\s+according\s+to|(?=\s[\w\s]{1,40}\stimes\b))|(?:sample|row)\s+weights?\s+(?:in|from|is)?)",
    re.IGNORECASE,
)
_IS_WEIGHT = re.compile(
    r"\s+(?:is|has|holds|contains|gives|as)\s+the\s+(?:sample\s+|row\s+)?weights?(?:\s+column)?"
    + _ENDS
    + r"|\s+tells\s+how\s+much\s+each\b",
    re.IGNORECASE,
)
_GROUP_ALONE, _WEIGHT_ALONE = re.compile(r"\bgroup\s+", re.IGNORECASE), re.compile(r"\bweight\s+", re.IGNORECASE)
_AS_WEIGHT = re.compile(
    r"\b(?P<it>it|this)\s+(?:should|must|can|may|is\s+to)\s+be\s+(?:used|taken|treated)\s+as\s+(?:the\s+|a\s+)?(?:sample\s+|row\s+)?weights?\b"
    r"|\b(?:use|take|treat)\s+(?P<name>[^,.;]{1,60}?)\s+(?:as|for)\s+(?:the\s+|a\s+)?(?:sample\s+|row\s+)?weights?\b",
    re.IGNORECASE,
)
_NEW = re.compile(r"\b(?:new|unseen|unknown|future)\s+(?=\w)", re.IGNORECASE)


def group(said: Mentions, target: str | None, warnings: list[str]) -> str | None:
    if column := _kept_together(said, target):
        return column
    for match in _said(said, _GROUP):
        grouped = match[0].lower().startswith("group")
        found, _, unknown = said.list_at(match.end(), most=1, loose=True)
        if found and (grouped or not _tells_time(found[0])):
            return found[0]
        if id_column := _id_of(said, unknown.split()[0] if unknown else "", target):
            return id_column
        named = unknown and unknown.split()[0].lower() not in phrases.COMMON_WORDS
        if named and _GROUP_IS_SAID.match(match[0]):
            raise said.no_column(unknown)
    return _subject(said, _IS_GROUP) or _named_behind(said, _GROUP_ALONE) or _newcomers(said, target, warnings)


def _kept_together(said: Mentions, target: str | None) -> str | None:
    """The column whose rows a sentence wants in one fold: "one school", "the same patient_id", "drivers"."""
    for start, end in said.sentences():
        two = _TWO_FOLDS.search(said.text, start, end) and _DENIAL.search(said.text, start, end)
        if not (two or _ONE_FOLD.search(said.text, start, end)) or _AS_FEATURES.search(said.text, start, end):
            continue
        if _THEM.search(said.text, start, end):  # "Runs of one batch are alike; keep them together"
            start = said.sentence_start(max(start - 1, 0))
        places = [m.end() for m in _ONE_OF.finditer(said.text, start, end)]
        for match in _UNITS.finditer(said.text, start, end):
            name = "before" if match["before"] else "behind"
            places += [match.start(name)] if match[name].lower() not in _NO_UNITS else []
        column = next((c for at in places if (c := _unit(said, at, target))), None)
        if column:
            return column
    return None


def _unit(said: Mentions, start: int, target: str | None) -> str | None:
    """The column that the word here names, or that is the id of what it names."""
    known = len(said.used)
    found = said.list_if_any(start, most=1, loose=True)[0]
    column = found[0] if found else None
    if column is None and (word := re.match(r"[\w.-]+", said.text[start:])):
        column = _id_of(said, word[0], target)
    if column is None or column == target:
        del said.used[known:]
        return None
    return column


def _tells_time(column: str) -> bool:
    words = tokens(column)
    return bool(_TIME_TOKENS & set(words)) or (len(words) > 1 and words[-1] in ("on", "at"))  # "submitted_on"


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
    found = _first(said, _TIME) or _first(said, _ORDER, _tells_time) or _subject(said, _IS_TIME)
    if found is None and _LATER.search(said.text):
        found = _first(said, _ORDER)
    if found is None:
        found = next((c for start, end in said.sentences() if (c := _ordered(said, start, end))), None)
    if found is None:
        split = [said.list_at(m.end(), most=1, loose=True)[0] for m in _SPLIT.finditer(said.text)]
        split += [said.subject(m.start()) for m in _FOR_THE_SPLIT.finditer(said.text)]
        found = next((c for columns in split for c in columns if _tells_time(c)), None)
    return found


def _ordered(said: Mentions, start: int, end: int) -> str | None:
    """The column with a time in a sentence that wants to validate on later rows."""
    if not _LATER.search(said.text, start, end):
        return None
    for word in re.finditer(r"[\w.-]{3,}", said.text[start:end]):
        known = len(said.used)
        found = said.list_if_any(start + word.start(), most=1, loose=True)[0]
        if found and _tells_time(found[0]):
            return found[0]
        del said.used[known:]
    return None


def weight(said: Mentions) -> str | None:
    for match in _said(said, _WEIGHT):
        found, _, unknown = said.list_at(match.end(), most=1, loose=True)
        if found:
            return found[0]
        if unknown and " by" in match[0].lower():
            if unknown.lower() in phrases.PRONOUNS and (named := said.last_named(match.start())):
                return named[-1]
            raise said.no_column(unknown)
    used = _AS_WEIGHT.search(said.text)
    if used is None or said.denied(used.start()):
        return _subject(said, _IS_WEIGHT) or _named_behind(said, _WEIGHT_ALONE)
    if used["it"] or used["name"].lower() in phrases.PRONOUNS:
        found, unknown = said.last_named(used.start()), ""
    else:
        found, _, unknown = said.list_at(used.start("name"), most=1, loose=True)
    if not found:
        raise said.no_column(unknown or used["name"])
    return found[0]


def _said(said: Mentions, trigger: re.Pattern[str]) -> Iterator[re.Match[str]]:
    """Where these words stand, are not denied and are no column's name."""
    for match in trigger.finditer(said.text):
        if not said.denied(match.start()) and not said.is_read(match.start()):
            yield match


def _first(said: Mentions, trigger: re.Pattern[str], wanted: Callable[[str], bool] = lambda column: True) -> str | None:
    """The first column behind one of these words."""
    for match in _said(said, trigger):
        known = len(said.used)
        found, _, _ = said.list_at(match.end(), most=1, loose=True)
        if found and wanted(found[0]):
            return found[0]
        del said.used[known:]
    return None


def _named_behind(said: Mentions, word: re.Pattern[str]) -> str | None:
    """The first column that stands by its full name right behind this word."""
    return next((c for m in _said(said, word) for c in said.list_if_any(m.end(), most=1)[0]), None)


def _subject(said: Mentions, predicate: re.Pattern[str]) -> str | None:
    """The first column of which this is said."""
    for match in predicate.finditer(said.text):
        known = len(said.used)
        found = said.subject(match.start(), loose=True)
        if found and not said.denied(said.used[known][0]):
            return found[-1]
        del said.used[known:]
    return None
