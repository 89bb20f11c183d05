"""How the app feels under load: a key press on screen, first paint, memory over 10,000 events.

The app runs in a pseudo-terminal of its own; the engine acts 200 tokens/s and 20 events/s. `--busy` keeps both cores
at work besides. Prints key_ms_p50, key_ms_p95, first_paint_ms and rss_growth_mib.
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
from automlgpt_local.client import session
engine = "automlgpt_local.client.scripted"
session.ENGINE_COMMAND = [sys.executable, "-P", "-m", engine, "--mode", "flood", "--pace", "{seconds}"]
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
        self.seen = b""

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

    def rss_mib(self) -> float:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) / 1024
        return 0.0


def measure(seconds: float, keys: int) -> dict[str, float | int | None]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "data.csv").write_text("a,Churn\n1,Yes\n")
        terminal = Terminal(APP.format(seconds=seconds), folder)
        try:
            terminal.until(b"AutoML-GPT", 30.0)
            first_paint_ms = 1000 * (time.monotonic() - terminal.started)
            terminal.until(b"attempts", 30.0)
            settle = time.monotonic() + 5.0
            while time.monotonic() < settle:
                terminal.read(0.1)
            before_mib = terminal.rss_mib()
            delays = []
            # Letters that no other text of the screen brings up: each is looked for as it is echoed in the line.
            for n in range(keys):
                letter = bytes([0xC3, 0x80 + n % 0x17])  # À … Ö, drawn by nothing else
                while terminal.read(0.0):
                    pass
                os.write(terminal.master, letter)
                delay = terminal.until(letter, 5.0)
                delays.append(1000 * (delay if delay is not None else 5.0))
                pause = time.monotonic() + 0.1
                while time.monotonic() < pause:
                    terminal.read(0.02)
            end = terminal.started + seconds
            while time.monotonic() < end - 1.0:
                terminal.read(0.2)
            growth_mib = terminal.rss_mib() - before_mib
        finally:
            os.killpg(terminal.process.pid, 9)
            terminal.process.wait()
            os.close(terminal.master)
    ordered = sorted(delays)
    return {
        "key_ms_p50": round(statistics.median(ordered), 1),
        "key_ms_p95": round(ordered[int(0.95 * (len(ordered) - 1))], 1),
        "first_paint_ms": round(first_paint_ms, 1),
        "rss_growth_mib": round(growth_mib, 1),
        "seconds": seconds,
        "keys": keys,
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--seconds", type=float, default=60.0, help="500 s make 10,000 events")
    parser.add_argument("--keys", type=int, default=100)
    parser.add_argument("--busy", type=int, default=0, metavar="N", help="cores kept at work, as training would")
    args = parser.parse_args()
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(args.busy)]
    try:
        found = measure(args.seconds, args.keys)
    finally:
        for burner in burners:
            burner.kill()
    if args.json:
        print(json.dumps(found))
    else:
        for name, value in found.items():
            print(f"{name:<16} {value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
