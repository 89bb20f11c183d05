"""`python -m automlgpt_local.data.ask RUN_DIR|DATA "question" [--json]`: an answer on stdout, counted from the data.

Errors go to stderr as a last paragraph of two lines, what happened and what to do; exit code 2.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from automlgpt_local.data.describe import Answer, answer
from automlgpt_local.data.load import Table, load
from automlgpt_local.errors import DataError, UsageError
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


def main(arguments: list[str]) -> int:
    as_json = "--json" in arguments
    rest = [a for a in arguments if a != "--json"]
    try:
        if len(rest) != 2:
            raise UsageError("Two arguments are needed.", 'RUN_DIR|DATA "question"')
        found = ask(Path(rest[0]), rest[1])
    except UsageError as error:
        print(f"\n{' '.join(error.message.split())}\n{error.hint}", file=sys.stderr)
        return 2
    if as_json:
        print(json.dumps({"answer": found.text, "values": found.values, "understood": found.understood}, default=str))
    else:
        print(found.text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
