"""Run folders: where new ones are made, which exist, and what state each is in."""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import signal
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from automlgpt_local import paths, settings
from automlgpt_local.client.view import RunView
from automlgpt_local.durable import write_durably
from automlgpt_local.errors import AutoMLGPTError, ResumeError, UsageError
from automlgpt_local.events import Record, decode, read_events
from automlgpt_local.exits import INTERRUPTED
from automlgpt_local.paths import typed_path
from automlgpt_local.sandbox import results

State = Literal["running", "done", "failed", "interrupted", "empty", "unreadable"]


@dataclass(frozen=True)
class RunInfo:
    """A line of `sessions list`. `seconds`: of the budget, used so far."""

    id: str
    path: str
    state: State
    target: str | None = None
    metric: str | None = None
    score: float | None = None
    started_at: str | None = None
    seconds: float = 0.0


def check_name(path: str | Path) -> None:
    """Raises UsageError for a path that is no UTF-8: it can neither be kept in a run's files nor printed."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        raise UsageError(f"The path {str(path)!r} is no UTF-8 text.", "Rename the file or folder.") from None


def check_out(path: Path) -> Path:
    """The same path, absent or an empty folder. Raises UsageError."""
    if path.exists() and not path.is_dir():
        raise UsageError(f"--out {path} is a file.", "Name a folder that does not exist yet.")
    if path.is_dir() and any(path.iterdir()):
        raise UsageError(f"--out {path} is not empty.", "Name a folder that does not exist yet, or an empty one.")
    return path


def new_run_dir(out: str | Path | None = None) -> Path:
    """A fresh, empty run folder: `out` itself, or a new one where the settings say. Raises UsageError."""
    if out is None:
        stem = time.strftime("%Y%m%d-%H%M%S")
        path = typed_path(settings.load().runs_dir).absolute() / f"{stem}-{secrets.token_hex(2)}"
    else:
        path = check_out(typed_path(out).absolute())
    check_name(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=path).close()
    except OSError as error:
        raise UsageError(
            f"The folder {path} cannot be made or written: {error.strerror}.", "Choose another with --out."
        ) from error
    _remember(path)
    return path


def _index_dir() -> Path:
    return paths.state_dir() / "runs"


def _entry(path: Path) -> Path:
    return _index_dir() / hashlib.sha256(str(path).encode()).hexdigest()[:24]


def _remember(path: Path) -> None:
    """One small file per run, so that two commands never write the same one. A read-only home is no reason to fail."""
    try:
        _index_dir().mkdir(parents=True, exist_ok=True)
        write_durably(_entry(path), f"{path}\n")
    except OSError:
        pass


def _known_paths() -> list[Path]:
    """Run folders of the index (entries whose folder is gone are dropped) and of the settings' folder."""
    found: dict[Path, None] = {}
    index = _index_dir()
    for entry in sorted(index.iterdir()) if index.is_dir() else []:
        if entry.name.startswith("."):
            continue
        try:
            path = Path(entry.read_text(encoding="utf-8").rstrip("\n"))
            if path.is_dir():
                found[path] = None
            elif path.parent.is_dir():  # an unmounted disk is no deleted run
                entry.unlink()
        except OSError:
            continue
    home = typed_path(settings.load().runs_dir).absolute()
    for path in sorted(home.iterdir()) if home.is_dir() else []:
        if os.access(path / "request.json", os.F_OK):  # no error where one may not look, as in lost+found
            found[path] = None
    return list(found)


def is_locked(run_dir: Path) -> bool:
    """Does an engine work in this folder now? The lock is asked for shared and given back at once."""
    try:
        handle = os.open(run_dir / "lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(handle, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


class LogTail:
    """What was appended to an event log since the last look; a line that is not whole yet waits for the next look."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def read(self) -> list[Record]:
        try:
            with open(self.path, "rb") as file:
                file.seek(self._offset)
                data = file.read()
        except OSError:
            return []
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        records = []
        for line in whole.splitlines():  # bytes, as text would also split at U+2028
            try:
                if (record := decode(line.decode("utf-8", "replace"))) is not None:
                    records.append(record)
            except (ValueError, TypeError, KeyError):
                continue
        return records


def view(run_dir: Path) -> RunView:
    """All events of a run, folded. Raises ResumeError for a log that was changed from outside."""
    result = RunView()
    log = run_dir / "events.jsonl"
    if log.is_file():
        for record in read_events(log):
            result.apply(record)
    return result


def state(run_dir: Path, seen: RunView | None = None) -> State:
    """`interrupted`: no engine works in it and it did not come to its end, so it can be resumed."""
    if is_locked(run_dir):
        return "running"
    seen = seen or view(run_dir)
    if seen.failed:
        return "interrupted" if seen.failed.exit_code == INTERRUPTED else "failed"
    if seen.finished:
        return "done"
    return "interrupted" if seen.started_at else "empty"


def info(run_dir: Path) -> RunInfo:
    try:
        seen = view(run_dir)
    except (AutoMLGPTError, OSError):
        return RunInfo(run_dir.name, str(run_dir), "unreadable")
    return RunInfo(
        run_dir.name, str(run_dir), state(run_dir, seen), seen.task.get("target"), seen.metric or None, seen.score,
        seen.started_at or None, round(seen.finished.seconds if seen.finished else seen.used_s, 1),
    )  # fmt: skip


def list_runs() -> list[RunInfo]:
    """Every run that is known on this machine, the newest first."""
    return sorted((info(p) for p in _known_paths()), key=lambda r: (r.started_at or "", r.id), reverse=True)


def find_run(name: str | Path, whole: bool = False) -> Path:
    """The folder of a run, by its path, its id, or (but for a `whole` name) a beginning that no other id has.

    Raises UsageError.
    """
    if not str(name):
        raise UsageError("The name of a run is empty.", "`automlgpt sessions list` shows the runs that exist.")
    path = typed_path(name).absolute()
    if path.is_dir() and ((path / "request.json").is_file() or (path / "events.jsonl").is_file()):
        return path
    known = _known_paths()
    same = [p for p in known if p.name == str(name)]
    if not same and not whole:
        same = [p for p in known if p.name.startswith(str(name))]
    if len(same) == 1:
        return same[0]
    if same:
        raise UsageError(f"{name!r} may mean {len(same)} runs.", "Give a path: " + ", ".join(map(str, same[:5])))
    raise UsageError(f"There is no run {str(name)!r}.", "`automlgpt sessions list` shows the runs that exist.")


def stop_run(run_dir: Path) -> None:
    """Ask the engine that works in this folder to end with its best model. Raises UsageError when none does."""
    if not is_locked(run_dir):
        raise UsageError(f"No engine works in {run_dir}.", "`automlgpt sessions list` shows the state of each run.")
    os.kill(int((run_dir / "lock").read_text(encoding="utf-8")), signal.SIGTERM)


def remove_run(run_dir: Path) -> None:
    """Delete a run folder and forget it. Raises ResumeError while an engine works in it."""
    if is_locked(run_dir):
        raise ResumeError(
            f"{run_dir} is in use by a running engine.", f"End it first: automlgpt sessions stop {run_dir.name}"
        )
    results.remove(run_dir)
    if run_dir.exists():
        shutil.rmtree(run_dir)  # it tells why
    try:
        _entry(run_dir).unlink()
    except OSError:
        pass
