"""Cuts of real data sets for the benchmarks, and the error of a predictions file. Shared by the bench scripts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def prepare(data: Path, suite: dict[str, Any], splits: Path, cap: int) -> list[str]:
    """Cut every data set of the suite once: splits/<name>/{train,test_x,test_y}.csv and task.json. Names in order."""
    names = []
    for tasks in suite["tasks"].values():
        for name, (target, kind, metric) in tasks.items():
            files = sorted(data.glob(f"{name}/data.*"))
            if not files:
                continue
            names.append(name)
            if not (splits / name / "task.json").exists():
                _cut(files[0], splits / name, target, kind, metric, suite.get("drop", {}).get(name, []), cap)
    return names


def _cut(file: Path, out: Path, target: str, kind: str, metric: str, leaks: list[str], cap: int) -> None:
    import pandas as pd
    from sklearn.model_selection import train_test_split

    if file.suffix == ".parquet":
        frame = pd.read_parquet(file)
    else:
        try:
            frame = pd.read_csv(file, low_memory=False)
        except UnicodeDecodeError:
            frame = pd.read_csv(file, low_memory=False, encoding="latin-1")
    frame = frame.drop(columns=[c for c in leaks if c in frame])
    if kind == "regression":
        frame[target] = pd.to_numeric(frame[target], errors="coerce")
    frame = frame[frame[target].notna()]
    if len(frame) > cap:
        frame = frame.sample(cap, random_state=0)
    frame = frame.reset_index(drop=True)
    strata = frame[target] if kind != "regression" and frame[target].value_counts().min() > 1 else None
    train, test = train_test_split(frame, test_size=0.25, random_state=0, stratify=strata)
    out.mkdir(parents=True, exist_ok=True)
    train.to_csv(out / "train.csv", index=False)
    test.drop(columns=[target]).to_csv(out / "test_x.csv", index=False)
    test[[target]].to_csv(out / "test_y.csv", index=False)
    task = {"name": out.name, "target": target, "task": kind, "metric": metric, "rows": len(train)}
    (out / "task.json").write_text(json.dumps(task))


def error(split: Path, predictions: Path) -> float:
    """One error, lower is better: 1 - AUC, 1 - accuracy, 1 - R2, log loss, RMSE or RMSLE.

    predictions: a column `pred` or `prediction`; for classes one probability column each, `<class>` or `proba_<class>`.
    """
    import numpy as np
    import pandas as pd
    from sklearn.metrics import log_loss, roc_auc_score

    task = json.loads((split / "task.json").read_text())
    y = pd.read_csv(split / "test_y.csv")[task["target"]]
    found = pd.read_csv(predictions)
    if len(found) != len(y):
        raise ValueError(f"{len(found)} predictions for {len(y)} rows")
    metric = task["metric"]
    if task["task"] == "regression":
        values = found["pred" if "pred" in found else "prediction"].to_numpy(float)
        if metric == "rmsle":
            return float(np.sqrt(np.mean((np.log1p(np.clip(values, 0, None)) - np.log1p(y)) ** 2)))
        if metric == "r2":
            return float(np.sum((y - values) ** 2) / np.sum((y - y.mean()) ** 2))
        return float(np.sqrt(np.mean((values - y) ** 2)))
    if "prediction" in found:
        found = found.filter(like="proba_").rename(columns=lambda c: c[len("proba_") :])
    columns = {_plain(c): c for c in found.columns}
    truth = y.map(_plain)
    classes = sorted(set(truth))
    shares = np.column_stack([found[columns[c]] if c in columns else np.zeros(len(found)) for c in classes])
    if metric == "roc_auc":
        return float(1 - roc_auc_score(truth == classes[1], shares[:, 1]))
    if metric == "accuracy":
        return float(np.mean(np.array(classes)[shares.argmax(axis=1)] != truth.to_numpy()))
    shares = np.clip(shares, 1e-15, None)
    return float(log_loss(truth, shares / shares.sum(axis=1, keepdims=True), labels=classes))


def _plain(label: Any) -> str:
    """One spelling for a class label: 1, 1.0, "1" and True are the same class."""
    text = str(label)
    try:
        return str(int(float(text))) if float(text) == int(float(text)) else text
    except ValueError:
        return {"True": "1", "False": "0"}.get(text, text)
