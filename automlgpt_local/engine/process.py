"""The engine as a process: its run folder's lock, its command channel, its exit code.

stdout: one JSON line per event. stdin: one JSON line per command; its end means that the parent is gone.
"""

from __future__ import annotations

import argparse
import fcntl
import io
import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from automlgpt_local import __version__, offline
from automlgpt_local.durable import write_request
from automlgpt_local.engine.session import Session
from automlgpt_local.errors import AutoMLGPTError, ResumeError
from automlgpt_local.events import Answered, Commanded, EventLog, Failed, Resumed, SessionStarted, TaskResolved
from automlgpt_local.exits import INTERNAL, INTERRUPTED, exit_code
from automlgpt_local.search.clock import Clock
from automlgpt_local.search.control import Control
from automlgpt_local.search.recorder import AbandonedError, Recorder, StopSearchError
from automlgpt_local.task import Request

LOCK_PATIENCE_S = 1.0


def main(argv: Sequence[str]) -> int:
    options = _options(argv)
    run_dir: Path = options.run_dir
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the client hears Ctrl+C and sends `stop`
    offline.enforce()
    _speak_utf8()
    try:
        lock = _lock(run_dir)
    except ResumeError as error:  # the log is another engine's: the exit code says it
        print(error.message, file=sys.stderr)
        return exit_code(error)
    log = EventLog(run_dir / "events.jsonl")
    request = _request(run_dir, options.time_limit)
    clock = Clock(_limit_s(log, request), options.started_at, log.used_s)
    resumed = bool(log.records)
    if resumed:  # before the recorder decides what is answered from the log
        _emit(log.append(Resumed(__version__, request.time_limit_s), clock.used_s()).to_line())
    recorder = Recorder(log, clock, _emit)
    control = Control(recorder, asks=request.approve == "ask")
    signal.signal(signal.SIGTERM, lambda *_: control.put({"command": "stop"}))  # keeps the best model, as Ctrl+C does
    session = Session(run_dir, request, recorder, control, _emit_token)
    try:
        if not resumed:
            recorder.ambient(session.started(run_dir.name))
        if not options.detach:
            threading.Thread(target=_listen, args=(control, session), daemon=True, name="commands").start()
        return session.run()
    except AbandonedError:
        return INTERRUPTED
    except StopSearchError:
        problem = "The run was stopped before a first model was ready."
        recorder.ambient(Failed("Interrupted", problem, "Go on with `automlgpt sessions resume`.", INTERRUPTED))
        return INTERRUPTED
    except AutoMLGPTError as error:
        code = exit_code(error)
        recorder.ambient(Failed(type(error).__name__, error.message, error.hint, code))
        return code
    except Exception as error:
        traceback.print_exc()
        hint = f"The details are in {run_dir / 'engine.log'}; the run can be resumed."
        recorder.ambient(Failed(type(error).__name__, str(error)[:2000], hint, INTERNAL))
        return INTERNAL
    finally:
        session.close()
        log.close()
        lock.close()


def _options(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m automlgpt_local.engine")
    parser.add_argument("run_dir", type=Path)
    parser.add_argument("--started-at", type=float, default=time.monotonic(), help="CLOCK_MONOTONIC seconds")
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--time-limit", type=float, help="of a resumed run: seconds of the whole budget from now on")
    parser.add_argument("--detach", action="store_true", help="go on without a parent")
    options = parser.parse_args(argv)
    options.run_dir = options.run_dir.resolve()
    return options


def _lock(run_dir: Path) -> IO[str]:
    """Held as long as the process lives; the file says whose it is. Those who only look hold it for a moment."""
    file = open(run_dir / "lock", "a+")  # noqa: SIM115
    patient_until = time.monotonic() + LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError as error:
            if time.monotonic() > patient_until:
                hint = "Wait for its end, or stop it with `automlgpt sessions stop`."
                raise ResumeError(f"{run_dir} is in use by a running engine.", hint) from error
            time.sleep(0.02)
    file.truncate(0)
    file.write(f"{os.getpid()}\n")
    file.flush()
    return file


def _request(run_dir: Path, time_limit_s: float | None) -> Request:
    """What was asked for; a new time limit, in seconds, is kept with it."""
    request = Request.from_json(json.loads((run_dir / "request.json").read_text(encoding="utf-8")))
    if time_limit_s is not None:
        request = replace(request, time_limit_s=time_limit_s)
        write_request(run_dir, request)
    return request


def _limit_s(log: EventLog, request: Request) -> float:
    """The budget as last asked for, with what was changed since then."""
    asked_s, limit_s = None, request.time_limit_s
    for record in log.records:
        event = record.event
        if isinstance(event, SessionStarted | Resumed):
            if event.limit_s != asked_s:
                asked_s = limit_s = event.limit_s
        elif isinstance(event, TaskResolved) and event.task.get("source", {}).get("time_limit_s") == "ask":
            limit_s = float(event.task["time_limit_s"])
        elif isinstance(event, Commanded) and event.command == "extend":
            limit_s += float(event.values.get("seconds", 0.0))
        elif isinstance(event, Answered) and "time_limit_s" in event.changes:
            limit_s = float(event.changes["time_limit_s"])
    return limit_s if asked_s == request.time_limit_s else request.time_limit_s


def _speak_utf8() -> None:
    """Both channels are UTF-8, as the log is, whatever the locale says."""
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")


def _emit(line: str) -> None:
    try:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()
    except (BrokenPipeError, ValueError):
        pass  # the reader is gone; the log has it


def _emit_token(agent: str, text: str) -> None:
    _emit(json.dumps({"type": "token", "agent": agent, "text": text}, ensure_ascii=False))


def _listen(control: Control, session: Session) -> None:
    for line in sys.stdin:
        try:
            command = json.loads(line)
        except ValueError:
            continue
        if isinstance(command, dict):
            control.put(command)
    control.abandoned.set()
    # A step that does not look up in time must not keep the machine busy for nobody.
    time.sleep(5.0)
    session.close()
    os._exit(INTERRUPTED)
