"""Tiny models of random weights, written with the `gguf` package: they say nothing, yet they decode for real."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = [
    "the",
    " the",
    "ing",
    "log",
    " log",
    "none",
    "yes",
    "no",
    "drop",
    "keep",
    " c",
    "num",
    "cat",
    '{"',
    '": "',
    '", "',
]


def byte_alphabet() -> list[str]:
    """The 256 characters that GPT-2's byte-level vocabularies write bytes with."""
    kept = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    letters, extra = {}, 0
    for byte in range(256):
        if byte in kept:
            letters[byte] = chr(byte)
        else:
            letters[byte] = chr(256 + extra)
            extra += 1
    return [letters[byte] for byte in range(256)]


def make_vocabulary() -> tuple[list[str], list[int], list[str]]:
    """(tokens, token types, merges): all bytes, some words, then the control tokens."""
    alphabet = byte_alphabet()
    tokens, merges = list(alphabet), []
    for word in WORDS:
        parts = [alphabet[byte] for byte in word.encode()]
        merged = parts[0]
        for part in parts[1:]:
            if f"{merged} {part}" not in merges:
                merges.append(f"{merged} {part}")
            merged += part
            if merged not in tokens:
                tokens.append(merged)
    types = [1] * len(tokens)
    for control in ("<|endoftext|>", "<|im_start|>", "<|im_end|>"):
        tokens.append(control)
        types.append(3)
    return tokens, types, merges


def write_model(
    path: Path,
    *,
    seed: int = 0,
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    context: int = 2048,
    architecture: str = "llama",
    dialect: str | None = "compact",
    chat_template: str | None = CHATML,
    nan: bool = False,
    extra_tokens: int = 0,
    scale: float = 0.2,
    kv_heads: int | None = None,
    inner: int | None = None,
    half: bool = False,
    q8: bool = False,
    part_tensors: int = 0,
) -> Path:
    """A model of random weights (llama, qwen2, qwen3, gemma, gemma3 or phi3; any other name is written as llama is).

    With `nan` one tensor is poisoned; `extra_tokens` fill the vocabulary up; `half` stores matrices in 16
    bits, `q8` as Q8_0 (random blocks). `part_tensors`: so many in each part of a split file, whose parts are
    `path` with -00001-of-0000N; the first is returned.
    """
    import gguf

    rng = np.random.default_rng(seed)
    tokens, types, merges = make_vocabulary()
    tokens += [f"[{number}]" for number in range(extra_tokens)]
    types += [1] * extra_tokens
    inner, kv_heads = inner or width * 2, kv_heads or heads
    kv_width = kv_heads * (width // heads)
    writer: Any = gguf.GGUFWriter(path, architecture, split_max_tensors=part_tensors)
    writer.add_name("tiny")
    writer.add_context_length(context)
    writer.add_embedding_length(width)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(width // heads)
    writer.add_key_length(width // heads)
    writer.add_value_length(width // heads)
    writer.add_vocab_size(len(tokens))
    if architecture == "gemma3":
        writer.add_sliding_window(64)  # five layers of six see no further
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(False)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    if dialect is not None:
        writer.add_string("automlgpt.dialect", dialect)

    def add(name: str, *shape: int) -> None:
        if q8:
            rows, blocks = shape[0], shape[1] // 32
            data = rng.integers(0, 256, (rows, blocks, 34), np.uint8)
            data[..., :2] = np.array([scale / 74], np.float16).view(np.uint8)  # int8 of deviation 74, times the scale
            writer.add_tensor(name, data.reshape(rows, -1), raw_dtype=gguf.GGMLQuantizationType.Q8_0)
            return
        writer.add_tensor(name, rng.normal(0, scale, shape).astype(np.float16 if half else np.float32))

    def add_ones(name: str, size: int, value: float = 1.0) -> None:
        writer.add_tensor(name, np.full(size, value, np.float32))

    add("token_embd.weight", len(tokens), width)
    for n in range(layers):
        block = f"blk.{n}."
        add_ones(f"{block}attn_norm.weight", width)
        if architecture == "phi3":
            add(f"{block}attn_qkv.weight", width + 2 * kv_width, width)
        else:
            for part, rows in (("q", width), ("k", kv_width), ("v", kv_width)):
                add(f"{block}attn_{part}.weight", rows, width)
                if architecture == "qwen2":
                    add_ones(f"{block}attn_{part}.bias", rows, 0.01)
        if architecture == "gemma3":
            add_ones(f"{block}post_attention_norm.weight", width)
            add_ones(f"{block}post_ffw_norm.weight", width)
        if architecture in ("qwen3", "gemma3"):
            add_ones(f"{block}attn_q_norm.weight", width // heads)
            add_ones(f"{block}attn_k_norm.weight", width // heads)
        add(f"{block}attn_output.weight", width, width)
        add_ones(f"{block}ffn_norm.weight", width)
        if architecture == "phi3":
            add(f"{block}ffn_up.weight", 2 * inner, width)
        else:
            add(f"{block}ffn_gate.weight", inner, width)
            add(f"{block}ffn_up.weight", inner, width)
        add(f"{block}ffn_down.weight", width, inner)
    add_ones("output_norm.weight", width, np.nan if nan else 1.0)
    if architecture == "phi3":
        add("output.weight", len(tokens), width)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return next(path.parent.glob(f"{path.stem}-00001-of-*.gguf")) if part_tensors else path


def write_adapter(path: Path, *, seed: int = 1, width: int = 64, layers: int = 2, rank: int = 4) -> Path:
    """A LoRA of random weights for `write_model` with the same width and layers."""
    import gguf

    rng = np.random.default_rng(seed)
    writer: Any = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", float(rank * 2))
    for n in range(layers):
        for part in ("q", "v", "output"):
            name = f"blk.{n}.attn_{part}.weight"
            writer.add_tensor(f"{name}.lora_a", rng.normal(0, 0.3, (rank, width)).astype(np.float32))
            writer.add_tensor(f"{name}.lora_b", rng.normal(0, 0.3, (width, rank)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


class CharacterModel:
    """One token per character; `score(text so far) -> {character: logit}`."""

    def __init__(self, score: Callable[[str], dict[str, float]]) -> None:
        self._score = score
        self.text = ""
        self.evaluated_tokens = 0
        self.readings: list[str] = []

    def tokenize(self, text: str, *, parse_special: bool = True, begins: bool = False) -> tuple[int, ...]:
        return tuple(map(ord, text))

    def piece(self, token: int) -> bytes:
        return chr(token).encode()

    def ends(self, token: int) -> bool:
        return token == 0

    def feed(self, tokens: tuple[int, ...] | list[int]) -> None:
        self.text += "".join(map(chr, tokens))

    def drop(self, count: int) -> None:
        self.text = self.text[:-count]

    def logits(self) -> np.ndarray:
        self.readings.append(self.text)
        logits = np.full(128, -20.0, np.float32)
        for character, value in self._score(self.text).items():
            logits[ord(character)] = value
        return logits
