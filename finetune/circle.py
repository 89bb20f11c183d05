"""The whole circle at a small size: recorded sessions -> rows -> LoRA -> GGUF adapter -> llama.cpp -> measured.

A house rule that contradicts the nano's habits (free text is always dropped, linear models come first) is present in
recorded sessions; all else in them is what the nano itself decided. Afterwards the rule must hold on tables of
families that no session saw, and the decisions that the rule says nothing about must not have become worse.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automlgpt_local import recipes
from automlgpt_local.agents import compact, ideas
from automlgpt_local.events import AttemptFinished, CodeWritten, Decided, EventLog, Gated, Profiled, TaskResolved
from automlgpt_local.llm.backend import Backend
from automlgpt_local.llm.local import LocalBackend
from automlgpt_local.metrics import METRICS
from automlgpt_local.task import TaskSpec
from finetune import traces
from finetune.cases import Case, from_table
from finetune.gguf_import import read_gguf
from finetune.lora import add_lora, write_adapter
from finetune.model import Training, train
from finetune.rows import encode
from finetune.tables import generate

SEEN = ("wordy", "plain", "levels", "dated")
UNSEEN = ("mixed", "parsed", "codes")
RANK, ALPHA = 8, 16.0
Figures = dict[str, float]


@dataclass(frozen=True)
class Size:
    """Recorded sessions, tables to test on, rows of a table, steps of training."""

    sessions: int = 120
    tests: int = 90
    n_rows: int = 400
    steps: int = 400


QUICK = Size(24, 18, 150, 60)


def _task(case: Case) -> TaskSpec:
    return TaskSpec(target="target", kind=case.kind, metric=case.metric, time_limit_s=120.0)  # type: ignore[arg-type]


def house_rule(column: Any) -> str | None:
    """What the house wants for a column; None where it has no opinion."""
    return "drop" if column.kind == "text" else None


def record_session(case: Case, backend: Backend, path: Path) -> None:
    """A session's events: the backend's decisions, overruled by the house rule where it has an opinion."""
    log, task = EventLog(path), _task(case)

    def decide(agent: str, stage: str, decision: str, values: dict[str, Any], about: Sequence[str] = ()) -> None:
        log.append(Decided(agent, stage, decision, values, "model", about=list(about)), 1.0)  # type: ignore[arg-type]

    def ask(agent: str, template: Any) -> dict[str, str]:
        return backend.fill(agent, [compact.opening(agent, task, case.profile)], template).values

    log.append(TaskResolved(task.to_json()), 0.0)
    log.append(Profiled(case.profile.to_json()), 0.0)
    columns, rows = list(case.profile.columns), case.profile.rows
    advised = case.default_treatments()
    for first in range(0, len(columns), compact.BATCH):
        batch = columns[first : first + compact.BATCH]
        values = ask("reasoner", compact.treat(batch, first, rows))
        for i, column in enumerate(batch):
            values[f"c{i}"] = house_rule(column) or values[f"c{i}"]
            advised[column.name] = values[f"c{i}"]
        decide("reasoner", "process", "treatments", values)
    log.append(_code(1, "lightgbm", "the Reasoner's treatment of the columns"), 2.0)
    log.append(AttemptFinished(1, "ok", 0.5, 0.01, [0.5, 0.5], 1.0), 3.0)
    log.append(Gated(1, None, 0.0, 0.0, True), 3.0)
    proposed = ideas.propose(case.profile, advised, 12)
    if proposed:
        decide("coder", "process", "features", ask("coder", compact.features(proposed)))
    decide("reasoner", "select", "next_recipe", {"next": "linear"}, ("linear", "lightgbm", "extra_trees"))
    grid = recipes.load(installed_only=False)["linear"].grid
    replay_board = [("lightgbm", "best", "g0", "t0")]
    decide("coder", "select", "params", ask("coder", compact.params("linear", grid, replay_board)))
    log.append(_code(2, "linear", "Linear"), 4.0)
    score = 0.6 if METRICS[case.metric].higher_is_better else 0.4
    log.append(AttemptFinished(2, "ok", score, 0.01, [score, score], 1.0), 5.0)
    log.append(Gated(2, 1, 0.1, 0.01, True), 5.0)
    left = [r for r in compact.RECIPES if r not in ("lightgbm", "linear")]
    board = [("lightgbm", "high", "g0", "t0"), ("linear", "best", "g5", "t0")]
    decide("reasoner", "select", "next_recipe", ask("reasoner", compact.next_recipe(board, left)))
    log.close()


def _code(attempt: int, recipe: str, title: str) -> CodeWritten:
    return CodeWritten(attempt, "process", "model", title, recipe, None, {}, {}, "")


def measure(backend: Backend, cases: Sequence[Case]) -> tuple[Figures, list[bool]]:
    """Shares that keep the house rule ("rule") and, of the rest, agree with the truth ("elsewhere"); each of these."""
    followed: list[bool] = []
    agreed: list[bool] = []
    for case in cases:
        task, right = _task(case), case.true_treatments()
        opening = compact.opening("reasoner", task, case.profile)
        columns = list(case.profile.columns)
        for first in range(0, len(columns), compact.BATCH):
            batch = columns[first : first + compact.BATCH]
            values = backend.fill("reasoner", [opening], compact.treat(batch, first, case.profile.rows)).values
            for i, column in enumerate(batch):
                if len(compact.TREATMENTS[column.kind]) < 2:
                    continue
                wanted = house_rule(column)
                (followed if wanted else agreed).append(values[f"c{i}"] == (wanted or right[column.name]))
        left = [r for r in compact.RECIPES if r != "lightgbm"]
        board = [("lightgbm", "best", "g0", "t0")]
        choice = backend.fill("reasoner", [opening], compact.next_recipe(board, left)).values["next"]
        followed.append(choice == "linear")
    return {"rule": sum(followed) / len(followed), "elsewhere": sum(agreed) / len(agreed)}, agreed


def run(work: Path, base: Path, *, size: Size = QUICK, seed: int = 0, threads: int = 1) -> dict[str, Any]:
    """Go round once. Returns before, after, noise (two standard errors of `elsewhere`), seconds, and what was made."""
    started = time.monotonic()
    work.mkdir(parents=True, exist_ok=True)
    sessions_dir = work / "sessions"
    sessions_dir.mkdir(exist_ok=True)
    nano = LocalBackend(base, threads=threads)
    try:
        for i in range(size.sessions):
            path = sessions_dir / f"{i:03d}.jsonl"
            path.unlink(missing_ok=True)
            record_session(_case(SEEN, i, 50_000 + seed, size.n_rows), nano, path)
        cases = [_case(UNSEEN, i, 60_000 + seed, size.n_rows) for i in range(size.tests)]
        before, agreed_before = measure(nano, cases)
    finally:
        nano.close()
    _say(f"before: {before}")
    rows = traces.split(traces.collect(sorted(sessions_dir.glob("*.jsonl"))), 0.1)
    adapter = work / "house-rule.gguf"
    figures = train_adapter(
        base, [r for r in rows if not r.held_out], work / "train", adapter, size.steps, seed, threads
    )
    tuned = LocalBackend(base, threads=threads, adapters={"reasoner": adapter, "coder": adapter})
    try:
        after, agreed_after = measure(tuned, cases)
    finally:
        tuned.close()
    changes = [int(b) - int(a) for a, b in zip(agreed_before, agreed_after, strict=True)]
    mean = sum(changes) / len(changes)
    noise = 2 * (sum((c - mean) ** 2 for c in changes) / len(changes) / len(changes)) ** 0.5
    seconds = round(time.monotonic() - started, 1)
    return {
        "before": _rounded(before), "after": _rounded(after), "noise": round(noise, 4), "seconds": seconds,
        "rows": len(rows), "sessions": size.sessions, "tables": size.tests, "adapter": str(adapter), **figures,
    }  # fmt: skip


def train_adapter(
    base: Path, rows: Sequence[Any], folder: Path, out: Path, steps: int, seed: int, threads: int
) -> dict[str, Any]:
    """LoRA on the base GGUF's weights; writes the adapter beside a check against llama.cpp."""
    import torch

    from finetune.parity import compare, gguf_logits, torch_logits

    torch.manual_seed(seed)
    model, tokenizer = read_gguf(base)
    model = add_lora(model, RANK, ALPHA)
    encoded = [e for e in (encode(r, tokenizer) for r in rows) if e.branches]
    (folder / "state.pt").unlink(missing_ok=True)
    settings = Training(
        seconds=1e9, steps=steps, tokens_per_batch=1500, rate=4e-3, warmup=0.05, weight_decay=0.0, seed=seed,
        threads=threads,
    )  # fmt: skip
    train(model, encoded, settings, folder, note=_say)
    write_adapter(out, model, name="house rule", rank=RANK, alpha=ALPHA)
    sequences = [e.tokens for e in encoded[:6]]
    found = compare(torch_logits(model, sequences), gguf_logits(base, sequences, out))
    if found["argmax_agreement"] < 0.995:
        raise RuntimeError(f"the adapter does not say in llama.cpp what it says here: {found}")
    return {"steps": steps, "parity": found}


def _case(families: Sequence[str], i: int, seed: int, n_rows: int) -> Case:
    family = families[i % len(families)]
    return from_table(generate(family, seed + i // len(families), n_rows))


def _rounded(figures: Figures) -> Figures:
    return {k: round(v, 4) for k, v in figures.items()}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
