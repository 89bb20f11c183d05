"""What a decision should have been: from the generator's truth, and from measured cross-validations of the recipes."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from automlgpt_local import recipes
from automlgpt_local.agents import blocks, compact, ideas
from automlgpt_local.agents.loop import LEAST_RECIPES, OFFERED
from automlgpt_local.agents.process import MAX_IDEAS, PROBE_PARAMS, PROBE_RECIPE
from automlgpt_local.llm.backend import Template
from automlgpt_local.metrics import METRICS
from automlgpt_local.search import portfolio
from automlgpt_local.search.portfolio import PortfolioEntry
from finetune.cases import Case
from finetune.measure import OWN, Bench, Measurement
from finetune.rows import Row, filled

TIME_LIMITS_S = (20, 60, 120, 120, 300, 600, 1800)
WORTH = 0.004  # relative gain in error from which something counts as better: below it the recipes' way is right
FOLDS_LIVE = 5
OWN_SHARES = (0.05, 0.1, 0.2, 0.35, 0.5)  # of the Coder's own solution in a blend with the recipes
EXTRA = ("catboost", "xgboost")  # of the install option `boost`: many machines do not have them


def row(case: Case, decision: str, agent: str, teacher: str, template: Template, choices: Mapping[str, str],
        limit_s: float, n_rows: int | None = None, **outcome: Any) -> Row:  # fmt: skip
    """n_rows: what the opening says where a table stands in for a larger one."""
    profile = replace(case.profile, rows=n_rows) if n_rows else case.profile
    opening = compact.opening(agent, case.task(limit_s), profile)
    parts = filled(template, choices)
    return Row(decision, case.name, case.family, case.held_out, teacher, (opening,), parts, outcome)


# --- from the truth ------------------------------------------------------------------------------------------------


def treatment_rows(case: Case, rng: random.Random, right: Mapping[str, str], teacher: str) -> Iterator[Row]:
    """The table's columns in their order, and once more a random part of them with less known."""
    columns, seen = list(case.profile.columns), case.profile.rows
    some = rng.sample(columns, rng.randint(1, min(len(columns), compact.BATCH)))
    parts = [(columns[i : i + compact.BATCH], i, seen) for i in range(0, len(columns), compact.BATCH)]
    for batch, first, n_rows in [*parts, (some, rng.choice([0, 32]), rng.choice([None, seen]))]:
        choices = {f"c{i}": right[c.name] for i, c in enumerate(batch)}
        template = compact.treat(batch, first, n_rows)
        yield row(case, "treat", "reasoner", teacher, template, choices, rng.choice(TIME_LIMITS_S), _larger(case, rng))


def _larger(case: Case, rng: random.Random) -> int:
    """What is right for a table's columns is right for one of more rows."""
    return case.profile.rows * rng.choice([1, 1, 1, 10, 60])


def tool_rows(case: Case, rng: random.Random) -> Iterator[Row]:
    """Look at the target, at what is missing only where something is, at associations; then be done."""
    wanted = ["target"]
    if any((c.missing or 0) > 0 for c in case.profile.columns):
        wanted.append("missing")
    wanted.append("associations")
    done: list[str] = []
    for tool in [*wanted, "done"]:
        template = compact.next_tool(done)
        yield row(case, "tool", "reasoner", "truth", template, {"tool": tool}, rng.choice(TIME_LIMITS_S))
        done.append(tool)


# --- from measurements ---------------------------------------------------------------------------------------------


def plan(
    case: Case, n_rows: int | None = None, *, without: Collection[str] = (), installed_only: bool = True
) -> list[PortfolioEntry]:
    """What the recipes alone would try on this table, or on one like it of `n_rows` rows, in their order.

    without: recipes that the machine is taken not to have.
    """
    known = [r for r in recipes.load(installed_only).values() if case.kind in r.kinds and r.name in compact.RECIPES]
    kinds = [c.kind for c in case.profile.columns]
    return portfolio.order(
        case.kind, case.metric, n_rows or case.n_train, len(kinds), case.n_classes,
        kinds.count("category") / len(kinds), kinds.count("text") / len(kinds),
        [r.name for r in known if r.name not in without],
    )  # fmt: skip


def nearest_on_grid(recipe: str, params: Mapping[str, Any]) -> dict[str, Any]:
    """`params` of the recipe, each moved to the closest value of its grid."""
    found = {}
    for name, options in recipes.load(installed_only=False)[recipe].grid.items():
        value = params.get(name, options[0])
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            numbers = [o for o in options if isinstance(o, (int, float)) and not isinstance(o, bool)]
            distances = [abs(float(np.log((o + 1e-3) / (value + 1e-3)))) for o in numbers]
            value = numbers[int(np.argmin(distances))] if numbers else options[0]
        found[name] = value if value in options else options[0]
    return found


def default_params(recipe: str) -> dict[str, Any]:
    """The recipe's own DEFAULTS."""
    import ast

    found: dict[str, Any] = {}
    for node in ast.parse(recipes.load(installed_only=False)[recipe].source).body:
        if isinstance(node, (ast.Assign, ast.AugAssign)):
            name = ast.unparse(node.target if isinstance(node, ast.AugAssign) else node.targets[0])
            found |= ast.literal_eval(node.value) if name == "DEFAULTS" else {}
    return found


def random_params(recipe: str, rng: random.Random) -> dict[str, Any]:
    return {name: rng.choice(options) for name, options in recipes.load(installed_only=False)[recipe].grid.items()}


def measure_case(
    bench: Bench, case: Case, *, configurations: int = 5, feature_sets: int = 4, own_of_a_model: int = 2
) -> None:
    """Everything that the rows of a case need. Cached, so a second call is cheap."""
    rng = random.Random(case.name)
    firsts: dict[str, Measurement] = {}
    for entry in plan(case):
        if entry.recipe not in firsts:
            firsts[entry.recipe] = bench.measure(case, "first", entry.recipe, entry.params)
    treatments = case.default_treatments()
    proposed = ideas.propose(case.profile, treatments, MAX_IDEAS)
    true = [i for i in proposed if case.truth and i.key in case.truth.ideas]
    some = [[i for i in proposed if rng.random() < 0.6] for _ in range(feature_sets)]
    for chosen in ([], proposed, true, *some) if proposed else ():
        bench.measure(case, "features", PROBE_RECIPE, PROBE_PARAMS, treatments, chosen)
    if case.true_treatments() != treatments:
        bench.measure(case, "treatments", PROBE_RECIPE, PROBE_PARAMS, case.true_treatments())
        bench.measure(case, "features", PROBE_RECIPE, PROBE_PARAMS, treatments)
    ranked = [n for n in sorted(firsts, key=lambda n: firsts[n].error) if recipes.load()[n].grid]
    for name in [*ranked[:3], *rng.sample(ranked[3:], min(1, len(ranked[3:])))]:
        bench.measure(case, "params", name, nearest_on_grid(name, default_params(name)))
        for _ in range(configurations):
            bench.measure(case, "params", name, random_params(name, rng))
    options = blocks.options(case.profile)
    for model in options["model"] * own_of_a_model:
        bench.measure(case, "own", OWN, {place: rng.choice(o) for place, o in options.items()} | {"model": model})


class Measured:
    """All that was measured on one case: what helped, boards that could have been, and what would help them most."""

    def __init__(self, bench: Bench, case: Case, without: Collection[str] = ()) -> None:
        """without: recipes that the machine is taken not to have."""
        self.case, self.bench = case, bench
        planned = dict.fromkeys(e.recipe for e in plan(case, without=without))
        usable = {*planned, PROBE_RECIPE, OWN}
        mine = [m for m in bench.by_case.get(case.name, []) if np.isfinite(m.error) and m.recipe in usable]
        of = {
            about: [m for m in mine if m.about == about]
            for about in ("first", "params", "features", "treatments", "own")
        }
        self.firsts = {m.recipe: m for m in of["first"]}
        self.order = [n for n in planned if n in self.firsts]
        self.features = {m.features: m.error for m in of["features"]}
        self.treatments = of["treatments"][0].error if of["treatments"] else None
        self.own = of["own"]
        self.params: dict[str, list[Measurement]] = {}
        for m in of["params"]:
            self.params.setdefault(m.recipe, []).append(m)
        self._predictions: dict[str, np.ndarray] = {}

    def right_treatments(self) -> dict[str, str]:
        """The truth's, where it won against the rules'."""
        by_rule = self.features.get(())
        won = self.treatments is not None and by_rule is not None and self.treatments < by_rule * (1 - WORTH)
        return self.case.true_treatments() if won else self.case.default_treatments()

    def blend_error(self, members: Sequence[Measurement]) -> float:
        """The least error of an even blend of the best one to four of them."""
        ranked = _best_four(members)
        best, total = ranked[0].error, 0.0
        for i, m in enumerate(ranked):
            total = total + self._predicted(m)
            best = min(best, self.case.error(total / (i + 1))) if i else best
        return best

    def worth_of_own(self, own: Measurement) -> float:
        """Relative fall of the recipes' blended error, where this one has the share that suits it best."""
        ranked = _best_four(self.firsts.values())
        blend = sum(map(self._predicted, ranked)) / len(ranked)
        more = self._predicted(own)
        errors = [self.case.error((1 - share) * blend + share * more) for share in (0.0, *OWN_SHARES)]
        return float(np.log(errors[0] / min(errors)))

    def _predicted(self, m: Measurement) -> np.ndarray:
        if m.key not in self._predictions:
            self._predictions[m.key] = self.bench.predictions(m)
        return self._predictions[m.key]

    def gain(self, members: Sequence[Measurement], more: Measurement) -> float:
        """Relative fall of the blend's error by one more member."""
        return float(np.log(self.blend_error(members) / self.blend_error([*members, more])))

    def board(self, tried: Sequence[str], limit_s: float, scale: float) -> list[tuple[str, str, str, str]]:
        """The board after `tried`, in that order, were seconds `scale` times what they were."""
        order = sorted(tried, key=lambda n: self.firsts[n].error)
        floor = self.bench.measure(self.case, "floor", "baseline")
        start = floor.error - (1.0 if METRICS[self.case.metric].higher_is_better else 0.0)
        return [
            (
                n, compact.rank_bucket(order.index(n) + 1, len(tried)),
                compact.gain_bucket((floor.error - self.firsts[n].error) / max(abs(start), 1e-9)),
                compact.seconds_bucket(self.firsts[n].seconds * FOLDS_LIVE * scale, limit_s),
            )
            for n in tried
        ]  # fmt: skip

    def best_next(self, tried: Sequence[str]) -> str:
        """Of the portfolio's next recipes the one that helps the blend most for its time; stop where none would."""
        left = [n for n in self.order if n not in tried]
        members = [self.firsts[n] for n in tried]
        if not members:
            return min(left[:OFFERED], key=lambda n: (self.firsts[n].error, self.firsts[n].seconds))
        gains = {n: self.gain(members, self.firsts[n]) for n in left}
        if len(tried) >= LEAST_RECIPES and max(gains.values()) < WORTH / 8:
            return "stop"
        worth = {n: gains[n] / self.firsts[n].seconds ** 0.5 for n in left[:OFFERED]}
        best = max(worth, key=lambda n: worth[n])
        return best if gains[best] > max(gains[left[0]], 0.0) + WORTH else left[0]


def _best_four(members: Iterable[Measurement]) -> list[Measurement]:
    return sorted(members, key=lambda m: m.error)[:4]


def recipe_rows(measured: Measured, rng: random.Random, boards: int = 10) -> Iterator[Row]:
    """next_recipe as the loop asks it: the portfolio's next few, and what was passed over once comes unasked."""
    if len(measured.order) < LEAST_RECIPES:
        return
    for _ in range(boards):
        limit_s, scale = rng.choice(TIME_LIMITS_S), 2 ** rng.uniform(-2, 3)
        tried = [PROBE_RECIPE] if rng.random() < 0.8 and PROBE_RECIPE in measured.order else []  # by the probes
        passed: set[str] = set()
        for _ in range(rng.randint(0, len(measured.order) - 1)):
            left = [n for n in measured.order if n not in tried]
            if len(left) < 2:
                break
            if left[0] not in passed:
                choice = rng.choice(left[:OFFERED]) if rng.random() < 0.3 else measured.best_next(tried)
                choice = left[0] if choice == "stop" else choice
                passed |= set(left[: left.index(choice)])
            else:
                choice = left[0]
            tried.append(choice)
        left = [n for n in measured.order if n not in tried]
        if left:
            template = compact.next_recipe(measured.board(tried, limit_s, scale), left[:OFFERED])
            choice = measured.best_next(tried)
            yield row(measured.case, "next_recipe", "reasoner", "measured", template, {"next": choice}, limit_s)


def idea_rows(measured: Measured, rng: random.Random) -> Iterator[Row]:
    """The set of features that won; all of them where no other set is clearly better."""
    case = measured.case
    proposed = ideas.propose(case.profile, case.default_treatments(), MAX_IDEAS)
    everything = tuple(i.key for i in proposed)
    if not proposed or everything not in measured.features:
        return
    best = min(measured.features, key=lambda k: measured.features[k])
    if measured.features[best] > measured.features[everything] * (1 - WORTH):
        best = everything
    choices = {f"f{i}": "yes" if idea.key in best else "no" for i, idea in enumerate(proposed)}
    template = compact.features(proposed)
    yield row(case, "features", "coder", "measured", template, choices, rng.choice(TIME_LIMITS_S), _larger(case, rng))


def param_rows(measured: Measured, rng: random.Random, most: int = 3) -> Iterator[Row]:
    """The hyper-parameters of a recipe that won, and the runners-up that are as good."""
    for recipe, tried in measured.params.items():
        grid = recipes.load(installed_only=False)[recipe].grid
        if len(tried) < 4:
            continue
        ranked = sorted(tried, key=lambda m: m.error)
        for m in [m for m in ranked[:most] if m.error <= ranked[0].error * (1 + WORTH)]:
            limit_s = rng.choice(TIME_LIMITS_S)
            others = [n for n in measured.order if n == recipe or rng.random() < 0.7]
            board = measured.board(others, limit_s, 2 ** rng.uniform(-2, 3))
            template = compact.params(recipe, grid, board)
            choices = {name: str(m.params[name]) for name in grid}
            yield row(measured.case, "params", "coder", "measured", template, choices, limit_s)


def tune_rows(measured: Measured, rng: random.Random, boards: int = 2) -> Iterator[Row]:
    """Which recipe to tune: the one whose best hyper-parameters helped the blend of all recipes most."""
    offered = sorted(measured.params, key=lambda n: measured.firsts[n].error)
    if len(offered) < 2:
        return
    members = list(measured.firsts.values())
    gains = {n: measured.gain(members, min(measured.params[n], key=lambda m: m.error)) for n in offered}
    choice = max(gains, key=lambda n: gains[n])
    if gains[choice] < WORTH:
        choice = offered[0]
    for _ in range(boards):
        limit_s = rng.choice(TIME_LIMITS_S)
        tried = [n for n in measured.order if n in offered or rng.random() < 0.7]
        template = compact.next_tune(measured.board(tried, limit_s, 2 ** rng.uniform(-2, 3)), offered)
        yield row(measured.case, "next_tune", "reasoner", "measured", template, {"next": choice}, limit_s)


def own_rows(measured: Measured, rng: random.Random, boards: int = 4) -> Iterator[Row]:
    """The blocks that added most to the recipes; and which ones to write where a module of another model failed."""
    case = measured.case
    options = blocks.options(case.profile)
    if len({m.params["model"] for m in measured.own}) < 2:
        return
    worth = {m.key: measured.worth_of_own(m) for m in measured.own}
    for i in range(boards):
        limit_s = rng.choice(TIME_LIMITS_S)
        tried = [n for n in measured.order if rng.random() < 0.8]
        board = measured.board(tried, limit_s, 2 ** rng.uniform(-2, 3))
        failed = rng.choice(measured.own).params if i % 2 else {}
        left = [m for m in measured.own if m.params["model"] != failed.get("model")]
        offered = {**options, "model": [m for m in options["model"] if m != failed.get("model")]}
        template = compact.own(board, offered, failed, rng.choice(compact.FAILURES))
        best = max(left, key=lambda m: worth[m.key])
        yield row(case, "repair" if failed else "solution", "coder", "measured", template, best.params, limit_s)
