"""What a table's columns are and how its file is read, so that training and prediction see the same frame.

`conform`, `as_number` and `as_text` stand alone (pandas and numpy only): the exporter copies their source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
import pandas as pd

ColumnType = Literal["number", "text"]

# What pandas takes for missing by default, spelled out where a column must be read with fewer of them.
DEFAULT_MISSING = (
    "", " ", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>",
    "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null",
)  # fmt: skip


@dataclass(frozen=True)
class Schema:
    """`columns`: name -> type, in the order of the file, the target among them. `exact_target`: only an empty
    cell of the target is missing, so that "NA" or "None" is a class. `spellings`: how else the target's labels are
    written in the file -> the label."""

    format: Literal["csv", "parquet", "excel"]
    columns: dict[str, ColumnType]
    target: str | None = None
    sep: str = ","
    encoding: str = "utf-8"
    decimal: str = "."
    names: tuple[str, ...] | None = None  # given where the file's header has one name too few
    skip: int = 0  # lines above the header
    blanks: bool = False  # a blank stands behind each separator
    sheet: str | None = None
    exact_target: bool = False
    spellings: dict[str, str] = field(default_factory=dict)
    required: tuple[str, ...] | None = None  # what new rows must bring; None: every column but the target

    def to_json(self) -> dict[str, Any]:
        values = asdict(self)
        values["names"] = list(self.names) if self.names else None
        values["required"] = None if self.required is None else list(self.required)
        return values

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Schema:
        known = {f.name for f in fields(cls)}
        kept: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known}
        return cls(**kept)

    @property
    def text_columns(self) -> list[str]:
        return [name for name, kind in self.columns.items() if kind == "text"]

    @property
    def feature_columns(self) -> dict[str, ColumnType]:
        return {name: kind for name, kind in self.columns.items() if name != self.target}

    def with_target(self, target: str, kind: ColumnType, *, exact: bool = False) -> Schema:
        return replace(self, target=target, columns={**self.columns, target: kind}, exact_target=exact)

    def read_options(self) -> dict[str, Any]:
        """Keyword arguments of `pandas.read_csv` (or `read_excel`, `read_parquet`, by `format`): plain values only."""
        if self.format == "parquet":
            return {}
        options: dict[str, Any] = {"dtype": dict.fromkeys(self.text_columns, "str")}
        if self.exact_target and self.target is not None:
            missing = {name: list(DEFAULT_MISSING) for name in self.columns}
            options |= {"na_values": {**missing, self.target: [""]}, "keep_default_na": False}
        if self.format == "excel":
            return options | {"sheet_name": self.sheet or 0}
        options |= {"index_col": False, "low_memory": False}
        if self.sep != ",":
            options["sep"] = self.sep
        if self.encoding != "utf-8":
            options["encoding"] = self.encoding
        if self.decimal != ".":
            options["decimal"] = self.decimal
        if self.skip:
            options["skiprows"] = self.skip
        if self.blanks:
            options["skipinitialspace"] = True
        if self.names:
            options |= {"header": 0, "names": list(self.names)}
        return options


def as_number(values: pd.Series, decimal: str = ".") -> pd.Series:
    """Numbers as float64; what cannot be read, and what is too large for float32, is missing."""
    if isinstance(values.dtype, np.dtype) and values.dtype.kind in "iuf":
        plain = values.to_numpy(dtype="float64")
        return pd.Series(np.where(np.abs(plain) < 3e38, plain, np.nan), index=values.index, name=values.name)
    if pd.api.types.is_timedelta64_dtype(values):
        values = values.dt.total_seconds()
    as_written = decimal == "." or pd.api.types.is_numeric_dtype(values)
    numbers = pd.to_numeric(values if as_written else values.where(values.isna()), errors="coerce").astype("float64")
    unread = numbers.isna() & values.notna()
    if unread.any():  # "$1,234.50", "35 %", decimal commas, "(12.50)" and "12.50-" below zero
        thousands = "," if decimal == "." else "."
        text = values[unread].astype("str").str.replace(r"[\s$€£¥₹%'’]", "", regex=True)
        # A single mark before other than three digits counts no thousands.
        text = text.str.replace(rf"^(\D*\d+)[{thousands}](\d{{1,2}}|\d{{4,}})(\D*)$", rf"\1{decimal}\2\3", regex=True)
        text = text.str.replace(thousands, "", regex=False)
        text = text.str.replace(r"^\((.*)\)$|^(.*\d)-$", r"-\1\2", regex=True)
        again = pd.to_numeric(text.str.replace(decimal, ".", regex=False), errors="coerce")
        numbers[unread] = again.astype("float64")
    return numbers.where(numbers.abs() < 3e38)


def as_text(values: pd.Series) -> pd.Series:
    """Text as `str`, missing stays missing; whole floats are written without their ".0", dates as ISO 8601."""
    if isinstance(values.dtype, pd.CategoricalDtype):
        values = values.astype(values.cat.categories.dtype)
    if pd.api.types.is_datetime64_any_dtype(values):
        return values.dt.strftime("%Y-%m-%dT%H:%M:%S").astype("str").where(values.notna())
    if pd.api.types.is_float_dtype(values):
        there = values.dropna()
        if (there % 1 == 0).all() and (there.abs() < 2.0**63).all():  # Int64 holds no more
            values = values.astype("Int64")
    return values.astype("str").where(values.notna())


def conform(frame: pd.DataFrame, columns: Mapping[str, str], decimal: str = ".") -> pd.DataFrame:
    """The named columns in this order, "number" as float64 and "text" as str. Raises ValueError when one is absent."""
    absent = [name for name in columns if name not in frame.columns]
    if absent:
        raise ValueError(f"the data lack {len(absent)} column(s) that the model was trained on: {absent[:20]}")
    parts = {
        name: as_number(frame[name], decimal) if kind == "number" else as_text(frame[name])
        for name, kind in columns.items()
    }
    return pd.DataFrame(parts, index=frame.index)


def finite(values: pd.Series) -> np.ndarray:
    """The numbers of a column that are there. Returns (n,) float64."""
    numbers = values.to_numpy(dtype="float64", na_value=np.nan)
    return numbers[np.isfinite(numbers)]
