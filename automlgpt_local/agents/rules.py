"""Recipes alone: the decisions that need no model. What every other advisor falls back on, and its control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from automlgpt_local.agents import compact
from automlgpt_local.agents.advisor import Answer, Situation
from automlgpt_local.agents.feature_code import FeatureIdea
from automlgpt_local.data.profile import ColumnProfile
from automlgpt_local.events import Author
from automlgpt_local.recipes import Recipe


def _answer(**values: Any) -> Answer:
    return Answer(values, "recipes")


class RuleAdvisor:
    by: Author = "recipes"

    def next_tool(self, now: Situation, done: Sequence[str]) -> Answer:
        return _answer(tool=next((t for t in compact.TOOLS if t not in done), "done"))

    def treatments(self, now: Situation, columns: Sequence[ColumnProfile], first: int) -> Answer:
        rows = now.profile.rows
        wide = len(now.profile.columns)
        return _answer(**{f"c{i}": compact.default_treatment(c, rows, wide) for i, c in enumerate(columns)})

    def features(self, now: Situation, ideas: Sequence[FeatureIdea], base: str) -> Answer:
        return _answer(**{f"f{i}": "yes" for i, _ in enumerate(ideas)})

    def next_recipe(self, now: Situation, remaining: Sequence[str]) -> Answer:
        return _answer(next=remaining[0])

    def params(self, now: Situation, recipe: Recipe) -> Answer:
        return _answer()

    def next_tune(self, now: Situation, candidates: Sequence[str]) -> Answer:
        """The candidate with the fewest tries for its rank, so that good recipes are tried more often."""
        tries = {name: len(now.journal.of_recipe(name)) for name in candidates}
        rank = {name: i for i, name in enumerate(candidates, start=1)}
        return _answer(next=min(candidates, key=lambda name: (tries[name] * rank[name], rank[name])))

    def solution(self, now: Situation, example: str, features: str) -> Answer:
        return _answer()

    def repair(self, now: Situation, source: str, error: str) -> Answer:
        return _answer()
