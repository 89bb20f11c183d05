"""A model's own chat template, rendered in an immutable Jinja sandbox: it comes with the file, so it is not trusted.

What it may cost is bounded by the worker: memory (`memory.limit_memory`) and seconds (`chat`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cached_property, lru_cache
from typing import Any

from automlgpt_local.errors import BackendError, ModelError

Turn = Mapping[str, Any]  # {"role", "content"}

MAX_PROMPT_CHARACTERS = 8_000_000
_MARK = "\ufdd0answer\ufdd1"  # no text holds these code points


class ChatTemplate:
    """Raises ModelError when the template does not even compile."""

    def __init__(self, source: str, *, bos: str = "", eos: str = "") -> None:
        import jinja2

        self.source = source
        self._tokens = {"bos_token": bos, "eos_token": eos, "unk_token": "", "pad_token": ""}
        try:
            self._template = _environment().from_string(_without_generation_marks(source))
        except (jinja2.TemplateError, RecursionError) as error:
            raise ModelError(
                f"The model's chat template does not compile: {error}", "Use another GGUF of this model."
            ) from error

    def render(self, messages: Sequence[Turn], **variables: Any) -> str:
        """The prompt up to where the answer begins. Raises BackendError.

        A template that refuses a system message or two turns of one role is asked again with those folded together.
        """
        problem: Exception | None = None
        for form in (messages, _merged(messages), folded(messages)):
            try:
                return self._render(form, variables)
            except BackendError:
                raise
            except MemoryError as error:
                raise BackendError("the model's chat template asks for more memory than there is") from error
            except Exception as error:  # a template can raise anything
                problem = problem or error
        raise BackendError(f"the model's chat template failed: {type(problem).__name__}: {problem}")

    def rest_after(self, messages: Sequence[Turn], answer: int, **variables: Any) -> str | None:
        """What is written behind the answer `messages[answer]`, up to where the next one begins; None when unknown.

        A prompt that ended where that answer began goes on with the answer as it was evaluated, then this. So it is
        only appended to, whatever the template does with earlier turns: many drop their reasoning.
        """
        marked = [*messages]
        marked[answer] = {**messages[answer], "content": _MARK}
        try:
            _, *after = self.render(marked, **variables).split(_MARK)
        except BackendError:
            return None
        return after[0] if len(after) == 1 else None

    @cached_property
    def moves_system(self) -> bool:
        """Does a system message stand before the last question instead of the first (Mistral), or nowhere at all?"""
        talk = [{"role": role, "content": f"{role[0]}{_MARK}"} for role in ("system", "user", "assistant")]
        text = self.render([*talk, {"role": "user", "content": "more"}])
        return not 0 <= text.find(talk[0]["content"]) < text.find(talk[1]["content"])

    def _render(self, messages: Sequence[Turn], variables: Mapping[str, Any]) -> str:
        parts, size = [], 0
        context = {"add_generation_prompt": True, **self._tokens, **variables}
        for part in self._template.generate(messages=[dict(message) for message in messages], **context):
            parts.append(part)
            size += len(part)
            if size > MAX_PROMPT_CHARACTERS:
                raise BackendError("the model's chat template writes without end")
        return "".join(parts)


def _merged(messages: Sequence[Turn]) -> list[Turn]:
    merged: list[Turn] = []
    for message in messages:
        if merged and merged[-1]["role"] == message["role"]:
            merged[-1] = {**message, "content": f"{merged[-1]['content']}\n\n{message['content']}"}
        else:
            merged.append(message)
    return merged


def folded(messages: Sequence[Turn]) -> list[Turn]:
    """System messages become the user's, and turns of one role that follow each other become one."""
    return _merged([{**message, "role": "user"} if message["role"] == "system" else message for message in messages])


def _without_generation_marks(source: str) -> str:
    """`{% generation %}` marks the trained part of a transcript; it draws nothing."""
    for mark in ("generation", "endgeneration"):
        for form in (f"{{% {mark} %}}", f"{{%- {mark} -%}}", f"{{%- {mark} %}}", f"{{% {mark} -%}}"):
            source = source.replace(form, "")
    return source


@lru_cache(maxsize=1)
def _environment() -> Any:
    from jinja2.ext import loopcontrols
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _raise
    environment.globals["strftime_now"] = lambda form: datetime.now().strftime(form)
    return environment


def _to_json(value: Any, indent: int | None = None, **options: Any) -> str:
    separators = options.get("separators")
    return json.dumps(
        value, ensure_ascii=False, indent=indent, separators=separators, sort_keys=options.get("sort_keys", False)
    )


def _raise(message: str) -> None:
    import jinja2

    raise jinja2.TemplateError(message)
