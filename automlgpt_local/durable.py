"""Files that survive a crash whole: the old one or the new one."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from automlgpt_local.task import Request


def write_durably(path: Path, text: str) -> None:
    """Write a whole file so that a crash leaves either the old one or the new one."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with open(draft, "w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def write_request(run_dir: Path, request: Request) -> None:
    write_durably(run_dir / "request.json", json.dumps(request.to_json(), indent=1, ensure_ascii=False) + "\n")
