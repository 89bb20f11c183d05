"""Bundles: packed, carried, checked and installed without an index. The package in them is a stand-in of one file."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from llm_fixtures import write_model

from automlgpt_local.client import bundle, bundle_install
from automlgpt_local.errors import ModelError, NotReadyError, UsageError

PROGRAM = "import sys, pathlib\ndef main(): pathlib.Path(sys.prefix, 'called').write_text(repr(sys.argv[1:]))\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of this package's name that needs nothing and writes down how it was called."""
    path = tmp_path_factory.mktemp("wheel") / "automlgpt_local-9.0-py3-none-any.whl"
    info = "automlgpt_local-9.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("automlgpt_stand_in.py", PROGRAM)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: automlgpt-local\nVersion: 9.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/entry_points.txt", "[console_scripts]\nautomlgpt = automlgpt_stand_in:main\n")
        archive.writestr(f"{info}/RECORD", "")
    return path


@pytest.fixture(scope="module")
def packed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = write_model(tmp_path_factory.mktemp("model") / "tiny.gguf")
    model.with_suffix(".jinja").write_text("{{ messages }}")
    folder = tmp_path_factory.mktemp("media") / "bundle"
    told: list[str] = []
    size = bundle.create(folder, models=["nano", str(model)], extras=[], source=wheel, native=True, tell=told.append)
    assert size > model.stat().st_size and "copying the model tiny" in told
    return folder


def test_a_bundle_holds_wheels_models_and_their_hashes(packed: Path) -> None:
    files = {path.relative_to(packed).as_posix() for path in packed.rglob("*") if path.is_file()}
    assert files == {
        "wheels/automlgpt_local-9.0-py3-none-any.whl", "models/tiny/tiny.gguf", "models/tiny/tiny.jinja",
        "README.txt", "install.py", "bundle.json", "SHA256SUMS",
    }  # fmt: skip
    bundle.verify(packed)
    checked = subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=packed, capture_output=True)
    assert checked.returncode == 0


def test_what_was_changed_lost_or_added_is_found(packed: Path) -> None:
    model, extra = packed / "models/tiny/tiny.gguf", packed / "wheels/other.whl"
    whole = model.read_bytes()
    try:
        model.write_bytes(whole[:-1] + b"x")
        extra.write_bytes(b"")
        with pytest.raises(NotReadyError, match=r"changed: models/tiny/tiny\.gguf") as error:
            bundle.verify(packed)
        assert "not of this bundle: wheels/other.whl" in error.value.message
        model.unlink()
        with pytest.raises(NotReadyError, match="missing: models/tiny"):
            bundle.install(packed, packed / "venv")
    finally:
        model.write_bytes(whole)
        extra.unlink()
    bundle.verify(packed)


def test_a_bundle_installs_itself_without_an_index(packed: Path, tmp_path: Path) -> None:
    """By the copy of install.py in it, with a Python that knows nothing of this package."""
    venv = tmp_path / "venv"
    command = [sys.executable, "-I", str(packed / "install.py"), str(venv)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env={"PIP_NO_INDEX": "1"})
    assert done.returncode == 0, done.stderr
    assert f"installed: {venv}" in done.stdout
    called = (venv / "called").read_text()
    assert called == repr(["models", "import", str(packed / "models" / "tiny"), "--name", "tiny"])


def test_another_python_or_processor_is_refused(packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_install, "machine", lambda: {"python": "3.99", "platform": "linux riscv64"})
    with pytest.raises(NotReadyError, match=r"this is Python 3\.99 on linux riscv64"):
        bundle.install(packed, tmp_path / "venv")
    assert not (tmp_path / "venv").exists()


def test_mistakes_are_told_before_anything_is_written(packed: Path, wheel: Path, tmp_path: Path) -> None:
    def create(folder: Path, models: list[str]) -> None:
        bundle.create(folder, models=models, extras=[], source=wheel, native=True, tell=lambda line: None)

    with pytest.raises(UsageError, match="not empty"):
        create(packed, [])
    with pytest.raises(ModelError, match="No model is called 'nope'"):
        create(tmp_path / "new", ["nope"])
    assert not (tmp_path / "new").exists()
    with pytest.raises(UsageError, match="is no bundle"):
        bundle.verify(tmp_path)
    assert json.loads((packed / "bundle.json").read_text())["models"] == ["tiny"]
