"""Hugging Face weights to GGUF with the `gguf` package alone: llama, qwen2, qwen3 in F32 or F16."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np

# transformers' model_type -> (architecture of llama.cpp, name in gguf.MODEL_ARCH)
ARCHITECTURES = {"llama": ("llama", "LLAMA"), "qwen2": ("qwen2", "QWEN2"), "qwen3": ("qwen3", "QWEN3")}


def model_type(folder: Path) -> str:
    """What a Hugging Face folder holds, as `transformers` calls it. Raises ValueError where it holds no model."""
    file = folder / "config.json"
    if not file.is_file():
        raise ValueError(f"{folder} is no folder of a Hugging Face model: it has no config.json")
    return str(json.loads(file.read_text(encoding="utf-8")).get("model_type"))


def exportable(folder: Path) -> str:
    """The same; raises ValueError also for a model that cannot become a GGUF here."""
    kind = model_type(folder)
    if kind not in ARCHITECTURES:
        raise ValueError(f"{folder}: {kind} is none of {', '.join(ARCHITECTURES)}")
    return kind


class Vocabulary(Protocol):
    """A BPE tokenizer with what llama.cpp must know of it. `pre`: llama.cpp's name for its splitting rule."""

    @property
    def core(self) -> Any: ...  # tokenizers.Tokenizer
    @property
    def pre(self) -> str: ...
    @property
    def add_bos(self) -> bool: ...
    @property
    def chat_template(self) -> str: ...
    @property
    def bos(self) -> int | None: ...
    @property
    def eos(self) -> int | None: ...
    @property
    def pad(self) -> int | None: ...


def permuted(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows of a llama's q or k projection in llama.cpp's order (the two halves of a rotary pair side by side)."""
    rows, columns = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, columns).swapaxes(1, 2).reshape(rows, columns)


def write_gguf(
    path: Path,
    model: Any,
    tokenizer: Vocabulary,
    *,
    name: str,
    kind: str = "F16",
    licence: str = "",
    extra: dict[str, str] | None = None,
) -> int:
    """Writes a model of `transformers` with its tokenizer; returns the file's bytes. kind: F32 or F16."""
    import gguf

    config = model.config
    arch = ARCHITECTURES[config.model_type][0]
    head_width = _head_width(config)
    part = path.with_suffix(".part")
    writer = gguf.GGUFWriter(str(part), arch)
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(name)
    if licence:
        writer.add_license(licence)
    writer.add_file_type({"F32": 0, "F16": 1}[kind])
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if arch == "llama":
        writer.add_rope_dimension_count(head_width)
    writer.add_key_length(head_width)
    writer.add_value_length(head_width)
    writer.add_rope_freq_base(float(config.rope_parameters["rope_theta"]))
    for key, value in (extra or {}).items():
        writer.add_string(key, value)
    _add_tokenizer(writer, tokenizer, config.vocab_size)
    for target, weight in gguf_tensors(model, kind):
        writer.add_tensor_info(target, weight.shape, weight.dtype, weight.nbytes)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for _, weight in gguf_tensors(model, kind):
        writer.write_tensor_data(weight)
    writer.close()
    part.replace(path)
    return path.stat().st_size


def _head_width(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def rope_factors(rope: Mapping[str, Any], head_width: int) -> np.ndarray | None:
    """(head_width / 2,) divisors of the rotary frequencies as Llama 3.1 and later stretch them; None where none do.

    Raises ValueError for another way of stretching. The formula is that of transformers' rope_type "llama3".
    """
    kind = rope.get("rope_type", "default")
    if kind == "default":
        return None
    if kind != "llama3":
        raise ValueError(f"rotary embeddings of type {kind} cannot be exported")
    waves = 2 * np.pi * float(rope["rope_theta"]) ** (np.arange(0, head_width, 2) / head_width)
    turns = rope["original_max_position_embeddings"] / waves  # that a frequency makes in the original context
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    return np.asarray(1 / ((1 - smooth) / factor + smooth), dtype=np.float32)


def gguf_tensors(model: Any, kind: str) -> Iterator[tuple[str, np.ndarray]]:
    """(GGUF name, weights as they are stored), one by one: copies of all would not fit. kind: F32 or F16, of matrices.

    A tied output layer is left out.
    """
    import gguf

    config = model.config
    factors = rope_factors(config.rope_parameters, _head_width(config))
    if factors is not None:
        yield "rope_freqs.weight", factors
    arch, model_arch = ARCHITECTURES[config.model_type]
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, model_arch), config.num_hidden_layers)
    for key, value in model.state_dict().items():
        if key == "lm_head.weight" and config.tie_word_embeddings:
            continue
        weight = value.detach().float().cpu().numpy()
        if arch == "llama" and key.endswith("q_proj.weight"):
            weight = permuted(weight, config.num_attention_heads)
        elif arch == "llama" and key.endswith("k_proj.weight"):
            weight = permuted(weight, config.num_key_value_heads)
        target = names.get_name(key, try_suffixes=(".weight", ".bias"))
        if target is None:
            raise ValueError(f"no GGUF name for {key}")
        stored = np.float16 if kind == "F16" and weight.ndim == 2 else np.float32
        yield target, np.ascontiguousarray(weight, dtype=stored)


def _add_tokenizer(writer: Any, tokenizer: Vocabulary, size: int) -> None:
    """Tokens, types, merges and special ids; rows of the embedding without a token are marked unused."""
    import gguf

    core = json.loads(tokenizer.core.to_str())
    added = {token["content"]: token["special"] for token in core["added_tokens"]}
    tokens: list[str] = []
    types: list[int] = []
    for i in range(size):
        token = tokenizer.core.id_to_token(i)
        kind = gguf.TokenType.UNUSED if token is None else gguf.TokenType.NORMAL
        if token in added:
            kind = gguf.TokenType.CONTROL if added[token] else gguf.TokenType.USER_DEFINED
        tokens.append(f"[PAD{i}]" if token is None else token)
        types.append(int(kind))
    merges = [" ".join(pair) if isinstance(pair, list) else pair for pair in core["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(tokenizer.pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    for add, value in (
        (writer.add_bos_token_id, tokenizer.bos), (writer.add_eos_token_id, tokenizer.eos),
        (writer.add_pad_token_id, tokenizer.pad),
    ):  # fmt: skip
        if value is not None:
            add(value)
    writer.add_add_bos_token(tokenizer.add_bos)
    writer.add_add_eos_token(False)
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)
