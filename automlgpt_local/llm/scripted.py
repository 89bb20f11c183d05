"""A backend whose answers were queued before: for tests and for replaying a conversation."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from automlgpt_local.errors import BackendError
from automlgpt_local.llm.backend import BackendInfo, Choice, Dialect, Filled, Message, Reply, Template, Text
from automlgpt_local.llm.reply import parse_reply

Answer = Mapping[str, str] | str | Reply | Exception


@dataclass(frozen=True)
class Asked:
    """One call as it came: `transcript` and `template` of a fill, or `messages` and `schema` of a chat."""

    agent: str
    transcript: tuple[str, ...] = ()
    template: tuple[Any, ...] = ()
    messages: tuple[Message, ...] = ()
    schema: dict[str, Any] | None = None


class ScriptedBackend:
    """Answers in order, one per call, whoever asks.

    A mapping gives the slots of a fill (one that it leaves out takes its first option, or an empty text), a string
    or a Reply is a chat turn, an exception is raised. Raises BackendError when no answer is left.
    """

    def __init__(
        self, answers: Sequence[Answer] = (), *, dialect: Dialect = "full", context_tokens: int = 8192
    ) -> None:
        self.answers: deque[Answer] = deque(answers)
        self.asked: list[Asked] = []
        self.closed = False
        self.info = BackendInfo(name="scripted", dialect=dialect, context_tokens=context_tokens)

    def fill(
        self, agent: str, transcript: Sequence[str], template: Template, *,
        temperature: float = 0.0, seed: int = 0, timeout_s: float = 60.0,
    ) -> Filled:  # fmt: skip
        self.asked.append(Asked(agent, transcript=tuple(transcript), template=tuple(template)))
        answer = self._next()
        if not isinstance(answer, Mapping):
            raise BackendError(f"the script has a chat turn where a fill was asked: {answer!r}")
        slots = [part for part in template if not isinstance(part, str)]
        unknown = set(answer) - {slot.name for slot in slots}
        if unknown:
            raise BackendError(f"the script fills slots that were not asked: {sorted(unknown)}")
        return filled(template, {slot.name: self._value(slot, answer) for slot in slots})

    @staticmethod
    def _value(slot: Choice | Text, answer: Mapping[str, str]) -> str:
        if isinstance(slot, Text):
            return answer.get(slot.name, "")
        value = answer.get(slot.name, slot.options[0])
        if value not in slot.options:
            raise BackendError(f"the script gives {value!r} for {slot.name}, which takes one of {slot.options}")
        return value

    def chat(
        self, agent: str, messages: Sequence[Message], *, schema: dict[str, Any] | None = None,
        max_tokens: int = 2048, temperature: float = 0.2, seed: int = 0, timeout_s: float = 300.0,
        on_text: Callable[[str], None] | None = None,
    ) -> Reply:  # fmt: skip
        self.asked.append(Asked(agent, messages=tuple(messages), schema=schema))
        answer = self._next()
        if isinstance(answer, Reply):
            reply = answer
        elif isinstance(answer, str):
            reply = parse_reply({"text": answer, "finish": "stop"}, schema, seconds=0.0)
        else:
            raise BackendError("the script has a fill where a chat turn was asked")
        if on_text is not None:
            on_text(reply.text)
        return replace(reply, prompt_tokens=sum(self.count_tokens(message.content) for message in messages))

    def _next(self) -> Answer:
        if not self.answers:
            raise BackendError("the script has no answer left")
        answer = self.answers.popleft()
        if isinstance(answer, Exception):
            raise answer
        return answer

    def count_tokens(self, text: str) -> int:
        return (len(text.encode("utf-8", "replace")) + 3) // 4

    def close(self) -> None:
        self.closed = True


def filled(template: Template, values: Mapping[str, str], probabilities: Mapping[str, float] | None = None) -> Filled:
    """The template with these values; no token was counted."""
    text = "".join(part if isinstance(part, str) else values[part.name] for part in template)
    return Filled(
        values=dict(values),
        probabilities=dict(probabilities or {}),
        text=text,
        forced_tokens=0,
        chosen_tokens=0,
        evaluated_tokens=0,
        seconds=0.0,
    )
