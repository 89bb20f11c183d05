"""What a decision should have been: from the generator's truth, and from measured cross-validations of the recipes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from automlgpt_local import recipes
from automlgpt_local.agents import compact, ideas
from automlgpt_local.llm.backend import Template
from finetune.cases import Case
from finetune.measure import Bench, Measurement
from finetune.rows import Row, filled

TIME_LIMITS_S = (20, 60, 120, 120, 300, 600, 1800)
IDEA_GAIN = 0.002  # relative gain in loss from which an idea counts as found by measuring


def row(case: Case, decision: str, agent: str, teacher: str, template: Template, choices: Mapping[str, str],
        limit_s: float, n_rows: int | None = None, **outcome: Any) -> Row:  # fmt: skip
    """n_rows: what the opening says where a table stands in for a larger one."""
    profile = replace(case.profile, rows=n_rows) if n_rows else case.profile
    opening = compact.opening(agent, case.task(limit_s), profile)
    parts = filled(template, choices)
    return Row(decision, case.name, case.family, case.held_out, teacher, (opening,), parts, outcome)


# --- from the truth ------------------------------------------------------------------------------------------------


def treatment_rows(case: Case, rng: random.Random) -> Iterator[Row]:
    """The table's columns in their order, and once more a random part of them with less known."""
    right = case.true_treatments()
    columns = list(case.profile.columns)
    for first in range(0, len(columns), compact.BATCH):
        yield _treatment_row(case, columns[first : first + compact.BATCH], first, case.profile.rows, right, rng)
    some = rng.sample(columns, rng.randint(1, min(len(columns), compact.BATCH)))
    yield _treatment_row(case, some, rng.choice([0, 32]), rng.choice([None, case.profile.rows]), right, rng)


def _treatment_row(
    case: Case, columns: Sequence[Any], first: int, n_rows: int | None, right: Mapping[str, str], rng: random.Random
) -> Row:
    choices = {f"c{i}": right[c.name] for i, c in enumerate(columns)}
    template = compact.treat(columns, first, n_rows)
    larger = case.profile.rows * rng.choice([1, 1, 1, 10, 60])
    return row(case, "treat", "reasoner", "truth", template, choices, rng.choice(TIME_LIMITS_S), larger)


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


def idea_rows(case: Case, rng: random.Random, gains: Mapping[str, float] | None = None) -> Iterator[Row]:
    """yes for what the truth holds, or what gained when it was measured. gains: idea key -> relative gain."""
    if case.truth is None and gains is None:
        return
    proposed = ideas.propose(case.profile, case.true_treatments() if rng.random() < 0.5 else case.default_treatments())
    if gains is not None:
        proposed = [idea for idea in proposed if idea.key in gains]
    if not proposed:
        return
    true = case.truth.ideas if case.truth else set()
    choices = {}
    for i, idea in enumerate(proposed):
        gained = gains is not None and gains[idea.key] >= IDEA_GAIN
        choices[f"f{i}"] = "yes" if idea.key in true or gained else "no"
    teacher = "truth" if gains is None else "measured"
    larger = case.profile.rows * rng.choice([1, 1, 1, 10, 60])
    yield row(
        case, "features", "coder", teacher, compact.features(proposed), choices, rng.choice(TIME_LIMITS_S), larger
    )


# --- from measurements ---------------------------------------------------------------------------------------------


def candidates(case: Case) -> list[str]:
    return [r.name for r in recipes.load().values() if case.kind in r.kinds and r.name in compact.RECIPES]


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


def measure_case(bench: Bench, case: Case, seed: int, configurations: int = 4) -> None:
    """Everything that the rows of a case need. Cached, so a second call is cheap."""
    rng = random.Random(f"{case.name}-{seed}")
    names = candidates(case)
    for name in names:
        bench.measure(case, name)
    cheap = sorted(names, key=lambda n: bench.measure(case, n).seconds)[:7]
    for name in [*rng.sample(cheap, min(2, len(cheap))), *([rng.choice(names)] if rng.random() < 0.3 else [])]:
        bench.measure(case, name, nearest_on_grid(name, default_params(name)))
        for _ in range(configurations):
            bench.measure(case, name, random_params(name, rng))
    if rng.random() < 0.35:
        treatments = case.default_treatments()
        bench.measure(case, "lightgbm", None, treatments)
        for idea in ideas.propose(case.profile, treatments):
            bench.measure(case, "lightgbm", None, treatments, [idea])


def measured_gains(bench: Bench, case: Case) -> dict[str, float] | None:
    """Idea key -> relative gain of LightGBM's loss; 0 where not every fold gained. None when nothing was measured."""
    mine = [m for m in bench.known.values() if m.case == case.name and m.recipe == "lightgbm" and not m.params]
    plain = next((m for m in mine if not m.features), None)
    with_one = [m for m in mine if len(m.features) == 1]
    if plain is None or not with_one or not np.isfinite(plain.loss):
        return None
    gains = {}
    for m in with_one:
        better = [a < b for a, b in zip(m.fold_losses, plain.fold_losses, strict=True)]
        gains[m.features[0]] = (plain.loss - m.loss) / max(1e-9, abs(plain.loss)) if all(better) else 0.0
    return gains


class Portfolio:
    """The measured defaults of all recipes on one case: boards that could have been, and what would help them most."""

    def __init__(self, bench: Bench, case: Case) -> None:
        self.case = case
        mine = [m for m in bench.known.values() if m.case == case.name and not m.features and np.isfinite(m.loss)]
        self.defaults: dict[str, Measurement] = {m.recipe: m for m in mine if not m.params}
        self.configured: dict[str, list[Measurement]] = {}
        for m in mine:
            if m.params:
                self.configured.setdefault(m.recipe, []).append(m)
        self.oof = {name: bench.oof(m) for name, m in self.defaults.items()}

    def blend_loss(self, names: Sequence[str]) -> float:
        """The best loss of an even blend of the best one to four of `names`."""
        ranked = sorted(names, key=lambda n: self.defaults[n].loss)[:4]
        best, total = self.defaults[ranked[0]].loss, 0.0
        for i, name in enumerate(ranked):
            total = total + self.oof[name]
            if i:
                best = min(best, self.case.loss(total / (i + 1)))
        return best

    def board(self, tried: Sequence[str], limit_s: float, scale: float) -> list[tuple[str, str, str, str]]:
        """The board after `tried`, in that order, were seconds `scale` times what they were."""
        losses = {n: self.defaults[n].loss for n in tried}
        order = sorted(tried, key=lambda n: losses[n])
        first = losses[tried[0]] if tried else 0.0
        return [
            (
                n, compact.rank_bucket(order.index(n) + 1, len(tried)),
                compact.gain_bucket((first - losses[n]) / max(abs(first), 1e-9)),
                compact.seconds_bucket(self.defaults[n].seconds * 5 * scale, limit_s),
            )
            for n in tried
        ]  # fmt: skip

    def best_next(self, tried: Sequence[str], tight: float) -> tuple[str, float]:
        """(recipe or stop, relative gain of the blend). tight: seconds of all recipes over the limit."""
        left = [n for n in self.defaults if n not in tried]
        now = self.blend_loss(tried) if tried else max(m.loss for m in self.defaults.values())
        scale = max(abs(now), 1e-9)
        gains = {n: (now - self.blend_loss([*tried, n])) / scale for n in left}
        power = 0.5 if tight > 1 else 0.15
        worth = {n: max(g, 0.0) / max(0.01, self.defaults[n].seconds) ** power for n, g in gains.items()}
        best = max(worth, key=lambda n: (worth[n], -self.defaults[n].loss))
        # With time to spare a recipe that adds nothing costs nothing, so few are left untried.
        if len(tried) >= (5 if tight > 1 else 8) and max(gains.values()) < 0.0003:
            return "stop", 0.0
        return best, gains[best]


def recipe_rows(portfolio: Portfolio, rng: random.Random, boards: int = 8) -> Iterator[Row]:
    """next_recipe on boards that the teacher, or chance, would have come to."""
    case, known = portfolio.case, list(portfolio.defaults)
    if len(known) < 5:
        return
    for _ in range(boards):
        limit_s, tight = rng.choice(TIME_LIMITS_S), 2 ** rng.uniform(-2.5, 2)
        total = sum(portfolio.defaults[n].seconds * 5 for n in known)
        scale = tight * limit_s / total
        tried: list[str] = rng.sample(known, rng.randint(0, 2))
        if rng.random() < 0.6 and "lightgbm" in known and "lightgbm" not in tried:
            tried.insert(0, "lightgbm")
        steps = rng.randint(0, len(known) - len(tried) - 1)
        for _ in range(steps):
            choice, _ = portfolio.best_next(tried, tight)
            left = [n for n in known if n not in tried]
            tried.append(rng.choice(left) if choice == "stop" or rng.random() < 0.25 else choice)
        remaining = [n for n in known if n not in tried]
        if not remaining:
            continue
        choice, gain = portfolio.best_next(tried, tight)
        if rng.random() < 0.3 and len(remaining) > 2:  # recipes that are not installed, or do not fit any more
            kept = set(rng.sample(remaining, len(remaining) - 1)) | {choice}
            remaining = [n for n in remaining if n in kept]
        rng.shuffle(remaining)
        template = compact.next_recipe(portfolio.board(tried, limit_s, scale), remaining)
        yield row(case, "next_recipe", "reasoner", "measured", template, {"next": choice}, limit_s, gain=round(gain, 5))


def param_rows(portfolio: Portfolio, rng: random.Random) -> Iterator[Row]:
    """The best measured hyper-parameters of a recipe, and the runners-up that are no worse than noise."""
    case = portfolio.case
    for recipe, tried in portfolio.configured.items():
        grid = recipes.load(installed_only=False)[recipe].grid
        on_grid = [m for m in tried if all(m.params.get(k) in v for k, v in grid.items())]
        if len(on_grid) < 4:
            continue
        ranked = sorted(on_grid, key=lambda m: m.loss)
        best = ranked[0]
        noise = float(np.nanstd(best.fold_losses)) / np.sqrt(len(best.fold_losses))
        good = [m for m in ranked[:3] if m.loss <= best.loss + 0.25 * noise]
        for m in good:
            limit_s = rng.choice(TIME_LIMITS_S)
            others = [n for n in portfolio.defaults if rng.random() < 0.4]
            board = portfolio.board(rng.sample(others, len(others)), limit_s, 1.0)
            choices = {name: str(m.params[name]) for name in grid}
            template = compact.params(recipe, grid, board)
            yield row(case, "params", "coder", "measured", template, choices, limit_s, loss=m.loss)


def tune_rows(portfolio: Portfolio, rng: random.Random, boards: int = 2) -> Iterator[Row]:
    """Which recipe to tune: one of the three with the best measured loss, the best most often."""
    known = list(portfolio.defaults)
    if len(known) < 5:
        return
    for _ in range(boards):
        tried = rng.sample(known, rng.randint(3, len(known)))
        best = {n: min([portfolio.defaults[n].loss, *(m.loss for m in portfolio.configured.get(n, []))]) for n in tried}
        ranked = sorted(tried, key=lambda n: best[n])
        choice = rng.choices(ranked[:3], [0.6, 0.25, 0.15])[0]
        limit_s = rng.choice(TIME_LIMITS_S)
        offered = sorted(tried, key=lambda n: portfolio.defaults[n].loss)
        template = compact.next_tune(portfolio.board(tried, limit_s, 2 ** rng.uniform(-1, 3)), offered)
        yield row(portfolio.case, "next_tune", "reasoner", "measured", template, {"next": choice}, limit_s)
