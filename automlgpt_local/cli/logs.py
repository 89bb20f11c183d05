"""`automlgpt logs`: what the engine of a run wrote for its developers."""

from __future__ import annotations

import click


@click.command("logs", short_help="The engine's own log of a run.")
@click.argument("run", required=False)
@click.option("-n", "--lines", default=100, show_default=True, help="How many of the last lines.")
@click.option("-f", "--follow", is_flag=True, help="Go on printing while the run works.")
def command(run: str | None, lines: int, follow: bool) -> None:
    """The last lines of the engine's log of RUN; without a name, of the newest run."""
    import time
    from pathlib import Path

    from automlgpt_local import client
    from automlgpt_local.client.inert import inert
    from automlgpt_local.client.runs import is_locked
    from automlgpt_local.errors import UsageError

    newest = client.list_runs() if run is None else []
    if run is None and not newest:
        raise UsageError("There are no runs yet.", "Start one: automlgpt run DATA.csv --target COLUMN")
    run_dir = client.find_run(run) if run is not None else Path(newest[0].path)
    log = run_dir / "engine.log"
    if not log.is_file():
        raise UsageError(f"{run_dir} has no engine.log.", "It was made by another version, or never started.")
    with open(log, encoding="utf-8", errors="replace") as file:
        for line in file.readlines()[-lines:]:
            click.echo(inert(line.rstrip("\n")))
        while follow and is_locked(run_dir):
            if line := file.readline():
                click.echo(inert(line.rstrip("\n")))
            else:
                time.sleep(0.2)
