"""`automlgpt bundle`: this program and its models as one folder, for a machine without a network."""

from __future__ import annotations

from pathlib import Path

import click

_FOLDER = click.argument("folder", type=click.Path(path_type=Path))


@click.group("bundle", short_help="For machines without a network: create, verify, install.")
def command() -> None:
    """The program, all that it needs and its models as one folder to be carried over."""


@command.command("create")
@_FOLDER
@click.option("--model", "models", multiple=True, help="A model that is here; several times for several.")
@click.option("--extra", "extras", multiple=True, type=click.Choice(["boost", "finetune"]), help="Optional parts.")
@click.option(
    "--source",
    type=click.Path(path_type=Path, exists=True),
    help="A checkout or a wheel; left out: where it runs from.",
)
@click.option("--native", is_flag=True, help="llama.cpp as it was built for this processor, for the same one there.")
def create(folder: Path, models: tuple[str, ...], extras: tuple[str, ...], source: Path | None, native: bool) -> None:
    """Fill FOLDER. pip collects the wheels, in the versions that are installed here, so it needs its index."""
    from automlgpt_local.client import bundle

    size = bundle.create(
        folder, models=models, extras=extras, source=source, native=native, tell=lambda line: click.echo(line, err=True)
    )
    click.echo(f"{size / 2**20:.0f} MiB. Carry the folder over, then there: python3 {folder.name}/install.py", err=True)
    click.echo(str(folder))


@command.command("verify")
@_FOLDER
def verify(folder: Path) -> None:
    """Hash the files of FOLDER again and compare."""
    from automlgpt_local.client import bundle

    bundle.verify(folder)
    click.echo("as packed")


@command.command("install")
@_FOLDER
@click.option("--venv", default="automlgpt-venv", type=click.Path(path_type=Path), show_default=True, help="Where to.")
def install(folder: Path, venv: Path) -> None:
    """Install FOLDER into a virtual environment; without an installation: python3 FOLDER/install.py."""
    from automlgpt_local.client import bundle

    click.echo(str(bundle.install(folder, venv)))
