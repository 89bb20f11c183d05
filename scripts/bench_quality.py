"""Ours against peers on real data, in the same seconds on the same cores. Resumable: finished cells are not run again.

    python scripts/bench_quality.py --data DATA --suite SUITE.json --seconds 120 --systems ours,lightgbm,flaml \
        --models none,nano --peer-python flaml=/path/to/venv/bin/python --out bench

Systems: ours, ours-single (no ensemble), ours-gateless, ours-oneagent, lightgbm (its defaults), flaml, lightautoml,
autotinker, autogluon-best_quality, autogluon-good_quality. Writes RESULTS (one row a run) and OUT/results.md.
Wall time is that of the whole process, seen from outside; a fixed LightGBM fit is timed before each run.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from bench_data import error, prepare
from bench_table import markdown

ROOT = Path(__file__).resolve().parent.parent
FIELDS = ["data", "system", "seed", "seconds", "error", "wall_s", "peak_mib", "calibration_s", "status", "at"]
FIELDS += ["predict_rows_per_s"]  # of a new process that loads the model and predicts the test part
CALIBRATION = """
import time, numpy, lightgbm
rng = numpy.random.default_rng(0); X = rng.normal(size=(20000, 20)); y = X[:, 0] + rng.normal(size=20000)
lightgbm.LGBMRegressor(n_estimators=20, n_jobs=2, verbose=-1).fit(X, y)
start = time.perf_counter(); lightgbm.LGBMRegressor(n_estimators=100, n_jobs=2, verbose=-1).fit(X, y)
print(time.perf_counter() - start)
"""
PROGRAM = [sys.executable, "-c", "from automlgpt_local.cli.main import main; main()"]
VARIANTS = {
    "ours": [], "ours-single": ["--no-ensemble"], "ours-gateless": ["--without", "gate"],
    "ours-oneagent": ["--without", "second-agent"],
}  # fmt: skip
GRACE = 4  # a run is killed after this many times its seconds, plus a minute


def main() -> int:
    options = parse()
    out = Path(options.out)
    out.mkdir(parents=True, exist_ok=True)
    names = prepare(Path(options.data), json.loads(Path(options.suite).read_text()), out / "splits", options.rows)
    names = [n for n in names if not options.only or n in options.only.split(",")]
    pythons = dict(pair.split("=", 1) for pair in options.peer_python)
    kept = options.results or out / "results.csv"
    results = read(kept)
    for name in names:  # data set by data set, so that systems are interleaved in time
        for system in systems_of(options):
            for seed in [int(s) for s in options.seeds.split(",")]:
                key = (name, system, str(seed), str(options.seconds))
                if any(tuple(r[f] for f in FIELDS[:4]) == key and r["status"] == "ok" for r in results):
                    continue
                row = run(name, system, seed, options, pythons)
                results = [r for r in results if tuple(r[f] for f in FIELDS[:4]) != key] + [row]
                write(kept, results)
                print(f"{name:18s} {system:24s} {row['error']:>10s} {row['wall_s']:>8s} s  {row['status']}", flush=True)
                (out / "results.md").write_text(markdown(results))
    print(markdown(results))
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder of data sets, <name>/data.*")
    parser.add_argument("--suite", required=True, help="JSON: tasks {group: {name: [target, kind, metric]}}, drop")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--systems", default="ours,lightgbm")
    parser.add_argument("--models", default="none", help="for ours: none, random, nano or a path; several by comma")
    parser.add_argument("--ablation", action="store_true", help="every variant of ours with none, random and nano")
    parser.add_argument("--results", type=Path, help="the CSV of all runs so far; default: OUT/results.csv")
    parser.add_argument("--only", default="", help="names of data sets, by comma")
    parser.add_argument("--seeds", default="0")
    parser.add_argument("--rows", type=int, default=20_000, help="rows kept of a data set")
    parser.add_argument("--peer-python", action="append", default=[], metavar="NAME=PATH")
    parser.add_argument("--prefix", default="", help="a command put before each timed run, such as 'taskset -c 0,1'")
    parser.add_argument("--out", default="bench")
    return parser.parse_args()


def systems_of(options: argparse.Namespace) -> list[str]:
    """`ours` stands for one system per model: ours:none, ours:nano."""
    if options.ablation:
        found = [f"{variant}:{model}" for variant in VARIANTS for model in ("none", "random", "nano")]
        return [s for s in found if s != "ours-oneagent:none"]  # without a model there are no agents to join
    found = []
    for system in options.systems.split(","):
        found += [f"{system}:{model}" for model in options.models.split(",")] if system in VARIANTS else [system]
    return found


def run(name: str, system: str, seed: int, options: argparse.Namespace, pythons: dict[str, str]) -> dict[str, str]:
    split = Path(options.out) / "splits" / name
    work = Path(options.out) / "runs" / f"{name}-{system.replace(':', '-').replace('/', '_')}-{seed}-{options.seconds}"
    shutil.rmtree(work, ignore_errors=True)
    work.parent.mkdir(parents=True, exist_ok=True)
    prefix = shlex.split(options.prefix)
    calibration = subprocess.run(
        [*prefix, sys.executable, "-c", CALIBRATION], capture_output=True, text=True, check=True, env=environment()
    )
    command, predictions = command_of(system, seed, options.seconds, split, work, pythons)
    started = time.perf_counter()
    status, peak_mib = timed([*prefix, *command], work.with_suffix(".log"), options.seconds * GRACE + 60)
    wall_s = time.perf_counter() - started
    found = ""
    if status == "ok":
        try:
            found = f"{error(split, predictions):.6f}"
        except (OSError, ValueError, KeyError) as problem:
            status = f"no score: {problem}"
    row = [name, system, str(seed), str(options.seconds), found, f"{wall_s:.1f}", f"{peak_mib:.0f}"]
    row += [f"{float(calibration.stdout):.2f}", status, datetime.now(UTC).isoformat(timespec="seconds")]
    row += [predict_speed(system, split, work, command) if status == "ok" else ""]
    return dict(zip(FIELDS, row))


def predict_speed(system: str, split: Path, work: Path, command: list[str]) -> str:
    """Rows a second of a fitted model on the test part, by a process of its own; empty for peers that keep no model."""
    if system.startswith("ours"):
        command = [*PROGRAM, "predict", str(work), str(split / "test_x.csv"), "-o", str(work / "again.csv")]
    elif system.startswith("autogluon"):
        command = [*command[:2], "predict", *command[3:]]
    else:
        return ""
    rows = len((split / "test_y.csv").read_text().splitlines()) - 1
    started = time.perf_counter()
    status, _ = timed(command, work.with_suffix(".predict.log"), 300)
    shutil.rmtree(work / "ag", ignore_errors=True)
    return f"{rows / (time.perf_counter() - started):.0f}" if status == "ok" else ""


def command_of(
    system: str, seed: int, seconds: int, split: Path, work: Path, pythons: dict[str, str]
) -> tuple[list[str], Path]:
    if not system.startswith("ours"):
        python = pythons.get(system) or pythons.get(system.split("-", 1)[0]) or sys.executable
        peer = str(Path(__file__).with_name("bench_peer.py"))
        return [python, peer, system, str(split), str(seconds), str(work)], work / "pred.csv"
    kind, model = system.split(":", 1)
    task = json.loads((split / "task.json").read_text())
    command = [
        *PROGRAM, "run", str(split / "train.csv"), "--target", task["target"],
        "--kind", task["task"], "--metric", task["metric"], "--time-limit", str(seconds), "--threads", "2",
        "--test", str(split / "test_x.csv"), "--out", str(work), "--model", model, "--seed", str(seed),
        "--leaks", "keep", "--json",
    ]  # fmt: skip
    return command + VARIANTS[kind], work / "predictions.csv"


def environment() -> dict[str, str]:
    paths = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH", "")) if p)
    return {
        **os.environ,
        "PYTHONPATH": paths,
        "OMP_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
        "MKL_NUM_THREADS": "2",
    }


def timed(command: list[str], log: Path, limit_s: float) -> tuple[str, float]:
    """Run a command to its end: ("ok" or what went wrong, peak MiB that its processes held together)."""
    import psutil

    peak, status = 0.0, "killed"
    with open(log, "w") as file:
        process = psutil.Popen(command, stdout=file, stderr=file, env=environment(), start_new_session=True)
        end = time.monotonic() + limit_s
        while time.monotonic() < end:
            try:
                code = process.wait(0.5)
                status = "ok" if code == 0 else f"exit {code}"
                break
            except psutil.TimeoutExpired:
                peak = max(peak, held_mib(process))
        else:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    return status, peak


def held_mib(process: Any) -> float:
    import psutil

    total = 0
    for each in [process, *process.children(recursive=True)]:
        try:
            memory = each.memory_info()
            total += memory.rss - getattr(memory, "shared", 0)
        except psutil.Error:
            continue
    return total / 2**20


def read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        return []
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    torn = path.with_suffix(".part")
    with open(torn, "w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        writer.writeheader()
        writer.writerows(rows)
    torn.replace(path)


if __name__ == "__main__":
    sys.exit(main())
