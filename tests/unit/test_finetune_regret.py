"""Labels and regret from real, small measurements: what won is the label, and a policy is charged for what it chose."""

import random
import time

import numpy as np
import pytest

from automlgpt_local import recipes
from automlgpt_local.llm.backend import Choice
from automlgpt_local.llm.scripted import filled as answer
from finetune import measure, regret, teachers
from finetune.cases import from_table
from finetune.measure import Bench
from finetune.tables import generate


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("bench"), seconds=30)
    case = from_table(generate("pairs", 4, n_rows=500), fresh=350)
    teachers.measure_case(bench, case, configurations=3, feature_sets=2)
    return teachers.Measured(bench, case)


class Tuner:
    """Takes every feature, and of each recipe's measured hyper-parameters those that `pick` picks by their error."""

    def __init__(self, measured, pick):
        self.measured, self.pick = measured, pick

    def fill(self, agent, transcript, template, **_):
        values = {s.name: s.options[0] for s in template if isinstance(s, Choice)}
        first = template[0].split()
        if first[0] == "params" and first[1] in self.measured.params:
            values = self.pick(self.measured.params[first[1]], key=lambda m: m.error).params
        return answer(template, {k: str(v) for k, v in values.items()}, {})


def test_a_second_bench_knows_everything_and_fits_nothing(measured, monkeypatch):
    again = Bench(measured.bench.folder, seconds=30)
    assert again.known == measured.bench.known
    monkeypatch.setattr(again, "_predict", lambda *_: pytest.fail("fitted again"))
    teachers.measure_case(again, measured.case, configurations=3, feature_sets=2)


def test_labels_are_what_won(measured):
    rng = random.Random(0)
    for row in teachers.param_rows(measured, rng):
        recipe = row.parts[0].split()[1]
        best = min(measured.params[recipe], key=lambda m: m.error)
        chosen = {p["name"]: p["choice"] for p in row.parts if not isinstance(p, str)}
        same = [m for m in measured.params[recipe] if {k: str(v) for k, v in m.params.items()} == chosen]
        assert same and min(m.error for m in same) <= best.error * (1 + teachers.WORTH)
    [features] = teachers.idea_rows(measured, rng)
    chosen = {p["name"] for p in features.parts if not isinstance(p, str) and p["choice"] == "yes"}
    sets = {len(k): v for k, v in measured.features.items()}
    best, everything = min(measured.features.values()), measured.features[max(measured.features, key=len)]
    assert sets[len(chosen)] == (best if best < everything * (1 - teachers.WORTH) else everything)


def test_own_solutions_are_what_added_most_and_a_failed_model_is_not_written_again(measured):
    rows = list(teachers.own_rows(measured, random.Random(0), boards=8))
    assert {r.decision for r in rows} == {"solution", "repair"}
    worth = {m.key: measured.worth_of_own(m) for m in measured.own}
    for row in rows:
        slots = {p["name"]: p for p in row.parts if not isinstance(p, str)}
        chosen = {name: slot["choice"] for name, slot in slots.items()}
        offered = [m for m in measured.own if m.params["model"] in slots["model"]["options"]]
        assert worth[next(m.key for m in offered if m.params == chosen)] == max(worth[m.key] for m in offered)
        failed = next((line.split()[1] for line in row.parts[0].splitlines() if line.startswith("failed")), None)
        assert (failed is not None) == (row.decision == "repair") and failed not in slots["model"]["options"]


def test_recipes_are_offered_as_the_loop_offers_them(measured):
    rows = list(teachers.recipe_rows(measured, random.Random(1), boards=20))
    for row in rows:
        [slot] = [p for p in row.parts if not isinstance(p, str)]
        tried = [line.split()[0] for line in row.parts[0].splitlines()[1:-1]]
        left = [n for n in measured.order if n not in tried]
        assert slot["options"] == [*left[:3], "stop"] and slot["choice"] in slot["options"]


def test_a_policy_is_charged_for_what_it_chose(measured):
    found = regret.compare(
        measured.bench, [measured.case], {"best": Tuner(measured, min), "worst": Tuner(measured, max)}
    )
    assert found["best"]["features"][0] == found["worst"]["features"][0] == 1.0
    assert found["best"]["params"][0] < found["worst"]["params"][0]
    assert found["best measured"]["features"][0] <= 1.0
    text = regret.page(found, {"best": "abc"})
    assert "| best |" in text and "sha256 abc" in text and set(found["random"]) >= set(regret.DECISIONS)


def test_interval_holds_the_mean():
    mean, low, high = regret.interval([0.0, 0.1, 0.2])
    assert low < mean < high and mean == pytest.approx(1.1052, abs=1e-4)


def test_waiting_is_no_cost(measured, monkeypatch):
    """What else the machine has to do must not change a label: neither a fit's cost nor how far it comes."""
    solution = measure._solution(recipes.load()["linear"].source, str(measured.bench.folder))
    before = solution.time.monotonic()
    time.sleep(0.3)
    assert solution.time.monotonic() - before < 0.25
    slow = Bench(measured.bench.folder / "slow", seconds=30)
    monkeypatch.setattr(slow, "_predict", lambda *_: time.sleep(0.3) or np.zeros(350))
    assert slow.measure(measured.case, "first", "linear").seconds < 0.25


def test_a_machine_without_the_extra_recipes_is_not_offered_them(measured):
    base = teachers.Measured(measured.bench, measured.case, ("linear", "neural"))
    assert not {"linear", "neural"} & {*base.order, *base.params, *base.firsts} and base.order
    assert {"linear", "neural"} < set(measured.order)
