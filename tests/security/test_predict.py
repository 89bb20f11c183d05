"""A run folder that came from somebody else: its model is loaded in the sandbox, and reads files of the run alone."""

from __future__ import annotations

import json
from pathlib import Path

import joblib
import pandas as pd
import pytest
from click.testing import CliRunner
from sklearn.dummy import DummyRegressor
from sklearn.linear_model import LinearRegression

from automlgpt_local.cli.predict import command
from automlgpt_local.data.schema import Schema
from automlgpt_local.errors import NoModelError
from automlgpt_local.predict import predict
from automlgpt_local.sandbox.runner import Sandbox

HOSTILE = """
try:
    with open({secret!r}) as file, open({marker!r}, "w") as marker:
        marker.write(file.read())
except OSError:
    pass
"""


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "model").mkdir(parents=True)
    (tmp_path / "secret").write_text("secret")
    code = HOSTILE.format(secret=str(tmp_path / "secret"), marker=str(tmp_path / "marker"))
    (folder / "pipeline.py").write_text(code)
    joblib.dump(DummyRegressor(strategy="constant", constant=2.0).fit([[0.0]], [2.0]), folder / "model/model.joblib")
    (folder / "schema.json").write_text(json.dumps(Schema("csv", {"a": "number"}).to_json()))
    (folder / "request.json").write_text(json.dumps({"data": ["data.csv"], "sandbox": False}))
    (tmp_path / "data.csv").write_text("a\n1\n2\n")
    describe(folder)
    return folder


def describe(folder: Path, **changed: str) -> None:
    ctx = {"kind": "regression", "n_classes": 0, "n_threads": 1, "columns": {"number": ["a"]}}
    member = {"module": "pipeline", "file": "model.joblib", "weight": 1.0, "ctx": ctx, **changed}
    model = {"features": ["a"], "classes": [], "id": None, "decision": None, "members": [member]}
    (folder / "model/model.json").write_text(json.dumps(model))


def test_a_run_that_says_it_went_without_a_sandbox_is_loaded_in_it_all_the_same(run_dir: Path, tmp_path: Path) -> None:
    predict(run_dir, tmp_path / "data.csv", tmp_path / "out.csv")
    assert (tmp_path / "out.csv").read_text().split() == ["prediction", "2.0", "2.0"]
    assert not (tmp_path / "marker").exists()


def test_many_rows_are_predicted_in_blocks(run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("automlgpt_local.predict.MOST_NUMBERS", 2)
    jobs, run_job = [], Sandbox.run
    monkeypatch.setattr(Sandbox, "run", lambda sandbox, job: jobs.append(job) or run_job(sandbox, job))
    joblib.dump(LinearRegression().fit([[0.0], [1.0]], [0.0, 1.0]), run_dir / "model/model.joblib")
    (tmp_path / "data.csv").write_text("a\n1\n2\n3\n4\n5\n")
    predict(run_dir, tmp_path / "data.csv", tmp_path / "out.csv")
    assert pd.read_csv(tmp_path / "out.csv")["prediction"].tolist() == pytest.approx([1, 2, 3, 4, 5])
    assert len(jobs) == 3


def test_control_without_the_sandbox_it_reads_and_writes_what_it_likes(run_dir: Path, tmp_path: Path) -> None:
    words = [str(run_dir), str(tmp_path / "data.csv"), "-o", str(tmp_path / "out.csv"), "--unsafe-no-sandbox"]
    done = CliRunner().invoke(command, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert (tmp_path / "marker").read_text() == "secret"


@pytest.mark.parametrize(
    "changed",
    [
        {"file": "../../secret"},
        {"file": "../../../../../../../.."},
        {"file": "/etc/passwd"},
        {"file": "link.joblib"},
        {"file": "folder"},
        {"module": "folder/../../elsewhere"},
        {"module": "/elsewhere"},
    ],
)
def test_a_model_gets_to_read_files_of_its_run_alone(run_dir: Path, tmp_path: Path, changed: dict[str, str]) -> None:
    (run_dir / "model/link.joblib").symlink_to(tmp_path / "secret")
    (run_dir / "model/folder").mkdir()
    (tmp_path / "elsewhere.py").write_text("")
    describe(run_dir, **changed)
    with pytest.raises(NoModelError, match="no file of"):
        predict(run_dir, tmp_path / "data.csv", tmp_path / "out.csv")
