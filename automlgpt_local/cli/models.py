"""`automlgpt models`: what is here, what could be, and how to carry models to a machine without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from automlgpt_local import exits
from automlgpt_local.cli.options import json_option, print_json, print_table


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.1f} MiB" if count else ""


def _progress(what: str) -> Callable[[int, int], None]:
    """A line on stderr that changes in place on a terminal; a line each ten percent otherwise."""
    import sys

    told = -1

    def show(done: int, total: int) -> None:
        nonlocal told
        share = 100 * done // total if total else 100
        live = sys.stderr.isatty()
        if share == told or (not live and share // 10 == told // 10):
            return
        told = share
        click.echo(f"\r{what}: {share} % of {_size(total)}" if live else f"{what}: {share} %", nl=not live, err=True)
        if live and done >= total:
            click.echo(err=True)

    return show


@contextmanager
def _told_as_usage() -> Iterator[None]:
    """A copy that fails is the disk's or the folder's fault: the user can act on it."""
    from automlgpt_local.errors import UsageError

    try:
        yield
    except OSError as error:
        reason = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
        raise UsageError(f"The model could not be copied: {reason}.", "Make room, or choose another folder.") from error


@click.group("models", short_help="Models: list, show, import, verify, export, remove, try.")
def command() -> None:
    """The GGUF models that the two agents may run on."""


@command.command("list")
@json_option
def list_command(as_json: bool) -> None:
    """Models on this machine, then those of the catalogue that could be brought here."""
    from automlgpt_local.llm import catalog

    rows = catalog.list_models()
    if as_json:
        print_json(rows)
        return
    table = [
        [
            str(r["name"]),
            "here" if r["here"] else "not here",
            str(r.get("source", "")),
            _size(int(r.get("bytes") or 0)),
            f"{r['memory_gib']} GiB" if r.get("memory_gib") else "",
            str(r.get("role", "")),
            str(r.get("licence", "")),
        ]
        for r in rows
    ]
    print_table(["NAME", "STATE", "FROM", "SIZE", "MEMORY", "FOR", "LICENCE"], table)


@command.command("show")
@click.argument("model")
@json_option
def show(model: str, as_json: bool) -> None:
    """Catalogue entry, file and header of MODEL (a name or a GGUF file)."""
    from automlgpt_local.llm import catalog

    values = catalog.show(model)
    if as_json:
        print_json(values)
        return
    print_table(["WHAT", "VALUE"], [[k, str(v)] for k, v in values.items() if v not in ("", None, {})])


@command.command("import")
@click.argument("source", type=click.Path(path_type=Path))
@click.option("--name", default="", help="What to call it; left out: as the catalogue does, or its file name.")
@click.option("--link", is_flag=True, help="Leave the file where it is instead of copying it.")
def import_command(source: Path, name: str, link: bool) -> None:
    """Take SOURCE, a GGUF file or a folder with its parts, into the models of this user."""
    from automlgpt_local.errors import UsageError
    from automlgpt_local.llm import catalog

    if not source.exists():
        raise UsageError(f"There is no {source}.", "Name a .gguf file, or the folder of its parts.")
    with _told_as_usage():
        entry = catalog.import_(source, name, link=link, progress=_progress("importing"))
    click.echo(f"Try it: automlgpt models check {entry.name}", err=True)
    click.echo(f"Use it: automlgpt run DATA.csv --target COL --model {entry.name}", err=True)
    click.echo(entry.name)


@command.command("verify")
@click.argument("model")
@json_option
def verify(model: str, as_json: bool) -> None:
    """Hash the files of MODEL again and compare with what was recorded."""
    from automlgpt_local.errors import ModelError
    from automlgpt_local.llm import catalog

    found = catalog.verify(model, progress=_progress("hashing"))
    if as_json:
        print_json(found)
    else:
        state = {True: "as recorded", False: "CHANGED", None: "no hash was ever recorded"}[found["ok"]]
        click.echo(f"{found['name']}: {state}\n{found['sha256']}  {found['path']}")
    if found["ok"] is False:
        raise ModelError(f"The files of {found['name']} are not what was recorded.", "Import the model again.")


@command.command("export")
@click.argument("model")
@click.argument("folder", type=click.Path(path_type=Path))
def export(model: str, folder: Path) -> None:
    """Copy MODEL and its checksums into FOLDER, to be carried to another machine."""
    from automlgpt_local.llm import catalog

    with _told_as_usage():
        written = catalog.export(model, folder, progress=_progress("copying"))
    for path in written:
        click.echo(str(path))


@command.command("rm")
@click.argument("model")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
def remove(model: str, yes: bool) -> None:
    """Delete an imported model; a file that was only linked stays."""
    from automlgpt_local.llm import catalog

    if not yes:
        click.confirm(f"Forget the model {model}, and delete our copy of it?", abort=True, err=True)
    click.echo(f"deleted {catalog.remove(model)}", err=True)


_threads_option = click.option(
    "--threads", type=click.IntRange(1), help="Cores to use; left out: all that this process may use."
)


def _threads(wanted: int | None) -> int:
    from automlgpt_local.machine import available_threads

    return wanted or available_threads()


@command.command("check")
@click.argument("model", default="nano")
@_threads_option
@json_option
def check(model: str, threads: int | None, as_json: bool) -> None:
    """The conformance test of MODEL (a name, a file, a server's address): does it load, decide within bounds, keep to a
    schema, repeat itself, keep its cache?"""
    from automlgpt_local.llm import check as tests

    result = tests.check(model, _threads(threads))
    if as_json:
        print_json(result)
    else:
        words = {True: "ok", False: "FAILED", None: ""}
        print_table(
            ["TEST", "RESULT", "DETAIL"], [[f["name"], words[f["ok"]], f["detail"]] for f in result["findings"]]
        )
    if not result["ok"]:
        raise SystemExit(exits.NOT_READY)


@command.command("bench")
@click.argument("model", default="nano")
@_threads_option
@json_option
def bench(model: str, threads: int | None, as_json: bool) -> None:
    """Tokens per second of MODEL here, reading and writing, and the share of the memory bandwidth that this reaches."""
    from automlgpt_local.llm import check as tests

    values = tests.bench(model, _threads(threads))
    if as_json:
        print_json(values)
    else:
        print_table(["WHAT", "VALUE"], [[k, str(v)] for k, v in values.items()])
