"""Dates in text columns: how they are written, and their values."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence

import pandas as pd

EPOCH = pd.Timestamp("1970-01-01")  # of a unit that reaches to year 1 and 9999, as pd.Timestamp(0) does not
_MONTH = r"(?:jan|feb|mar|apr|may|jun|jul|aug|sep|sept|oct|nov|dec)[a-z]*\.?"
_TIME = (
    r"(?P<time>[T\s]\s*\d{1,2}:\d{2}(?P<seconds>:\d{2})?(?P<fraction>\.\d+)?(?P<half>\s*[ap]m)?"
    r"(?P<zone>\s*(?:Z|UTC|[+-]\d{2}:?\d{2}))?)?"
)

# Pattern of the day, its strptime format. "{a}/{b}" stands for day and month in the order that the values show.
_DAYS: tuple[tuple[str, str], ...] = (
    (r"\d{4}-\d{1,2}-\d{1,2}", "%Y-%m-%d"),
    (r"\d{4}/\d{1,2}/\d{1,2}", "%Y/%m/%d"),
    (r"\d{4}\.\d{1,2}\.\d{1,2}", "%Y.%m.%d"),
    (r"(?P<a>\d{1,2})/(?P<b>\d{1,2})/\d{4}", "{a}/{b}/%Y"),
    (r"(?P<a>\d{1,2})/(?P<b>\d{1,2})/\d{2}", "{a}/{b}/%y"),
    (r"(?P<a>\d{1,2})-(?P<b>\d{1,2})-\d{4}", "{a}-{b}-%Y"),
    (r"(?P<a>\d{1,2})\.(?P<b>\d{1,2})\.\d{4}", "{a}.{b}.%Y"),
    (rf"{_MONTH}\s+\d{{1,2}},\s*\d{{4}}", "%B %d, %Y"),
    (rf"{_MONTH}\s+\d{{1,2}}\s+\d{{4}}", "%B %d %Y"),
    (rf"\d{{1,2}}\s+{_MONTH}\s+\d{{4}}", "%d %B %Y"),
    (rf"\d{{1,2}}-{_MONTH}-\d{{4}}", "%d-%B-%Y"),
    (rf"\d{{1,2}}-{_MONTH}-\d{{2}}", "%d-%B-%y"),
    (rf"{_MONTH}-\d{{4}}", "%B-%Y"),
    (rf"{_MONTH}-\d{{2}}", "%B-%y"),
    (rf"{_MONTH}\s+\d{{4}}", "%B %Y"),
    (r"(?:19|20)\d{2}-(?:0[1-9]|1[0-2])", "%Y-%m"),
)
_CLOCK = re.compile(r"(?:[01]?\d|2[0-3]):[0-5]\d(?P<seconds>:[0-5]\d)?(?P<half>\s?[ap]m)?", re.IGNORECASE)
_COMPACT = re.compile(r"\d{8}T\d{6}")
_COMPILED = tuple((re.compile(day + _TIME, re.IGNORECASE), fmt) for day, fmt in _DAYS)


def date_format(values: Sequence[str]) -> str | None:
    """The strptime format of these texts; "" for dates in several formats; None when they are no dates.

    At least 95 % must be dates, or times of the day. Names of months or weekdays alone are categories.
    """
    values = [v.strip() for v in values if v.strip()]
    if not values:
        return None
    if sum(_COMPACT.fullmatch(v) is not None for v in values) >= 0.95 * len(values):
        return "%Y%m%dT%H%M%S"
    clocks = [m for m in map(_CLOCK.fullmatch, values) if m]
    if len(clocks) >= 0.95 * len(values):
        shapes = {(m["seconds"] is not None, len(m["half"] or "")) for m in clocks}
        if len(shapes) > 1:
            return None
        ((seconds, half),) = shapes
        return ("%I:%M" if half else "%H:%M") + (":%S" if seconds else "") + {0: "", 2: "%p", 3: " %p"}[half]
    dates = 0
    for pattern, fmt in _COMPILED:
        found = [m for m in (pattern.fullmatch(v) for v in values) if m]
        dates += len(found)
        if len(found) >= 0.95 * len(values):
            return _full_format(fmt, found)
    return "" if dates >= 0.95 * len(values) else None


def _full_format(fmt: str, found: list[re.Match[str]]) -> str:
    if "{a}" in fmt:
        day_first = any(int(m["a"]) > 12 for m in found) and not any(int(m["b"]) > 12 for m in found)
        if not day_first and "." in fmt and not any(int(m["b"]) > 12 for m in found):
            day_first = True  # 03.04.2020 is written where the day comes first
        fmt = fmt.replace("{a}", "%d" if day_first else "%m").replace("{b}", "%m" if day_first else "%d")
    if "%B" in fmt:
        names = [re.search(r"[A-Za-z]+", m[0]) for m in found]
        if all(n is not None and len(n[0]) == 3 for n in names):
            fmt = fmt.replace("%B", "%b")
    times = {tuple(bool(m[part]) for part in ("time", "seconds", "fraction", "half", "zone")) for m in found}
    if times == {(False,) * 5}:
        return fmt
    shapes: dict[tuple[bool, ...], str] = {
        (True, True, False, False, False): "%H:%M:%S",
        (True, False, False, False, False): "%H:%M",
        (True, True, True, False, False): "%H:%M:%S.%f",
    }
    shape = shapes.get(next(iter(times))) if len(times) == 1 else None
    marks = {"T" if "T" in m["time"] else " " for m in found} if shape else set()
    if shape and len(marks) == 1:
        return f"{fmt}{marks.pop()}{shape}"
    return fmt if fmt.startswith("%d") else ""  # whoever parses needs to know that the day comes first


def parse_dates(values: pd.Series, fmt: str | None = None) -> pd.Series:
    """Text as datetime64 without zone; NaT where unreadable. fmt: of `date_format`; None finds it out."""
    text = values.astype("str").where(values.notna())
    if fmt is None:
        fmt = date_format([str(v) for v in text.dropna().unique()[:300]]) or ""
    text = text.str.strip()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dates = pd.to_datetime(text, errors="coerce", utc=True, format=fmt or "mixed")
        if fmt.startswith("%d") and (dates.isna() & text.notna()).any():  # a time behind some of them
            again = pd.to_datetime(text, errors="coerce", utc=True, format="mixed", dayfirst=True)
            dates = dates.fillna(again)
    naive: pd.Series = dates.dt.tz_localize(None)
    return naive


def day_numbers(values: pd.Series) -> pd.Series:
    """Numbers such as 20141013 as datetime64."""
    text = values.astype("Int64").astype("str")
    return pd.to_datetime(text, format="%Y%m%d", errors="coerce")
