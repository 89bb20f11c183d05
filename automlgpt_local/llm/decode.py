"""The token loop of a chat turn: sampling, grammar, stop strings, whole UTF-8 characters, a token budget."""

from __future__ import annotations

import codecs
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from automlgpt_local.llm.fillin import Tokens, Vocabulary
from automlgpt_local.llm.sampling import Sampler
from automlgpt_local.llm.sequence import CancelledError


class TokenGrammar(Protocol):
    def allowed(self, tokens: np.ndarray) -> np.ndarray: ...
    def accept(self, token: int) -> None: ...


@dataclass(frozen=True)
class ThoughtBudget:
    """After `max_tokens` of reasoning its end is written for the model. `opened`: the prompt began the reasoning."""

    begin: str
    end: str
    max_tokens: int
    opened: bool


@dataclass
class Generated:
    text: str
    tokens: list[int]
    finish: Literal["stop", "length", "cancelled"]


def generate(
    vocabulary: Vocabulary,
    sequence: Tokens,
    sampler: Sampler,
    *,
    max_tokens: int,
    stops: tuple[str, ...] = (),
    grammar: TokenGrammar | None = None,
    grammar_after: str = "",
    on_text: Callable[[str], None] = lambda text: None,
    thought: ThoughtBudget | None = None,
    ignore_end: bool = False,
) -> Generated:
    """Write until the model ends its turn, a stop string appears (it is left out), or `max_tokens`.

    With `grammar_after` the grammar rules only what follows that marker. `ignore_end` is for measuring speed.
    """
    stream = TextStream(stops, on_text)
    tokens: list[int] = []
    finish: Literal["stop", "length", "cancelled"] = "length"
    ruled = grammar is not None and not grammar_after
    try:
        while len(tokens) < max_tokens:
            token = sampler.sample(sequence.logits(), grammar.allowed if grammar and ruled else None)
            if vocabulary.ends(token) and not ignore_end:
                finish = "stop"
                break
            if grammar and ruled:
                grammar.accept(token)
            tokens.append(token)
            sequence.feed([token])
            if stream.add(vocabulary.piece(token)):
                finish = "stop"
                break
            if thought is not None and len(tokens) >= thought.max_tokens:
                if _is_thinking(stream.text, thought):
                    ending = list(vocabulary.tokenize(f"\n{thought.end}\n\n"))
                    tokens += ending
                    sequence.feed(ending)
                    stream.add(b"".join(map(vocabulary.piece, ending)))
                thought = None
            if grammar and not ruled:
                ruled = grammar_after in stream.tail(len(grammar_after) + 64)
    except CancelledError:
        finish = "cancelled"
    stream.finish()
    return Generated(stream.text, tokens, finish)


def _is_thinking(text: str, thought: ThoughtBudget) -> bool:
    begun = thought.opened or text.lstrip().startswith(thought.begin)
    return begun and thought.end not in text


class TextStream:
    """Bytes in, whole characters out; holds back what may be the beginning of a stop string."""

    def __init__(self, stops: tuple[str, ...], on_text: Callable[[str], None]) -> None:
        self._stops = tuple(stop for stop in stops if stop)
        self._longest_stop = max(map(len, self._stops), default=0)
        self._on_text = on_text
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parts: list[str] = []
        self._held = ""
        self.stopped = False

    @property
    def text(self) -> str:
        return "".join(self._parts) + self._held

    def tail(self, length: int) -> str:
        """The last `length` characters, or a few more."""
        parts, size = [self._held], len(self._held)
        for part in reversed(self._parts):
            if size >= length:
                break
            parts.append(part)
            size += len(part)
        return "".join(reversed(parts))

    def add(self, data: bytes) -> bool:
        """True when a stop string is complete; it and all after it are dropped."""
        if not self._stops:
            if text := self._decoder.decode(data):
                self._parts.append(text)
                self._on_text(text)
            return False
        self._held += self._decoder.decode(data)
        found = [at for stop in self._stops if (at := self._held.find(stop)) >= 0]
        if found:
            self._held = self._held[: min(found)]
            self.stopped = True
            self._emit(len(self._held))
            return True
        self._emit(len(self._held) - self._may_begin_a_stop())
        return False

    def finish(self) -> None:
        if not self.stopped:
            self._held += self._decoder.decode(b"", final=True)
        self._emit(len(self._held))

    def _may_begin_a_stop(self) -> int:
        for length in range(min(len(self._held), self._longest_stop), 0, -1):
            if any(stop.startswith(self._held[-length:]) for stop in self._stops):
                return length
        return 0

    def _emit(self, length: int) -> None:
        if length > 0:
            self._parts.append(self._held[:length])
            self._on_text(self._held[:length])
            self._held = self._held[length:]
