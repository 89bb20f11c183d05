"""manifest.json: sha256 of every file that a run leaves behind, versions, seeds and the data's fingerprint."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from automlgpt_local import __version__
from automlgpt_local.artifacts.report import versions
from automlgpt_local.events import ModelStarted, SessionStarted, SplitMade, read_events

FILE = "manifest.json"
VERSION = 1
# The journal grows until the very end, the lock and the scratch folder vanish, the manifest cannot hold itself.
LEFT_OUT = ("events.jsonl", "lock", "work", "engine.log", FILE)


def write_manifest(run_dir: Path) -> Path:
    """Write manifest.json anew, last of all files. Returns its path."""
    events = [record.event for record in read_events(run_dir / "events.jsonl")]
    split = next((e for e in reversed(events) if isinstance(e, SplitMade)), None)
    session = next((e for e in events if isinstance(e, SessionStarted)), None)
    model = next((e for e in reversed(events) if isinstance(e, ModelStarted)), None)
    task: dict[str, Any] = json.loads((run_dir / "task.json").read_text(encoding="utf-8"))
    values = {
        "version": VERSION,
        "made_by": {"automlgpt-local": __version__, **versions()},
        "run": session.run_id if session else run_dir.name,
        "seed": task.get("seed"),
        "threads": task.get("threads"),
        "data": {"sha256": split.fingerprint if split else None},
        "model": {"name": model.name, "sha256": model.sha256} if model else None,
        "files": {name: sha256(run_dir / name) for name in files(run_dir)},
    }
    path = run_dir / FILE
    torn = path.with_name(FILE + ".part")
    torn.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
    return torn.replace(path)


def files(run_dir: Path) -> list[str]:
    """What a run leaves behind, as paths relative to it, sorted."""
    found = (p for p in run_dir.rglob("*") if p.is_file() and not p.is_symlink())
    names = (p.relative_to(run_dir) for p in found if p.suffix != ".part" and "__pycache__" not in p.parts)
    return sorted(name.as_posix() for name in names if name.parts[0] not in LEFT_OUT)


def changed(run_dir: Path) -> list[str]:
    """Files of the manifest that are missing or no longer what they were."""
    recorded = json.loads((run_dir / FILE).read_text(encoding="utf-8"))["files"]
    return [n for n, digest in recorded.items() if not (run_dir / n).is_file() or sha256(run_dir / n) != digest]


def sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
