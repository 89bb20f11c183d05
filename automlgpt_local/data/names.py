"""Names that people write a little differently: columns and metrics."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence

from automlgpt_local.errors import UsageError
from automlgpt_local.metrics import ALIASES, METRICS

_CAMEL_ID = re.compile(r"[a-z](?:ID|Id)$")
_SNAKE_ID = re.compile(
    r"(?:^|[_\s.-])(?:id|uuid|guid|key|idx|rownum|row_name|serial)$|^(?:row[_\s.-]?)?index$|^unnamed: 0", re.IGNORECASE
)


def is_id_name(name: str) -> bool:
    """Whether a column is called like an id: patient_id, customerID, row index."""
    return bool(_SNAKE_ID.search(name.strip()) or _CAMEL_ID.search(name.strip()))


def _plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def tokens(name: str) -> list[str]:
    """The words of a column's name in lower case: customerID -> customer, id."""
    return [t.lower() for t in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+", name)]


class ColumnIndex:
    """The columns of a table by the ways in which people write their names."""

    def __init__(self, columns: Sequence[str]) -> None:
        self.columns = columns
        self._by_way: list[tuple[Callable[[str], str], dict[str, list[str]]]] = []
        for way in (str, str.strip, lambda c: c.strip().lower(), _plain):
            found: dict[str, list[str]] = {}
            for column in columns:
                found.setdefault(way(column), []).append(column)
            self._by_way.append((way, found))
        self._asked: dict[str, str | None] = {}  # a sentence asks for the same words many times
        self._by_token: dict[str, list[str]] = {}
        for column in columns:
            for token in dict.fromkeys(tokens(column)):
                self._by_token.setdefault(token, []).append(column)

    def find(self, name: str) -> str | None:
        """The column of that name; failing that, the only one that differs in case, blanks or punctuation."""
        if name not in self._asked:
            self._asked[name] = self._find(name)
        return self._asked[name]

    def _find(self, name: str) -> str | None:
        for way, known in self._by_way:
            found = known.get(way(name), []) if way(name) else []
            if found:
                return found[0] if len(found) == 1 else None
        return None

    def having(self, token: str) -> list[str]:
        """The columns whose names have this word."""
        return self._by_token.get(token.lower(), [])


def find_column(name: str, columns: Sequence[str]) -> str | None:
    """`ColumnIndex.find`, for one name."""
    return ColumnIndex(columns).find(name)


def near_names(name: str, choices: Sequence[str], most: int = 3) -> str:
    """The most similar names, for an error's hint; the first few where none is similar."""
    lowered = {c.lower(): c for c in choices}
    near = [lowered[x] for x in difflib.get_close_matches(name.lower(), lowered, most, 0.5)]
    near += [c for c in choices if name.lower() in c.lower() and c not in near][: most - len(near)]
    return ", ".join(near or list(choices)[: 2 * most])


def resolve_column(name: str, columns: Sequence[str], where: str) -> str:
    """`find_column`, or UsageError that lists near names."""
    found = find_column(name, columns)
    if found is None:
        raise UsageError(f"{where}: there is no column {name!r}.", f"Did you mean: {near_names(name, columns)}?")
    return found


def metric_name(name: str) -> str | None:
    """A metric as people write it ("ROC AUC", "log-loss", "R²") by its name here."""
    key = re.sub(r"[\s\-]+", "_", name.strip().lower().replace("²", "2"))
    key = {"r_squared": "r2", "r_2": "r2", "macro_f1_score": "f1_macro", "f1_score": "f1"}.get(key, key)
    found = ALIASES.get(key, key)
    return found if found in METRICS else None
