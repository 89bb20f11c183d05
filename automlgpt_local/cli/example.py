"""`automlgpt example`: a bundled table to try things on."""

from __future__ import annotations

from pathlib import Path

import click

from automlgpt_local.cli.options import print_table


@click.command("example", short_help="Write a bundled data set as CSV.")
@click.argument("name", required=False)
@click.argument("folder", metavar="DIR", type=click.Path(), default=".")
def command(name: str | None, folder: str) -> None:
    """Write the data set NAME into DIR as CSV; without a name, list what there is."""
    from automlgpt_local.client.examples import EXAMPLES, write_example

    if name is None:
        print_table(["NAME", "TARGET", "KIND", "WHAT"], [[e.name, e.target, e.kind, e.what] for e in EXAMPLES.values()])
        return
    path = write_example(name, Path(folder))
    click.echo(f"Try: automlgpt run {path} --target {EXAMPLES[name].target} --time-limit 60", err=True)
    click.echo(str(path))
