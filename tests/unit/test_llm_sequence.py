"""What a sequence keeps in the cache: batches of a cancelled turn, and of a neighbour only what stands alone."""

from __future__ import annotations

from typing import Any

import pytest

from automlgpt_local.llm.sequence import CancelledError, Sequence


class Cache:
    """A runtime that reads batches of 4 tokens and fails at those of `breaks_at`."""

    n_batch, context_tokens = 4, 100

    def __init__(self, *, recurrent: bool = False) -> None:
        self.recurrent = recurrent
        self.read: list[list[int]] = []
        self.copied: list[int] = []
        self.breaks_at = -1
        self.sequences: list[Sequence] = []

    def neighbours(self, of: Sequence) -> list[Sequence]:
        return [other for other in self.sequences if other is not of]

    def copy_prefix(self, source: int, target: int, length: int) -> None:
        self.copied.append(length)

    def remove(self, number: int, start: int) -> bool:
        return True

    def decode(self, number: int, tokens: list[int], start: int, adapter: Any, *, last: bool) -> None:
        if self.breaks_at in tokens:
            raise CancelledError("the turn was cancelled")
        self.read.append(list(tokens))

    def decode_next(self, *_: Any) -> None:
        return None

    def read_logits(self) -> Any:
        return "logits"


def sequences(cache: Any, count: int = 1) -> list[Sequence]:
    cache.sequences = [Sequence(cache, number) for number in range(count)]
    return cache.sequences  # type: ignore[no-any-return]


def test_a_cancelled_turn_leaves_its_whole_batches_to_the_next_one() -> None:
    cache: Any = Cache()
    (sequence,) = sequences(cache)
    tokens = list(range(11))
    sequence.start(tokens)
    cache.breaks_at = 9
    with pytest.raises(CancelledError):
        sequence.logits()
    assert sequence.evaluated == tokens[:8] and not sequence.pending
    cache.breaks_at = -1
    sequence.start(tokens)
    assert sequence.logits() == "logits"
    assert cache.read == [tokens[:4], tokens[4:8], tokens[8:]]


@pytest.mark.parametrize("recurrent", [False, True])
def test_a_part_of_a_neighbour_is_taken_where_its_state_can_be_parted(recurrent: bool) -> None:
    cache: Any = Cache(recurrent=recurrent)
    first, second = sequences(cache, 2)
    first.start([1, 2, 3, 4, 5])
    first.logits()
    second.start([1, 2, 3, 9])
    assert cache.copied == ([] if recurrent else [3])
    assert second.pending == ([1, 2, 3, 9] if recurrent else [9])
    second.clear()
    second.start([1, 2, 3, 4, 5, 6])
    assert cache.copied[-1:] == [5] and second.pending == [6]
