"""Fetch real chat templates and vocabularies for `tests/conformance` into a cache; nothing of it is committed.

They come from the source distribution of llama-cpp-python, which vendors llama.cpp's own test data:

    python scripts/fetch_llm_fixtures.py            # once, where there is a network; `make install-dev` does it
    pytest tests/conformance                        # picks up what the cache has, and passes without it
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
from importlib.metadata import version
from pathlib import Path, PurePosixPath

KEPT = (".jinja", ".gguf", ".gguf.inp", ".gguf.out")


def cache_dir() -> Path:
    """`AUTOMLGPT_CONFORMANCE_DIR`, or a folder of the user's cache."""
    moved = os.environ.get("AUTOMLGPT_CONFORMANCE_DIR")
    return Path(moved) if moved else Path.home() / ".cache" / "automlgpt-local" / "conformance"


def extract(archive: Path, target: Path) -> int:
    """Copy templates and vocabularies out of the archive, flat; the number of files."""
    target.mkdir(parents=True, exist_ok=True)
    count = 0
    with tarfile.open(archive) as files:
        for member in files:
            path = PurePosixPath(member.name)
            wanted = path.match("*/llama.cpp/models/templates/*.jinja") or path.match("*/llama.cpp/models/ggml-vocab-*")
            if member.isfile() and wanted and path.name.endswith(KEPT):
                source = files.extractfile(member)
                assert source is not None
                (target / path.name).write_bytes(source.read())
                count += 1
    return count


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--archive", type=Path, help="a source distribution that is here already")
    options = parser.parse_args()
    wanted = f"llama-cpp-python=={version('llama-cpp-python')}"
    mark = cache_dir() / "version.txt"
    if options.archive is None and mark.is_file() and mark.read_text() == wanted:
        return
    with tempfile.TemporaryDirectory() as folder:
        archive = options.archive
        if archive is None:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", folder]
            command += ["--no-binary", "llama-cpp-python", wanted]
            subprocess.run(command, check=True)
            (archive,) = Path(folder).glob("*.tar.gz")
        count = extract(archive, cache_dir())
    mark.write_text(wanted)
    print(f"{count} files in {cache_dir()}")


if __name__ == "__main__":
    main()
