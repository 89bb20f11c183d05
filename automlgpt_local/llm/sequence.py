"""The tokens of one agent in the shared KV cache: nothing is evaluated twice.

A `Sequence` is told the whole list of tokens that must precede the next one; it keeps what its part of the cache
shares with that list, takes more of it from a neighbour with the same adapter, and evaluates only what is new. A
recurrent model's state stands for all tokens read so far, so of a neighbour it can take only all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from automlgpt_local.errors import BackendError

if TYPE_CHECKING:
    from automlgpt_local.llm.runtime import Runtime


class CancelledError(BackendError):
    """The caller asked the worker to stop this turn."""


class OutOfCacheError(BackendError):
    """No room for the batch among the cells that all sequences share."""


class Sequence:
    """The tokens of one agent: `evaluated` are in the KV cache, `pending` will be when logits are next wanted."""

    def __init__(self, runtime: Runtime, number: int, adapter: Any = None) -> None:
        self.runtime = runtime
        self.number = number
        self.adapter = adapter
        self.evaluated: list[int] = []
        self.pending: list[int] = []

    def __len__(self) -> int:
        return len(self.evaluated) + len(self.pending)

    def start(self, tokens: list[int]) -> None:
        """From now on the text before the next token is `tokens`, whatever it was before."""
        own = _common_prefix(self.evaluated, tokens)
        self.pending = []
        self._cut(own)
        best, length = None, len(self.evaluated)
        for other in self.runtime.neighbours(self):
            shared = _common_prefix(other.evaluated, tokens)
            whole = shared == len(other.evaluated) or not self.runtime.recurrent
            if other.adapter is self.adapter and shared > length and whole:
                best, length = other, shared
        if best is not None:
            self.clear()
            self.runtime.copy_prefix(best.number, self.number, length)
            self.evaluated = tokens[:length]
        self.pending = tokens[len(self.evaluated) :]

    def feed(self, tokens: tuple[int, ...] | list[int]) -> None:
        self.pending.extend(tokens)

    def drop(self, count: int) -> None:
        """Take the last `count` tokens back."""
        from_pending = min(count, len(self.pending))
        if from_pending:
            del self.pending[-from_pending:]
        if count > from_pending:
            self._cut(len(self.evaluated) - (count - from_pending))

    def logits(self) -> np.ndarray:
        """Logits of the token that follows, shape (n_vocab,): a view that the next evaluation overwrites."""
        pending, evaluated = self.pending, self.evaluated
        if len(pending) == 1 and len(evaluated) < self.runtime.context_tokens:  # the common case of a token loop
            logits = self.runtime.decode_next(self.number, pending[0], len(evaluated), self.adapter)
            if logits is not None:
                evaluated.append(pending.pop())
                return logits
            self._cut(len(evaluated))  # whatever a failed attempt has left behind
        self._evaluate_all()
        return self.runtime.read_logits()

    def _evaluate_all(self) -> None:
        if not self.pending and self.evaluated:
            tail = self.evaluated[-1]
            self._cut(len(self.evaluated) - 1)
            self.pending.append(tail)
        if not self.pending:
            raise BackendError("nothing to read before the first slot")
        if len(self) > self.runtime.context_tokens:
            raise BackendError(f"{len(self)} tokens do not fit into a context of {self.runtime.context_tokens}")
        if not self._evaluate():  # no place in the cache: once more, with the neighbours gone
            tokens = self.evaluated + self.pending
            for other in self.runtime.neighbours(self):
                other.clear()
            self.clear()
            self.pending = tokens
            if not self._evaluate():
                raise BackendError("the context is full")

    def _evaluate(self) -> bool:
        """Batch by batch, so that a turn that is cancelled leaves to the next one what it has read."""
        try:
            while self.pending:
                part = self.pending[: self.runtime.n_batch]
                self.runtime.decode(self.number, part, len(self.evaluated), self.adapter, last=part == self.pending)
                self.evaluated += part
                del self.pending[: len(part)]
        except OutOfCacheError:
            self._cut(len(self.evaluated))
            return False
        except BackendError:
            self._cut(len(self.evaluated))
            self.pending = []
            raise
        return True

    def _cut(self, length: int) -> None:
        if not self.runtime.remove(self.number, length):
            self.pending = self.evaluated[:length] + self.pending
            self.evaluated = []
        else:
            del self.evaluated[length:]

    def clear(self) -> None:
        self.runtime.remove(self.number, 0)
        self.evaluated = []
        self.pending = []


def _common_prefix(a: list[int], b: list[int]) -> int:
    length = min(len(a), len(b))
    if a[:length] == b[:length]:
        return length
    low, high = 0, length  # equal up to low, different before high
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low
