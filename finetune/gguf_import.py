"""A llama GGUF of ours back into `transformers` weights and its tokenizer: what an adapter is trained on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from finetune.tokenizer import NanoTokenizer


def unpermuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """The inverse of `gguf_export.permuted`."""
    rows, columns = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, columns).swapaxes(1, 2).reshape(rows, columns)


def read_gguf(path: Path) -> tuple[Any, NanoTokenizer]:
    """(LlamaForCausalLM in float32, tokenizer). Raises ValueError for another architecture."""
    import gguf
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    reader = gguf.GGUFReader(str(path))

    def field(name: str) -> Any:
        if name not in reader.fields:
            raise ValueError(f"{path} lacks {name}: give a llama GGUF with a byte-level BPE, as the nano is")
        return reader.fields[name].contents()

    if field("general.architecture") != "llama":
        raise ValueError(f"{path} is a {field('general.architecture')}, not a llama")
    heads, kv_heads = int(field("llama.attention.head_count")), int(field("llama.attention.head_count_kv"))
    layers = int(field("llama.block_count"))
    weights = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32) for t in reader.tensors}
    config = LlamaConfig(
        vocab_size=int(field("llama.vocab_size")), hidden_size=int(field("llama.embedding_length")),
        intermediate_size=int(field("llama.feed_forward_length")), num_hidden_layers=layers,
        num_attention_heads=heads, num_key_value_heads=kv_heads,
        max_position_embeddings=int(field("llama.context_length")),
        rms_norm_eps=float(field("llama.attention.layer_norm_rms_epsilon")),
        tie_word_embeddings="output.weight" not in weights,
        pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    model = LlamaForCausalLM(config)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, layers)
    state = {}
    for key in model.state_dict():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        weight = weights[names.get_name(key, try_suffixes=(".weight",))]
        if key.endswith("q_proj.weight"):
            weight = unpermuted(weight, heads)
        elif key.endswith("k_proj.weight"):
            weight = unpermuted(weight, kv_heads)
        state[key] = torch.from_numpy(np.ascontiguousarray(weight))
    missing, unexpected = model.load_state_dict(state, strict=False)
    if unexpected or [m for m in missing if m != "lm_head.weight"]:
        raise ValueError(f"weights do not fit: {missing} {unexpected}")
    model.tie_weights()
    return model.eval(), _tokenizer(
        field("tokenizer.ggml.tokens"), field("tokenizer.ggml.token_type"), field("tokenizer.ggml.merges")
    )


def _tokenizer(tokens: list[str], types: list[int], merges: list[str]) -> NanoTokenizer:
    import gguf
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

    user, control = int(gguf.TokenType.USER_DEFINED), int(gguf.TokenType.CONTROL)
    vocabulary = {token: i for i, (token, kind) in enumerate(zip(tokens, types, strict=True)) if kind != user}
    pairs = [(left, right) for left, right in (merge.split(" ") for merge in merges)]
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=pairs))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([t for t, kind in zip(tokens, types, strict=True) if kind == control])
    core.add_tokens([AddedToken(t, normalized=False) for t, kind in zip(tokens, types, strict=True) if kind == user])
    found = json.loads(core.to_str())
    if core.get_vocab_size() != len(tokens) or len(found["added_tokens"]) < types.count(user):
        raise ValueError("the tokenizer of the GGUF cannot be read back")
    return NanoTokenizer(core)
