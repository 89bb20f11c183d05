"""A LoRA adapter of a small model in the compact dialect, from its GGUF to a GGUF adapter; resumable."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

from finetune import traces
from finetune.chat import Recipe
from finetune.gguf_import import read_gguf
from finetune.lora import add_lora, write_adapter
from finetune.model import Training, train
from finetune.parity import compare, gguf_logits, require, torch_logits
from finetune.records import STATE, plot, say, write_effective
from finetune.rows import Row, encode, read_rows

# What suits a model of a few million parameters.
SMALL: dict[str, Any] = {"tokens_per_batch": 1500, "rate": 4e-3, "warmup": 0.05, "weight_decay": 0.0}


def train_adapter(
    base: Path, rows: Sequence[Row], folder: Path, out: Path, settings: Training, rank: int = 8, alpha: float = 16.0
) -> dict[str, Any]:
    """LoRA on the base GGUF's weights, stopped early by the rows held out; written after a check against llama.cpp.

    A killed training goes on from its checkpoint in `folder`; effective.yaml, log.jsonl and loss.png lie beside it.
    """
    import torch

    torch.manual_seed(settings.seed)
    model, tokenizer = read_gguf(base)
    model = add_lora(model, rank, alpha)
    parts = [[encode(r, tokenizer) for r in rows if r.held_out == held] for held in (False, True)]
    learn, held = ([e for e in part if e.branches] for part in parts)
    if not learn:
        raise ValueError("there is no row with a choice to learn from" + (": all are held out" if held else ""))
    folder.mkdir(parents=True, exist_ok=True)
    sitting = {"slice_s", "stop_at", "save_every_s", "threads"}  # these change nothing in what comes out
    kept = {k: v for k, v in asdict(settings).items() if k not in sitting}
    effective = {**kept, "rank": rank, "alpha": alpha, "rows": _hash(rows)}
    write_effective(folder, effective, [base], examples={"train": len(learn), "held_out": len(held)})
    finished = train(model, learn, settings, folder, held)
    plot(folder)
    if not finished:
        return {"to_be_continued": True}
    candidate = out.with_suffix(".candidate")
    write_adapter(candidate, model, name=out.stem, rank=rank, alpha=alpha)
    sequences = [e.tokens for e in learn[:6]]
    found = compare(torch_logits(model, sequences), gguf_logits(base, sequences, candidate))
    require(found, candidate)
    candidate.replace(out)
    say(f"parity with llama.cpp: {found}")
    state = torch.load(folder / STATE, weights_only=True)["state"]
    told = {"steps": state["step"], "loss": round(state["loss"], 6), "parity": found, "out": str(out)}
    return {**told, "held_out": state["best"]} if state["best"] < float("inf") else told


def train_recipe(recipe: Recipe) -> dict[str, Any]:
    """The same by a YAML recipe: `max_length` tokens in a step, `steps` of them at most; OUT/adapter.gguf."""
    settings = Training(
        seconds=1e9, steps=recipe.steps or 200, tokens_per_batch=recipe.max_length * recipe.batch, rate=recipe.rate,
        warmup=recipe.warmup, weight_decay=0.0, seed=recipe.seed, threads=recipe.threads or 1,
        evaluate_every=recipe.evaluate_every, patience=recipe.patience,
    )  # fmt: skip
    out = Path(recipe.out)
    rows = list(read_rows(Path(recipe.rows)))
    return train_adapter(Path(recipe.base), rows, out, out / "adapter.gguf", settings, recipe.rank, recipe.alpha)


def preview(rows: Path, count: int) -> str:
    """Rows to train on; what counts in the loss stands between double brackets."""
    learn = (row for row in read_rows(rows) if not row.held_out)
    return "".join(f"{traces.preview(row)}\n" for row in islice(learn, count))


def _hash(rows: Sequence[Row]) -> str:
    return hashlib.sha256("\n".join(r.to_json() for r in rows).encode()).hexdigest()
