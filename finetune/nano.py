"""The embedded nano from nothing: tables, measurements, rows, training, GGUF, parity, held-out figures.

    python -m finetune nano --minutes 20 --work DIR

Each stage keeps its results in the work folder, so a killed run goes on where it was. Seeded throughout.
"""

from __future__ import annotations

import json
import random
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from finetune import evaluate, teachers
from finetune.cases import Case, bundled, from_table
from finetune.gguf_export import write_gguf
from finetune.measure import Bench
from finetune.model import Shape, Training, train
from finetune.parity import compare, gguf_logits, gguf_tokens, torch_logits
from finetune.published import published_rows
from finetune.rows import Row, encode, read_rows, write_rows
from finetune.tables import FAMILIES, generate
from finetune.tokenizer import NanoTokenizer

MEASURED_SEED = 10_000  # tables that are measured have other seeds than those that only tell the truth


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def measured_cases(first: int, count: int) -> Iterator[Case]:
    """The bundled sets first, then generated tables, families in turn."""
    yield from bundled() if first == 0 else ()
    for i in range(first, first + count):
        yield from_table(generate(FAMILIES[i % len(FAMILIES)], MEASURED_SEED + i // len(FAMILIES), 300 + 37 * i % 400))


def measure(work: Path, seconds: float, most: int = 1200, step: tuple[int, int] = (0, 1)) -> int:
    """Measure new cases until the seconds are over; returns how many are done. step: (k, n) takes every n-th case."""
    bench = Bench(work / "measure")
    done_file = work / "measure" / "done.txt"
    done = set(done_file.read_text().split("\n")) if done_file.exists() else set()
    until = time.monotonic() + seconds
    for i, case in enumerate(measured_cases(0, most)):
        if time.monotonic() > until:
            break
        if case.name in done or i % step[1] != step[0]:
            continue
        started = time.monotonic()
        teachers.measure_case(bench, case, 0)
        done.add(case.name)
        with done_file.open("a") as out:
            out.write(case.name + "\n")
        say(f"measured {case.name} {case.features.shape} in {time.monotonic() - started:.1f} s")
    return len(done)


def make_rows(work: Path, tables: int = 1500, seed: int = 0) -> dict[str, int]:
    """rows.jsonl: truth from `tables` generated tables, and everything that the measurements teach."""
    rng = random.Random(seed)
    bench = Bench(work / "measure")
    rows: list[Row] = []
    started = time.monotonic()
    for i in range(tables):
        n_rows = int(10 ** rng.uniform(3.3, 4.2)) if rng.random() < 0.12 else None
        case = from_table(generate(FAMILIES[i % len(FAMILIES)], seed * 1000 + i // len(FAMILIES), n_rows))
        rows += teachers.treatment_rows(case, rng)
        rows += teachers.idea_rows(case, rng)
        rows += teachers.tool_rows(case, rng) if i % 5 == 0 else ()
        rows += published_rows(case, rng)
        if i % 100 == 99:
            say(f"{i + 1} of {tables} tables, {len(rows)} rows, {time.monotonic() - started:.0f} s")
    done_file = work / "measure" / "done.txt"
    done = set(done_file.read_text().split("\n")) if done_file.exists() else set()
    left = len(done)
    for case in measured_cases(0, 100_000) if done else ():
        if left <= 1:
            break
        if case.name not in done:
            continue
        left -= 1
        rows += teachers.treatment_rows(case, rng)
        gains = teachers.measured_gains(bench, case)
        rows += teachers.idea_rows(case, rng, gains) if gains is not None else ()
        portfolio = teachers.Portfolio(bench, case)
        rows += teachers.recipe_rows(portfolio, rng)
        rows += teachers.param_rows(portfolio, rng)
        rows += teachers.tune_rows(portfolio, rng)
    write_rows(work / "rows.jsonl", rows)
    counts: dict[str, int] = {}
    for row in rows:
        name = row.decision + (" held out" if row.held_out else "")
        counts[name] = counts.get(name, 0) + 1
    return counts


def train_nano(work: Path, settings: Training, shape: dict[str, int] | None = None) -> bool:
    """Train on the rows of families that are not held out; True when done, False when a slice of time ended."""
    import torch

    torch.manual_seed(settings.seed)
    tokenizer = _tokenizer(work)
    rows = [encode(r, tokenizer) for r in read_rows(work / "rows.jsonl") if not r.held_out]
    rows = [r for r in rows if r.branches]
    say(f"{len(rows)} rows, {sum(len(r.tokens) for r in rows)} tokens, {sum(len(r.branches) for r in rows)} choices")
    model = _shape(work, tokenizer, shape).build()
    return train(model, rows, settings, work / "train", note=say)


def _tokenizer(work: Path) -> NanoTokenizer:
    path = work / "tokenizer.json"
    if not path.exists():
        NanoTokenizer.build().save(path)
    return NanoTokenizer.load(path)


def _shape(work: Path, tokenizer: NanoTokenizer, changes: dict[str, int] | None = None) -> Shape:
    path = work / "shape.json"
    if not path.exists():
        path.write_text(json.dumps({"vocab": tokenizer.size, **(changes or {})}))
    return Shape(**json.loads(path.read_text()))


def load_nano(work: Path) -> tuple[Any, NanoTokenizer]:
    """The trained network (float32, eval mode) and its tokenizer."""
    import torch

    tokenizer = _tokenizer(work)
    model = _shape(work, tokenizer).build()
    model.load_state_dict(torch.load(work / "train" / "state.pt", weights_only=True)["model"])
    return model.float().eval(), tokenizer


def export(work: Path, out: Path, kind: str = "F16") -> dict[str, float]:
    """Write the GGUF; raises RuntimeError when llama.cpp reads ids or logits differently from us."""
    model, tokenizer = load_nano(work)
    extra = {"automlgpt.dialect": "compact", "general.description": "Fills in the choices of AutoML-GPT Local's agents"}
    temporary = out.with_suffix(".candidate.gguf")
    size = write_gguf(temporary, model, tokenizer, name="AutoML-GPT nano", kind=kind, extra=extra)
    rows = [r for r in read_rows(work / "rows.jsonl") if r.held_out][:40]
    texts = [t for r in rows for t in ("".join(r.transcript), r.prompt, r.completion)]
    wrong = sum(tokenizer.ids(t) != ids for t, ids in zip(texts, gguf_tokens(temporary, texts), strict=True))
    sequences = [encode(r, tokenizer).tokens for r in rows[:16]]
    found = compare(torch_logits(model, sequences), gguf_logits(temporary, sequences))
    found |= {"token_mismatches": float(wrong), "bytes": float(size)}
    if wrong or found["argmax_agreement"] < 0.995:
        raise RuntimeError(f"the GGUF does not say what the weights say: {found}")
    temporary.replace(out)
    return found


def run(
    work: Path, out: Path, minutes: float, measure_minutes: float, tables: int, threads: int, seed: int
) -> dict[str, Any]:
    """All steps; what is there already is not made again."""
    say(f"measured cases: {measure(work, measure_minutes * 60)}")
    if not (work / "rows.jsonl").exists():
        say(f"rows: {make_rows(work, tables, seed)}")
    train_nano(work, Training(seconds=minutes * 60, threads=threads, seed=seed))
    return {"exported": export(work, out), "held_out": evaluate.held_out(work)}
