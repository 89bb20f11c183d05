"""The stage that settles what the models see: each column's treatment, pairs of columns, the Coder's features."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from automlgpt_local.agents import compact, feature_code, ideas
from automlgpt_local.agents.advisor import Advisor, Answer
from automlgpt_local.agents.assemble import assemble, features_of
from automlgpt_local.agents.check import problems
from automlgpt_local.agents.workbench import SAFE_SHARE, Draft, Workbench, batches
from automlgpt_local.data.dates import EPOCH, parse_dates
from automlgpt_local.data.interactions import find_levels, find_pairs
from automlgpt_local.data.profile import ColumnProfile
from automlgpt_local.events import Author, CodeRejected, Decided, Warned
from automlgpt_local.search.evaluate import Evaluation

ADVISED_COLUMNS = 128  # the most telling ones; a model decides these, the rules the rest
MAX_IDEAS = 12
MAX_CROSSES, MAX_LEVELS = 2, 8
CROSSED_COLUMNS, SCREENED_ROWS = 40, 20_000  # the most telling columns, and the rows, whose pairs are looked at
PROBE_RECIPE = "lightgbm"
PROBE_PARAMS = {"learning_rate": 0.1, "copies": 1, "rounds": 300}  # a probe compares columns: a quick fit tells as much
PROBE_SHARE = 0.12
MOST_PROBED_CLASSES = 10  # a boosted model grows a tree per class: beyond this a probe is no cheap question


class Process:
    """`columns` by type and `features_source`, the text of features(df), are what has been kept so far.

    Each change is kept only when a probe gains by it.
    """

    def __init__(self, bench: Workbench) -> None:
        self.bench = bench
        self.columns: dict[str, list[str]] = {}
        self.features_source = ""

    def run(self) -> None:
        bench = self.bench
        bench.start("process")
        columns = list(bench.profile.columns)
        by_rule = compact.default_treatments(bench.profile)
        self._adopt(columns, by_rule)
        if "baseline" in bench.recipes:
            bench.attempt(lambda: self.draft("baseline", "a first plain model", "recipes"), share=SAFE_SHARE)
        if bench.evaluator.workspace.n_classes > MOST_PROBED_CLASSES:
            bench.note(
                "no probes", "with this many classes, settling a question about columns costs as much as a model"
            )
            return
        advised, author = self._treatments(columns, by_rule)
        kept = self._probe("the rules' treatment of the columns", "recipes")
        treatments = by_rule
        if advised != by_rule:
            plain = (self.columns, self.features_source)
            self._adopt(columns, advised)
            better = self._gains("the Reasoner's treatment of the columns", author, None, kept)
            if better:
                kept, treatments = better, advised
            else:
                self.columns, self.features_source = plain
        levels, kept = self._levels(columns, treatments, kept)
        crosses, kept = self._crosses(columns, treatments, levels, kept)
        self._features(columns, treatments, [*levels, *crosses], kept)

    def _treatments(self, columns: list[ColumnProfile], by_rule: dict[str, str]) -> tuple[dict[str, str], Author]:
        advised, author = dict(by_rule), "recipes"
        first = 0
        for batch in batches(advised_columns(columns), compact.BATCH):
            decided = self._decide_treatments(batch, first)
            advised.update({c.name: str(decided.values[f"c{i}"]) for i, c in enumerate(batch)})
            author = decided.by if decided.by != "recipes" else author
            first += len(batch)
        return advised, author  # type: ignore[return-value]

    def _decide_treatments(self, batch: Sequence[ColumnProfile], first: int) -> Decided:
        bench = self.bench
        return bench.decide(
            "reasoner", "treatments",
            lambda a: replace(a.treatments(bench.situation(), batch, first), about=tuple(c.name for c in batch)),
            lambda values: _check_treatments(values, batch),
        )  # fmt: skip

    def _levels(
        self, columns: list[ColumnProfile], treatments: dict[str, str], kept: Evaluation
    ) -> tuple[list[feature_code.FeatureIdea], Evaluation]:
        """Days and whole numbers whose single values tell more than where they lie, as categories beside themselves."""
        workspace = self.bench.evaluator.workspace
        usable = {
            c.name: c for c in columns
            if treatments[c.name] == "date"
            or (c.kind == "number" and c.integers and treatments[c.name] in ("keep", "log"))
        }  # fmt: skip
        features, y = workspace.sample(SCREENED_ROWS)
        names = [c.name for c in _most_telling(list(usable.values()), CROSSED_COLUMNS)]
        numbers = pd.DataFrame({name: _day_or_number(features[name], usable[name]) for name in names})
        found = find_levels(numbers, y, workspace.n_classes, self.bench.task.seed)[:MAX_LEVELS]
        if not found:
            return [], kept
        made = ideas.levels([usable[name] for name in found], self._names())
        source = feature_code.features_source(columns, treatments, made)
        better = self._adopt_if_better(source, "exact values as categories", "recipes", None, kept)
        if better is None:
            return [], kept
        self._warn_of_days([name for name in found if usable[name].kind == "date"])
        return made, better

    def _warn_of_days(self, dates: list[str]) -> None:
        """Rows drawn at random share their days with others; rows of the future do not."""
        if dates and self.bench.task.time is None and not self.bench.recorder.replaying:
            told = (
                f"Each day of {dates[0]!r} is a category: what is known of a day tells only of rows of that same day. "
                f"To predict days to come, start the run with --time {dates[0]!r}."
            )
            self.bench.recorder.ambient(Warned(told))

    def _crosses(
        self, columns: list[ColumnProfile], treatments: dict[str, str], levels: list[feature_code.FeatureIdea],
        kept: Evaluation,
    ) -> tuple[list[feature_code.FeatureIdea], Evaluation]:  # fmt: skip
        """Pairs of columns that tell more than the two added up, each as one category, where a probe gains by them."""
        workspace = self.bench.evaluator.workspace
        usable = [
            c for c in columns
            if c.kind in ("number", "category") and treatments[c.name] in ("keep", "log", "category")
        ]  # fmt: skip
        names = [c.name for c in _most_telling(usable, CROSSED_COLUMNS)]
        features, y = workspace.sample(SCREENED_ROWS)
        pairs = find_pairs(features, names, y, workspace.n_classes, MAX_CROSSES, self.bench.task.seed)
        if not pairs:
            return [], kept
        made = ideas.crosses(pairs, self._names())
        source = feature_code.features_source(columns, treatments, [*levels, *made])
        better = self._adopt_if_better(source, "pairs of columns as one", "recipes", None, kept)
        return (made, better) if better else ([], kept)

    def _features(
        self, columns: list[ColumnProfile], treatments: dict[str, str], crosses: list[feature_code.FeatureIdea],
        kept: Evaluation,
    ) -> None:  # fmt: skip
        """The Coding agent's features, gated as a whole; where they gain nothing, all that were proposed."""
        bench = self.bench
        proposed = ideas.propose(bench.profile, treatments, MAX_IDEAS)
        if not proposed:
            return
        base = feature_code.features_body(columns, treatments, crosses)
        decided = bench.decide("coder", "features", lambda a: self._checked_features(a, proposed, base))
        by_rule = feature_code.features_source(columns, treatments, [*crosses, *proposed])
        if "source" in decided.values:
            advised = feature_code.with_helpers(features_of(str(decided.values["source"])))
        else:
            chosen = [idea for i, idea in enumerate(proposed) if decided.values.get(f"f{i}") == "yes"]
            advised = feature_code.features_source(columns, treatments, [*crosses, *chosen])
        before = self.features_source
        if advised != before and self._adopt_if_better(advised, "the Coder's features", decided.by, decided, kept):
            return
        if by_rule not in (before, advised):
            self._adopt_if_better(by_rule, "all proposed features", "recipes", None, kept)

    def _adopt_if_better(
        self, features_source: str, title: str, by: Author, decided: Decided | None, against: Evaluation
    ) -> Evaluation | None:
        """The probe with this text of features(df), where it gains; else None, and the features are as before."""
        before, self.features_source = self.features_source, features_source
        better = self._gains(title, by, decided, against)
        if better is None:
            self.features_source = before
        return better

    def _gains(self, title: str, by: Author, decided: Decided | None, against: Evaluation) -> Evaluation | None:
        """The probe of the features as they stand, where it gains; else None."""
        tried = self._probe(title, by, decided, against)
        return tried if tried.attempt.number in self.bench.journal.kept else None

    def _checked_features(self, advisor: Advisor, proposed: list[feature_code.FeatureIdea], base: str) -> Answer:
        bench = self.bench
        answer = replace(advisor.features(bench.situation(), proposed, base), about=tuple(i.key for i in proposed))
        if "source" in answer.values:
            found = problems(f"{answer.values['source']}\n\ndef build(params, ctx):\n    return None\n", self._names())
            if found:
                bench.recorder.ambient(CodeRejected(bench.stage, " ".join(found), 0))
                raise ValueError(found[0])
        return answer

    def _probe(
        self, title: str, by: Author, decided: Decided | None = None, against: Evaluation | None = None
    ) -> Evaluation:
        """A quick LightGBM on few rows, to settle a question about columns. On a small table it is a full attempt."""
        bench = self.bench
        workspace = bench.evaluator.workspace
        recipe = PROBE_RECIPE if PROBE_RECIPE in bench.recipes else next(iter(bench.recipes))
        probe = workspace.probes is not workspace.folds
        params = PROBE_PARAMS if probe and recipe == PROBE_RECIPE else {}
        return bench.attempt(
            lambda: self.draft(recipe, title, by, params, decided), probe=probe,
            share=PROBE_SHARE if probe else SAFE_SHARE, against=against,
        )  # fmt: skip

    def draft(
        self, recipe: str, title: str, by: Author, params: dict[str, Any] | None = None, decided: Decided | None = None
    ) -> Draft:
        """The recipe's module with the features kept so far, and with `params` as its defaults."""
        chosen = 0 if decided is None else decided.chosen_tokens
        probabilities = {} if decided is None else decided.probabilities
        source = assemble(self.bench.recipes[recipe].source, self.features_source, params)
        best = self.bench.journal.best()
        parent = None if best is None else best.attempt.number
        return Draft(source, recipe, title, by, params or {}, self.columns, parent, chosen, probabilities)

    def _adopt(self, columns: list[ColumnProfile], treatments: dict[str, str]) -> None:
        self.columns = feature_code.columns_by_type(columns, treatments)
        self.features_source = feature_code.features_source(columns, treatments)

    def _names(self) -> list[str]:
        return [c.name for c in self.bench.profile.columns]


def advised_columns(columns: Sequence[ColumnProfile]) -> list[ColumnProfile]:
    """Those that a model decides about, in the table's order; the rules treat the rest."""
    telling = {c.name for c in _most_telling(columns, ADVISED_COLUMNS)}
    return [c for c in columns if c.name in telling]


def _day_or_number(values: pd.Series, column: ColumnProfile) -> pd.Series:
    """Days since 1970, or the numbers as they are; missing is NaN."""
    if column.kind != "date":
        return values.astype(float)
    return (parse_dates(values, column.date_format) - EPOCH).dt.days.astype(float)


def _most_telling(columns: Sequence[ColumnProfile], most: int) -> list[ColumnProfile]:
    return sorted(columns, key=lambda c: -(c.association or 0.0))[:most]


def _check_treatments(values: dict[str, Any], batch: Sequence[ColumnProfile]) -> None:
    for i, column in enumerate(batch):
        if values.get(f"c{i}") not in compact.TREATMENTS[column.kind]:
            raise ValueError(f"no valid treatment for column {i + 1}")
