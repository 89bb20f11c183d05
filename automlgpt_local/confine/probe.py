"""What this machine can enforce: for `doctor`, for the record of each run, and for refusing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from automlgpt_local.confine import bubblewrap, kernel, landlock, policy, seccomp


def missing() -> list[str]:
    """Required layers that this machine lacks, in words. Cheap: no process is started."""
    if not kernel.LINUX:
        return [f"no sandbox for {sys.platform} in this version: Linux is needed"]
    problems = []
    version = landlock.abi()
    if version < landlock.REQUIRED_ABI and not bubblewrap.available():
        found = f"ABI {version}" if version else "not in the running kernel"
        needed = f"ABI {landlock.REQUIRED_ABI} (Linux 6.2) or a working bubblewrap is needed"
        problems.append(f"Landlock: {found}; {needed}")
    if not seccomp.supported():
        problems.append(f"seccomp: not offered by this kernel, or no table of calls for {kernel.ARCH}")
    return problems


def namespaces_work() -> bool:
    """Tried in a fresh process: this one may have threads."""
    code = "import sys; from automlgpt_local.confine import namespaces; sys.exit(not namespaces.available())"
    if not kernel.LINUX:
        return False
    child = subprocess.run(
        [sys.executable, "-P", "-c", f"import sys; sys.path[:] = {sys.path!r}; {code}"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False, timeout=20,
    )  # fmt: skip
    return child.returncode == 0


def layers(namespaces: bool | None = None, left_out: frozenset[str] = frozenset()) -> dict[str, str]:
    """Layer -> `enforced`, `missing` or `left out`, with what it rests on. `namespaces`: known already, else tried."""
    if namespaces is None:
        namespaces = namespaces_work()
    version = landlock.abi() if kernel.LINUX else 0
    files = f"enforced (ABI {version})" if version >= landlock.REQUIRED_ABI else "missing"
    if files == "missing" and bubblewrap.available():
        files = "enforced (bubblewrap in its place, each job starts cold)"
    found = {
        "landlock": files,
        "seccomp": "enforced (allow-list)" if kernel.LINUX and seccomp.supported() else "missing",
        "limits": "enforced" if kernel.LINUX else "missing",
        "capabilities": "enforced (none left)" if kernel.LINUX else "missing",
        "environment": "enforced (scrubbed)" if kernel.LINUX else "missing",
        "namespaces": "enforced (user, pid, net, ipc, mount)" if namespaces else "missing (a bonus, not required)",
    }
    return {name: "left out" if name in left_out else text for name, text in found.items()}


def report() -> list[dict[str, Any]]:
    """Rows for `doctor`: layer, state (ok, missing, bonus), required, detail."""
    rows = []
    for name, text in layers().items():
        required = name in policy.REQUIRED
        state = "ok" if text.startswith("enforced") else "missing" if required else "bonus"
        rows.append({"layer": name, "state": state, "required": required, "detail": text})
    return rows
