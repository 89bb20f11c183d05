"""Which columns a sentence wants left out, and what of a sentence about columns was not read."""

from __future__ import annotations

import re
from collections.abc import Collection

from automlgpt_local.language import phrases
from automlgpt_local.language.mentions import Mentions

_IGNORE_VERB = (
    r"(?:ignor(?:e|ing)|drop(?:ping)?|exclud(?:e|ing)|leav(?:e|ing) (?:out|aside)|omit(?:ting)?|disregard(?:ing)?"
    r"|delet(?:e|ing)|get rid of|throw(?:ing)?(?: it)? away|forget(?:ting)?(?: about)?|tak(?:e|ing) out"
    r"|stay(?:ing)? away from|discard(?:ing)?|ditch(?:ing)?|kick(?:ing)?\s+out|rul(?:e|ing) out|skip(?:ping)?"
    r"|remov(?:e|ing))"
)
_IGNORE = re.compile(
    rf"\b(?:{_IGNORE_VERB}|hid(?:e|ing)|avoid(?:ing)?(?: using)?|not\s+(?:using|from|with|including)|w/o"
    r"|without(?:\s+(?:using|looking\s+at|considering))?|(?:leav|keep|tak)(?:e|ing)?(?!\s+(?:one|an?|each)\b)"
    r"(?=\s(?:(?!\b(?:into|see|find|turns?|figure|works?)\b)[^,.;!?]){1,60}?\sout\b)"
    r"|not\s+to\s+use|(?:must|should|ha(?:s|ve)\s+to)\s+go(?=\s*:)"
    r"|(?:(?:do|did|would|must|should|may|can|shall)\s*(?:n['’]?t|not)|can['’]?t|never|cannot|please\s+not)"
    r"\s+(?:use|(?:let (?:the model |it )?|(?:ever\s+)?get\s+to\s+)?see|bother\s+with|include|look at"
    r"|consider|touch|rely on|know)"
    r"|(?:not\s+allowed|forbidden|banned)"
    r"|except(?:ing)?(?:\s+for)?|apart\s+from|aside\s+from|other\s+than"
    r"|(?:everything|anything|(?:all|any|every)(?:\s+(?:the|other))?\s+\w+)\s+(?:but|bar))\b",
    re.IGNORECASE,
)
_IGNORE_ALONE = re.compile(  # counts where nothing but columns follows: "no region", not "no time limit"
    r"\b(?:no|neither|(?:do\s*n['’]?t|do\s+not|never)\s+want(?:\s+that)?|never|minus|rather\s+not\s+(?:have|see)|not)\b",
    re.IGNORECASE,
)
_ENDS = re.compile(
    r"\s*(?:$|[.,;!?)]|(?:please|columns?|features?|and|or|nor|but|either|(?:(?:is|are|being|to\s+be)\s+)?used|included|because|since|in\s+the\s+model|as\s+an?\s+\w+|as\s+(?:it|they|this|that|we)\b"
    r"|(?:should|must|may|can)\s+be\s+used)\b)",
    re.IGNORECASE,
)
_OF_ROWS = re.compile(  # "passengers with no cabin"
    r"\b(?:with|ha(?:s|ve|d|ving)|is|are|there['’]?s)\s+$", re.IGNORECASE
)
_OF_THINGS = re.compile(r"\b(?:for|of|among)\s+(?:\w+\s+){1,2}$", re.IGNORECASE)  # "for houses" before "without age"
_OF_SOME = re.compile(
    r"\s+as\s+(?:an?|the)\s+(?:\w+\s+)?(?:weights?|time|date|group|order|target)\b"
    r"|\s+(?:alone\b|(?:for|in)\s+(?:some|many|most|all|a\s+few|every)\b)",
    re.IGNORECASE,
)
_ARE = re.compile(r"\s+(?:is|are|was|were|has|have|looks?)\b", re.IGNORECASE)  # "everything but city is a number"
_INTRANSITIVE = re.compile(r"(?:out|by|in|to|off|down|from|under|over)\b", re.IGNORECASE)  # "will drop by next week"
_OF_CELLS = re.compile(
    r"\b(?:missing|outliers?\s+in|duplicates?\s+(?:in|of)|rows\s+(?:with|where|of|in)(?:\s+(?:missing|no))?)\s+(?:the\s+)?$",
    re.IGNORECASE,
)
_USES = re.compile(r"\b(?:us(?:e|ing)|from|with|keep)\b", re.IGNORECASE)
_LEFT_OUT = r"(?:ignored|dropped|excluded|left\s+out|omitted|removed)"
_IS_IGNORED = re.compile(
    rf"(?:\s+(?:must|should|shall|may|can|could|is|are|was|were|ought)\s*{phrases.NOT}|\s+(?:cannot|can['’]?t))\s+(?:to\s+)?(?:be\s+)?"
    r"(?:used|included|allowed|looked\s+at|part\s+of|(?:a\s+)?features?"
    r"|considered(?=\s*(?:$|[.,;!?]|at\s+all|here|as\s+an?|(?:in|by)\s+the\s+model))"
    r"|(?:available|known)(?!\s+(?:for|in)\s+(?:some|many|most|all|a\s+few|every)))\b"
    r"|\s+(?:must|should|shall|may|can)\s*(?:not|never|n['’]t)\s+go\s+into\b"
    rf"|\s+you\s+(?:must|should|can|may|have\s+to)\s+{_IGNORE_VERB}\b"
    rf"|\s+{_LEFT_OUT}\s*(?=$|[.,;!?])|\s+goes\s+out\b"
    r"|\s+(?:should|must|may|can)\s+(?:play|have)\s+no\s+(?:role|part|influence)\b"
    r"|\s+(?:ha(?:s|ve)\s+to|must|should)\s+go\b(?=\s*(?:$|[.,;!?]|away|out|please|too|as\s+well|because|since))"
    rf"|\s+(?:must|should|shall|can|may|is|are)\s+(?:to\s+)?(?:be\s+)?(?:{_LEFT_OUT}"
    r"|skipped|disregarded|(?:irrelevant|useless|meaningless)(?!\s+(?:before|after|in|when|where|until|below|above)\b)|leak(?:s|y)?\b|a\s+leak|leaks)\b",
    re.IGNORECASE,
)
_IS_OUT = re.compile(r"\s+out\s*(?=$|[.,;!?])", re.IGNORECASE)  # behind a column's full name: "tenure out"
_VERB_BEFORE = re.compile(r"\b(?:that|to|will|may|can|not|n['’]t)\s+$", re.IGNORECASE)
_CALLED_A_COLUMN = re.compile(r"\w+\s+(?:columns?|features?)\b", re.IGNORECASE)
_IT = re.compile(
    r"\s*(?:it\b|(?:this|that)\s+(?:one|column|feature)\b|(?:this|that)\s*(?:$|[.,;!?]|out\b|please\b|too\b|because\b))",
    re.IGNORECASE,
)
_THEM = re.compile(
    r"\s*(?:(?:both|all)\s+of\s+)?(?:them|these|those)\b(?:\s+(?:two|three|four|both|columns|features))?(?!\s+[a-z])|\s*both\s*(?:$|[.;!?])",
    re.IGNORECASE,
)
_AND_THEY = re.compile(r"\b(?:and|so|they|it|these|those|both|therefore|hence)$", re.IGNORECASE)
_NOR = re.compile(r"\s*[,.;]?\s*(?:nor|(?:and\s+)?neither)\s+(?:(?:should|must|may|can)\s+)?", re.IGNORECASE)
_NAMELY = re.compile(  # "ignore what identifies a person, that is the name"
    r"\s*(?:everything|anything|all|what)\b[^.;!?:]{0,60}(?::|,?\s*\b(?:that\s+is|i\.e\.|namely|such\s+as)\b,?)\s*",
    re.IGNORECASE,
)
_HARD = re.compile(r"ignor|drop|exclud|leav|omit|disregard|delet", re.IGNORECASE)
_NOT_COLUMNS = re.compile(
    r"\s*(?:them\b|missing|outliers?|duplicates?|nulls?|empty|rows?|warnings?|noise|errors?|leak\w*|previous|anything"
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
_FORMULA = re.compile(r"\bregress(?:ing)?\s+[^,.;]{1,60}?\s+on\b|^\s*[^~,.;]{1,60}~", re.IGNORECASE)
_FROM = re.compile(r"\b(?:from|us(?:e|ing)|with|given|based\s+on)\b", re.IGNORECASE)
_JUST_ONLY = re.compile(r"\bonly\b", re.IGNORECASE)
_MAY_BE_USED = re.compile(
    r"\s*(?:may|should|can|must|is|are)\s+(?:to\s+)?(?:be\s+)?(?:used|considered|allowed)\b", re.I
)
_AND_NO_MORE = re.compile(
    r"\s*(?:columns?\s+|features?\s+)?(?:(?:only|alone)\b(?!\s+(?:for|as|to|when|if|in)\b)|[.,;]?\s*(?:and\s+)?nothing\s+else\b|as\s+the\s+only\b)",
    re.I,
)
_KEEP = re.compile(r"\b(?:keep(?:ing)?|includ(?:e|ing))\b", re.IGNORECASE)

# --- what was not read
_GIVES_A_ROLE = re.compile(
    rf"{phrases.NEGATION}|\b(?:no|nor|only|without|except|leav\w*|leak\w*|split\w*|fold\w*|group\w*|weigh\w*|later|future)\b"
    rf"|\b{_IGNORE_VERB}\b",
    re.IGNORECASE,
)
_ORDINARY = {"date", "time", "class", "score", "rate", "value", "weight", "name", "label", "group", "type", "order"}


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
            names += _behind(said, match, taken, warnings)
    for match in _IS_OUT.finditer(said.text):
        known = len(said.used)
        found = said.subject(match.start())
        if found and _VERB_BEFORE.search(said.before(said.used[known][0])):  # "requests that time out"
            found = []
        names += found
    for match in _IS_IGNORED.finditer(said.text):
        known = len(said.used)
        found = said.subject(match.start(), loose=True) or _subject_before(said, match.start(), taken)
        if found and _OF_CELLS.search(said.before(said.used[known][0])):
            found = []
        names += found
        nor = _NOR.match(said.text, match.end())
        names += said.list_at(nor.end(), loose=True)[0] if nor else []
    return list(dict.fromkeys(names))


def _others(said: Mentions, found: list[str], taken: Collection[str | None]) -> list[str]:
    return [c for c in said.columns if c not in found and c not in taken]


def _all_but_the_used(said: Mentions, taken: Collection[str | None]) -> list[str]:
    """What "use only these" leaves out. Raises UsageError for a name among them that is nearly a column's."""
    names: list[str] = []
    for match in _USE_ONLY.finditer(said.text):
        if said.denied(match.start()):
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


def _behind(said: Mentions, match: re.Match[str], taken: Collection[str | None], warnings: list[str]) -> list[str]:
    """The columns behind a word that leaves them out."""
    after = said.text[match.end() :]
    known = len(said.used)
    is_column = said.names_exactly(match.end())  # which may be called like a metric or a kind of model
    if not is_column and (phrases.starts_with_family(after) or phrases.starts_with_metric(after)):
        return []
    if match.re is _IGNORE_ALONE:
        before = said.text[: match.start()]
        if _OF_ROWS.search(before) or (match[0].lower() == "not" and not _USES.search(before)):
            return []
        found, _ = said.list_if_any(match.end())
        if found and _ENDS.match(said.text, said.used[-1][1]):
            return found
        del said.used[known:]
        return []
    if said.denied(match.start()):
        said.list_if_any(match.end(), loose=True)
        return []
    if _IT.match(after) or match[0].lower().endswith("it away"):
        return said.last_named(match.start(), taken)[-1:]
    if _THEM.match(after):
        return said.last_named(match.start(), taken)
    found, end, unknown = said.list_at(match.end(), loose=True)
    if not found and (namely := _NAMELY.match(said.text, match.end())):
        found, end, unknown = said.list_at(namely.end(), loose=True)
    if found and _of_some_rows(said, match, end):
        del said.used[known:]
        return []
    _refuse_slips(said, match[0], found, end, unknown)
    if unknown and not found and _NOT_COLUMNS.match(unknown):
        warnings.append(f"Not understood, and passed over: {match[0]} {after.strip()[:40]!r}.")
    return found


def _of_some_rows(said: Mentions, match: re.Match[str], end: int) -> bool:
    """Is this said of some rows or values, rather than of whole columns: "for houses without age"?"""
    if _OF_SOME.match(said.text, end):
        return True
    word = match[0].lower()
    if word == "without":
        return _OF_THINGS.search(said.before(match.start())) is not None
    return re.match(r"except|every|any|all|apart|other", word) is not None and _ARE.match(said.text, end) is not None


def _refuse_slips(said: Mentions, verb: str, found: list[str], end: int, unknown: str) -> None:
    """Raises UsageError where the words behind `verb` are a column's name with a mistake, or can be nothing else."""
    if not unknown or phrases.starts_with_family(said.text[end:]):
        return
    slip = said.is_slip(unknown) or _CALLED_A_COLUMN.match(unknown)
    word = re.match(r"[^\s,.;!?]+", said.text[end:])
    alone = word is not None and _ENDS.match(said.text, end + word.end()) is not None
    hard = _HARD.match(verb) and not _NOT_COLUMNS.match(unknown) and not _INTRANSITIVE.match(unknown)
    if slip if found else (hard and (slip or alone)):
        raise said.no_column(unknown)


def _subject_before(said: Mentions, end: int, taken: Collection[str | None]) -> list[str]:
    """ "The column region is unknown by then and" before "must not be used", or "…, so they" there."""
    return said.last_named(end, taken) if _AND_THEY.search(said.before(end)) else []


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
