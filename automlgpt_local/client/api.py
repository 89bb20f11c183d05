"""`automlgpt_local.run(...)`: a run from Python, in a process of its own like every other run."""

from __future__ import annotations

import json
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

FRAME_FILE = "data.parquet"  # a data frame, in the folder of its run


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

    def predict(self, data: Any, *, sandbox: bool = True) -> Any:
        """Predictions for a table. data: a file's path or a data frame. A data frame comes back, one row per row.

        sandbox: load the model behind walls, whatever the run itself went without.

        Labels and ids are those of the data frame they come from; those of a file are its text ("01" is not 1).
        """
        import tempfile

        import pandas as pd

        from automlgpt_local.artifacts.export import MODEL_FILE
        from automlgpt_local.data.schema import as_text

        with tempfile.TemporaryDirectory() as folder:
            rows, out = Path(folder) / FRAME_FILE, Path(folder) / "predictions.csv"
            framed = isinstance(data, pd.DataFrame)
            if framed:
                _write_frame(data, rows)
            predict_file(self.path, rows if framed else Path(data), out, sandbox=sandbox)
            model = json.loads((self.path / MODEL_FILE).read_text(encoding="utf-8"))
            texts = {model["id"]: "str", **({"prediction": "str"} if model["classes"] else {})}
            found = pd.read_csv(out, dtype=texts, keep_default_na=False, na_values=[""])
            if framed and model["id"] in found.columns:
                found[model["id"]] = _column(rows, model["id"])
        if model["classes"] and (self.path / FRAME_FILE).is_file():
            labels = _column(self.path / FRAME_FILE, model["target"]).dropna().drop_duplicates()
            found["prediction"] = found["prediction"].map(dict(zip(as_text(labels), labels)))
        return found


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
    if flags.get("approve", chosen.approve) == "ask":
        raise errors.UsageError(
            "run() has nobody whom it could ask before code runs.",
            'Allow all with approve="auto", or run it in a terminal: automlgpt run --approve ask.',
        )
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
        try:
            _write_frame(data, run_dir / FRAME_FILE)
            request = session.absolute(Request(data=(str(run_dir / FRAME_FILE),), **values))
        except BaseException:
            runs.remove_run(run_dir)
            raise
        started = session.begin(request, run_dir, started_at)
    return _wait(started, on_event)


def _write_frame(frame: Any, path: Path) -> None:
    """As parquet, columns of mixed objects as text. Raises DataError."""
    from pandas.api.types import infer_dtype

    from automlgpt_local.data.schema import as_text

    kinds = [infer_dtype(values, skipna=True) for _, values in frame.items()]
    frame = frame.copy(deep=False)
    for place in (i for i, kind in enumerate(kinds) if kind in ("mixed", "mixed-integer")):
        frame.isetitem(place, as_text(frame.iloc[:, place]))
    try:
        frame.to_parquet(path, index=False)
    except (ArithmeticError, NotImplementedError, TypeError, ValueError) as error:
        raise errors.DataError(
            f"The data frame cannot be kept as parquet: {str(error)[:300]}.",
            "Give each column its own name and values of one kind: numbers, text, dates or booleans.",
        ) from error


def _column(parquet: Path, name: str) -> Any:
    """One column of what `_write_frame` wrote, with the types of the data frame."""
    import pandas as pd

    return pd.read_parquet(parquet, columns=[name]).iloc[:, 0]


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
