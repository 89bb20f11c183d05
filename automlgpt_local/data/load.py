"""Read tables: CSV (plain or compressed), parquet, a sheet of Excel. Several files of one schema become one table."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from automlgpt_local.data.kinds import are_amounts
from automlgpt_local.data.schema import ColumnType, Schema, as_number, as_text, conform
from automlgpt_local.data.sniff import CONVERT, SAMPLE_BYTES, FileFormat, open_bytes, single_byte_encoding, sniff
from automlgpt_local.errors import DataError

PEEK_ROWS = 1000


@dataclass(frozen=True)
class Table:
    """A frame in which columns are float64 (NaN missing) or `str` text, and how its files are read.

    fingerprint: sha256 of the bytes of all files, one after the other.
    """

    frame: pd.DataFrame
    schema: Schema
    paths: tuple[Path, ...]
    fingerprint: str
    warnings: tuple[str, ...] = ()
    formats: tuple[FileFormat, ...] = ()

    def exact(self, column: str) -> pd.Series:
        """A column as the text that the file holds ("01" is not "1"). Shape (n_rows,), missing is NaN."""
        if self.schema.columns[column] == "text":
            return self.frame[column]
        schema = self.schema.with_target(column, "text", exact=self.schema.exact_target)
        parts = [_read(p, fmt, [column], text=[column], schema=schema) for p, fmt in zip(self.paths, self.formats)]
        text: pd.Series = as_text(pd.concat(parts, ignore_index=True)[column])
        if len(text) != len(self.frame):
            raise DataError(f"{_label(self.paths)} changed while it was in use.", "Start again with the file as it is.")
        return text

    def with_target(self, target: str, kind: ColumnType, *, exact: bool = False) -> Table:
        """The same table with the target read as text (classes) or as numbers. `exact`: "NA" is a class."""
        schema = self.schema.with_target(target, kind, exact=exact)
        if schema == self.schema:
            return self
        if kind == "text":
            rereads = exact != self.schema.exact_target or self.schema.columns[target] == "number"
            source = replace(self, schema=replace(schema, columns={**schema.columns, target: "number"}))
            column = source.exact(target) if rereads else self.frame[target]
        else:
            column = self._numbers(target)
        return replace(self.with_column(target, column), schema=schema)

    def with_column(self, name: str, values: pd.Series) -> Table:
        frame = self.frame.copy(deep=False)
        frame[name] = values
        return replace(self, frame=frame)

    def _numbers(self, column: str) -> pd.Series:
        """A column as float64, as `read_csv` parses it: `to_numeric` may differ in the last bit."""
        if self.schema.columns[column] == "number":
            return self.frame[column]
        parts = [
            as_number(_read(path, fmt, [column], text=[], schema=self.schema)[column], fmt.decimal)
            for path, fmt in zip(self.paths, self.formats)
        ]
        return pd.concat(parts, ignore_index=True)


def load(
    paths: str | Path | Sequence[str | Path],
    *,
    target: str | None = None,
    sep: str | None = None,
    sheet: str | None = None,
    schema: Schema | None = None,
) -> Table:
    """Read one table from one or more files. With `schema` (of the training data) the columns get its types, and
    those that it requires must be there.

    A target is read as text, exactly as the file has it. Raises DataError.
    """
    files = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    if not files:
        raise DataError("No file was named.", "Name a CSV or parquet file.")
    formats = [sniff(path, sep, like=schema) for path in files]
    if schema is not None:
        return _load_known(files, formats, schema)
    found = [w for f in formats for w in f.warnings]
    first = formats[0]
    options = Schema(
        first.format, {}, target, first.sep, first.encoding, first.decimal, first.names, first.skip, first.blanks, sheet
    )  # columns are filled in below
    frames = [_infer(path, fmt, target, options) for path, fmt in zip(files, formats)]
    formats = [replace(fmt, encoding=frame.attrs.pop("encoding", fmt.encoding)) for fmt, frame in zip(formats, frames)]
    _same_columns(files, frames)
    columns = _types(frames, target, first)
    for i, (path, fmt) in enumerate(zip(files, formats)):
        wrong = [n for n, kind in columns.items() if kind == "text" and _type_of(frames[i][n]) == "number"]
        if wrong and fmt.format != "parquet":
            frames[i][wrong] = _read(path, fmt, wrong, text=wrong, schema=options)[wrong]
    whole = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)
    final = replace(options, columns=columns, encoding=formats[0].encoding)
    frame = conform(whole, columns, final.decimal)
    _check_rows(files, frame)
    if frame.shape[1] < 2:
        raise DataError(f"{_label(files)} has a single column.", "A table needs a target and at least one more column.")
    found += _name_warnings(list(frame.columns))
    return Table(frame, final, tuple(files), fingerprint(files), tuple(found), tuple(formats))


def column_names(path: str | Path, sep: str | None = None) -> list[str]:
    """The names of a file's columns, from its first rows. Raises DataError."""
    path = Path(path)
    unknown = Schema("csv", {})
    fmt = sniff(path, sep, like=unknown)
    return [str(c) for c in _read(path, fmt, None, text=[], schema=unknown, nrows=5).columns]


def _load_known(files: list[Path], formats: list[FileFormat], schema: Schema) -> Table:
    found = [w for f in formats for w in f.warnings]
    wanted = set(schema.feature_columns if schema.required is None else schema.required)
    parts = [_read(path, fmt, None, text=schema.text_columns, schema=schema) for path, fmt in zip(files, formats)]
    there = set.intersection(*(set(part.columns) for part in parts))
    columns = {name: kind for name, kind in schema.columns.items() if name in there or name in wanted}
    frames = []
    for path, fmt, part in zip(files, formats, parts):
        absent = [name for name in columns if name not in part.columns]
        if absent:
            raise DataError(
                f"{path} lacks {len(absent)} column(s) of the training data: {', '.join(absent[:10])}.",
                f"It has: {', '.join(map(str, part.columns[:10]))}. Give it the same columns as the training file.",
            )
        frames.append(conform(part, columns, fmt.decimal if fmt.format == "csv" else schema.decimal))
    whole = frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)[list(columns)]
    _check_rows(files, whole)
    return Table(
        whole, replace(schema, columns=dict(columns)), tuple(files), fingerprint(files), tuple(found), tuple(formats)
    )


def fingerprint(files: Sequence[Path]) -> str:
    """sha256 of the files' bytes, hexadecimal."""
    digest = hashlib.sha256()
    for path in files:
        with open(path, "rb") as file:
            while block := file.read(1 << 22):
                digest.update(block)
    return digest.hexdigest()


def _infer(path: Path, fmt: FileFormat, target: str | None, schema: Schema) -> pd.DataFrame:
    """The frame with pandas' own types, but booleans and the target as the text of the file."""
    if fmt.format == "parquet":
        return _read(path, fmt, None, text=[], schema=schema)
    peek = _read(path, fmt, None, text=[], schema=schema, nrows=PEEK_ROWS)
    text = [str(c) for c in peek.columns if _has_booleans(peek[c])]
    if target is not None and target in peek.columns:
        text.append(target)
    frame = _read(path, fmt, None, text=text, schema=schema)
    late = [str(c) for c in frame.columns if c not in text and _has_booleans(frame[c])]
    if late:
        encoding = frame.attrs.get("encoding", fmt.encoding)
        frame[late] = _read(path, replace(fmt, encoding=encoding), late, text=late, schema=schema)[late]
    return frame


def _has_booleans(values: pd.Series) -> bool:
    if pd.api.types.is_bool_dtype(values):
        return True
    return values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) in ("boolean", "mixed")


def _type_of(values: pd.Series) -> ColumnType:
    if pd.api.types.is_bool_dtype(values):
        return "text"
    if pd.api.types.is_numeric_dtype(values) or pd.api.types.is_timedelta64_dtype(values):
        return "number"
    if values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) in ("decimal", "integer", "floating"):
        return "number"
    return "text"


def _types(frames: list[pd.DataFrame], target: str | None, fmt: FileFormat) -> dict[str, ColumnType]:
    def is_number(values: pd.Series) -> bool:
        if _type_of(values) == "number":
            return True
        return fmt.format == "csv" and values.dtype != bool and are_amounts(values, fmt.decimal)

    columns: dict[str, ColumnType] = {}
    for name in frames[0].columns:
        numeric = name != target and all(is_number(frame[name]) for frame in frames)
        columns[name] = "number" if numeric else "text"
    return columns


def _read(
    path: Path, fmt: FileFormat, only: list[str] | None, *, text: list[str], schema: Schema, nrows: int | None = None
) -> pd.DataFrame:
    """One file, with `text` columns as str. The encoding that worked is noted in `frame.attrs`."""
    if fmt.format == "parquet":
        return _read_parquet(path, only)
    known: dict[str, ColumnType] = dict.fromkeys(text, "text")
    like = replace(
        schema, format=fmt.format, columns={**schema.columns, **known}, sep=fmt.sep, encoding=fmt.encoding,
        decimal=fmt.decimal, names=fmt.names, skip=fmt.skip, blanks=fmt.blanks,
    )  # fmt: skip
    options = like.read_options()
    options["dtype"] = dict.fromkeys(text, "str")
    if only is not None:
        options["usecols"] = only
    if nrows is not None:
        options["nrows"] = nrows
    if fmt.format == "excel":
        return _read_excel(path, options)
    return _read_csv(path, fmt, options)


def _read_parquet(path: Path, only: list[str] | None) -> pd.DataFrame:
    try:
        frame = pd.read_parquet(path, columns=only)
        if frame.index.names != [None]:  # pandas keeps a named index as columns of the file
            frame = frame.reset_index()
    except Exception as error:  # pyarrow raises many types
        raise DataError(
            f"{path} is no readable parquet file ({str(error)[:200]}).", "Write it again, or use CSV."
        ) from error
    frame.columns = [str(c) for c in frame.columns]
    return frame.reset_index(drop=True) if only is None else frame[only].reset_index(drop=True)


def _read_excel(path: Path, options: dict[str, Any]) -> pd.DataFrame:
    try:
        frame = pd.read_excel(path, **options)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {error}", "Name one of its sheets with --sheet.") from error
    frame.columns = [str(c) for c in frame.columns]
    return frame


def _read_csv(path: Path, fmt: FileFormat, options: dict[str, Any]) -> pd.DataFrame:
    with warnings.catch_warnings():
        # A header that is one name short: `sniff` decided what it means.
        warnings.simplefilter("ignore", pd.errors.ParserWarning)
        try:
            try:
                frame = pd.read_csv(path, compression=fmt.compression, **options)
                encoding = fmt.encoding
            except UnicodeDecodeError:
                with open_bytes(path, fmt.compression) as file:
                    encoding = single_byte_encoding(file.read(SAMPLE_BYTES))
                frame = _last_resort(path, fmt, options, encoding)
                encoding = frame.attrs.get("encoding", encoding)
        except pd.errors.EmptyDataError as error:
            raise DataError(f"{path} holds no table ({error}).", CONVERT) from error
        except pd.errors.ParserError as error:
            reason = str(error).replace("Error tokenizing data. C error: ", "").strip()
            raise DataError(
                f"{path} cannot be split into columns at {fmt.sep!r}: {reason}.",
                "Look at that line: an unquoted separator or a missing quote? Another separator is named with --sep.",
            ) from error
        except (OSError, EOFError, ValueError) as error:
            raise DataError(f"{path} cannot be read ({str(error)[:200]}).", CONVERT) from error
    frame.columns = [str(c) for c in frame.columns]
    frame.attrs["encoding"] = encoding
    return frame


def _last_resort(path: Path, fmt: FileFormat, options: dict[str, Any], encoding: str) -> pd.DataFrame:
    """UTF-8 failed after the sample: read as a single-byte encoding."""
    for candidate in dict.fromkeys([encoding, "latin-1"]):
        try:
            frame = pd.read_csv(path, compression=fmt.compression, **{**options, "encoding": candidate})
        except UnicodeDecodeError:
            continue
        frame.attrs["encoding"] = candidate
        return frame
    raise AssertionError("latin-1 decodes every byte")


def _same_columns(files: list[Path], frames: list[pd.DataFrame]) -> None:
    names = set(frames[0].columns)
    for path, frame in zip(files[1:], frames[1:]):
        if set(frame.columns) != names:
            differing = sorted(names ^ set(frame.columns))
            raise DataError(
                f"{files[0]} and {path} do not have the same columns: {', '.join(differing[:10])}.",
                "Several files are one table only when their columns agree.",
            )


def _check_rows(files: Sequence[Path], frame: pd.DataFrame) -> None:
    if len(frame) == 0:
        raise DataError(f"{_label(files)} has column names, but no rows.", "Name a file that holds rows.")


def _label(files: Sequence[Path]) -> str:
    return ", ".join(map(str, files))


def _name_warnings(names: list[str]) -> list[str]:
    found = []
    blank = [n for n in names if n.startswith("Unnamed: ")]
    if blank:
        found.append(f"{len(blank)} column(s) had no name and are called {', '.join(blank[:5])}.")
    again = [n for n in names if "." in n and n.rpartition(".")[2].isdigit() and n.rpartition(".")[0] in names]
    if again:
        found.append(f"Column names that occurred twice were numbered: {', '.join(again[:5])}.")
    return found
