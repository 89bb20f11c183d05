"""Fill-in decoding: fixed text is fed in batches, a choice is scored over its options, only free text is sampled.

A choice walks the trie of its options' tokens: where one token can follow it is forced, where several can they are
compared in one reading of the logits. The probability of an option is the product over its branchings, so the
probabilities of all options add up to one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence as Seq
from itertools import pairwise
from typing import Any, Protocol

import numpy as np

from automlgpt_local.llm.backend import Choice, Filled, Template, Text
from automlgpt_local.llm.sampling import COLDEST, NoNumbersError, Sampler, SamplingOptions, draw, softmax


class Tokens(Protocol):
    """A sequence as the decoders see it (`sequence.Sequence`, or a fake in tests)."""

    def feed(self, tokens: tuple[int, ...] | list[int]) -> None: ...
    def drop(self, count: int) -> None: ...
    def logits(self) -> np.ndarray: ...


class Vocabulary(Protocol):
    """The half of `runtime.Runtime` that knows tokens."""

    @property
    def evaluated_tokens(self) -> int: ...
    def tokenize(self, text: str, *, parse_special: bool = True) -> tuple[int, ...]: ...
    def piece(self, token: int) -> bytes: ...
    def ends(self, token: int) -> bool: ...


class Filler:
    def __init__(self, vocabulary: Vocabulary, sequence: Tokens, *, temperature: float = 0.0, seed: int = 0) -> None:
        self._vocabulary = vocabulary
        self._sequence = sequence
        self._temperature = temperature
        self._rng = np.random.default_rng(abs(seed))
        self._seed = seed
        self.tokens: list[int] = []  # all that this fill appended
        self._values: dict[str, str] = {}
        self.probabilities: dict[str, float] = {}
        self._text: list[str] = []
        self._forced = self._chosen = 0

    def fill(self, template: Template) -> Filled:
        started, before = time.monotonic(), self._vocabulary.evaluated_tokens
        for part, after in zip(template, [*list(template)[1:], ""]):
            if isinstance(part, str):
                self.force(part)
                self._text.append(part)
            elif isinstance(part, Choice):
                self.choose(part, after if isinstance(after, str) else "")
            else:
                self._write(part)
        return Filled(
            values=self._values,
            probabilities=self.probabilities,
            text="".join(self._text),
            forced_tokens=self._forced,
            chosen_tokens=self._chosen,
            evaluated_tokens=self._vocabulary.evaluated_tokens - before,
            seconds=time.monotonic() - started,
        )

    def force(self, text: str) -> None:
        """Text that is known."""
        self._force(self._vocabulary.tokenize(text))

    def _force(self, tokens: Seq[int]) -> None:
        self.append(tokens)
        self._forced += len(tokens)

    def append(self, tokens: Seq[int]) -> None:
        self._sequence.feed(list(tokens))
        self.tokens.extend(tokens)

    def choose(self, slot: Choice, after: str) -> str:
        """The option that the model prefers; `after` is the text that will follow it."""
        end = self._vocabulary.tokenize(after)[:1]
        paths = option_paths(slot, {option: self._vocabulary.tokenize(option) for option in slot.options}, end)
        probability, depth = 1.0, 0
        while len(paths) > 1:
            children = sorted({path[depth] for path in paths.values()})
            if len(children) == 1:
                self._force(children)
            else:
                token, share = self._branch(children)
                probability *= share
                paths = {option: path for option, path in paths.items() if path[depth] == token}
                if (token,) != end or len(next(iter(paths.values()))) > depth + 1:
                    self.append([token])
                    self._chosen += 1
            depth += 1
        ((option, path),) = paths.items()
        self._force(path[depth : len(self._vocabulary.tokenize(option))])
        self._values[slot.name] = option
        self.probabilities[slot.name] = probability
        self._text.append(option)
        return option

    def _branch(self, children: list[int]) -> tuple[int, float]:
        values = self._sequence.logits()[children]
        if not np.isfinite(values).all():
            raise NoNumbersError
        shares = softmax(values)
        at = (
            int(shares.argmax())
            if self._temperature < COLDEST
            else draw(softmax(values / self._temperature), self._rng)
        )
        return children[at], float(shares[at])

    def _write(self, slot: Text) -> None:
        options = SamplingOptions(temperature=self._temperature, seed=self._seed)
        sampler, stop = Sampler(options), slot.stop.encode()
        tokens: list[int] = []
        data, ended = b"", False
        while not ended and len(tokens) < slot.max_tokens:
            token = sampler.sample(self._sequence.logits())
            if self._vocabulary.ends(token):
                break
            tokens.append(token)
            self.append([token])
            data += self._vocabulary.piece(token)
            ended = bool(stop) and stop in data
        wanted = data.split(stop, 1)[0] if ended else data
        self._rewrite(tokens, wanted)
        value = wanted.decode("utf-8", "replace")
        self._values[slot.name] = value
        self._text.append(value)

    def replace_tail(self, wanted: bytes, written: int) -> None:
        """The last `written` tokens shall spell `wanted`, which begins as they do."""
        self._rewrite(self.tokens[len(self.tokens) - written :], wanted)

    def _rewrite(self, tokens: list[int], wanted: bytes) -> None:
        """Take back what was sampled beyond `wanted`; a token that runs across its end is read anew."""
        kept = size = 0
        while kept < len(tokens) and wanted.startswith(piece := self._vocabulary.piece(tokens[kept]), size):
            size += len(piece)
            kept += 1
        surplus = len(tokens) - kept
        if surplus:
            self._sequence.drop(surplus)
            del self.tokens[-surplus:]
        self._chosen += kept
        rest = wanted[size:].decode("utf-8", "replace")
        if rest:
            self._force(self._vocabulary.tokenize(rest, parse_special=False))


def option_paths(slot: Choice, paths: dict[str, tuple[int, ...]], end: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
    """Option -> its tokens. Where one is the beginning of another one ("5", "50"), each carries `end`, the first token
    of the text that follows, which then competes with going on. Raises ValueError for what cannot be told apart."""
    if not paths or not all(paths.values()):
        raise ValueError(f"slot {slot.name}: no options, or an empty one")
    if _is_prefix_free(paths):
        return paths
    paths = {option: path + end for option, path in paths.items()}
    if not end or not _is_prefix_free(paths):
        raise ValueError(
            f"slot {slot.name}: one option begins another one, and the text after it does not tell them apart"
        )
    return paths


def _is_prefix_free(paths: dict[str, tuple[int, ...]]) -> bool:
    ordered = sorted(paths.values())
    return all(second[: len(first)] != first for first, second in pairwise(ordered))


def template_from_json(parts: list[Any]) -> list[str | Choice | Text]:
    """The inverse of `template_to_json`."""
    template: list[str | Choice | Text] = []
    for part in parts:
        if isinstance(part, str):
            template.append(part)
        elif "options" in part:
            template.append(Choice(part["name"], tuple(part["options"])))
        else:
            template.append(Text(part["name"], part["stop"], part["max_tokens"]))
    return template


def template_to_json(template: Template) -> list[Any]:
    return [part if isinstance(part, str) else dict(vars(part)) for part in template]
