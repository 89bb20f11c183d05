"""`automlgpt`: finds the module of a command, runs it, maps errors to exit codes. For --help only click is imported."""

from __future__ import annotations

import importlib
import io
import os
import sys
from typing import Any

import click

from automlgpt_local import __version__
from automlgpt_local.cli import exits
from automlgpt_local.errors import AutoMLGPTError

# name -> module of automlgpt_local.cli that holds `command`, in the order of the help
COMMANDS = {
    "run": "run", "predict": "predict", "report": "report", "ask": "ask", "sessions": "sessions", "example": "example",
    "models": "models", "finetune": "finetune", "bundle": "bundle", "serve": "serve", "doctor": "doctor",
    "config": "config", "logs": "logs",
}  # fmt: skip


class LazyGroup(click.Group):
    """Imports the module of a command when that command is looked at."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"automlgpt_local.cli.{COMMANDS[cmd_name]}")
        command: click.Command = module.command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            raise click.UsageError(f"{error.message} The commands are: {', '.join(COMMANDS)}.", ctx) from error


@click.command(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Without a command: the terminal app. Nothing ever leaves this machine.",
)
@click.option("--plain", is_flag=True, help="Without a command: questions and answers as plain text, no full screen.")
@click.version_option(__version__, prog_name="automlgpt")
@click.pass_context
def cli(ctx: click.Context, plain: bool) -> None:
    """Two agents on one local model turn a table into the best honest model, as code that you own."""
    if ctx.invoked_subcommand is not None:
        return
    if plain or not (sys.stdin.isatty() and sys.stderr.isatty()):
        from automlgpt_local.cli.plain import converse

        ctx.exit(converse())
    # By name: the one place where the two faces know of each other.
    guard = importlib.import_module("automlgpt_local.tui.guard")
    ctx.exit(guard.guarded(lambda: importlib.import_module("automlgpt_local.tui.app").run_app()))


def _usage(error: click.ClickException) -> int:
    context = getattr(error, "ctx", None)
    if context is not None:
        click.echo(context.get_usage(), err=True)
    where = context.command_path if context is not None else "automlgpt"
    exits.complain(error.format_message(), f"`{where} --help` shows what it takes.")
    return exits.USAGE


def _run(args: list[str] | None = None) -> int:
    try:
        code: Any = cli.main(args=args, prog_name="automlgpt", standalone_mode=False)
        return code if isinstance(code, int) else exits.DONE
    except click.exceptions.Exit as error:
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("\nInterrupted.", err=True)
        return exits.INTERRUPTED
    except click.ClickException as error:
        return _usage(error)
    except AutoMLGPTError as error:
        exits.complain(error.message, error.hint)
        return exits.exit_code(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.DONE
    except Exception as error:
        if isinstance(error, OSError) and error.filename is not None:
            exits.complain(
                f"{error.filename}: {error.strerror}.",
                "Does it exist, may you read and write it, and is there room on the disk?",
            )
            return exits.USAGE
        report = exits.crash_report(error)
        where = f"A report to copy: {report}" if report else "Please copy the text above."
        exits.complain(f"This is a defect of automlgpt: {type(error).__name__}: {error}", where)
        return exits.INTERNAL


def _speak_utf8() -> None:
    """Data are UTF-8 whatever the locale says, as all our files are; a terminal shows of them what it can."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        if sys.stdout.isatty():
            sys.stdout.reconfigure(errors="replace")
        else:
            sys.stdout.reconfigure(encoding="utf-8")


def main() -> None:
    _speak_utf8()
    code = _run()
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(code)
