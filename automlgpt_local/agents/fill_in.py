"""Both agents in the compact dialect: our code writes what is known, the model fills the slots.

Each question is a short transcript: the opening (task and table in one line), which stays evaluated, then the
question with the board of what was tried. A turn costs its own tokens alone, and a resumed run has nothing to rebuild.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from automlgpt_local.agents import blocks, compact
from automlgpt_local.agents.advisor import Answer, Situation
from automlgpt_local.agents.assemble import assemble, features_of
from automlgpt_local.agents.feature_code import FeatureIdea
from automlgpt_local.data.profile import ColumnProfile
from automlgpt_local.events import Author
from automlgpt_local.llm.backend import Backend, Template
from automlgpt_local.recipes import Recipe

# Chance instead of the likeliest option from the second hyper-parameter guess of a recipe on, so that guesses differ.
TUNING_TEMPERATURE = 0.7
# The Coder writes a solution of its own once this many kinds of model are known: before, recipes are worth more.
KINDS_BEFORE_OWN = 5


class FillInAgents:
    def __init__(
        self, backend: Backend, author: Author, seed: int, turn_s: float = 20.0, one_agent: bool = False
    ) -> None:
        self.by = author
        self._backend, self._seed, self._turn_s, self._one_agent = backend, seed, turn_s, one_agent

    def _ask(self, agent: str, now: Situation, template: Template, temperature: float = 0.0) -> Answer:
        """One decision in a short transcript of its own: the opening, then the question.

        The opening is the shared prefix that stays evaluated; what was decided before stands in the board of the
        question itself, so nothing else of the past is needed.
        """
        agent = "reasoner" if self._one_agent else agent
        opening = compact.opening(agent, now.task, now.profile)
        filled = self._backend.fill(
            agent, [opening], template, temperature=temperature, seed=self._seed * 100_003 + now.turn,
            timeout_s=min(self._turn_s, now.turn_s),
        )  # fmt: skip
        return Answer(
            dict(filled.values), self.by, "", filled.forced_tokens, filled.chosen_tokens, filled.evaluated_tokens,
            {k: round(p, 4) for k, p in filled.probabilities.items()}, round(filled.seconds, 4),
        )  # fmt: skip

    def next_tool(self, now: Situation, done: Sequence[str]) -> Answer:
        return self._ask("reasoner", now, compact.next_tool(done))

    def treatments(self, now: Situation, columns: Sequence[ColumnProfile], first: int) -> Answer:
        return self._ask("reasoner", now, compact.treat(columns, first, now.profile.rows))

    def next_recipe(self, now: Situation, remaining: Sequence[str]) -> Answer:
        if self._own_is_due(now):
            return Answer({"next": "own"}, self.by)
        return self._ask("reasoner", now, compact.next_recipe(_board(now), remaining))

    def next_tune(self, now: Situation, candidates: Sequence[str]) -> Answer:
        return self._ask("reasoner", now, compact.next_tune(_board(now), candidates), TUNING_TEMPERATURE)

    def features(self, now: Situation, ideas: Sequence[FeatureIdea], base: str) -> Answer:
        return self._ask("coder", now, compact.features(ideas))

    def params(self, now: Situation, recipe: Recipe) -> Answer:
        tried = now.journal.of_recipe(recipe.name)
        answer = self._ask(
            "coder", now, compact.params(recipe.name, recipe.grid, _board(now)), TUNING_TEMPERATURE if tried else 0.0
        )
        return _typed(answer, recipe)

    def _own_is_due(self, now: Situation) -> bool:
        """Once in a run, where the user did not name the kinds of model to use.

        A model that was trained before there were such questions has no token for them, and would answer by chance.
        """
        enough = len(now.journal.board()) >= KINDS_BEFORE_OWN
        wanted = enough and not now.journal.own() and not now.task.only and bool(_blocks(now)["model"])
        return wanted and self._backend.count_tokens("own") <= 1

    def solution(self, now: Situation, example: str, features: str) -> Answer:
        return self._compose(now, features, {})

    def repair(self, now: Situation, source: str, error: str) -> Answer:
        """Other blocks, around another model than the one that did not run."""
        return self._compose(now, features_of(source), blocks.choices_of(source), compact.failure(error))

    def _compose(self, now: Situation, features: str, failed: Mapping[str, str], why: str = "") -> Answer:
        options = _blocks(now, failed.get("model", ""))
        if not options["model"]:
            return Answer({}, self.by)
        answer = self._ask("coder", now, compact.own(_board(now), options, failed, why))
        source = assemble(blocks.compose(answer.values, now.task.kind), features)
        return replace(answer, values={**answer.values, "source": source})


def _blocks(now: Situation, failed: str = "") -> dict[str, tuple[str, ...]]:
    """The blocks that the table and the user allow, less the model that failed."""
    options = blocks.options(now.profile)
    models = tuple(m for m in options["model"] if m != failed and now.task.allows(blocks.MODELS[m]))
    return {**options, "model": models}


def _typed(answer: Answer, recipe: Recipe) -> Answer:
    """The chosen options as the grid's own values (0.05, not "0.05")."""
    values: dict[str, Any] = {
        name: next(v for v in options if str(v) == answer.values[name]) for name, options in recipe.grid.items()
    }
    return replace(answer, values=values)


def _board(now: Situation) -> list[tuple[str, str, str, str]]:
    """The attempts in the order tried, in the buckets of the compact dialect."""
    rows = now.journal.board()
    order = {e.attempt.recipe: i for i, e in reversed(list(enumerate(now.journal.evaluations)))}
    return [
        (
            row.recipe,
            compact.rank_bucket(row.rank, len(rows)),
            compact.gain_bucket(row.gain),
            compact.seconds_bucket(row.seconds, now.task.time_limit_s),
        )
        for row in sorted(rows, key=lambda r: order.get(r.recipe, 0))
        if row.recipe in compact.RECIPES
    ][-10:]
