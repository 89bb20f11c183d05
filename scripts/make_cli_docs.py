"""Writes docs/cli.md and docs/tui.md from commands and actions; --check: exit 1 when a file is not what they say."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from automlgpt_local.cli.main import cli

DOCS = Path(__file__).resolve().parent.parent / "docs"
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


TUI_HEAD = """# The terminal app

`automlgpt` without a command opens it. This page is made by `python scripts/make_cli_docs.py` from the app's registry
of actions, the screens by `python scripts/make_screens.py`; do not edit it by hand.

It draws events and sends commands: tables, models and fits live in other processes. When it ends, in whatever way, a
run that works ends with it and can be resumed; the app offers it when it is opened again. `automlgpt run --detach`
makes a run that needs nobody. `automlgpt --plain` does without a full screen: questions, lines, and what you type while
the run works steers it. `automlgpt serve` shows the app in a browser of this machine: it listens on
127.0.0.1 alone, the address holds a secret that is new each time, pages of other sites are refused, nothing is loaded
from elsewhere and nothing can be downloaded.

Under load a key press comes first: drawing waits while letters are typed, and panels are drawn twice a second
(`python scripts/bench_tui.py` measures it).

Keys can be changed in the settings: `[keys]` with the action's name, such as `"run.pause" = "f12"`.
Approvals (`--approve ask`): `a` once, `A` always in this run, `e` edit the code first, `r` or Esc reject, `R` all.

| | |
|---|---|
| ![Start](screens/start-wide.svg) | ![A run](screens/run-wide.svg) |
| ![Leaderboard](screens/board-wide.svg) | ![Attempts and their difference](screens/tree-wide.svg) |
| ![Columns](screens/data-wide.svg) | ![Approval](screens/approval-wide.svg) |
| ![Plot](screens/plot-wide.svg) | ![The light theme](screens/light-wide.svg) |
| ![A question back](screens/question-wide.svg) | ![In a browser](screens/browser.png) |
| ![Sessions](screens/sessions-wide.svg) | ![Models](screens/models-wide.svg) |
| ![At 80 x 24](screens/run-narrow.svg) | ![At 80 x 24](screens/start-narrow.svg) |

"""


def texts() -> dict[str, str]:
    from automlgpt_local.tui.actions import ACTS
    from automlgpt_local.tui.screens.help import help_text

    names = "\n".join(f"- `{act.id}`: {act.title}" for act in ACTS)
    return {
        "cli.md": HEAD + "\n" + "\n".join(pages(cli, "automlgpt")),
        "tui.md": TUI_HEAD
        + help_text().replace("# How it works", "## How it works")
        + f"\n\n## Names of actions\n\n{names}\n",
    }


def main() -> int:
    if "--check" in sys.argv[1:]:
        same = all((DOCS / n).is_file() and (DOCS / n).read_text(encoding="utf-8") == t for n, t in texts().items())
        return 0 if same else 1
    for name, text in texts().items():
        (DOCS / name).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
