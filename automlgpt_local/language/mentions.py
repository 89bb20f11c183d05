"""Where a sentence names columns: alone, in lists, before or behind other words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection

from automlgpt_local.data.names import ColumnIndex, near_names
from automlgpt_local.errors import UsageError
from automlgpt_local.language import phrases

MOST_WORDS = 6  # of a column's name in a sentence
NEAR_CHARACTERS = 300  # before "it", in which the column may stand that it means
SUBJECT_WORDS = 40  # that a list before "must not be used" may have
_FILLER = re.compile(
    r"(?:\s|:|=|\b(?:the|a|an|all|both|either|my|our|its|every|each|any|columns?|features?|fields?|variables?|named|called|"
    r"values? of|value|of)\b)+",
    re.IGNORECASE,
)
AND = re.compile(
    r"\s*(?:[,;]?\s*(?:\b(?:and|or|nor|then|plus|as well as|along with|together with)\b\s*)+(?:also\b|even\b|then\b)?"
    r"|[,;&+/])\s*",
    re.IGNORECASE,
)
_TRAILING = re.compile(r"\s*(?:columns?|features?|fields?|variables?)\b", re.IGNORECASE)
_ASIDE = re.compile(r"\s*\([^()]*\)(?=\s*(?:,|and\b|or\b))", re.IGNORECASE)
_QUOTED = re.compile(r"[\"“”'`‘’]([^\"“”'`‘’]*[^\s\"“”'`‘’][^\"“”'`‘’]*)[\"“”'`‘’]")
_SENTENCE_END = re.compile(r"[.;!?]\s")
_DENIED = re.compile(
    rf"(?:{phrases.NEGATION}|\bno\s+(?:need|reason)\s+to\s+|\bneedn['’]?t\s+|\bstop\s+|\bused\s+to\s+)(?:use\s+|take\s+|treat\s+)?$",
    re.IGNORECASE,
)
_OF_SOMEONE = re.compile(r"\s*(?:of\s+(?:the\s+|each\s+|an?\s+)?\w+\s*)?", re.IGNORECASE)


class Mentions:
    """A text against a table's columns. It remembers what was read: a column called "precision" is no metric."""

    def __init__(self, text: str, index: ColumnIndex) -> None:
        self.text = text
        self.columns = index.columns
        self.used: list[tuple[int, int]] = []
        self.find, self.having = index.find, index.having

    def blanked(self) -> str:
        """The text without the places where columns were named."""
        letters = list(self.text)
        for start, end in self.used:
            letters[start:end] = "·" * (end - start)
        return "".join(letters)

    def list_at(self, start: int, most: int = 99, loose: bool = False) -> tuple[list[str], int, str]:
        """Columns named from `start` on, where the list ends, and the words there that are no column."""
        found: list[str] = []
        at = start
        while len(found) < most:
            filler = _FILLER.match(self.text, at)
            behind_filler = filler.end() if filler else at
            begin = self._skip_blanks(at)
            name, end = self.column_at(begin)  # a column may be called "value"
            if name is None:
                begin = behind_filler
                name, end = self.column_at(begin, loose)
            if name is None:
                words = re.match(r"[^,.;!?]*", self.text[behind_filler:])
                unknown = " ".join((words[0] if words else "").split()[:3])
                return found, behind_filler, unknown.strip("\"'`“”‘’ ")
            found.append(name)
            self.used.append((begin, end))
            at = end
            for passed in (_TRAILING, _ASIDE):
                behind = passed.match(self.text, at)
                at = behind.end() if behind else at
            joint = AND.match(self.text, at)
            if joint is None:
                return found, at, ""
            at = joint.end()
        return found, at, ""

    def list_if_any(self, start: int, most: int = 99, loose: bool = False) -> tuple[list[str], int]:
        """Columns named from `start` on, and where the list ends, where other words in quotes may stand as well."""
        try:
            return self.list_at(start, most, loose)[:2]
        except UsageError:
            return [], start

    def subject(self, end: int, loose: bool = False) -> list[str]:
        """The list of columns that ends at `end`, as before "must not be used"; [] where other words stand there."""
        start = self.sentence_start(end)
        for word in list(re.finditer(r"\S+", self.text[start:end]))[-SUBJECT_WORDS:]:
            known = len(self.used)
            found, at = self.list_if_any(start + word.start(), loose=loose)
            inside = found and self.used[-1][1] <= end  # "Dropped Out" is no column "Dropped" that is out
            if inside and _OF_SOMEONE.fullmatch(self.text, at, max(at, end)):
                return found
            del self.used[known:]
        return []

    def last_named(self, end: int, taken: Collection[str | None] = ()) -> list[str]:
        """The columns that "it" or "them" means: the last list before, in this sentence or the one before, of others
        than those taken.

        Empty where a kind of model is named there: that may be meant.
        """
        this = self.sentence_start(end)
        for begin in dict.fromkeys((this, self.sentence_start(max(this - 1, 0)))):
            start = max(begin, end - NEAR_CHARACTERS)
            if phrases.families_in(self.text[start:end]):
                return []
            last: list[str] = []
            at = start
            for word in re.finditer(r"[\w.-]{2,}", self.text[start:end]):
                if start + word.start() < at or word[0].lower() in phrases.COMMON_WORDS:
                    continue
                known = len(self.used)
                found, behind = self.list_if_any(start + word.start())
                if behind <= end + 1 and any(c not in taken for c in found):
                    last, at = found, behind
                else:
                    del self.used[known:]
            if last:
                return last
        return []

    def before(self, at: int) -> str:
        """The words right before a place."""
        return self.text[max(0, at - 80) : at]

    def denied(self, at: int) -> bool:
        """Do the words before deny what stands there, as "do not" does?"""
        return _DENIED.search(self.before(at)) is not None

    def names_exactly(self, at: int) -> bool:
        """Does a column's name stand there as a whole word, in any case?"""
        word = re.match(r"\s*(?:the\s+)?([^\s,.;!?]+)", self.text[at:])
        return word is not None and self.find(word[1]) is not None

    def is_read(self, at: int) -> bool:
        """Was a column read there?"""
        return any(start <= at < end for start, end in self.used)

    def sentences(self) -> list[tuple[int, int]]:
        """Where each begins and ends."""
        ends = [m.end() for m in _SENTENCE_END.finditer(self.text)] + [len(self.text)]
        return list(zip([0, *ends[:-1]], ends, strict=True))

    def sentence_start(self, end: int) -> int:
        """Where the sentence begins that `end` is in."""
        return max((m.end() for m in _SENTENCE_END.finditer(self.text[:end])), default=0)

    def column_at(self, start: int, loose: bool = False) -> tuple[str | None, int]:
        """The column whose name begins at `start`, and where it ends. Raises UsageError for a wrong name in quotes."""
        quoted = _QUOTED.match(self.text, start)
        if quoted:
            name = self.find(quoted[1])
            if name is None:
                raise self.no_column(quoted[1])
            return name, quoted.end()
        rest = self.text[start : start + 200]
        # A name may have a "/" or a ",", or one may stand between two.
        for part in dict.fromkeys((rest, rest.split("/")[0], rest.split(",")[0])):
            name, length = self._name_at_start(part, loose)
            if name is not None:
                return name, start + length
        return None, start

    def _name_at_start(self, text: str, loose: bool) -> tuple[str | None, int]:
        """The column whose name, of at most MOST_WORDS words, a text begins with, and how long it is there."""
        words = list(re.finditer(r"\S+", text))[:MOST_WORDS]
        for n in range(len(words), 0, -1):
            phrase = text[: words[n - 1].end()]
            for candidate in dict.fromkeys(
                [phrase.rstrip(".,;:!?+&~/ "), phrase, phrase.rstrip(".,;:!?)").removesuffix("'s")]
            ):
                name = self.find(candidate)
                if name is not None:
                    return name, len(candidate if candidate == name else re.sub(r"[^\w)\]%]+$", "", candidate))
        if words:
            name = self.by_token(words[0][0].strip(".,;:!?"), loose)
            return name, len(text[: words[0].end()].rstrip(".,;:!?"))
        return None, 0

    def by_token(self, word: str, loose: bool = False) -> str | None:
        """ "prices" for price; loosely also "patient" for patient_id, where only one column has that word."""
        singular = word[:-1] if word.lower().endswith("s") and len(word) > 3 else None
        if singular:
            name = self.find(singular)
            if name is not None:
                return name
        if not loose or len(word) < 2:
            return None
        having = self.having(word)
        if not having and singular:
            having = self.having(singular)
        return having[0] if len(having) == 1 else None

    def verbatim(self) -> set[str]:
        """Columns whose names of several words, or in a script without blanks, stand in the text; longest first."""
        rest, found = self.blanked().casefold(), set()
        for column in sorted(self.columns, key=len, reverse=True):
            name = column.strip().casefold()
            if len(name) < 2 or (name.isascii() and " " not in name) or name not in rest:
                continue
            edges = [r"(?<!\w)" if name[0].isascii() else "", r"(?!\w)" if name[-1].isascii() else ""]
            if re.search(f"{edges[0]}{re.escape(name)}{edges[1]}", rest):
                rest = rest.replace(name, "·" * len(name))
                found.add(column)
        return found

    def no_column(self, phrase: str) -> UsageError:
        word = (phrase.split() or [phrase])[0]
        having = self.having(word)
        if len(having) > 1:
            return UsageError(f"The request's {word!r} could be {' or '.join(having[:5])}.", "Write the full name.")
        return UsageError(
            f"The request names {word!r}, but there is no such column.",
            f"Did you mean: {near_names(word, self.columns)}? Put a column's name in quotes when it has blanks.",
        )

    def is_slip(self, phrase: str) -> bool:
        """Are these words nearly a column's name?"""
        words = phrase.lower().split()
        for n in range(1, len(words) + 1):
            names = [c.lower() for c in self.columns if len(c.split()) == n]
            if difflib.get_close_matches(" ".join(words[:n]), names, 1, 0.82):
                return True
        return False

    def _skip_blanks(self, at: int) -> int:
        while at < len(self.text) and self.text[at].isspace():
            at += 1
        return at
