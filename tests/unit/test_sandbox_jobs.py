"""The sandbox from the engine's side: real forks, real models, every way to end."""

from __future__ import annotations

import os
import signal
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automlgpt_local.errors import SandboxError
from automlgpt_local.sandbox.jobs import Job, Limits, Outcome
from automlgpt_local.sandbox.runner import Sandbox

LIGHTGBM = """
import numpy as np
from lightgbm import LGBMClassifier

def features(df):
    df = df.drop(columns="unused")
    df["ratio"] = df["x0"] / (1 + df["x1"].abs())
    return df

class Model(LGBMClassifier):
    def fit(self, X, y, **kwargs):
        super().fit(X, y, **kwargs)
        self.fitted_params_ = {"n_trees": self.n_estimators}
        return self

def build(params, ctx):
    assert ctx["columns"]["number"] == ["x0", "x1", "ratio"], ctx["columns"]
    return Model(n_estimators=params["n"], n_jobs=ctx["n_threads"], random_state=ctx["seed"], verbose=-1,
                 deterministic=True, force_row_wise=True)
"""


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(threads=2, memory_mib=2048) as opened:
        yield opened


def space_job(tmp_path: Path, body: str, limits: Limits | None = None, on_ask=None, name: str = "job") -> Job:
    code = tmp_path / f"{name}.py"
    code.write_text("def space(trial):\n" + textwrap.indent(textwrap.dedent(body), "    "))
    work = tmp_path / f"{name}_work"
    work.mkdir()
    spec = {"solution": str(code), "module": "solution"}
    return Job("space", spec, work, (code,), limits or Limits(wall_s=20), on_ask)


def run_space(sandbox: Sandbox, tmp_path: Path, body: str, **kwargs) -> Outcome:
    return sandbox.run(space_job(tmp_path, body, **kwargs))


def fold_files(tmp_path: Path, rows: int = 400) -> tuple[pd.DataFrame, np.ndarray]:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame({"x0": draw.normal(size=rows), "x1": draw.normal(size=rows), "unused": "text"})
    y = (frame["x0"] + 0.5 * draw.normal(size=rows) > 0).to_numpy().astype(int)
    frame.to_feather(tmp_path / "features.feather")
    frame.iloc[:7].to_feather(tmp_path / "holdout.feather")
    (tmp_path / "fold").mkdir()
    np.save(tmp_path / "fold/train_rows.npy", np.arange(0, 300))
    np.save(tmp_path / "fold/valid_rows.npy", np.arange(300, rows))
    np.save(tmp_path / "fold/train_y.npy", y[:300])
    return frame, y


def context(threads: int = 1) -> dict:
    return {
        "kind": "binary", "n_classes": 2, "metric": "roc_auc", "seed": 0, "n_threads": threads, "seconds": None,
        "columns": {"number": ["x0", "x1"], "category": [], "text": []}, "n_rows": 300,
    }  # fmt: skip


@pytest.mark.parametrize("threads", [1, 2])
def test_a_fold_gives_the_predictions_that_the_same_code_gives_outside(sandbox, tmp_path, threads):
    frame, y = fold_files(tmp_path)
    (tmp_path / "solution.py").write_text(LIGHTGBM)
    (tmp_path / "work").mkdir()
    spec = {
        "solution": str(tmp_path / "solution.py"), "module": "solution", "params": {"n": 20}, "ctx": context(threads),
        "features": str(tmp_path / "features.feather"), "fold": str(tmp_path / "fold"),
        "holdout": str(tmp_path / "holdout.feather"), "n_classes": 2, "seed": 0,
    }  # fmt: skip
    read = tuple(tmp_path / n for n in ("solution.py", "features.feather", "holdout.feather", "fold"))
    outcome = sandbox.run(Job("fold", spec, tmp_path / "work", read, Limits(wall_s=60, threads=threads)))

    assert outcome.status == "ok", outcome.error + outcome.output
    assert outcome.result["fitted_params"] == {"n_trees": 20}
    assert outcome.result["n_features"] == 3
    scope: dict = {}
    exec(LIGHTGBM, scope)
    seen = scope["features"](frame.copy())
    ctx = context(threads)
    ctx["columns"]["number"].append("ratio")
    model = scope["build"]({"n": 20}, ctx).fit(seen.iloc[:300], y[:300])
    np.testing.assert_array_equal(outcome.arrays["valid"], model.predict_proba(seen.iloc[300:]))
    np.testing.assert_array_equal(outcome.arrays["holdout"], model.predict_proba(seen.iloc[:7]))


def test_refit_then_predict_load_the_model_inside_alone(sandbox, tmp_path):
    _, y = fold_files(tmp_path)
    (tmp_path / "solution.py").write_text(LIGHTGBM)
    np.save(tmp_path / "y.npy", y)
    features, solution = tmp_path / "features.feather", tmp_path / "solution.py"
    spec = {
        "solution": str(solution), "module": "pipeline.member_3", "params": {"n": 10}, "ctx": context(),
        "features": str(features), "y": str(tmp_path / "y.npy"), "weight": None,
        "test": str(tmp_path / "holdout.feather"),
    }  # fmt: skip
    (tmp_path / "refit").mkdir()
    read = (solution, features, tmp_path / "y.npy", tmp_path / "holdout.feather")
    refit = sandbox.run(Job("refit", spec, tmp_path / "refit", read, Limits(wall_s=60)))
    assert refit.status == "ok", refit.error
    model = tmp_path / "refit/model.joblib"
    member = {
        "solution": str(solution),
        "module": "pipeline.member_3",
        "model": str(model),
        "weight": 2,
        "ctx": context(),
    }
    spec = {"members": [member, member], "features": str(features), "n_classes": 2}
    (tmp_path / "predict").mkdir()
    read = (solution, features, model)
    predicted = sandbox.run(Job("predict", spec, tmp_path / "predict", read, Limits(wall_s=60)))
    assert predicted.status == "ok", predicted.error
    np.testing.assert_allclose(predicted.arrays["prediction"][:7], refit.arrays["test"])


def test_the_engine_answers_the_questions_of_a_search_space(sandbox, tmp_path):
    asked = []

    def answer(question):
        asked.append(question)
        return {"value": {"float": 0.25, "int": 3, "categorical": "b"}[question["suggest"]]}

    outcome = run_space(
        sandbox,
        tmp_path,
        """
        a = trial.suggest_float("a", 0.1, 1, log=True)
        return {"a": a, "b": trial.suggest_int("b", 1, 9), "c": trial.suggest_categorical("c", ["a", "b"])}
        """,
        on_ask=answer,
    )
    assert outcome.result == {"params": {"a": 0.25, "b": 3, "c": "b"}}, outcome
    assert asked[0] == {"suggest": "float", "name": "a", "low": 0.1, "high": 1.0, "log": True, "step": None}


def test_the_error_is_the_tail_of_the_traceback_from_the_solution_on(sandbox, tmp_path):
    outcome = run_space(sandbox, tmp_path, "print('before')\nraise KeyError('no such column: \\x1b[31mage')")
    assert outcome.status == "error"
    assert outcome.error.endswith("no such column: \\x1b[31mage'")
    assert "raise KeyError" in outcome.error and "job.py" in outcome.error
    assert "harness" not in outcome.error and "job_process" not in outcome.error
    assert outcome.output == "before\n"
    assert str(tmp_path) not in outcome.error


def test_a_long_traceback_keeps_its_entry_and_its_end(sandbox, tmp_path):
    body = """
    import pandas as pd
    return dict(pd.DataFrame({"a": [1]}).apply(lambda row: pd.DataFrame({"x": [1]}).astype({"y": int}), axis=1))
    """
    outcome = run_space(sandbox, tmp_path, body)
    assert 'File "job.py"' in outcome.error and "KeyError" in outcome.error
    assert 'File "pandas/' in outcome.error


@pytest.mark.parametrize(
    ("body", "limits", "status"),
    [
        ("while True: pass", Limits(wall_s=0.5), "timeout"),
        ("import os; os.kill(os.getpid(), 19)\nwhile True: pass", Limits(wall_s=0.5), "timeout"),
        ("a = [bytearray(1 << 24) for _ in range(100)]", Limits(wall_s=20, memory_mib=256), "memory_limit"),
        ("while True: print('x' * 1000)", Limits(wall_s=20, output_kib=64), "output_limit"),
        ("open('big', 'wb').truncate(1 << 40)", Limits(wall_s=20), "error"),
        ("[open(str(i), 'w').close() for i in range(11000)]", Limits(wall_s=20), "disk_limit"),
        ("import os; os._exit(0)", Limits(wall_s=20), "bad_result"),
        ("import sys; sys.exit(0)", Limits(wall_s=20), "error"),
        ("import os; os.abort()", Limits(wall_s=20), "killed"),
        ("import ctypes; ctypes.string_at(0)", Limits(wall_s=20), "killed"),
        ("return {'a': float('nan')}", Limits(wall_s=20), "error"),
        ("import subprocess; subprocess.run(['true'])", Limits(wall_s=20), "error"),
        ("import socket; socket.socket()", Limits(wall_s=20), "error"),
        ("open('/etc/passwd')", Limits(wall_s=20), "error"),
    ],
)
def test_every_way_to_end_has_its_status(sandbox, tmp_path, body, limits, status):
    outcome = run_space(sandbox, tmp_path, body, limits=limits)
    assert outcome.status == status, outcome
    assert outcome.seconds < limits.wall_s + 1


def test_a_signal_without_a_name_ends_its_job_alone(sandbox, tmp_path):
    with ThreadPoolExecutor(1) as pool:
        sibling = pool.submit(sandbox.run, space_job(tmp_path, "import time; time.sleep(2)\nreturn {}", name="sibling"))
        outcome = run_space(sandbox, tmp_path, "import os; os.kill(os.getpid(), 40)")
        assert (outcome.status, outcome.error) == ("killed", "ended by signal 40")
        assert sibling.result().status == "ok"


def test_a_first_thread_that_ends_with_the_process_is_no_offence(sandbox, tmp_path):
    body = """
    import threading, time
    for _ in range(100):
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    return {"a": 1}
    """
    assert run_space(sandbox, tmp_path, body).result == {"params": {"a": 1}}


def test_root_is_told_which_folder_it_may_not_enter_without_capabilities(sandbox, tmp_path):
    if os.geteuid() != 0:
        return  # a plain user may enter its own folders
    closed = tmp_path / "closed"
    closed.mkdir()
    job = space_job(closed, "return {}")
    closed.chmod(0o750)
    os.chown(closed, 12345, 12345)
    with pytest.raises(SandboxError) as refusal:
        sandbox.run(job)
    assert f"cannot enter {closed}: run as its owner" in refusal.value.hint


def test_a_cancelled_job_ends_at_once(sandbox, tmp_path):
    outcome = sandbox.run(space_job(tmp_path, "while True: pass"), cancelled=lambda: True)
    assert outcome.status == "cancelled"
    assert outcome.seconds < 1


def test_two_threads_of_the_job_really_run(sandbox, tmp_path):
    body = """
    import os, numpy as np, lightgbm as lgb
    X = np.random.default_rng(0).normal(size=(2000, 20))
    lgb.train({"num_threads": 2, "verbose": -1}, lgb.Dataset(X, X[:, 0]), 5)
    from joblib import Parallel, delayed
    from threadpoolctl import threadpool_info
    squares = Parallel(n_jobs=2)(delayed(pow)(i, 2) for i in range(4))
    return {"squares": squares, "openmp": sorted({p["num_threads"] for p in threadpool_info()})}
    """
    outcome = run_space(sandbox, tmp_path, body, limits=Limits(wall_s=20, threads=2))
    assert outcome.result == {"params": {"squares": [0, 1, 4, 9], "openmp": [2]}}, outcome


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("sklearn", "from sklearn.ensemble import RandomForestClassifier as C; C(20, n_jobs=2)"),
        ("sklearn", "from sklearn.ensemble import HistGradientBoostingClassifier as C; C(max_iter=10)"),
        ("lightgbm", "from lightgbm import LGBMClassifier as C; C(n_estimators=10, n_jobs=2, verbose=-1)"),
        ("catboost", "from catboost import CatBoostClassifier as C; C(iterations=10, thread_count=2, verbose=0)"),
        ("xgboost", "from xgboost import XGBClassifier as C; C(n_estimators=10, n_jobs=2)"),
    ],
)
def test_two_threads_of_each_library_find_each_other(sandbox, tmp_path, name, make):
    pytest.importorskip(name)
    imported, made = make.split("; ")
    body = f"""
    {imported}
    import numpy as np
    X = np.random.default_rng(0).normal(size=(2000, 20))
    y = (X[:, 0] > 0).astype(int)
    return {{"right": float(({made}.fit(X, y).predict(X) == y).mean())}}
    """
    outcome = run_space(sandbox, tmp_path, body, limits=Limits(wall_s=60, threads=2))
    assert outcome.status == "ok" and outcome.result["params"]["right"] > 0.9, outcome


def test_the_broker_is_started_again_when_it_died(sandbox, tmp_path):
    sandbox._process.kill()
    sandbox._process.wait()
    assert run_space(sandbox, tmp_path, "return {'a': 1}").result == {"params": {"a": 1}}


def waiting_fork(sandbox: Sandbox) -> int:
    def children(pid: int) -> list[int]:
        return [int(c) for t in Path(f"/proc/{pid}/task").iterdir() for c in (t / "children").read_text().split()]

    (server,) = children(sandbox._process.pid)
    (fork,) = children(server)
    return fork


def test_a_job_goes_to_the_fork_that_waits_and_to_a_new_one_when_that_died(sandbox, tmp_path):
    run_space(sandbox, tmp_path, "return {}", name="before")
    first = waiting_fork(sandbox)
    if "missing" in sandbox.layers["namespaces"]:
        assert run_space(sandbox, tmp_path, "import os\nreturn {'pid': os.getpid()}").result["params"]["pid"] == first
    else:  # it knows another number for itself
        run_space(sandbox, tmp_path, "return {}")
    second = waiting_fork(sandbox)
    assert second != first
    os.kill(second, signal.SIGKILL)
    while ") Z " not in Path(f"/proc/{second}/stat").read_text():
        time.sleep(0.01)
    assert run_space(sandbox, tmp_path, "return {'a': 1}", name="after").result == {"params": {"a": 1}}


def test_the_memory_of_a_job_holds_nothing_of_earlier_ones(sandbox, tmp_path):
    body = """
    import ctypes
    own = 'told-to-this-job'
    def times(backwards):
        found = 0
        with open('/proc/self/maps') as maps:
            areas = [line.split() for line in maps]
        for area, rights, *rest in areas:
            if rights.startswith('rw') and (len(rest) < 4 or rest[3] == '[heap]'):
                start, end = (int(a, 16) for a in area.split('-'))
                found += ctypes.string_at(start, end - start).count(backwards[::-1].encode())
        return found
    return {name: times(name) for name in ('boj-siht-ot-dlot', 'boj-reilrae-na-ot', 'ydobon-ot-dlot')}
    """
    run_space(sandbox, tmp_path, "return {}", name="to-an-earlier-job")
    own, earlier, nobody = run_space(sandbox, tmp_path, body).result["params"].values()
    assert own > nobody
    assert earlier == nobody


def test_a_layer_that_cannot_be_applied_refuses_the_job(sandbox, tmp_path):
    job = space_job(tmp_path, "open('ran', 'w').close()\nreturn {}")
    job.work.rmdir()
    with pytest.raises(SandboxError, match="not run"):
        sandbox.run(job)
    job.work.write_text("no folder")
    with pytest.raises(SandboxError, match="not run"):
        sandbox.run(job)


def test_unsafe_runs_without_the_kernel_layers_and_says_so(tmp_path):
    with Sandbox(threads=1, memory_mib=1024, unsafe=True) as unsafe:
        assert unsafe.layers["landlock"] == "left out" and unsafe.layers["seccomp"] == "left out"
        assert run_space(unsafe, tmp_path, "return {'n': len(open('/etc/passwd').read()) > 0}").result["params"]["n"]
