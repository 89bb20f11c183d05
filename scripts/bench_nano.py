"""The nano against the recipes alone and against random valid decisions, on real data, at equal wall time.

    python scripts/bench_nano.py --data FOLDER --sets telco_churn,kc_house --seconds 60 --seeds 0,1,2 --json
    python scripts/bench_nano.py --data FOLDER --models new.gguf,old.gguf,none,random

The first of --models is compared with each of the others. FOLDER holds INDEX.csv (name, target, task, metric, file)
and the files that it names; none of it is trained on. Each run is `automlgpt run` as a user starts it; the error is
computed here on rows that no run has seen. Results are kept in --out as JSON lines, so the bench can be ended and
called again.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import math
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

METRICS = {"roc auc": "roc_auc", "rmse": "rmse", "rmsle": "rmsle", "accuracy": "accuracy", "mae": "mae"}
LEAKS = {
    "hotel_bookings": ["reservation_status", "reservation_status_date"], "weather_aus": ["RISK_MM"],
    "nyc_taxis": ["total", "tip", "tolls"], "bank_marketing": ["duration"],
}  # fmt: skip


def prepare(folder: Path, entry: dict[str, str], rows: int, out: Path) -> tuple[Path, Path, str]:
    """Train and test CSV with a fixed cut of at most `rows` rows; returns their paths and the metric."""
    import numpy as np
    import pandas as pd

    train, test = out / f"{entry['name']}-train.csv", out / f"{entry['name']}-test.csv"
    metric = METRICS[entry["metric"].split("/")[0].strip().lower()]
    if not test.exists():
        file = folder / entry["file"]
        frame = pd.read_parquet(file) if file.suffix == ".parquet" else pd.read_csv(file, low_memory=False)
        frame = frame.drop(columns=[c for c in LEAKS.get(entry["name"], []) if c in frame])
        frame = frame[frame[entry["target"]].notna()]
        if entry["task"] == "regression":
            frame = frame[pd.to_numeric(frame[entry["target"]], errors="coerce").notna()]
        order = np.random.default_rng(0).permutation(len(frame))[:rows]
        cut = int(len(order) * 0.75)
        frame.iloc[order[:cut]].to_csv(train, index=False)
        frame.iloc[order[cut:]].to_csv(test, index=False)
    return train, test, metric


def error_of(predictions: Path, test: Path, target: str, task: str, metric: str) -> float:
    """Lower is better: 1 - score for shares, the loss itself for losses."""
    import numpy as np
    import pandas as pd

    from automlgpt_local.metrics import METRICS as OURS

    found, truth = pd.read_csv(predictions), pd.read_csv(test, low_memory=False)[target]
    if task == "regression":
        score = OURS[metric].score(truth.to_numpy(float), found["prediction"].to_numpy(float))
    else:
        names = [c for c in found.columns if c.startswith("proba_")]
        labels = [c.removeprefix("proba_") for c in names]
        codes = truth.astype(str).map({label: i for i, label in enumerate(labels)}).to_numpy()
        score = OURS[metric].score(codes.astype(int), found[names].to_numpy(float))
    return 1 - score if OURS[metric].higher_is_better else float(np.abs(score))


def name_of(model: str) -> str:
    """A name, or for a file its stem with the first digits of its hash."""
    path = Path(model)
    if path.suffix != ".gguf":
        return model
    return f"{path.stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"


def run_one(
    train: Path, test: Path, entry: dict[str, str], metric: str, model: str, seconds: float, seed: int, work: Path
) -> dict[str, Any]:
    import shutil

    import pandas as pd

    name = name_of(model)
    out = work / f"run-{entry['name']}-{name}-{seed}"
    shutil.rmtree(out, ignore_errors=True)
    features = work / f"{entry['name']}-features.csv"
    if not features.exists():
        pd.read_csv(test, low_memory=False).drop(columns=[entry["target"]]).to_csv(features, index=False)
    start = "import sys; from automlgpt_local.cli.main import main; sys.exit(main())"
    command = [
        sys.executable, "-c", start, "run", str(train), "--target", entry["target"], "--metric", metric,
        "--time-limit", str(seconds), "--model", model, "--seed", str(seed), "--test", str(features),
        "--out", str(out), "--leaks", "keep",
    ]  # fmt: skip
    started = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds * 2 + 60, check=False)
    result = {"set": entry["name"], "model": name, "seed": seed, "seconds": round(time.monotonic() - started, 1)}
    if done.returncode:
        return {**result, "failed": done.stderr[-400:]}
    return {**result, "error": error_of(out / "predictions.csv", test, entry["target"], entry["task"], metric)}


def summary(results: list[dict[str, Any]], models: Sequence[str]) -> dict[str, Any]:
    """Over the cells (set, seed) that all models finished: mean rank, and the geometric mean of the first one's error
    over each other's. Its 95 % interval is Student's, over sets: the seeds of a set do not differ as sets do."""
    import numpy as np
    from scipy.stats import t

    cells: dict[tuple[str, int], dict[str, float]] = {}
    for r in results:
        if "error" in r:
            cells.setdefault((r["set"], r["seed"]), {})[r["model"]] = max(1e-12, r["error"])
    whole = {cell: c for cell, c in cells.items() if set(models) <= set(c)}
    found: dict[str, Any] = {"cells": len(whole), "failed": sum("failed" in r for r in results)}
    if not whole:
        return found
    ranks = {m: [1 + sum(c[o] < c[m] for o in models) + (sum(c[o] == c[m] for o in models) - 1) / 2
                 for c in whole.values()] for m in models}  # fmt: skip
    found["mean_rank"] = {m: round(sum(r) / len(r), 3) for m, r in ranks.items()}
    first = models[0]
    for other in models[1:]:
        logs: dict[str, list[float]] = {}
        for (name, _), c in whole.items():
            logs.setdefault(name, []).append(math.log(c[first] / c[other]))
        means = np.array([np.mean(of_set) for of_set in logs.values()])
        mean, n = means.mean(), len(means)
        spread = math.inf if n < 2 else t.ppf(0.975, n - 1) * means.std(ddof=1) / n**0.5
        found[f"{first}/{other}"] = [round(math.exp(v), 4) for v in (mean, mean - spread, mean + spread)]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--sets", default="", help="names, comma separated; default: all")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--models", default="nano,none,random")
    parser.add_argument("--out", type=Path, default=Path("bench/nano"))
    parser.add_argument("--stop-after", type=float, default=math.inf, help="seconds; call again to go on")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    began, path = time.monotonic(), args.out / "results.jsonl"
    results = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    results = [r for r in results if "error" in r]  # what failed is tried again
    done = {(r["set"], r["model"], r["seed"]) for r in results}
    models = args.models.split(",")
    with (args.data / "INDEX.csv").open(newline="", encoding="utf-8") as file:
        entries = [e for e in csv.DictReader(file) if not args.sets or e["name"] in args.sets.split(",")]
    for seed in map(int, args.seeds.split(",")):
        for entry in entries:
            train, test, metric = prepare(args.data, entry, args.rows, args.out)
            for model in models:
                if (entry["name"], name_of(model), seed) in done or time.monotonic() - began > args.stop_after:
                    continue
                result = run_one(train, test, entry, metric, model, args.seconds, seed, args.out)
                print(json.dumps(result), file=sys.stderr, flush=True)
                results.append(result)
                with path.open("a") as log:
                    log.write(json.dumps(result) + "\n")
    found = summary(results, [name_of(m) for m in models])
    print(json.dumps(found) if args.json else "\n".join(f"{k}: {v}" for k, v in found.items()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
