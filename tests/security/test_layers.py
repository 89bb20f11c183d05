"""A missing or half applied layer means refusal; with all layers a real workload gives the score it gives outside."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from automlgpt_local import confine
from automlgpt_local.confine import bubblewrap, landlock
from automlgpt_local.errors import SandboxError
from automlgpt_local.sandbox.jobs import Job, Limits
from automlgpt_local.sandbox.runner import Sandbox
from tests.security.weakened import WeakenedSandbox
from tests.security.world import World

RAN = "write('ran')\nreturn {}"


@pytest.mark.row(51)
def test_without_landlock_nothing_runs(monkeypatch):
    monkeypatch.setattr(landlock, "abi", lambda: 2)
    monkeypatch.setattr(bubblewrap, "available", lambda: False)
    assert any("Landlock" in problem for problem in confine.missing())
    with pytest.raises(SandboxError, match="Landlock"):
        Sandbox(1, 1024).start()


def _faulty(fault: str) -> WeakenedSandbox:
    """A sandbox in whose broker one function of one layer fails, after the runner's own check was passed."""
    sandbox = WeakenedSandbox(1, 1024)
    start = "from automlgpt_local.sandbox import broker"
    assert start in WeakenedSandbox.boot
    sandbox.boot = WeakenedSandbox.boot.replace(start, f"{LEAN}\n{fault}\n{start}")
    return sandbox


FAULTS = {
    "landlock-gone": "landlock.abi = lambda: 0",
    "landlock-rule": "landlock._allow = lambda *a: (_ for _ in ()).throw(OSError(22, 'injected'))",
    "seccomp": "seccomp.program = lambda pid: bytes(8)",
    "seccomp-absent": "seccomp.install = lambda: (_ for _ in ()).throw(OSError(38, 'injected'))",
    "limits": "limits.set_limits = lambda **k: (_ for _ in ()).throw(ValueError('injected'))",
    "capabilities": "limits.CAPSET = (9999, 9999)",
    "no-new-privileges": "kernel.PR_SET_NO_NEW_PRIVS = 9999",
}
# The code must never start, so these brokers need no libraries.
LEAN = """
import sys, types
from automlgpt_local.confine import kernel, landlock, limits, seccomp
from automlgpt_local.sandbox import preload
preload.load_first, preload.LATER = lambda: None, ()
sys.modules["automlgpt_local.sandbox.harness"] = types.ModuleType("harness")
"""


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.row(51 if n == "landlock-gone" else 52)) for n in FAULTS]
)
def test_a_half_applied_layer_is_refused_before_the_code_runs(world: World, name):
    with _faulty(FAULTS[name]) as sandbox, pytest.raises(SandboxError, match="not run"):
        sandbox.attack(world, RAN, Limits(wall_s=10))
    assert not (world.work / "ran").exists()


@pytest.mark.row(51, 52)
def test_control_the_same_code_runs_with_whole_layers(with_namespaces, world: World):
    with_namespaces.attack(world, RAN, Limits(wall_s=10))
    assert (world.work / "ran").exists()


@pytest.mark.row(52)
def test_a_forged_exit_code_is_not_taken_for_a_failed_set_up(sandbox, world: World):
    outcome = sandbox.attack(world, "os._exit(126)", Limits(wall_s=10))
    assert outcome.status == "error"


WORKLOAD = """
from lightgbm import LGBMClassifier
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

def build(params, ctx):
    encode = ColumnTransformer([("category", OrdinalEncoder(), ctx["columns"]["category"])], remainder="passthrough")
    model = LGBMClassifier(n_estimators=25, n_jobs=ctx["n_threads"], random_state=params["random_state"],
                           subsample=0.7, subsample_freq=1, verbose=-1)
    return make_pipeline(encode, model)
"""


def _workload(tmp_path, threads: int):
    """The job of one fold, its validation labels, and the same training outside: random_state -> probabilities."""
    draw = np.random.default_rng(3)
    rows = 3000
    frame = pd.DataFrame({f"n{i}": draw.normal(size=rows) for i in range(8)})
    frame["kind"] = draw.choice(["a", "b", "c"], rows)
    y = ((frame["n0"] * frame["n1"] + (frame["kind"] == "a") + draw.normal(size=rows)) > 0.4).to_numpy().astype(int)
    frame.to_feather(tmp_path / "features.feather")
    (tmp_path / "solution.py").write_text(WORKLOAD)
    for name in ("fold", "work"):
        (tmp_path / name).mkdir()
    np.save(tmp_path / "fold/train_rows.npy", np.arange(2000))
    np.save(tmp_path / "fold/valid_rows.npy", np.arange(2000, rows))
    np.save(tmp_path / "fold/train_y.npy", y[:2000])
    columns = {"number": [f"n{i}" for i in range(8)], "category": ["kind"], "text": []}
    ctx = {"kind": "binary", "n_classes": 2, "seed": 0, "n_threads": threads, "columns": columns}
    spec = {
        "solution": str(tmp_path / "solution.py"), "module": "solution", "params": {"random_state": 0}, "ctx": ctx,
        "features": str(tmp_path / "features.feather"), "fold": str(tmp_path / "fold"), "holdout": None, "seed": 0,
    }  # fmt: skip
    read = tuple(tmp_path / n for n in ("solution.py", "features.feather", "fold"))

    def outside(random_state: int):
        scope: dict = {}
        exec(WORKLOAD, scope)
        model = scope["build"]({"random_state": random_state}, ctx).fit(frame.iloc[:2000], y[:2000])
        return model.predict_proba(frame.iloc[2000:])[:, 1]

    return Job("fold", spec, tmp_path / "work", read, Limits(wall_s=60, threads=threads)), y[2000:], outside


@pytest.mark.row(53)
@pytest.mark.parametrize(("cold", "threads"), [(True, 1), (True, 2), (False, 1), (False, 2)])
def test_a_real_training_gives_the_same_score_to_the_last_digit(tmp_path, with_namespaces, cold, threads):
    job, y, outside = _workload(tmp_path, threads)
    if cold:
        with Sandbox(2, 2048, cold=True) as sandbox:
            outcome = sandbox.run(job)
    else:
        outcome = with_namespaces.run(job)
    assert outcome.status == "ok", outcome
    assert roc_auc_score(y, outcome.arrays["valid"][:, 1]) == roc_auc_score(y, outside(0)) > 0.6


@pytest.mark.row(53)
def test_control_the_comparison_sees_another_random_state(tmp_path, with_namespaces):
    job, y, outside = _workload(tmp_path, 1)
    outcome = with_namespaces.run(job)
    assert roc_auc_score(y, outcome.arrays["valid"][:, 1]) != roc_auc_score(y, outside(1))


def test_the_layers_are_told_one_by_one(with_namespaces, without_namespaces):
    assert all(with_namespaces.layers[name].startswith("enforced") for name in confine.REQUIRED)
    assert without_namespaces.layers["namespaces"] in ("left out", "missing (a bonus, not required)")
    rows = {row["layer"]: row for row in confine.report()}
    assert rows["seccomp"]["required"] and rows["seccomp"]["state"] == "ok"
