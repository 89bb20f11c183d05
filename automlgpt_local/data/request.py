"""What a sentence of plain English asks for. No language model, no pandas: words that are known, columns that exist."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from automlgpt_local.data import phrases
from automlgpt_local.data.names import find_column, is_id_name, near_names, tokens
from automlgpt_local.errors import UsageError
from automlgpt_local.task import Kind

MOST_WORDS = 6  # of a column's name in a sentence
_FILLER = re.compile(
    r"(?:\s|:|=|\b(?:the|a|an|all|both|my|our|its|every|each|any|columns?|features?|fields?|variables?|named|called|"
    r"values? of|value|of)\b)+",
    re.IGNORECASE,
)
_AND = re.compile(r"\s*(?:,\s*(?:and|or)\b|,|;|&|\+|\band\b|\bor\b|\bnor\b|\bas well as\b)\s*", re.IGNORECASE)
_QUOTED = re.compile(r"[\"“”'`‘’]([^\"“”'`‘’]*[^\s\"“”'`‘’][^\"“”'`‘’]*)[\"“”'`‘’]")
_CLAUSE_END = re.compile(
    r"[.;!?](?:\s|$)|,|\b(?:using|within|minimi[sz]\w*|maximi[sz]\w*|optimi[sz]\w*|ignor\w+)\b", re.I
)

_TARGET = re.compile(
    r"\b(?:predict(?:s|ing)?\b|(?:predictions?|forecasts?|estimates?)\s+(?:of|for)\b|forecast(?:ing)?\b|estimat(?:e|ing)\b"
    r"|regress(?:ing)?\b|classify\b|guess\b|target(?: column| variable)?"
    r"(?:\s+is|\s+should be|\s*[:=]|(?=\s+[\"'`]))|(?:label|outcome|response|dependent variable)\s+(?:is|column is))",
    re.IGNORECASE,
)
_PROSE = re.compile(r"\s*(?:whether|if|how|which|who|when|what|that|will|on|with|for|from|in)\b", re.IGNORECASE)
_IGNORE = re.compile(
    r"\b(?:ignor(?:e|ing)|drop(?:ping)?|exclud(?:e|ing)|leav(?:e|ing) out|leave aside|omit(?:ting)?|disregard(?:ing)?"
    r"|(?:do not|don'?t|never)\s+(?:use|look at|consider)|not\s+(?:using|from|with)\b|without(?:\s+using)?"
    r"|skip(?:ping)?|remov(?:e|ing))\b",
    re.IGNORECASE,
)
_NEGATED = re.compile(rf"{phrases.NEGATION}$", re.IGNORECASE)
_SOFT_IGNORE = re.compile(r"without|not\s|skip|remov|use|using|look|consider", re.IGNORECASE)
_USE_ONLY = re.compile(
    r"\b(?:(?:use|using)\s+only|only\s+(?:use|using)|based\s+only\s+on|only\s+from)\b", re.IGNORECASE
)
_FORMULA = re.compile(r"\bregress\w*\s+[^,.;]{1,60}?\s+on\b|~", re.IGNORECASE)
_FROM = re.compile(r"\b(?:from|using|with|based\s+on)\b", re.IGNORECASE)
_ONLY = re.compile(r"\s*(?:columns?\s+|features?\s+)?(?:only|alone|and\s+nothing\s+else)\b", re.IGNORECASE)
_NOT_BEFORE = re.compile(
    r"\b(?:next|last|previous|coming|this|every|each|per|by|from|using|with|on|ignor\w+|than)\s+(?:the\s+)?$",
    re.IGNORECASE,
)
_GROUP = re.compile(
    r"\b(?:group(?:ed|ing|s)?\s+(?:by|on|column(?:\s+is)?|is|are(?:\s+given\s+by)?|[:=])|split(?:ting)?\s+(?:by|on)"
    r"|(?:rows\s+of\s+(?:one|the\s+same|each|an?)|keep(?:ing)?\s+(?:each|every|all|one))(?=[\w\s]{1,40}\btogether)"
    r"|unseen|new(?=\s+\w+\s+(?:at|when)\s+predict))",
    re.IGNORECASE,
)
_TIME = re.compile(
    r"\b(?:(?:time|date|timestamp)[\s-]*(?:column\s*)?(?:is|[:=])|(?:time[\s-]*)?order(?:ed)?\s+(?:by|in time by)"
    r"|sort(?:ed)?\s+by|chronological(?:ly)?\s+(?:by|on)|(?:past|history)\s+by|over\s+time\s+by|time[\s-]*split\s+(?:by|on))",
    re.IGNORECASE,
)
_WEIGHT = re.compile(
    r"\b(?:weight(?:ed|s|ing)?\s+(?:by|with|column(?:\s+is)?|is|are\s+in|in|[:=])|(?:sample|row)\s+weights?\s+(?:in|from|is)?)",
    re.IGNORECASE,
)
_AS_WEIGHT = re.compile(
    r"\buse\s+(?P<name>[^,.;]{1,60}?)\s+as\s+(?:the\s+)?(?:sample\s+|row\s+)?weights?\b", re.IGNORECASE
)
_LABEL = r"[\"'`][^\"'`]+[\"'`]|[\w<>=+.-]+"
_POSITIVE = re.compile(
    rf"\bpositive\s*(?:\b(?:class|label)\s*(?:is|should\s+be|[:=])?|\bis\b|[:=])\s*(?P<a>{_LABEL})"
    rf"|\b(?:treat|take|count|use|with)\s+(?P<b>{_LABEL})\s+as\s+(?:the\s+)?positive\b"
    rf"|(?P<c>{_LABEL})\s+is\s+the\s+positive\s+(?:class|label)\b",
    re.IGNORECASE,
)
_NA_IS_A_CLASS = re.compile(
    r"[\"'`“”]?(?:N/?A|None|null|NaN)[\"'`“”]?\s+(?:is|counts\s+as|stands\s+for)\s+(?:a|one|its\s+own|another)\s+"
    r"(?:\w+\s+){0,2}?(?:class|label|category|value|region|group|country)\b",
    re.IGNORECASE,
)
_NEW = re.compile(r"\b(?:new|unseen|unknown|future)\s+(?=\w)", re.IGNORECASE)
_NOT_COLUMNS = re.compile(
    r"\s*(?:missing|outliers?|duplicates?|nulls?|empty|rows?|warnings?|noise|errors?|leak\w*|previous|anything"
    r"|everything|it\b)",
    re.IGNORECASE,
)


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


def parse_ask(text: str, columns: Sequence[str]) -> Asked:
    """Read a request against the columns of the table. Raises UsageError for a column that does not exist."""
    asked = Asked()
    text = " ".join(text.split())
    reader = _Reader(text, columns)
    asked.target = reader.target(asked)
    asked.group = reader.one(_GROUP, "group") or reader.newcomers(asked)
    asked.time = reader.one(_TIME, "time")
    asked.weight = reader.one(_WEIGHT, "weight") or reader.as_weight()
    asked.ignore = tuple(c for c in reader.ignored(asked) if c != asked.target)
    if asked.target is None:
        asked.target = reader.only_mention(asked)
        asked.target_guessed = asked.target is not None or None
    found = _POSITIVE.search(text)
    if found:
        asked.positive = (found["a"] or found["b"] or found["c"]).strip("\"'`").rstrip(".,")
    elif asked.target is not None:
        equals = re.search(rf"{re.escape(asked.target)}[\"'`]?\s*={{1,2}}\s*(?P<label>{_LABEL})", text, re.IGNORECASE)
        asked.positive = equals["label"].strip("\"'`").rstrip(".,") if equals else None
    asked.exact_target = True if _NA_IS_A_CLASS.search(text) else None
    rest = reader.blanked()
    metrics = phrases.metrics(rest)
    if metrics:
        asked.metric = metrics[0]
        if len(metrics) > 1:
            asked.warnings.append(f"The request names several metrics ({', '.join(metrics)}); {metrics[0]} is used.")
    asked.kind = phrases.kind(rest)
    asked.time_limit_s = phrases.seconds(rest)
    asked.trials = phrases.count(rest, r"trials?|attempts?|configurations?")
    asked.threads = phrases.count(rest, r"threads?|cores?|cpus?")
    asked.ensemble = False if phrases.NO_ENSEMBLE.search(rest) else None
    asked.only, asked.never = phrases.families(rest)
    both = set(asked.only) & set(asked.never)
    if asked.only and both == set(asked.only):
        raise UsageError(f"The request wants only {', '.join(asked.only)} and also none of it.", "Say one of the two.")
    asked.only = tuple(f for f in asked.only if f not in both)
    return asked


class _Reader:
    """Finds columns behind trigger words, and remembers where, so that a column called "precision" is no metric."""

    def __init__(self, text: str, columns: Sequence[str]) -> None:
        self.text = text
        self.columns = columns
        self.used: list[tuple[int, int]] = []

    def blanked(self) -> str:
        """The text without the places where columns were named."""
        letters = list(self.text)
        for start, end in self.used:
            letters[start:end] = "·" * (end - start)
        return "".join(letters)

    def target(self, asked: Asked) -> str | None:
        formula = re.match(r"\s*(?P<name>[^~,.;]+?)\s*~", self.text)
        if formula and find_column(formula["name"], self.columns):
            return find_column(formula["name"], self.columns)
        for match in _TARGET.finditer(self.text):
            found, _, unknown = self._list(match.end(), most=1)
            if found:
                return found[0]
            clause_end = _CLAUSE_END.search(self.text, match.end())
            clause = self.text[match.end() : clause_end.start() if clause_end else len(self.text)]
            mentioned = self._in_brackets(clause) or self._mentioned(clause, match.end())
            if mentioned:
                return mentioned
            if not unknown:
                continue
            if _PROSE.match(clause):
                asked.warnings.append(f"The request does not name a column as the target ({clause.strip()[:60]!r}).")
                continue
            near = [c for c in self.columns if _stem(unknown) in {_stem(t) for t in tokens(c)}]
            if len(near) == 1:
                asked.warnings.append(f"The request's {unknown!r} was read as the column {near[0]!r}.")
                return near[0]
            raise self._no_column(unknown)
        return None

    def newcomers(self, asked: Asked) -> str | None:
        """ "for new patients": the id of a patient, where a column has it, is the group."""
        for match in _NEW.finditer(self.text):
            word = re.match(r"\w+", self.text[match.end() :])
            names = {word[0].lower(), word[0].lower().rstrip("s")} if word else set()
            having = [c for c in self.columns if is_id_name(c) and names & set(tokens(c))]
            if len(having) == 1 and having[0] != asked.target:
                asked.warnings.append(
                    f"{match[0].strip()!r} {word[0] if word else ''}: rows of one {having[0]!r} stay together."
                )
                return having[0]
        return None

    def only_mention(self, asked: Asked) -> str | None:
        """ "Who will churn?": the only column that a text mentions, where it asks for no other."""
        roles = {asked.group, asked.time, asked.weight, *asked.ignore}
        words = [w[0].strip(".") for w in re.finditer(r"[\w.-]{4,}", self.blanked())]
        named = {
            c for w in words
            if (c := find_column(w, self.columns) or self._by_token(w, loose=False))
            and c not in roles and not phrases.is_term(w)
        }  # fmt: skip
        named |= self._verbatim() - roles
        if len(named) != 1:
            return None
        name = named.pop()
        asked.warnings.append(f"{name!r}, the only column that the request mentions, was taken as the target.")
        return name

    def _verbatim(self) -> set[str]:
        """Columns whose names of several words, or in a script without blanks, stand in the text; longest first."""
        rest, found = self.blanked().casefold(), set()
        for column in sorted(self.columns, key=len, reverse=True):
            name = column.strip().casefold()
            if len(name) < 2 or (name.isascii() and " " not in name):
                continue
            edges = [r"(?<!\w)" if name[0].isascii() else "", r"(?!\w)" if name[-1].isascii() else ""]
            if re.search(f"{edges[0]}{re.escape(name)}{edges[1]}", rest):
                rest = rest.replace(name, "·" * len(name))
                found.add(column)
        return found

    def one(self, trigger: re.Pattern[str], role: str) -> str | None:
        for match in trigger.finditer(self.text):
            found, _, unknown = self._list(match.end(), most=1, loose=True)
            if found:
                return found[0]
            if unknown and role == "group" and match[0].lower().startswith("group"):
                raise self._no_column(unknown)
            if unknown and role == "weight" and " by" in match[0].lower():
                raise self._no_column(unknown)
        return None

    def as_weight(self) -> str | None:
        match = _AS_WEIGHT.search(self.text)
        if match is None:
            return None
        found, _, unknown = self._list(match.start("name"), most=1, loose=True)
        if not found:
            raise self._no_column(unknown or match["name"])
        return found[0]

    def ignored(self, asked: Asked) -> list[str]:
        names: list[str] = []
        for match in _USE_ONLY.finditer(self.text):
            found, _, _ = self._list(match.end())
            if found:
                keep = {*found, asked.target, asked.group, asked.time, asked.weight}
                names += [c for c in self.columns if c not in keep]
        for match in (*_FORMULA.finditer(self.text), *_FROM.finditer(self.text)):
            found, end, _ = self._list(match.end())
            if found and (match.re is _FORMULA or _ONLY.match(self.text, end)):
                keep = {*found, asked.target, asked.group, asked.time, asked.weight}
                names += [c for c in self.columns if c not in keep]
        for match in _IGNORE.finditer(self.text):
            after = self.text[match.end() :]
            if phrases.starts_with_family(after) or _NEGATED.search(self.text[: match.start()]):
                continue
            found, end, unknown = self._list(match.end(), loose=True)
            names += found
            if unknown and not found and not _SOFT_IGNORE.search(match[0]) and not _NOT_COLUMNS.match(_strip(after)):
                raise self._no_column(unknown)
            if unknown and found and not phrases.starts_with_family(self.text[end:]) and self._is_slip(unknown):
                raise self._no_column(unknown)
            if not found and _NOT_COLUMNS.match(_strip(after)):
                asked.warnings.append(f"Not understood, and passed over: {match[0]} {after.strip()[:40]!r}.")
        return list(dict.fromkeys(names))

    def _no_column(self, phrase: str) -> UsageError:
        word = (phrase.split() or [phrase])[0]
        having = [c for c in self.columns if word.lower() in tokens(c)]
        if len(having) > 1:
            return UsageError(f"The request's {word!r} could be {' or '.join(having[:5])}.", "Write the full name.")
        return UsageError(
            f"The request names {word!r}, but there is no such column.",
            f"Did you mean: {near_names(word, self.columns)}? Put a column's name in quotes when it has blanks.",
        )

    def _is_slip(self, phrase: str) -> bool:
        """In a list of columns: a word that is nearly a column's name, or that is called a column."""
        words = phrase.lower().split() or [""]
        called = len(words) > 1 and words[1] in ("column", "columns", "feature", "features")
        return called or bool(difflib.get_close_matches(words[0], [c.lower() for c in self.columns], 1, 0.8))

    def _list(self, start: int, most: int = 99, loose: bool = False) -> tuple[list[str], int, str]:
        """Columns named from `start` on, where the list ends, and the words there that are no column."""
        found: list[str] = []
        at = start
        while len(found) < most:
            filler = _FILLER.match(self.text, at)
            behind_filler = filler.end() if filler else at
            begin = self._skip_blanks(at)
            name, end = self._column_at(begin, loose=False)  # a column may be called "value"
            if name is None:
                begin = behind_filler
                name, end = self._column_at(begin, loose)
            if name is None:
                words = re.match(r"[^,.;!?]*", self.text[behind_filler:])
                unknown = " ".join((words[0] if words else "").split()[:3])
                return found, behind_filler, unknown.strip("\"'`“”‘’ ")
            found.append(name)
            self.used.append((begin, end))
            at = end
            trailing = re.compile(r"\s*(?:columns?|features?|fields?|variables?)\b", re.IGNORECASE).match(self.text, at)
            at = trailing.end() if trailing else at
            joint = _AND.match(self.text, at)
            if joint is None:
                return found, at, ""
            at = joint.end()
        return found, at, ""

    def _skip_blanks(self, at: int) -> int:
        while at < len(self.text) and self.text[at].isspace():
            at += 1
        return at

    def _column_at(self, start: int, loose: bool) -> tuple[str | None, int]:
        quoted = _QUOTED.match(self.text, start)
        if quoted:
            name = find_column(quoted[1], self.columns)
            if name is None:
                raise self._no_column(quoted[1])
            return name, quoted.end()
        words = list(re.finditer(r"\S+", self.text[start : start + 200]))[:MOST_WORDS]
        for n in range(len(words), 0, -1):
            phrase = self.text[start : start + words[n - 1].end()]
            for candidate in dict.fromkeys(
                [phrase.rstrip(".,;:!?+&~ "), phrase, phrase.rstrip(".,;:!?)").removesuffix("'s")]
            ):
                name = find_column(candidate, self.columns)
                if name is not None:
                    return name, start + len(candidate)
        if words:
            word = words[0][0].strip(".,;:!?")
            name = self._by_token(word, loose)
            if name is not None:
                return name, start + len(words[0][0].rstrip(".,;:!?"))
        return None, start

    def _by_token(self, word: str, loose: bool) -> str | None:
        """ "prices" for price; loosely also "patient" for patient_id, where only one column has that word."""
        singular = word[:-1] if word.lower().endswith("s") and len(word) > 3 else None
        if singular:
            name = find_column(singular, self.columns)
            if name is not None:
                return name
        if not loose or len(word) < 2:
            return None
        having = [c for c in self.columns if word.lower() in tokens(c)]
        if not having and singular:
            having = [c for c in self.columns if singular.lower() in tokens(c)]
        return having[0] if len(having) == 1 else None

    def _in_brackets(self, clause: str) -> str | None:
        """ "the final grade (G3)"."""
        for inside in re.findall(r"\(([^()]+)\)", clause):
            name = find_column(inside, self.columns)
            if name is not None:
                return name
        return None

    def _mentioned(self, clause: str, offset: int) -> str | None:
        """The first column that a clause mentions by its full name of at least three letters."""
        for word in re.finditer(r"[\w.-]{3,}", clause):
            name = find_column(word[0].strip("."), self.columns) or self._by_token(word[0].strip("."), loose=False)
            before = _NOT_BEFORE.search(clause[: word.start()])
            if name is not None and word[0].lower() not in phrases.COMMON_WORDS and before is None:
                self.used.append((offset + word.start(), offset + word.end()))
                return name
        return None


def _strip(text: str) -> str:
    filler = _FILLER.match(text)
    return text[filler.end() :] if filler else text


def _stem(phrase: str) -> str:
    """The first word without its ending: "survival" and "survived" are both "survi"."""
    words = re.findall(r"[A-Za-z]{3,}", phrase)
    return str(words[0][: max(4, len(words[0]) - 3)].lower()) if words else phrase
