"""`--model random`: valid decisions drawn uniformly. The control that every claim about agents is measured against."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from automlgpt_local.errors import BackendError
from automlgpt_local.llm.backend import BackendInfo, Choice, Filled, Message, Reply, Template
from automlgpt_local.llm.scripted import filled


class RandomBackend:
    """Speaks the compact dialect. The same seed, agent, transcript and template draw the same choices, in any order of
    calls, so that a resumed run goes on as it would have gone."""

    def __init__(self, seed: int = 0) -> None:
        self._seed = seed
        self.info = BackendInfo(name="random", dialect="compact", context_tokens=2**31)

    def fill(
        self, agent: str, transcript: Sequence[str], template: Template, *,
        temperature: float = 0.0, seed: int = 0, timeout_s: float = 60.0,
    ) -> Filled:  # fmt: skip
        digest = hashlib.sha256(repr((self._seed, seed, agent, tuple(transcript), tuple(template))).encode())
        rng = Random(digest.digest())
        values, probabilities = {}, {}
        for slot in template:
            if isinstance(slot, Choice):
                values[slot.name] = rng.choice(slot.options)
                probabilities[slot.name] = 1 / len(slot.options)
            elif not isinstance(slot, str):
                values[slot.name] = ""
        return filled(template, values, probabilities)

    def chat(
        self, agent: str, messages: Sequence[Message], *, schema: dict[str, Any] | None = None,
        max_tokens: int = 2048, temperature: float = 0.2, seed: int = 0, timeout_s: float = 300.0,
        on_text: Callable[[str], None] | None = None,
    ) -> Reply:  # fmt: skip
        raise BackendError("the random control only fills templates")

    def count_tokens(self, text: str) -> int:
        return 0

    def close(self) -> None:
        pass
