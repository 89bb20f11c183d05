"""Messages between runner, broker and fork-server: JSON in a memory file, handed over with its job's descriptors."""

from __future__ import annotations

import json
import os
import socket
from typing import Any


def new_letter(content: dict[str, Any]) -> int:
    """A memory file that holds `content`; gives its descriptor."""
    fd = os.memfd_create("letter", os.MFD_CLOEXEC)
    write_letter(fd, content)
    return fd


def write_letter(fd: int, content: dict[str, Any]) -> None:
    raw = json.dumps(content).encode()
    os.ftruncate(fd, 0)
    done = 0
    while done < len(raw):
        done += os.pwrite(fd, raw[done:], done)


def read_letter(fd: int) -> dict[str, Any]:
    size = os.fstat(fd).st_size
    raw = b""
    while len(raw) < size:
        block = os.pread(fd, size - len(raw), len(raw))
        if not block:
            break
        raw += block
    content = json.loads(raw)
    assert isinstance(content, dict)
    return content


def send_fds(channel: socket.socket, fds: list[int], message: bytes = b"j") -> None:
    socket.send_fds(channel, [message], fds)


def receive_fds(channel: socket.socket, size: int = 4096) -> tuple[bytes, list[int]]:
    """The next message and its descriptors; no message when the other side has gone."""
    message, fds, _flags, _address = socket.recv_fds(channel, size, 8)
    for fd in fds:
        os.set_inheritable(fd, False)
    return message, fds
