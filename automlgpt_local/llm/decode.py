"""The token loop of a chat turn: sampling, grammar, stop strings, whole UTF-8 characters, a token budget, logprobs."""

from __future__ import annotations

import codecs
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from automlgpt_local.llm.backend import TokenScore
from automlgpt_local.llm.fillin import Tokens, Vocabulary
from automlgpt_local.llm.sampling import Sampler, best_few, log_softmax
from automlgpt_local.llm.sequence import CancelledError

TELL_INTERVAL_S = 0.02  # text is handed on this often at most: each piece wakes a process up

Finish = Literal["stop", "length", "cancelled"]


class TokenGrammar(Protocol):
    def allowed(self, tokens: np.ndarray) -> np.ndarray: ...
    def accept(self, token: int) -> None: ...


@dataclass(frozen=True)
class ThoughtBudget:
    """After `max_tokens` of reasoning, or at `until` (time.monotonic), its end is written for the model.

    `opened`: the prompt began the reasoning.
    """

    begin: str
    end: str
    max_tokens: int
    opened: bool
    until: float = math.inf


@dataclass
class Generated:
    text: str
    tokens: list[int]
    finish: Finish
    scores: list[TokenScore] = field(default_factory=list)
    probabilities: dict[str, float] = field(default_factory=dict)  # of the options that a fill-in chose, by slot


def generate(
    vocabulary: Vocabulary,
    sequence: Tokens,
    sampler: Sampler,
    *,
    max_tokens: int,
    stops: Sequence[str] = (),
    grammar: TokenGrammar | None = None,
    grammar_after: Sequence[str] = (),
    on_text: Callable[[str], None] = lambda text: None,
    thought: ThoughtBudget | None = None,
    logprobs: int | None = None,
    ignore_end: bool = False,
) -> Generated:
    """Write until the model ends its turn, a stop string appears (it is left out), or `max_tokens`.

    The grammar rules what follows the markers of `grammar_after`, which appear one after the other; with none it rules
    all. Without a grammar the turn ends behind the markers. `logprobs`: how many of the likeliest tokens are told for
    each one. `ignore_end` is for measuring speed.
    """
    stream = TextStream(stops, on_text)
    tokens: list[int] = []
    scores: list[TokenScore] = []
    markers = Markers(grammar_after) if grammar_after else None
    ruling = grammar if markers is None else None
    next_logits, sample, ends, piece = sequence.logits, sampler.sample, vocabulary.ends, vocabulary.piece
    finish: Finish = "length"

    def has_passed(data: bytes) -> bool:
        """Does this end the last marker? Then the grammar rules, or nothing is left to write."""
        nonlocal markers, ruling, finish
        if markers is None or not markers.passed(data):
            return False
        ruling, markers, finish = grammar, None, finish if grammar else "stop"
        return True

    def write(text: str) -> None:
        """Text that the model left out."""
        given = vocabulary.tokenize(text)
        sequence.feed(given)
        tokens.extend(given)
        stream.add(text.encode())
        has_passed(text.encode())

    try:
        while finish == "length" and len(tokens) < max_tokens:
            logits = next_logits()
            token = sample(logits, ruling.allowed if ruling else None)
            if ends(token) and not ignore_end:
                if markers:  # what follows them is wanted in any case
                    write("".join(f"\n{marker.decode()}\n" for marker in markers.missing))
                    continue
                finish = "stop"
                break
            if logprobs is not None:
                scores.append(score(vocabulary, logits, token, logprobs))
            if ruling:
                ruling.accept(token)
            written: tuple[int, ...] = (token,)
            data = piece(token)
            if markers:
                watched = markers
                if has_passed(data):
                    written, data = _cut(vocabulary, written, data, watched.surplus)
            sequence.feed(written)
            tokens += written
            if stream.add(data):
                finish = "stop"
            if thought and (len(tokens) >= thought.max_tokens or time.monotonic() >= thought.until):
                if _is_thinking(stream.text, thought):
                    write(f"\n{thought.end}\n\n")
                thought = None
    except CancelledError:
        finish = "cancelled"
    stream.finish()
    return Generated(stream.text, tokens, finish, scores)


def _cut(vocabulary: Vocabulary, tokens: tuple[int, ...], data: bytes, surplus: int) -> tuple[tuple[int, ...], bytes]:
    """The token that ended a marker, without the bytes behind it: those are the grammar's to choose."""
    if not surplus:
        return tokens, data
    kept = data[:-surplus]
    anew = vocabulary.tokenize(kept.decode("utf-8", "replace"), parse_special=False)
    return anew, b"".join(map(vocabulary.piece, anew))


def _is_thinking(text: str, thought: ThoughtBudget) -> bool:
    begun = thought.opened or text.lstrip().startswith(thought.begin)
    return begun and thought.end not in text


def score(vocabulary: Vocabulary, logits: np.ndarray, token: int, top: int) -> TokenScore:
    """Natural logarithms of the model's own probabilities, before temperature, penalties and grammar."""
    logprobs = log_softmax(logits)

    def text_of(token: int) -> str:
        return vocabulary.piece(token).decode("utf-8", "replace")

    best = best_few(logprobs, top) if top > 0 else np.array([], int)
    ordered = sorted(best.tolist(), key=lambda other: -logprobs[other])
    return TokenScore(
        text_of(token), float(logprobs[token]), tuple((text_of(other), float(logprobs[other])) for other in ordered)
    )


class Markers:
    """Watches what is written for some texts, one after the other."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.missing = [text.encode() for text in texts]
        self._tail = b""
        self.surplus = 0  # bytes written behind the last marker, once it was passed

    def passed(self, data: bytes) -> bool:
        """True once the last marker is complete."""
        self._tail += data
        while self.missing:
            at = self._tail.find(self.missing[0])
            if at < 0:
                self._tail = self._tail[-len(self.missing[0]) :]
                return False
            self._tail = self._tail[at + len(self.missing.pop(0)) :]
        self.surplus = len(self._tail)
        return True


class TextStream:
    """Bytes in, whole characters out, now and then; holds back what may be the beginning of a stop string."""

    def __init__(self, stops: Sequence[str], on_text: Callable[[str], None]) -> None:
        self._stops = [stop.encode() for stop in stops if stop]
        self._longest_stop = max(map(len, self._stops), default=0)
        self._on_text = on_text
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._written = bytearray()
        self._told = 0  # bytes that were handed on
        self._told_at = 0.0
        self._now = time.monotonic

    @property
    def text(self) -> str:
        return self._written.decode("utf-8", "replace")

    def add(self, data: bytes) -> bool:
        """True when a stop string is complete; it and all after it are dropped."""
        self._written += data
        if self._stops and self._cut_at_stop(len(data)):
            return True
        if self._now() - self._told_at >= TELL_INTERVAL_S:
            self._tell(len(self._written) - self._may_begin_a_stop())
        return False

    def finish(self) -> None:
        self._tell(len(self._written), final=True)

    def _cut_at_stop(self, added: int) -> bool:
        start = max(self._told, len(self._written) - added - self._longest_stop)
        found = [at for stop in self._stops if (at := self._written.find(stop, start)) >= 0]
        if found:
            del self._written[min(found) :]
        return bool(found)

    def _may_begin_a_stop(self) -> int:
        """Bytes at the end that are the beginning of a stop string."""
        for length in range(min(len(self._written) - self._told, self._longest_stop), 0, -1):
            end = bytes(self._written[-length:])
            if any(stop.startswith(end) for stop in self._stops):
                return length
        return 0

    def _tell(self, end: int, *, final: bool = False) -> None:
        if text := self._decoder.decode(bytes(self._written[self._told : end]), final):
            self._on_text(text)
        self._told, self._told_at = end, self._now()
