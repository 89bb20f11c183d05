"""The offline switch, tried in a process of its own: an audit hook cannot be taken back."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import os, socket
from automlgpt_local import offline
offline.enforce()
offline.enforce()
assert os.environ["HF_HUB_OFFLINE"] == "1"
for action in (
    lambda: socket.create_connection(("192.0.2.1", 80), 1),
    lambda: socket.getaddrinfo("example.org", 80),
    lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 53)),
):
    try:
        action()
    except offline.OfflineError as error:
        assert "refused" in str(error)
    else:
        raise SystemExit("not refused")
server = socket.create_server(("127.0.0.1", 0))
socket.create_connection(server.getsockname(), 1).close()
a, b = socket.socketpair()
a.sendall(b"x")
print("refused")
"""


def test_only_this_machine_can_be_reached() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=30)
    assert done.stdout == "refused\n", done.stderr


def test_what_counts_as_local() -> None:
    from automlgpt_local import offline
    from automlgpt_local.offline import is_local

    assert all(map(is_local, ("127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST")))
    assert not is_local("model.box")
    offline.allow(["Model.box"])
    assert is_local("model.box")
    assert not any(map(is_local, ("10.0.0.1", "example.org", "127.0.0.1.example.org", "0x7f.1", "::2")))
