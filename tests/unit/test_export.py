"""Exported code does what the sandbox did: same frames, same fit, same predictions, without this package."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest

from automlgpt_local import predict
from automlgpt_local.artifacts.export import Member, as_section, export, module_name, requirements
from automlgpt_local.data.load import Table, load
from automlgpt_local.data.schema import Schema
from automlgpt_local.data.target import make_dataset
from automlgpt_local.sandbox import harness
from automlgpt_local.search.workspace import write_features
from automlgpt_local.task import Request, TaskSpec

BOOSTED = '''
"""A pipeline with a transformer and a function of its own, as agents write them."""
from __future__ import annotations
import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

def features(df):
    df = df.copy()
    df["ratio"] = df["amount"] / (1 + df["age"])
    df["shop is a"] = df["shop"] == "a"
    return df

class Codes(TransformerMixin, BaseEstimator):
    def __init__(self, columns):
        self.columns = columns
    def fit(self, X, y=None):
        self.levels_ = {c: sorted(X[c].dropna().unique()) for c in self.columns["category"]}
        return self
    def transform(self, X):
        codes = [X[c].map({v: i for i, v in enumerate(levels)}) for c, levels in self.levels_.items()]
        return np.column_stack([X[self.columns["number"]].to_numpy(float), *codes])

def fill(values):
    return np.nan_to_num(values, nan=-1.0)

def build(params, ctx):
    forest = RandomForestRegressor if ctx["kind"] == "regression" else RandomForestClassifier
    model = forest(params["trees"], random_state=ctx["seed"], n_jobs=ctx["n_threads"])
    return make_pipeline(Codes(ctx["columns"]), FunctionTransformer(fill), model)
'''
# Takes names that the exporter's own helpers have.
CLASHING = """
from sklearn.dummy import DummyClassifier, DummyRegressor
TARGET, CLASSES = "not the target", 3
def train(x):
    raise AssertionError
main = predict = fit = prepare = conform = predict_files = train
def build(params, ctx):
    assert TARGET == "not the target"
    return DummyRegressor() if ctx["kind"] == "regression" else DummyClassifier(strategy="prior")
"""
COLUMNS = {"number": ["amount", "age"], "category": ["shop"], "text": []}


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    n = 240
    frame = pd.DataFrame(
        {
            "id": [f"{i:04d}" for i in range(n)],
            "amount": rng.normal(100, 30, n).round(3),
            "age": rng.integers(18, 80, n).astype(float),
            "shop": rng.choice(["a", "b", "NA, or so", "ü\n2"], n),
            "weight": rng.uniform(0.5, 2, n).round(2),
        }
    )
    frame.loc[::11, "age"] = np.nan
    frame.loc[::13, "shop"] = None
    frame["price"] = frame["amount"] * 2 + rng.normal(0, 5, n)
    frame["size"] = np.where(frame["amount"] > 110, "01", np.where(frame["amount"] > 90, "1", "NA"))
    frame.loc[3, ["price", "size"]] = None
    return frame


def fitted(tmp_path: Path, table: Table, task: TaskSpec, source: str, index: int, of: int, weight: float) -> Member:
    """What the sandbox's refit would hand over, made by the same functions in this process."""
    data = make_dataset(table, task)
    work = tmp_path / f"refit_{index}"
    work.mkdir()
    (work / "solution.py").write_text(source)
    write_features(data.features, work / "features.feather")
    np.save(work / "y.npy", data.y)
    if data.weight is not None:
        np.save(work / "weight.npy", data.weight)
    ctx = {
        "kind": task.kind, "n_classes": len(data.classes), "metric": task.metric, "seed": 5, "n_threads": 1,
        "seconds": None, "columns": COLUMNS,
    }  # fmt: skip
    module = module_name(index, of)
    spec = {
        "solution": str(work / "solution.py"), "module": module, "params": {"trees": 12}, "ctx": ctx,
        "features": str(work / "features.feather"), "y": str(work / "y.npy"), "test": str(work / "features.feather"),
        "weight": str(work / "weight.npy") if task.weight else None,
    }  # fmt: skip
    harness.seed_everything(5)
    try:
        harness.refit(spec, work, lambda question: None)
    finally:
        for name in [n for n in sys.modules if n.split(".")[0] == "pipeline"]:
            del sys.modules[name]
    return Member(index + 1, f'Forest """{index}', source, {"trees": 12}, ctx, work / "model.joblib", weight, 5)


DRIVER = """
import json, pathlib, runpy, sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "automlgpt_local":
            raise ImportError(name)
sys.meta_path.insert(0, Absent())
path = sys.path[1:]
for command in json.loads(sys.argv[1]):
    for name in [n for n in sys.modules if n.split(".")[0] == "pipeline"]:
        del sys.modules[name]
    module = command[0] == "-m"
    sys.argv = command[module:]
    sys.path[:] = ["" if module else str(pathlib.Path(command[0]).resolve().parent), *path]
    run = runpy.run_module if module else runpy.run_path
    run(sys.argv[0], run_name="__main__")
"""


def python(folder: Path, *commands: list[str]) -> None:
    """Run exported code, as `python ARGUMENTS...` would, where this package cannot be imported."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", DRIVER, json.dumps(commands)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def round_trip(
    tmp_path: Path, rows: pd.DataFrame, task: TaskSpec, sources: list[str], **options: object
) -> pd.DataFrame:
    """Export; train again; check that both models predict what the refit did. Returns predictions.csv as text."""
    data_file = tmp_path / "train.csv"
    rows.to_csv(data_file, index=False)
    table = load(data_file, target=task.target)
    data = make_dataset(table, task)
    members = [fitted(tmp_path, table, task, s, i, len(sources), 1.0 + i) for i, s in enumerate(sources)]
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "schema.json").write_text(json.dumps(data.schema.to_json()))
    (run_dir / "request.json").write_text(json.dumps(Request((str(data_file),)).to_json()))
    files = export(
        run_dir, task, data.schema, members, features=list(data.features.columns), classes=data.classes, **options
    )  # type: ignore[arg-type]
    assert all(f.is_file() for f in files)
    before = {f: f.read_bytes() for f in files}
    weights = np.array([m.weight for m in members]) / sum(m.weight for m in members)
    expected = sum(w * np.load(m.model.parent / "test.npy") for w, m in zip(weights, members))

    new_model = tmp_path / "again"
    train = ["pipeline.py"] if len(sources) == 1 else ["-m", "pipeline"]
    outs = [tmp_path / "out.csv", tmp_path / "out_again.csv"]
    python(
        run_dir,
        [*train, str(data_file), "--out", str(new_model)],
        ["predict.py", str(data_file), "-o", str(outs[0])],
        ["predict.py", str(data_file), "-o", str(outs[1]), "--model", str(new_model)],
    )
    for path in outs:
        out = pd.read_csv(path, dtype={"prediction": str, "id": str}, keep_default_na=False)
        assert len(out) == len(rows)
        got = out.iloc[data.rows]
        if task.kind == "regression":
            np.testing.assert_allclose(got["prediction"].astype(float), expected, atol=1e-6)
        else:
            np.testing.assert_allclose(got[[f"proba_{c}" for c in data.classes]], expected, atol=1e-6)
    assert {f: f.read_bytes() for f in files} == before, "retraining wrote into the run directory"
    for f in files:
        if f.suffix in {".py", ".txt"}:
            assert "automlgpt" not in f.read_text().lower(), f
    return out


def test_single_classifier_keeps_labels_as_they_are(tmp_path: Path, rows: pd.DataFrame) -> None:
    task = TaskSpec("size", "multiclass", "log_loss", 60, ignore=("price", "weight", "id"))
    rows = rows.assign(size=rows["size"].replace("NA", "n"))
    out = round_trip(tmp_path, rows, task, [BOOSTED], id_column="id")
    assert list(out.columns[:2]) == ["id", "prediction"]
    assert set(out.columns[2:]) == {"proba_01", "proba_1", "proba_n"}
    assert set(out["prediction"]) == {"01", "1", "n"}
    assert out["id"].tolist() == rows["id"].tolist()


def test_a_class_called_na(tmp_path: Path, rows: pd.DataFrame) -> None:
    task = TaskSpec("size", "binary", "roc_auc", 60, ignore=("price", "weight", "id"), positive="NA")
    out = round_trip(tmp_path, rows.assign(size=rows["size"].replace("01", "1")), task, [BOOSTED])
    assert list(out) == ["prediction", "proba_1", "proba_NA"]
    assert set(out["prediction"]) == {"1", "NA"}


def test_spellings_of_a_label_are_one_class(tmp_path: Path, rows: pd.DataFrame) -> None:
    written = np.where(rows["amount"] > 100, np.where(rows["age"] > 50, "Yes", " YES"), "no")
    written = np.where(np.arange(len(rows)) % 9 == 4, " ", written)  # which is missing
    task = TaskSpec("size", "binary", "roc_auc", 60, ignore=("price", "weight", "id"))
    out = round_trip(tmp_path, rows.assign(size=written), task, [BOOSTED])
    assert list(out) == ["prediction", "proba_no", "proba_Yes"]


def test_single_regression_with_weights(tmp_path: Path, rows: pd.DataFrame) -> None:
    task = TaskSpec("price", "regression", "rmse", 60, ignore=("size", "id"), weight="weight")
    out = round_trip(tmp_path, rows, task, [BOOSTED])
    assert list(out) == ["prediction"]


def test_ensemble_of_two(tmp_path: Path, rows: pd.DataFrame) -> None:
    task = TaskSpec("price", "regression", "rmse", 60, ignore=("size", "id", "weight"))
    round_trip(tmp_path, rows, task, [BOOSTED, CLASHING])
    assert predict.main([str(tmp_path / "run"), str(tmp_path / "train.csv"), str(tmp_path / "sandboxed.csv")]) == 0
    assert (tmp_path / "sandboxed.csv").read_text() == (tmp_path / "out.csv").read_text()
    shares = json.loads((tmp_path / "run" / "pipeline" / "weights.json").read_text())
    assert shares == {"member_1": pytest.approx(1 / 3), "member_2": pytest.approx(2 / 3)}


def test_solution_that_takes_our_names(tmp_path: Path, rows: pd.DataFrame) -> None:
    task = TaskSpec("size", "multiclass", "log_loss", 60, ignore=("price", "weight"))
    round_trip(tmp_path, rows, task, [CLASHING])


def test_a_decision_chooses_the_label(tmp_path: Path, rows: pd.DataFrame) -> None:
    rows = rows.assign(size=np.where(rows["amount"] + 30 * rows["weight"] > 160, "yes", "no"))
    task = TaskSpec("size", "binary", "f1", 60, ignore=("price", "weight", "id"))
    out = round_trip(tmp_path, rows, task, [BOOSTED], decision={"multipliers": [0.2, 0.8]})
    assert list(out) == ["prediction", "proba_no", "proba_yes"]
    said = out["proba_yes"].astype(float) >= 0.2
    assert (said == (out["prediction"] == "yes")).all()
    assert (said != (out["proba_yes"].astype(float) >= 0.5)).any()


def exported(tmp_path: Path, schema: Schema) -> dict[str, Any]:
    """The names of the code that is exported for a table of this schema."""
    (tmp_path / "model.joblib").write_bytes(b"")
    member = Member(1, "m", "def build(params, ctx): ...", {}, {}, tmp_path / "model.joblib")
    (tmp_path / "run").mkdir()
    task = TaskSpec("y", "regression", "rmse", 60)
    export(tmp_path / "run", task, schema, [member], features=list(schema.feature_columns))
    return runpy.run_path(str(tmp_path / "run" / "pipeline.py"))


def check_read(file: Path, schema: Schema, code: dict[str, Any]) -> None:
    got = code["read_table"]([file], schema.feature_columns)
    pd.testing.assert_frame_equal(got, load(file, schema=schema).frame[list(got)])


@pytest.mark.parametrize("training", ["csv", "parquet", "excel"])
def test_exported_code_tells_parquet_and_csv_apart_as_a_run_does(
    tmp_path: Path, training: Literal["csv", "parquet", "excel"]
) -> None:
    rows = pd.DataFrame({2019: range(30), 2020: range(30)})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    schema = replace(load(tmp_path / "rows.csv").schema, format=training)
    code = exported(tmp_path, schema)
    for name in ("rows.PARQUET", "rows.parq"):
        rows.to_parquet(tmp_path / name)
    for name in ("rows.csv", "rows.PARQUET", "rows.parq"):
        check_read(tmp_path / name, schema, code)


def test_exported_code_reads_the_sheet_of_a_workbook(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code = exported(tmp_path, Schema("excel", {"2019": "number", "shop": "text", "y": "number"}, "y", sheet="B"))
    (tmp_path / "rows.xlsx").write_bytes(b"PK\x03\x04")
    asked = {}

    def read_excel(path: str, **options: Any) -> pd.DataFrame:
        asked.update(options)
        return pd.DataFrame({2019: [1, 2], "shop": ["01", "NA"]})

    monkeypatch.setattr(pd, "read_excel", read_excel)
    assert code["read_table"]([tmp_path / "rows.xlsx"], {"2019": "number", "shop": "text"})["2019"].tolist() == [1, 2]
    assert asked == {"sheet_name": "B", "dtype": {"shop": "str"}}


@pytest.mark.parametrize("header", ["shop,2019,y", "2019,y"])
def test_exported_code_reads_utf8_after_windows(tmp_path: Path, header: str) -> None:
    text = "\n".join([header, *(f"café {i},{i},1" for i in range(30))])
    for encoding in ("cp1252", "utf-8", "utf-8-sig"):
        (tmp_path / f"{encoding}.csv").write_text(text, encoding=encoding)
    schema = load(tmp_path / "cp1252.csv", target="y").schema
    code = exported(tmp_path, schema)
    for encoding in ("cp1252", "utf-8", "utf-8-sig"):
        check_read(tmp_path / f"{encoding}.csv", schema, code)


def test_exported_code_reads_a_complete_header_after_one_without_a_first_name(tmp_path: Path) -> None:
    for name, header in (("training", "x,y"), ("complete", "row_name,x,y"), ("new", "row_name,x")):
        rows = "".join(f"r{i},{i}{',1' * (name != 'new')}\n" for i in range(30))
        (tmp_path / f"{name}.csv").write_text(f"{header}\n{rows}")
    schema = load(tmp_path / "training.csv", target="y").schema
    code = exported(tmp_path, schema)
    for name in ("training", "complete", "new"):
        check_read(tmp_path / f"{name}.csv", schema, code)


def test_docstring_becomes_comments_and_future_imports_go() -> None:
    section = as_section(BOOSTED.strip())
    assert section.startswith("# A pipeline with a transformer")
    assert "__future__" not in section
    assert "class Codes" in section


def test_requirements_name_only_what_is_used(tmp_path: Path) -> None:
    import joblib

    joblib.dump({"a": 1}, tmp_path / "m.joblib", compress=3)
    member = Member(1, "m", "import lightgbm as lgb\nfrom sklearn import svm\n", {}, {}, tmp_path / "m.joblib")
    names = [row.partition("==")[0] for row in requirements([member], "csv").splitlines()]
    assert names == ["joblib", "lightgbm", "numpy", "pandas", "scikit-learn"]
    joblib.dump(pd.Index(["a", "b"], dtype="str").array, tmp_path / "m.joblib", compress=3)
    held = b"pyarrow" in __import__("pickle").dumps(pd.Index(["a", "b"], dtype="str").array)
    assert ("pyarrow" in requirements([member], "csv")) == held


def test_what_is_missing_is_said(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert predict.main([str(tmp_path), str(tmp_path / "x.csv"), str(tmp_path / "out.csv")]) == 1
    message, hint = capfd.readouterr().err.rpartition("\n\n")[2].strip().splitlines()
    assert "no fitted model" in message
    assert "sessions list" in hint


def test_a_member_keeps_the_name_it_was_fitted_with(tmp_path: Path, rows: pd.DataFrame) -> None:
    """The second of three members alone could be fitted in time: its pickle names pipeline.member_2."""
    rows.to_csv(tmp_path / "train.csv", index=False)
    task = TaskSpec("price", "regression", "rmse", 60, ignore=("size", "id", "weight"))
    table = load(tmp_path / "train.csv", target="price")
    data = make_dataset(table, task)
    member = replace(fitted(tmp_path, table, task, BOOSTED, 1, 3, 1.0), module="pipeline.member_2")
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    export(run_dir, task, data.schema, [member], features=list(data.features.columns))
    python(run_dir, ["predict.py", str(tmp_path / "train.csv"), "-o", str(tmp_path / "out.csv")])
    got = pd.read_csv(tmp_path / "out.csv")["prediction"].to_numpy()[data.rows]
    np.testing.assert_allclose(got, np.load(member.model.parent / "test.npy"), atol=1e-6)


def test_a_defect_is_not_taken_for_a_missing_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{")
    assert predict.main([str(tmp_path), str(tmp_path / "x.csv"), str(tmp_path / "out.csv")]) == 70


@pytest.mark.parametrize("out", ["model/model.json/out.csv", "gone/out.csv", "/dev/null"])
def test_an_output_that_cannot_be_written_is_told_before_the_work(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], out: str
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.json").write_text("{")
    assert predict.main([str(tmp_path), str(tmp_path / "x.csv"), str(tmp_path / out)]) == 2
    message, hint = capfd.readouterr().err.strip().splitlines()
    assert out in message and hint.startswith("Name ")
