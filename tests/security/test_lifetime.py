"""Nothing of a job outlives the job, and nothing of the sandbox outlives its supervisor."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from automlgpt_local.sandbox.jobs import Limits
from tests.security.world import World

# A grandchild in its own session that writes for three seconds at most.
DAEMON = """
def detach():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for beat in range(60):
                write("heartbeat", str(beat))
                time.sleep(0.05)
        os._exit(0)
attempt(detach)
import threading
beats = lambda: [(write("heartbeat", str(n)), time.sleep(0.05)) for n in range(60)]
threading.Thread(target=beats, daemon=True).start()
time.sleep(0.15)
os._exit(0)
"""


def _still_beating(world: World) -> bool:
    time.sleep(0.5)
    before = (world.work / "heartbeat").read_text()
    time.sleep(0.3)
    return (world.work / "heartbeat").read_text() != before


@pytest.mark.row(43)
def test_no_daemon_outlives_its_job(sandbox, world: World):
    sandbox.attack(world, DAEMON, Limits(wall_s=10))
    assert not _still_beating(world)


@pytest.mark.row(43)
def test_control_a_daemon_outlives_its_job_without_seccomp(weakened, world: World):
    weakened.attack(world, DAEMON, Limits(wall_s=10), without=frozenset({"seccomp"}))
    assert _still_beating(world)


SUPERVISOR = """
import pathlib, sys, threading
sys.path[:0] = [sys.argv[1]]
from automlgpt_local.sandbox.runner import Sandbox
from automlgpt_local.sandbox.jobs import Job, Limits
work = pathlib.Path(sys.argv[2])
sandbox = Sandbox(1, 1024, cold=sys.argv[3] == "cold")
sys.path.append("/survivor-" + work.name)
code = work / "code.py"
code.write_text("def space(trial):\\n    open('started', 'w').close()\\n    while True: pass\\n")
(work / "w").mkdir()
if sys.argv[3] != "cold":
    sandbox.start()
print("ready", flush=True)
sandbox.run(Job("space", {"solution": str(code), "module": "s"}, work / "w", (code,), Limits(60)))
"""


def _survivors(name: str, spare: int) -> list[int]:
    """Processes that carry the marker in their command line: broker, fork-server and jobs, for forks keep it."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) not in (spare, os.getpid()):
            try:
                if f"/survivor-{name}" in (entry / "cmdline").read_bytes().decode(errors="replace"):
                    found.append(int(entry.name))
            except OSError:
                continue
    return found


def _supervisor(tmp_path: Path, mode: str) -> subprocess.Popen[bytes]:
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", SUPERVISOR, root, str(tmp_path), mode]
    process = subprocess.Popen(command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    return process


@pytest.mark.row(44)
@pytest.mark.parametrize("mode", ["cold", "fork-server"])
@pytest.mark.parametrize("moment", ["while importing", "while a job runs"])
def test_nothing_survives_a_sigkill_of_the_supervisor(tmp_path, mode, moment):
    process = _supervisor(tmp_path, mode)
    deadline = time.monotonic() + 20
    if moment == "while a job runs":
        while not (tmp_path / "w/started").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
    while not _survivors(tmp_path.name, process.pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert _survivors(tmp_path.name, process.pid)  # there is something that could survive
    process.kill()
    process.wait()
    time.sleep(1)
    assert _survivors(tmp_path.name, process.pid) == []


@pytest.mark.row(44)
def test_control_a_plain_child_survives_a_sigkill_of_its_parent(tmp_path):
    child = f"import time; time.sleep(5)  # /survivor-{tmp_path.name}"
    script = f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}]); time.sleep(60)"
    process = subprocess.Popen([sys.executable, "-c", script])
    time.sleep(0.5)
    process.kill()
    process.wait()
    time.sleep(1)
    survivors = _survivors(tmp_path.name, process.pid)
    for pid in survivors:
        os.kill(pid, signal.SIGKILL)
    assert len(survivors) == 1
