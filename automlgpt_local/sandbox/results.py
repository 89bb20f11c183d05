"""What a job left behind, read as hostile data: regular files only, capped, never unpickled, never followed."""

from __future__ import annotations

import json
import math
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BytesIO
from pathlib import Path
from typing import IO, Any

MAX_RESULT_BYTES = 4 << 20
MAX_ERROR_BYTES = 64 << 10
MAX_ARRAYS = 16
MAX_ENTRIES = 4096
MAX_HEADER = 4096
MAX_DEPTH = 16
MAX_INTEGER = 2**63
COUNTS = 3  # of a folder whose own folders move meanwhile


class BadResultError(Exception):
    """The files are not what a result may be; the message says which and why."""


@contextmanager
def open_plain(folder: int, name: str, max_bytes: int) -> Iterator[IO[bytes]]:
    """Open a regular file with one name inside the open folder `folder`. Raises BadResultError, FileNotFoundError."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        fd = os.open(name, flags, dir_fd=folder)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BadResultError(f"{name} cannot be opened as a plain file ({error.strerror})") from error
    try:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise BadResultError(f"{name} is not a plain file of one name")
        if status.st_size > max_bytes:
            raise BadResultError(f"{name} has {status.st_size} bytes, more than {max_bytes}")
        with open(fd, "rb", closefd=False) as file:
            yield file
    finally:
        os.close(fd)


@contextmanager
def _opened(work: Path) -> Iterator[int]:
    try:
        folder = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise BadResultError(f"the work folder cannot be opened ({error.strerror})") from error
    try:
        yield folder
    finally:
        os.close(folder)


def read_result(work: Path) -> dict[str, Any]:
    """result.json as a dict; see `parse_json`."""
    with _opened(work) as folder:
        try:
            with open_plain(folder, "result.json", MAX_RESULT_BYTES) as file:
                raw = file.read(MAX_RESULT_BYTES + 1)
        except FileNotFoundError:
            raise BadResultError("no result was written") from None
    return parse_json(raw)


def parse_json(raw: bytes) -> dict[str, Any]:
    """A JSON object of finite numbers, integers of 64 bits and valid text, no deeper than MAX_DEPTH."""
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=float)
        _check_plain(value)
    except (ValueError, RecursionError) as error:
        raise BadResultError(f"the result is not plain JSON ({type(error).__name__})") from error
    if not isinstance(value, dict):
        raise BadResultError("the result is not a JSON object")
    return value


def _check_plain(value: Any) -> None:
    """Raises ValueError for what a later reader, writer or sum of ours would stumble over."""
    left = [(value, 0)]
    while left:
        item, depth = left.pop()
        if depth > MAX_DEPTH:
            raise ValueError("nested too deep")
        if isinstance(item, dict):
            left += [(part, depth + 1) for pair in item.items() for part in pair]
        elif isinstance(item, list):
            left += [(part, depth + 1) for part in item]
        elif isinstance(item, str):
            item.encode("utf-8")  # half a surrogate pair cannot be written down
        elif isinstance(item, float) and not math.isfinite(item):
            raise ValueError("not finite")
        elif isinstance(item, int) and abs(item) >= MAX_INTEGER:
            raise ValueError("too large")


def read_error(work: Path) -> str:
    """The traceback that the harness wrote; empty when there is none that can be read."""
    try:
        with _opened(work) as folder, open_plain(folder, "error.txt", MAX_ERROR_BYTES) as file:
            return file.read(MAX_ERROR_BYTES).decode("utf-8", errors="replace")
    except (BadResultError, OSError):
        return ""


def read_arrays(work: Path, max_bytes: int) -> dict[str, Any]:
    """Every .npy file by stem: boolean, integer or float arrays of at most two dimensions, never objects.

    `max_bytes`: of all together. A sparse file of any size costs its writer nothing, and its reader memory.
    """
    arrays = {}
    with _opened(work) as folder:
        with os.scandir(folder) as entries:
            names = []
            for count, entry in enumerate(entries):
                if count >= MAX_ENTRIES:
                    raise BadResultError(f"more than {MAX_ENTRIES} files were left behind")
                if entry.name.endswith(".npy"):
                    names.append(entry.name)
        if len(names) > MAX_ARRAYS:
            raise BadResultError(f"{len(names)} arrays, more than {MAX_ARRAYS}")
        for name in sorted(names):
            with open_plain(folder, name, max_bytes) as file:
                raw = bytearray(os.fstat(file.fileno()).st_size)
                max_bytes -= len(raw)
                file.readinto(raw)  # type: ignore[attr-defined]
                arrays[name[: -len(".npy")]] = parse_array(raw, name)
    return arrays


def parse_array(raw: bytes | bytearray, name: str = "array") -> Any:
    """A .npy file's bytes as an array, which lies in them where it can. Raises BadResultError."""
    import numpy as np

    file = BytesIO(raw[: 2 * MAX_HEADER])
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError("version")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file, max_header_size=MAX_HEADER)
        start = file.tell()
        if dtype.kind not in "biuf" or dtype.hasobject or dtype.itemsize > 8 or dtype.fields or dtype.subdtype:
            raise ValueError(f"dtype {dtype}")
        if len(shape) > 2 or any(type(n) is not int or n < 0 for n in shape):
            raise ValueError("shape")
        count = 1
        for n in shape:
            count *= n
        if count * dtype.itemsize != len(raw) - start:
            raise ValueError("size")
        values = np.require(np.frombuffer(raw, dtype=dtype, count=count, offset=start), requirements=["A", "W"])
        return values.reshape(shape, order="F" if fortran else "C")
    except BadResultError:
        raise
    except Exception as error:  # numpy's header parser meets hostile text: whatever it raises means refused
        problem = f"{type(error).__name__}: {str(error)[:80]}"
        raise BadResultError(f"{name} is not a plain numeric array ({problem})") from None


def copy_file(work: Path, name: str, target: Path, max_bytes: int) -> int:
    """Copy one plain file out of a work folder, as bytes; gives its size. Raises BadResultError."""
    with _opened(work) as folder:
        try:
            with open_plain(folder, name, max_bytes) as source, open(target, "xb") as copy:
                size = 0
                while block := source.read(1 << 20):
                    size += len(block)
                    if size > max_bytes:
                        raise BadResultError(f"{name} grew beyond {max_bytes} bytes")
                    copy.write(block)
                return size
        except FileNotFoundError:
            raise BadResultError(f"{name} was not written") from None


def folder_use(work: Path, max_files: int) -> tuple[int, int]:
    """Bytes on disk and number of files below `work`; stops counting past `max_files`. Deep nesting is too many.

    So are folders that are moved again and again while they are counted.
    """
    for _ in range(COUNTS):
        try:
            return _folder_use(work, max_files)
        except FileNotFoundError:
            continue
    return 0, max_files + 1


def _folder_use(work: Path, max_files: int) -> tuple[int, int]:
    """Raises FileNotFoundError when a folder is no longer where it was listed: what it holds may be anywhere."""
    size = count = 0
    folders = [(str(work), 0)]
    while folders:
        path, depth = folders.pop()
        if depth > MAX_DEPTH:
            return size, max_files + 1
        try:
            with os.scandir(path) as entries:
                for entry in entries:
                    count += 1
                    if count > max_files:
                        return size, count
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except FileNotFoundError:
                        if entry.is_dir(follow_symlinks=False):
                            raise
                        continue
                    size += status.st_blocks * 512
                    if stat.S_ISDIR(status.st_mode):
                        folders.append((entry.path, depth + 1))
        except FileNotFoundError:
            raise
        except OSError:  # what cannot be looked into is a way to hide files: count it as too many
            return size, max_files + 1
    return size, count


def flatten(work: Path) -> None:
    """Make `work` safe for a recursive removal: folders nested deeper than MAX_DEPTH are taken apart and removed.

    Paths of a deep tree are too long to name, so each folder is first moved up into `work`. A folder may have been
    made without any right to look into it.
    """
    deep = [work]
    for _ in range(MAX_DEPTH):
        inner = (entry for folder in deep for entry in os.scandir(folder) if entry.is_dir(follow_symlinks=False))
        deep = [Path(entry.path) for entry in inner]
        for path in deep:
            path.chmod(0o700)
        if not deep:
            return
    while deep:
        folder = deep.pop()
        for path in list(folder.iterdir()):
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
                deep.append(path.rename(work / secrets.token_hex(16)))  # a name that nothing can have taken
            else:
                path.unlink()
        folder.rmdir()


def remove(folder: Path) -> None:
    """Remove a folder in which a job may have left anything. Raises nothing: what cannot be removed stays."""
    with suppress(OSError):
        flatten(folder)
    with suppress(RecursionError):  # where it could not be flattened
        shutil.rmtree(folder, ignore_errors=True)
