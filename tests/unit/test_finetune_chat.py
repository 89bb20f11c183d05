"""LoRA on a chat model at a tiny size: loss on the answer alone, packing without contact, resume, GGUF adapter."""

import importlib.util
import json
import random
import shutil
from dataclasses import replace
from pathlib import Path

import gguf
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("peft")

from finetune import chat, precision, records  # noqa: E402
from finetune.__main__ import main  # noqa: E402
from finetune.lora import write_peft_adapter  # noqa: E402
from tests.unit.test_finetune_export import QWEN2, hub_folder  # noqa: E402

TEMPLATE = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    folder = hub_folder(tmp_path_factory.mktemp("hub") / "model", "qwen2", QWEN2, hidden_size=64, intermediate_size=128)
    config = {
        "eos_token": "<|end|>",
        "pad_token": "<|end|>",
        "chat_template": TEMPLATE,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def recipe(base, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(
        json.dumps({"group": f"g{i % 10}", "messages": [{"role": "user", "content": f"import {i % 3}"},
                                                       {"role": "assistant", "content": f"return {i % 3}"}]}) + "\n"
        for i in range(40)))  # fmt: skip
    return chat.Recipe(
        str(base), str(rows), str(tmp_path / "out"), rank=4, alpha=8.0, max_length=64, accumulate=2, rate=5e-3,
        epochs=3, held_out=0.3, evaluate_every=3, gradient_checkpointing=False, bf16=False, threads=1,
    )  # fmt: skip


def tokenizer_of(recipe):
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(recipe.base)


def test_the_loss_counts_the_answer_alone(recipe):
    tokenizer = tokenizer_of(recipe)
    messages = [{"role": "user", "content": "a b"}, {"role": "assistant", "content": "c d"}]
    example = chat.render(tokenizer, messages, "g", 64)
    assert tokenizer.decode(example.ids[example.loss_from :]) == "c d<|end|>"
    assert tokenizer.decode(example.ids[: example.loss_from]).endswith("<assistant>")
    assert chat.render(tokenizer, messages, "g", len(example.ids)) == example
    assert chat.render(tokenizer, messages, "g", len(example.ids) - 1) is None


def test_what_is_too_long_is_left_out_and_counted(recipe, capsys):
    long = {"group": "g", "messages": [{"role": "user", "content": "x " * 99}, {"role": "assistant", "content": "y"}]}
    short = {**long, "messages": long["messages"][1:] * 2, "decision": "repair"}
    told = [{**long, "decision": "repair"}, short, long]
    with Path(recipe.rows).open("a") as rows:
        rows.write("".join(json.dumps(row) + "\n" for row in told))
    learn, held = chat.read_examples(Path(recipe.rows), tokenizer_of(recipe), recipe)
    assert len(learn) + len(held) == 41
    assert "longer than 64 tokens and left out: 1 of 2 repair rows, 1 of 41 conversation" in capsys.readouterr().err


def test_a_decision_none_of_whose_rows_fits_is_an_error(recipe):
    turns = [{"role": "user", "content": "x " * 99}, {"role": "assistant", "content": "y"}]
    with Path(recipe.rows).open("a") as rows:
        rows.write(json.dumps({"group": "g", "decision": "solution", "messages": turns}) + "\n")
    with pytest.raises(ValueError, match="no solution row fits into 64 tokens: raise max_length"):
        chat.read_examples(Path(recipe.rows), tokenizer_of(recipe), recipe)


def test_a_template_without_a_system_turn_gets_it_with_the_question(recipe):
    tokenizer = tokenizer_of(recipe)
    refusal = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    tokenizer.chat_template = refusal + TEMPLATE
    turns = [{"role": role, "content": role[0]} for role in ("system", "user", "assistant")]
    assert tokenizer.decode(chat.render(tokenizer, turns, "g", 64).ids) == "<user>s\n\nu<|end|><assistant>a<|end|>"
    tokenizer.chat_template = "{{ raise_exception('not at all') }}"
    with pytest.raises(ValueError, match="not at all"):
        chat.render(tokenizer, turns, "g", 64)


def test_the_base_is_a_folder_and_what_cannot_be_exported_is_said(recipe, tmp_path, capsys):
    with pytest.raises(ValueError, match="models/absent is no folder of a Hugging Face model"):
        chat.train(replace(recipe, base="models/absent"))
    other = shutil.copytree(recipe.base, tmp_path / "other")
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps({**config, "model_type": "mistral"}))
    chat.load_tokenizer(replace(recipe, base=str(other)))
    assert "mistral is none of llama, qwen2, qwen3" in capsys.readouterr().err


def test_a_line_separator_of_unicode_is_part_of_a_row(recipe):
    row = {"messages": [{"role": "user", "content": "a\u2028b\u2029c\x85d"}, {"role": "assistant", "content": "e"}]}
    Path(recipe.rows).write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    train, _held = chat.read_examples(Path(recipe.rows), tokenizer_of(recipe), recipe)
    assert len(train) == 1


def test_data_sets_are_held_out_whole(recipe):
    train, held = chat.read_examples(Path(recipe.rows), tokenizer_of(recipe), recipe)
    assert train and held and not {e.group for e in train} & {e.group for e in held}


def test_the_only_data_set_is_trained_on(recipe, capsys):
    row = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    for i in range(20):
        Path(recipe.rows).write_text(json.dumps({"group": f"g{i}", **row}) + "\n")
        train, held = chat.read_examples(Path(recipe.rows), tokenizer_of(recipe), recipe)
        assert train and not held and "no data set is held out" in capsys.readouterr().err
    Path(recipe.rows).write_text(json.dumps({"held_out": True, **row}) + "\n")
    with pytest.raises(ValueError, match="all examples are held out"):
        chat.train(recipe)


@pytest.mark.parametrize("row", ['{"decision": "treat", "transcript": []}', '{"conversations": []}', "[]", "no JSON"])
def test_other_rows_are_refused(recipe, row):
    Path(recipe.rows).write_text(row + "\n")
    with pytest.raises(ValueError, match=r"rows\.jsonl: no rows of `finetune data --format messages`"):
        chat.read_examples(Path(recipe.rows), tokenizer_of(recipe), recipe)


def test_packed_examples_do_not_see_each_other(recipe):
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(recipe.base).eval()
    one, two = chat.Example(tuple(range(10, 25)), 5, "a"), chat.Example(tuple(range(40, 60)), 5, "b")
    packed = chat.collate([[one, two]], 0, torch.float32)
    alone = chat.collate([[two]], 0, torch.float32)
    with torch.no_grad():
        together = model(**{k: v for k, v in packed.items() if k != "labels"}).logits[0, 15:]
        apart = model(**{k: v for k, v in alone.items() if k != "labels"}).logits[0]
    torch.testing.assert_close(together, apart, rtol=1e-4, atol=1e-5)


def test_packing_loses_nothing():
    rng = random.Random(0)
    examples = [chat.Example(tuple(range(rng.randint(3, 30))), 1, "g") for _ in range(50)]
    groups = chat.pack(examples, 64, rng)
    assert sorted(len(e.ids) for g in groups for e in g) == sorted(len(e.ids) for e in examples)
    assert all(sum(len(e.ids) for e in g) <= 64 for g in groups)


def test_a_long_answer_counts_by_its_tokens_however_a_step_is_parted(recipe, tmp_path):
    turns = [[{"role": "user", "content": "a"}, {"role": "assistant", "content": "b " * n}] for n in (1, 20)]
    Path(recipe.rows).write_text("".join(json.dumps({"messages": m}) + "\n" for m in turns))
    losses = []
    for batch, accumulate in ((1, 2), (2, 1)):
        one = replace(recipe, batch=batch, accumulate=accumulate, steps=1, held_out=0.0, max_length=40)
        losses.append(chat.train(replace(one, out=str(tmp_path / str(batch))))["loss"])
    assert losses[0] == pytest.approx(losses[1], abs=1e-5)


def test_bf16_is_not_imitated(recipe, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: including_emulation)
    assert not precision.computes_bf16.__wrapped__("cuda")
    monkeypatch.setattr(chat, "computes_bf16", lambda _device: False)
    assert chat.product_dtype(replace(recipe, bf16=True), "cuda") == torch.float32


def test_a_full_disk_leaves_the_checkpoint_before(tmp_path, monkeypatch):
    records.save_state(tmp_path, {"state": 1})

    def full(_content, part):
        part.write_bytes(b"half")
        raise RuntimeError("unexpected pos 1024 vs 918")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="is the disk full"):
        records.save_state(tmp_path, {"state": 2})
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]
    assert torch.load(tmp_path / "state.pt", weights_only=True) == {"state": 1}


def test_training_learns_resumes_and_exports(recipe, tmp_path, capsys):
    whole = chat.train(recipe)
    parts = replace(recipe, out=str(tmp_path / "parts"))
    assert chat.train(parts, stop_at=4)["steps"] == 4
    again = chat.train(parts)
    assert again["steps"] == whole["steps"] and again["loss"] == pytest.approx(whole["loss"], abs=1e-6)
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    held = [x["held_out"] for x in log if "held_out" in x]
    assert held[-1] < held[0] and log[-1]["loss"] < log[0]["loss"] - 0.02
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"adapter", "effective.yaml", "loss.png", "log.jsonl"}
    (tmp_path / "gguf").mkdir()
    out, adapter = tmp_path / "gguf" / "lora.gguf", tmp_path / "out" / "adapter"
    command = ["export", recipe.base, "--adapter", str(adapter), "--out", str(out), "--licence", "mit", "--json"]
    assert main([*command, "--kind", "Q8_0"]) == 2 and "always written in F32" in capsys.readouterr().err
    assert main(command) == 0 and json.loads(capsys.readouterr().out)["max_logit_diff"] < 1e-2
    assert gguf.GGUFReader(out).fields["general.license"].contents() == "mit"
    assert list(out.parent.iterdir()) == [out]


@pytest.mark.parametrize(("text", "problem"), [
    ("base: x\nrows: y\nout: z\nlearning: 1", "learning"),
    ("base: x\nrows: y\nout: z\nrate: 2e-4", r"rate must be a number, as 2\.0e-4, not '2e-4'"),
    ("base: x\nrows: y\nout: z\nrank: true", "rank must be a whole number"),
    ("base: x\nrows: y\nout: z\ntargets: q_proj", "targets must be a list"),
    ("base: x\nrows: y\nout: z\npatience: 0", "patience must be more than 0, not 0"),
    ("base: x\nrows: y\nout: z\nsteps: -1", "steps must be 0 or more, not -1"),
    ("rows: y", "does not say base, out"), ("base: [x", "is no YAML"), ("just words", "is no recipe"),
])  # fmt: skip
def test_a_recipe_that_makes_no_sense_is_refused(tmp_path, capsys, text, problem):
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=problem):
        chat.Recipe.load(path)
    assert main(["train", "--config", str(path)]) == 2


def test_four_bits_need_a_library_that_is_named(recipe, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ValueError, match="pip install bitsandbytes"):
        chat.load_model(replace(recipe, four_bits=True))


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed")
def test_four_bits_learn_and_resume(recipe, tmp_path):
    recipe = replace(recipe, four_bits=True, gradient_checkpointing=True, bf16=True)
    whole = chat.train(recipe)
    parts = replace(recipe, out=str(tmp_path / "parts"))
    chat.train(parts, stop_at=4)
    again = chat.train(parts)  # in evaluations the library packs the base anew, for good, which costs some digits
    assert again["steps"] == whole["steps"] and again["loss"] == pytest.approx(whole["loss"], abs=2e-3)
    log = [json.loads(line) for line in (tmp_path / "out" / "log.jsonl").read_text().splitlines()]
    assert log[-1]["loss"] < log[0]["loss"] - 0.02
    found = write_peft_adapter(tmp_path / "out" / "adapter", Path(recipe.base), tmp_path / "lora.gguf")
    assert found["argmax_agreement"] > 0.995
