"""Importing, verifying, exporting and removing models; a broken copy is found."""

from __future__ import annotations

from pathlib import Path

import pytest
from llm_fixtures import write_model

from automlgpt_local.errors import ModelError
from automlgpt_local.llm import catalog
from automlgpt_local.llm.backend import Choice
from automlgpt_local.llm.gguf_header import read_header
from automlgpt_local.llm.local import LocalBackend
from automlgpt_local.llm.memory import forecast


@pytest.fixture(autouse=True)
def models_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AUTOMLGPT_MODELS_DIR", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return write_model(tmp_path / "Tiny One.gguf", dialect=None)


def test_import_verify_export_remove(file: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    entry = catalog.import_(file, progress=lambda done, total: told.append((done, total)))
    assert entry.name == "tiny-one" and entry.source == "imported" and entry.dialect == "full"
    assert told[-1] == (file.stat().st_size, file.stat().st_size)
    assert catalog.resolve("tiny-one").sha256 == catalog.hash_file(file)
    assert [row["name"] for row in catalog.list_models() if row["source"] == "imported"] == ["tiny-one"]
    assert catalog.show("tiny-one")["layers"] == 2
    assert catalog.verify("tiny-one")["ok"] is True
    written = catalog.export("tiny-one", tmp_path / "out")
    assert {path.name for path in written} == {"Tiny One.gguf", "SHA256SUMS"}
    folder = catalog.remove("tiny-one")
    assert not folder.exists() and file.exists()
    with pytest.raises(ModelError):
        catalog.remove("tiny-one")


def test_a_changed_file_is_found(file: Path) -> None:
    entry = catalog.import_(file, "mine")
    data = bytearray(entry.path.read_bytes())
    data[-1] ^= 1
    entry.path.write_bytes(data)
    assert catalog.verify("mine")["ok"] is False
    entry.path.unlink()
    with pytest.raises(ModelError, match="gone"):
        catalog.resolve("mine")


def test_a_linked_file_stays_where_it_is(file: Path) -> None:
    entry = catalog.import_(file, "linked", link=True)
    assert entry.path == file
    catalog.remove("linked")
    assert file.exists()


def test_names_that_are_taken_or_unsafe_are_refused(file: Path) -> None:
    for name in ("nano", "none", "random", "../x", ".hidden"):
        with pytest.raises(ModelError, match="cannot be called"):
            catalog.import_(file, name)


def test_parts_of_a_split_file_belong_together(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    first = write_model(tmp_path / "parts" / "big.gguf", part_tensors=12)
    second = first.with_name("big-00002-of-00002.gguf")
    size = first.stat().st_size + second.stat().st_size
    second.rename(tmp_path / "away")
    with pytest.raises(ModelError, match="missing: big-00002"):
        catalog.import_(first.parent)
    (tmp_path / "away").rename(second)
    entry = catalog.import_(first.parent)
    assert entry.name == "big" and entry.bytes == size
    assert {path.name for path in entry.path.parent.glob("*.gguf")} == {first.name, second.name}
    with LocalBackend(entry.path) as backend:  # behind its walls, which let it read all parts
        assert backend.fill("coder", ["the"], ["x", Choice("x", ("log", "none"))]).values["x"] in ("log", "none")
    assert forecast(entry.path, 2048).exact


def test_a_file_that_was_cut_short_is_not_taken(file: Path, models_dir: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(ModelError, match="cut short: 1,000 bytes"):
        catalog.import_(file)
    assert not models_dir.exists()


def test_a_copy_that_fails_leaves_nothing_half_done(file: Path, models_dir: Path) -> None:
    (models_dir / "mine" / f"{file.name}.part").mkdir(parents=True)
    with pytest.raises(OSError):
        catalog.import_(file, "mine")
    assert catalog.list_models() and not any(row["name"] == "mine" for row in catalog.list_models())


def test_a_file_of_the_catalogue_gets_its_name_there(tmp_path: Path) -> None:
    assert catalog.import_(write_model(tmp_path / "phi-4-q4.gguf")).name == "phi-4"


def test_a_chat_template_belongs_to_its_model(file: Path, tmp_path: Path) -> None:
    file.with_suffix(".jinja").write_text("{{ messages }}")
    entry = catalog.import_(file, "mine")
    assert catalog.template_beside(entry.path).read_text() == "{{ messages }}"
    assert {path.name for path in catalog.export("mine", tmp_path / "out")} == {
        "Tiny One.gguf", "Tiny One.jinja", "SHA256SUMS",
    }  # fmt: skip
    catalog.template_beside(entry.path).write_text("{{ other }}")
    assert catalog.verify("mine")["ok"] is False


def test_what_is_not_here_says_what_to_do() -> None:
    with pytest.raises(ModelError) as known:
        catalog.resolve("gpt-oss-20b")
    assert "models import" in known.value.hint
    assert catalog.show("gpt-oss-20b")["here"] is False
    with pytest.raises(ModelError, match="No model is called"):
        catalog.resolve("no-such-thing")


def test_entries_of_the_catalogue_are_complete() -> None:
    for name, row in catalog.catalogue().items():
        assert {"family", "role", "repository", "file", "licence", "context", "dialect", "memory_gib"} <= set(row), name
        assert row["file"].endswith(".gguf") and row["dialect"] in ("full", "compact")


def test_the_catalogue_has_each_family() -> None:
    families = {row["family"] for row in catalog.catalogue().values()}
    assert families >= {
        "Qwen2.5", "Qwen2.5-Coder", "Qwen3", "Qwen3-Coder", "Llama 3", "Mistral", "Devstral", "Gemma", "Phi", "GLM",
        "gpt-oss",
    }  # fmt: skip


def test_headers_are_read_without_loading(file: Path) -> None:
    header = read_header(file)
    assert header.value("context_length") == 2048
    assert {tensor.name for tensor in header.tensors} >= {"token_embd.weight", "output_norm.weight"}
    assert 0 < header.data_start < header.bytes == file.stat().st_size
