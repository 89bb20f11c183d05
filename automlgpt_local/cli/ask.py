"""`automlgpt ask`: a question about a table, answered by counting its rows."""

from __future__ import annotations

import click

from automlgpt_local.cli.options import json_option, print_json
from automlgpt_local.paths import typed_path


@click.command("ask", short_help="A question about a table, in words.")
@click.argument("place", metavar="RUN|DATA")
@click.argument("question")
@json_option
def command(place: str, question: str, as_json: bool) -> None:
    """Answer QUESTION from the rows of a table, or of a run's table (a run folder, or its id).

    For example: automlgpt ask sales.csv "what is the average price by city?". No language model takes part: rules read
    the question, and what they do not understand is answered with a summary.
    """
    from automlgpt_local import client
    from automlgpt_local.client.inert import inert
    from automlgpt_local.language.ask import ask

    path = typed_path(place)
    is_path = path.exists() or path.suffix or "/" in place
    found = ask(path if is_path and not path.is_dir() else client.find_run(place), question)
    if as_json:
        print_json({"answer": found.text, "values": found.values, "understood": found.understood})
    else:
        click.echo(inert(found.text))
