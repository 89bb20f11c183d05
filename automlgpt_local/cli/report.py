"""`automlgpt report`: what a run found, as text, data, or a file to open."""

from __future__ import annotations

import click

from automlgpt_local.cli.options import json_option

MOST_CHARACTERS = 10_000_000  # of a report that is printed


@click.command("report", short_help="The report of a run.")
@click.argument("run")
@json_option
@click.option("--html", is_flag=True, help="Print the path of the HTML page instead.")
def command(run: str, as_json: bool, html: bool) -> None:
    """Print the report of RUN (a run folder, or its id) as Markdown."""
    from automlgpt_local import client
    from automlgpt_local.client.inert import inert
    from automlgpt_local.errors import NoModelError

    run_dir = client.find_run(run)
    path = run_dir / ("report.html" if html else "report.json" if as_json else "report.md")
    if not path.is_file():
        raise NoModelError(
            f"{run_dir} has no report yet; the run is {client.state(run_dir)}.",
            f"`automlgpt sessions resume {run_dir.name}` goes on with it.",
        )
    if html:
        click.echo(str(path))
        return
    text = path.read_text(encoding="utf-8")
    click.echo(text if as_json else inert(text, MOST_CHARACTERS, MOST_CHARACTERS), nl=False)
