"""What the sandbox costs: medians of the start of a job, against a bare fork and against the imports alone.

    python scripts/bench_sandbox.py --json

warm_start_ratio  a job that does nothing, from the call to its end, over a bare fork of the same pre-imported process
layers_ms         all layers but the namespaces, within the fork
cold_start_ratio  interpreter, imports, layers and a first job, over interpreter and imports alone
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from automlgpt_local.confine import policy
from automlgpt_local.sandbox.jobs import Job, Limits
from automlgpt_local.sandbox.preload import ENVIRONMENT
from automlgpt_local.sandbox.runner import Sandbox

LOAD = "import sys; sys.path[:] = {path!r}; from automlgpt_local.sandbox import preload; preload.load_first(); {rest}"
HARNESS = "import automlgpt_local.sandbox.harness"
BARE_FORKS = """
import os, time
times = []
for _ in range({repeats} + 3):
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)
    times.append(time.perf_counter() - started)
print(times[3:])
"""
LAYERS = """
import os, time
from automlgpt_local.confine import policy
policy.prepare()
times = []
for _ in range({repeats} + 3):
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        started = time.perf_counter()
        policy.apply(policy.Policy(write=("/tmp",), memory_mib=1 << 20))
        os.write(writing, repr(time.perf_counter() - started).encode())
        os._exit(0)
    os.close(writing)
    times.append(float(os.read(reading, 100)))
    os.close(reading)
    os.waitpid(child, 0)
print(times[3:])
"""


def in_fresh_process(code: str) -> tuple[float, str]:
    """Seconds from start to end of a process that does the broker's imports and then `code`, and what it printed."""
    path = [*(p for p in sys.path if p), str(ROOT)]
    program = LOAD.format(path=path, rest=f"{HARNESS}; exec({code!r})")
    environment = {**ENVIRONMENT, "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-P", "-s", "-c", program], env=environment, capture_output=True, check=True)
    return time.perf_counter() - started, done.stdout.decode()


def empty_job(folder: Path, number: int) -> Job:
    code = folder / "code.py"
    code.write_text("def space(trial):\n    return {}\n")
    work = folder / f"work{number}"
    work.mkdir()
    return Job("space", {"solution": str(code), "module": "solution"}, work, (code,), Limits(wall_s=30))


def timed_job(sandbox: Sandbox, folder: Path, number: int) -> float:
    job = empty_job(folder, number)
    started = time.perf_counter()
    outcome = sandbox.run(job)
    seconds = time.perf_counter() - started
    assert outcome.status == "ok", outcome
    return seconds


def measure(repeats: int, cold_repeats: int) -> dict[str, Any]:
    bare = statistics.median(json.loads(in_fresh_process(BARE_FORKS.format(repeats=repeats))[1]))
    layers = statistics.median(json.loads(in_fresh_process(LAYERS.format(repeats=repeats))[1]))
    imports, cold, warm = [], [], {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for private in (False, True):
            sandbox = _Chosen(threads=1, memory_mib=2048)
            sandbox.namespaces = private
            with sandbox:
                for number in range(3):
                    timed_job(sandbox, folder, number + 1000 * private)
                times = [timed_job(sandbox, folder, 3 + number + 1000 * private) for number in range(repeats)]
                warm[private] = statistics.median(times)
        for number in range(cold_repeats):  # in turns, so that a busy machine slows both
            imports.append(in_fresh_process("pass")[0])
            cold.append(timed_job(Sandbox(1, 2048, cold=True), folder, 5000 + number))
    return {
        "warm_start_ratio": round(warm[False] / bare, 3),
        "layers_ms": round(layers * 1000, 3),
        "cold_start_ratio": round(statistics.median(cold) / statistics.median(imports), 3),
        "bare_fork_ms": round(bare * 1000, 2),
        "warm_start_ms": round(warm[False] * 1000, 2),
        "warm_start_in_namespaces_ms": round(warm[True] * 1000, 2),
        "cold_start_ms": round(statistics.median(cold) * 1000, 1),
        "imports_ms": round(statistics.median(imports) * 1000, 1),
        "repeats": repeats,
        "cold_repeats": cold_repeats,
        "load": os.getloadavg()[0],
        "libraries": len(policy.library_paths()),
    }


class _Chosen(Sandbox):
    namespaces = True

    def left_out(self) -> frozenset[str]:
        return frozenset() if self.namespaces else frozenset({"namespaces"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--cold-repeats", type=int, default=20)
    options = parser.parse_args()
    figures = measure(options.repeats, options.cold_repeats)
    if options.json:
        print(json.dumps(figures))
    else:
        for name, value in figures.items():
            print(f"{name:28} {value}")


if __name__ == "__main__":
    main()
