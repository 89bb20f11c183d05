"""Lines that a person types while a run works: messages, numbers of choices, questions, and a few words of command."""

from __future__ import annotations

import os
import select
import sys

from automlgpt_local.client import RunView, Session, children
from automlgpt_local.errors import AutoMLGPTError

HOW = (
    "Type a line at any time: what you want changed, a question that ends with ?, undo, pause, continue, stop, "
    "or branch 3 to search on from attempt 3."
)


class Talk:
    """Reads stdin without waiting for it; one line is one command."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._typed = b""
        self._open = True

    def hear(self, seen: RunView) -> list[str]:
        """Obey the lines typed since the last look; what is to be said at once about them."""
        return [said for line in self._lines() if (said := self._obey(line, seen))]

    def _lines(self) -> list[str]:
        while self._open and select.select([sys.stdin], [], [], 0)[0]:
            fresh = os.read(sys.stdin.fileno(), 4096)
            self._open = bool(fresh)
            self._typed += fresh
        *whole, self._typed = self._typed.split(b"\n")
        return [text for line in whole if (text := line.decode("utf-8", "replace").strip())]

    def _obey(self, line: str, seen: RunView) -> str:
        """The engine's own answer to a line is an event; what it cannot say comes back."""
        session, (word, _, rest) = self._session, line.lower().partition(" ")
        choices = seen.answer.choices if seen.answer is not None else []
        if line.isdecimal() and 1 <= int(line) <= len(choices):
            message = choices[int(line) - 1][1]
            heard = session.message(message) if message else True
        elif line.endswith("?"):
            try:
                return children.ask(session.run_dir, line)
            except AutoMLGPTError as error:
                return f"{error.message} {error.hint}"
        elif word == "branch" and rest.isdecimal():
            heard = session.branch(int(rest))
        else:
            command = {"undo": session.undo, "pause": session.pause, "continue": session.go_on, "stop": session.stop}
            heard = command[line.lower()]() if line.lower() in command else session.message(line)
        return "" if heard else "The run does not hear this any more."
