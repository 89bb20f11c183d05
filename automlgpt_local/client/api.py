"""`automlgpt_local.run(...)`: a run from Python, in a process of its own like every other run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from automlgpt_local import errors, settings
from automlgpt_local.client import runs, session
from automlgpt_local.client.children import predict as predict_file
from automlgpt_local.client.view import RunView
from automlgpt_local.events import Event, Failed, read_events
from automlgpt_local.task import Request


@dataclass(frozen=True)
class Result:
    """A finished run. `score`: validation score of what was exported; `holdout_score`: on rows locked away."""

    path: Path
    score: float | None
    holdout_score: float | None
    metric: str
    target: str
    seconds: float

    @property
    def events(self) -> Iterator[Event]:
        """What happened, oldest first."""
        return (record.event for record in read_events(self.path / "events.jsonl"))

    @property
    def report(self) -> str:
        """The report as Markdown."""
        return (self.path / "report.md").read_text(encoding="utf-8")

    def predict(self, data: Any) -> Any:
        """Predictions for a table. data: a file's path or a data frame. A data frame comes back, one row per row."""
        import tempfile

        import pandas as pd

        with tempfile.TemporaryDirectory() as folder:
            if isinstance(data, pd.DataFrame):
                source = Path(folder) / "rows.parquet"
                data.to_parquet(source, index=False)
            else:
                source = Path(data)
            out = Path(folder) / "predictions.csv"
            predict_file(self.path, source, out)
            return pd.read_csv(out)


def run(
    data: Any,
    target: str | None = None,
    time_limit: str | float | None = None,
    *,
    out: str | Path | None = None,
    memory: str | int | None = None,
    on_event: Callable[[Event], None] | None = None,
    **flags: Any,
) -> Result:
    """Train on a table and wait for the result.

    data: a file's path, several paths of one schema, or a data frame. time_limit: seconds, or "10m".
    flags: the fields of `Request`, named as the flags of `automlgpt run`. on_event: called with each event.
    Raises the AutoMLGPTError that ended the run.
    """
    started_at = time.monotonic()
    chosen = settings.load()
    unknown = set(flags) - {f.name for f in fields(Request)}
    if unknown:
        raise errors.UsageError(f"There is no option {sorted(unknown)[0]!r}.", "Options: see `automlgpt run --help`.")
    values = {"model": chosen.model, "threads": chosen.threads, "target": target, **flags}
    for name in ("ignore",):
        if isinstance(values.get(name), str):
            values[name] = tuple(values[name].split(","))
    values["time_limit_s"] = settings.parse_seconds(time_limit if time_limit is not None else chosen.time_limit)
    memory = memory if memory is not None else chosen.memory
    values["memory_mib"] = values.get("memory_mib") or (settings.parse_mib(memory) if memory is not None else None)

    if isinstance(data, str | Path):
        started = session.start(Request(data=(str(data),), **values), out, started_at=started_at)
    elif isinstance(data, Sequence):
        started = session.start(Request(data=tuple(map(str, data)), **values), out, started_at=started_at)
    else:
        run_dir = runs.new_run_dir(out)
        data.to_parquet(run_dir / "data.parquet", index=False)
        started = session.begin(Request(data=(str(run_dir / "data.parquet"),), **values), run_dir, started_at)
    return _wait(started, on_event)


def _wait(started: session.Session, on_event: Callable[[Event], None] | None) -> Result:
    seen = RunView()
    try:
        for record in started:
            seen.apply(record)
            if on_event is not None:
                on_event(record.event)
    except KeyboardInterrupt:
        started.stop()
        for record in started:
            seen.apply(record)
        raise
    finally:
        if not started.closed:
            started.kill()
        started.close()
    if isinstance(started.outcome, Failed):
        raise as_error(started.outcome)
    ended = seen.finished
    return Result(
        started.run_dir, seen.score, ended.holdout_score if ended else None, seen.metric,
        str(seen.task.get("target", "")), ended.seconds if ended else seen.used_s,
    )  # fmt: skip


def as_error(failed: Failed) -> errors.AutoMLGPTError:
    """The exception that ended the engine, as one of this process."""
    cls = getattr(errors, failed.error, errors.AutoMLGPTError)
    if not (isinstance(cls, type) and issubclass(cls, errors.AutoMLGPTError)):
        cls = errors.AutoMLGPTError
    return cls(failed.message, failed.hint)
