"""bubblewrap in the place of Landlock: a mount namespace that holds a job's folders and the libraries, nothing else.

One bubblewrap for each job, so each job starts cold (about two seconds). Only where Landlock is missing.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from automlgpt_local.confine import kernel

_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_PACKAGE = Path(__file__).resolve().parents[1]


@cache
def available() -> bool:
    """Is `bwrap` installed, and may this user make the namespaces that it needs?"""
    program = shutil.which("bwrap")
    if not kernel.LINUX or program is None:
        return False
    command = [program, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def command(read: Iterable[str], write: Iterable[str], libraries: Iterable[str]) -> list[str]:
    """The words before a program that shall see `read` and `libraries` (read-only) and `write`, and no network.

    Paths that do not exist are passed over.
    """
    program = shutil.which("bwrap") or "bwrap"
    words = [program, "--unshare-all", "--die-with-parent", "--new-session", "--as-pid-1", "--proc", "/proc"]
    for device in _DEVICES:
        words += ["--dev-bind", device, device]
    interpreter = [sys.executable, str(Path(sys.executable).resolve()), f"{sys.prefix}/pyvenv.cfg"]
    # /proc is made anew; a kernel's own folder cannot be bound into itself
    own = [p for p in (*libraries, *interpreter, str(_PACKAGE), *read) if not p.startswith(("/proc/", "/dev/"))]
    for path in dict.fromkeys(own):
        words += ["--ro-bind-try", path, path]
    for path in write:
        words += ["--bind", path, path]
    # the last: what lies around the mounts is a file system in memory, of which nobody counts what is written
    return [*words, "--remount-ro", "/", "--chdir", "/", "--"]
