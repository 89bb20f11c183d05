"""LoRA on a chat model from a Hugging Face folder: YAML recipe in, adapter out. CPU or CUDA, resumable.

The loss counts the assistant's last turn alone. Examples are packed into sequences of `max_length` tokens; a mask keeps
them from seeing each other. `finetune train --config` writes beside the adapter: effective.yaml (settings, versions,
hashes), log.jsonl, loss.png.
"""

from __future__ import annotations

import importlib.util
import json
import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from automlgpt_local.llm.template import folded
from finetune.gguf_export import ARCHITECTURES, model_type
from finetune.lora import TARGETS
from finetune.precision import autocast, computes_bf16
from finetune.records import STATE, cut_log, plot, save_state, say, write_effective
from finetune.traces import held_out_groups

# What a recipe may say for a field of each type: in words, and as YAML reads it.
TYPES: dict[Any, tuple[str, Any]] = {
    "str": ("a text", str), "int": ("a whole number", int), "float": ("a number, as 2.0e-4", (int, float)),
    "bool": ("true or false", bool), "tuple[str, ...]": ("a list", list),
}  # fmt: skip
MAY_BE_ZERO = {"steps", "warmup", "held_out", "seed", "threads"}


@dataclass(frozen=True)
class Recipe:
    """base: folder of the model. rows: JSONL of messages (`finetune data --format messages`), split by their group.

    Or base: a GGUF in the compact dialect, rows: those of `finetune data` without --format; see adapt.train_recipe.
    """

    base: str
    rows: str
    out: str
    rank: int = 16
    alpha: float = 32.0
    targets: tuple[str, ...] = TARGETS
    max_length: int = 8192  # a whole module of the Coder's, asked for with another as the example, needs most of it
    batch: int = 1  # packed sequences in a step of memory
    accumulate: int = 8  # steps of memory in a step of the optimiser
    rate: float = 2e-4
    epochs: float = 2.0
    steps: int = 0  # of the optimiser, instead of epochs
    warmup: float = 0.05
    held_out: float = 0.1  # share of the data sets, where the rows do not say it themselves
    evaluate_every: int = 25
    patience: int = 4  # evaluations without a better held-out loss
    gradient_checkpointing: bool = True
    four_bits: bool = False  # QLoRA, by bitsandbytes
    bf16: bool = True
    seed: int = 0
    threads: int = 0  # 0: torch decides

    @classmethod
    def load(cls, path: Path) -> Recipe:
        """Raises ValueError for a setting that does not exist, has a value that makes no sense, or is missing."""
        import yaml

        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
        except yaml.YAMLError as error:
            raise ValueError(f"{path} is no YAML: {error}") from error
        if not isinstance(values, dict):
            raise ValueError(f"{path} is no recipe: it needs lines such as `base: FOLDER`")
        unknown = set(values) - set(cls.__dataclass_fields__)
        if unknown:
            raise ValueError(f"{path}: unknown settings {', '.join(sorted(map(str, unknown)))}")
        for name, value in values.items():
            kind = cls.__dataclass_fields__[name].type
            words, types = TYPES[kind]
            if not isinstance(value, types) or (isinstance(value, bool) and kind != "bool"):
                raise ValueError(f"{path}: {name} must be {words}, not {value!r}")
            if kind in ("int", "float") and (value < 0 or (value == 0 and name not in MAY_BE_ZERO)):
                least = "0 or more" if name in MAY_BE_ZERO else "more than 0"
                raise ValueError(f"{path}: {name} must be {least}, not {value}")
        missing = [name for name in ("base", "rows", "out") if name not in values]
        if missing:
            raise ValueError(f"{path} does not say {', '.join(missing)}")
        if "targets" in values:
            values["targets"] = tuple(values["targets"])
        return cls(**values)


@dataclass(frozen=True)
class Example:
    """ids: the whole conversation. loss_from: the first token that counts."""

    ids: tuple[int, ...]
    loss_from: int
    group: str


def render(tokenizer: Any, messages: Sequence[dict[str, str]], group: str, max_length: int) -> Example | None:
    """None when it does not fit: a prompt cut short is none that the model will ever see.

    Raises ValueError when the template rewrites what came before the answer.
    """
    prompt = _templated(tokenizer, messages[:-1], add_generation_prompt=True)
    whole = _templated(tokenizer, messages)
    if not whole.startswith(prompt):
        raise ValueError("the chat template changes the prompt once an answer follows; this model cannot be trained so")
    before = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    answer = tokenizer(whole[len(prompt) :], add_special_tokens=False)["input_ids"]
    if len(before) + len(answer) > max_length:
        return None
    return Example((*before, *answer), len(before), group)


def _templated(tokenizer: Any, messages: Sequence[dict[str, str]], **options: Any) -> str:
    """As live prompts are made: a template that refuses a system turn gets it folded into the user's."""
    import jinja2

    try:
        try:
            return str(tokenizer.apply_chat_template(messages, tokenize=False, **options))
        except jinja2.TemplateError:
            return str(tokenizer.apply_chat_template(folded(messages), tokenize=False, **options))
    except jinja2.TemplateError as error:
        raise ValueError(f"the chat template failed: {error}") from error


def read_examples(path: Path, tokenizer: Any, recipe: Recipe) -> tuple[list[Example], list[Example]]:
    """(training, held out), apart by data set. Raises ValueError where a kind of decision has no row that fits."""
    found: list[tuple[Example, bool | None]] = []  # None: the row does not say whether it is held out
    read, too_long = Counter[str](), Counter[str]()  # by decision
    for line in path.read_bytes().splitlines():  # bytes, as text would also split at U+2028
        try:
            row = json.loads(line)
            messages = row["messages"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: no rows of `finetune data --format messages` ({error!r})") from error
        decision = str(row.get("decision") or "conversation")
        read[decision] += 1
        example = render(tokenizer, messages, str(row.get("group", "")), recipe.max_length)
        if example is not None:
            found.append((example, row.get("held_out")))
        else:
            too_long[decision] += 1
    if too_long:
        counts = ", ".join(f"{count} of {read[name]} {name} rows" for name, count in too_long.items())
        say(f"longer than {recipe.max_length} tokens and left out: {counts}")
    gone = [name for name, count in too_long.items() if count == read[name]]
    if gone:
        raise ValueError(f"{path}: no {' or '.join(gone)} row fits into {recipe.max_length} tokens: raise max_length")
    apart = held_out_groups({example.group for example, said in found if said is None}, recipe.held_out)
    train: list[Example] = []
    held: list[Example] = []
    for example, said in found:
        (held if said or (said is None and example.group in apart) else train).append(example)
    if recipe.held_out and train and not held:
        say("no data set is held out: training will not end early")
    return train, held


def preview(recipe: Recipe, count: int) -> str:
    """Examples as the model sees them; what counts in the loss stands between double brackets."""
    tokenizer = load_tokenizer(recipe)
    learn, _ = read_examples(Path(recipe.rows), tokenizer, recipe)
    parts = [(tokenizer.decode(e.ids[: e.loss_from]), tokenizer.decode(e.ids[e.loss_from :])) for e in learn[:count]]
    return "".join(f"{asked}[[{answer}]]\n\n" for asked, answer in parts)


def pack(examples: Sequence[Example], length: int, rng: random.Random) -> list[list[Example]]:
    """Groups of examples of at most `length` tokens together: longest first into the fullest group that has room."""
    order = list(examples)
    rng.shuffle(order)
    order.sort(key=lambda e: -len(e.ids))
    groups: list[list[Example]] = []
    room: list[int] = []
    for example in order:
        fits = [i for i, left in enumerate(room) if left >= len(example.ids)]
        at = min(fits, key=lambda i: room[i]) if fits else -1
        if at < 0:
            groups.append([])
            room.append(length)
        groups[at].append(example)
        room[at] -= len(example.ids)
    rng.shuffle(groups)
    return groups


def collate(groups: Sequence[Sequence[Example]], pad: int, dtype: Any) -> dict[str, Any]:
    """input_ids, labels, position_ids (n, length) and a mask (n, 1, length, length) that parts the examples."""
    import torch

    length = max(sum(len(e.ids) for e in g) for g in groups)
    ids = torch.full((len(groups), length), pad)
    labels = torch.full((len(groups), length), -100)
    positions = torch.zeros((len(groups), length), dtype=torch.long)
    block = torch.full((len(groups), length), -1)
    for i, group in enumerate(groups):
        at = 0
        for k, example in enumerate(group):
            end = at + len(example.ids)
            ids[i, at:end] = torch.tensor(example.ids)
            labels[i, at + example.loss_from : end] = ids[i, at + example.loss_from : end]
            positions[i, at:end] = torch.arange(len(example.ids))
            block[i, at:end] = k
            at = end
    same = block[:, :, None] == block[:, None, :]
    allowed = same & torch.ones((length, length), dtype=torch.bool).tril()
    mask = torch.zeros(allowed.shape, dtype=dtype).masked_fill(~allowed, torch.finfo(dtype).min)
    return {"input_ids": ids, "labels": labels, "position_ids": positions, "attention_mask": mask[:, None]}


def train(recipe: Recipe, stop_at: int | None = None) -> dict[str, Any]:
    """Train, or go on with what is in `out`; stop_at: end with a checkpoint at this step of the optimiser."""
    import torch

    tokenizer = load_tokenizer(recipe)
    out = Path(recipe.out)
    out.mkdir(parents=True, exist_ok=True)
    if recipe.threads:
        torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    learn, held = read_examples(Path(recipe.rows), tokenizer, recipe)
    if not learn:
        why = "all examples are held out" if held else "there is no example in it"
        raise ValueError(f"{recipe.rows}: {why}")
    model, device = load_model(recipe)
    settings = {k: v for k, v in asdict(recipe).items() if k not in ("out", "threads")}
    files = [
        Path(recipe.rows),
        *sorted(Path(recipe.base).glob("*.json")),
        *sorted(Path(recipe.base).glob("*.safetensors")),
    ]
    dtype = product_dtype(recipe, device)
    facts = {"dtype": str(dtype).removeprefix("torch.")}
    write_effective(out, settings, files, **facts, examples={"train": len(learn), "held_out": len(held)})
    weights = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=recipe.rate, weight_decay=0.0)
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else (tokenizer.eos_token_id or 0)
    step_size = recipe.batch * recipe.accumulate
    per_epoch = max(1, math.ceil(len(pack(learn, recipe.max_length, random.Random(0))) / step_size))
    total = recipe.steps or max(1, round(per_epoch * recipe.epochs))
    state: dict[str, Any] = {"step": 0, "best": float("inf"), "worse": 0, "tokens": 0, "seconds": 0.0, "loss": None}
    if (out / STATE).exists():
        saved = torch.load(out / STATE, weights_only=True)
        with torch.no_grad():
            for weight, value in zip(weights, saved["weights"], strict=True):
                weight.copy_(value)
        optimiser.load_state_dict(saved["optimiser"])
        state = saved["state"]
        say(f"resumed at step {state['step']} of {total}")
    cut_log(out, state["step"])

    def save() -> None:
        saved = [w.detach().cpu() for w in weights]
        save_state(out, {"weights": saved, "optimiser": optimiser.state_dict(), "state": state})

    started, before_s = time.monotonic(), state["seconds"]
    log = (out / "log.jsonl").open("a", encoding="utf-8")
    epoch, groups = -1, []
    while state["step"] < total and state["worse"] < recipe.patience:
        if stop_at is not None and state["step"] >= stop_at:
            break
        if state["step"] // per_epoch != epoch:
            epoch = state["step"] // per_epoch
            groups = pack(learn, recipe.max_length, random.Random(f"{recipe.seed}-{epoch}"))
        first = state["step"] % per_epoch * step_size
        share = state["step"] / total
        rate = recipe.rate * min(1.0, (share + 1 / total) / max(recipe.warmup, 1e-9)) * (1 - 0.9 * share)
        for group in optimiser.param_groups:
            group["lr"] = rate
        model.train()
        last = 0.0
        parts = [groups[i : i + recipe.batch] for i in range(first, min(first + step_size, len(groups)), recipe.batch)]
        answers = sum(len(e.ids) - e.loss_from for part in parts for group in part for e in group)  # tokens
        for part in parts:
            batch = {k: v.to(device) for k, v in collate(part, pad, dtype).items()}
            with autocast(device, recipe.bf16):
                loss = answer_loss(model, batch) / answers
            loss.backward()
            last += float(loss.detach())
            state["tokens"] += int(batch["input_ids"].numel())
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        state["step"] += 1
        state["loss"] = last
        state["seconds"] = before_s + time.monotonic() - started
        line: dict[str, Any] = {"step": state["step"], "loss": round(last, 5), "rate": rate}
        told = state["step"] % recipe.evaluate_every == 0 or state["step"] == total
        if held and told:
            line["held_out"] = round(held_out_loss(model, held, recipe, pad, dtype, device), 5)
            state["worse"] = 0 if line["held_out"] < state["best"] - 1e-4 else state["worse"] + 1
            if state["worse"] == 0:
                state["best"] = line["held_out"]
                model.save_pretrained(out / "adapter")
        if told:
            save()
        log.write(json.dumps(line) + "\n")
        log.flush()
        left_s = (total - state["step"]) * state["seconds"] / state["step"]
        say(f"{line} {state['tokens'] / max(1e-9, state['seconds']):.0f} tokens/s, {left_s:.0f} s left")
    log.close()
    save()
    if not held or not (out / "adapter").exists():
        model.save_pretrained(out / "adapter")
    plot(out)
    found = {"steps": state["step"], "of": total, "loss": round(state["loss"], 6), "out": str(out)}
    return {**found, "held_out": state["best"]} if held else found


def load_tokenizer(recipe: Recipe) -> Any:
    """That of the base. Raises ValueError where there is no such folder: nothing is ever fetched."""
    from transformers import AutoTokenizer

    kind = model_type(Path(recipe.base))
    if kind not in ARCHITECTURES:
        say(f"{kind} is none of {', '.join(ARCHITECTURES)}: its adapter cannot be exported as GGUF")
    return AutoTokenizer.from_pretrained(recipe.base)


def product_dtype(recipe: Recipe, device: str) -> Any:
    """Of products: bf16 is wanted, not had everywhere."""
    import torch

    return torch.bfloat16 if recipe.bf16 and computes_bf16(device) else torch.float32


def load_model(recipe: Recipe) -> tuple[Any, str]:
    """The base with a fresh LoRA, and the device it is on."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    dtype, more = product_dtype(recipe, device), dict[str, Any]()
    if recipe.four_bits:
        if importlib.util.find_spec("bitsandbytes") is None:
            raise ValueError("four_bits needs bitsandbytes: pip install bitsandbytes")
        from transformers import BitsAndBytesConfig

        more["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype
        )
    stored = dtype if device == "cuda" else torch.float32
    model = AutoModelForCausalLM.from_pretrained(recipe.base, dtype=stored, **more)
    config = LoraConfig(
        r=recipe.rank, lora_alpha=recipe.alpha, target_modules=list(recipe.targets), bias="none", task_type="CAUSAL_LM"
    )
    model.config.use_cache = False
    model = get_peft_model(model, config)
    if recipe.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    return (model if recipe.four_bits else model.to(device)), device


def answer_loss(model: Any, batch: dict[str, Any]) -> Any:
    """Summed loss of the answers' tokens. Logits, which are wide, are made only where one of them follows."""
    import torch

    labels = batch["labels"][:, 1:]
    at = (labels >= 0).any(dim=0).nonzero().flatten()
    asked = {k: v for k, v in batch.items() if k != "labels"}
    logits = model(**asked, logits_to_keep=at).logits.float()
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), labels[:, at].flatten(), reduction="sum")


def held_out_loss(model: Any, held: Sequence[Example], recipe: Recipe, pad: int, dtype: Any, device: str) -> float:
    """Mean loss of the answers' tokens."""
    import torch

    model.eval()
    total, count = 0.0, 0
    for group in pack(held, recipe.max_length, random.Random(0)):
        batch = {k: v.to(device) for k, v in collate([group], pad, dtype).items()}
        with torch.no_grad(), autocast(device, recipe.bf16):
            total += float(answer_loss(model, batch))
        count += sum(len(e.ids) - e.loss_from for e in group)
    return total / max(1, count)
