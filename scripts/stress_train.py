"""Kill training with -9 at several moments and go on each time: is the final loss that of a training left alone?

    python scripts/stress_train.py --kills 5 --json

Two trainings: an adapter of the embedded nano, and a LoRA on a chat model with random weights (so that nothing is
downloaded). Each kill comes when the log has reached another step, so that it falls between two checkpoints, into one,
or into an evaluation. Exit code 1 when a loss differs.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def nano_recipe(folder: Path) -> Path:
    """Rows of generated tables, some held out, and the recipe."""
    from automlgpt_local.paths import bundled_models_dir
    from finetune import teachers
    from finetune.cases import from_table
    from finetune.rows import write_rows
    from finetune.tables import generate
    from finetune.traces import split

    cases = [from_table(generate("plain", i, n_rows=200)) for i in range(20)]
    rows = [r for c in cases for r in teachers.treatment_rows(c, random.Random(0), c.true_treatments(), "truth")]
    write_rows(folder / "rows.jsonl", split(rows, 0.2))
    return recipe(folder, base=bundled_models_dir() / "nano.gguf", max_length=1000, steps=60, rate=1e-3)


def chat_recipe(folder: Path) -> Path:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM

    base = folder / "model"
    base.mkdir()
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    marks = ["<|end|>", "<|user|>", "<|assistant|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    core.train_from_iterator(["a b c"], trainers.BpeTrainer(special_tokens=marks, initial_alphabet=alphabet))
    core.save(str(base / "tokenizer.json"))
    told = {"eos_token": "<|end|>", "pad_token": "<|end|>", "chat_template": TEMPLATE}
    (base / "tokenizer_config.json").write_text(json.dumps({**told, "tokenizer_class": "PreTrainedTokenizerFast"}))
    config = LlamaConfig(
        vocab_size=core.get_vocab_size(), hidden_size=64, intermediate_size=128, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(base)
    rng = random.Random(0)
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as out:
        for i in range(200):
            a, b = rng.randrange(100), rng.randrange(100)
            turns = [{"role": "user", "content": f"{a} and {b}"}, {"role": "assistant", "content": f"{max(a, b)}"}]
            out.write(json.dumps({"group": f"g{i % 20}", "messages": turns}) + "\n")
    return recipe(folder, base=base, max_length=256, accumulate=2, steps=60, rate=1e-2)


def recipe(folder: Path, **values: Any) -> Path:
    import yaml

    common = {"rank": 4, "alpha": 8.0, "evaluate_every": 7, "patience": 99, "threads": 1, "bf16": False}
    told = {**common, **values, "rows": str(folder / "rows.jsonl"), "base": str(values["base"])}
    for name in ("alone", "killed"):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({**told, "out": str(folder / name)}))
    return folder


def start(config: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "finetune", "train", "--config", str(config), "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def step_of(folder: Path) -> int:
    from finetune.records import read_log

    lines = read_log(folder)
    return int(lines[-1]["step"]) if lines else 0


def result(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate(timeout=600)
    if process.returncode:
        raise RuntimeError(f"training ended with {process.returncode}")
    found: dict[str, Any] = json.loads(out.splitlines()[-1])
    return found


def stress(folder: Path, kills: int, steps: int = 60) -> dict[str, Any]:
    alone = result(start(folder / "alone.yaml"))
    rng, at, died = random.Random(1), 0, []
    for k in range(kills):
        at = max(at + 1, round(steps * (k + 0.5) / kills))
        process = start(folder / "killed.yaml")
        while step_of(folder / "killed") < at and process.poll() is None:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        died.append(step_of(folder / "killed"))
    found = result(start(folder / "killed.yaml"))
    same = found["loss"] == alone["loss"] and found["held_out"] == alone["held_out"]
    return {
        "killed_at": died,
        "alone": alone["loss"],
        "killed": found["loss"],
        "held_out": found["held_out"],
        "same": same,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = {}
    for name, make in (("nano", nano_recipe), ("chat", chat_recipe)):
        with tempfile.TemporaryDirectory() as folder:
            found[name] = stress(make(Path(folder)), args.kills)
    print(json.dumps(found) if args.json else "\n".join(f"{k}: {v}" for k, v in found.items()))
    return 0 if all(f["same"] for f in found.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
