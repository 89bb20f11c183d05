"""The nano's network: a small llama, trained on choices alone, in bf16 where the machine has it; it resumes."""

from __future__ import annotations

import json
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from finetune.precision import autocast
from finetune.records import STATE, cut_log, save_state, say
from finetune.rows import Encoded
from finetune.tokenizer import NanoTokenizer

CONTEXT = 2048


@dataclass(frozen=True)
class Shape:
    """Width, layers, heads and feed-forward width of the network; `vocab` tokens."""

    vocab: int
    width: int = 256
    layers: int = 4
    heads: int = 4
    inner: int = 704
    context: int = CONTEXT

    def build(self) -> Any:
        from transformers import LlamaConfig, LlamaForCausalLM

        return LlamaForCausalLM(
            LlamaConfig(
                vocab_size=self.vocab, hidden_size=self.width, intermediate_size=self.inner, tie_word_embeddings=True,
                num_hidden_layers=self.layers, num_attention_heads=self.heads, num_key_value_heads=self.heads,
                max_position_embeddings=self.context, rms_norm_eps=1e-5, pad_token_id=0, bos_token_id=1, eos_token_id=2,
            )
        )  # fmt: skip


@dataclass(frozen=True)
class Training:
    seconds: float = 600.0  # of training, over all resumed parts; ends earlier at `steps`
    steps: int | None = None
    tokens_per_batch: int = 2500
    rate: float = 1.5e-3
    weight_decay: float = 0.05
    warmup: float = 0.03  # share of the whole
    seed: int = 0
    threads: int = 1
    slice_s: float | None = None  # stop after this many seconds, with a checkpoint to resume from
    stop_at: int | None = None  # the same, at this step
    save_every_s: float = 60.0
    evaluate_every: int = 50  # steps, where rows are held out
    patience: int = 4  # evaluations without a better held-out loss


def batches(rows: Sequence[Encoded], budget: int, rng: random.Random) -> list[list[int]]:
    """Indices of rows of like length, at most `budget` tokens with padding, in random order."""
    order = sorted(range(len(rows)), key=lambda i: (len(rows[i].tokens) + rng.uniform(-8, 8), i))
    groups: list[list[int]] = [[]]
    longest = 0
    for i in order:
        longest = max(longest, len(rows[i].tokens))
        if groups[-1] and longest * (len(groups[-1]) + 1) > budget:
            groups.append([])
            longest = len(rows[i].tokens)
        groups[-1].append(i)
    rng.shuffle(groups)
    return groups


def collate(rows: Sequence[Encoded], device: Any = "cpu") -> dict[str, Any]:
    """Padded ids (n, length) and the branches flattened: which row, position, target, and allowed tokens as a mask."""
    import torch

    length = max(len(row.tokens) for row in rows)
    ids = torch.zeros((len(rows), length), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, : len(row.tokens)] = torch.tensor(row.tokens)
    where = [(i, b.position) for i, row in enumerate(rows) for b in row.branches]
    branches = [b for row in rows for b in row.branches]
    widest = max((len(b.allowed) for b in branches), default=1)
    allowed = torch.full((len(branches), widest), -1, dtype=torch.long)
    target = torch.zeros(len(branches), dtype=torch.long)
    for k, branch in enumerate(branches):
        allowed[k, : len(branch.allowed)] = torch.tensor(branch.allowed)
        target[k] = branch.allowed.index(branch.token)
    where_t = torch.tensor(where, dtype=torch.long).reshape(-1, 2)
    weight = torch.tensor([b.weight for b in branches])
    batch = {"ids": ids, "where": where_t, "allowed": allowed, "target": target, "weight": weight}
    return {name: value.to(device) for name, value in batch.items()}


def choice_logits(model: Any, batch: dict[str, Any]) -> Any:
    """(n_branches, widest) logits over the allowed tokens of each branch; -inf where there is none."""
    hidden = model.model(input_ids=batch["ids"]).last_hidden_state  # right padding needs no mask under causal attention
    at = hidden[batch["where"][:, 0], batch["where"][:, 1]].float()
    weight = model.lm_head.weight.float()
    known = batch["allowed"] >= 0
    picked = weight[batch["allowed"].clamp(min=0)]
    logits = (picked * at[:, None, :]).sum(-1)
    return logits.masked_fill(~known, float("-inf"))


def train(
    model: Any,
    rows: Sequence[Encoded],
    settings: Training,
    folder: Path,
    held: Sequence[Encoded] = (),
    note: Callable[[str], None] = say,
) -> bool:
    """Train until the seconds or steps are spent; False when `slice_s` ended first and the next call goes on.

    With rows held out it ends early where their loss does not fall any more, and the model is that of the best one.
    Writes folder/state.pt (model, optimiser, position) and folder/log.jsonl.
    """
    import torch

    torch.set_num_threads(settings.threads)
    torch.manual_seed(settings.seed)
    folder.mkdir(parents=True, exist_ok=True)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    learning = {name: p for name, p in model.named_parameters() if p.requires_grad}
    decay = [p for p in learning.values() if p.dim() >= 2]
    plain = [p for p in learning.values() if p.dim() < 2]
    optimiser = torch.optim.AdamW(
        [{"params": decay, "weight_decay": settings.weight_decay}, {"params": plain, "weight_decay": 0.0}],
        lr=settings.rate,
        betas=(0.9, 0.97),
    )
    state: dict[str, Any] = {
        "step": 0, "seconds": 0.0, "epoch": 0, "at": 0, "tokens": 0, "loss": None, "best": math.inf, "worse": 0,
    }  # fmt: skip
    best: dict[str, Any] = {}
    checkpoint = folder / STATE
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True, map_location=model.device)
        model.load_state_dict(saved["model"])
        optimiser.load_state_dict(saved["optimiser"])
        state, best = {**state, **saved["state"]}, saved.get("best", {})
        note(f"resumed at step {state['step']}, {state['seconds']:.0f} s")
    cut_log(folder, state["step"])

    def save() -> None:
        saved = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "state": state, "best": best}
        save_state(folder, saved)

    log = (folder / "log.jsonl").open("a", encoding="utf-8")
    began = told = saved_at = time.monotonic()
    base_s = state["seconds"]
    order: list[list[int]] = []
    while True:
        if state["at"] >= len(order):  # also after a resume, where the order of the epoch is made again
            state["epoch"] += 1 if order else 0
            state["at"] = 0 if order else state["at"]
            order = batches(rows, settings.tokens_per_batch, random.Random(settings.seed * 1000 + state["epoch"]))
            continue
        share = max(state["seconds"] / settings.seconds, state["step"] / settings.steps if settings.steps else 0.0)
        done = share >= 1 or state["worse"] >= settings.patience
        over = settings.slice_s is not None and time.monotonic() - began >= settings.slice_s
        if done or over or (settings.stop_at is not None and state["step"] >= settings.stop_at):
            save()
            log.close()
            if done and best:
                with torch.no_grad():
                    for name, value in best.items():
                        learning[name].copy_(value)
            return done
        rate = settings.rate * min(1.0, share / settings.warmup if settings.warmup else 1.0, 1.0)
        rate = max(rate, settings.rate * 0.02) * (0.5 * (1 + math.cos(math.pi * share)) * 0.97 + 0.03)
        for group in optimiser.param_groups:
            group["lr"] = rate
        model.train()
        batch = collate([rows[i] for i in order[state["at"]]], model.device)
        loss = _loss(model, batch)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(list(learning.values()), 1.0)
        optimiser.step()
        state["step"] += 1
        state["at"] += 1
        state["tokens"] += int(batch["ids"].numel())
        now = time.monotonic()
        state["seconds"] = base_s + now - began
        state["loss"] = loss.item() if state["loss"] is None else 0.98 * state["loss"] + 0.02 * loss.item()
        line: dict[str, Any] = {"step": state["step"], "epoch": state["epoch"], "loss": round(state["loss"], 5)}
        evaluated = bool(held) and state["step"] % settings.evaluate_every == 0
        if evaluated:
            line["held_out"] = round(held_out_loss(model, held), 5)
            state["worse"] += 1
            if line["held_out"] < state["best"] - 1e-4:
                state["best"], state["worse"] = line["held_out"], 0
                best = {name: p.detach().clone() for name, p in learning.items()}
        if evaluated or now - told > 15:
            told = now
            left = max(0.0, settings.seconds - state["seconds"])
            if settings.steps:
                left = min(left, (settings.steps - state["step"]) * state["seconds"] / state["step"])
            line |= {"tokens_per_s": round(state["tokens"] / max(1e-9, state["seconds"]))}
            note(f"{line} {left:.0f} s left")
            log.write(json.dumps({**line, "seconds": round(state["seconds"], 1)}) + "\n")
            log.flush()
        if evaluated or now - saved_at >= settings.save_every_s:
            save()
            saved_at = now


def _loss(model: Any, batch: dict[str, Any]) -> Any:
    import torch

    with autocast(model.device.type):
        logits = choice_logits(model, batch)
    each = torch.nn.functional.cross_entropy(logits, batch["target"], reduction="none")
    return (each * batch["weight"]).sum() / batch["weight"].sum()


def held_out_loss(model: Any, held: Sequence[Encoded], tokens_per_batch: int = 12_000) -> float:
    """Mean over choices, each by its weight."""
    import torch

    model.eval()
    total = weight = 0.0
    with torch.no_grad():
        for group in batches(held, tokens_per_batch, random.Random(0)):
            batch = collate([held[i] for i in group], model.device)
            of_batch = float(batch["weight"].sum())
            total += float(_loss(model, batch)) * of_batch
            weight += of_batch
    return total / max(1e-9, weight)


def probabilities(model: Any, rows: Sequence[Encoded], tokens_per_batch: int = 12_000) -> list[list[list[float]]]:
    """For each row, for each branch, the probability of each allowed token."""
    import torch

    found: list[list[list[float]]] = [[] for _ in rows]
    model.eval()
    for group in batches(rows, tokens_per_batch, random.Random(0)):
        batch = collate([rows[i] for i in group], model.device)
        with torch.no_grad(), autocast(model.device.type):
            shares = choice_logits(model, batch).softmax(-1)
        k = 0
        for i in group:
            for branch in rows[i].branches:
                found[i].append(shares[k, : len(branch.allowed)].tolist())
                k += 1
    return found


def tokenizer_of(work: Path) -> NanoTokenizer:
    """That of a training's folder, made there when it is missing."""
    path = work / "tokenizer.json"
    if not path.exists():
        NanoTokenizer.build().save(path)
    return NanoTokenizer.load(path)


def shape_of(work: Path, tokenizer: NanoTokenizer, changes: dict[str, int] | None = None) -> Shape:
    """That of a training's folder; `changes` count only where it is not settled there yet."""
    path = work / "shape.json"
    if not path.exists():
        path.write_text(json.dumps({"vocab": tokenizer.size, **(changes or {})}))
    return Shape(**json.loads(path.read_text()))


def load_trained(work: Path) -> tuple[Any, NanoTokenizer]:
    """The trained network (float32, eval mode) and its tokenizer."""
    import torch

    tokenizer = tokenizer_of(work)
    model = shape_of(work, tokenizer).build()
    saved = torch.load(work / "train" / STATE, weights_only=True, map_location="cpu")
    model.load_state_dict(saved["model"])
    return model.float().eval(), tokenizer
