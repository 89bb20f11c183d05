"""A bundle: all that a machine without a network needs, as one folder of wheels, model files and their hashes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path

from automlgpt_local import __version__
from automlgpt_local.client import bundle_install
from automlgpt_local.client.bundle_install import FACTS, SUMS
from automlgpt_local.errors import NotReadyError, UsageError

NAME = "automlgpt-local"
_PORTABLE = {"CMAKE_ARGS": "-DGGML_NATIVE=OFF"}  # of llama.cpp's kernels: any x86 processor with AVX2
_README = """\
AutoML-GPT Local {version}, for {python} on {platform}

    python3 install.py            installs into ./automlgpt-venv; another folder: python3 install.py FOLDER
    sha256sum -c SHA256SUMS       checks the files; install.py does it too
"""


def create(
    folder: Path, *, models: Sequence[str], extras: Sequence[str], source: Path | None, native: bool,
    tell: Callable[[str], None],
) -> int:  # fmt: skip
    """Fill `folder` (absent or empty); the bytes in it. The only step that may use a network: pip's own.

    `source`: a checkout or a wheel of this package; None: the checkout that runs. `native`: llama.cpp as it was built
    for this processor. Raises UsageError, ModelError, NotReadyError.
    """
    from automlgpt_local.llm import catalog

    entries = [entry for entry in map(catalog.resolve, models) if entry.source != "embedded"]  # that is in the wheel
    source = source or _checkout()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{folder} is not empty.", "Name a folder that is not there yet.")
    (folder / "wheels").mkdir(parents=True)
    tell("collecting wheels; compiling llama.cpp takes some minutes")
    wanted = f"[{','.join(extras)}]" if extras else ""
    _collect_wheels(folder / "wheels", f"{source}{wanted}", native=native)
    for entry in entries:
        tell(f"copying the model {entry.name}")
        target = folder / "models" / entry.name
        catalog.export(str(entry.path), target)
        (target / "SHA256SUMS").unlink()  # the bundle's own says the same
    facts = {
        "version": __version__, "machine": bundle_install.machine(), "requirements": [f"{NAME}{wanted}"],
        "models": [entry.name for entry in entries],
    }  # fmt: skip
    (folder / FACTS).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    (folder / "README.txt").write_text(_README.format(version=__version__, **bundle_install.machine()))
    (folder / "install.py").write_bytes(Path(bundle_install.__file__).read_bytes())
    tell("hashing")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    sums = [f"{bundle_install.hash_file(path)}  {path.relative_to(folder).as_posix()}\n" for path in files]
    (folder / SUMS).write_text("".join(sums), encoding="utf-8")
    return sum(path.stat().st_size for path in files)


def verify(folder: Path) -> None:
    """Raises NotReadyError with the files that are not as they were packed."""
    try:
        found = bundle_install.problems(folder)
    except bundle_install.InstallError as error:
        raise UsageError(f"{error}.", "Name the folder that `automlgpt bundle create` has written.") from error
    if found:
        raise NotReadyError(f"{len(found)} files are not as they were packed: {'; '.join(found[:10])}.", "Copy again.")


def install(folder: Path, venv: Path) -> Path:
    """The installed program. Raises NotReadyError."""
    try:
        return bundle_install.install(folder.absolute(), venv.absolute())
    except bundle_install.InstallError as error:
        raise NotReadyError(f"{error}.", "Without an installation: python3 install.py within the bundle.") from error


def _checkout() -> Path:
    root = Path(__file__).resolve().parent.parent.parent
    if not (root / "pyproject.toml").is_file():
        raise UsageError("This is an installation without its source.", "Name a checkout or a wheel with --source.")
    return root


def _collect_wheels(target: Path, requirement: str, *, native: bool) -> None:
    """The package and all that it needs, in the versions that are installed here, as wheels."""
    installed = {one.metadata["Name"]: one.version for one in metadata.distributions()}
    pins = [f"{name}=={version}\n" for name, version in sorted(installed.items()) if name != NAME]
    with tempfile.TemporaryDirectory() as temporary:
        constraints = Path(temporary) / "constraints.txt"
        constraints.write_text("".join(pins), encoding="utf-8")
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(target), "-c", str(constraints)]
        if not native:
            command += ["--no-cache-dir", "--no-binary", "llama-cpp-python"]
        done = subprocess.run(
            [*command, requirement],
            env={**os.environ, **({} if native else _PORTABLE)},
            stderr=subprocess.PIPE,
            text=True,
        )
    if done.returncode != 0:
        last = "\n".join(done.stderr.strip().splitlines()[-5:])
        raise NotReadyError(f"pip could not collect the wheels: {last}", "It needs a network, or an index at hand.")
