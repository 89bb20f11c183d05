"""A fine-tuned model from a Hugging Face folder to GGUF: weights, tokenizer, chat template, checked in llama.cpp."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from finetune.gguf_export import exportable, write_gguf
from finetune.parity import compare, gguf_logits, gguf_tokens, require, torch_logits
from finetune.quantise import KINDS, quantise

SAMPLES = (
    "def f(x):\n    return x + 1\n", "a,b,c\n1,2.5,x\n", "  two  spaces\t\ttabs\r\n", "it's, they'll, I'VE",
    "1234567 0.001", "ünïcödé 数据 🙂👍🏽", "import pandas as pd\n\n\nclass A: ...", "", " ", "\n",
    "x=1;y=[2,3]", "Ω≈ç√∫",
)  # fmt: skip
LONG = 256  # tokens of the longest sequence that is compared


@dataclass(frozen=True)
class HubTokenizer:
    """A `tokenizer.json` with its special ids; satisfies gguf_export.Vocabulary."""

    core: Any
    pre: str
    bos: int | None
    eos: int | None
    pad: int | None
    add_bos: bool
    chat_template: str

    def ids(self, text: str) -> list[int]:
        return list(self.core.encode(text, add_special_tokens=False).ids)

    @property
    def marks(self) -> list[str]:
        """The tokens that begin and end turns."""
        return [token["content"] for token in json.loads(self.core.to_str())["added_tokens"] if token["special"]][:32]

    @classmethod
    def load(cls, folder: Path, model_type: str) -> HubTokenizer:
        """Raises ValueError for a tokenizer that is no byte-level BPE."""
        from tokenizers import Tokenizer

        core = Tokenizer.from_file(str(folder / "tokenizer.json"))
        raw = json.loads(core.to_str())
        if raw["model"]["type"] != "BPE" or not raw["model"]["merges"]:
            raise ValueError(f"{folder}: only byte-level BPE tokenizers can be exported")
        path = folder / "tokenizer_config.json"
        config = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}

        def token_id(name: str) -> int | None:
            token = config.get(name)
            token = token.get("content") if isinstance(token, dict) else token
            return None if token is None else core.token_to_id(token)

        template = config.get("chat_template") or ""
        if isinstance(template, list):  # several, by name
            template = {one["name"]: one["template"] for one in template}.get("default", "")
        separate = folder / "chat_template.jinja"
        if not template and separate.exists():
            template = separate.read_text(encoding="utf-8")
        bos = token_id("bos_token")
        adds = bool(config.get("add_bos_token", model_type == "llama")) and bos is not None
        return cls(core, splitting_rule(raw), bos, token_id("eos_token"), token_id("pad_token"), adds, str(template))


def splitting_rule(tokenizer: dict[str, Any]) -> str:
    """llama.cpp's name for the regular expression of a `tokenizer.json`. Raises ValueError for an unknown one."""
    text = json.dumps(tokenizer.get("pre_tokenizer"))
    if "{1,3}" in text and "(?i:'s" in text:
        return "llama-bpe"
    if "(?i:'s" in text and "p{N}|" in text:
        return "qwen2"
    if '"Split"' not in text and "ByteLevel" in text:
        return "gpt-2"
    raise ValueError("llama.cpp has no rule that splits text as this tokenizer does")


def export_folder(
    folder: Path, out: Path, *, kind: str = "F16", adapter: Path | None = None, name: str = "", licence: str = "",
    texts: Sequence[str] = SAMPLES,
) -> dict[str, float]:  # fmt: skip
    """Convert; raises ParityError when ids or logits in llama.cpp differ from transformers'.

    adapter: a PEFT folder, merged in 32 bits. kind: F32, F16 or one of quantise.KINDS; what is quantised was checked
    in 16 bits before, and `quantised_agreement` says how often its likeliest token is still the same.
    """
    import torch
    from transformers import AutoModelForCausalLM

    exportable(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload().eval()
    tokenizer = HubTokenizer.load(folder, model.config.model_type)
    candidate = out.with_suffix(".candidate.gguf")
    try:
        write_gguf(
            candidate, model, tokenizer, name=name or folder.name, kind=kind if kind in ("F32", "F16") else "F16",
            licence=licence,
        )  # fmt: skip
        ids = [tokenizer.ids(t) for t in texts]
        wrong = sum(a != b for a, b in zip(ids, gguf_tokens(candidate, texts), strict=True))
        marked = [f"{token}a b\n{token}" for token in tokenizer.marks]
        special = gguf_tokens(candidate, marked, special=True)
        wrong += sum(tokenizer.ids(t) != b for t, b in zip(marked, special, strict=True))
        sequences = [i[:LONG] for i in ids if len(i) > 2]
        # Errors of position show far from the beginning.
        sequences.append((list(chain.from_iterable(ids)) * LONG)[:LONG])
        expected = torch_logits(model, sequences)
        found = compare(expected, gguf_logits(candidate, sequences)) | {"token_mismatches": float(wrong)}
        require(found, candidate)
        if kind in KINDS:
            quantise(candidate, candidate, kind)
            found["quantised_agreement"] = compare(expected, gguf_logits(candidate, sequences))["argmax_agreement"]
        found["bytes"] = float(candidate.stat().st_size)
        candidate.replace(out)
    finally:
        candidate.unlink(missing_ok=True)
    return found
