"""How the families think: the tags around their reasoning, and what switches it on and off in their templates."""

from __future__ import annotations

import os
from typing import Any

THINKING_VARIABLE = "AUTOMLGPT_THINKING"
TAGS = (
    ("<think>", "</think>"),
    ("<thought>", "</thought>"),
    ("[THINK]", "[/THINK]"),
    ("<|channel>thought", "<channel|>"),  # Gemma 4
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Command
    ("<seed:think>", "</seed:think>"),
    ("<mm:think>", "</mm:think>"),
    ("<think:opensource>", "</think:opensource>"),
)
HARMONY_START = "<|start|>assistant"
HARMONY_FINAL = "<|channel|>final<|message|>"
_HARMONY_TAGS = ("<|channel|>analysis<|message|>", f"<|end|>{HARMONY_START}{HARMONY_FINAL}")


def thinking_of_the_user() -> bool | None:
    """Whether a model shall reason before it answers; None leaves that to the model."""
    return {"on": True, "off": False}.get(os.environ.get(THINKING_VARIABLE, ""))


def tags_of(source: str) -> tuple[str, str] | None:
    """What begins and ends the reasoning of a model with this chat template; None for one that does not reason."""
    if HARMONY_FINAL in source or "<|channel|>analysis" in source:
        return _HARMONY_TAGS
    return next((tags for tags in TAGS if tags[1] in source), None)


def open_tag(prompt: str) -> str:
    """The closing tag of a reasoning block that the prompt itself has opened, or an empty string."""
    return next((end for begin, end in TAGS if prompt.rstrip().endswith(begin)), "")


def switches(source: str, on: bool) -> dict[str, Any]:
    """The variables that switch reasoning on or off in the chat template `source`, by the names that families use.

    gpt-oss and Solar cannot be kept from it: they get their lowest effort.
    """
    found: dict[str, Any] = {
        "enable_thinking": on,  # Qwen3, GLM, Gemma 4, SmolLM3, Nemotron 3
        "thinking": on,  # DeepSeek, Granite, Kimi K3
        "thinking_mode": "enabled" if on else "disabled",  # MiniMax
    }
    if not on:
        found |= {"thinking_budget": 0, "reasoning": False}  # Seed-OSS, Command
    if "no_think" in source:
        found["reasoning_effort"] = "high" if on else "no_think"  # Hunyuan
    elif not on:
        found["reasoning_effort"] = "low"
    return found
