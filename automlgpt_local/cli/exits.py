"""The one place that turns an error into words on stderr; the codes are those of `automlgpt_local.exits`.

On exit 2 the last paragraph on stderr is the problem and the remedy; 70 leaves a report to copy.
"""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from pathlib import Path

from automlgpt_local import __version__, paths
from automlgpt_local.exits import DONE, INTERNAL, INTERRUPTED, USAGE, exit_code

__all__ = ["DONE", "INTERNAL", "INTERRUPTED", "USAGE", "complain", "crash_report", "exit_code"]


def complain(message: str, hint: str = "") -> None:
    """The last paragraph on stderr: what is wrong, then what to do."""
    from automlgpt_local.client.inert import inert

    text = inert(message.strip(), 8_000)
    print(f"\nError: {text}" + (f"\n{inert(hint.strip(), 2_000)}" if hint else ""), file=sys.stderr, flush=True)


def crash_report(error: BaseException) -> Path | None:
    """Write what is needed to understand a crash; no data of the user's, no environment variables."""
    text = "\n".join((
        f"automlgpt-local {__version__} · Python {platform.python_version()} · {platform.platform()}",
        f"at {time.strftime('%Y-%m-%dT%H:%M:%S%z')} · command: {Path(sys.argv[0]).name} {' '.join(sys.argv[1:2])}",
        "",
        "".join(traceback.format_exception(error)),
    ))  # fmt: skip
    name = f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    for folder in (paths.state_dir() / "crashes", Path.cwd()):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8")
            return folder / name
        except OSError:
            continue
    print(text, file=sys.stderr)
    return None
