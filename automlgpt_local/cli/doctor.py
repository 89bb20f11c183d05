"""`automlgpt doctor`: is this machine ready, and what would help?"""

from __future__ import annotations

from dataclasses import asdict

import click

from automlgpt_local.cli.options import json_option, print_json


@click.command("doctor", short_help="Is this machine ready, and what would help?")
@json_option
def command(as_json: bool) -> None:
    """Look at libraries, memory, disk, sandbox and model. Exit code 3 when a run could not work."""
    from automlgpt_local.client.health import checks
    from automlgpt_local.client.inert import inert_line
    from automlgpt_local.exits import DONE, NOT_READY

    found = list(checks())
    if as_json:
        print_json([asdict(c) for c in found])
    else:
        marks = {"ok": "ok     ", "hint": "hint   ", "problem": "PROBLEM"}
        width = max(len(c.name) for c in found)
        for c in found:
            click.echo(f"{marks[c.state]}  {c.name:<{width}}  {inert_line(c.detail, 400)}")
            if c.remedy:
                click.echo(f"{'':9}{'':<{width}}  → {inert_line(c.remedy, 400)}")
    click.get_current_context().exit(NOT_READY if any(c.state == "problem" for c in found) else DONE)
