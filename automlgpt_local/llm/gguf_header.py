"""The metadata of a GGUF file, read without loading it: bounded, so that a hostile file costs nothing but an error."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from automlgpt_local.errors import ModelError

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_ALIGNMENT = 32  # of a tensor's data, where the file says nothing else
_MAX_STRING_BYTES = 16 * 2**20
_MAX_ENTRIES = 100_000
_MAX_ITEMS = 10_000_000
_KEPT_ITEMS = 4096  # longer arrays (vocabularies) are skipped; only their length is kept


@dataclass(frozen=True)
class Tensor:
    name: str
    shape: tuple[int, ...]
    type: int
    offset: int


@dataclass(frozen=True)
class Header:
    version: int
    metadata: dict[str, Any]  # arrays longer than a few thousand items are given as their length
    tensors: list[Tensor] = field(default_factory=list)
    bytes: int = 0
    data_start: int = 0  # where the tensors' data begins

    @property
    def architecture(self) -> str:
        return str(self.metadata.get("general.architecture", ""))

    @property
    def dialect(self) -> str:
        return "compact" if self.metadata.get("automlgpt.dialect") == "compact" else "full"

    def value(self, key: str, default: Any = None) -> Any:
        """`key` within the architecture's own keys: "context_length" is "llama.context_length"."""
        return self.metadata.get(f"{self.architecture}.{key}", default)


def read_header(path: Path) -> Header:
    """Raises ModelError when the file is missing, cut short or no GGUF."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            return _Reader(stream, size, path.name).header()
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror or error}", "Give the path of a .gguf file.") from error


def missing_bytes(header: Header) -> int:
    """How many bytes of its tensors a file lacks that was cut short."""
    from gguf.constants import GGML_QUANT_SIZES

    if not header.tensors:
        return 0
    block_bytes = {int(kind): sizes for kind, sizes in GGML_QUANT_SIZES.items()}
    last = max(header.tensors, key=lambda tensor: tensor.offset)
    values, size = block_bytes.get(last.type, (1, 0))
    alignment = int(header.metadata.get("general.alignment", _ALIGNMENT)) or _ALIGNMENT
    start = -(-header.data_start // alignment) * alignment
    return max(0, start + last.offset + math.prod(last.shape) // values * size - header.bytes)


class _Reader:
    def __init__(self, stream: BinaryIO, size: int, name: str) -> None:
        self._stream, self._size, self._name = stream, size, name

    def _broken(self, why: str) -> ModelError:
        return ModelError(f"{self._name} is no usable GGUF file: {why}.", "Copy it again; it may be cut short.")

    def header(self) -> Header:
        if self._stream.read(4) != b"GGUF":
            raise self._broken("it does not begin with GGUF")
        version = self._scalar("I")
        if version not in (2, 3):
            raise self._broken(f"version {version}")
        n_tensors, n_entries = self._scalar("Q"), self._scalar("Q")
        if n_tensors > _MAX_ENTRIES or n_entries > _MAX_ENTRIES:
            raise self._broken("its header is out of bounds")
        metadata = {}
        for _ in range(n_entries):
            key = self._string()
            metadata[key] = self._value(self._scalar("I"))
        tensors = [self._tensor() for _ in range(n_tensors)]
        return Header(version, metadata, tensors, self._size, self._stream.tell())

    def _tensor(self) -> Tensor:
        name, dimensions = self._string(), self._scalar("I")
        if dimensions > 8:
            raise self._broken("a tensor has too many dimensions")
        shape = tuple(self._scalar("Q") for _ in range(dimensions))
        return Tensor(name, shape, self._scalar("I"), self._scalar("Q"))

    def _exactly(self, size: int) -> bytes:
        data = self._stream.read(size)
        if len(data) != size:
            raise self._broken("it ends within its header")
        return data

    def _scalar(self, code: str) -> Any:
        return struct.unpack("<" + code, self._exactly(struct.calcsize(code)))[0]

    def _string(self) -> str:
        size = self._scalar("Q")
        if size > min(_MAX_STRING_BYTES, self._size):
            raise self._broken("a string is out of bounds")
        return self._exactly(size).decode("utf-8", "replace")

    def _value(self, kind: int) -> Any:
        if kind in _SCALARS:
            return self._scalar(_SCALARS[kind])
        if kind == _STRING:
            return self._string()
        if kind != _ARRAY:
            raise self._broken(f"a value of type {kind}")
        of, count = self._scalar("I"), self._scalar("Q")
        if count > min(_MAX_ITEMS, self._size):
            raise self._broken("an array is out of bounds")
        if of in _SCALARS and count > _KEPT_ITEMS:
            self._stream.seek(count * struct.calcsize(_SCALARS[of]), 1)
            return count
        if of == _ARRAY:
            raise self._broken("an array of arrays")
        items = []
        for _ in range(count):
            item = self._value(of)
            if count <= _KEPT_ITEMS:
                items.append(item)
        return items if count <= _KEPT_ITEMS else count
