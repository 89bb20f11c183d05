"""`automlgpt --plain`: the way from nothing to a running job in questions and answers, for screen readers and logs."""

from __future__ import annotations

import sys

import click

from automlgpt_local import client, settings
from automlgpt_local.cli.options import Duration
from automlgpt_local.client.children import preview
from automlgpt_local.client.inert import inert_line
from automlgpt_local.errors import AutoMLGPTError, UsageError
from automlgpt_local.paths import typed_path
from automlgpt_local.task import Request


def converse() -> int:
    """Ask for file, target and time, run, and say where the result lies; the exit code."""
    if not sys.stdin.isatty():
        raise UsageError(
            "There is no terminal to open the app on.", "Give a command: automlgpt run DATA.csv --target COLUMN"
        )
    chosen = settings.load()
    click.echo("AutoML-GPT Local. Ctrl+C ends at any time.", err=True)
    open_runs = [r for r in client.list_runs() if r.state == "interrupted"]
    latest = inert_line(open_runs[0].id) if open_runs else ""
    if latest and click.confirm(f"Go on with the interrupted run {latest}?", default=True, err=True):
        return _follow(client.resume(open_runs[0].path))
    data = _data()
    columns: list[str] = []
    suggested = ""
    try:
        for step in preview(Request(data=(data,))):
            if step["step"] == "table":
                columns = step["columns"]
                click.echo(f"{step['rows']:,} rows, {len(columns)} columns:", err=True)
                click.echo(", ".join(inert_line(c, 40) for c in columns), err=True)
            elif step["step"] == "task":
                suggested = step["task"]["target"]
                break
    except AutoMLGPTError as error:
        if not columns:
            raise
        click.echo(inert_line(error.message, 400), err=True)
    question = "Column to predict" + (f" [{inert_line(suggested, 40)}]" if suggested else "")
    while (target := click.prompt(question, default=suggested or None, show_default=False, err=True)) not in columns:
        click.echo(f"There is no column {target!r}.", err=True)
    limit = click.prompt("Time for it", default=chosen.time_limit, type=Duration(), err=True)
    memory_mib = settings.parse_mib(chosen.memory) if chosen.memory else None
    request = Request(
        data=(data,), target=target, time_limit_s=limit, model=chosen.model, threads=chosen.threads,
        memory_mib=memory_mib, approve="ask" if chosen.approve == "ask" else "auto",
    )  # fmt: skip
    return _follow(client.start(request))


def _follow(session: client.Session) -> int:
    from automlgpt_local.cli.talk import HOW, Talk
    from automlgpt_local.cli.watch import watch

    click.echo(HOW, err=True)
    return watch(session, as_json=False, talk=Talk(session))


def _data() -> str:
    while True:
        path = str(click.prompt("Table (CSV or parquet)", err=True))
        if typed_path(path).is_file():
            return str(typed_path(path))
        click.echo(f"There is no file {path}.", err=True)
