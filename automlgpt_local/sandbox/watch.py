"""What a running job uses, read from /proc; and the head and tail of what it prints."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass

_TICKS = os.sysconf("SC_CLK_TCK")
# Page tables count: reading a huge empty mapping fills memory with them, and with nothing else.
_MEMORY = (b"RssAnon", b"RssShmem", b"VmSwap", b"VmPTE", b"HugetlbPages")
KEPT_BYTES = 32 << 10
UNSEEN = 1 << 60


@dataclass(frozen=True)
class Use:
    """Memory in KiB (private, shared-anonymous, swap, page tables), private address space in KiB, CPU s, threads.

    `headless`: the first thread has ended and others live. /proc shows no memory and no files of such a process.
    """

    memory_kib: int
    data_kib: int
    cpu_s: float
    threads: int
    headless: bool


def read_use(pid: int) -> Use | None:
    """None when the process has gone."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            status = file.read()
        with open(f"/proc/{pid}/stat", "rb") as file:
            times = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    sizes = {}
    for line in status.splitlines():
        name, _, value = line.partition(b":")
        if name in (*_MEMORY, b"VmData", b"Threads"):
            sizes[name] = int(value.split()[0])
    memory = sum(sizes.get(name, 0) for name in _MEMORY)
    cpu_s = (int(times[11]) + int(times[12])) / _TICKS
    threads = sizes.get(b"Threads", 0)
    return Use(memory, sizes.get(b"VmData", 0), cpu_s, threads, times[0] == b"Z" and threads > 1)


def shared_kib() -> int:
    """Shared memory of the whole machine, in KiB."""
    with open("/proc/meminfo", "rb") as file:
        for line in file:
            if line.startswith(b"Shmem:"):
                return int(line.split()[1])
    return 0


def holds_shared(pid: int) -> bool:
    """Does the process have shared memory without a file?

    Such memory lasts, whole, as long as one page of it stays mapped; only the mapped part counts as the process' own.
    """
    try:
        with open(f"/proc/{pid}/maps", "rb") as file:
            return any(line.endswith(b" /dev/zero (deleted)\n") for line in file)
    except OSError:  # it has just ended
        return False


def nameless_bytes(pid: int, folder: str) -> int:
    """Disk that a process holds in files below `folder` whose names are gone: open ones, and mapped ones.

    The size of a file that is mapped and no longer open cannot be seen: it counts as more than any budget.
    """
    total, opened = 0, set()
    try:
        with os.scandir(f"/proc/{pid}/fd") as entries:
            for entry in entries:
                status = entry.stat()
                if stat.S_ISREG(status.st_mode) and status.st_nlink == 0:
                    total += status.st_blocks * 512
                    opened.add(status.st_ino)
        with open(f"/proc/{pid}/maps", "rb") as file:
            for line in file:
                if line.endswith(b" (deleted)\n") and folder.encode() in line and int(line.split()[4]) not in opened:
                    return UNSEEN
    except OSError:  # it has just ended, or /proc is not ours to read
        pass
    return total


class Printed:
    """Keeps the first and the last bytes of a stream and counts the rest: memory stays flat."""

    def __init__(self) -> None:
        self.total = 0
        self._head = bytearray()
        self._tail = bytearray()

    def add(self, block: bytes) -> None:
        self.total += len(block)
        room = KEPT_BYTES - len(self._head)
        if room > 0:
            self._head += block[:room]
            block = block[room:]
        self._tail += block
        if len(self._tail) > 2 * KEPT_BYTES:
            del self._tail[:-KEPT_BYTES]

    def bytes(self) -> bytes:
        end = bytes(self._tail[-KEPT_BYTES:])
        left_out = self.total - len(self._head) - len(end)
        middle = f"\n[... {left_out} bytes left out ...]\n".encode() if left_out > 0 else b""
        return bytes(self._head) + middle + end
