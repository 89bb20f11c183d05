"""What a question in plain English is about: columns, conditions on rows, groups, statistics. No language model.

What is read is blanked in `Question.rest`; what is left there and could change the answer is `unread`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import pandas as pd

from automlgpt_local.data.names import ColumnIndex, is_id_name, tokens
from automlgpt_local.language.conditions import Condition, Reader

MOST_WORDS = 5
MOST_VALUES = 1000
FEW_VALUES = 60
_WORD = re.compile(r"[\"'`]([^\"'`]+)[\"'`]|[^\s,;?!()]+")
_PLAIN_WORDS = frozenset(
    {"a", "an", "the", "of", "in", "on", "at", "by", "per", "to", "for", "from", "and", "or", "not", "is", "are",
     "was", "were", "be", "been", "being", "there", "this", "that", "it", "its", "what", "which", "who", "whose",
     "how", "when", "where", "why", "if", "do", "does", "did", "have", "has", "had", "having", "many", "much",
     "any", "all", "each", "every", "with", "without", "between", "than", "more", "less", "most", "least", "data",
     "table", "row", "rows", "column", "columns", "value", "values", "mean", "average", "median", "sum", "total",
     "min", "max", "minimum", "maximum", "count", "number", "unique", "different", "distinct", "common",
     "distribution", "share", "percentage", "percent", "proportion", "rate", "correlation", "target", "id", "name",
     "names", "date", "time", "one", "show", "tell", "me", "about", "give", "list", "highest", "lowest", "largest",
     "smallest", "greatest", "range", "class", "classes", "first", "last", "above", "below", "over", "under",
     "after", "before", "since", "until", "up", "out", "please", "can", "could", "would", "you", "i", "we", "us",
     "my", "our", "their", "they", "as", "so", "then", "only", "also", "both", "together", "overall", "altogether",
     "find", "get", "calculate", "compute", "make", "made", "record", "records", "entry", "entries", "observation",
     "observations", "sample", "samples", "case", "cases", "item", "items", "people", "person", "ones", "whole",
     "entire", "into", "within", "among", "during", "exist", "exists", "while", "yes", "no", "true", "false",
     "other", "fewest", "fraction", "often", "exactly"}
)  # fmt: skip
_LOWEST = r"lowest|smallest|cheapest|shortest|least\s+expensive"
_HIGHEST = r"highest|largest|biggest|greatest|longest|most\s+expensive"
STATISTICS: tuple[tuple[str, str], ...] = (
    ("mean", r"mean|average|avg"),
    ("median", r"median|typical"),
    ("sum", r"sum|total"),
    ("min", rf"min(?:imum)?|range|earliest|first|oldest|{_LOWEST}"),
    ("max", rf"max(?:imum)?|range|latest|last|newest|youngest|most\s+recent|{_HIGHEST}"),
    ("std", r"std|standard\s+deviation|spread|variance|vary|varies"),
)
ANY_STATISTIC = "|".join(pattern for _, pattern in STATISTICS)
SHARE = r"share|percent\w*|proportion|fraction|rate"
_OF_DATES = r"first|last|oldest|newest|youngest|most\s+recent"
_SUPERLATIVE = re.compile(
    rf"\b(?:(?P<up>(?P<few>fewest|least)|{_LOWEST})|(?P<most>most)|{_HIGHEST})(?!\s+(?:common|frequent|recent|expensive))(?!\w)"
    rf"(?P<mean>(?=\s+(?:{ANY_STATISTIC})\b))?",
    re.IGNORECASE,
)
_MEASURED = re.compile(rf"\b(?:{ANY_STATISTIC})(?:\s+(?:of|the))*\s+$", re.IGNORECASE)
_COUNTED = re.compile(r"\b(?:which|what|how\s+many|number\s+of|unique|different|distinct)\s+$", re.IGNORECASE)
_WHICH = re.compile(r"\b(?:which|what)\s+(?:of\s+the\s+)?$", re.IGNORECASE)
_GROUPS = r"per|(?:for|in|of)\s+(?:each|every)|across|grouped\s+by|broken\s+down\s+by|depending\s+on"
_BETWEEN_THE = re.compile(r"\bbetween\s+(?:the\s+)?$", re.IGNORECASE)  # "between age 20 and 30"
_GROUP = re.compile(rf"\b(?:by|each|{_GROUPS})\s+(?:the\s+)?(?:number\s+of\s+)?$", re.IGNORECASE)
_AND = re.compile(r"\s*(?:,|and|&|,\s*and)\s*(?:by\s+|per\s+)?", re.IGNORECASE)
_DENIAL = r"not|\w+n['’]t|never|no|without|except|excluding|outside|other\s+than|besides|apart\s+from|neither|nor"
_DENIED = re.compile(  # "not in", "not paid by"
    rf"\b(?:but\s+)?(?:{_DENIAL})\s+(?:[a-z]+\s+(?=(?:in|on|by|from|to|at|with|for)\s))?"
    r"(?:(?:in|on|by|from|to|at|with|for|of|the|an?|any|have|has|having|be|been|where)\s+)*$",
    re.IGNORECASE,
)
_OR = re.compile(r"\s*,?\s*or\s+(?:(?:in|the|with|an?|where|whose|have|has|that|who|are|is|from|on|by|of)\s+)*", re.I)
_WHEN = re.compile(r"\b(?:in|on|during|after|since|before|until|from|between)\s+(?=\S*\d|\w+\.?\s+\d)", re.IGNORECASE)
_OPINION = re.compile(  # no table answers these
    r"\s*(?:do\s+you\s+(?:think|believe)|should|will|why|how\s+come|how\s+should"
    r"|is\s+it\s+(?:an?\s+)?(?:good|bad|wise|better|worth\w*|fair)|what\s+(?:should|will))\b",
    re.IGNORECASE,
)
_COVERED = re.compile(r"\b(?:(?:not|never)\s+)?(?:under|covered\s+by)\s+(?:the\s+)?$", re.IGNORECASE)  # of a yes or no
_VERB = re.compile(r"\b(?:have|has|had|are|is|were|was|do|does|did)\b", re.IGNORECASE)
_WHERE = re.compile(r"\b(?:where|among|within|out\s+of|whose|if|when)\b", re.IGNORECASE)
_UNREAD = re.compile(
    rf"\S*\d[^\s·]*|[<>=≠≤≥]+|\b(?:{_DENIAL}|or|but|at\s+(?:least|most)|above|over|below|under|after|before|since|until|up\s+to"
    r"|yes|true|false|more|less|fewer|\w+er\s+than|than|exceed\w*|top|bottom|\w*percentile|quantile|quartile|ratio|trend|vs|versus|compared"
    rf"|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|half|quarter|{_GROUPS})(?!\w)"
    r"|\b(?:today|yesterday|weekends?|weekdays?|week|month|morning|afternoon|evening|night|(?:mon|tues|wednes|thurs|fri|satur|sun)days?"
    r"|in\s+(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*)\b"
    r"|\bby\s+(?:the\s+)?[a-z]\w*|(?<=[\s(])(?!I\b)[A-Z]\w*|[\"`][^\"`·]+[\"`]"
)  # fmt: skip


@dataclass
class Question:
    """`columns` are in the order in which they are mentioned, without those of groups and conditions.

    `either`: one condition is enough. `among`: the conditions of what a share is of. `order` of the groups: "up" or
    "down". `counted`: the id whose things are counted. `unread`: words that say something that was not understood;
    `unknown`: those that perhaps do.
    """

    text: str
    rest: str
    columns: list[str] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    conditions: list[Condition] = field(default_factory=list)
    among: list[Condition] = field(default_factory=list)
    either: bool = False
    statistics: list[str] = field(default_factory=list)
    order: str = ""
    counted: str | None = None
    unread: list[str] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)

    def asks(self, pattern: str) -> bool:
        return re.search(rf"\b(?:{pattern})\b", self.rest, re.IGNORECASE) is not None


@dataclass(frozen=True)
class _Mention:
    start: int
    end: int
    column: str
    weak: bool  # a plain English word that is also a column's name


def understand(text: str, frame: pd.DataFrame) -> Question:
    """Find the columns that a question mentions, and what it says of them."""
    text = re.sub(r"\bnon-(?=\w)", "not ", " ".join(text.split()), flags=re.IGNORECASE)
    text = re.sub(r"(?<=[a-z]\s)%(?=\s)", "percent", text)
    reading = _Reading(Question(text, text), frame)
    reading.read()
    if opinion := _OPINION.match(text):
        reading.question.unread.append(opinion[0].strip())
    return reading.question


class _Reading:
    """A question while it is read, part by part."""

    def __init__(self, question: Question, frame: pd.DataFrame) -> None:
        self.question = question
        self.names = [str(c) for c in frame.columns]
        self.texts = [str(c) for c in frame.columns if not pd.api.types.is_numeric_dtype(frame[c])]
        self.reader = cache(lambda name: Reader(frame[name]))
        self.found: list[tuple[int, int, Condition]] = []
        self.at: dict[str, int] = {}  # where the columns are mentioned
        self.things = set[str]()  # words for what the rows are

    def read(self) -> None:
        mentions = list(self._mentions())
        mentions = [m for m in mentions if not self._behind(m, {o.start for o in mentions if o is not m})]
        mentions = [m for m in mentions if not self._in_front(m, {o.end for o in mentions})]
        self._columns(mentions)
        self._values()
        self._dates()
        self._statistics()
        self._connect()
        self._leftovers()

    def _blank(self, start: int, end: int) -> None:
        rest = self.question.rest
        self.question.rest = rest[:start] + "·" * (end - start) + rest[end:]

    def _take(self, start: int, end: int, condition: Condition) -> None:
        """With a denial that stands before it."""
        if denied := _DENIED.search(self.question.rest[:start]):
            condition, start = condition.denied(), denied.start()
        self.found.append((start, end, condition))
        self._blank(start, end)

    def _mentions(self) -> Iterator[_Mention]:
        """The longest names first at each place."""
        text, words, index = self.question.text, list(_WORD.finditer(self.question.text)), ColumnIndex(self.names)
        at = 0
        while at < len(words):
            for n in range(min(MOST_WORDS, len(words) - at), 0, -1):
                start, end = words[at].start(), words[at + n - 1].end()
                quoted = words[at][1] if n == 1 else None
                phrase = quoted or text[start:end].strip(".:'\"")
                if not re.search(r"\w$", phrase) and phrase not in self.names:
                    continue  # the sign of a condition: "price >"
                weak = quoted is None and n == 1 and phrase.lower() in _PLAIN_WORDS
                name = index.find(phrase) or index.find(phrase.removesuffix("s"))
                name = name or (self._near(phrase, text[:start], weak) if n == 1 else None)
                if name is not None:
                    yield _Mention(start, end if quoted else start + len(text[start:end].rstrip(".:")), name, weak)
                    at += n - 1
                    break
            at += 1
        ages = [c for c in self.names if "age" in tokens(c)]
        if (older := re.search(r"\b(?:old|young)er\s+than\b", text, re.IGNORECASE)) and len(ages) == 1:
            yield _Mention(older.start(), older.start(), ages[0], False)

    def _near(self, word: str, before: str, weak: bool) -> str | None:
        """ "prices" for price, "built" for yr_built where only one column has that word; not the rate of "return rate"
        for discount_rate. An id only where it is counted or grouped by."""
        having = [c for c in self.names if _forms(word) & _forms(c)]
        if len(word) > 3 and not weak:
            having += [c for c in self.names if any(_forms(word) & _forms(t) for t in tokens(c) if len(t) > 2)]
            having = list(dict.fromkeys(having))
            ids = [c for c in having if is_id_name(c)]
            many = re.search(r"\b(?:how\s+many|number\s+of)\s+$", before, re.IGNORECASE)
            things = {"date", "text"} if many else {"date"}
            beside = before.lower().split()[-1:]
            if having and not ids and all(self.reader(c).kind in things for c in having):
                having = []
                self.things.add(word)  # the orders of an order_date
            elif len(ids) == 1 or (beside and beside[0] not in _PLAIN_WORDS and not beside[0].endswith("s")):
                having = ids
        if len(having) != 1 or not is_id_name(having[0]):
            return having[0] if len(having) == 1 else None
        self.question.counted = having[0]
        self.things.add(word)
        distinct = re.search(r"\b(?:unique|different|distinct)\s+$", before, re.IGNORECASE)
        return having[0] if _GROUP.search(before) or _WHICH.search(before) or distinct else None

    def _behind(self, m: _Mention, names_at: set[int]) -> bool:
        """A condition behind a column's name: "age over 30"."""
        ranged = _BETWEEN_THE.search(self.question.rest[: m.start])
        start = ranged.start() if ranged else m.start
        read = self.reader(m.column).condition(
            self.question.rest, m.end, names_at, linked=True, ranged=ranged is not None
        )
        if read is None:
            return False
        if _GROUP.search(self.question.rest[: m.start]):
            self.question.groups.append(m.column)
        elif _MEASURED.search(self.question.rest[: m.start]):  # "smallest price above 100000"
            self.question.columns.append(m.column)
            if re.search(rf"\b(?:which|how\s+many|by|{SHARE}|{_GROUPS})\b", self.question.text, re.IGNORECASE):
                self.question.unread.append(self.question.text[m.start : read[1]])  # cities of such an average price?
        self._take(start, read[1], read[0])
        return True

    def _in_front(self, m: _Mention, ends: set[int]) -> bool:
        """ "more than 3 bedrooms", "the Basic plan": from the furthest word on that makes it one condition."""
        head = self.question.rest[: m.start]
        for word in list(re.finditer(r"[^\s(]+", head))[-9:]:
            read = self.reader(m.column).condition(head, word.start())
            if read is None or not re.fullmatch(r"\s*(?:(?:in|for)\s+)?", head[read[1] :]):
                continue
            before = head[: word.start()].rstrip()
            others = len(before) in ends or re.search(r"\b(?:top|first|last|bottom)$", before, re.IGNORECASE)
            if others and self.reader(m.column).kind == "number":
                return False
            self._take(word.start(), m.end, read[0])
            return True
        return False

    def _columns(self, mentions: list[_Mention]) -> None:
        question, last, which = self.question, -1, list[str]()
        for m in mentions:
            before, after = question.text[: m.start], question.text[m.end :]
            group = _GROUP.search(question.rest[: m.start])
            also = last >= 0 and _AND.fullmatch(question.text[last : m.start])
            named = (_COUNTED.search(before) or _MEASURED.search(before)) and not re.match(r"\s+of\b", after)
            if m.weak and not (group or also or named or re.match(r"\s+range\b", after)):
                continue
            if re.search(r"\b(?:where|whose)\s+$", before, re.IGNORECASE):
                question.unread.append(f"{before.split()[-1]} {m.column}")
            denied = None
            if self.reader(m.column).is_flag:
                denied = _COVERED.search(question.rest[: m.start]) or _DENIED.search(question.rest[: m.start])
            self._blank((denied or group).start() if denied or group else m.start, m.end)  # type: ignore[union-attr]
            self.at.setdefault(m.column, m.start)
            if group or also:
                question.groups.append(m.column)
                last = m.end
            elif m.column not in question.columns:
                (which if _WHICH.search(before) else question.columns).append(m.column)
        most = _SUPERLATIVE.search(question.rest)
        (question.groups if most and (question.columns or most["few"] or most["most"]) else question.columns).extend(
            which
        )

    def _values(self) -> None:
        """ "the average price in Manhattan": a value that only one column has."""
        where: dict[str, list[str]] = {}
        for name in self.texts:
            if self.reader(name).kind == "text" and len(self.reader(name).known) <= MOST_VALUES:
                for value in self.reader(name).known:
                    where.setdefault(value, []).append(name)
        words = list(re.finditer(r"[^\s,;?!()·]+", self.question.rest))
        for first, last in ((i, i + n) for n in range(MOST_WORDS) for i in range(len(words) - n)):
            start, end = words[first].start(), words[last].end()
            phrase = self.question.rest[start:end].rstrip(".:'\"")
            lowered = phrase.lower()
            columns = where.get(lowered) or where.get(lowered.removesuffix("s")) or []
            few = any(len(self.reader(c).known) <= FEW_VALUES for c in columns)
            exact = any(self.reader(c).known.get(lowered) == phrase for c in columns) and phrase != lowered
            is_code = exact and phrase.isupper() and len(phrase) > 1
            is_name = len(phrase) > 1 and (few or exact)
            if not columns or not (is_code or (is_name and lowered not in _PLAIN_WORDS)):
                continue
            read = self.reader(columns[0]).condition(self.question.rest, start) if len(columns) == 1 else None
            if read is None:
                self.question.unread.append(phrase)
            else:
                self._take(start, read[1], read[0])

    def _dates(self) -> None:
        """ "in 2022", "since June 2023" where one column alone can be meant."""
        for match in _WHEN.finditer(self.question.rest):
            found = []
            for reader in map(self.reader, self.names):
                read = None
                if reader.kind == "date" or reader.is_year:
                    read = reader.condition(self.question.rest, match.start())
                if read and (
                    reader.kind == "date" or reader.values.min() <= read[0].tests[0][1] <= reader.values.max()
                ):
                    found.append(read)
            if len(found) == 1:
                self._take(match.start(), found[0][1], found[0][0])

    def _statistics(self) -> None:
        question = self.question
        for match in _SUPERLATIVE.finditer(question.rest):
            amount = bool(match["few"] or match["most"])
            if question.groups:  # "the lowest average price by city" orders the cities
                question.order = "up" if match["up"] else "down"
                if question.columns and match["mean"] is None:
                    question.statistics.append("sum" if amount else "min" if match["up"] else "max")
            elif match["mean"] is not None or (amount and re.match(r"\s*(?:$|[?.!·])", question.rest[match.end() :])):
                question.unread.append(match[0])
            else:
                continue
            self._blank(*match.span())
        dates = bool(question.columns) and self.reader(question.columns[0]).kind == "date"
        for name, pattern in STATISTICS:
            said = re.search(rf"\b(?:{pattern})\b", question.rest, re.IGNORECASE)
            if said and name not in question.statistics:
                question.statistics.append(name)
                if not dates and re.fullmatch(_OF_DATES, said[0], re.IGNORECASE):
                    question.unread.append(said[0])

    def _connect(self) -> None:
        """How the conditions go together, and which say what a share is of."""
        question = self.question
        self.found.sort(key=lambda f: f[0])
        question.conditions = [c for _, _, c in self.found]
        gaps = [(a[1], b[0]) for a, b in zip(self.found, self.found[1:])]
        if gaps and all(_OR.fullmatch(question.rest[slice(*gap)]) for gap in gaps):
            question.either = True
            for gap in gaps:
                self._blank(*gap)
            return
        exact = [c.column for c in question.conditions if all(sign == "==" for sign, _ in c.tests)]
        question.unread += [column for column in dict.fromkeys(exact) if exact.count(column) > 1]
        if not question.asks(SHARE):
            return
        where = _WHERE.search(question.rest)
        verb = max((m.start() for m in _VERB.finditer(question.rest)), default=0)
        places = [*(start for start, _, _ in self.found), *(self.at.get(c, 0) for c in question.columns)]
        last = max(places, default=0)
        splits = min(places, default=0) < verb < last
        for start, _, condition in self.found:
            within = re.search(r"\b(?:in|for|at|among)\s+(?:the\s+)?$", question.rest[:start], re.IGNORECASE)
            if (where and start > where.start()) or (start < verb if splits else within):
                question.among.append(condition)
        subjects = [c for c in question.columns if self.at.get(c, verb) < verb < last]
        question.groups += subjects
        question.columns = [c for c in question.columns if c not in subjects]
        if len(question.among) == len(question.conditions) and not (question.columns or subjects):
            question.among = []

    def _leftovers(self) -> None:
        question = self.question
        question.unread += [m[0].strip(" ·?.!,") for m in _UNREAD.finditer(question.rest)]
        parts = {part for name in self.names for part in tokens(name)}
        parts |= {v for n in self.texts for v in self.reader(n).known if len(self.reader(n).known) <= FEW_VALUES}
        for word in re.findall(r"(?<![\w·'’-])[a-z][a-z-]+(?![\w·'’])", question.rest):
            if word in _PLAIN_WORDS or word in self.things or re.fullmatch(ANY_STATISTIC, word):
                continue
            like = len(word) > 5 and any(len(part) > 4 and part[:5] == word[:5] for part in parts)
            (question.unread if like else question.unknown).append(word)


@cache
def _forms(word: str) -> set[str]:
    """A word and what it is without its endings: smokers, smoker, smok."""
    plain = re.sub(r"[\W_]+", "", word.lower())
    plain = plain.removesuffix("ies") + "y" if plain.endswith("ies") else plain
    ends = ("", "s", "es", "ed", "d", "ing", "er", "ers", "r", "rs")
    return {
        plain[: len(plain) - len(e)]
        for e in ends
        if plain.endswith(e) and len(plain) - len(e) > (2 if e in ("", "s") else 3)
    }
