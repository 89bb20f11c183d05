"""`automlgpt config`: the settings in force and the files they come from."""

from __future__ import annotations

import click

from automlgpt_local.cli.options import json_option, print_json, print_table


@click.group("config", short_help="Settings and where they come from.")
def command() -> None:
    """Flags go before AUTOMLGPT_* variables, these before ./automlgpt.toml, this before the user's file."""


@command.command("show")
@json_option
def show(as_json: bool) -> None:
    """Every setting, its value and its source."""
    from automlgpt_local import settings

    chosen = settings.load()
    values = {key: getattr(chosen, key) for key in settings.HELP}
    if as_json:
        print_json({k: {"value": v, "source": chosen.source[k]} for k, v in values.items()})
        return
    rows = [[k, "" if v is None else str(v), chosen.source[k], settings.HELP[k]] for k, v in values.items()]
    print_table(["SETTING", "VALUE", "FROM", "WHAT IT IS"], rows)


@command.command("path")
@json_option
def path(as_json: bool) -> None:
    """Where settings, runs and models of this user are kept."""
    from automlgpt_local import paths, settings

    try:
        runs = settings.load().runs_dir
    except Exception:  # this command must help exactly when a file is broken
        runs = settings.Settings().runs_dir
    places = {
        "user settings": paths.user_config_file(), "project settings": paths.project_config_file(), "runs": runs,
        "state": paths.state_dir(), "models": paths.models_dir(), "bundled models": paths.bundled_models_dir(),
    }  # fmt: skip
    if as_json:
        print_json({k.replace(" ", "_"): str(v) for k, v in places.items()})
        return
    print_table(["WHAT", "WHERE"], [[k, str(v)] for k, v in places.items()])


@command.command("init")
@click.option("--project", is_flag=True, help="./automlgpt.toml instead of the user's file.")
def init(project: bool) -> None:
    """Write a settings file in which everything is explained and switched off."""
    from automlgpt_local import paths, settings
    from automlgpt_local.errors import UsageError

    file = paths.project_config_file() if project else paths.user_config_file()
    if file.exists():
        raise UsageError(f"{file} is there already.", "Edit it, or remove it first.")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(settings.template(), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{file} cannot be written: {error.strerror}.", "Set AUTOMLGPT_CONFIG to another.") from error
    click.echo(str(file))
