"""Does a GGUF say the same as the weights it was made of? llama.cpp answers in a child, which may crash alone."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TIMEOUT_S = 600.0  # of llama.cpp's answer, and as long again for each SLOW_BYTES of the file: it has one thread
SLOW_BYTES = 8_000_000_000
LEAST_AGREEMENT = 0.995  # share of positions whose likeliest token is the same


class ParityError(RuntimeError):
    """llama.cpp says something else than transformers, or nothing at all."""


def require(found: Mapping[str, float], candidate: Path) -> None:
    """Removes a file that did not pass and raises ParityError. found: what `compare` gave, and token_mismatches."""
    if found.get("token_mismatches") or found["argmax_agreement"] < LEAST_AGREEMENT:
        candidate.unlink(missing_ok=True)
        raise ParityError(f"what was written does not say in llama.cpp what it says in transformers: {dict(found)}")


def gguf_logits(path: Path, sequences: Sequence[Sequence[int]], lora: Path | None = None) -> list[np.ndarray]:
    """For each sequence of ids, (length, vocab) logits by llama.cpp. Raises ParityError when the child fails."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        request = {"model": str(path), "lora": str(lora) if lora else None, "sequences": [list(s) for s in sequences]}
        (work / "request.json").write_text(json.dumps(request))
        _child("logits", work, path)
        with np.load(work / "logits.npz") as arrays:
            return [arrays[f"s{i}"] for i in range(len(sequences))]


def gguf_tokens(path: Path, texts: Sequence[str], special: bool = False) -> list[list[int]]:
    """Token ids by llama.cpp, without BOS. special: control tokens in the text are read as such."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        (work / "request.json").write_text(json.dumps({"model": str(path), "texts": list(texts), "special": special}))
        _child("tokens", work, path)
        found: list[list[int]] = json.loads((work / "tokens.json").read_text())
        return found


def compare(ours: Sequence[np.ndarray], theirs: Sequence[np.ndarray]) -> dict[str, float]:
    """max_logit_diff and argmax_agreement over all positions."""
    worst = max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))
    same = np.concatenate([a.argmax(-1) == b.argmax(-1) for a, b in zip(ours, theirs, strict=True)])
    return {"max_logit_diff": worst, "argmax_agreement": float(same.mean()), "positions": float(len(same))}


def torch_logits(model: Any, sequences: Sequence[Sequence[int]]) -> list[np.ndarray]:
    """The same by transformers, in float32."""
    import torch

    model = model.float().cpu().eval()
    with torch.no_grad():
        return [model(input_ids=torch.tensor([list(s)])).logits[0].numpy() for s in sequences]


def _child(what: str, work: Path, model: Path) -> None:
    command = [sys.executable, "-m", "finetune.parity", what, str(work)]
    timeout_s = TIMEOUT_S * (1 + model.stat().st_size / SLOW_BYTES)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise ParityError(f"llama.cpp did not answer within {timeout_s:.0f} s") from error
    if done.returncode != 0:
        raise ParityError(f"llama.cpp child ended with {done.returncode}: {done.stderr[-1500:]}")


def _serve(what: str, work: Path) -> None:
    import llama_cpp

    from automlgpt_local.llm import native

    opened_as_worker = native.model_params(llama_cpp.llama_cpp)  # the class below has no argument for all of these
    llama_cpp.llama_cpp.llama_model_default_params = lambda: opened_as_worker
    request = json.loads((work / "request.json").read_text())
    longest = max((len(s) for s in request.get("sequences", [])), default=8)
    llm = llama_cpp.Llama(
        request["model"], n_ctx=max(64, longest), n_batch=max(64, longest), logits_all=True, n_threads=1, verbose=False,
        n_threads_batch=1, vocab_only=what == "tokens", lora_path=request.get("lora"), flash_attn=False,
    )  # fmt: skip
    if what == "tokens":
        special = bool(request["special"])
        found = [llm.tokenize(text.encode(), add_bos=False, special=special) for text in request["texts"]]
        (work / "tokens.json").write_text(json.dumps(found))
        return
    arrays = {}
    for i, sequence in enumerate(request["sequences"]):
        llm.reset()
        llm.eval(sequence)
        arrays[f"s{i}"] = llm.scores[: len(sequence)].copy()
    np.savez(work / "logits.npz", **arrays)


if __name__ == "__main__":
    _serve(sys.argv[1], Path(sys.argv[2]))
