"""Does a GGUF of ours say in llama.cpp what the weights say in transformers? By architecture, with and without LoRA.

    python scripts/bench_parity.py --json

Models have random weights. Token ids are compared on generated strings (code, CSV, Unicode, white space, the compact
dialect) for our own tokenizer and the real vocabularies of Qwen2 and Llama 3, which scripts/fetch_llm_fixtures.py
brings. llama.cpp does not normalise text as Qwen's tokenizer does, so that Qwen's strings are in NFC here.
Exit code 1 when a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

from fetch_llm_fixtures import cache_dir

MOST_LOGIT_DIFF = 1e-2
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PATTERNS = {"qwen2": QWEN2, "llama-bpe": QWEN2.replace(r"\p{N}|", r"\p{N}{1,3}|")}  # as in their tokenizer.json


def wild_strings(count: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    pieces = [
        "def f(x):\n    return x", "import pandas as pd\n", 'a,b,c\n1,2.5,"x y"\n', "\t", "  ", "\n\n", "\r\n", " ",
        "c12", "lightgbm_fine", " number", " m0", "=", "0.05", "1e-3", "ünïcödé", "数据", "🙂👍🏽", "a\u0301", "\u200b",
        "'s", "they'll", "Ω≈ç", "#!", "__init__", "learning_rate", "c0 number m0 u5 f3 real", "treat\n", "12345678",
        "٣٤", "ﬁ", "-", "\\n", "{", "}", '"', "NaN",
    ]  # fmt: skip
    chars = "abcXYZ012 _-.,:;()[]{}'\"\n\t=+*/<>éß中あ🙂"
    found = []
    for _ in range(count):
        if rng.random() < 0.6:
            found.append("".join(rng.choice(pieces) for _ in range(rng.randint(1, 9))))
        else:
            found.append("".join(rng.choice(chars) for _ in range(rng.randint(1, 60))))
    return found


def tiny(kind: str, vocab: int) -> Any:
    import torch
    import transformers

    common = {
        "vocab_size": vocab, "hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 3,
        "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512, "rms_norm_eps": 1e-6,
        "tie_word_embeddings": kind != "llama",
    }  # fmt: skip
    torch.manual_seed(0)
    if kind == "llama":
        return transformers.LlamaForCausalLM(transformers.LlamaConfig(**common)).eval()
    if kind == "qwen2":
        model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**common))
        for name, value in model.named_parameters():
            if name.endswith("bias"):
                torch.nn.init.normal_(value, std=0.1)
        return model.eval()
    return transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**common, head_dim=32)).eval()


def hub_tokenizer(name: str, file: Path) -> Any:
    """The tokenizer of a Hugging Face folder with the vocabulary of the GGUF `file`. name: one of PATTERNS."""
    import gguf
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

    from finetune.hf_export import HubTokenizer, splitting_rule

    fields = gguf.GGUFReader(str(file)).fields
    tokens, types, merges, eos = (
        fields[f"tokenizer.ggml.{key}"].contents() for key in ("tokens", "token_type", "merges", "eos_token_id")
    )
    pairs = [tuple(merge.split(" ")) for merge in merges]
    vocabulary = {token: i for i, token in enumerate(tokens)}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs, ignore_merges=name == "llama-bpe"))
    core.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERNS[name]), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    core.decoder = decoders.ByteLevel()
    if name == "qwen2":
        core.normalizer = normalizers.NFC()
    core.add_special_tokens([t for t, kind in zip(tokens, types) if kind == gguf.TokenType.CONTROL])
    return HubTokenizer(core, splitting_rule(json.loads(core.to_str())), None, eos, None, False, "")


def token_mismatches(tokenizer: Any, texts: list[str], folder: Path) -> float:
    """How many of the texts llama.cpp cuts otherwise, told by a GGUF of ours what the tokenizer is."""
    from finetune.gguf_export import write_gguf
    from finetune.parity import gguf_tokens

    path, size = folder / "tokens.gguf", tokenizer.core.get_vocab_size(with_added_tokens=True)
    write_gguf(path, tiny("qwen2", size), tokenizer, name="tokens")
    return float(sum(tokenizer.ids(t) != i for t, i in zip(texts, gguf_tokens(path, texts))))


def main() -> int:
    import torch

    from finetune.gguf_export import write_gguf
    from finetune.lora import add_lora, write_adapter
    from finetune.parity import LEAST_AGREEMENT, compare, gguf_logits, torch_logits
    from finetune.tokenizer import NanoTokenizer

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--strings", type=int, default=10_000)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    tokenizer = NanoTokenizer.build()
    found: dict[str, dict[str, float]] = {}
    rng = random.Random(1)
    sequences = [[rng.randrange(3, tokenizer.size) for _ in range(160)] for _ in range(4)]
    texts = wild_strings(args.strings)
    with tempfile.TemporaryDirectory() as folder:
        found["tokens of the nano"] = {"token_mismatches": token_mismatches(tokenizer, texts, Path(folder))}
        for name in PATTERNS:
            file = cache_dir() / f"ggml-vocab-{name}.gguf"
            if not file.exists():
                raise SystemExit(f"{file} is missing: run scripts/fetch_llm_fixtures.py")
            shown = [unicodedata.normalize("NFC", t) for t in texts] if name == "qwen2" else texts
            wrong = token_mismatches(hub_tokenizer(name, file), shown, Path(folder))
            found[f"tokens of {name}"] = {"token_mismatches": wrong}
        for kind in ("llama", "qwen2", "qwen3"):
            path, adapter = Path(folder) / f"{kind}.gguf", Path(folder) / f"{kind}-lora.gguf"
            model = tiny(kind, tokenizer.size)
            write_gguf(path, model, tokenizer, name=kind)
            found[kind] = compare(torch_logits(model, sequences), gguf_logits(path, sequences))
            model = add_lora(model, 4, 8.0)
            for name, value in model.named_parameters():
                if "lora_B" in name:
                    torch.nn.init.normal_(value, std=0.05)
            write_adapter(adapter, model, name=kind, rank=4, alpha=8.0)
            found[f"{kind}+lora"] = compare(torch_logits(model, sequences), gguf_logits(path, sequences, adapter))
    ok = all(
        f.get("max_logit_diff", 0) <= MOST_LOGIT_DIFF
        and f.get("argmax_agreement", 1) >= LEAST_AGREEMENT
        and not f.get("token_mismatches")
        for f in found.values()
    )
    if args.json:
        print(json.dumps({"ok": ok, **found}, indent=1))
    else:
        for name, figures in found.items():
            print(name, {k: round(v, 6) for k, v in figures.items()})
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
