"""Chat templates: the real ones that the cache holds against Hugging Face's renderer, and what hostile ones may do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from automlgpt_local.errors import BackendError, ModelError
from automlgpt_local.llm.template import CHATML, ChatTemplate, choose_template, open_tag

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "scripts"))

from fetch_llm_fixtures import cache_dir
from make_renderings import TALKS, VARIABLES, digest

RENDERINGS: dict[str, str] = json.loads((Path(__file__).parent / "renderings.json").read_text(encoding="utf-8"))
FAMILIES = (
    "Qwen2.5", "Qwen3-0.6B", "Qwen3-Coder", "Llama-3.1", "Mistral-Nemo", "Devstral", "gemma-4", "Phi-3.5", "GLM-4.6",
    "gpt-oss",
)  # fmt: skip


def test_the_record_covers_the_families() -> None:
    for family in FAMILIES:
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


def test_a_file_without_a_template_gets_one_that_fits_its_tokens() -> None:
    assert choose_template(None, lambda token: True) == CHATML
    plain = ChatTemplate(choose_template("", lambda token: False))
    assert plain.render([{"role": "user", "content": "Hi"}]) == "User: Hi\n\nAssistant:"
    assert choose_template("own", lambda token: True) == "own"


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
        "{{ 'a' * 999999999 }}",
        "{{ 2 ** 99999999 }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}xxxxxxxxxxxxxxxx{% endfor %}{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{{ messages[7].content }}{{ raise_exception('no') }}",
        "{% include '/etc/passwd' %}",
        "{{ '%999999999d' | format(1) }}",
        "{{ '{0:999999999}'.format(1) }}",
        "{{ 'x' | center(999999999) }}",
        "{{ 'abc'.ljust(999999999) }}",
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
