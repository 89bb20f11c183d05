"""An adapter of the embedded nano: stopped by held-out rows, killed and gone on with, never mixed with others."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

import yaml

from automlgpt_local.paths import bundled_models_dir
from finetune import teachers
from finetune.__main__ import main
from finetune.adapt import SMALL, train_adapter
from finetune.cases import from_table
from finetune.model import Training
from finetune.rows import write_rows
from finetune.tables import generate

NANO = bundled_models_dir() / "nano.gguf"
pytestmark = pytest.mark.skipif(not NANO.exists(), reason="the nano was not built")
SETTINGS = Training(seconds=1e9, steps=8, evaluate_every=2, **{**SMALL, "tokens_per_batch": 500})


@pytest.fixture(scope="module")
def rows():
    found = []
    for seed in range(4):
        case = from_table(generate("plain", seed, n_rows=100))
        found += teachers.treatment_rows(case, random.Random(0), case.true_treatments(), "truth")
    return [replace(r, held_out=r.group == "plain-3-100") for r in found]


def test_killed_and_gone_on_with_it_is_the_same_adapter(rows, tmp_path):
    whole = train_adapter(NANO, rows, tmp_path / "a", tmp_path / "a.gguf", SETTINGS)
    half = replace(SETTINGS, stop_at=3)
    assert train_adapter(NANO, rows, tmp_path / "b", tmp_path / "b.gguf", half) == {"to_be_continued": True}
    with (tmp_path / "b" / "log.jsonl").open("a") as log:  # what a killed run leaves behind its checkpoint
        log.write(json.dumps({"step": 4, "loss": 9.0}) + '\n{"step": 5, "lo')
    with pytest.raises(ValueError, match="other settings"):
        train_adapter(NANO, rows[1:], tmp_path / "b", tmp_path / "b.gguf", SETTINGS)
    again = train_adapter(NANO, rows, tmp_path / "b", tmp_path / "b.gguf", SETTINGS)
    assert {**again, "out": ""} == {**whole, "out": ""}
    assert (tmp_path / "a.gguf").read_bytes()[-10_000:] == (tmp_path / "b.gguf").read_bytes()[-10_000:]
    assert "9.0" not in (tmp_path / "b" / "log.jsonl").read_text()
    facts = yaml.safe_load((tmp_path / "b" / "effective.yaml").read_text())
    assert facts["facts"]["examples"]["held_out"] > 0 and str(NANO) in facts["facts"]["sha256"]
    assert whole["steps"] == 8 and (tmp_path / "a" / "loss.png").stat().st_size > 1000


def test_it_stops_where_held_out_rows_gain_nothing(rows, tmp_path):
    settings = replace(SETTINGS, rate=0.5, steps=60, evaluate_every=1, patience=2)  # far too fast: it gets worse
    found = train_adapter(NANO, rows, tmp_path / "c", tmp_path / "c.gguf", settings)
    assert found["steps"] < 60
    lines = [json.loads(line) for line in (tmp_path / "c" / "log.jsonl").read_text().splitlines()]
    assert found["held_out"] == min(line["held_out"] for line in lines)


def test_what_cannot_be_trained_on_is_said(rows, tmp_path, capsys, monkeypatch):
    import gguf

    path = tmp_path / "rows.jsonl"
    command = ["train", str(path), "--base", str(NANO), "--work", str(tmp_path), "--out", str(tmp_path / "a.gguf")]
    path.write_text(json.dumps({"group": "g", "messages": []}) + "\n")
    assert main(command) == 2 and f"{path}, line 1" in capsys.readouterr().err
    write_rows(path, [replace(r, held_out=True) for r in rows])
    assert main(command) == 2 and "all are held out" in capsys.readouterr().err

    class Mergeless(gguf.GGUFReader):
        def __init__(self, *args):
            super().__init__(*args)
            del self.fields["tokenizer.ggml.merges"]

    monkeypatch.setattr(gguf, "GGUFReader", Mergeless)
    assert main(command) == 2 and "lacks tokenizer.ggml.merges" in capsys.readouterr().err


def test_rows_are_shown_instead_of_trained_on(rows, tmp_path, capsys):
    path, config = tmp_path / "rows.jsonl", tmp_path / "nano.yaml"
    write_rows(path, rows)
    config.write_text(f"base: {NANO}\nrows: {path}\nout: {tmp_path / 'out'}\n")
    for source in (["--config", str(config)], [str(path)]):
        assert main(["train", *source, "--preview", "2"]) == 0
        assert "h-=[[keep]]\n" in capsys.readouterr().err
    assert main(["train", str(path), "--steps", "0"]) == 2 and "--steps" in capsys.readouterr().err
    assert {p.name for p in tmp_path.iterdir()} == {"rows.jsonl", "nano.yaml"}


def test_presets_are_recipes():
    from finetune.chat import Recipe

    configs = sorted(Path(teachers.__file__).parent.glob("configs/*.yaml"))
    assert {c.stem for c in configs} >= {"nano", "qwen3-4b", "qwen2.5-coder-7b", "llama-3.2-1b"}
    assert all(Recipe.load(c).base.startswith("models/") for c in configs)
    # A solution is asked for with a whole recipe as its example, in some 4,000 tokens.
    assert all(Recipe.load(c).max_length >= 8192 for c in configs if c.stem != "nano")
