"""`automlgpt finetune`: hands over to `python -m finetune`, the one place that knows its name."""

from __future__ import annotations

import click

STEPS = ("data", "train", "evaluate", "export", "nano", "circle")


@click.command(
    "finetune",
    short_help="Train the agents' model on your own runs.",
    context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": []},
    add_help_option=False,
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="data|train|evaluate|export|nano|circle ...")
def command(arguments: tuple[str, ...]) -> None:
    """Make a data set of runs, train a LoRA on it, evaluate it, export it as GGUF."""
    import importlib.util
    import subprocess
    import sys

    from automlgpt_local.errors import NotReadyError

    missing = [name for name in ("finetune", "torch", "transformers") if importlib.util.find_spec(name) is None]
    if missing:
        raise NotReadyError(
            f"Fine-tuning needs {', '.join(missing)}, which is not installed.",
            "Install the extra: pip install 'automlgpt-local[finetune]'",
        )
    try:
        done = subprocess.run([sys.executable, "-m", "finetune", *arguments])
    except KeyboardInterrupt:
        raise click.Abort from None
    click.get_current_context().exit(done.returncode if done.returncode >= 0 else 128 - done.returncode)
