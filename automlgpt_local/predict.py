"""`python -m automlgpt_local.predict RUN_DIR DATA OUT.csv`: a table through the model of a run.

This process reads the table, by the schema of the run; the model is loaded in the sandbox alone. A run folder may come
from somebody else: nothing in it is believed that would widen what the model may reach. Errors go to stderr
as a last paragraph of two lines, what happened and what to do; the exit code is that of the command line.
"""

from __future__ import annotations

import json
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from automlgpt_local.errors import AutoMLGPTError, NoModelError, UsageError
from automlgpt_local.exits import DONE, INTERNAL, exit_code

if TYPE_CHECKING:
    from automlgpt_local.sandbox.jobs import Limits
    from automlgpt_local.sandbox.runner import Sandbox

WALL_S = 24 * 3600.0
MOST_NUMBERS = 1 << 25  # predicted by one job: 256 MiB, less than it may leave behind


def predict(run_dir: Path, data: Path, out: Path, *, unsafe: bool = False) -> Path:
    """Write the predictions and return their path. Raises NoModelError, UsageError or SandboxError.

    unsafe: the user typed --unsafe-no-sandbox for this very prediction.
    """
    from automlgpt_local.artifacts.export import MODEL_FILE
    from automlgpt_local.artifacts.predictions import write_predictions
    from automlgpt_local.data.load import load
    from automlgpt_local.data.schema import Schema

    if not (run_dir / MODEL_FILE).is_file():
        raise NoModelError(
            f"{run_dir} holds no fitted model.", "`automlgpt sessions list` shows the runs that are finished."
        )
    with _writing(out):  # told before the work, not after it
        tempfile.TemporaryFile(dir=out.parent).close()
    model = _read_json(run_dir / MODEL_FILE)
    table = load(data, schema=Schema.from_json(_read_json(run_dir / "schema.json")))
    prediction = _in_sandbox(run_dir, model, table.frame[model["features"]], unsafe)
    ids = table.exact(model["id"]) if model["id"] in table.frame.columns else None
    with _writing(out):
        return write_predictions(out, prediction, classes=model["classes"], decision=model["decision"], ids=ids)


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        if out.exists() and not out.is_file():  # a folder, or a device as /dev/stdout
            raise UsageError(f"{out} is not a file.", "Name the file to write.")
        yield
    except OSError as error:
        raise UsageError(
            f"{out} cannot be written: {error.strerror or error}.", "Name a file in a folder that you may write to."
        ) from error


def _in_sandbox(run_dir: Path, model: dict[str, Any], features: Any, unsafe: bool) -> Any:
    """The weighted mean of the members: probabilities (n_rows, n_classes), or floats (n_rows,)."""
    import numpy as np

    from automlgpt_local.machine import available_memory_mib
    from automlgpt_local.sandbox.jobs import Limits
    from automlgpt_local.sandbox.runner import Sandbox

    members = [
        {
            "solution": _file_of_run(run_dir, member["module"].replace(".", "/") + ".py"),
            "module": member["module"],
            "model": _file_of_run(run_dir, "model/" + member["file"]),
            "weight": member["weight"],
            "ctx": member["ctx"],
        }
        for member in model["members"]
    ]
    threads = max(member["ctx"]["n_threads"] for member in members)
    limits = Limits(WALL_S, available_memory_mib() * 3 // 4, threads)
    n_classes = len(model["classes"])
    at_once = max(1, MOST_NUMBERS // max(1, n_classes))
    with Sandbox(threads, limits.memory_mib, unsafe=unsafe) as sandbox:
        blocks = [
            _block(sandbox, limits, members, features.iloc[start : start + at_once], n_classes)
            for start in range(0, len(features), at_once)
        ]
    return np.concatenate(blocks)


def _block(sandbox: Sandbox, limits: Limits, members: list[dict[str, Any]], features: Any, n_classes: int) -> Any:
    """What `_in_sandbox` gives, for some of the rows."""
    from automlgpt_local.sandbox.jobs import Job
    from automlgpt_local.search.workspace import write_features

    with tempfile.TemporaryDirectory(prefix="automlgpt-predict-") as scratch:
        rows, work = Path(scratch) / "features.feather", Path(scratch) / "work"
        work.mkdir()
        write_features(features, rows)
        read = (rows, *(Path(m[key]) for m in members for key in ("solution", "model")))
        spec = {"members": members, "features": str(rows), "n_classes": n_classes, "seed": 0}
        outcome = sandbox.run(Job("predict", spec, work, read, limits))
    prediction = outcome.arrays.get("prediction")
    shape = (len(features), n_classes) if n_classes else (len(features),)
    if outcome.status != "ok" or prediction is None or prediction.shape != shape:
        said = outcome.error.strip().splitlines()
        raise NoModelError(
            f"The model could not predict these rows ({outcome.status}{': ' + said[-1] if said else ''}).",
            "Are the libraries still those of requirements.txt in the run's folder?",
        )
    return prediction


def _file_of_run(run_dir: Path, name: str) -> str:
    """The path of a file in the run's folder, which the model may then read. Raises NoModelError for any other."""
    folder, path = run_dir.resolve(), (run_dir / name).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise NoModelError(f"{name!r} is no file of {run_dir}.", "The run's folder is not as the run left it.")
    return str(path)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def main(arguments: list[str]) -> int:
    try:
        paths, options = arguments[:3], arguments[3:]
        if len(paths) != 3 or options not in ([], ["--unsafe-no-sandbox"]):
            raise UsageError("Three arguments are needed.", "RUN_DIR DATA OUT.csv [--unsafe-no-sandbox]")
        predict(*map(Path, paths), unsafe=bool(options))
    except AutoMLGPTError as error:
        print(f"\n{' '.join(error.message.split())}\n{error.hint}", file=sys.stderr)
        return exit_code(error)
    except Exception:
        traceback.print_exc()
        return INTERNAL
    return DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
