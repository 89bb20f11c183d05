"""kill -9 at many moments of a run; each time the resumed run must end as the unkilled one did.

    python scripts/stress_kill.py [--moments 30] [--model nano] [--trials 6] [--json]

A run with fixed work (`--trials`, one thread) is done once unkilled. Then, for moments spread evenly over its events,
the engine is killed when its log has grown so far, and resumed. Checked: every event that was acknowledged before the
kill is still there, `seq` has no gap, and the steps (less their timings) are those of the unkilled run, none twice.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from automlgpt_local.client import resume, start
from automlgpt_local.events import AMBIENT, NAMES, Finished, Record, read_events
from automlgpt_local.task import Request

# What differs between two runs of the same work: time, memory, how much of a prompt was evaluated already, and with it
# the last digit of a model's probabilities (a prompt evaluated in other batches sums in another order).
UNSTABLE = {"seconds", "predict_s", "peak_mib", "evaluated_tokens", "looks", "probabilities"}


def steps(run_dir: Path) -> list[str]:
    """The steps of a run in a comparable form. Folds of one attempt may end in any order."""
    lines: list[str] = []
    for record in read_events(run_dir / "events.jsonl"):
        if isinstance(record.event, AMBIENT):
            continue
        values = {k: v for k, v in asdict(record.event).items() if k not in UNSTABLE}
        lines.append(json.dumps([NAMES[type(record.event)], values], sort_keys=True))
    return sorted_folds(lines)


def sorted_folds(lines: list[str]) -> list[str]:
    out: list[str] = []
    block: list[str] = []
    for line in lines:
        if line.startswith('["fold_finished"'):
            block.append(line)
            continue
        out += [*sorted(block), line]
        block = []
    return out + sorted(block)


def first_difference(a: list[str], b: list[str]) -> str:
    for i, (left, right) in enumerate(zip(a, b)):
        if left != right:
            return f"step {i + 1}:\n  {left[:600]}\n  {right[:600]}"
    return f"{len(a)} steps against {len(b)}"


def request(data: Path, model: str, trials: int) -> Request:
    return Request(
        data=(str(data),),
        target="target",
        test=str(data),
        model=model,
        trials=trials,
        threads=1,
        memory_mib=4096,
        time_limit_s=600.0,
        seed=3,
    )


def run_to_end(run_dir: Path, asked: Request) -> list[Record]:
    records = list(start(asked, out=run_dir))
    if not isinstance(records[-1].event, Finished):
        raise SystemExit(f"{run_dir}: the run ended with {records[-1].event}")
    return records


def kill_after(run_dir: Path, asked: Request, events: int) -> list[Record]:
    """Start a run, kill its engine once `events` were acknowledged. Returns the acknowledged ones."""
    session = start(asked, out=run_dir)
    seen: list[Record] = []
    while len(seen) < events:
        record = session.get()
        if record is None:
            break
        if record.seq:
            seen.append(record)
    assert session.process is not None
    session.process.kill()
    session.process.wait()
    return seen


def check_moment(folder: Path, asked: Request, events: int, expected: list[str]) -> str:
    """ "" when the resumed run is as it should be, else what is wrong."""
    run_dir = folder / f"killed_{events}"
    seen = kill_after(run_dir, asked, events)
    for _ in range(100):  # the children of the killed engine let go of the folder
        time.sleep(0.02)
    for record in resume(run_dir):
        last = record.event
    if not isinstance(last, Finished):
        return f"the resumed run ended with {last}"
    log = list(read_events(run_dir / "events.jsonl"))
    if [r.seq for r in log] != list(range(1, len(log) + 1)):
        return "seq has a gap or a repeat"
    lost = [r.seq for r in seen if log[r.seq - 1] != r]
    if lost:
        return f"acknowledged events were lost or changed: {lost[:5]}"
    got = steps(run_dir)
    return "" if got == expected else first_difference(expected, got)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--moments", type=int, default=30)
    parser.add_argument("--model", default="nano")
    parser.add_argument("--trials", type=int, default=6)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    folder = Path(tempfile.mkdtemp(prefix="automlgpt-kill-"))
    from sklearn.datasets import load_breast_cancer

    data = folder / "table.csv"
    load_breast_cancer(as_frame=True).frame.to_csv(data, index=False)
    asked = request(data, options.model, options.trials)
    whole = run_to_end(folder / "whole", asked)
    expected = steps(folder / "whole")
    total = sum(1 for r in whole if r.seq)
    results: dict[int, str] = {}
    for i in range(options.moments):
        events = 1 + round(i * (total - 2) / max(1, options.moments - 1))
        results[events] = check_moment(folder, asked, events, expected)
        print(f"killed after event {events} of {total}: {results[events] or 'ok'}", file=sys.stderr, flush=True)
    bad = {k: v for k, v in results.items() if v}
    summary: dict[str, Any] = {"moments": len(results), "failed": len(bad), "events": total, "steps": len(expected)}
    print(json.dumps(summary) if options.json else summary)
    if not bad:
        shutil.rmtree(folder)
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main())
