"""Names that people write a little differently: columns and metrics."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence

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


def find_column(name: str, columns: Sequence[str]) -> str | None:
    """The column of that name; failing that, the only one that differs in case, blanks or punctuation."""
    if name in columns:
        return name
    for same in (str.strip, lambda c: c.strip().lower(), _plain):
        found = [c for c in columns if same(c) == same(name) and same(name)]
        if len(found) == 1:
            return found[0]
        if found:
            return None
    return None


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
