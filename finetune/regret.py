"""What a model's decisions cost or gain on measured tables of families that no model was trained on.

Each decision is asked as the loop asks it, what was chosen is measured by the same bench that made the labels, and the
error that the run would have come to is compared with that of the recipes alone. Ratios below 1 are gains.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from automlgpt_local import recipes
from automlgpt_local.agents import blocks, compact, ideas
from automlgpt_local.agents.loop import LEAST_RECIPES, OFFERED
from automlgpt_local.agents.process import MAX_IDEAS, PROBE_PARAMS, PROBE_RECIPE
from automlgpt_local.llm.backend import Backend, Template
from automlgpt_local.llm.random import RandomBackend
from finetune.cases import Case
from finetune.measure import OWN, Bench, Measurement
from finetune.teachers import Measured

DECISIONS = ("treatments", "features", "recipes", "params", "own")
LIMIT_S = 120.0
TUNED = 3  # of the best recipes, whose hyper-parameters are asked for


def compare(bench: Bench, cases: Iterable[Case], models: Mapping[str, Backend]) -> dict[str, dict[str, Any]]:
    """name -> decision -> [mean ratio to the recipes alone, lower and upper end of its 95 % interval].

    "best measured" is what the best of the bench's own search would have come to; "refused" counts probes for nothing.
    Hyper-parameters are not the recipes' business: there the comparison is with values drawn from the same grids.
    """
    logs: dict[str, dict[str, list[float]]] = {}
    refused: dict[str, list[int]] = {}
    chance = RandomBackend(1)
    for case in cases:
        measured = Measured(bench, case)
        if not measured.params or () not in measured.features:
            continue
        control = _errors(bench, measured, None, chance)[0]
        for name, model in {**models, "random": RandomBackend(2)}.items():
            found, wasted = _errors(bench, measured, model, model)
            refused.setdefault(name, []).append(wasted)
            for decision, error in found.items():
                logs.setdefault(name, {}).setdefault(decision, []).append(math.log(error / control[decision]))
        for decision, error in _best(measured).items():
            logs.setdefault("best measured", {}).setdefault(decision, []).append(math.log(error / control[decision]))
    table: dict[str, dict[str, Any]] = {
        name: {decision: interval(values) for decision, values in by_decision.items()}
        for name, by_decision in logs.items()
    }
    for name, counts in refused.items():
        table[name] |= {"refused": sum(counts), "tables": len(counts)}
    return table


def interval(logs: Sequence[float]) -> list[float]:
    """Geometric mean of the ratios, and its 95 % interval."""
    mean = sum(logs) / len(logs)
    spread = 1.96 * (sum((v - mean) ** 2 for v in logs) / max(1, len(logs) - 1) / len(logs)) ** 0.5
    return [round(math.exp(v), 4) for v in (mean, mean - spread, mean + spread)]


def page(table: Mapping[str, Mapping[str, Any]], hashes: Mapping[str, str]) -> str:
    """The comparison as Markdown."""
    lines = ["# Error relative to the recipes alone", "", "Below 1 is better; in brackets the 95 % interval.", ""]
    lines += [f"| model | {' | '.join(DECISIONS)} | probes refused |", "|---" * (len(DECISIONS) + 2) + "|"]
    for name, row in table.items():
        cells = [f"{row[d][0]:.4f} ({row[d][1]:.4f} to {row[d][2]:.4f})" if d in row else "" for d in DECISIONS]
        lines.append(f"| {name} | {' | '.join(cells)} | {row.get('refused', '')} |")
    lines += ["", *(f"- {name}: sha256 {value}" for name, value in hashes.items())]
    return "\n".join(lines) + "\n"


def _errors(bench: Bench, measured: Measured, model: Backend | None, tuner: Backend) -> tuple[dict[str, float], int]:
    """The error after each kind of decision, by the model (None: the recipes), and the probes that gained nothing."""
    treatments, one = _treatments(bench, measured, model)
    features, two = _features(bench, measured, model)
    found = {
        "treatments": treatments, "features": features,
        "recipes": _recipes(measured, model), "params": _params(bench, measured, tuner),
        "own": _own(bench, measured, model),
    }  # fmt: skip
    return found, one + two


def _ask(model: Backend, agent: str, case: Case, template: Template) -> dict[str, str]:
    return dict(model.fill(agent, [compact.opening(agent, case.task(LIMIT_S), case.profile)], template).values)


def _treatments(bench: Bench, measured: Measured, model: Backend | None) -> tuple[float, int]:
    case, by_rule = measured.case, measured.features[()]
    if model is None:
        return by_rule, 0
    columns = list(case.profile.columns)
    chosen: dict[str, str] = {}
    for first in range(0, len(columns), compact.BATCH):
        batch = columns[first : first + compact.BATCH]
        values = _ask(model, "reasoner", case, compact.treat(batch, first, case.profile.rows))
        chosen |= {c.name: values[f"c{i}"] for i, c in enumerate(batch)}
    if chosen == case.default_treatments():
        return by_rule, 0
    error = bench.measure(case, "asked", PROBE_RECIPE, PROBE_PARAMS, chosen).error
    return min(error, by_rule), int(error >= by_rule)


def _features(bench: Bench, measured: Measured, model: Backend | None) -> tuple[float, int]:
    """As in the loop: what was chosen, if it gains; else all that were proposed, if they gain."""
    case, none = measured.case, measured.features[()]
    treatments = case.default_treatments()
    proposed = ideas.propose(case.profile, treatments, MAX_IDEAS)
    everything = measured.features.get(tuple(i.key for i in proposed), none)
    if model is None or not proposed:
        return min(none, everything), 0
    values = _ask(model, "coder", case, compact.features(proposed))
    chosen = [idea for i, idea in enumerate(proposed) if values[f"f{i}"] == "yes"]
    error = bench.measure(case, "asked", PROBE_RECIPE, PROBE_PARAMS, treatments, chosen).error if chosen else none
    return (error, 0) if error < none else (min(none, everything), int(bool(chosen) and len(chosen) < len(proposed)))


def _recipes(measured: Measured, model: Backend | None) -> float:
    """Mean error of the blend over the time that all recipes take, each weighed by how long it stands."""
    case, total = measured.case, sum(m.seconds for m in measured.firsts.values())
    tried, passed = [PROBE_RECIPE] if PROBE_RECIPE in measured.order else measured.order[:1], set[str]()
    used, logs = sum(measured.firsts[n].seconds for n in tried), 0.0
    while left := [n for n in measured.order if n not in tried]:
        choice = left[0]
        if model is not None and choice not in passed:
            board = measured.board(tried, LIMIT_S, 1.0)
            choice = _ask(model, "reasoner", case, compact.next_recipe(board, left[:OFFERED]))["next"]
            if choice == "stop" and len(tried) >= LEAST_RECIPES:
                break
            choice = left[0] if choice == "stop" else choice
            passed |= set(left[: left.index(choice)])
        seconds = measured.firsts[choice].seconds
        logs += seconds * math.log(measured.blend_error([measured.firsts[n] for n in tried]))
        used += seconds
        tried.append(choice)
    last = math.log(measured.blend_error([measured.firsts[n] for n in tried]))
    return math.exp((logs + last * (total - used) + last * total) / (2 * total))


def _params(bench: Bench, measured: Measured, model: Backend) -> float:
    """Geometric mean of the errors of the best recipes after one more try of each."""
    case, known = measured.case, recipes.load(installed_only=False)
    board = measured.board(measured.order, LIMIT_S, 1.0)
    errors = []
    for first in _tuned(measured):
        grid = known[first.recipe].grid
        values = _ask(model, "coder", case, compact.params(first.recipe, grid, board))
        params = {name: next(v for v in options if str(v) == values[name]) for name, options in grid.items()}
        errors.append(min(first.error, bench.measure(case, "asked", first.recipe, params).error))
    return _mean(errors)


def _own(bench: Bench, measured: Measured, model: Backend | None) -> float:
    """Error of the recipes' blend with the Coder's own solution in it, relative to the blend alone."""
    if model is None:
        return 1.0
    case = measured.case
    template = compact.own(measured.board(measured.order, LIMIT_S, 1.0), blocks.options(case.profile), {})
    choices = _ask(model, "coder", case, template)
    found = bench.measure(case, "asked", OWN, choices)
    return math.exp(-measured.worth_of_own(found)) if math.isfinite(found.error) else 1.0


def _tuned(measured: Measured) -> list[Measurement]:
    """The best first tries; those are the recipes whose hyper-parameters were measured."""
    return sorted((measured.firsts[n] for n in measured.params), key=lambda m: m.error)[:TUNED]


def _mean(errors: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, errors)) / len(errors))


def _best(measured: Measured) -> dict[str, float]:
    by_rule = measured.features[()]
    tuned = [min([m.error, *(p.error for p in measured.params[m.recipe])]) for m in _tuned(measured)]
    return {
        "treatments": min(by_rule, measured.treatments or by_rule), "features": min(measured.features.values()),
        "params": _mean(tuned), "own": math.exp(-max(map(measured.worth_of_own, measured.own), default=0.0)),
    }  # fmt: skip
