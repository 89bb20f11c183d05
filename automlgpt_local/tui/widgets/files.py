"""Files that may be tables: as a tree to choose from, and as the rest of a path that is being typed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from textual.suggester import Suggester
from textual.widgets import DirectoryTree

from automlgpt_local.paths import typed_path

TABLES = (".csv", ".tsv", ".txt", ".parquet", ".csv.gz", ".tsv.gz", ".xlsx", ".feather")


class Tables(DirectoryTree):
    """Folders, and files that may be tables."""

    ICON_NODE, ICON_NODE_EXPANDED, ICON_FILE = "▸ ", "▾ ", "  "

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        kept = []
        for path in paths:
            try:
                if not path.name.startswith(".") and (path.is_dir() or path.name.lower().endswith(TABLES)):
                    kept.append(path)
            except OSError:
                continue
        return kept


class PathSuggester(Suggester):
    """Completes the path that is being typed."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        typed = typed_path(value)
        folder = typed if value.endswith("/") else typed.parent
        start = "" if value.endswith("/") else typed.name
        try:
            names = sorted(
                p.name + ("/" if p.is_dir() else "") for p in folder.iterdir() if p.name.startswith(start or "")
            )
        except OSError:
            return None
        fitting = [n for n in names if not n.startswith(".") and (n.endswith("/") or n.lower().endswith(TABLES))]
        return value + fitting[0][len(start) :] if fitting else None
