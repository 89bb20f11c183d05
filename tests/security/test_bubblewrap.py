"""Where Landlock is missing: bubblewrap in its place, or a refusal. Never a silent downgrade."""

from __future__ import annotations

import pytest

from automlgpt_local import confine
from automlgpt_local.confine import bubblewrap, landlock
from automlgpt_local.errors import SandboxError
from automlgpt_local.sandbox.jobs import Limits
from tests.security.attacks import ATTACKS
from tests.security.weakened import WeakenedSandbox
from tests.security.world import World

TRIED = ("key", "write_tmp", "overwrite_input", "proc_self_root", "tcp_connect", "signal_supervisor", "exec_shell")
# Folders that the mount namespace brings along, and the memory of the processes around the job.
REACH = """
reached = []
for folder in ("/", "/tmp", "/run", "/dev", "/dev/shm", "/etc", "/root", os.path.dirname(W["work"])):
    if attempt(lambda: write(f"{folder}/mine")) is None:
        reached.append(folder)
for pid in range(1, os.getpid()):
    if not isinstance(attempt(lambda: open(f"/proc/{pid}/mem", "r+b").close()), str):
        reached.append(pid)
"""


@pytest.fixture
def no_landlock(monkeypatch):
    monkeypatch.setattr(landlock, "abi", lambda: 0)


class JailedSandbox(WeakenedSandbox):
    def left_out(self):
        return super(WeakenedSandbox, self).left_out()


def test_bubblewrap_stands_in_for_landlock_or_nothing_runs(no_landlock, tmp_path):
    """One job makes several attacks, for each start is a cold one."""
    sandbox = JailedSandbox(threads=1, memory_mib=2048)
    if not bubblewrap.available():
        with pytest.raises(SandboxError, match="bubblewrap"):
            sandbox.start()
        return
    world = World(tmp_path)
    chosen = [attack for attack in ATTACKS if attack.name in TRIED]
    bodies = "\n".join(f"def attack{n}():\n{_indented(a.code)}" for n, a in enumerate(chosen))
    called = ", ".join(f"attack{n}" for n in range(len(chosen)))
    code = f"{bodies}\n{REACH}\nreturn {{'all': [attempt(f) for f in ({called},)], 'reached': reached}}"
    with sandbox:
        outcome = sandbox.attack(world, code, Limits(wall_s=10))
        assert outcome.status == "ok", outcome
        assert "bubblewrap" in sandbox.layers["landlock"] and sandbox.layers["seccomp"].startswith("enforced")
    assert len(outcome.result["params"]["all"]) == len(TRIED)
    assert outcome.result["params"]["reached"] == []
    for attack in chosen:
        assert not attack.succeeded(world, outcome), (attack.name, outcome)
    world.close()


def test_without_either_the_missing_layer_is_named(no_landlock, monkeypatch):
    monkeypatch.setattr(bubblewrap, "available", lambda: False)
    assert "bubblewrap" in confine.missing()[0]
    assert next(row for row in confine.report() if row["layer"] == "landlock")["state"] == "missing"


def _indented(code: str) -> str:
    from textwrap import dedent, indent

    return indent(dedent(code).strip("\n"), "    ")
