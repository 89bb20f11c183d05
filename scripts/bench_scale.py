"""Large and odd tables through the whole program: wall time, peak memory, prediction speed.

    python scripts/bench_scale.py --json            all cases, each within its own limit
    python scripts/bench_scale.py --only wide,key   some of them

Cases: long (1,000,000 x 30), wide (200 x 5,000), classes (1,000 classes), key (a column of 500,000 values).
Exit code 1 when a case fails, overruns its limit by more than 5 % or needs more memory than allowed.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from bench_quality import PROGRAM, timed

MEMORY_MIB = 24 * 1024


def long(np: Any, pd: Any) -> tuple[Any, str]:
    rng = np.random.default_rng(0)
    n = 1_000_000
    frame = pd.DataFrame(rng.normal(size=(n, 24)).astype("float32").round(4), columns=[f"x{i}" for i in range(24)])
    for i, levels in enumerate((3, 10, 40, 200, 2000, 20_000)):
        frame[f"c{i}"] = "v" + pd.Series(rng.integers(0, levels, n)).astype(str)
    signal = frame["x0"] + frame["x1"] * frame["x2"] + (frame["c3"].str.len() - 3) + rng.normal(size=n)
    frame.loc[rng.random(n) < 0.1, "x3"] = np.nan
    frame["y"] = (signal > 0).astype(int)
    return frame, "binary"


def wide(np: Any, pd: Any) -> tuple[Any, str]:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(250, 5000)).astype("float32").round(4)
    frame = pd.DataFrame(values, columns=[f"g{i}" for i in range(5000)])
    frame["y"] = np.where(values[:, :10].sum(axis=1) + rng.normal(size=250) > 0, "yes", "no")
    return frame, "binary"


def classes(np: Any, pd: Any) -> tuple[Any, str]:
    rng = np.random.default_rng(0)
    y = np.r_[np.arange(1000), rng.integers(0, 1000, 49_000)]
    centres = rng.normal(size=(1000, 20))
    frame = pd.DataFrame((centres[y] + rng.normal(size=(50_000, 20)) * 0.7).round(4)).add_prefix("x")
    frame["y"] = [f"k{v}" for v in y]
    return frame, "multiclass"


def key(np: Any, pd: Any) -> tuple[Any, str]:
    rng = np.random.default_rng(0)
    n = 600_000
    keys = np.r_[np.arange(500_000), rng.integers(0, 500_000, n - 500_000)]
    frame = pd.DataFrame(rng.normal(size=(n, 5)).round(4)).add_prefix("x")
    frame["key"] = "user-" + pd.Series(keys).astype(str)
    frame["y"] = (frame["x0"] * 3 + keys % 7 + rng.normal(size=n)).round(4)
    return frame, "regression"


CASES: dict[str, Callable[[Any, Any], tuple[Any, str]]] = {"long": long, "wide": wide, "classes": classes, "key": key}


def run(name: str, seconds: int, folder: Path) -> dict[str, Any]:
    import numpy as np
    import pandas as pd

    frame, kind = CASES[name](np, pd)
    table, part = folder / "table.csv", folder / "rows.csv"
    frame.to_csv(table, index=False)
    frame.drop(columns="y").head(200_000).to_csv(part, index=False)
    out = folder / "run"
    started = time.perf_counter()
    status, peak_mib = timed(
        [*PROGRAM, "run", str(table), "--target", "y", "--kind", kind, "--time-limit", str(seconds), "--threads", "2",
         "--memory", f"{MEMORY_MIB}m", "--model", "none", "--out", str(out)],
        folder / "run.log", seconds * 2 + 60,
    )  # fmt: skip
    wall_s = time.perf_counter() - started
    row: dict[str, Any] = {
        "case": name, "rows": len(frame), "columns": frame.shape[1] - 1, "limit_s": seconds, "wall_s": round(wall_s, 1),
        "peak_mib": round(peak_mib), "status": status,
    }  # fmt: skip
    if status == "ok":
        started = time.perf_counter()
        predict = [*PROGRAM, "predict", str(out), str(part), "-o", str(folder / "predicted.csv")]
        row["predict_status"], row["predict_peak_mib"] = timed(predict, folder / "predict.log", 600)
        row["predict_rows_per_s"] = round(min(len(frame), 200_000) / (time.perf_counter() - started))
    else:
        row["log"] = (folder / "run.log").read_text()[-1500:]
    row["good"] = status == "ok" and wall_s < max(seconds * 1.05, seconds + 2) and peak_mib < MEMORY_MIB
    return row


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(CASES))
    parser.add_argument("--seconds", type=int, default=600)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for name in options.only.split(","):
        with tempfile.TemporaryDirectory() as folder:
            rows.append(run(name, options.seconds, Path(folder)))
        if not options.json:
            print("  ".join(f"{k} {v}" for k, v in rows[-1].items()), flush=True)
    if options.json:
        print(json.dumps(rows, indent=1))
    return 0 if all(r["good"] for r in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
