"""What an agent may ask of a language model. The worker, the fakes for tests and remote servers all speak this.

A backend keeps no conversation: each call brings the whole transcript, and the backend finds what it has evaluated
already. So a resumed run evaluates its prompt once, and a transcript that is only appended to costs only what is new.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

Dialect = Literal["compact", "full"]


@dataclass(frozen=True)
class Choice:
    """A slot that takes one of `options`. Where one begins another, the text behind the slot tells them apart."""

    name: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Text:
    """A slot of free text that ends before `stop` or after `max_tokens`."""

    name: str
    stop: str
    max_tokens: int


Slot = Choice | Text
Template = Sequence["str | Slot"]  # fixed text is fed in batches, never sampled


@dataclass(frozen=True)
class Filled:
    """A template with its slots filled. `text` is what must be appended to the transcript for the next call."""

    values: dict[str, str]
    probabilities: dict[str, float]  # of the chosen option, over the slot's options
    text: str
    forced_tokens: int
    chosen_tokens: int
    evaluated_tokens: int
    seconds: float


@dataclass(frozen=True)
class Message:
    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True)
class Call:
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class TokenScore:
    """One token of an answer with the natural logarithm of its probability; `top`: the likeliest tokens with theirs.

    The probabilities are the model's own, before temperature, penalties and grammar.
    """

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True)
class Reply:
    """A turn of a chat model, taken apart. `code` is the last fenced block; `finish` is stop, length or timeout.

    `probabilities`: of each option that was chosen by fill-in, by the name of its property. `scores`: of every token,
    where they were asked for. `trimmed`: what was left out of the prompt so that it fits; empty when nothing was.
    """

    text: str
    thought: str = ""
    code: str | None = None
    calls: tuple[Call, ...] = ()
    probabilities: dict[str, float] = field(default_factory=dict)
    scores: tuple[TokenScore, ...] = ()
    trimmed: str = ""
    finish: Literal["stop", "length", "timeout"] = "stop"
    prompt_tokens: int = 0
    evaluated_tokens: int = 0
    output_tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class BackendInfo:
    name: str
    dialect: Dialect
    context_tokens: int
    sha256: str = ""
    details: dict[str, Any] = field(default_factory=dict)


class Backend(Protocol):
    """Raises BackendError (TurnTimeoutError, WorkerDiedError) from every call; ModelError when it cannot start."""

    @property
    def info(self) -> BackendInfo: ...

    def fill(
        self,
        agent: str,
        transcript: Sequence[str],
        template: Template,
        *,
        temperature: float = 0.0,
        seed: int = 0,
        timeout_s: float = 60.0,
    ) -> Filled:
        """Fill the slots of `template`, read after `transcript` (pieces tokenised one by one, append-only)."""
        ...

    def chat(
        self,
        agent: str,
        messages: Sequence[Message],
        *,
        schema: dict[str, Any] | None = None,
        max_tokens: int = 2048,
        temperature: float = 0.2,
        seed: int = 0,
        timeout_s: float = 300.0,
        on_text: Callable[[str], None] | None = None,
    ) -> Reply:
        """One assistant turn. With `schema` (JSON schema) the answer is constrained to it and parsed into calls[0]
        as Call("json", value)."""
        ...

    def count_tokens(self, text: str) -> int: ...

    def close(self) -> None: ...
