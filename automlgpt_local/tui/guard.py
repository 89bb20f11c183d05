"""Gives the terminal back in order, however the app ends: the app runs in a child, this process waits and tidies up.

Imported before Textual is, so that the fork copies a small process without threads.
"""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Callable

# Out of the alternate screen, cursor shown, no mouse reports, no bracketed paste, plain keys, plain colours.
RESTORE = (
    "\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?2004l\x1b[?1004l\x1b[<u\x1b[0m"
)
_PR_SET_PDEATHSIG = 1


def guarded(run: Callable[[], int]) -> int:
    """Carry out `run` in a child with this terminal; its exit code. A child that was killed leaves no mess behind."""
    if not sys.stdin.isatty():
        return run()
    before = termios.tcgetattr(sys.stdin.fileno())
    child = os.fork()
    if child == 0:
        die_with_parent()
        code = 70
        try:
            code = run()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    ignored = [(number, signal.signal(number, signal.SIG_IGN)) for number in (signal.SIGINT, signal.SIGQUIT)]
    forwarded = signal.signal(signal.SIGTERM, lambda number, frame: os.kill(child, signal.SIGTERM))
    try:
        status = _wait(child)
    finally:
        for number, handler in ignored:
            signal.signal(number, handler)
        signal.signal(signal.SIGTERM, forwarded)
    if not os.WIFSIGNALED(status):
        return os.WEXITSTATUS(status)
    termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)
    print(f"{RESTORE}\nThe app was ended by {signal.Signals(os.WTERMSIG(status)).name}.", file=sys.stderr)
    print("Its run can be resumed: open the app again, or `automlgpt sessions list`.", file=sys.stderr, flush=True)
    return 130


def _wait(child: int) -> int:
    """The child's last status; when it is suspended (ctrl+z), so are we, until somebody wakes us."""
    while True:
        _, status = os.waitpid(child, os.WUNTRACED)
        if not os.WIFSTOPPED(status):
            return status
        os.kill(os.getpid(), signal.SIGSTOP)
        os.kill(child, signal.SIGCONT)


def die_with_parent() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
