"""Hugging Face folders to GGUF: the splitting rules of llama.cpp, qwen2 and qwen3 weights, adapters."""

import json

import numpy
import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from finetune import parity  # noqa: E402
from finetune.gguf_export import gguf_tensors, rope_factors, write_gguf  # noqa: E402
from finetune.hf_export import SAMPLES, HubTokenizer, export_folder, splitting_rule  # noqa: E402
from finetune.lora import add_lora, write_adapter  # noqa: E402
from finetune.parity import compare, gguf_logits, torch_logits  # noqa: E402
from finetune.tokenizer import NanoTokenizer, _plain_corpus  # noqa: E402

QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3 = QWEN2.replace(r"\p{N}|", r"\p{N}{1,3}|")
TINY = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 256,
}  # fmt: skip


def hub_folder(folder, kind, pattern, **changes):
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=["<|end|>"], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    core.train_from_iterator(_plain_corpus(), trainer)
    folder.mkdir()
    core.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(
        json.dumps({"eos_token": "<|end|>", "chat_template": "{{ messages }}"})
    )
    classes = {
        "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
        "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
        "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
    }
    config, model = classes[kind]
    more = {"head_dim": 8, **changes} if kind == "qwen3" else changes
    torch.manual_seed(0)
    model(config(**{**TINY, **more}, vocab_size=608, tie_word_embeddings=kind != "llama")).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(("kind", "pattern"), [("qwen2", QWEN2), ("llama", LLAMA3), ("qwen3", QWEN2)])
def test_a_folder_says_the_same_in_llama_cpp(tmp_path, kind, pattern):
    folder = hub_folder(tmp_path / "model", kind, pattern)
    found = export_folder(folder, tmp_path / "out.gguf", texts=SAMPLES)
    assert found["token_mismatches"] == 0 and found["max_logit_diff"] < 1e-2
    assert (tmp_path / "out.gguf").stat().st_size == found["bytes"]


def test_stretched_positions_are_carried(tmp_path):
    """Llama 3.1 and later: near the beginning all seems well without the factors, far from it nothing is."""
    rope = {
        "rope_type": "llama3", "rope_theta": 100.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 32,
    }  # fmt: skip
    folder = hub_folder(tmp_path / "model", "llama", LLAMA3, rope_parameters=rope, head_dim=8, initializer_range=0.3)
    found = export_folder(folder, tmp_path / "out.gguf")
    assert found["argmax_agreement"] > 0.995
    model, tokenizer = model_of(folder), HubTokenizer.load(folder, "llama")
    assert rope_factors(rope, 8).max() == 8.0
    model.config.rope_parameters = {"rope_type": "default", "rope_theta": 100.0}
    write_gguf(tmp_path / "plain.gguf", model, tokenizer, name="plain")
    ids = [list(range(3, 203))]
    plain, right = gguf_logits(tmp_path / "plain.gguf", ids), gguf_logits(tmp_path / "out.gguf", ids)
    assert compare(plain, right)["argmax_agreement"] < 0.995
    with pytest.raises(ValueError, match="yarn"):
        rope_factors({"rope_type": "yarn", "rope_theta": 1e4}, 16)


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_K_M"])
def test_a_merged_adapter_is_quantised_and_registered(tmp_path, monkeypatch, kind):
    from peft import LoraConfig, get_peft_model

    from automlgpt_local.llm import catalog
    from finetune.__main__ import main

    monkeypatch.setenv("AUTOMLGPT_MODELS_DIR", str(tmp_path / "models"))
    folder = hub_folder(tmp_path / "model", "qwen2", QWEN2)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    tuned = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "down_proj"]))
    for name, value in tuned.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.5)
    tuned.save_pretrained(tmp_path / "adapter")
    out = tmp_path / "mine.gguf"
    command = [
        "export",
        str(folder),
        "--adapter",
        str(tmp_path / "adapter"),
        "--merge",
        "--kind",
        kind,
        "--name",
        "mine",
    ]
    assert main([*command, "--out", str(out), "--licence", "mit", "--json"]) == 0
    entry = catalog.resolve("mine")
    assert (entry.path, entry.licence, entry.bytes) == (out, "mit", out.stat().st_size)
    ids = [list(range(3, 40))]
    merged, plain = torch_logits(tuned.merge_and_unload(), ids), torch_logits(model_of(folder), ids)
    there = gguf_logits(out, ids)
    assert compare(merged, there)["max_logit_diff"] < 0.5 * compare(plain, there)["max_logit_diff"]


def model_of(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(folder)


def test_the_default_of_several_chat_templates_is_taken(tmp_path):
    folder = hub_folder(tmp_path / "model", "qwen2", QWEN2)
    several = [{"name": name, "template": f"{name} template"} for name in ("tool_use", "default")]
    (folder / "tokenizer_config.json").write_text(json.dumps({"chat_template": several}))
    assert HubTokenizer.load(folder, "qwen2").chat_template == "default template"


def test_what_cannot_become_a_gguf_is_refused_at_once(tmp_path, capsys):
    from finetune.__main__ import main

    for config, problem in (
        (None, "no folder of a Hugging Face model"),
        ('{"model_type": "mistral"}', "mistral is none"),
    ):
        if config:
            (tmp_path / "config.json").write_text(config)
        for more in ([], ["--adapter", str(tmp_path)]):
            assert main(["export", str(tmp_path), "--out", str(tmp_path / "out.gguf"), *more]) == 2
            assert problem in capsys.readouterr().err


def test_weights_are_not_copied_to_be_written():
    model = transformers.Qwen2ForCausalLM(transformers.Qwen2Config(**TINY, vocab_size=64))
    embedded = model.get_input_embeddings().weight.detach().numpy()
    found = gguf_tensors(model, "F32")
    assert iter(found) is found  # one at a time
    assert any(numpy.shares_memory(weight, embedded) for _, weight in found)


def test_llama_cpp_has_time_and_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(parity, "TIMEOUT_S", 0.01)
    (tmp_path / "base.gguf").write_bytes(b"")
    with pytest.raises(parity.ParityError, match="did not answer within 0 s"):
        gguf_logits(tmp_path / "base.gguf", [[1]])


def test_an_unknown_splitting_rule_is_refused():
    with pytest.raises(ValueError, match="no rule"):
        splitting_rule({"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "x"}}})


def test_an_adapter_says_the_same_in_llama_cpp(tmp_path):
    tokenizer = NanoTokenizer.build()
    torch.manual_seed(0)
    model = transformers.LlamaForCausalLM(transformers.LlamaConfig(**TINY, vocab_size=tokenizer.size)).eval()
    base, adapter = tmp_path / "base.gguf", tmp_path / "lora.gguf"
    write_gguf(base, model, tokenizer, name="base")
    plain = torch_logits(model, [range(5, 60)])
    model = add_lora(model, 4, 8.0)
    for name, value in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(value, std=0.3)
    write_adapter(adapter, model, name="lora", rank=4, alpha=8.0)
    ours = torch_logits(model, [range(5, 60)])
    assert compare(ours, plain)["max_logit_diff"] > 0.05
    assert compare(ours, gguf_logits(base, [range(5, 60)], adapter))["max_logit_diff"] < 1e-2


def test_what_does_not_pass_gets_no_name(tmp_path, monkeypatch, capsys):
    from finetune import hf_export
    from finetune.__main__ import main

    folder = hub_folder(tmp_path / "model", "qwen2", QWEN2)
    command = ["export", str(folder), "--out", str(tmp_path / "out.gguf"), "--json"]
    assert main([*command, "--adapter", str(folder), "--name", "mine"]) == 2
    assert "--model BASE+FILE" in capsys.readouterr().err
    monkeypatch.setattr(hf_export, "gguf_tokens", lambda _path, texts, **_: [[0] for _ in texts])
    assert main(command) == 1
    assert "token_mismatches" in capsys.readouterr().err and not list(tmp_path.glob("*.gguf"))


def test_a_failed_quantisation_leaves_no_file(tmp_path, monkeypatch, capsys):
    from finetune import hf_export, quantise
    from finetune.__main__ import main

    folder = hub_folder(tmp_path / "model", "qwen2", QWEN2)
    monkeypatch.setattr(hf_export, "quantise", lambda source, out, _: quantise.quantise(source, out, "unknown"))
    assert main(["export", str(folder), "--out", str(tmp_path / "out.gguf"), "--kind", "Q8_0"]) == 2
    assert "could not write unknown" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
