"""Gives the terminal back in order, however the app ends: the app runs in a child, this process waits and tidies up.

Imported before Textual is, so that the fork copies a small process without threads.
"""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
import time
from collections.abc import Callable
from typing import Any

# Out of the alternate screen, cursor shown, no mouse reports, no bracketed paste, plain keys, plain colours.
RESTORE = (
    "\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l\x1b[?2004l\x1b[?1004l\x1b[<u\x1b[0m"
)
_PR_SET_PDEATHSIG = 1
LOOK_MS = 250  # between two looks at the terminal
PATIENCE_S = 3.0  # for an app that was asked to end


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
    ending = _Ending(child)
    handlers: dict[int, Any] = {
        signal.SIGINT: signal.SIG_IGN, signal.SIGQUIT: signal.SIG_IGN,
        signal.SIGTERM: ending.ask, signal.SIGHUP: ending.ask,
    }  # fmt: skip
    before_handlers = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        status = ending.wait(sys.stdin.fileno())
    finally:
        for number, handler in before_handlers.items():
            signal.signal(number, handler)
    if not os.WIFSIGNALED(status):
        return os.WEXITSTATUS(status)
    if ending.hung_up:
        return 129
    termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, before)
    print(f"{RESTORE}\nThe app was ended by {signal.Signals(os.WTERMSIG(status)).name}.", file=sys.stderr)
    print("Its run can be resumed: open the app again, or `automlgpt sessions list`.", file=sys.stderr, flush=True)
    return 130


class _Ending:
    """Waits for the app, and ends it when it is told to or when its terminal is gone.

    Without a terminal the app's own loop waits for ever on a write, so that asking it alone would not do.
    """

    def __init__(self, child: int) -> None:
        self._child = child
        self._kill_at = float("inf")
        self.hung_up = False

    def ask(self, number: int = signal.SIGTERM, frame: object = None) -> None:
        self.hung_up = self.hung_up or number == signal.SIGHUP
        if self._kill_at == float("inf"):
            self._kill_at = time.monotonic() + PATIENCE_S
            os.kill(self._child, signal.SIGTERM)

    def wait(self, terminal: int) -> int:
        """The app's last status. When it is suspended (ctrl+z), so are we, until somebody wakes us."""
        poll = select.poll()
        poll.register(terminal, 0)  # tells a hang-up alone
        try:
            poll.register(os.pidfd_open(self._child), select.POLLIN)  # ends the wait at once
        except (AttributeError, OSError):
            pass
        while True:
            pid, status = os.waitpid(self._child, os.WUNTRACED | os.WNOHANG)
            if pid and not os.WIFSTOPPED(status):
                return status
            if pid:
                os.kill(os.getpid(), signal.SIGSTOP)
                os.kill(self._child, signal.SIGCONT)
            if any(fd == terminal and found & (select.POLLHUP | select.POLLERR) for fd, found in poll.poll(LOOK_MS)):
                self.ask(signal.SIGHUP)
                time.sleep(LOOK_MS / 1000)  # the terminal stays gone: no more news from it
            if time.monotonic() > self._kill_at:
                os.kill(self._child, signal.SIGKILL)


def die_with_parent() -> None:
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
