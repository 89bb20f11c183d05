"""`python -m automlgpt_local.client.preview`: a request as JSON on stdin, what its table holds as JSON lines on stdout.

Lines: {"step": "table", rows, columns, head: [[text]]}, {"step": "task", task}, {"step": "profile", profile}, or
{"step": "error", error, message, hint} as the last one.
"""

from __future__ import annotations

import json
import sys
from typing import Any

HEAD_ROWS = 50
CELL_CHARACTERS = 120


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.10g}"
    return str(value)[:CELL_CHARACTERS]


def _say(step: str, **values: Any) -> None:
    sys.stdout.write(json.dumps({"step": step, **values}, ensure_ascii=True, default=str) + "\n")
    sys.stdout.flush()


def _profile_against(table: Any, task: Any) -> Any:
    """The profile that the run itself would make: of its features, against its target."""
    from automlgpt_local.data.profile import profile
    from automlgpt_local.data.target import make_dataset

    dataset = make_dataset(table, task)
    return profile(dataset.features, dataset.y, classes=dataset.classes, seed=task.seed)


def main() -> int:
    from automlgpt_local.data.load import load
    from automlgpt_local.errors import AutoMLGPTError
    from automlgpt_local.task import Request

    request = Request.from_json(json.loads(sys.stdin.read()))
    try:
        table = load(request.data, target=request.target, sep=request.sep, sheet=request.sheet)
        head = table.frame.head(HEAD_ROWS)
        cells = [[_cell(value) for value in row] for row in head.to_numpy(dtype=object).tolist()]
        _say("table", rows=len(table.frame), columns=[str(c) for c in table.frame.columns], head=cells)

        from automlgpt_local.data.profile import profile
        from automlgpt_local.language.resolve import resolve

        try:
            task = resolve(request, table)
        except AutoMLGPTError:
            _say("profile", profile=profile(table.frame).to_json())
            raise
        _say("task", task=task.to_json())
        _say("profile", profile=_profile_against(table, task).to_json())
    except AutoMLGPTError as error:
        _say("error", error=type(error).__name__, message=error.message, hint=error.hint)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
