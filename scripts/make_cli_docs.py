"""Writes docs/cli.md from the commands themselves; with --check, exits with 1 when the file is not what they say."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from automlgpt_local.cli.main import cli

PAGE = Path(__file__).resolve().parent.parent / "docs" / "cli.md"
HEAD = """# The command line

Made by `python scripts/make_cli_docs.py` from the commands' own help; do not edit it by hand.

stdout carries data only; progress and messages go to stderr. Every list and show has `--json`.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | no valid model, though the budget sufficed |
| 2 | usage, configuration or data: the last paragraph on stderr is the problem and the remedy |
| 3 | the environment is not ready: model, memory, sandbox |
| 4 | the budget was spent before a first model |
| 5 | denied |
| 70 | internal error; a report to copy is written |
| 130 | interrupted; the best model so far is kept |

Settings: flags, then `AUTOMLGPT_*` variables, then `./automlgpt.toml`, then the user's file (`automlgpt config path`).
"""


def pages(command: click.Command, path: str, parent: click.Context | None = None) -> list[str]:
    """The help of a command and of all below it, each under a heading of its own."""
    context = click.Context(command, info_name=path.rsplit(" ", 1)[-1], parent=parent, max_content_width=100)
    context.terminal_width = 100
    parts = [f"## {path}\n\n```text\n{command.get_help(context)}\n```\n"]
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                parts += pages(child, f"{path} {name}", context)
    return parts


def text() -> str:
    return HEAD + "\n" + "\n".join(pages(cli, "automlgpt"))


def main() -> int:
    if "--check" in sys.argv[1:]:
        return 0 if PAGE.is_file() and PAGE.read_text(encoding="utf-8") == text() else 1
    PAGE.write_text(text(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
