"""Each attack runs with all layers, with and without user namespaces, and once without the layer that stops it."""

from __future__ import annotations

import time

import pytest

from automlgpt_local.sandbox.jobs import Limits
from tests.security.attacks import ATTACKS, Attack
from tests.security.world import World


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_attack_has_no_effect(sandbox, world: World, attack: Attack):
    started = time.monotonic()
    outcome = sandbox.attack(world, attack.code, Limits(wall_s=attack.wall_s))

    assert time.monotonic() - started < attack.wall_s + 1
    # the attack was made and ended by itself or by the filter: a typing error in it would prove nothing
    assert outcome.status == "ok" or (outcome.status == "killed" and "SIGSYS" in outcome.error), outcome
    assert not attack.succeeded(world, outcome), outcome
    assert not world.table_changed() and not world.metadata_changed() and world.victim_alive()


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_control_succeeds_without_the_layer(weakened, world: World, attack: Attack):
    outcome = weakened.attack(world, attack.code, Limits(wall_s=attack.wall_s), without=attack.without)

    assert attack.succeeded(world, outcome), outcome
