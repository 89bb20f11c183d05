"""The offline switch: this program reaches no network. Every library is told so, and the sockets of Python are guarded.

The guard is a net against mistakes of libraries in our own processes. What confines generated code and the model's
process is the kernel (`confine`), which does not trust Python.
"""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterable
from typing import Any

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "WANDB_MODE": "disabled",
    "COMET_OFFLINE": "1",
    "PIP_NO_INDEX": "1",
}
_EVENTS = ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.getaddrinfo", "socket.gethostbyname")

_allowed: set[str] = set()
_state = {"enforced": False}


class OfflineError(OSError):
    """Something in this process tried to reach the network."""


def allow(hosts: Iterable[str]) -> None:
    """Count these host names or addresses, which the user named, as local."""
    _allowed.update(host.lower() for host in hosts)


def enforce() -> None:
    """Set the offline variables here and for children, and refuse connections beyond this machine, for good."""
    os.environ.update(ENVIRONMENT)
    if not _state["enforced"]:
        _state["enforced"] = True
        sys.addaudithook(_guard)


def is_local(host: str) -> bool:
    """This machine, or a host that the user allowed by name. No name is looked up."""
    host = host.strip("[]").lower()
    if host in ("", "localhost") or host in _allowed:
        return True
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return False


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _EVENTS:
        return
    if event in ("socket.getaddrinfo", "socket.gethostbyname"):
        target = arguments[0]
    else:
        address = arguments[1]
        if not isinstance(address, tuple):  # a Unix socket's path, or none for a connected socket
            return
        target = address[0]
    host = target.decode("ascii", "replace") if isinstance(target, bytes) else str(target or "")
    if not is_local(host):
        raise OfflineError(f"AutoMLGPT Local works offline: the connection to {host} was refused")
