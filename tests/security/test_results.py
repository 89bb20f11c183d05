"""What a job hands back is hostile data: links, bombs, pickles, escape sequences, false scores."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from automlgpt_local.sandbox import harness, results
from automlgpt_local.sandbox.jobs import Job, Limits
from automlgpt_local.sandbox.text import inert
from tests.security.world import SECRET, World


def _symlink(path: Path, secret: Path) -> None:
    path.symlink_to(secret)


def _fifo(path: Path, secret: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path, secret: Path) -> None:
    path.mkdir()


def _sparse(path: Path, secret: Path) -> None:
    with open(path, "wb") as file:
        file.truncate(1 << 40)


def _hardlink(path: Path, secret: Path) -> None:
    os.link(secret, path)


@pytest.mark.row(45)
@pytest.mark.parametrize("plant", [_symlink, _fifo, _folder, _sparse, _hardlink])
@pytest.mark.parametrize("name", ["result.json", "valid.npy", "model.joblib", "error.txt"])
def test_a_result_that_is_no_plain_file_is_refused_at_once(tmp_path, plant, name):
    secret, work = tmp_path / "secret", tmp_path / "work"
    secret.write_text(json.dumps({"secret": SECRET}))
    work.mkdir()
    plant(work / name, secret)
    readers = {
        "result.json": lambda: results.read_result(work),
        "valid.npy": lambda: results.read_arrays(work, 1 << 20),
        "model.joblib": lambda: results.copy_file(work, name, tmp_path / "copy", 1 << 20),
    }
    started = time.monotonic()
    if name == "error.txt":
        assert results.read_error(work) == ""
    else:
        with pytest.raises(results.BadResultError):
            readers[name]()
    assert time.monotonic() - started < 0.5


@pytest.mark.row(45)
def test_control_a_plain_open_follows_the_link(tmp_path):
    (tmp_path / "secret").write_text(json.dumps({"secret": SECRET}))
    (tmp_path / "result.json").symlink_to(tmp_path / "secret")
    assert json.loads((tmp_path / "result.json").read_text()) == {"secret": SECRET}


BOMBS = {
    "nesting": "'[' * 200_000 + ']' * 200_000",
    "nan": "'{\"a\": NaN}'",
    "infinity": "'{\"a\": [-Infinity]}'",
    "integer": "'{\"a\": ' + '9' * 5000 + '}'",
    "not-an-object": "'[1]'",
    "not-utf8": "'\\udcff'",
}


@pytest.mark.row(46)
@pytest.mark.parametrize("name", BOMBS)
def test_json_bombs_fail_the_job_and_nothing_else(sandbox, world: World, name):
    code = f"""
    with open("result.json", "w", errors="surrogateescape") as file:
        file.write({BOMBS[name]})
    os._exit(0)
    """
    outcome = sandbox.attack(world, code, Limits(wall_s=10))
    assert outcome.status == "bad_result" and outcome.result == {}, outcome


@pytest.mark.row(46)
def test_control_a_plain_parser_takes_them_or_breaks():
    assert np.isnan(json.loads(eval(BOMBS["nan"]))["a"])
    with pytest.raises(RecursionError):
        json.loads(eval(BOMBS["nesting"]))


@pytest.mark.row(37)
def test_a_tree_too_deep_to_remove_is_taken_apart(sandbox, world: World):
    code = """
    for _ in range(3000):
        os.mkdir("d")
        os.chdir("d")
        write("f")
    return {}
    """
    sandbox.attack(world, code, Limits(wall_s=10))
    shutil.rmtree(world.work)
    assert not world.work.exists()


@pytest.mark.row(37)
def test_a_deep_tree_with_the_names_of_our_own_folders_is_removed(tmp_path):
    work = tmp_path / "work"
    work.mkdir()
    (work / ".removed1").write_text("taken")
    outside = os.open(".", os.O_RDONLY)
    try:
        os.chdir(work)
        for _ in range(3000):
            os.mkdir("d")
            os.chdir("d")
    finally:
        os.fchdir(outside)
        os.close(outside)
    results.remove(work)
    assert not work.exists()


@pytest.mark.row(37)
def test_a_tree_that_cannot_be_flattened_ends_nobody(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "flatten", lambda work: (_ for _ in ()).throw(OSError("injected")))
    monkeypatch.setattr(shutil, "rmtree", lambda *a, **k: (_ for _ in ()).throw(RecursionError("injected")))
    results.remove(tmp_path)
    assert tmp_path.exists()


class Moving:
    """os.scandir, during which something happens between the listing of a folder and the look into it."""

    def __init__(self, folder: Path, times: int) -> None:
        self.folder, self.left, self.scandir = folder, times, os.scandir

    def __call__(self, path):
        if Path(path).parent == self.folder and self.left:
            self.left -= 1
            Path(path).rename(self.folder / f"moved{self.left}")
        return self.scandir(path)


@pytest.mark.row(37)
@pytest.mark.parametrize(("times", "hidden"), [(0, True), (2, True), (1000, False)])
def test_a_folder_that_is_moved_while_it_is_counted_hides_nothing(tmp_path, monkeypatch, times, hidden):
    (tmp_path / "d").mkdir()
    (tmp_path / "d/large").write_bytes(bytes(1 << 20))
    monkeypatch.setattr(results.os, "scandir", Moving(tmp_path, times))
    size, files = results.folder_use(tmp_path, 100)
    assert (size >= 1 << 20 and files == 2) if hidden else files == 101


@pytest.mark.row(37)
def test_a_file_that_vanishes_does_not_hide_the_rest_of_its_folder(tmp_path, monkeypatch):
    for n in range(5):
        (tmp_path / f"f{n}").write_bytes(bytes(1 << 20))
    scandir = os.scandir

    @contextlib.contextmanager
    def one_goes(path):
        with scandir(path) as entries:
            listed = list(entries)
        Path(listed[0].path).unlink()
        yield listed

    monkeypatch.setattr(results.os, "scandir", one_goes)
    size, _files = results.folder_use(tmp_path, 100)
    assert size >= 4 << 20


@pytest.mark.row(45)
@pytest.mark.parametrize("shape", ["(0, 4611686018427387904)", "(True, 1)", "(1, True)"])
def test_a_shape_that_numpy_cannot_take_is_refused(shape):
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}".encode()
    body = bytes(8) if "True" in shape else b""
    with pytest.raises(results.BadResultError):
        results.parse_array(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + body)


PICKLE = """
import numpy as np
class Evil:
    def __reduce__(self):
        return os.system, (f"touch {W['marker']}",)
np.save("valid.npy", np.array([Evil()], dtype=object), allow_pickle=True)
write("result.json", "{}")
import joblib, pickle
with open("other.npy", "wb") as file:
    pickle.dump(Evil(), file)
os._exit(0)
"""


@pytest.mark.row(47)
def test_a_pickled_array_is_never_executed(sandbox, world: World):
    outcome = sandbox.attack(world, PICKLE, Limits(wall_s=10))
    assert outcome.status == "bad_result" and outcome.arrays == {}, outcome
    assert not world.marker.exists()


@pytest.mark.row(47)
def test_control_a_trusting_reader_executes_it(weakened, world: World):
    weakened.attack(world, PICKLE, Limits(wall_s=10))
    try:
        np.load(world.work / "valid.npy", allow_pickle=True)
    except pickle.UnpicklingError:
        pass
    assert world.marker.exists()


HOSTILE = "\x1b]52;c;ZXZpbA==\x07\x1b[2J\x1b[31m\u202egpj.exe\u2066\x9b1;1H\x1bPq\x1b\\[red]b[/red]\x00\x08\u200b"
PRINT = f"print({HOSTILE!r}); print({HOSTILE!r}, file=sys.stderr); raise ValueError({HOSTILE!r})"


@pytest.mark.row(48)
def test_hostile_output_is_inert_text(sandbox, world: World):
    outcome = sandbox.attack(world, PRINT, Limits(wall_s=10))
    for text in (outcome.output, outcome.error):
        assert "gpj.exe" in text
        assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069]", text)
        assert "ZXZpbA" not in text.replace(repr(HOSTILE), "")  # the payload of the escape went with it


@pytest.mark.row(48)
def test_markup_is_shown_as_it_is():
    from rich.console import Console
    from rich.text import Text

    with Console(width=80, file=open(os.devnull, "w"), record=True) as console:
        console.print(Text(inert(HOSTILE)))
    assert "[red]b[/red]" in console.export_text()


@pytest.mark.row(48)
def test_control_raw_output_would_reach_the_terminal(capfd):
    print(HOSTILE)
    assert "\x1b]52" in capfd.readouterr().out


@pytest.mark.row(49)
@pytest.mark.parametrize("ending", ["os._exit(0)", "sys.exit(0)", "raise SystemExit"])
def test_a_printed_score_is_no_score(sandbox, world: World, ending):
    outcome = sandbox.attack(world, f"print('AUC: 0.9999')\n{ending}", Limits(wall_s=10))
    assert outcome.status in ("bad_result", "error")
    assert outcome.result == {} and outcome.arrays == {}


@pytest.mark.row(49)
def test_control_a_reader_of_printed_text_believes_it(sandbox, world: World):
    outcome = sandbox.attack(world, "print('AUC: 0.9999')\nos._exit(0)", Limits(wall_s=10))
    assert float(re.search(r"AUC: (\S+)", outcome.output).group(1)) > 0.99


KEEPER = """
import sklearn
import numpy as np
from sklearn.dummy import DummyRegressor

class Keeper(DummyRegressor):
    def fit(self, X, y):
        self.seen = dict(getattr(sklearn, "kept_labels", {}))
        sklearn.kept_labels = {**self.seen, **dict(zip(X["id"], y))}
        return super().fit(X, y)

    def predict(self, X):
        return np.array([self.seen.get(i, -1.0) for i in X["id"]])

def build(params, ctx):
    return Keeper()
"""


def _folds(tmp_path: Path):
    """Two folds of one table: the labels that fold 0 trains on are those that fold 1 must predict."""
    import pandas as pd

    rows = 20
    pd.DataFrame({"id": np.arange(rows)}).to_feather(tmp_path / "features.feather")
    (tmp_path / "solution.py").write_text(KEEPER)
    y, halves = np.arange(rows) + 100.0, (np.arange(0, 10), np.arange(10, 20))
    ctx = {"kind": "regression", "n_classes": 0, "seed": 0, "n_threads": 1, "columns": {"number": ["id"]}}
    for k in (0, 1):
        (tmp_path / f"fold{k}").mkdir()
        (tmp_path / f"work{k}").mkdir()
        np.save(tmp_path / f"fold{k}/train_rows.npy", halves[k])
        np.save(tmp_path / f"fold{k}/train_y.npy", y[halves[k]])
        np.save(tmp_path / f"fold{k}/valid_rows.npy", halves[1 - k])
        yield tmp_path / f"work{k}", {
            "solution": str(tmp_path / "solution.py"), "module": "solution", "params": {}, "ctx": ctx, "seed": 0,
            "features": str(tmp_path / "features.feather"), "fold": str(tmp_path / f"fold{k}"), "holdout": None,
        }  # fmt: skip


@pytest.mark.row(56)
def test_labels_kept_in_a_module_are_not_there_in_the_next_fold(sandbox, tmp_path):
    for work, spec in _folds(tmp_path):
        read = tuple(Path(spec[n]) for n in ("solution", "features", "fold"))
        outcome = sandbox.run(Job("fold", spec, work, read, Limits(wall_s=20)))
        assert outcome.status == "ok", outcome
        assert (outcome.arrays["valid"] == -1).all()


@pytest.mark.row(56)
def test_control_labels_are_carried_over_within_one_process(tmp_path, monkeypatch):
    import sklearn

    monkeypatch.setattr(sklearn, "kept_labels", {}, raising=False)
    answers = []
    for work, spec in _folds(tmp_path):
        harness.fold(spec, work, lambda question: None)
        answers.append(np.load(work / "valid.npy"))
    np.testing.assert_array_equal(answers[1], np.arange(10) + 100.0)
