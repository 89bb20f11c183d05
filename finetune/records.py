"""What lies beside a checkpoint: settings, versions and hashes, the log of the loss, and its picture."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

STATE = "state.pt"
LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "gguf", "llama-cpp-python", "automlgpt-local")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_effective(folder: Path, settings: Mapping[str, Any], inputs: Iterable[Path], **facts: Any) -> str:
    """effective.yaml: all that is needed to tell later how this was made. Returns a hash of settings and inputs.

    Raises ValueError where the folder holds a checkpoint of other settings or inputs.
    """
    import yaml

    settings = {k: list(v) if isinstance(v, tuple) else v for k, v in settings.items()}
    hashes = {str(path): sha256(path) for path in inputs if path.is_file()}
    print_ = hashlib.sha256(json.dumps([settings, sorted(hashes.values())]).encode()).hexdigest()[:16]
    file = folder / "effective.yaml"
    if file.exists() and (folder / STATE).exists():
        before = (yaml.safe_load(file.read_text(encoding="utf-8")) or {}).get("facts", {}).get("fingerprint")
        if before != print_:
            raise ValueError(f"{folder} holds a checkpoint of other settings or rows: remove it, or choose another one")
    versions = {name: _version(name) for name in LIBRARIES}
    told = {**settings, "facts": {"fingerprint": print_, "versions": versions, "sha256": hashes, **facts}}
    file.write_text(yaml.safe_dump(told, sort_keys=False), encoding="utf-8")
    return print_


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing"


def save_state(folder: Path, content: Mapping[str, Any]) -> None:
    """The checkpoint, replaced as a whole. Raises OSError where it cannot be written: the one before it stays."""
    import torch

    part = folder / "state.part"
    try:
        torch.save(content, part)
        part.replace(folder / STATE)
    except RuntimeError as error:  # what torch makes of a full disk
        raise OSError(f"{folder / STATE} cannot be written, is the disk full? ({error})") from error
    finally:
        part.unlink(missing_ok=True)


def cut_log(folder: Path, step: int) -> None:
    """Drop what a killed run logged after the checkpoint that is gone on from."""
    lines = [json.dumps(line) + "\n" for line in read_log(folder) if line["step"] <= step]
    (folder / "log.jsonl").write_text("".join(lines), encoding="utf-8")


def read_log(folder: Path) -> list[dict[str, Any]]:
    file = folder / "log.jsonl"
    found = []
    for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:  # torn by kill -9
            break
    return found


def plot(folder: Path) -> None:
    """loss.png from log.jsonl."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    lines = read_log(folder)
    figure, axes = pyplot.subplots(figsize=(7, 4))
    axes.plot([x["step"] for x in lines], [x["loss"] for x in lines], label="training", linewidth=1)
    held = [(x["step"], x["held_out"]) for x in lines if "held_out" in x]
    if held:
        axes.plot(*zip(*held, strict=True), label="held out", marker="o")
    axes.set(xlabel="step", ylabel="loss")
    axes.legend()
    figure.savefig(folder / "loss.png", dpi=110, bbox_inches="tight")
    pyplot.close(figure)
