"""What the loop asks its agents, and in which form they answer. Three advisors answer it:

`rules.RuleAdvisor` (recipes alone), `fill_in.FillInAgents` (compact dialect: the nano and the random control) and
`chat_agents.ChatAgents` (full prompts for chat models). The loop validates every answer and falls back on the rules.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from automlgpt_local.agents.feature_code import FeatureIdea
from automlgpt_local.agents.journal import Journal
from automlgpt_local.data.profile import ColumnProfile, Profile
from automlgpt_local.events import Author
from automlgpt_local.recipes import Recipe
from automlgpt_local.task import TaskSpec


@dataclass(frozen=True)
class Answer:
    """One decision: slot -> value. `probabilities`: slot -> probability that the model gave its choice."""

    values: dict[str, Any]
    by: Author
    thought: str = ""
    forced_tokens: int = 0
    chosen_tokens: int = 0
    evaluated_tokens: int = 0
    probabilities: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    about: tuple[str, ...] = ()  # as in events.Decided
    trimmed: str = ""  # what was left out of the prompt so that it fits into the context, in words


@dataclass(frozen=True)
class Situation:
    """What is known when a decision is asked for."""

    task: TaskSpec
    profile: Profile
    journal: Journal
    left_s: float
    turn_s: float  # the model may think this long about this question
    turn: int  # decisions before this one; with the run's seed it makes a turn repeatable
    notes: tuple[str, ...] = ()


class Advisor(Protocol):
    """Raises BackendError when the model cannot answer; ValueError when its answer makes no sense."""

    by: Author

    # --- the Reasoning agent
    def next_tool(self, now: Situation, done: Sequence[str]) -> Answer:
        """{"tool": target | missing | associations | done}: what to look at."""
        ...

    def treatments(self, now: Situation, columns: Sequence[ColumnProfile], first: int) -> Answer:
        """{"c0": treatment, ...} for a batch of columns; `first` is its position in the table."""
        ...

    def next_recipe(self, now: Situation, remaining: Sequence[str]) -> Answer:
        """{"next": recipe | "stop"}: which kind of model to try now."""
        ...

    def next_tune(self, now: Situation, candidates: Sequence[str]) -> Answer:
        """{"next": recipe | "stop"}: which recipe deserves another try."""
        ...

    # --- the Coding agent
    def features(self, now: Situation, ideas: Sequence[FeatureIdea], base: str) -> Answer:
        """{"f0": "yes" | "no", ...} for ideas of our own, or {"source": features(df) as Python} written freely.

        base: lines of features(df) that are there already.
        """
        ...

    def params(self, now: Situation, recipe: Recipe) -> Answer:
        """{hyper-parameter: value} for one try of a recipe; empty: the recipe's own defaults."""
        ...

    def solution(self, now: Situation, example: str, features: str) -> Answer:
        """{"source": a whole module of the agent's own}, or {} when this advisor writes none."""
        ...

    def repair(self, now: Situation, source: str, error: str) -> Answer:
        """{"source": mended module}, or {} when this advisor cannot mend code."""
        ...
