"""Models by name: the embedded nano, the catalogue, and what the user imported. What `automlgpt models …` does."""

from __future__ import annotations

import hashlib
import json
import shutil
import tomllib
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from automlgpt_local import paths
from automlgpt_local.errors import ModelError
from automlgpt_local.llm.backend import Dialect
from automlgpt_local.llm.gguf_header import missing_bytes, read_header
from automlgpt_local.paths import typed_path

NANO = "nano"
_CHUNK_BYTES = 4 * 2**20

Progress = Callable[[int, int], None]  # bytes done, bytes in all


@dataclass(frozen=True)
class ModelEntry:
    """A model that is here: `path` is its file, or the first of its splits."""

    name: str
    path: Path
    dialect: Dialect
    sha256: str = ""
    bytes: int = 0
    licence: str = ""
    source: str = "path"  # embedded | imported | path
    details: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "path": str(self.path)}


def catalogue() -> dict[str, dict[str, Any]]:
    """The entries of catalog.toml by name: family, role, repository, file, licence, context, dialect."""
    file = paths.bundled_models_dir() / "catalog.toml"
    if not file.is_file():
        return {}
    models: dict[str, dict[str, Any]] = tomllib.loads(file.read_text(encoding="utf-8")).get("models", {})
    return models


def nano_path() -> Path:
    return paths.bundled_models_dir() / "nano.gguf"


def list_models() -> list[dict[str, Any]]:
    """Every model that can be named: {name, here, path, dialect, bytes, licence, role, …}, those here first."""
    rows = []
    if nano_path().is_file():
        rows.append({**resolve(NANO).to_json(), "here": True, "role": "both"})
    imported = _imported()
    for name, record in sorted(imported.items()):
        rows.append({**catalogue().get(name, {}), **record, "name": name, "source": "imported", "here": True})
    for name, row in catalogue().items():
        if name not in imported and name != NANO:
            rows.append({**row, "name": name, "source": "catalogue", "here": False})
    return rows


def show(name_or_path: str) -> dict[str, Any]:
    """Catalogue entry, file and header of one model. Raises ModelError."""
    known = catalogue().get(name_or_path, {})
    try:
        entry = resolve(name_or_path)
    except ModelError:
        if not known:
            raise
        return {**known, "name": name_or_path, "here": False}
    header = read_header(entry.path)
    keys = ("general.name", "general.architecture", "general.license", "general.size_label", "general.file_type")
    return {
        **known,
        **entry.to_json(),
        "here": True,
        "metadata": {key: header.metadata[key] for key in keys if key in header.metadata},
        "context_train": header.value("context_length"),
        "layers": header.value("block_count"),
        "chat_template": "tokenizer.chat_template" in header.metadata,
    }


def resolve(name_or_path: str) -> ModelEntry:
    """The model of that name, or the file at that path. Raises ModelError with what to do."""
    if name_or_path == NANO:
        file = nano_path()
        if not file.is_file():
            raise ModelError(
                "The embedded model nano.gguf is not in this installation.",
                "Run with `--model none`, give the path of a GGUF file, or train it: `automlgpt finetune nano`.",
            )
        return _entry(NANO, file, source="embedded", licence="Apache-2.0")
    record = _imported().get(name_or_path)
    if record is not None:
        file = Path(record["path"])
        if not file.is_file():
            raise ModelError(
                f"{file} of the model {name_or_path} is gone.", "Import it again: `automlgpt models import`."
            )
        return _entry(name_or_path, file, source="imported", sha256=record["sha256"], licence=record.get("licence", ""))
    file = typed_path(name_or_path)
    if file.is_dir():
        file = _first_of(file)
    if file.is_file():
        return _entry(file.stem, file.absolute(), source="path")
    if name_or_path in catalogue():
        row = catalogue()[name_or_path]
        raise ModelError(
            f"The model {name_or_path} is in the catalogue, but not on this machine.",
            f"Fetch {row.get('file', 'its GGUF')} of {row.get('repository', 'its repository')} "
            f"where there is a network, then: automlgpt models import FILE --name {name_or_path}",
        )
    raise ModelError(
        f"No model is called {name_or_path!r}, and there is no such file.",
        "`automlgpt models list` shows those that are here; `--model none` needs none.",
    )


def _entry(name: str, file: Path, *, source: str, sha256: str = "", licence: str = "") -> ModelEntry:
    header = read_header(file)
    dialect: Dialect = "compact" if header.dialect == "compact" else "full"
    size = sum(part.stat().st_size for part in splits(file))
    if not sha256 and size < 64 * 2**20:
        sha256 = hash_file(file)
    licence = licence or str(header.metadata.get("general.license", ""))
    return ModelEntry(name, file, dialect, sha256, size, licence, source, {"architecture": header.architecture})


# --- the user's models: one folder each, with a record model.json
def _imported() -> dict[str, dict[str, Any]]:
    records = {}
    for file in sorted(paths.models_dir().glob("*/model.json")):
        try:
            records[file.parent.name] = json.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    return records


def import_(source: Path, name: str = "", *, link: bool = False, progress: Progress | None = None) -> ModelEntry:
    """Copy a GGUF (or a folder of its splits) into the user's models and record its hash; `link` leaves it in place.

    Raises ModelError when it is no GGUF, or cut short, or when its hash contradicts the catalogue; OSError when it
    cannot be copied.
    """
    first = _first_of(source) if source.is_dir() else source
    header = read_header(first)
    name = name or next((key for key, row in catalogue().items() if row["file"] == first.name), _slug(first.stem))
    if name in (NANO, "none", "random") or "/" in name or name.startswith("."):
        raise ModelError(f"A model cannot be called {name!r}.", "Choose another name with --name.")
    parts = files_of(first)
    for part in splits(first):
        if missing := missing_bytes(read_header(part)):
            raise ModelError(f"{part.name} is cut short: {missing:,} bytes of it are missing.", "Copy it again.")
    folder = paths.models_dir() / name
    folder.mkdir(parents=True, exist_ok=True)
    total, done, hashes = sum(part.stat().st_size for part in parts), 0, {}
    for part in parts:
        target = part if link else folder / part.name
        hashes[part.name] = _copy(part, None if link else target, done, total, progress)
        done += part.stat().st_size
    wanted = catalogue().get(name, {}).get("sha256", "")
    if wanted and wanted != hashes[first.name]:
        if not link:
            shutil.rmtree(folder)
        raise ModelError(
            f"{first.name} is not the file that the catalogue calls {name}: its hash differs.", "Fetch it again."
        )
    licence = str(header.metadata.get("general.license", "") or catalogue().get(name, {}).get("licence", ""))
    path = first.absolute() if link else folder / first.name
    record = {
        "path": str(path), "sha256": hashes[first.name], "files": hashes, "bytes": total,
        "dialect": header.dialect, "licence": licence, "architecture": header.architecture,
    }  # fmt: skip
    temporary = folder / "model.json.part"
    temporary.write_text(json.dumps(record, indent=1), encoding="utf-8")
    temporary.replace(folder / "model.json")
    return resolve(name)


def verify(name_or_path: str, progress: Progress | None = None) -> dict[str, Any]:
    """{name, path, sha256, expected, ok}: `ok` is None when no hash was ever recorded. Raises ModelError."""
    entry = resolve(name_or_path)
    record = _imported().get(name_or_path, {})
    expected: dict[str, str] = record.get("files", {})
    if not expected and (known := catalogue().get(name_or_path, {}).get("sha256")):
        expected = {entry.path.name: known}
    done, hashes = 0, {}
    for part in files_of(entry.path):
        hashes[part.name] = _copy(part, None, done, entry.bytes, progress)
        done += part.stat().st_size
    ok = None if not expected else all(hashes.get(file) == value for file, value in expected.items())
    return {
        "name": entry.name,
        "path": str(entry.path),
        "sha256": hashes[entry.path.name],
        "expected": expected,
        "ok": ok,
    }


def export(name_or_path: str, folder: Path, progress: Progress | None = None) -> list[Path]:
    """Copy the model's files, with a SHA256SUMS beside them, into `folder`; it can be imported on another machine."""
    entry = resolve(name_or_path)
    folder.mkdir(parents=True, exist_ok=True)
    written, sums, done = [], [], 0
    for part in files_of(entry.path):
        target = folder / part.name
        sums.append(f"{_copy(part, target, done, entry.bytes, progress)}  {part.name}\n")
        written.append(target)
        done += part.stat().st_size
    (folder / "SHA256SUMS").write_text("".join(sums), encoding="ascii")
    return [*written, folder / "SHA256SUMS"]


def remove(name: str) -> Path:
    """Forget an imported model and delete our copy of it; a file that was only linked stays. Raises ModelError."""
    if name == NANO:
        raise ModelError("The embedded model is part of the installation.", "Only imported models can be removed.")
    if name not in _imported():
        raise ModelError(f"No imported model is called {name!r}.", "`automlgpt models list` shows them.")
    folder = paths.models_dir() / name
    shutil.rmtree(folder)
    return folder


# --- files
def template_beside(first: Path) -> Path:
    """A chat template of this name counts instead of the one within the file: `big.jinja` beside `big.gguf`."""
    return first.with_suffix(".jinja")


def files_of(first: Path) -> list[Path]:
    """All that belongs to a model: its parts, and the chat template beside them. Raises ModelError."""
    template = template_beside(first)
    return [*splits(first), template] if template.is_file() else splits(first)


def hash_file(file: Path) -> str:
    return _copy(file, None, 0, 0, None)


def _copy(source: Path, target: Path | None, done: int, total: int, progress: Progress | None) -> str:
    """sha256 of `source`, copied to `target` on the way."""
    digest = hashlib.sha256()
    temporary = target.with_name(target.name + ".part") if target else None
    with source.open("rb") as stream:
        out = temporary.open("wb") if temporary else None
        try:
            while chunk := stream.read(_CHUNK_BYTES):
                digest.update(chunk)
                if out:
                    out.write(chunk)
                done += len(chunk)
                if progress:
                    progress(done, total)
        except OSError:
            if temporary:
                temporary.unlink(missing_ok=True)
            raise
        finally:
            if out:
                out.close()
    if temporary and target:
        temporary.replace(target)
    return digest.hexdigest()


def splits(first: Path) -> list[Path]:
    """The file itself, or all of `name-00001-of-00003.gguf`. Raises ModelError when one is missing."""
    stem, mark, count = first.stem.rpartition("-of-")
    if not mark or not count.isdigit() or not stem[-6:].startswith("-") or not stem[-5:].isdigit():
        return [first]
    found = [first.with_name(f"{stem[:-5]}{number:05d}-of-{count}.gguf") for number in range(1, int(count) + 1)]
    missing = [part.name for part in found if not part.is_file()]
    if missing:
        raise ModelError(
            f"Parts of {first.name} are missing: {', '.join(missing[:3])}.", "Copy all parts into one folder."
        )
    return found


def _first_of(folder: Path) -> Path:
    files = sorted(folder.glob("*.gguf"))
    firsts = [file for file in files if "-of-" not in file.stem or "-00001-of-" in file.stem]
    if len(firsts) != 1:
        raise ModelError(
            f"{folder} holds {len(firsts)} models, one is wanted.", "Give the path of the .gguf file itself."
        )
    return firsts[0]


def _slug(stem: str) -> str:
    stem = stem.split("-00001-of-")[0]
    return "".join(letter if letter.isalnum() or letter in "._-" else "-" for letter in stem).strip(".-").lower()
