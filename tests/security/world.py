"""What an attack could harm, and how we see from outside whether it did: files, listeners that count, a victim."""

from __future__ import annotations

import ctypes
import hashlib
import os
import socket
import subprocess
import threading
import uuid
from pathlib import Path
from typing import Any

SECRET = "planted-secret-7f3a"


class Listener(threading.Thread):
    """Counts what arrives on one socket."""

    def __init__(self, family: int, kind: int, address: Any) -> None:
        super().__init__(daemon=True)
        self.socket = socket.socket(family, kind)
        self.socket.bind(address)
        self.kind = kind
        self.count = 0
        if kind == socket.SOCK_STREAM:
            self.socket.listen(16)
        self.start()

    def run(self) -> None:
        while True:
            try:
                if self.kind == socket.SOCK_STREAM:
                    self.socket.accept()[0].close()
                else:
                    self.socket.recv(100)
            except OSError:
                return
            self.count += 1

    @property
    def port(self) -> int:
        return self.socket.getsockname()[1]


class World:
    """A home with a key, locked labels, another run, the input table, listeners, and a process to aim at."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.work = self._folder("run/work/jobs/1")
        self.key = self._file("home/.ssh/id_ed25519", SECRET)
        self.labels = self._file("run/work/data/labels.npy", SECRET)
        self.other_run = self._file("other/events.jsonl", SECRET)
        self.table = self._file("run/work/data/features.feather", SECRET + "-input")
        self.outside = self._folder("outside")
        self.marker = Path(f"/tmp/automlgpt-attack-{os.getpid()}")
        self.shared_memory = Path(f"/dev/shm/automlgpt-attack-{os.getpid()}")
        self.unix_path = str(root / "listener.sock")
        self.datagram_path = str(root / "datagram.sock")
        self.abstract = f"automlgpt-attack-{uuid.uuid4()}"
        unix, internet = socket.AF_UNIX, socket.AF_INET
        stream, datagram = socket.SOCK_STREAM, socket.SOCK_DGRAM
        self.listeners = {
            "tcp": Listener(internet, stream, ("127.0.0.1", 0)),
            "udp": Listener(internet, datagram, ("127.0.0.1", 0)),
            "unix": Listener(unix, stream, self.unix_path),
            "abstract": Listener(unix, stream, "\0" + self.abstract),
            "datagram": Listener(unix, datagram, self.datagram_path),
        }
        self.memory = ctypes.create_string_buffer(SECRET.encode())
        self.victim = subprocess.Popen(["sleep", "600"])
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.free_port = probe.getsockname()[1]
        self._table_hash = self._hash(self.table)
        self._metadata = [self._facts(p) for p in (self.table, self.key)]

    def _folder(self, name: str) -> Path:
        path = self.root / name
        path.mkdir(parents=True)
        return path

    def _file(self, name: str, text: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    @staticmethod
    def _hash(path: Path) -> str:
        return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else "gone"

    @staticmethod
    def _facts(path: Path) -> tuple[Any, ...]:
        if not path.exists():
            return ("gone",)
        status = path.stat()
        return status.st_mode, status.st_mtime_ns, status.st_nlink, tuple(os.listxattr(path))

    def facts_for_the_attacker(self) -> dict[str, Any]:
        """All that an attacker could wish to know, so that no attack fails for want of a name."""
        return {
            "secret": SECRET, "work": str(self.work), "key": str(self.key), "labels": str(self.labels),
            "other_run": str(self.other_run), "table": str(self.table), "outside": str(self.outside),
            "marker": str(self.marker), "shared_memory": str(self.shared_memory), "unix": self.unix_path,
            "datagram": self.datagram_path, "abstract": self.abstract, "tcp": self.listeners["tcp"].port,
            "udp": self.listeners["udp"].port, "free_port": self.free_port, "engine": os.getpid(),
            "memory": ctypes.addressof(self.memory), "victim": self.victim.pid,
        }  # fmt: skip

    # --- evidence
    def heard(self, name: str) -> int:
        """Connections or datagrams that arrived; a short wait lets the listener count."""
        for _ in range(20):
            if self.listeners[name].count:
                break
            threading.Event().wait(0.005)
        return self.listeners[name].count

    def table_changed(self) -> bool:
        return self._hash(self.table) != self._table_hash

    def metadata_changed(self) -> bool:
        return [self._facts(p) for p in (self.table, self.key)] != self._metadata

    def victim_alive(self) -> bool:
        return self.victim.poll() is None

    def victim_dies(self) -> bool:
        """Wait a little: a signal takes its time."""
        try:
            self.victim.wait(timeout=0.2)
        except subprocess.TimeoutExpired:
            return False
        return True

    def close(self) -> None:
        for listener in self.listeners.values():
            listener.socket.close()
        self.victim.kill()
        self.victim.wait()
        for path in (self.marker, self.shared_memory):
            path.unlink(missing_ok=True)
