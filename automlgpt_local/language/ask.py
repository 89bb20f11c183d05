"""A question about a table, or about the table and the task of a run: `automlgpt ask`."""

from __future__ import annotations

import json
from pathlib import Path

from automlgpt_local.data.load import Table, load
from automlgpt_local.errors import DataError, UsageError
from automlgpt_local.language.describe import Answer, answer
from automlgpt_local.task import Request, TaskSpec


def ask(place: Path, question: str) -> Answer:
    """Answer from a table, or from the table and the task of a run's folder. Raises DataError."""
    if not question.strip():
        raise UsageError("There is no question.", 'For example: automlgpt ask data.csv "which columns have gaps?"')
    if (place / "request.json").is_file():
        return answer(question, *_of_run(place))
    return answer(question, load(place))


def _of_run(run_dir: Path) -> tuple[Table, TaskSpec | None]:
    request = Request.from_json(_read_json(run_dir / "request.json"))
    task_path = run_dir / "task.json"
    task = TaskSpec.from_json(_read_json(task_path)) if task_path.is_file() else None
    gone = [path for path in request.data if not Path(path).exists()]
    if gone:
        raise DataError(
            f"The data of this run are no longer at {gone[0]}.", "Put them back, or ask about the file itself."
        )
    return load(request.data, sep=request.sep, sheet=request.sheet), task


def _read_json(path: Path) -> dict[str, object]:
    values: dict[str, object] = json.loads(path.read_text(encoding="utf-8"))
    return values
