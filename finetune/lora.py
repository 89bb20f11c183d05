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


def write_adapter(path: Path, model: Any, *, name: str, rank: int, alpha: float) -> int:
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
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, model_arch), config.num_hidden_layers)
    found = {k: v.detach().float().cpu().numpy() for k, v in model.state_dict().items() if ".lora_" in k}
    for key, value in found.items():
        base, _, side = key.partition(".lora_")
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
