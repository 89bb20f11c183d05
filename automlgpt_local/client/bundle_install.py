"""Installs a bundle on a machine without a network: `python3 install.py [VENV]` within the bundle's folder.

This file is copied into each bundle as install.py, so it needs the standard library alone.
"""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

SUMS = "SHA256SUMS"
FACTS = "bundle.json"


class InstallError(Exception):
    """In words for the one who installs."""


def hash_file(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(4 * 2**20):
            digest.update(chunk)
    return digest.hexdigest()


def machine() -> dict[str, str]:
    """What the wheels of a bundle are made for."""
    version = f"{sys.version_info[0]}.{sys.version_info[1]}"
    return {"python": version, "platform": f"{sys.platform} {platform.machine()}"}


def problems(bundle: Path) -> list[str]:
    """What is not as it was packed, a line each; empty for a sound bundle. Raises InstallError for what is none."""
    try:
        lines = (bundle / SUMS).read_text(encoding="utf-8").splitlines()
        recorded = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    except (OSError, UnicodeDecodeError) as error:
        raise InstallError(f"{bundle} is no bundle: {SUMS} cannot be read ({error})") from error
    here = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()} - {SUMS}
    found = [f"missing: {name}" for name in sorted(set(recorded) - here)]
    found += [f"not of this bundle: {name}" for name in sorted(here - set(recorded))]
    return found + [
        f"changed: {name}" for name in sorted(here & set(recorded)) if hash_file(bundle / name) != recorded[name]
    ]


def install(bundle: Path, venv: Path) -> Path:
    """The installed program, in a virtual environment that is made if it is not there. Raises InstallError."""
    if found := problems(bundle):
        raise InstallError("the bundle is not as it was packed:\n" + "\n".join(found[:20]))
    facts: dict[str, Any] = json.loads((bundle / FACTS).read_text(encoding="utf-8"))
    if facts["machine"] != machine():
        raise InstallError(f"the bundle is for {_words(facts['machine'])}, this is {_words(machine())}")
    folder = venv / ("Scripts" if sys.platform == "win32" else "bin")
    if not venv.exists():
        _run([sys.executable, "-m", "venv", str(venv)])
    wheels = ["--no-index", "--find-links", str(bundle / "wheels")]
    _run([str(folder / "python"), "-m", "pip", "install", "--quiet", *wheels, *facts["requirements"]])
    program = folder / "automlgpt"
    for name in facts["models"]:
        _run([str(program), "models", "import", str(bundle / "models" / name), "--name", name])
    return program


def _words(one: dict[str, str]) -> str:
    return f"Python {one['python']} on {one['platform']}"


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise InstallError(f"this did not work: {' '.join(command)} ({error})") from error


def main() -> None:
    venv = Path(sys.argv[1] if len(sys.argv) > 1 else "automlgpt-venv").absolute()
    try:
        program = install(Path(__file__).resolve().parent, venv)
    except InstallError as error:
        sys.exit(f"Error: {error}")
    print(f"installed: {program}")


if __name__ == "__main__":
    main()
