"""The embedded nano from nothing: tables, measurements, rows, training, GGUF, parity, held-out figures.

    python -m finetune nano --minutes 20 --work DIR

Each stage keeps its results in the work folder, so a killed run goes on where it was. Seeded throughout.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune import evaluate, teachers
from finetune.cases import MOST_MEASURED, from_table, measured_cases
from finetune.gguf_export import write_gguf
from finetune.measure import Bench
from finetune.model import Training, load_trained, shape_of, tokenizer_of, train
from finetune.parity import compare, gguf_logits, gguf_tokens, require, torch_logits
from finetune.published import published_rows
from finetune.records import say
from finetune.rows import Row, encode, read_rows, write_rows
from finetune.tables import FAMILIES, generate

PART = 50
MEASURED_WEIGHT = 2  # how often the columns and ideas of a measured table are asked about
PUBLISHED_WEIGHT = 1  # boards for each table that stands in for larger ones


def measure(work: Path, seconds: float, until: float = float("inf"), shard: tuple[int, int] = (0, 1)) -> bool:
    """Measure cases until `seconds` are spent over all calls (True) or the time `until` comes (False).

    shard: (k, n) for process k of n that measure into one folder.
    """
    bench = Bench(work / "measure")
    done_file = work / "measure" / "done.txt"
    done = dict(line.split() for line in done_file.read_text().splitlines()) if done_file.exists() else {}
    spent = sum(map(float, done.values()))
    for i, (name, make) in enumerate(measured_cases(MOST_MEASURED)):
        started = time.monotonic()
        if spent >= seconds:
            break
        if started > until:
            return False
        if name in done or i % shard[1] != shard[0]:
            continue
        case = make()
        teachers.measure_case(bench, case)
        took = time.monotonic() - started
        spent += took * shard[1]
        with done_file.open("a") as out:
            out.write(f"{name} {took:.1f}\n")
        say(f"measured {name} {case.n_train} x {case.features.shape[1]} in {took:.1f} s; {spent:.0f} of {seconds:.0f}")
    return True


def make_rows(work: Path, tables: int = 1500, seed: int = 0, until: float = float("inf")) -> dict[str, int] | None:
    """rows.jsonl: truth from `tables` generated tables in parts of 50, and everything that the measurements teach.

    None when `until` (monotonic seconds) came first; the finished parts are kept.
    """
    parts = work / "rows"
    parts.mkdir(exist_ok=True)
    for k in range(0, tables, PART):
        path = parts / f"{k:05d}.jsonl"
        if path.exists():
            continue
        if time.monotonic() > until:
            return None
        unfinished = path.with_suffix(".part")
        write_rows(unfinished, _true_rows(range(k, min(tables, k + PART)), seed))
        unfinished.replace(path)
        say(f"rows of {min(tables, k + PART)} of {tables} tables")
    rows = [row for path in sorted(parts.glob("*.jsonl"))[: -(-tables // PART)] for row in read_rows(path)]
    rows += _measured_rows(work, seed)
    unfinished = work / "rows.part"
    write_rows(unfinished, rows)
    unfinished.replace(work / "rows.jsonl")
    counts: dict[str, int] = {}
    for row in rows:
        name = f"{row.decision} {row.teacher}{' held out' if row.held_out else ''}"
        counts[name] = counts.get(name, 0) + 1
    return counts


def _true_rows(numbers: range, seed: int) -> Iterator[Row]:
    for i in numbers:
        rng = random.Random(f"{seed}-{i}")
        n_rows = int(10 ** rng.uniform(3.3, 4.0)) if rng.random() < 0.1 else None
        case = from_table(generate(FAMILIES[i % len(FAMILIES)], seed * 1000 + i // len(FAMILIES), n_rows))
        yield from teachers.treatment_rows(case, rng, case.true_treatments(), "truth")
        yield from teachers.tool_rows(case, rng) if i % 5 == 0 else ()
        for _ in range(PUBLISHED_WEIGHT):
            yield from published_rows(case, rng)


def _measured_rows(work: Path, seed: int) -> Iterator[Row]:
    bench = Bench(work / "measure")
    done = {line.split()[0] for line in (work / "measure" / "done.txt").read_text().splitlines()}
    for name, make in measured_cases(MOST_MEASURED):
        if name not in done:
            continue
        case, rng = make(), random.Random(f"{seed}-{name}")
        measured = teachers.Measured(bench, case)
        yield from teachers.treatment_rows(case, rng, measured.right_treatments(), "measured")
        for _ in range(MEASURED_WEIGHT):
            yield from teachers.idea_rows(measured, rng)
        yield from teachers.param_rows(measured, rng)
        yield from teachers.own_rows(measured, rng)
        for machine in (measured, teachers.Measured(bench, case, teachers.EXTRA)):
            yield from teachers.recipe_rows(machine, rng)
            yield from teachers.tune_rows(machine, rng)


def train_nano(work: Path, settings: Training, shape: dict[str, int] | None = None) -> bool:
    """Train on the rows of families that are not held out; True when done, False when a slice of time ended."""
    import torch

    torch.manual_seed(settings.seed)
    tokenizer = tokenizer_of(work)
    rows = [encode(r, tokenizer) for r in read_rows(work / "rows.jsonl") if not r.held_out]
    rows = [r for r in rows if r.branches]
    say(f"{len(rows)} rows, {sum(len(r.tokens) for r in rows)} tokens, {sum(len(r.branches) for r in rows)} choices")
    model = shape_of(work, tokenizer, shape).build()
    return train(model, rows, settings, work / "train", note=say)


def export(work: Path, out: Path) -> dict[str, float]:
    """Write the GGUF; raises ParityError when llama.cpp reads ids or logits differently from us."""
    model, tokenizer = load_trained(work)
    extra = {"automlgpt.dialect": "compact", "general.description": "Fills in the choices of AutoML-GPT Local's agents"}
    candidate = out.with_suffix(".candidate.gguf")
    size = write_gguf(candidate, model, tokenizer, name="AutoML-GPT nano", licence="apache-2.0", extra=extra)
    rows = [r for r in read_rows(work / "rows.jsonl") if r.held_out][:40]
    texts = [t for r in rows for t in ("".join(r.transcript), r.prompt, r.completion)]
    wrong = sum(tokenizer.ids(t) != ids for t, ids in zip(texts, gguf_tokens(candidate, texts), strict=True))
    sequences = [encode(r, tokenizer).tokens for r in rows[:16]]
    found = compare(torch_logits(model, sequences), gguf_logits(candidate, sequences))
    found |= {"token_mismatches": float(wrong), "bytes": float(size)}
    require(found, candidate)
    candidate.replace(out)
    return found


def run(
    work: Path, out: Path, minutes: float, measure_minutes: float, tables: int, threads: int, seed: int,
    slice_s: float | None = None,
) -> dict[str, Any] | None:  # fmt: skip
    """All steps; what is there already is not made again. None when `slice_s` ended first: call again to go on."""
    until = time.monotonic() + slice_s if slice_s is not None else float("inf")
    if not measure(work, measure_minutes * 60, until):
        return None
    if not (work / "rows.jsonl").exists():
        counts = make_rows(work, tables, seed, until)
        if counts is None:
            return None
        say(f"rows: {counts}")
    left = None if slice_s is None else max(0.0, until - time.monotonic())
    if not train_nano(work, Training(seconds=minutes * 60, threads=threads, seed=seed, slice_s=left)):
        return None
    return {"exported": export(work, out), "held_out": evaluate.held_out(work)}
