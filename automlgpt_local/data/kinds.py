"""What a column means: number, category, text, date, number-like text, id or constant."""

from __future__ import annotations

import re
from typing import Literal

import numpy as np
import pandas as pd

from automlgpt_local.data.dates import date_format
from automlgpt_local.data.names import is_id_name

ColumnKind = Literal["number", "category", "text", "date", "numeric_text", "id", "constant"]

NUMERIC_TEXT = re.compile(
    r"\s*[<>~=≈]*\s*[-+(]?\s*[$€£¥₹]?\s*[-+]?(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?|\.\d+)(?:[eE][-+]?\d+)?"
    r"\s*\+?\s*(?:[%°$€£¥₹]|[a-zA-Zµ]{1,12}\.?(?:\s*/\s*[a-zA-Z]{1,8}|²|³|2|3)?)?\s*[+)]?\s*"
)
MISSING_WORDS = frozenset(
    {
        "?", "-", "--", "---", ".", "..", "*", "n/a", "na", "n.a.", "none", "null", "nil", "nan", "missing", "unknown",
        "unk", "not available", "not applicable", "undefined", "not specified", "unspecified", "varies with device",
        "tbd", "#n/a", "", "(null)", "(blank)", "no data", "#value!", "#ref!", "#div/0!",
    }
)  # fmt: skip
_AMOUNT = r"[\s$€£¥₹]*[-+(]?[\s$€£¥₹]*(?:\d{1,3}(?:[{t}\s'’]\d{2,3})*[{t}\s'’]\d{3}|\d+)(?:{d}\d+)?[\s$€£¥₹%]*[)-]?\s*"
AMOUNTS = {d: re.compile(_AMOUNT.replace("{t}", t).replace("{d}", re.escape(d))) for d, t in ((".", ","), (",", "."))}
_UNUSUAL = re.compile(r"[)-]$|\d[\s'’]\d|,\d\d,")
MAX_DISTINCT_CHECKED = 2000
MIN_ID_ROWS = 20


def number_kind(name: str, values: np.ndarray, unique: int, missing: float) -> ColumnKind:
    """values: (n,) finite numbers that are there, in the order of the file."""
    if unique == 0 or (unique == 1 and missing == 0):
        return "constant"
    if len(values) < MIN_ID_ROWS or (values % 1 != 0).any():
        return "number"
    share = unique / len(values)
    if is_id_name(name) and share > 0.5:
        return "id"
    if share == 1.0 and missing == 0 and _counts_up(values):
        return "id"
    if values.min() >= 19000101 and values.max() <= 21001231 and _are_day_numbers(values):
        return "date"
    return "number"


def _counts_up(values: np.ndarray) -> bool:
    """A running number: rises from 0 or 1 by small steps. Years in order do not."""
    steps = np.diff(values)
    return bool(values[0] in (0, 1) and (steps > 0).all() and np.median(steps) <= 1 and steps.mean() <= 2)


def _are_day_numbers(values: np.ndarray) -> bool:
    """20141013: year, month, day."""
    days: np.ndarray = values[:: max(1, len(values) // 1000)].astype("int64")
    month: np.ndarray = days // 100 % 100
    day: np.ndarray = days % 100
    return bool((month >= 1).all() and (month <= 12).all() and (day >= 1).all() and (day <= 31).all())


def text_kind(name: str, counts: pd.Series, rows: int, missing: float = 0.0) -> tuple[ColumnKind, str]:
    """Kind and, for a date, its strptime format ("" when mixed). counts: value -> rows that have it; rows: all that
    have one; missing: share of the rows that have none."""
    unique = len(counts)
    checked = counts.iloc[:MAX_DISTINCT_CHECKED]
    known = checked[[v.strip().lower() not in MISSING_WORDS for v in checked.index]]
    values = [str(v) for v in known.index]
    if unique < 2:  # "Y" or nothing is a flag
        return "category" if values and missing > 0 else "constant", ""
    if not values:
        return "category", ""
    found = date_format(values[:300])
    if found is not None:
        return "date", found
    weights = known.to_numpy(dtype="float64")
    numeric = np.array([NUMERIC_TEXT.fullmatch(v) is not None for v in values])
    words = float(np.average([len(v.split()) for v in values], weights=weights))
    share = unique / rows
    if rows >= MIN_ID_ROWS and words <= 1.5 and share > 0.5 and is_id_name(name):
        return "id", ""
    if len(values) >= 3 and weights[numeric].sum() >= 0.8 * weights.sum() and _units_are_few(values):
        return "numeric_text", ""
    if words >= 8 or (words >= 2.5 and unique > 100 and share > 0.2):
        return "text", ""
    if rows >= MIN_ID_ROWS and words <= 1.5 and share >= 0.99:
        return "id", ""
    return "category", ""


def are_amounts(values: pd.Series, decimal: str) -> bool:
    """Whether text holds nothing but numbers as `as_number` reads them: "1.234,50 €" beside a decimal comma.

    Beside a decimal point such text stays text (it is parsed by code that can be read), but for what that code does
    not know: accountants' negative numbers, "(12.50)" and "12.50-", and thousands apart by blanks or apostrophes.
    """
    known, found = values.dropna(), list[str]()
    for part in (known.iloc[:100], known):  # most text is told by its first rows
        found = [v for v in map(str.strip, map(str, part.unique())) if v.lower() not in MISSING_WORDS]
        if not all(AMOUNTS[decimal].fullmatch(v) for v in found):
            return False
    return bool(found) and (decimal == "," or any(_UNUSUAL.search(v) for v in found))


def _units_are_few(values: list[str]) -> bool:
    """ "19M", "2 years" have units; "7A", "3B", "12C" are codes: as many endings as letters."""
    endings = {re.sub(r"[\d\s.,+\-$€£¥₹<>~=()]", "", v).lower() for v in values}
    return len(endings) <= max(6, 0.05 * len(values))


def sentinels_of_numbers(distinct: np.ndarray, counts: np.ndarray) -> list[float]:
    """Codes for "missing": -1 beside amounts, and runs of nines far from everything else.

    distinct: (n,) in order, counts: (n,) rows that have each.
    """
    found: list[float] = []
    n_rows = int(counts.sum())
    if n_rows < 20 or len(distinct) < 3:
        return found
    for at, neighbour in ((0, 1), (-1, -2)):
        value, share = float(distinct[at]), counts[at] / n_rows
        rest = distinct[1:] if at == 0 else distinct[:-1]
        digits = str(abs(int(value))) if value % 1 == 0 else ""
        nines = len(digits) >= 2 and set(digits) == {"9"}
        gap = abs(value - float(distinct[neighbour]))
        spread = float(rest[-1] - rest[0])
        if (nines and share >= 0.002 and gap > max(1.0, 0.5 * spread)) or (
            value == -1 and at == 0 and distinct[1] >= 0 and share >= 0.02 and len(distinct) > 5
        ):
            found.append(value)
    return found


def sentinels_of_text(counts: pd.Series) -> list[str]:
    """Words for "missing" that occur, most frequent first."""
    return [str(v) for v in counts.index[:MAX_DISTINCT_CHECKED] if str(v).strip().lower() in MISSING_WORDS][:5]


def text_as_number(values: pd.Series) -> pd.Series:
    """ "$4.99", "10,000+", "19M", "35%", "< 1 year" as float64: the first number, k / M / B multiplied."""
    text = values.astype("str").str.replace(r"(?<![\d,])(\d+),(\d{1,2}|\d{4,})(?![\d,.])", r"\1.\2", regex=True)
    text = text.str.replace(",", "", regex=False)
    parts = text.str.extract(r"(-?\d*\.?\d+(?:[eE][-+]?\d+)?)(?![\d.])\s*([kKmMbB]?)(?![a-zA-Z])")
    numbers = pd.to_numeric(parts[0], errors="coerce")
    plain = pd.to_numeric(text.str.extract(r"(-?\d*\.?\d+)")[0], errors="coerce")
    factor = parts[1].str.lower().map({"k": 1e3, "m": 1e6, "b": 1e9}).fillna(1.0)
    result: pd.Series = (numbers * factor).fillna(plain).astype("float64")
    return result
