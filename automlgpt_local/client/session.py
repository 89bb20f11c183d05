"""An engine process seen from outside: its events come in, our commands go out. Nothing heavy is imported here."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from automlgpt_local.client import runs
from automlgpt_local.durable import write_request
from automlgpt_local.errors import ResumeError, UsageError
from automlgpt_local.events import Approved, Event, Failed, Finished, Record, Resumed, Token, decode, read_events
from automlgpt_local.exits import INTERNAL, INTERRUPTED, NOT_READY, USAGE
from automlgpt_local.task import Request

STARTING_STEPS = 250  # of 0.02 s, in which a new engine takes its folder and writes its first event
# -P: the current folder may hold a pandas.py of the user's.
ENGINE_COMMAND: list[str] = [sys.executable, "-P", "-m", "automlgpt_local.engine"]
_END = None


def process_started_at() -> float:
    """When this process began, on CLOCK_MONOTONIC: the interpreter's own start counts for a time limit, too."""
    now = time.monotonic()
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        age_s = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError, AttributeError):
        return now
    return now - age_s if 0.0 <= age_s < 60.0 else now


def decode_line(line: str) -> Record | None:
    """A line of the engine: a stored event, or a token (seq 0). None for what only a newer version knows."""
    raw = json.loads(line)
    if isinstance(raw, dict) and raw.get("type") == "token":
        return Record(0, "", 0.0, Token(raw.get("agent", "coder"), str(raw.get("text", ""))))
    return decode(line)


class Session:
    """A run that is under way. Iterate over it for its records; the last one is `finished` or `failed`."""

    def __init__(
        self, run_dir: Path, process: subprocess.Popen[str] | None, recorded: list[Record], detached: bool = False,
        new: bool = False,
    ) -> None:  # fmt: skip
        self.run_dir = run_dir
        self._new = new  # the folder was made for this sitting
        self.process = None if detached else process  # the one that hears commands
        self._detached = process if detached else None
        self.recorded_seq = self.last_seq = recorded[-1].seq if recorded else 0  # recorded: before this sitting
        self.outcome: Finished | Failed | None = None
        self.stopping = False
        self._queue: queue.SimpleQueue[Record | None] = queue.SimpleQueue()
        self._closed = False
        for record in recorded:
            self._queue.put(record)
        reader = self._read_process if self.process else self._follow_file
        threading.Thread(target=reader, name="engine-events", daemon=True).start()

    # --- events
    def __iter__(self) -> Iterator[Record]:
        while (record := self.get()) is not None:
            yield record

    def get(self, timeout_s: float | None = None) -> Record | None:
        """The next record; None at the end. Raises queue.Empty when `timeout_s` passed without one."""
        if self._closed:
            return None
        record = self._queue.get(timeout=timeout_s)
        if record is _END:
            self._closed = True
            return None
        if isinstance(record.event, Finished | Failed):
            self.outcome = record.event
        return record

    def drain(self, at_most: int = 500) -> list[Record]:
        """What has come in since the last call, without waiting."""
        records: list[Record] = []
        with suppress(queue.Empty):
            while len(records) < at_most and (record := self.get(0)) is not None:
                records.append(record)
        return records

    @property
    def closed(self) -> bool:
        """True once the last record was handed out."""
        return self._closed

    def _read_process(self) -> None:
        process = self.process
        assert process is not None and process.stdout is not None
        ended = False
        record: Record | None = None
        with suppress(ValueError, OSError):
            for line in process.stdout:
                try:
                    record = decode_line(line)
                except (ValueError, TypeError, KeyError):
                    continue  # the engine's log has what went wrong
                if record is None or 0 < record.seq <= self.last_seq:
                    continue
                self.last_seq = record.seq or self.last_seq
                ended = isinstance(record.event, Finished | Failed)
                self._queue.put(record)
        code = process.wait()
        if not ended:
            self._queue.put(Record(0, "", 0.0, self._died(code)))
        self._clear_stillborn(record.event if ended and record is not None else None)
        self._queue.put(_END)

    def _clear_stillborn(self, last: Event | None) -> None:
        """A request that was refused before its first attempt leaves no folder: the corrected one may want its name."""
        refused = isinstance(last, Failed) and last.exit_code in (USAGE, NOT_READY)
        if self._new and refused and not (self.run_dir / "attempts").exists():
            with suppress(OSError, ResumeError):
                runs.remove_run(self.run_dir)

    def _died(self, code: int) -> Failed:
        """The engine ended without a last event: killed, or broken."""
        if self.stopping:
            return self._interrupted()
        if code == USAGE:
            error = _in_use(self.run_dir)
            return Failed(type(error).__name__, error.message, error.hint, USAGE)
        by = f"by signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"with exit code {code}"
        text = f"The engine ended {by}. Its last words:\n{self.log_tail() or '(none)'}"
        if code == -signal.SIGKILL:
            text = "The engine was killed from outside (signal 9), most likely for want of memory."
        return Failed("EngineDied", text, f"Go on with: {self.resume_hint()}", INTERNAL)

    def _interrupted(self) -> Failed:
        return Failed("Interrupted", "The run was interrupted.", f"Go on with: {self.resume_hint()}", INTERRUPTED)

    def resume_hint(self) -> str:
        return f"automlgpt sessions resume {self.run_dir}"

    def log_tail(self, lines: int = 15) -> str:
        try:
            data = (self.run_dir / "engine.log").read_bytes()[-8000:]
        except OSError:
            return ""
        return "\n".join(data.decode("utf-8", "replace").splitlines()[-lines:])

    def _follow_file(self) -> None:
        """Records of a detached run, from its log, until it ended or nobody works in the folder any more."""
        log = runs.LogTail(self.run_dir / "events.jsonl")
        idle, ended = 0, False
        while not ended and idle <= (5 if self.last_seq else STARTING_STEPS):
            alive = runs.is_locked(self.run_dir) if self._detached is None else self._detached.poll() is None
            fresh = [r for r in log.read() if r.seq > self.last_seq]
            for record in fresh:
                self.last_seq = record.seq
                self._queue.put(record)
            turns = [r.event for r in fresh if isinstance(r.event, Finished | Failed | Resumed)]
            ended = bool(turns) and not isinstance(turns[-1], Resumed)
            idle = 0 if alive or fresh else idle + 1
            if not ended:
                time.sleep(0.2 if alive else 0.02)
        if not ended:
            last = self._interrupted() if self._detached is None else self._died(self._detached.wait())
            self._queue.put(Record(0, "", 0.0, last))
        elif self._detached is not None:
            self._detached.wait()
            self._clear_stillborn(turns[-1])
        self._queue.put(_END)

    # --- commands
    def send(self, command: str, **values: Any) -> bool:
        """One command to the engine; False when it can no longer hear."""
        if self.process is None or self.process.stdin is None:
            return False
        try:
            self.process.stdin.write(json.dumps({"command": command, **values}, ensure_ascii=False) + "\n")
            self.process.stdin.flush()
        except (OSError, ValueError):
            return False
        return True

    def stop(self) -> bool:
        """Ask for an end that keeps the best model so far."""
        self.stopping = True
        return self.send("stop")

    def pause(self) -> bool:
        return self.send("pause")

    def go_on(self) -> bool:
        return self.send("continue")

    def extend(self, seconds: float) -> bool:
        return self.send("extend", seconds=seconds)

    def message(self, text: str) -> bool:
        return self.send("message", text=text)

    def undo(self) -> bool:
        """Take back the last change of the task that a message or a branch made."""
        return self.send("undo")

    def branch(self, attempt: int) -> bool:
        """Let the search go on from an earlier attempt."""
        return self.send("branch", attempt=attempt)

    def approve(self, attempt: int, answer: str, code: str | None = None) -> bool:
        """`answer`: once, always, reject, or edit (with `code`, the whole new solution.py)."""
        return self.send("approve", attempt=attempt, answer=answer, **({"code": code} if code is not None else {}))

    def kill(self) -> None:
        """End the engine and its children at once. The log keeps everything that was acknowledged."""
        self.stopping = True
        if self.process is not None and self.process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def let_go(self) -> None:
        """Nobody watches any more: an engine that is not detached ends at once, and the run can be resumed."""
        if self.process is not None and self.process.stdin is not None:
            with suppress(OSError):
                self.process.stdin.close()

    def yield_to_people(self) -> None:
        """Let a screen that is drawn on this machine go before the fits when both want a core."""
        if self.process is not None:
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, self.process.pid, 5)

    def close(self) -> None:
        """Close the pipes and collect the ended engine."""
        if self.process is None:
            return
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(OSError):
                    pipe.close()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(1.0)

    def wait(self, timeout_s: float | None = None) -> int:
        """Read to the end; the exit code of the run (see cli/exits.py). Raises subprocess.TimeoutExpired."""
        if not self._closed:
            for _record in self:
                pass
        if self.process is not None:
            self.process.wait(timeout_s)
        return self.exit_code

    @property
    def exit_code(self) -> int:
        return self.outcome.exit_code if self.outcome else INTERNAL


def _events(run_dir: Path) -> list[Record]:
    log = run_dir / "events.jsonl"
    return list(read_events(log)) if log.is_file() else []


def absolute(request: Request) -> Request:
    """The same request with paths that mean the same in any folder.

    Raises UsageError for a file that is not there, or whose name is no UTF-8.
    """
    if not request.data:
        raise UsageError("No data file was given.", "Name a CSV or parquet file.")
    for path in (*request.data, request.test, request.submission):
        if path is None:
            continue
        if Path(path).is_dir():
            raise UsageError(f"{path} is a folder.", "Name the file itself; several files may follow each other.")
        if not Path(path).is_file():
            raise UsageError(f"There is no file {path}.", "Check the spelling and the folder you are in.")
    from automlgpt_local.llm.open import absolute_model

    found = replace(
        request,
        data=tuple(str(Path(p).absolute()) for p in request.data),
        test=str(Path(request.test).absolute()) if request.test else None,
        submission=str(Path(request.submission).absolute()) if request.submission else None,
        model=absolute_model(request.model),
    )
    for path in filter(None, (*found.data, found.test, found.submission, found.model)):
        runs.check_name(path)
    return found


def _launch(run_dir: Path, started_at: float, *flags: str, detach: bool = False) -> subprocess.Popen[str]:
    command = [*ENGINE_COMMAND, str(run_dir), "--started-at", repr(started_at), *flags]
    with open(run_dir / "engine.log", "ab") as log:
        return subprocess.Popen(
            command + (["--detach"] if detach else []),
            stdin=subprocess.DEVNULL if detach else subprocess.PIPE,
            stdout=subprocess.DEVNULL if detach else subprocess.PIPE,
            stderr=log,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # Ctrl+C reaches us alone, and we decide
        )


def start(
    request: Request, out: str | Path | None = None, detach: bool = False, started_at: float | None = None
) -> Session:
    """Make a run folder, write the request into it and start its engine. Raises UsageError.

    started_at: CLOCK_MONOTONIC seconds at which the budget began; now when left out.
    """
    started_at = time.monotonic() if started_at is None else started_at
    request = absolute(request)
    if detach:
        _check_unasked(request)
    return begin(request, runs.new_run_dir(out), started_at, detach)


def _check_unasked(request: Request, recorded: Sequence[Record] = ()) -> None:
    """Raises UsageError where a detached run would wait for answers that nobody can give."""
    always = any(isinstance(r.event, Approved) and r.event.answer == "always" for r in recorded)
    if request.approve == "ask" and not always:
        raise UsageError(
            "Nobody can be asked before code runs (--approve ask) in a run that goes on in the background.",
            "Leave out --detach, or start the run with --approve auto.",
        )


def begin(request: Request, run_dir: Path, started_at: float, detach: bool = False) -> Session:
    """Start the engine of a request with absolute paths in a run folder that was made for it."""
    write_request(run_dir, request)
    process = _launch(run_dir, started_at, detach=detach)
    return Session(run_dir, process, [], detach, new=True)


def _in_use(run_dir: Path) -> ResumeError:
    return ResumeError(f"{run_dir} is in use by a running engine.", "Wait for its end, or stop it.")


def resume(
    run: str | Path, time_limit_s: float | None = None, started_at: float | None = None, detach: bool = False,
    unsafe_no_sandbox: bool = False,
) -> Session:  # fmt: skip
    """Go on with a run: with what is left of its budget, or with `time_limit_s` more from now on. One that had no
    sandbox has none only where that is said again: its folder may be somebody else's.

    The session first repeats what is recorded. Raises UsageError, ResumeError.
    """
    started_at = time.monotonic() if started_at is None else started_at
    run_dir = runs.find_run(run)
    if runs.is_locked(run_dir):
        raise _in_use(run_dir)
    recorded = _events(run_dir)
    request = load_request(run_dir)
    if not request.sandbox and not unsafe_no_sandbox:
        raise UsageError(
            f"{run_dir.name} ran without the sandbox.",
            "To go on so: automlgpt sessions resume RUN --unsafe-no-sandbox",
        )
    if detach:
        _check_unasked(request, recorded)
    flags = ["--resume"]
    if time_limit_s is not None:
        flags += ["--time-limit", repr((recorded[-1].t if recorded else 0.0) + time_limit_s)]
    elif recorded and isinstance(recorded[-1].event, Finished):
        raise ResumeError(f"{run_dir.name} has ended.", "Give it more time to go on: --time-limit 10m")
    process = _launch(run_dir, started_at, *flags, detach=detach)
    return Session(run_dir, process, recorded, detach)


def attach(run: str | Path) -> Session:
    """Follow a run that another process works on (or look at one that ended). Commands do not reach it."""
    return Session(runs.find_run(run), None, [])


def load_request(run_dir: Path) -> Request:
    """What was asked for. Raises ResumeError."""
    try:
        return Request.from_json(json.loads((run_dir / "request.json").read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ResumeError(f"{run_dir} has no readable request.json ({error}).", "Start a new run.") from error
