"""`python -m automlgpt_local.client.scripted [--pace S] [--mode M] RUN_DIR --started-at T`: an engine that acts a run.

It speaks the engine's whole protocol and computes nothing: tests, the screens of the documents and the TUI's benchmark
run against it in seconds. Modes: normal, fail (ends with `failed`), crash (dies without a last event), hang (does not
hear), ask (wants an approval for each attempt), flood (tokens and events as fast as the pace says, for a benchmark).
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import json
import math
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from automlgpt_local import __version__
from automlgpt_local import events as ev
from automlgpt_local.durable import write_request
from automlgpt_local.recipes import load as load_recipes
from automlgpt_local.search.clock import Clock
from automlgpt_local.search.control import Control
from automlgpt_local.search.recorder import Recorder
from automlgpt_local.task import Request, TaskSpec

COLUMNS: list[dict[str, Any]] = [
    {"name": "customerID", "kind": "id", "missing": 0.0, "unique": 7043, "top": [], "association": 0.0},
    {"name": "tenure", "kind": "number", "missing": 0.0, "unique": 73, "min": 0, "max": 72, "mean": 32.4, "std": 24.6,
     "association": 0.74},
    {"name": "Contract", "kind": "category", "missing": 0.0, "unique": 3, "top": ["Month-to-month", "Two year"],
     "association": 0.73},
    {"name": "MonthlyCharges", "kind": "number", "missing": 0.0, "unique": 1585, "min": 18.3, "max": 118.8,
     "mean": 64.8, "std": 30.1, "association": 0.62},
    {"name": "TotalCharges", "kind": "numeric_text", "missing": 0.0016, "unique": 6531, "association": 0.65},
    {"name": "PaymentMethod", "kind": "category", "missing": 0.0, "unique": 4, "top": ["Electronic check"],
     "association": 0.63},
    {"name": "cancellation_date", "kind": "date", "missing": 0.73, "unique": 365, "association": 0.99, "leak": True,
     "leak_reason": "filled only where the target is Yes"},
]  # fmt: skip
PROFILE = {
    "rows": 7043,
    "duplicates": 22,
    "columns": COLUMNS,
    "target": {"name": "Churn", "classes": {"No": 5174, "Yes": 1869}},
}

RECIPES = (
    ("linear", "a linear baseline", 0.8391),
    ("lightgbm", "LightGBM with native categories", 0.8447),
    ("catboost", "CatBoost, ordered target statistics", 0.8479),
    ("extra_trees", "ExtraTrees on one-hot columns", 0.8302),
    ("lightgbm", "LightGBM, slower and deeper", 0.8468),
    ("lightgbm", "LightGBM + charges per month of tenure", 0.8493),
)

SOLUTION = '''"""{title}."""

import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from lightgbm import LGBMClassifier


def features(df: pd.DataFrame) -> pd.DataFrame:
    df["TotalCharges"] = pd.to_numeric(df["TotalCharges"], errors="coerce")
    df["charge_per_month"] = df["TotalCharges"] / df["tenure"].clip(lower=1)
    return df


def build(params, ctx):
    encode = make_column_transformer(
        (OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ctx["columns"]["category"]),
        remainder="passthrough",
    )
    model = LGBMClassifier(n_estimators=params.get("n_trees", {trees}), learning_rate=0.05, n_jobs=ctx["n_threads"])
    return make_pipeline(encode, model)
'''


def solution(number: int, title: str) -> str:
    return SOLUTION.format(title=title, trees=200 + 50 * number)


def script(request: Request, run_id: str = "scripted", folds: int = 5) -> Iterator[ev.Event]:
    """The events of a plausible run, tokens included; the caller writes `attempts/` and waits between them."""
    target, metric, limit_s = request.target or "Churn", request.metric or "roc_auc", request.time_limit_s
    layers = {"landlock": "enforced", "seccomp": "enforced", "namespaces": "missing"}
    yield ev.SessionStarted(run_id, __version__, request.model, "77aa" * 16, limit_s)
    yield ev.SandboxStarted(layers)
    yield ev.ModelStarted(request.model, "9f2c" * 16, "compact", 2048)
    yield ev.TaskResolved({
        "version": 1, "target": target, "kind": request.kind or "binary", "metric": metric, "time_limit_s": limit_s,
        "ignore": [], "positive": "Yes", "model": request.model, "seed": request.seed, "threads": 2, "holdout": 0.1,
        "source": {"target": "flag" if request.target else "inferred", "metric": "default", "kind": "inferred"},
        "warnings": [],
    })  # fmt: skip
    yield ev.StageStarted("explore")
    yield ev.Profiled(PROFILE)
    yield ev.Warned("cancellation_date is filled only where the target is Yes: it is left out as a leak.")
    yield ev.SplitMade("stratified", folds, 6338, 705, "5d0c1f")
    yield ev.Decided("reasoner", "explore", "treat TotalCharges as a number", {"column": "TotalCharges"}, "model",
                     "It is text in the file, but 99.8 % of its values are numbers; 11 are blank.", 40, 6, 300,
                     {"treatment": 0.93}, 0.4)  # fmt: skip
    best, stage = None, "explore"
    for number, (recipe, title, score) in enumerate(RECIPES, 1):
        wanted = "process" if number == 1 else "tune" if number > 4 else "select"
        if wanted != stage:
            stage = wanted
            yield ev.StageStarted(stage)
        thought = f"{title}: the best so far is {best[1]:.4f}. " if best else "A plain baseline first. "
        yield ev.Token("reasoner", thought)
        yield ev.Decided("reasoner", stage, "next_recipe", {"next": recipe}, "model",
                         thought + "Its errors should differ from those of the others.", 52, 9, 420,
                         {"recipe": 0.61 + number / 30}, 0.7)  # fmt: skip
        code = solution(number, title)
        for at in range(0, len(code), 24):
            yield ev.Token("coder", code[at : at + 24])
        if number == 3:
            yield ev.CodeRejected(stage, "build() uses catboost.Pool, which is not imported.", 2)
            yield ev.Noted(stage, "documentation of catboost", "cat_features takes names or positions of columns.")
        yield ev.CodeWritten(number, stage, "model", title, recipe, best[0] if best else None,
                             {"learning_rate": 0.05}, {"number": ["tenure"], "category": ["Contract"]},
                             hashlib.sha256(code.encode()).hexdigest(), False, 310, 44, {"n_trees": 0.4})  # fmt: skip
        fold_scores = [round(score + 0.006 * math.sin(number * 7 + k * 3), 4) for k in range(folds)]
        for k, fold_score in enumerate(fold_scores):
            yield ev.FoldFinished(number, k, "ok", fold_score, 0.8 + 0.1 * k, 310.0 + number, predict_s=0.03 * number)
        yield ev.AttemptFinished(number, "ok", score, 0.0021, fold_scores, 5.1 + number)
        kept = best is None or score > best[1] + 0.001
        yield ev.Gated(number, best[0] if best else None, score - best[1] if best else score, 0.0012, kept)
        best = (number, score) if kept else best
        yield ev.Budget(0.1 * number * limit_s, limit_s, 6.0 * number, 5.0 * number, stage)
    assert best is not None
    yield ev.TookOver("tune", "The model proposed the same parameters three times.")
    yield ev.Stopped("nothing_left_to_gain", "The last 3 attempts gained less than their noise.")
    yield ev.StageStarted("ensemble")
    yield ev.EnsembleChosen({"6": 0.55, "3": 0.45}, 0.8511, best[1], True)
    yield ev.StageStarted("holdout")
    yield ev.HoldoutScored(0.8472, 0.8511, 0.0039, 1)
    yield ev.StageStarted("refit")
    for number in (6, 3):
        yield ev.Refitted(number, "ok", 1.4, {"n_trees": 231})
    yield ev.StageStarted("export")
    yield ev.Exported(["pipeline/", "model/", "predict.py", "requirements.txt", "report.md", "predictions.csv"])


class _Engine:
    def __init__(
        self, run_dir: Path, pace_s: float, mode: str, resume: bool, detach: bool, time_limit_s: float | None
    ) -> None:
        self.run_dir, self.pace_s, self.mode, self.resume, self.detach = run_dir, pace_s, mode, resume, detach
        self.lock = os.open(run_dir / "lock", os.O_WRONLY | os.O_CREAT)
        fcntl.flock(self.lock, fcntl.LOCK_EX)
        self.log = ev.EventLog(run_dir / "events.jsonl")
        self.used_s = self.log.used_s
        self.commands: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.stop = self.paused = False
        self.always = mode != "ask"
        self.answer = ""
        self.request = Request.from_json(json.loads((run_dir / "request.json").read_text(encoding="utf-8")))
        if time_limit_s is not None:
            self.request = replace(self.request, time_limit_s=time_limit_s)
            write_request(run_dir, self.request)
        self.clock = Clock(self.request.time_limit_s)
        recorder = Recorder(self.log, self.clock, self.tell)
        self.control = Control(recorder, asks=False)

    def tell(self, line: str) -> None:
        if not self.detach:
            print(line, flush=True)

    def say(self, event: ev.Event) -> None:
        if isinstance(event, ev.Token):
            self.tell(json.dumps({"v": ev.VERSION, "type": "token", "agent": event.agent, "text": event.text}))
        else:
            self.used_s = max(self.used_s + 0.5, event.used_s if isinstance(event, ev.Budget) else 0.0)
            self.tell(self.log.append(event, self.used_s).to_line())

    def listen(self) -> None:
        for line in sys.stdin:
            self.commands.put(json.loads(line))
        if not self.detach:
            os._exit(0)  # nobody is there any more; the run can be resumed

    def obey(self) -> None:
        while True:
            try:
                command = self.commands.get_nowait()
            except queue.Empty:
                if not self.paused or self.stop:
                    return
                time.sleep(0.01)
                continue
            name, values = str(command["command"]), {k: v for k, v in command.items() if k != "command"}
            if name == "approve":
                self.answer = str(values["answer"])
                continue
            if name in ev.STEERING:
                self.control.put(command)
                self.carry_out()
                continue
            self.say(ev.Commanded(name, values))
            self.stop = self.stop or name == "stop"
            self.paused = name == "pause" or (self.paused and name != "continue")

    def begin(self) -> None:
        """From now on messages are answered and carried out, by the code of the real engine."""
        task = next((r.event.task for r in self.log.records if isinstance(r.event, ev.TaskResolved)), None)
        if task is not None:
            self.control.begin(TaskSpec.from_json(task), [c["name"] for c in COLUMNS])
            self.carry_out()

    def carry_out(self) -> None:
        self.stop = self.stop or self.control.stop_requested.is_set()
        attempts = {r.event.attempt: r.event.recipe for r in self.log.records if isinstance(r.event, ev.CodeWritten)}
        recipes = load_recipes(installed_only=False)
        for change in self.control.changes():
            task = TaskSpec.from_json(change.task)
            gone = [n for n, recipe in attempts.items() if not task.allows(recipes[recipe].family)]
            kept = [r.event.attempt for r in self.log.records if isinstance(r.event, ev.Gated) and r.event.kept]
            self.say(replace(change, left_out=gone, best=next((n for n in reversed(kept) if n not in gone), None)))

    def approved(self, event: ev.CodeWritten) -> None:
        if self.always:
            return
        self.say(ev.ApprovalAsked(event.attempt, event.title))
        self.answer = ""
        while not self.answer and not self.stop:
            self.obey()
            time.sleep(0.01)
        self.always = self.answer == "always"
        self.say(ev.Approved(event.attempt, self.answer or "reject"))

    def run(self) -> int:
        request = self.request
        done = {type(r.event) for r in self.log.records}
        skip = sum(not isinstance(r.event, ev.AMBIENT) for r in self.log.records) if self.resume else 0
        if self.resume:
            self.say(ev.Resumed(__version__))
            self.begin()
        events = list(script(request, self.run_dir.name))
        for event in events:
            if isinstance(event, ev.Token):
                if skip:
                    continue
            elif not isinstance(event, ev.AMBIENT) and skip:
                skip -= 1
                continue
            elif isinstance(event, ev.AMBIENT) and type(event) in done and skip:
                continue
            self.obey()
            if self.stop and not isinstance(event, ev.EnsembleChosen | ev.HoldoutScored | ev.Refitted | ev.Exported):
                continue
            if isinstance(event, ev.CodeWritten):
                folder = self.run_dir / "attempts" / f"{event.attempt:04d}"
                folder.mkdir(parents=True, exist_ok=True)
                (folder / "solution.py").write_text(solution(event.attempt, event.title), encoding="utf-8")
            if self.mode == "crash" and isinstance(event, ev.Gated):
                print("scripted: this crash is part of the play", file=sys.stderr, flush=True)
                os._exit(9)
            self.say(replace(event, limit_s=self.clock.limit_s) if isinstance(event, ev.Budget) else event)
            if isinstance(event, ev.SplitMade):
                self.begin()
            if self.mode == "fail" and isinstance(event, ev.TaskResolved):
                self.say(ev.Failed("DataError", "There is no column 'nope'.", "The columns are: tenure, Contract.", 2))
                return 2
            if isinstance(event, ev.CodeWritten):
                self.approved(event)
            while self.mode == "hang":
                time.sleep(1)
            time.sleep(self.pace_s / 20 if isinstance(event, ev.Token) else self.pace_s)
        self.export()
        code = 130 if self.stop else 0
        self.say(ev.Finished(0.8511, 0.8472, request.metric or "roc_auc", self.used_s, code))
        return code

    def export(self) -> None:
        text = "# Report\n\nThe ensemble of attempts 6 and 3 reached **0.8472** on the locked holdout.\n"
        (self.run_dir / "report.md").write_text(text, encoding="utf-8")
        (self.run_dir / "report.json").write_text('{"score": 0.8511}\n', encoding="utf-8")
        (self.run_dir / "report.html").write_text("<!doctype html><title>Report</title>\n", encoding="utf-8")


HALFWAY_S = 12.0


def flood(seconds: float, most_events: int) -> int:
    """200 tokens and 20 events a second, for `scripts/bench_tui.py`; then up to `most_events` in a flood.

    Halfway there is a rest, so that what the first half filled can be told from what grows on.
    """
    started_at = time.monotonic()
    end = started_at + seconds
    seq = tick = told = attempt = 0
    rested = False
    code = solution(1, "a flood").splitlines(keepends=True)

    def say(event: ev.Event) -> None:
        nonlocal seq
        seq += 1
        record = ev.Record(seq, "2026-01-01T00:00:00+00:00", time.monotonic() - started_at, event)
        print(record.to_line(), flush=True)

    for event in list(script(Request(data=("x.csv",), target="Churn")))[:4]:
        say(event)
    while (calm := time.monotonic() < end) or seq < most_events:
        tick += 1
        print(json.dumps({"v": 1, "type": "token", "agent": "coder", "text": code[tick % len(code)]}), flush=True)
        if tick % (10 if calm else 2) == 0:
            told += 1
            kind = told % 20
            if kind == 0:
                attempt += 1
                say(ev.CodeWritten(attempt, "tune", "model", f"attempt {attempt}", "lightgbm", None, {}, {}, ""))
            elif kind == 1:
                say(ev.Decided("reasoner", "tune", "next_recipe", {"next": "lightgbm"}, "model", "A thought. " * 20))
            elif kind < 18:
                say(ev.FoldFinished(attempt, kind % 5, "ok", 0.8, 0.1))
            elif kind == 18:
                say(ev.AttemptFinished(attempt, "ok", 0.8 + attempt / 10_000, 0.002, [0.8], 1.0))
            else:
                say(ev.Gated(attempt, None, 0.001, 0.002, attempt % 7 == 0))
        if not calm and not rested and seq >= most_events / 2:
            rested = True
            say(ev.StageStarted("halfway"))
            time.sleep(HALFWAY_S)
        time.sleep(max(0.0, started_at + 0.005 * tick - time.monotonic()) if calm else 0.001)
    time.sleep(5.0)  # what came last is drawn and measured
    say(ev.Finished(0.8, 0.8, "roc_auc", seconds, 0))
    return 0


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--pace", type=float, default=0.0)
    parser.add_argument("--mode", default="normal")
    parser.add_argument("--events", type=int, default=0, help="of a flood, at least")
    parser.add_argument("--started-at", type=float, required=True)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--time-limit", type=float)
    parser.add_argument("--detach", action="store_true")
    args = parser.parse_args()
    if args.mode == "flood":
        return flood(args.pace, args.events)
    engine = _Engine(args.run_dir, args.pace, args.mode, args.resume, args.detach, args.time_limit)
    threading.Thread(target=engine.listen, daemon=True).start()
    return engine.run()


if __name__ == "__main__":
    raise SystemExit(main())
