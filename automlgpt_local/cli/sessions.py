"""`automlgpt sessions`: list, show, resume, stop and remove runs."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click

from automlgpt_local.cli.options import Duration, json_option, print_json, print_table


@click.group("sessions", short_help="List, show, resume, stop and remove runs.")
def command() -> None:
    """Runs of this machine, wherever their folders are."""


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """All runs, the newest first."""
    from automlgpt_local import client
    from automlgpt_local.settings import format_seconds

    runs = client.list_runs()
    if as_json:
        print_json([asdict(r) for r in runs])
        return
    if not runs:
        click.echo("No runs yet. Start one: automlgpt run DATA.csv --target COLUMN", err=True)
        return
    rows = [[r.id, r.state, r.target or "", r.metric or "", "" if r.score is None else f"{r.score:.5g}",
             (r.started_at or "")[:16].replace("T", " "), format_seconds(r.seconds), r.path] for r in runs]  # fmt: skip
    print_table(["ID", "STATE", "TARGET", "METRIC", "SCORE", "STARTED (UTC)", "TIME", "PATH"], rows)


@command.command("show")
@click.argument("run")
@json_option
@click.option("--events", is_flag=True, help="Every event as its JSON line.")
@click.option("--follow", is_flag=True, help="Stay with a run that another process works on.")
def show(run: str, as_json: bool, events: bool, follow: bool) -> None:
    """What RUN is, how far it came, and its attempts, the best first."""
    from automlgpt_local import client

    run_dir = client.find_run(run)
    if follow:
        from automlgpt_local.cli.watch import watch

        click.get_current_context().exit(watch(client.attach(run_dir), as_json or events))
    if events:
        from automlgpt_local.events import read_events

        log = run_dir / "events.jsonl"
        for record in read_events(log) if log.is_file() else []:
            click.echo(record.to_line())
        return
    info, seen = client.info(run_dir), client.view(run_dir)
    if as_json:
        attempts = [asdict(a) for a in seen.attempts.values()]
        print_json({**asdict(info), "task": seen.task, "attempts": attempts, "warnings": seen.warnings})
        return
    _print(info, seen)


def _print(info: Any, seen: Any) -> None:
    from automlgpt_local.client.inert import inert, inert_line
    from automlgpt_local.settings import format_seconds

    limit = f" of {format_seconds(seen.limit_s)}" if seen.limit_s else ""
    lines = []
    if seen.task:
        lines.append(f"predict {info.target} ({seen.task.get('kind')}), {seen.metric}, model {seen.model}")
    used = f"time {format_seconds(info.seconds)}{limit}"
    lines.append(f"{used}, stage {seen.stage or '–'}, {len(seen.attempts)} attempts")
    if seen.score is not None:
        locked = f", locked holdout {seen.holdout.score:.5g}" if seen.holdout else ""
        lines.append(f"validation {seen.score:.5g}{locked}")
    lines += [f"warning: {warning}" for warning in seen.warnings]
    click.echo(inert(f"{info.id}  {info.state}  {info.path}"))
    for line in lines:
        click.echo(inert_line(line, 400))
    if seen.attempts:
        click.echo()
        ranked = seen.ranking()
        rest = [a for a in seen.attempts.values() if a not in ranked]
        rows = [[str(a.number), a.title, "" if a.score is None else f"{a.score:.5g}",
                 "" if a.noise is None else f"{a.noise:.2g}", a.status, a.by, f"{a.seconds:.1f} s",
                 f"{a.weight:.0%}" if a.weight else ""] for a in ranked + rest]  # fmt: skip
        print_table(["ATTEMPT", "WHAT", "SCORE", "± NOISE", "STATE", "BY", "TIME", "WEIGHT"], rows)


@command.command("resume")
@click.argument("run")
@click.option("--time-limit", type=Duration(), help="More time from now on; left out: what is left of the budget.")
@click.option("--json", "as_json", is_flag=True, help="Events as JSON lines on stdout, nothing else.")
@click.option("--detach", is_flag=True, help="Go on in the background.")
@click.option("--unsafe-no-sandbox", is_flag=True, help="Go on without any walls with a run that had none.")
def resume(run: str, time_limit: float | None, as_json: bool, detach: bool, unsafe_no_sandbox: bool) -> None:
    """Go on with RUN where it was; nothing that is recorded is done twice."""
    from automlgpt_local import client
    from automlgpt_local.cli.watch import watch, wave_off

    session = client.resume(run, time_limit, client.process_started_at(), detach, unsafe_no_sandbox)
    code = wave_off(session, as_json) if detach else watch(session, as_json)
    click.get_current_context().exit(code)


@command.command("stop")
@click.argument("run")
def stop(run: str) -> None:
    """End the search of RUN, which another process works on; its best model so far is fitted and exported."""
    from automlgpt_local import client

    client.stop_run(client.find_run(run))
    click.echo("It finishes its best model and ends. To watch: automlgpt sessions show --follow " + run, err=True)


@command.command("rm")
@click.argument("runs", nargs=-1, required=True)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def remove(runs: tuple[str, ...], yes: bool) -> None:
    """Delete the folders of RUNS (paths or whole ids), models and reports included."""
    from automlgpt_local import client

    for path in [client.find_run(run, whole=True) for run in runs]:
        if not yes:
            click.confirm(f"Delete {path} with everything in it?", abort=True, err=True)
        client.remove_run(path)
        click.echo(f"deleted {path}", err=True)
