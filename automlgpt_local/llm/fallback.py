"""Chat templates for model files that carry none: the form of a family, told by its control tokens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Form:
    """How a family writes turns; `{}` is what was said. `system` None: there is no such turn."""

    tokens: tuple[str, ...]  # this family has all of them
    system: str | None
    user: str
    assistant: str
    prompt: str  # where the answer begins
    start: str = ""

    def template(self) -> str:
        """As Jinja."""
        system = "{{ raise_exception('no system turns') }}" if self.system is None else _turn(self.system)
        return (
            f"{self.start}{{% for message in messages %}}"
            f"{{% if message.role == 'system' %}}{system}"
            f"{{% elif message.role == 'user' %}}{_turn(self.user)}{{% else %}}{_turn(self.assistant)}{{% endif %}}"
            f"{{% endfor %}}{{% if add_generation_prompt %}}{self.prompt}{{% endif %}}"
        )


def _turn(form: str) -> str:
    return form.replace("{}", "{{ message.content }}")


def _alike(tokens: tuple[str, ...], turn: str, answer: str = "assistant", *, system: bool = True) -> Form:
    """A family whose turns differ in their role alone: `turn` has a `ROLE` in it."""
    system_turn = turn.replace("ROLE", "system") if system else None
    answered = turn.replace("ROLE", answer)
    prompt = answered.partition("{}")[0]
    return Form(tokens, system_turn, turn.replace("ROLE", "user"), answered, prompt)


CHATML = _alike(("<|im_start|>", "<|im_end|>"), "<|im_start|>ROLE\n{}<|im_end|>\n")
PLAIN = Form((), "System: {}\n\n", "User: {}\n\n", "Assistant: {}\n\n", "Assistant:")
_HARMONY_ANSWER = "<|start|>assistant<|channel|>final<|message|>{}<|end|>"
FAMILIES = {  # those with telling tokens first
    "Gemma 4": _alike(("<|turn>", "<turn|>"), "<|turn>ROLE\n{}<turn|>\n", "model"),
    "Gemma": _alike(
        ("<start_of_turn>", "<end_of_turn>"), "<start_of_turn>ROLE\n{}<end_of_turn>\n", "model", system=False
    ),
    "Llama 3": _alike(
        ("<|start_header_id|>", "<|eot_id|>"), "<|start_header_id|>ROLE<|end_header_id|>\n\n{}<|eot_id|>"
    ),
    "gpt-oss": Form(
        ("<|start|>", "<|message|>", "<|channel|>"),
        "<|start|>developer<|message|># Instructions\n\n{}\n\n<|end|>", "<|start|>user<|message|>{}<|end|>",
        _HARMONY_ANSWER, "<|start|>assistant",
    ),
    "GLM 4": Form(
        ("[gMASK]", "<sop>", "<|user|>"),
        "<|system|>\n{}", "<|user|>\n{}", "<|assistant|>\n<think></think>\n{}", "<|assistant|>", "[gMASK]<sop>",
    ),
    "Phi 4": _alike(("<|im_start|>", "<|im_sep|>"), "<|im_start|>ROLE<|im_sep|>{}<|im_end|>"),
    "ChatML": CHATML,
    "Mistral 7": Form(
        ("[SYSTEM_PROMPT]", "[INST]"),
        "[SYSTEM_PROMPT]{}[/SYSTEM_PROMPT]", "[INST]{}[/INST]", "{}{{ eos_token }}", "",
    ),
    "Mistral": Form(("[INST]", "[/INST]"), None, "[INST]{}[/INST]", "{}{{ eos_token }}", ""),
    "Phi 3": _alike(("<|user|>", "<|assistant|>", "<|end|>"), "<|ROLE|>\n{}<|end|>\n"),
}  # fmt: skip


def form_of(has_token: Callable[[str], bool]) -> Form:
    """The form of the first family whose tokens are all there, else a plain transcript."""
    return next((form for form in FAMILIES.values() if all(map(has_token, form.tokens))), PLAIN)
