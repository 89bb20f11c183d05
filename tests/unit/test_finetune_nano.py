"""From rows to a GGUF at a tiny size: tokens agree with llama.cpp, loss falls, resuming changes nothing."""

import json
import random

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import itertools

from automlgpt_local import recipes
from automlgpt_local.agents import compact
from finetune import published, teachers
from finetune.cases import from_table
from finetune.gguf_export import permuted, write_gguf
from finetune.gguf_import import read_gguf, unpermuted
from finetune.model import Shape, Training, batches, probabilities, train
from finetune.parity import compare, gguf_logits, gguf_tokens, torch_logits
from finetune.rows import Row, encode, filled
from finetune.tables import generate
from finetune.tokenizer import NanoTokenizer

SHAPE = {"width": 32, "layers": 2, "heads": 2, "inner": 64, "context": 512}


@pytest.fixture(scope="module")
def tokenizer():
    return NanoTokenizer.build()


@pytest.fixture(scope="module")
def rows():
    rng = random.Random(0)
    found = []
    for family in ("plain", "levels", "parsed"):
        case = from_table(generate(family, 1, n_rows=120))
        found += [
            *teachers.treatment_rows(case, rng, case.true_treatments(), "truth"), *teachers.tool_rows(case, rng),
            *published.published_rows(case, rng),
        ]  # fmt: skip
    return found


def test_rows_survive_json(rows):
    for row in rows:
        assert Row.from_json(row.to_json()) == row
        assert row.prompt.endswith("=") and not row.completion.startswith("=")


def test_every_word_of_the_dialect_is_one_token(tokenizer, rows):
    for row in rows:
        for part in row.parts:
            if not isinstance(part, str) and row.decision != "params":  # numbers are several
                assert all(len(tokenizer.ids(option)) == 1 for option in part["options"])
    assert len(tokenizer.ids("c0 number m0 u5 f3 real pos k0 z0 d1 a2 h-=")) == 13


def test_no_option_of_a_grid_begins_another_one(tokenizer):
    for recipe in recipes.load(installed_only=False).values():
        for values in [*recipe.grid.values(), (1, 10, 100, 127, 12, 31), (0.0, 0.05, 0.5, 0.56, 0.005)]:
            paths = sorted(tokenizer.ids(str(v)) for v in values)
            assert all(b[: len(a)] != a for a, b in itertools.pairwise(paths)), values


def test_pieces_give_the_same_ids_as_the_joined_text(tokenizer, rows):
    for row in rows:
        pieces = [*row.transcript, *(p if isinstance(p, str) else p["choice"] for p in row.parts)]
        assert [i for p in pieces for i in tokenizer.ids(p)] == tokenizer.ids("".join(pieces))


def test_branches_point_at_choices(tokenizer):
    template = compact.params("lightgbm", {"a": (0.05, 0.1), "b": (7,)}, [])
    row = Row("params", "t", "f", False, "truth", ("x\n",), filled(template, {"a": "0.1", "b": "7"}))
    encoded = encode(row, tokenizer)
    assert len(encoded.branches) == 1
    branch = encoded.branches[0]
    assert tokenizer.text(list(encoded.tokens[: branch.position + 1])).endswith("a=0.")
    assert tokenizer.text([branch.token]) == "1" and len(branch.allowed) == 2
    with pytest.raises(ValueError, match="none of"):
        filled(template, {"a": "0.2", "b": "7"})


def test_options_of_many_tokens_branch_where_they_differ(tokenizer):
    part = {"name": "next", "options": ["unheard_of_one", "unheard_of_two"], "choice": "unheard_of_two"}
    encoded = encode(Row("next_recipe", "t", "f", False, "truth", (), ("next=", part, "\n")), tokenizer)
    assert len(encoded.branches) == 1 and len(encoded.branches[0].allowed) == 2


def test_batches_cover_every_row_once(tokenizer, rows):
    encoded = [encode(r, tokenizer) for r in rows]
    groups = batches(encoded, 1500, random.Random(1))
    assert sorted(i for g in groups for i in g) == list(range(len(rows)))
    assert all(len(g) == 1 or len(g) * max(len(encoded[i].tokens) for i in g) <= 1500 for g in groups)


def test_training_learns_and_resumes_to_the_same_weights(tokenizer, rows, tmp_path):
    import torch

    encoded = [e for e in (encode(r, tokenizer) for r in rows) if e.branches and len(e.tokens) < 150]

    def trained(folder, *slices):
        torch.manual_seed(0)
        model = Shape(tokenizer.size, **SHAPE).build()
        for steps in slices:
            torch.manual_seed(0)
            train(
                model,
                encoded,
                Training(seconds=1e9, steps=16, stop_at=steps, rate=5e-3, tokens_per_batch=400),
                folder,
                note=lambda _: None,
            )
            torch.manual_seed(0)
            if steps != slices[-1]:
                model = Shape(tokenizer.size, **SHAPE).build()
        return model

    whole, parts = trained(tmp_path / "a", 16), trained(tmp_path / "b", 7, 16)
    for a, b in zip(whole.parameters(), parts.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)

    def likelihood(model):
        shares = probabilities(model, encoded)
        return np.mean([
            s[b.allowed.index(b.token)] for e, found in zip(encoded, shares, strict=True)
            for b, s in zip(e.branches, found, strict=True)
        ])  # fmt: skip

    torch.manual_seed(0)
    assert likelihood(whole) > likelihood(Shape(tokenizer.size, **SHAPE).build()) + 0.1


def test_permuting_keeps_every_row():
    weight = np.arange(32.0).reshape(8, 4)
    assert sorted(permuted(weight, 2)[:, 0]) == list(weight[:, 0])
    assert list(permuted(weight, 2)[:4, 0]) == [0, 8, 4, 12]
    assert (unpermuted(permuted(weight, 2), 2) == weight).all()


def test_gguf_says_what_the_weights_say(tokenizer, rows, tmp_path):
    import torch

    torch.manual_seed(1)
    model = Shape(tokenizer.size, **SHAPE).build()
    path = tmp_path / "tiny.gguf"
    write_gguf(path, model, tokenizer, name="tiny")
    texts = [r.prompt for r in rows[:5]] + ["hello  world\n\n\tdef f(x):", "ünï🙂", "c63c1", "x0.0512 312 m05", ""]
    assert gguf_tokens(path, texts) == [tokenizer.ids(t) for t in texts]
    sequences = [encode(r, tokenizer).tokens[:200] for r in rows[:3]]
    found = compare(torch_logits(model, sequences), gguf_logits(path, sequences))
    assert found["max_logit_diff"] < 1e-2 and found["argmax_agreement"] > 0.995
    again, read_tokenizer = read_gguf(path)
    assert [read_tokenizer.ids(t) for t in texts] == [tokenizer.ids(t) for t in texts]
    assert compare(torch_logits(model, sequences), torch_logits(again, sequences))["max_logit_diff"] < 1e-2


def test_the_nano_is_made_in_slices_and_by_several_processes(tmp_path, monkeypatch, capsys):
    """Each call ends in time and says that there is more to do; every table is measured by one process alone."""
    from finetune import nano
    from finetune.__main__ import CONTINUE, main
    from finetune.cases import measured_cases

    seen: list[str] = []
    monkeypatch.setattr(teachers, "measure_case", lambda _bench, case: seen.append(case.name))
    monkeypatch.setattr(nano, "MOST_MEASURED", 4)
    work = ["--work", str(tmp_path), "--json"]
    assert main(["nano", *work, "--slice", "0"]) == 0 and not seen
    assert json.loads(capsys.readouterr().out) == CONTINUE
    for shard in ("0/2", "1/2"):
        assert main(["nano", *work, "--step", "measure", "--shard", shard]) == 0
        assert json.loads(capsys.readouterr().out) is True
    assert seen and sorted(seen) == sorted(c.name for _, c in ((n, make()) for n, make in measured_cases(4)))
    assert main(["nano", *work, "--step", "rows", "--slice", "0"]) == 0
    assert json.loads(capsys.readouterr().out) == CONTINUE
