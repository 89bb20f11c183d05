"""Two models, one for each agent: `--model A,coder=B`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from automlgpt_local.errors import ModelError
from automlgpt_local.llm.backend import Backend, BackendInfo, Filled, Message, Reply, Template


class PairBackend:
    """Implements `Backend`: the Coding agent is answered by `coder`, everybody else by `reasoner`."""

    def __init__(self, reasoner: Backend, coder: Backend) -> None:
        self._reasoner, self._coder = reasoner, coder

    @cached_property
    def info(self) -> BackendInfo:
        """Of both; the smaller context counts. Raises ModelError for models of different dialects."""
        first, second = self._reasoner.info, self._coder.info
        if first.dialect != second.dialect:
            raise ModelError(
                f"{first.name} speaks the {first.dialect} dialect and {second.name} the {second.dialect} one.",
                "Both agents need the same: two chat models, or two that were made for the compact dialect.",
            )
        return BackendInfo(
            name=f"{first.name}, coder {second.name}",
            dialect=first.dialect,
            context_tokens=min(first.context_tokens, second.context_tokens),
            sha256=", ".join(filter(None, (first.sha256, second.sha256))),
            details={"reasoner": first.details, "coder": second.details},
        )

    def _of(self, agent: str) -> Backend:
        return self._coder if agent == "coder" else self._reasoner

    def fill(
        self, agent: str, transcript: Sequence[str], template: Template, *,
        temperature: float = 0.0, seed: int = 0, timeout_s: float = 60.0,
    ) -> Filled:  # fmt: skip
        return self._of(agent).fill(
            agent, transcript, template, temperature=temperature, seed=seed, timeout_s=timeout_s
        )

    def chat(
        self, agent: str, messages: Sequence[Message], *, schema: dict[str, Any] | None = None,
        max_tokens: int = 2048, temperature: float = 0.2, seed: int = 0, timeout_s: float = 300.0,
        on_text: Callable[[str], None] | None = None,
    ) -> Reply:  # fmt: skip
        return self._of(agent).chat(
            agent, messages, schema=schema, max_tokens=max_tokens, temperature=temperature, seed=seed,
            timeout_s=timeout_s, on_text=on_text,
        )  # fmt: skip

    def count_tokens(self, text: str) -> int:
        """By the tokenizer that needs more of them."""
        return max(self._reasoner.count_tokens(text), self._coder.count_tokens(text))

    def close(self) -> None:
        self._reasoner.close()
        self._coder.close()
