"""LoRA on a small model: low-rank matrices beside the frozen weights, exported as a GGUF adapter for llama.cpp."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from finetune.gguf_export import ARCHITECTURES, permuted

TARGETS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def add_lora(model: Any, rank: int = 8, alpha: float = 16.0) -> Any:
    """The same model with trainable low-rank matrices in every linear layer; all else is frozen. B starts at zero."""
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(r=rank, lora_alpha=alpha, target_modules=list(TARGETS), lora_dropout=0.0, bias="none")
    return inject_adapter_in_model(config, model)


def write_adapter(path: Path, model: Any, *, name: str, rank: int, alpha: float, licence: str = "") -> int:
    """Writes the adapter of a model made by `add_lora`; returns the file's bytes. Scale is alpha / rank."""
    import gguf

    config = model.config
    arch, model_arch = ARCHITECTURES[config.model_type]
    part = path.with_suffix(".part")
    writer = gguf.GGUFWriter(str(part), arch)
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, float(alpha))
    writer.add_name(name)
    if licence:
        writer.add_license(licence)
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, model_arch), config.num_hidden_layers)
    found = {k: v.detach().float().cpu().numpy() for k, v in model.state_dict().items() if ".lora_" in k}
    for key, value in found.items():
        base, _, side = key.removeprefix("base_model.model.").partition(".lora_")
        weight = np.ascontiguousarray(value)
        if side.startswith("B") and arch == "llama" and base.endswith(("q_proj", "k_proj")):
            heads = config.num_attention_heads if base.endswith("q_proj") else config.num_key_value_heads
            weight = permuted(weight, heads)
        target = names.get_name(base + ".weight", try_suffixes=(".weight",))
        if target is None or weight.shape[0 if side.startswith("A") else 1] != rank:
            raise ValueError(f"{key} is no LoRA matrix of rank {rank} that llama.cpp knows")
        writer.add_tensor(f"{target}.lora_{side[0].lower()}", np.ascontiguousarray(weight, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    part.replace(path)
    return path.stat().st_size


def write_peft_adapter(folder: Path, base: Path, out: Path, licence: str = "") -> dict[str, float]:
    """A saved PEFT adapter of the Hugging Face folder `base` as GGUF, compared in llama.cpp with transformers.

    For that the base is held in memory and lies beside `out` for a while, in 32 bits. Raises ValueError for a base that
    cannot be exported and for what llama.cpp cannot add (DoRA, patterns, whole modules), ParityError when they differ.
    """
    import json
    import tempfile

    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from finetune.gguf_export import exportable, write_gguf
    from finetune.hf_export import HubTokenizer
    from finetune.parity import compare, gguf_logits, require, torch_logits

    exportable(base)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    refused = [k for k in ("use_dora", "rank_pattern", "alpha_pattern", "modules_to_save") if config.get(k)]
    if refused or config.get("bias", "none") != "none":
        raise ValueError(f"{folder}: llama.cpp cannot add an adapter with {', '.join(refused) or 'biases'}")
    rank, alpha = int(config["r"]), float(config["lora_alpha"])
    if config.get("use_rslora"):
        alpha *= rank**0.5
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    tokenizer = HubTokenizer.load(base, model.config.model_type)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        plain, candidate = Path(scratch) / "base.gguf", Path(scratch) / "adapter.gguf"
        write_gguf(plain, model, tokenizer, name="base", kind="F32")
        tuned = PeftModel.from_pretrained(model, str(folder)).eval()
        size = write_adapter(candidate, tuned, name=folder.name, rank=rank, alpha=alpha, licence=licence)
        ids = list(range(3, min(131, model.config.vocab_size)))
        found = compare(torch_logits(tuned, [ids]), gguf_logits(plain, [ids], candidate))
        require(found, candidate)
        candidate.replace(out)
    return {**found, "bytes": float(size)}
