"""The fork's side of a job: put itself under all layers, say so, then run the task."""

from __future__ import annotations

import faulthandler
import json
import os
import socket
import sys
import sysconfig
import traceback
from pathlib import Path
from typing import Any, NoReturn, TextIO

from automlgpt_local.confine import limits, policy
from automlgpt_local.sandbox import letters, preload
from automlgpt_local.sandbox.watch import read_use

EXIT_ERROR, EXIT_MEMORY, EXIT_SETUP = 1, 3, 126
MAX_ANSWER = 1 << 20
FIRST_FRAMES, LAST_FRAMES = 4, 6


def environment(work: str, threads: int) -> dict[str, str]:
    """All that a job sees in os.environ."""
    return {
        **preload.ENVIRONMENT,
        "HOME": work,
        "TMPDIR": work,
        "MPLCONFIGDIR": work,
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "LOKY_MAX_CPU_COUNT": str(threads),
    }


def await_job(line: socket.socket, pools: Any, parent: int) -> NoReturn:
    """In a new fork: do what every job needs, wait on `line` for one, do it. Never returns.

    With a job come descriptors: its letter, where its output and its set-up's end go, the pipes of its questions (or
    none).
    """
    status = -1
    try:
        limits.die_with_parent(parent)
        use = read_use(os.getpid())
        own_mib = 0 if use is None else use.data_kib // 1024
        preload.share_locks_between_threads()
        message, fds = letters.receive_fds(line)
        if not message:
            os._exit(0)
        letter, output, status, *ask = fds
        request = letters.read_letter(letter)
        _confine(request, own_mib, output, (status, *ask))
    except BaseException as error:
        try:
            os.write(status, f"{type(error).__name__}: {error}".encode()[:2000] or b"?")
        finally:
            os._exit(EXIT_SETUP)
    os.write(status, b"+")
    os.close(status)
    os._exit(_work(request, pools, ask))


def _confine(request: dict[str, Any], own_mib: int, output: int, keep: tuple[int, ...]) -> None:
    """All layers, for ever. `own_mib`: address space of the fork as it is."""
    rules = policy.Policy(
        read=tuple(request["read"]),
        write=(request["work"],),
        memory_mib=own_mib + 2 * request["limits"]["memory_mib"] + 512,
        cpu_s=request["limits"]["cpu_s"],
        file_mib=request["limits"]["disk_mib"],
        left_out=frozenset(request["left_out"]),
    )
    os.setsid()
    null = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((null, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    if "descriptors" not in rules.left_out:
        policy.close_inherited(keep)
    threads = request["limits"]["threads"]
    if "environment" not in rules.left_out:
        os.environ.clear()
    os.environ.update(environment(request["work"], threads))
    os.chdir(request["work"])
    sys.argv[:] = ["job"]
    sys.stdout, sys.stderr = _text_stream(1), _text_stream(2)
    sys.dont_write_bytecode = True
    faulthandler.enable(sys.stderr)
    if "landlock" in rules.left_out:  # inside bubblewrap this fork is hidden, and the watchdog reads its /proc
        limits.hide_memory(False)
    policy.apply(rules)


def _text_stream(fd: int) -> TextIO:
    return open(fd, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)


def _work(request: dict[str, Any], pools: Any, ask_fds: list[int]) -> int:
    from automlgpt_local.sandbox import harness

    work, spec = Path(request["work"]), request["spec"]
    try:
        kept = preload.use_threads(pools, request["limits"]["threads"])
        harness.seed_everything(int(spec.get("seed") or spec.get("ctx", {}).get("seed") or 0))
        result = harness.TASKS[request["task"]](spec, work, _asker(ask_fds))
        harness.write_json(work / "result.json", result)
        del kept
        code = 0
    except BaseException as error:
        code = EXIT_MEMORY if isinstance(error, MemoryError) else EXIT_ERROR
        try:
            (work / "error.txt").write_text(
                _explain(error, spec.get("solution", "")), encoding="utf-8", errors="replace"
            )
        except BaseException:
            pass  # the disk is full or the error cannot be printed; the exit code tells enough
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except BaseException:
            pass
    return code


def _explain(error: BaseException, solution: str) -> str:
    """The traceback from the first frame of the solution on; of our own frames nobody learns anything."""
    own = {__file__, str(Path(__file__).with_name("harness.py")), "<frozen importlib._bootstrap>"}
    own.add("<frozen importlib._bootstrap_external>")
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None and frame.tb_frame.f_code.co_filename in own:
        frame = frame.tb_next
    told = traceback.TracebackException(type(error), error, frame)
    if len(told.stack) > FIRST_FRAMES + LAST_FRAMES:  # where the solution went in, and where it broke
        told.stack = traceback.StackSummary.from_list(told.stack[:FIRST_FRAMES] + told.stack[-LAST_FRAMES:])
    text = "".join(told.format())
    for folder in (f"{Path(solution or __file__).parent}/", f"{sysconfig.get_path('purelib')}/"):
        text = text.replace(folder, "")
    return text[-16000:]


def _asker(fds: list[int]) -> Any:
    def ask(question: dict[str, Any]) -> Any:
        if not fds:
            raise RuntimeError("nobody answers questions in this task")
        reading, writing = fds
        os.write(writing, json.dumps(question, allow_nan=False).encode() + b"\n")
        answer = b""
        while not answer.endswith(b"\n"):
            block = os.read(reading, 65536)
            if not block or len(answer) > MAX_ANSWER:
                raise RuntimeError("the engine no longer answers")
            answer += block
        return json.loads(answer)

    return ask
