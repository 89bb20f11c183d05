"""Chat templates: the real ones that the cache holds against Hugging Face's renderer, and what hostile ones may do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from automlgpt_local.errors import BackendError, ModelError
from automlgpt_local.llm.fallback import CHATML, FAMILIES, form_of
from automlgpt_local.llm.template import ChatTemplate, folded
from automlgpt_local.llm.thinking import open_tag, switches, tags_of

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "scripts"))

from fetch_llm_fixtures import cache_dir
from make_renderings import TALKS, VARIABLES, digest

RENDERINGS: dict[str, str] = json.loads((Path(__file__).parent / "renderings.json").read_text(encoding="utf-8"))
COVERED = (
    "Qwen2.5", "Qwen3-0.6B", "Qwen3-Coder", "Llama-3.1", "Mistral-Nemo", "Devstral", "gemma-4", "Phi-3.5", "GLM-4.6",
    "gpt-oss",
)  # fmt: skip


def test_the_record_covers_the_families() -> None:
    for family in COVERED:
        assert sum(family in key for key in RENDERINGS) >= 3, family


def test_real_templates_render_as_their_authors_mean() -> None:
    """Compares what `scripts/fetch_llm_fixtures.py` has brought with the recorded digests of all."""
    compared = 0
    for file in sorted(cache_dir().glob("*.jinja")):
        source = file.read_text(encoding="utf-8")
        template = ChatTemplate(source, bos="<s>", eos="</s>")
        for talk, messages in TALKS.items():
            for name, variables in VARIABLES.items():
                key = f"{file.stem} {digest(source)} {talk} {name}"
                if key in RENDERINGS:
                    text = template.render(messages, **variables, strftime_now=lambda form: "2026-01-02")
                    assert digest(text) == RENDERINGS[key], key
                    compared += 1
    if not compared:
        pytest.skip("no templates: run scripts/fetch_llm_fixtures.py")
    assert compared == len(RENDERINGS)


def real_templates() -> list[tuple[str, ChatTemplate]]:
    sources = {file.stem: file.read_text(encoding="utf-8") for file in sorted(cache_dir().glob("*.jinja"))}
    if not sources:
        pytest.skip("no templates: run scripts/fetch_llm_fixtures.py")
    return [(name, ChatTemplate(source, bos="<s>", eos="</s>")) for name, source in sources.items()]


TOOLS_ONLY = {"fireworks-ai-llama-3-firefunction-v2"}  # fails without a list of functions
TALK = [
    {"role": role, "content": content}
    for role, content in (
        ("system", "The table."), ("user", "First?"), ("assistant", "One."), ("user", "Second?"),
        ("assistant", "Two."), ("user", "Third?"),
    )
]  # fmt: skip


def test_every_real_template_keeps_all_that_was_said() -> None:
    for name, template in real_templates():
        if name not in TOOLS_ONLY:
            talk = folded(TALK) if template.moves_system else TALK
            text = template.render(talk)
            places = [text.find(message["content"]) for message in TALK]
            assert places == sorted(places) and places[0] >= 0, name


def test_real_templates_go_on_behind_an_answer_without_what_came_before() -> None:
    """What is appended behind an answer: the next question and a place for its answer, whatever was reasoned."""
    for name, template in real_templates():
        if name in TOOLS_ONLY:
            continue
        talk = folded(TALK) if template.moves_system else TALK
        at = next(n for n in reversed(range(len(talk))) if talk[n]["role"] == "assistant")
        for variables in ({}, switches(template.source, True), switches(template.source, False)):
            rest = template.rest_after(talk, at, **variables)
            assert rest is not None and "Third?" in rest, name
            assert not any(message["content"] in rest for message in TALK[:-1]), name
            assert template.render(talk, **variables).endswith(rest[rest.index("Third?") :]), name


SWITCHED = (
    "Qwen3-0.6B", "Qwen3.5", "GLM-4.6", "gemma-4", "gpt-oss", "DeepSeek-V3.1", "DeepSeek-V4", "SmolLM3", "Hy3",
    "Seed-OSS", "Cohere2MoE", "Solar", "MiniMax-M3", "Nemotron-3", "ling-3",
)  # fmt: skip


def test_reasoning_is_switched_on_and_off_as_each_family_does_it() -> None:
    found = set()
    for name, template in real_templates():
        if name in TOOLS_ONLY:
            continue
        on, off = (template.render(TALK, **switches(template.source, value)) for value in (True, False))
        if on != off:
            found.add(name)
            assert not open_tag(off), name
    for family in SWITCHED:
        assert any(family in name for name in found), family


def test_the_tags_of_reasoning_are_known() -> None:
    tags = {name: tags_of(template.source) for name, template in real_templates()}
    for family, end in (
        ("Qwen3-0.6B", "</think>"), ("gemma-4-31B-it-interleaved", "<channel|>"), ("Ministral-3", "[/THINK]"),
        ("gpt-oss", "<|end|><|start|>assistant<|channel|>final<|message|>"), ("Seed-OSS", "</seed:think>"),
    ):  # fmt: skip
        assert [pair[1] for name, pair in tags.items() if family in name and pair] == [end], family
    assert not any(pair for name, pair in tags.items() if "Qwen2.5" in name or "Llama-3" in name or "Phi" in name)


GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}<{{ m['role'] }}>{{ m['content'] | trim }}</>{% endfor %}"
    "{% if add_generation_prompt %}<model>{% endif %}"
)


def test_roles_that_a_template_refuses_are_folded() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a "},
        {"role": "user", "content": "b"},
        {"role": "assistant", "content": "c"},
    ]
    text = ChatTemplate(GEMMA, bos="<s>").render(messages)
    assert text == "<s><user>Be brief.\n\na \n\nb</><assistant>c</><model>"


MISTRAL = (  # puts the system message before the last question, so that each turn would be read from its beginning
    "{% for m in messages if m.role != 'system' %}{% if m.role == 'user' %}[INST]{% if loop.last %}"
    "{{ messages[0].content + ' ' if messages[0].role == 'system' }}{% endif %}{{ m.content }}[/INST]"
    "{% else %}{{ m.content }}</s>{% endif %}{% endfor %}"
)


def test_a_system_message_that_would_move_is_folded_into_the_first_question() -> None:
    assert ChatTemplate(MISTRAL).moves_system
    assert not ChatTemplate(CHATML.template()).moves_system and not ChatTemplate(GEMMA).moves_system
    assert ChatTemplate("{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}").moves_system


REAL = {  # family -> a model whose own template says the same
    "Gemma 4": "google-gemma-4-31B-it.jinja", "Gemma": "google-gemma-2-2b-it", "gpt-oss": "openai-gpt-oss-120b",
    "Llama 3": "meta-llama-Llama-3.2-3B-Instruct", "GLM 4": "GLM-4.6", "ChatML": "Qwen-Qwen2.5-7B-Instruct",
    "Mistral 7": "unsloth-mistral-Devstral-Small-2507", "Mistral": "mistralai-Mistral-Nemo-Instruct-2407",
    "Phi 3": "microsoft-Phi-3.5-mini-instruct",
}  # fmt: skip
PREAMBLES = {"Llama 3": "The table.", "gpt-oss": "<|start|>developer"}  # theirs begins with dates
ENDINGS = {"Gemma 4": "<|channel>thought\n<channel|>"}  # theirs says that there is no reasoning


def test_a_file_without_a_template_is_asked_in_the_form_of_its_family() -> None:
    real = dict(real_templates())
    for family, form in FAMILIES.items():
        assert form_of(lambda token, form=form: token in form.tokens) is form
        if family in REAL:
            theirs = real[REAL[family].removesuffix(".jinja")]
            talk = folded(TALK) if theirs.moves_system else TALK
            ours = ChatTemplate(form.template(), bos="<s>", eos="</s>").render(talk)
            text = theirs.render(talk).removeprefix("<s>").removesuffix(ENDINGS.get(family, ""))
            at = PREAMBLES.get(family, "")
            assert ours[ours.find(at) :] == text[text.find(at) :], family
    plain = ChatTemplate(form_of(lambda token: False).template())
    assert plain.render([{"role": "user", "content": "Hi"}]) == "User: Hi\n\nAssistant:"


def test_a_block_of_reasoning_that_the_prompt_opened_is_seen() -> None:
    assert open_tag("<|im_start|>assistant\n<think>\n") == "</think>"
    assert open_tag("<|im_start|>assistant\n<think>\n\n</think>\n\n") == ""
    assert open_tag("[THINK]") == "[/THINK]"


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
        "{{ cycler.__init__.__globals__.os.system('id') }}",
        "{{ self.__init__.__globals__ }}",
        "{{ (messages | map(attribute='__class__') | list)[0].__mro__[1].__subclasses__() }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}xxxxxxxxxxxxxxxx{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ messages[7].content }}{{ raise_exception('no') }}",
        "{% include '/etc/passwd' %}",
    ],
)
def test_hostile_templates_only_fail(source: str) -> None:
    with pytest.raises((BackendError, ModelError)):
        text = ChatTemplate(source).render([{"role": "user", "content": "Hi"}])
        if "subclasses" in source or "globals" in source:
            assert text == ""
            raise BackendError("it saw nothing")


def test_a_template_that_does_not_compile_is_a_model_error() -> None:
    with pytest.raises(ModelError, match="does not compile"):
        ChatTemplate("{% for %}")
