"""The suite runs as whoever starts it. Started as root, as in CI, it runs the attacks once more as `nobody`."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from automlgpt_local.confine import kernel
from automlgpt_local.confine.namespaces import NEWNS

NOBODY = 65534
ROOT = Path(__file__).parents[2]
_REC, _PRIVATE, _BIND = 0x4000, 1 << 18, 4096


def _closed_ancestor(path: Path) -> Path | None:
    """The topmost folder above `path` that others may not enter."""
    return next((p for p in reversed(path.parents) if not p.stat().st_mode & 0o001), None)


def _become_nobody(spare: str) -> None:
    """Give up root in a private mount namespace, in which what the tests read can be reached (it may lie in /root)."""
    needed = {Path(sys.base_prefix).resolve(), Path(sys.prefix).resolve(), ROOT.resolve()}
    hidden = {path: closed for path in needed if (closed := _closed_ancestor(path)) is not None}
    if hidden:
        kernel.unshare(NEWNS)
        kernel.mount(None, "/", None, _REC | _PRIVATE)
        spares = {path: Path(spare) / str(i) for i, path in enumerate(sorted(hidden))}
        for path, place in spares.items():
            place.mkdir()
            kernel.mount(str(path), str(place), None, _BIND | _REC)
        for closed in set(hidden.values()):
            kernel.mount("tmpfs", str(closed), "tmpfs", 0, "mode=755")
        for path, place in spares.items():  # sorted: what lies inside another is bound after it
            path.mkdir(parents=True, exist_ok=True)
            kernel.mount(str(place), str(path), None, _BIND | _REC)
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def test_the_attacks_fail_for_a_plain_user_too():
    if os.getuid() != 0:
        return  # this whole run is one as a plain user
    with tempfile.TemporaryDirectory(dir="/tmp") as spare, tempfile.TemporaryDirectory(dir="/tmp") as home:
        Path(home).chmod(0o777)
        real = "test_layers.py::test_a_real_training_gives_the_same_score_to_the_last_digit[False-1]"
        files = [str(Path(__file__).with_name(n)) for n in ("test_attacks.py", "test_neighbours.py", real)]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", f"--basetemp={home}/pytest", *files],
            env={**os.environ, "HOME": home, "PYTHONDONTWRITEBYTECODE": "1"}, cwd=ROOT, capture_output=True, text=True,
            preexec_fn=lambda: _become_nobody(spare), check=False,
        )  # fmt: skip
    print(done.stdout[-6000:], done.stderr[-2000:])
    assert done.returncode == 0 and " passed" in done.stdout and "skipped" not in done.stdout
