"""`automlgpt predict`: a table through the model of a run."""

from __future__ import annotations

from pathlib import Path

import click


@click.command("predict", short_help="Predictions of a run's model for a table.")
@click.argument("run")
@click.argument("data", type=click.Path())
@click.option("-o", "--out", required=True, type=click.Path(), metavar="OUT.csv", help="Where the predictions go.")
@click.option(
    "--unsafe-no-sandbox", is_flag=True, help="Load the run's model without any walls. You alone answer for it."
)
def command(run: str, data: str, out: str, unsafe_no_sandbox: bool) -> None:
    """Predict each row of DATA with the model of RUN (a run folder, or its id), in the order of the rows.

    Column `prediction` in the target's own labels, then `proba_<class>` for each class. The model is loaded in the
    sandbox, whatever the run itself went without.
    """
    from automlgpt_local import client
    from automlgpt_local.client import runs
    from automlgpt_local.client.children import predict
    from automlgpt_local.errors import UsageError

    run_dir = client.find_run(run)
    target = Path(out)
    runs.check_name(target)
    if target.is_dir():
        raise UsageError(f"{out} is a folder.", "Name the file to write.")
    if not target.absolute().parent.is_dir():
        raise UsageError(f"There is no folder {target.absolute().parent}.", "Make it first.")
    predict(run_dir, Path(data), target, sandbox=not unsafe_no_sandbox)
    click.echo(str(target))
