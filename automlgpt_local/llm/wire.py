"""Frames between a backend and its worker: four bytes of length (little endian), then JSON in ASCII."""

from __future__ import annotations

import json
from typing import Any, BinaryIO

MAX_FRAME_BYTES = 256 * 2**20


class WireError(Exception):
    """The other side closed the pipe, or what came is no frame."""


def write_frame(stream: BinaryIO, message: dict[str, Any]) -> None:
    data = json.dumps(message).encode("ascii")
    if len(data) > MAX_FRAME_BYTES:
        raise WireError(f"a frame of {len(data)} bytes")
    stream.write(len(data).to_bytes(4, "little") + data)
    stream.flush()


def read_frame(stream: BinaryIO) -> dict[str, Any]:
    size = int.from_bytes(_read_exactly(stream, 4), "little")
    if size > MAX_FRAME_BYTES:
        raise WireError(f"a frame of {size} bytes")
    try:
        message = json.loads(_read_exactly(stream, size))
    except ValueError as error:
        raise WireError(f"a frame that is no JSON: {error}") from error
    if not isinstance(message, dict):
        raise WireError("a frame that is no object")
    return message


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    parts = []
    while size > 0:
        part = stream.read(size)
        if not part:
            raise WireError("the pipe was closed")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
