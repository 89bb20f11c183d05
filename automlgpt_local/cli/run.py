"""`automlgpt run`: flags to a Request, a run to its end (or to a process of its own with --detach)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from automlgpt_local.cli.options import Duration, Memory, Names
from automlgpt_local.task import PARTS


@click.command("run", short_help="Train on a table: the main job.")
@click.argument("data", nargs=-1, required=True, type=click.Path())
@click.option(
    "--target", metavar="COL", help="The column to predict. Left out: taken from --ask or the data, if plain."
)
@click.option("--ask", metavar="TEXT", help="What you want, in your own words.")
@click.option("--kind", type=click.Choice(["binary", "multiclass", "regression"]), help="The kind of task.")
@click.option("--metric", metavar="M", help="What counts: roc_auc, log_loss, accuracy, f1, rmse, mae, r2, ...")
@click.option("--time-limit", type=Duration(), help="Budget of the whole command: 90, 90s, 10m, 1.5h.  [default: 10m]")
@click.option("--trials", type=click.IntRange(1), metavar="N", help="A fixed amount of work instead: reproducible.")
@click.option("--test", type=click.Path(), metavar="TEST.csv", help="Rows to predict when the run ends.")
@click.option("--submission", type=click.Path(), metavar="SAMPLE.csv", help="A file whose shape predictions.csv takes.")
@click.option("--out", type=click.Path(), metavar="DIR", help="The run folder itself: absent or empty.")
@click.option("--model", metavar="NAME|PATH", help="A GGUF model, none (recipes alone) or random.  [default: nano]")
@click.option("--approve", type=click.Choice(["auto", "ask"]), help="Ask before code runs.  [default: auto]")
@click.option("--seed", type=int, default=0, show_default=True, help="Splits and models follow from it.")
@click.option("--threads", type=click.IntRange(1), metavar="N", help="Cores that may be busy at once.")
@click.option("--memory", type=Memory(), metavar="8g", help="Memory of a fit.")
@click.option("--ignore", type=Names(), metavar="COL,...", default=(), help="Columns to leave out.")
@click.option("--group", metavar="COL", help="Rows of one group stay together in a fold.")
@click.option("--time", "time_column", metavar="COL", help="Train on the past, validate on the future.")
@click.option("--weight", metavar="COL", help="Weights of the rows.")
@click.option("--positive", metavar="LABEL", help="The class that the score is about.")
@click.option("--exact-target", is_flag=True, help='Only an empty cell of the target is missing; "NA" is a class.')
@click.option("--sep", metavar="S", help="The separator of the CSV. Left out: found by looking.")
@click.option("--sheet", metavar="S", help="The sheet of a workbook.")
@click.option("--leaks", type=click.Choice(["ask", "drop", "keep"]), default="ask", show_default=True,
              help="Columns that seem to know the answer.")  # fmt: skip
@click.option("--strict", is_flag=True, help="Any doubt about the task ends with exit 2 before training.")
@click.option("--dry-run", is_flag=True, help="Print task.json as it would be, and stop.")
@click.option("--json", "as_json", is_flag=True, help="Events as JSON lines on stdout, nothing else.")
@click.option("--no-ensemble", is_flag=True, help="One single model.")
@click.option("--predict-limit", type=click.FloatRange(0, min_open=True), metavar="MS",
              help="Milliseconds that the model may take to predict 1,000 rows.")  # fmt: skip
@click.option("--without", multiple=True, type=click.Choice(PARTS),
              help="For experiments: leave out the gate, or let one agent do both jobs.")  # fmt: skip
@click.option("--detach", is_flag=True, help="Go on in the background; `automlgpt sessions show` follows it.")
@click.option(
    "--unsafe-no-sandbox", is_flag=True, help="Run generated code without any walls. You alone answer for it."
)
def command(data: tuple[str, ...], out: str | None, as_json: bool, detach: bool, dry_run: bool, **flags: Any) -> None:
    """Train on DATA (CSV or parquet; several files of one schema may follow each other) within a time limit.

    The result is a run folder: model, plain scikit-learn code, predictions, report.
    """
    from automlgpt_local import client
    from automlgpt_local.llm.open import model_files

    started_at = client.process_started_at()
    request = make_request(data, **flags)
    model_files(request.model)
    if dry_run:
        _dry_run(request, out)
        return
    from automlgpt_local.cli.watch import watch, wave_off

    session = client.start(request, out, detach=detach, started_at=started_at)
    code = wave_off(session, as_json) if detach else watch(session, as_json)
    click.get_current_context().exit(code)


def make_request(data: tuple[str, ...], **flags: Any) -> Any:
    """The flags, completed by the settings, as a Request. Raises UsageError."""
    from automlgpt_local import metrics, settings
    from automlgpt_local.errors import UsageError
    from automlgpt_local.task import Request

    chosen = settings.load()
    metric = flags["metric"]
    if metric is not None:
        metric = metrics.ALIASES.get(metric.lower(), metric.lower())
        if metric not in metrics.METRICS:
            raise UsageError(f"There is no metric {flags['metric']!r}.", f"The metrics: {' '.join(metrics.METRICS)}.")
    time_limit_s = flags["time_limit"] or settings.parse_seconds(chosen.time_limit)
    memory_mib = flags["memory"] or (settings.parse_mib(chosen.memory) if chosen.memory else None)
    return Request(
        data=data, target=flags["target"], ask=flags["ask"], kind=flags["kind"], metric=metric,
        time_limit_s=time_limit_s, trials=flags["trials"], test=flags["test"], submission=flags["submission"],
        model=flags["model"] or chosen.model,
        approve="ask" if (flags["approve"] or chosen.approve) == "ask" else "auto",
        seed=flags["seed"],
        threads=flags["threads"] or chosen.threads, memory_mib=memory_mib, ignore=flags["ignore"], group=flags["group"],
        time=flags["time_column"], weight=flags["weight"], positive=flags["positive"],
        exact_target=flags["exact_target"], sep=flags["sep"],
        sheet=flags["sheet"], leaks=flags["leaks"], strict=flags["strict"], ensemble=not flags["no_ensemble"],
        without=flags["without"], predict_limit_ms=flags["predict_limit"], sandbox=not flags["unsafe_no_sandbox"],
    )  # fmt: skip


def _dry_run(request: Any, out: str | None) -> None:
    import json

    from automlgpt_local.client import runs
    from automlgpt_local.client.children import preview
    from automlgpt_local.client.inert import inert_line
    from automlgpt_local.durable import write_durably

    task: dict[str, Any] = {}
    for step in preview(request):
        if step["step"] == "task":
            task = step["task"]
            break
    text = json.dumps(task, ensure_ascii=False, indent=1)
    for warning in task.get("warnings", []):
        click.echo(f"Warning: {inert_line(warning, 400)}", err=True)
    if out is not None:
        folder = Path(out)
        runs.check_out(folder.absolute())
        folder.mkdir(parents=True, exist_ok=True)
        write_durably(folder / "task.json", text + "\n")
    click.echo(text)
