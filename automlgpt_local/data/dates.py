"""Dates in text columns: how they are written, and their values."""

from __future__ import annotations

import warnings

import pandas as pd


def parse_dates(values: pd.Series) -> pd.Series:
    """Text as datetime64 without zone; NaT where unreadable. The format of the first value is tried for all."""
    text = values.astype("str").where(values.notna())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dates = pd.to_datetime(text, errors="coerce", utc=True)
        if dates.notna().sum() < 0.9 * text.notna().sum():
            mixed = pd.to_datetime(text, errors="coerce", utc=True, format="mixed")
            dates = mixed if mixed.notna().sum() > dates.notna().sum() else dates
    naive: pd.Series = dates.dt.tz_localize(None)
    return naive
