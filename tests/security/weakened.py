"""The real sandbox with a way to leave layers out, for the controls."""

from __future__ import annotations

import json
import textwrap
import threading

from automlgpt_local.sandbox.jobs import Job, Limits, Outcome
from automlgpt_local.sandbox.runner import Sandbox
from tests.security.attacks import PRELUDE
from tests.security.world import World


class WeakenedSandbox(Sandbox):
    """The real sandbox, or one with chosen layers left out: of the broker (`always`), of one job (`without`)."""

    always: frozenset[str] = frozenset()
    one_job = threading.local()

    def left_out(self) -> frozenset[str]:
        return self.always | getattr(self.one_job, "without", frozenset())

    def attack(
        self, world: World, code: str, limits: Limits, without: frozenset[str] = frozenset(), **kwargs
    ) -> Outcome:
        """Run hostile code with all that it could wish to know in W; it may read its own folder's files alone."""
        solution = world.work.parent / "solution.py"
        facts = json.dumps(world.facts_for_the_attacker())
        safe_path = "sys.path.insert(0, os.getcwd())\n" if "path" in without else ""
        body = textwrap.indent(textwrap.dedent(code), "    ")
        solution.write_text(f"{PRELUDE}\nW = {facts}\n{safe_path}\ndef space(trial):\n{body}\n")
        spec = {"solution": str(solution), "module": "solution"}
        return self.free(Job("space", spec, world.work, (solution, world.table), limits), without, **kwargs)

    def free(self, job: Job, without: frozenset[str] = frozenset(), **kwargs) -> Outcome:
        self.one_job.without = without
        try:
            return self.run(job, **kwargs)
        finally:
            self.one_job.without = frozenset()
