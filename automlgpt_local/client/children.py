"""Short-lived child processes that load tables, so that the process of the person at the keyboard stays light."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from automlgpt_local import errors
from automlgpt_local.client.session import absolute
from automlgpt_local.task import Request

PREVIEW_COMMAND: list[str] = [sys.executable, "-P", "-m", "automlgpt_local.client.preview"]
ASK_COMMAND: list[str] = [sys.executable, "-P", "-m", "automlgpt_local.cli", "ask", "--json", "--"]
PREDICT_COMMAND: list[str] = [sys.executable, "-P", "-m", "automlgpt_local.predict"]
UNSAFE = "--unsafe-no-sandbox"
_ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")


def preview(request: Request, pipe: Sequence[str] = ()) -> Iterator[dict[str, Any]]:
    """What a table holds and what a run would make of it, in steps: `table`, then `task`, then `profile`.

    Each step is {"step": name, ...}; see client/preview.py. Raises the AutoMLGPTError of the child.
    """
    request = absolute(request)
    child = subprocess.Popen(
        [*PREVIEW_COMMAND, *pipe],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        env={**os.environ, **_ONE_THREAD},
    )
    assert child.stdin is not None and child.stdout is not None and child.stderr is not None
    try:
        with child.stdin:
            child.stdin.write(json.dumps(request.to_json()))
        for line in child.stdout:
            step = json.loads(line)
            if step["step"] == "error":
                cls = getattr(errors, step["error"], errors.AutoMLGPTError)
                raise cls(step["message"], step["hint"])
            yield step
        if child.wait() != 0:
            raise errors.AutoMLGPTError(f"The table could not be looked at: {child.stderr.read()[-2000:]}")
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
        child.stderr.close()


def ask(run_dir: Path, question: str) -> str:
    """An answer from the rows of a run's table. Raises AutoMLGPTError."""
    child = subprocess.run(
        [*ASK_COMMAND, str(run_dir), question],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        stdin=subprocess.DEVNULL,
        env={**os.environ, **_ONE_THREAD},
    )
    try:
        return str(json.loads(child.stdout)["answer"])
    except (ValueError, KeyError, TypeError):
        said = child.stderr.strip().rpartition("\n\n")[2].removeprefix("Error: ")
        raise errors.AutoMLGPTError(said[-2000:] or "The question could not be answered.") from None


def predict(run_dir: Path, data: Path, out: Path, *, sandbox: bool = True) -> None:
    """Write predictions of a run's model for a table. Raises the AutoMLGPTError of the child."""
    if not data.is_file():
        raise errors.DataError(f"There is no file {data}.", "Check the spelling and the folder you are in.")
    child = subprocess.run(
        [*PREDICT_COMMAND, str(run_dir), str(data.absolute()), str(out.absolute()), *([] if sandbox else [UNSAFE])],
        capture_output=True,
        text=True,
        encoding="utf-8",
        errors="replace",
        stdin=subprocess.DEVNULL,
    )
    if child.returncode == 0:
        return
    said = child.stderr.strip()
    message, _, hint = said.rpartition("\n\n")[2].partition("\n")
    kinds = {1: errors.NoModelError, 2: errors.DataError, 3: errors.NotReadyError, 5: errors.DeniedError}
    if child.returncode not in kinds:
        raise RuntimeError(f"the predicting process ended with {child.returncode}: {said[-4000:]}")
    raise kinds[child.returncode](message.removeprefix("Error: ") or "The prediction failed.", hint.strip())
