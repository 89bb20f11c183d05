"""How a file is written: compression, format, encoding, separator, decimal mark, header. Reads its first megabyte."""

from __future__ import annotations

import bz2
import csv
import gzip
import importlib.util
import io
import lzma
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from automlgpt_local.data.schema import Schema
from automlgpt_local.errors import DataError

SAMPLE_BYTES = 1 << 20
SAMPLE_LINES = 200
SEPARATORS = (",", ";", "\t", "|")
BLANKS = r"\s+"
CONVERT = "Save the table as CSV (UTF-8, with a line of column names) or as parquet."

_DECIMAL_COMMA = re.compile(r"[+-]?(?:\d*|\d{1,3}(?:[.\s'’]\d{3})+),\d+(?:[eE][+-]?\d+)?")
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(?:,\d{3})+")
_DOTTED_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}\.\d{3}")
_DECIMAL_POINT = re.compile(r"[+-]?(?:\d*|\d{1,3}(?:[,\s'’]\d{3})+)\.\d+(?:[eE][+-]?\d+)?")
MOST_TITLE_LINES = 10
_DECLARED = re.compile(r"\ufeff?\"?sep=(.)\"?\s*?\r?\n", re.IGNORECASE)
_NUMBER = re.compile(r"[+-]?(?:\d+[.,]?\d*|[.,]\d+)(?:[eE][+-]?\d+)?")


@dataclass(frozen=True)
class FileFormat:
    """How one file is written."""

    format: Literal["csv", "parquet", "excel"]
    compression: str | None = None
    encoding: str = "utf-8"
    sep: str = ","
    decimal: str = "."
    names: tuple[str, ...] | None = None
    skip: int = 0
    blanks: bool = False  # a blank stands behind each separator
    warnings: tuple[str, ...] = ()


def sniff(path: Path, sep: str | None = None, *, like: Schema | None = None) -> FileFormat:
    """Look at the beginning of a file. Raises DataError for what is no table that we can read.

    like: of the table that these are new rows of; they may have a single column.
    """
    head = _head(path)
    if head[:4] == b"PAR1":
        return FileFormat("parquet")
    if head[:4] == b"PK\x03\x04" and _is_workbook(path):
        if importlib.util.find_spec("openpyxl") is None:
            raise DataError(
                f"{path} is an Excel workbook, and openpyxl, which reads them, is not installed.",
                "Save the sheet as CSV, or install openpyxl beside this program.",
            )
        return FileFormat("excel")
    if head[:8] == b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1":
        raise DataError(f"{path} is an Excel workbook of the old .xls format.", CONVERT)
    compression = _compression(path, head)
    sample = _sample(path, compression)
    encoding = _encoding(path, sample)
    lines = _lines(path, sample, encoding)
    return _csv_format(path, lines, sep, compression, encoding, like)


def _head(path: Path) -> bytes:
    if path.is_dir():
        inside = sorted(p.name for p in path.iterdir() if p.suffix in {".csv", ".parquet", ".gz", ".tsv", ".txt"})
        hint = f"Name a file in it, such as {path / inside[0]}." if inside else "Name the file that holds the table."
        raise DataError(f"{path} is a folder, not a file.", hint)
    try:
        with open(path, "rb") as file:
            head = file.read(16)
    except FileNotFoundError:
        near = [p.name for p in path.parent.glob(f"{path.stem[:4]}*")][:3] if path.parent.is_dir() else []
        hint = f"In that folder: {', '.join(near)}." if near else "Check the path."
        raise DataError(f"There is no file {path}.", hint) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.", "Check its permissions.") from error
    if not head:
        raise DataError(f"{path} is empty.", "A table needs a line of column names and at least 20 rows.")
    return head


def _is_workbook(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            return "xl/workbook.xml" in archive.namelist()
    except zipfile.BadZipFile:
        return False


def _compression(path: Path, head: bytes) -> str | None:
    if head[:2] == b"\x1f\x8b":
        return "gzip"
    if head[:4] == b"PK\x03\x04":
        _zip_member(path)
        return "zip"
    if head[:6] == b"\xfd7zXZ\x00":
        return "xz"
    if head[:3] == b"BZh":
        return "bz2"
    return None


def _zip_member(path: Path) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX")]
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is a broken zip archive ({error}).", "Fetch or make it again.") from error
    if len(members) != 1:
        raise DataError(f"{path} holds {len(members)} files: {', '.join(members[:5])}.", "Unpack it and name one file.")
    return members[0]


def open_bytes(path: Path, compression: str | None) -> IO[bytes]:
    """The file's bytes, unpacked."""
    openers: dict[str, Callable[[Any], Any]] = {"gzip": gzip.open, "xz": lzma.open, "bz2": bz2.open}
    if compression == "zip":
        return zipfile.ZipFile(path).open(_zip_member(path))
    file: IO[bytes] = openers[compression](path) if compression else path.open("rb")
    return file


def _sample(path: Path, compression: str | None) -> bytes:
    try:
        with open_bytes(path, compression) as file:
            sample = file.read(SAMPLE_BYTES)
    except (OSError, EOFError, lzma.LZMAError, zipfile.BadZipFile, ValueError) as error:
        raise DataError(
            f"{path} cannot be unpacked ({error}).", "The file is cut off or damaged; get it again."
        ) from error
    if not sample.strip():
        raise DataError(f"{path} is empty.", "A table needs a line of column names and at least 20 rows.")
    return sample


def _encoding(path: Path, sample: bytes) -> str:
    if sample.startswith(b"\xef\xbb\xbf"):
        return "utf-8-sig"
    if sample.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if b"\x00" in sample:
        raise DataError(f"{path} is neither a text table nor parquet (it holds binary data).", CONVERT)
    try:
        io.TextIOWrapper(io.BytesIO(sample[: sample.rfind(b"\n") + 1] or sample), encoding="utf-8").read()
        return "utf-8"
    except UnicodeDecodeError:
        controls = sum(sample.count(bytes([c])) for c in range(32) if c not in (9, 10, 12, 13))
        if controls > len(sample) * 0.01:
            raise DataError(f"{path} is neither a text table nor parquet (it holds binary data).", CONVERT) from None
        return single_byte_encoding(sample)


def single_byte_encoding(sample: bytes) -> str:
    """cp1252 (Windows) where it decodes, otherwise latin-1, which always does."""
    try:
        sample.decode("cp1252")
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


def _lines(path: Path, sample: bytes, encoding: str) -> str:
    text = sample.decode(encoding, errors="ignore")
    start = text.lstrip()[:200].lower()
    if start.startswith(("{", "[{", "[\n")):
        raise DataError(f"{path} looks like JSON.", CONVERT)
    if start.startswith(("<!doctype", "<html", "<?xml")):
        raise DataError(f"{path} is a web page or XML, not a table.", CONVERT)
    if len(sample) == SAMPLE_BYTES and "\n" in text:
        text = text[: text.rfind("\n") + 1]
    return text


def _without_titles(text: str) -> tuple[list[str], str]:
    """(lines above the column names: a title, comments, blank lines; the text behind them)."""
    lines = text.splitlines(keepends=True)[: MOST_TITLE_LINES + 50]

    def filled(sep: str) -> list[int]:
        return [sum(bool(cell.strip()) for row in csv.reader([line], delimiter=sep) for cell in row) for line in lines]

    try:
        counts = [filled(sep) for sep in SEPARATORS]
    except csv.Error:
        return [], text
    if not lines or any(count[0] >= 2 for count in counts):
        return [], text
    usual, count = max(((Counter(filter(None, c[1:])).most_common(1) or [(0, 0)])[0][0], c) for c in counts)
    header = next((i for i, n in enumerate(count) if n > 1), 0)
    if usual < 3 or not 0 < header <= MOST_TITLE_LINES or count[header] < 0.6 * usual:
        return [], text
    titles = "".join(lines[:header])
    if not titles.strip() or titles.count('"') % 2:  # pandas passes over blank lines; a quoted name may hold a break
        return [], text
    return lines[:header], text[sum(map(len, lines[:header])) :]


def _blanks_follow(rows: list[list[str]]) -> bool:
    """Whether what stands behind a separator begins with a blank, as in `a, b, "c, d"`."""
    cells = [cell for row in rows[:SAMPLE_LINES] for cell in row[1:] if cell]
    return len(cells) > 0 and sum(cell.startswith(" ") for cell in cells) >= 0.8 * len(cells)


def _rows(text: str, sep: str, blanks: bool = False) -> list[list[str]]:
    if sep == BLANKS:
        text = "\n".join(line.strip() for line in text.splitlines())
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=" " if sep == BLANKS else sep, skipinitialspace=blanks or sep == BLANKS)
    rows: list[list[str]] = []
    try:
        for row in reader:
            if row:
                rows.append(row)
            if len(rows) > SAMPLE_LINES:
                break
    except csv.Error:
        pass
    return rows


def _best_separator(text: str) -> str:
    """The separator that gives most lines the header's number of fields, and most fields."""

    def merit(sep: str) -> tuple[float, int]:
        widths = [len(row) for row in _rows(text, sep)]
        if not widths or widths[0] < 2:
            return (0.0, 0)
        same = Counter(widths)
        agreement = max(same[widths[0]], same[widths[0] + 1]) / len(widths)
        return (round(agreement, 1), widths[0])

    best = max(SEPARATORS, key=merit)
    return BLANKS if merit(best)[1] < 2 and merit(BLANKS)[0] == 1.0 else best


def _csv_format(
    path: Path, text: str, sep: str | None, compression: str | None, encoding: str, like: Schema | None
) -> FileFormat:
    if sep is not None:
        sep = {"\\t": "\t", "tab": "\t", "comma": ",", "semicolon": ";"}.get(sep, sep)
        sep = BLANKS if sep in (" ", "space", "blank") else sep
        if len(sep) != 1 and sep != BLANKS:
            raise DataError(f"The separator {sep!r} is not one character.", "For a tab write --sep tab.")
    declared = _DECLARED.match(text)  # the first line of what Excel writes for itself
    if declared:
        text, sep = text[declared.end() :], sep or declared[1]
    csv.field_size_limit(max(csv.field_size_limit(), 4 * SAMPLE_BYTES))
    titles, text = _without_titles(text)
    chosen = sep or _best_separator(text)
    rows = _rows(text, chosen)
    blanks = chosen in (",", ";") and _blanks_follow(rows)
    rows = _rows(text, chosen, blanks) if blanks else rows
    if not rows:
        raise DataError(f"{path} holds no lines.", "A table needs a line of column names and at least 20 rows.")
    header, body = rows[0], rows[1:]
    if not body:
        raise DataError(f"{path} has a line of column names, but no rows.", "Name a file that holds rows.")
    if like is None and len(header) < 2 and all(len(row) < 2 for row in body):
        raise DataError(
            f"{path} has a single column ({header[0][:60]!r}) when split at {chosen!r}.",
            "A table needs a target and at least one more column. Is the separator another one? Name it with --sep.",
        )
    found: list[str] = []
    if titles:
        found.append(f"{len(titles)} line(s) above the column names were passed over ({titles[0].strip()[:60]!r}).")
    names: tuple[str, ...] | None = None
    if len(header) + 1 == Counter(len(row) for row in body).most_common(1)[0][0] and any(row[-1] for row in body):
        names = ("row_name", *header)
        found.append("The header has one name less than the rows have values: the first column is called 'row_name'.")
    cells = [h.strip() for h in header]
    if all(_NUMBER.fullmatch(c) for c in cells) and (len(set(cells)) < len(cells) or any("." in c for c in cells)):
        found.append("The first line looks like data, not like column names; it was taken as the names.")
    decimal = _decimal(body, chosen) if like is None else _decimal_like(like, names or header, body)
    return FileFormat(
        "csv", compression, encoding, chosen, decimal, names, int(declared is not None) + len(titles),
        blanks, tuple(found),
    )  # fmt: skip


def _decimal(rows: list[list[str]], sep: str) -> str:
    """ "," where numbers are written with it. "1,234" and "1.234" may count thousands: others decide where there are
    any. With "," as separator it takes quoted numbers that nothing else explains."""
    commas = points = thousands = dotted = 0
    for row in rows:
        for cell in row:
            text = _amount(cell)
            points += bool(_DECIMAL_POINT.fullmatch(text))
            dotted += bool(_DOTTED_THOUSANDS.fullmatch(text))
            thousands += bool(_THOUSANDS.fullmatch(text))
            commas += bool(_DECIMAL_COMMA.fullmatch(text))
    if commas > thousands and points == (0 if sep == "," else dotted):
        return ","
    if sep == "," or commas == 0 or points >= commas:
        return "."
    return "." if thousands == commas and points > 0 else ","


def _decimal_like(like: Schema, names: Sequence[str], rows: list[list[str]]) -> str:
    """The mark that the columns of numbers show, or that of `like` where all that they hold may count thousands."""
    cells = [_amount(cell) for row in rows for name, cell in zip(names, row) if like.columns.get(name) == "number"]
    comma = any(_DECIMAL_COMMA.fullmatch(c) and not _THOUSANDS.fullmatch(c) for c in cells)
    point = any(_DECIMAL_POINT.fullmatch(c) and not _DOTTED_THOUSANDS.fullmatch(c) for c in cells)
    if comma == point:
        return like.decimal
    return "," if comma else "."


def _amount(cell: str) -> str:
    return cell.strip().strip("$€£¥₹% ")
