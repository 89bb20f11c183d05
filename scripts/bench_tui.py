"""How the app feels under load: a key press on screen, first paint, memory over 10,000 events.

The app runs in a pseudo-terminal of its own, the engine acts 200 tokens/s and 20 events/s, and all cores are kept at
work besides, as training would. Keys are typed while one panel after the other is open; then 20,000 events come in as
fast as they can. The first 10,000 fill what is bounded (the chat, the log, the toolkit's caches): rss_filling_mib. What
the second 10,000 add is rss_growth_mib. Prints key_ms_p50, key_ms_p95, key_ms_p50_worst_panel and first_paint_ms, too.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import select
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from pathlib import Path

APP = """
import sys
from automlgpt_local.tui.guard import die_with_parent
die_with_parent()
from automlgpt_local.client import session
engine = "automlgpt_local.client.scripted"
session.ENGINE_COMMAND = [sys.executable, "-P", "-m", engine, "--mode", "flood",
    "--pace", "{seconds}", "--events", "{events}"]
from automlgpt_local import client
from automlgpt_local.task import Request
from automlgpt_local.tui.app import AutoMLApp
def begin():
    app.show_session(client.start(Request(data=("data.csv",), target="Churn")), "data.csv")
class Bench(AutoMLApp):
    def on_mount(self):
        super().on_mount()
        self.call_after_refresh(begin)
app = Bench()
app.run()
"""
SIZE = (48, 160)


class Terminal:
    """The app's other end of the line."""

    def __init__(self, code: str, folder: str) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE, 0, 0))
        env = {
            **os.environ,
            "TERM": "xterm-256color",
            "AUTOMLGPT_STATE_DIR": f"{folder}/state",
            "COLORTERM": "truecolor",
        }
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-c", code], cwd=folder, stdin=slave, stdout=slave, stderr=slave, env=env,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)

    def read(self, seconds: float) -> bytes:
        """What is drawn within so long, up to the first pause of the line."""
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return b""
        try:
            return os.read(self.master, 1 << 20)
        except OSError:
            return b""

    def until(self, mark: bytes, seconds: float) -> float | None:
        """Seconds until `mark` is drawn."""
        started, seen = time.monotonic(), b""
        while (left := started + seconds - time.monotonic()) > 0:
            seen = (seen + self.read(min(left, 0.5)))[-200_000:]
            if mark in seen:
                return time.monotonic() - started
        return None

    def rest(self, seconds: float) -> None:
        """Let the app draw for so long; read what is there."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.read(left)
        while self.read(0.0):
            pass

    def rss_mib(self) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        return 0.0


# What the function keys of a run's panels send, in the order of the panels.
PANELS = {"plan": b"\x1bOR", "board": b"\x1bOS", "code": b"\x1b[15~", "data": b"\x1b[17~", "tree": b"\x1b[18~",
          "log": b"\x1b[19~"}  # fmt: skip


def press_keys(terminal: Terminal, keys: int) -> dict[str, list[float]]:
    """Milliseconds until a key press is drawn, by the panel that was open."""
    delays: dict[str, list[float]] = {name: [] for name in PANELS}
    for n in range(keys):
        panel = list(PANELS)[n * len(PANELS) // keys]
        if not delays[panel]:
            os.write(terminal.master, PANELS[panel])
            terminal.rest(1.0)
        letter = bytes([0xC3, 0x80 + n % 0x17])  # À … Ö, drawn by nothing else
        terminal.rest(0.0)
        os.write(terminal.master, letter)
        delay = terminal.until(letter, 5.0)
        delays[panel].append(1000 * (delay if delay is not None else 5.0))
        terminal.rest(0.09 + 0.02 * (n % 7))  # not in step with the frames
    return delays


def visit(terminal: Terminal) -> float:
    """Open each panel once; the memory of the app after it, in MiB."""
    for panel in PANELS.values():
        os.write(terminal.master, panel)
        terminal.rest(1.0)
    return terminal.rss_mib()


def measure(keys: int, events: int) -> dict[str, object]:
    seconds = 8.0 + keys * 0.3
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "data.csv").write_text("a,Churn\n1,Yes\n")
        terminal = Terminal(APP.format(seconds=seconds, events=2 * events), folder)
        try:
            terminal.until(b"AutoML-GPT", 30.0)
            first_paint_ms = 1000 * (time.monotonic() - terminal.started)
            terminal.until(b"attempts", 30.0)
            terminal.rest(5.0)
            delays = press_keys(terminal, keys)
            first_mib = visit(terminal)
            half = terminal.until(b"halfway", 240.0)
            half_mib = visit(terminal)
            ended = terminal.until(b"done: roc_auc", 240.0)
            last_mib = visit(terminal)
        finally:
            os.killpg(terminal.process.pid, 9)
            terminal.process.wait()
            os.close(terminal.master)
    ordered = sorted(d for each in delays.values() for d in each)
    return {
        "key_ms_p50": round(statistics.median(ordered), 1),
        "key_ms_p95": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
        "key_ms_p50_worst_panel": round(max(statistics.median(each) for each in delays.values() if each), 1),
        "key_ms_p95_by_panel": {
            name: round(sorted(each)[int(0.95 * (len(each) - 1))], 1) for name, each in delays.items() if each
        },
        "first_paint_ms": round(first_paint_ms, 1),
        "rss_growth_mib": round(last_mib - half_mib, 1) if half is not None and ended is not None else None,
        "rss_filling_mib": round(half_mib - first_mib, 1),
        "rss_mib": round(last_mib, 1),
        "keys": keys,
        "events": events,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--keys", type=int, default=90)
    parser.add_argument("--events", type=int, default=10_000)
    parser.add_argument(
        "--busy", type=int, default=len(os.sched_getaffinity(0)), metavar="N", help="cores kept at work"
    )
    args = parser.parse_args()
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(args.busy)]
    try:
        found = measure(args.keys, args.events) | {"busy_cores": args.busy}
    finally:
        for burner in burners:
            burner.kill()
    if args.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:<24} {value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
