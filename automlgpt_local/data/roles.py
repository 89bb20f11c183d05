"""Which role a sentence gives to a column: left out, the group, the time, the weight."""

from __future__ import annotations

import re
from collections.abc import Collection

from automlgpt_local.data import phrases
from automlgpt_local.data.mentions import Mentions
from automlgpt_local.data.names import is_id_name, tokens

_NOT = r"(?:not|never|n['’]t|nt)"
_NEGATED = re.compile(
    rf"(?:{phrases.NEGATION}|\bno\s+(?:need|reason)\s+to\s+|\bneedn['’]?t\s+|\bstop\s+|\bused\s+to\s+)$", re.IGNORECASE
)

# --- left out
_IGNORE_VERB = (
    r"(?:ignor(?:e|ing)|drop(?:ping)?|exclud(?:e|ing)|leav(?:e|ing) (?:out|aside)|omit(?:ting)?|disregard(?:ing)?"
    r"|delet(?:e|ing)|get rid of|throw(?:ing)?(?: it)? away|forget(?:ting)?(?: about)?|tak(?:e|ing) out"
    r"|stay(?:ing)? away from|discard(?:ing)?|ditch(?:ing)?|kick(?:ing)?\s+out|rul(?:e|ing) out|skip(?:ping)?"
    r"|remov(?:e|ing))"
)
_IGNORE = re.compile(
    rf"\b(?:{_IGNORE_VERB}|hid(?:e|ing)|avoid(?:ing)?(?: using)?|not\s+(?:using|from|with|including)|w/o"
    r"|without(?:\s+(?:using|looking\s+at|considering))?|(?:leav|keep|tak)(?:e|ing)?(?!\s+(?:one|an?|each)\b)(?=\s[^,.;]{1,60}\sout\b)"
    r"|(?:(?:do|must|should|may|can|shall)\s*(?:n['’]?t|not)|can['’]?t|never|cannot|please\s+not)"
    r"\s+(?:use|(?:let (?:the model |it )?|(?:ever\s+)?get\s+to\s+)?see|bother\s+with|include|look at"
    r"|consider|touch|rely on|know)"
    r"|(?:not\s+allowed|forbidden|banned)"
    r"|except(?:ing)?(?:\s+for)?|apart\s+from|aside\s+from|other\s+than"
    r"|(?:everything|anything|(?:all|any|every)(?:\s+(?:the|other))?\s+\w+)\s+(?:but|bar))\b",
    re.IGNORECASE,
)
_IGNORE_ALONE = re.compile(  # counts where nothing but columns follows: "no region", not "no time limit"
    r"\b(?:no|neither|never|minus|(?:do\s*n['’]?t|do\s+not|never)\s+want(?:\s+that)?|rather\s+not\s+(?:have|see)|not)\b",
    re.IGNORECASE,
)
_ENDS = re.compile(
    r"\s*(?:$|[.,;!?)]|(?:please|columns?|features?|and|or|nor|but|either|(?:(?:is|are|being|to\s+be)\s+)?used|included|because|since|in\s+the\s+model|as\s+an?\s+\w+"
    r"|(?:should|must|may|can)\s+be\s+used)\b)",
    re.IGNORECASE,
)
_OF_ROWS = re.compile(r"\b(?:with|ha(?:s|ve|d|ving)|is|are)\s+$", re.IGNORECASE)  # "passengers with no cabin"
_USES = re.compile(r"\b(?:us(?:e|ing)|from|with|keep)\b", re.IGNORECASE)
_IS_IGNORED = re.compile(
    rf"(?:\s+(?:must|should|shall|may|can|could|is|are|was|were|ought)\s*{_NOT}|\s+(?:cannot|can['’]?t))\s+(?:to\s+)?(?:be\s+)?"
    r"(?:used|included|considered|available|allowed|known|looked\s+at|part\s+of|(?:a\s+)?features?)\b"
    r"|\s+goes\s+out\b|\s+out\s*(?=$|[.,;!?])|\s+(?:should|must|may|can)\s+(?:play|have)\s+no\s+(?:role|part|influence)\b"
    r"|\s+(?:ha(?:s|ve)\s+to|must|should)\s+go\b(?!\s+(?:up|down|on|to|in|into|through|with)\b)|\s+(?:must|should|shall|can|may|is|are)\s+(?:to\s+)?(?:be\s+)?(?:ignored|dropped|excluded|left\s+out|omitted|removed"
    r"|skipped|disregarded|irrelevant|useless|meaningless|leak(?:s|y)?\b|a\s+leak|leaks)\b",
    re.IGNORECASE,
)
_CALLED_A_COLUMN = re.compile(r"\w+\s+(?:columns?|features?)\b", re.IGNORECASE)
_IT = re.compile(r"\s*it\b", re.IGNORECASE)
_THEM = re.compile(
    r"\s*(?:(?:both|all)\s+of\s+)?(?:them|these|those)\b(?!\s+[a-z])|\s*both\s*(?:$|[.;!?])", re.IGNORECASE
)
_PRONOUNS = {"it", "this", "that", "them"}
_AND_THEY = re.compile(r"\b(?:and|they|it|these|those|both|therefore|hence)$", re.IGNORECASE)
_NOR = re.compile(r"\s*[,.;]?\s*(?:nor|(?:and\s+)?neither)\s+(?:(?:should|must|may|can)\s+)?", re.IGNORECASE)
_HARD = re.compile(r"ignor|drop|exclud|leav|omit|disregard|delet", re.IGNORECASE)
_NOT_COLUMNS = re.compile(
    r"\s*(?:(?:both|all)\s+of\s+(?:them|these)\b|them\b|missing|outliers?|duplicates?|nulls?|empty|rows?|warnings?|noise|errors?|leak\w*|previous|anything"
    r"|everything|it\b)",
    re.IGNORECASE,
)

# --- nothing but
_ALL_BUT = re.compile(
    rf"\b{_IGNORE_VERB}\s+(?:everything|anything|every\s+\w+|all(?:\s+(?:the|other))?(?:\s+\w+)?)\s+"
    r"(?:but|except(?:\s+for)?|apart\s+from|other\s+than)\b",
    re.IGNORECASE,
)
_USE_ONLY = re.compile(
    r"\b(?:(?:us(?:e|ing)|with|from|given|by|on|consider(?:ing)?)\s+(?:only|just|solely|exclusively|nothing\s+but|no\s+\w+\s+but)"
    r"|(?:only|solely|exclusively|just)\s+(?:us(?:e|ing)|with|from|on|consider(?:ing)?)"
    r"|only\s+(?:the\s+)?(?:columns|features)(?:\s+(?:to\s+use|you\s+(?:may|can|should)\s+use))?(?:\s+are)?"
    r"|(?:features|inputs|predictors|regressors|covariates)(?:\s+are\b|\s*[:=]))",
    re.IGNORECASE,
)
_FORMULA = re.compile(r"\bregress\w*\s+[^,.;]{1,60}?\s+on\b|~", re.IGNORECASE)
_FROM = re.compile(r"\b(?:from|us(?:e|ing)|with|given|based\s+on)\b", re.IGNORECASE)
_JUST_ONLY = re.compile(r"\bonly\b", re.IGNORECASE)
_MAY_BE_USED = re.compile(
    r"\s*(?:may|should|can|must|is|are)\s+(?:to\s+)?(?:be\s+)?(?:used|considered|allowed)\b", re.I
)
_AND_NO_MORE = re.compile(
    r"\s*(?:columns?\s+|features?\s+)?(?:(?:only|alone)\b|[.,;]?\s*(?:and\s+)?nothing\s+else\b|as\s+the\s+only\b)", re.I
)
_KEEP = re.compile(r"\b(?:keep(?:ing)?|includ(?:e|ing))\b", re.IGNORECASE)

# --- group, time, weight
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

# --- what was not read
_GIVES_A_ROLE = re.compile(
    rf"{phrases.NEGATION}|\b(?:no|nor|only|without|except|leav\w*|leak\w*|split\w*|fold\w*|group\w*|weigh\w*|later|future)\b"
    rf"|\b{_IGNORE_VERB}\b",
    re.IGNORECASE,
)
_ORDINARY = {"date", "time", "class", "score", "rate", "value", "weight", "name", "label", "group", "type", "order"}


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
            if unknown.lower() in _PRONOUNS and (named := _last_named(said, match.start())):
                return named[-1]
            raise said.no_column(unknown)
    used = _AS_WEIGHT.search(said.text)
    if used is None:
        return _subject(said, _IS_WEIGHT)
    if used["name"].lower() in _PRONOUNS:
        found, unknown = _last_named(said, used.start()), ""
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


def ignored(said: Mentions, taken: Collection[str | None], warnings: list[str]) -> list[str]:
    """Columns that are to be left out. `taken`: those that have another role, which "only" does not take from them."""
    names: list[str] = []
    inverted: list[tuple[int, int]] = []  # places where "except" names what is used
    for match in _ALL_BUT.finditer(said.text):
        found, end, _ = said.list_at(match.end(), loose=True)
        if found:
            inverted.append((match.start(), end))
            names += _others(said, found, taken)
    names += _all_but_the_used(said, taken)
    for match in _KEEP.finditer(said.text):
        said.list_if_any(match.end())
    for match in (*_IGNORE.finditer(said.text), *_IGNORE_ALONE.finditer(said.text)):
        if not any(start <= match.start() < end for start, end in inverted):
            names += _behind(said, match, warnings)
    for match in _IS_IGNORED.finditer(said.text):
        names += said.subject(match.start(), loose=True) or _subject_before(said, match.start())
        nor = _NOR.match(said.text, match.end())
        names += said.list_at(nor.end(), loose=True)[0] if nor else []
    return list(dict.fromkeys(names))


def _others(said: Mentions, found: list[str], taken: Collection[str | None]) -> list[str]:
    return [c for c in said.columns if c not in found and c not in taken]


def _all_but_the_used(said: Mentions, taken: Collection[str | None]) -> list[str]:
    """What "use only these" leaves out. Raises UsageError for a name among them that is nearly a column's."""
    names: list[str] = []
    for match in _USE_ONLY.finditer(said.text):
        if _NEGATED.search(said.text[: match.start()]):
            continue
        found, end, unknown = said.list_at(match.end(), loose=True)
        if unknown and not phrases.starts_with_family(said.text[end:]) and said.is_slip(unknown):
            raise said.no_column(unknown)
        names += _others(said, found, taken) if found else []
    for match in (*_FORMULA.finditer(said.text), *_FROM.finditer(said.text), *_JUST_ONLY.finditer(said.text)):
        known = len(said.used)
        found, end = said.list_if_any(match.end())
        wanted = match.re is _FORMULA or (_MAY_BE_USED if match.re is _JUST_ONLY else _AND_NO_MORE).match(
            said.text, end
        )
        if found and wanted:
            names += _others(said, found, taken)
        elif match.re is _JUST_ONLY:
            del said.used[known:]
    return names


def _behind(said: Mentions, match: re.Match[str], warnings: list[str]) -> list[str]:
    """The columns behind a word that leaves them out."""
    after = said.text[match.end() :]
    if phrases.starts_with_family(after) or phrases.starts_with_metric(after):
        return []
    if match.re is _IGNORE_ALONE:
        known = len(said.used)
        before = said.text[: match.start()]
        if _OF_ROWS.search(before) or (match[0].lower() == "not" and not _USES.search(before)):
            return []
        found, _ = said.list_if_any(match.end())
        if found and _ENDS.match(said.text, said.used[-1][1]):
            return found
        del said.used[known:]
        return []
    if _IT.match(after) or match[0].lower().endswith("it away"):
        return _last_named(said, match.start())[-1:]
    if _THEM.match(after):
        return _last_named(said, match.start())
    found, end, unknown = said.list_at(match.end(), loose=True)
    if _NEGATED.search(said.text[: match.start()]):
        return []
    hard = _HARD.match(match[0])
    if unknown and not found and hard and not _NOT_COLUMNS.match(unknown):
        raise said.no_column(unknown)
    slip = said.is_slip(unknown) or _CALLED_A_COLUMN.match(unknown)
    if unknown and found and slip and not phrases.starts_with_family(said.text[end:]):
        raise said.no_column(unknown)
    if unknown and not found and _NOT_COLUMNS.match(unknown):
        warnings.append(f"Not understood, and passed over: {match[0]} {after.strip()[:40]!r}.")
    return found


def _last_named(said: Mentions, end: int) -> list[str]:
    """The columns that "it" or "them" means: the last list before, in this sentence or the one before.

    None where a kind of model is named there: that may be meant.
    """
    this = said.sentence_start(end)
    for start in dict.fromkeys((this, said.sentence_start(max(this - 1, 0)))):
        if phrases.families_in(said.text[start:end]):
            return []
        last: list[str] = []
        at = start
        for word in re.finditer(r"[\w.-]{2,}", said.text[start:end]):
            if start + word.start() < at or word[0].lower() in phrases.COMMON_WORDS:
                continue
            known = len(said.used)
            found, behind = said.list_if_any(start + word.start())
            if found and behind <= end + 1:
                last, at = found, behind
            else:
                del said.used[known:]
        if last:
            return last
    return []


def _subject_before(said: Mentions, end: int) -> list[str]:
    """ "The column region is unknown by then and" before "must not be used", or "…, so they" there."""
    return _last_named(said, end) if _AND_THEY.search(said.text[:end]) else []


def unread(said: Mentions, taken: Collection[str | None]) -> str | None:
    """A warning where a clause that speaks of leaving out, splits and the like names columns that got no role."""
    for clause in re.split(r"[.;!?]\s|,", said.blanked()):
        if not _GIVES_A_ROLE.search(clause):
            continue
        names = [
            c for c in said.columns
            if c not in taken and len(c) > 2 and c.lower() not in _ORDINARY
            and c.casefold() in clause.casefold()
            and re.search(rf"(?<!\w){re.escape(c.casefold())}(?!\w)", clause.casefold())
        ]  # fmt: skip
        if names:
            return f"What the request says of {', '.join(names)} was not understood ({clause.strip()[:60]!r})."
    return None
