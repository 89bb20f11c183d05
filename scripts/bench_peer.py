"""bench_peer.py SYSTEM SPLIT SECONDS OUT: fit one peer, write OUT/pred.csv. Runs in the peer's own environment.

SYSTEM `predict`: load AutoGluon's model from OUT and predict the test part again.

Feature names are made plain first: some peers refuse those of real tables, such as "Unnamed: 0".
"""

from __future__ import annotations

import json
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd


def main(system: str, split: Path, seconds: float, out: Path) -> None:
    warnings.filterwarnings("ignore")
    out.mkdir(parents=True, exist_ok=True)
    task = json.loads((split / "task.json").read_text())
    train = pd.read_csv(split / "train.csv", low_memory=False)
    test = pd.read_csv(split / "test_x.csv", low_memory=False)
    plain = {c: f"{re.sub('[^A-Za-z0-9]', '_', c)}_{i}" for i, c in enumerate(test.columns)}
    train, test = train.rename(columns=plain), test.rename(columns=plain)
    log = task["metric"] == "rmsle"  # peers that lack the metric fit log1p of the target by RMSE
    if log:
        train[task["target"]] = np.log1p(train[task["target"]])
    if system == "predict":  # what is timed is the process: the model is loaded, the rows are predicted
        from autogluon.tabular import TabularPredictor

        TabularPredictor.load(str(out / "ag")).predict(test)
        return
    fit = PEERS[system.split("-", 1)[0]]
    found = fit(train, test, task, seconds, out, system)
    if log:
        found = np.expm1(found)
    pd.DataFrame(found if isinstance(found, pd.DataFrame) else {"pred": found}).to_csv(out / "pred.csv", index=False)


def autogluon(train: Any, test: Any, task: dict[str, Any], seconds: float, out: Path, system: str) -> Any:
    from autogluon.tabular import TabularPredictor

    names = {"roc_auc": "roc_auc", "log_loss": "log_loss", "r2": "r2", "accuracy": "accuracy"}
    metric = names.get(task["metric"], "root_mean_squared_error")
    predictor = TabularPredictor(
        label=task["target"], eval_metric=metric, path=str(out / "ag"), verbosity=0, problem_type=task["task"]
    ).fit(train, time_limit=seconds, presets=system.split("-", 1)[1], num_cpus=2)
    if task["task"] == "regression":
        found = predictor.predict(test).to_numpy()
    else:
        found = predictor.predict_proba(test).reset_index(drop=True)
    return found


def flaml(train: Any, test: Any, task: dict[str, Any], seconds: float, _out: Path, _system: str) -> Any:
    from flaml import AutoML

    kind = "regression" if task["task"] == "regression" else "classification"
    metric = "rmse" if task["metric"] == "rmsle" else task["metric"]
    model = AutoML()
    model.fit(
        train.drop(columns=[task["target"]]), train[task["target"]], task=kind, metric=metric, time_budget=seconds,
        n_jobs=2, verbose=0, seed=0, ensemble=False,
    )  # fmt: skip
    if kind == "regression":
        return model.predict(test)
    return pd.DataFrame(model.predict_proba(test), columns=[str(c) for c in model.classes_])


def lightautoml(train: Any, test: Any, task: dict[str, Any], seconds: float, _out: Path, _system: str) -> Any:
    from lightautoml.automl.presets.tabular_presets import TabularAutoML
    from lightautoml.tasks import Task

    target, classes = task["target"], []
    if task["task"] == "regression":
        goal = Task("reg", metric="mse")
    else:
        classes = sorted(train[target].unique(), key=str)
        train[target] = train[target].map({c: i for i, c in enumerate(classes)})
        goal = Task("binary" if task["task"] == "binary" else "multiclass")
    model = TabularAutoML(task=goal, timeout=seconds, cpu_limit=2, reader_params={"n_jobs": 2, "random_state": 0})
    model.fit_predict(train, roles={"target": target}, verbose=0)
    found = model.predict(test).data
    if task["task"] == "regression":
        return found[:, 0]
    if task["task"] == "binary":
        return pd.DataFrame({str(classes[0]): 1 - found[:, 0], str(classes[1]): found[:, 0]})
    order = getattr(model.reader, "class_mapping", None)
    in_order = [classes[k] for k, _ in sorted(order.items(), key=lambda kv: kv[1])] if order else classes
    return pd.DataFrame(found, columns=[str(c) for c in in_order])


def autotinker(train: Any, test: Any, task: dict[str, Any], seconds: float, out: Path, _system: str) -> Any:
    from autotinker import AutoTinker

    train.to_csv(out / "train.csv", index=False)
    tinker = AutoTinker(llm="heuristic", workdir=str(out / "runs"))
    run = tinker.evolve(
        str(out / "train.csv"), target=task["target"], max_time_s=seconds, until="budget", max_experiments=500
    )
    values = run.predict(test)  # refits on all rows
    if task["task"] == "regression":
        return values.to_numpy()
    return pd.DataFrame(run._fitted.predict_proba(test), columns=[str(c) for c in run._classes])


def lightgbm(train: Any, test: Any, task: dict[str, Any], _seconds: float, _out: Path, _system: str) -> Any:
    import lightgbm as lgb

    both = pd.concat([train.drop(columns=[task["target"]]), test], ignore_index=True)
    for name in both:
        if both[name].dtype.kind not in "if":
            both[name] = both[name].astype(str).astype("category")
    known, new = both.iloc[: len(train)], both.iloc[len(train) :]
    if task["task"] == "regression":
        return lgb.LGBMRegressor(n_jobs=2, verbose=-1).fit(known, train[task["target"]]).predict(new)
    model = lgb.LGBMClassifier(n_jobs=2, verbose=-1).fit(known, train[task["target"]])
    return pd.DataFrame(model.predict_proba(new), columns=[str(c) for c in model.classes_])


PEERS = {
    "autogluon": autogluon, "flaml": flaml, "lightautoml": lightautoml, "autotinker": autotinker, "lightgbm": lightgbm,
}  # fmt: skip

if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), float(sys.argv[3]), Path(sys.argv[4]))
