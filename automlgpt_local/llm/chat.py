"""A chat turn inside the worker: template, prompt tokens that are only appended to, the token loop."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from automlgpt_local.errors import BackendError
from automlgpt_local.llm.decode import Generated, ThoughtBudget, generate
from automlgpt_local.llm.sampling import Sampler, SamplingOptions
from automlgpt_local.llm.schema import compile_schema
from automlgpt_local.llm.template import ChatTemplate, Turn, choose_template, open_tag, thought_tags
from automlgpt_local.llm.trim import trim

HARMONY_START = "<|start|>assistant"
HARMONY_FINAL = "<|channel|>final<|message|>"
_KEPT_PREFIXES = 4
_MIN_ANSWER_TOKENS = 16


class ChatLoop:
    def __init__(self, runtime: Any) -> None:
        self._runtime = runtime
        self._template: ChatTemplate | None = None
        self._control: re.Pattern[str] | None = None
        self._written: dict[str, list[tuple[str, list[int]]]] = {}  # agent -> prompts and answers with their tokens

    def turn(self, request: dict[str, Any], send: Callable[[str], None]) -> dict[str, Any]:
        """Fields of a Reply before it is taken apart, as `reply.parse_reply` reads them."""
        runtime = self._runtime
        agent, before = request["agent"], runtime.evaluated_tokens
        prompt, tokens, trimmed = self._prompt(request)
        room = runtime.context_tokens - len(tokens)
        close_tag = open_tag(prompt)
        sequence = runtime.sequence(agent)
        sequence.start(tokens)
        options = SamplingOptions(**request["sampling"])
        written = self._write(request, sequence, options, send, close_tag, min(request["max_tokens"], room))
        self._remember(agent, prompt, tokens, written.text, written.tokens)
        return {
            "text": written.text,
            "finish": written.finish,
            "thinking": bool(close_tag),
            "trimmed": trimmed,
            "probabilities": written.probabilities,
            "scores": [[score.text, score.logprob, score.top] for score in written.scores],
            "prompt_tokens": len(tokens),
            "evaluated_tokens": runtime.evaluated_tokens - before,
            "output_tokens": len(written.tokens),
        }

    def _prompt(self, request: dict[str, Any]) -> tuple[str, list[int], str]:
        """(prompt, its tokens, what was left out of it). Raises BackendError when even the shortest form is too long.

        A quarter of the context at most is kept free for the answer.
        """
        agent, context = request["agent"], self._runtime.context_tokens
        wanted = max(_MIN_ANSWER_TOKENS, min(request["max_tokens"], context // 4))

        def prompt_of(messages: Sequence[Turn]) -> str:
            prompt = self.render(messages, **request.get("variables", {}))
            if request.get("schema") is not None and prompt.endswith(HARMONY_START):
                prompt += HARMONY_FINAL  # a schema rules the answer itself, so the channel is given
            return prompt

        def fits(messages: Sequence[Turn]) -> bool:
            return len(self._tokens(agent, prompt_of(messages))) + wanted <= context

        messages, trimmed = trim(request["messages"], fits)
        prompt = prompt_of(messages)
        tokens = self._tokens(agent, prompt)
        if len(tokens) + _MIN_ANSWER_TOKENS > context:
            raise BackendError(
                f"the prompt of {len(tokens)} tokens leaves no room in a context of {context}",
                "Shorten the conversation, or give the model a larger context.",
            )
        return prompt, tokens, trimmed

    def _write(
        self,
        request: dict[str, Any],
        sequence: Any,
        options: SamplingOptions,
        send: Callable[[str], None],
        close_tag: str,
        max_tokens: int,
    ) -> Generated:
        from automlgpt_local.llm import jsonfill
        from automlgpt_local.llm.grammar import Grammar

        runtime, schema = self._runtime, request.get("schema")
        if schema is not None:
            compile_schema(schema)  # refuses what no answer could follow
        markers = [marker for marker in (close_tag, request.get("schema_after", "")) if marker]
        logprobs = request.get("logprobs")
        if schema is not None and not markers and logprobs is None and not request.get("by_grammar"):
            parts = jsonfill.plan(schema)
            if parts is not None and jsonfill.is_possible(runtime, parts):
                return jsonfill.write(runtime, sequence, parts, options, max_tokens=max_tokens, on_text=send)
        grammar = None if schema is None else Grammar.for_schema(runtime, schema)
        try:
            return generate(
                runtime,
                sequence,
                Sampler(options),
                max_tokens=max_tokens,
                stops=tuple(request.get("stops", ())),
                grammar=grammar,
                grammar_after=markers,
                thought=self._thought_budget(request["max_tokens"], opened=bool(close_tag)),
                logprobs=logprobs,
                on_text=send,
                ignore_end=bool(request.get("ignore_end")),
            )
        finally:
            if grammar is not None:
                grammar.close()

    def _thought_budget(self, max_tokens: int, *, opened: bool) -> ThoughtBudget | None:
        """Half of a turn at most is reasoning, so that an answer always has its place."""
        assert self._template is not None
        tags = thought_tags(self._template.source)
        return ThoughtBudget(*tags, max_tokens=max(1, max_tokens // 2), opened=opened) if tags else None

    def render(self, messages: Sequence[Turn], **variables: Any) -> str:
        if self._template is None:
            self._template = self._load_template()
        clean = [  # an answer is fed back as it was written
            message if message["role"] == "assistant" else {**message, "content": self._inert(message["content"])}
            for message in messages
        ]
        return self._template.render(clean, **variables)

    def _load_template(self) -> ChatTemplate:
        runtime = self._runtime
        own = runtime.metadata("tokenizer.chat_template")
        source = choose_template(own, lambda text: len(runtime.tokenize(text)) == 1)

        bos, eos = runtime.bos_and_eos()
        return ChatTemplate(source, bos=bos, eos=eos)

    def _inert(self, content: str) -> str:
        """Text that spells a control token of this model gets a space into it, so it stays text."""
        if self._control is None:
            names = [name for name in self._runtime.control_texts() if len(name) > 2]
            longest_first = sorted(names, key=len, reverse=True)
            self._control = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        return self._control.sub(lambda match: f"{match[0][0]} {match[0][1:]}", content)

    def _tokens(self, agent: str, prompt: str) -> list[int]:
        """What was evaluated before keeps its tokens; only what was added is split anew."""
        runtime = self._runtime
        begins = [(text, tokens) for text, tokens in self._written.get(agent, []) if prompt.startswith(text)]
        if begins:
            text, tokens = max(begins, key=lambda pair: len(pair[0]))
            return [*tokens, *runtime.tokenize(prompt[len(text) :])]
        tokens = list(runtime.tokenize(prompt))
        bos = list(runtime.bos_tokens())
        return tokens if tokens[: len(bos)] == bos else bos + tokens

    def _remember(self, agent: str, prompt: str, tokens: list[int], text: str, written: list[int]) -> None:
        spelled = b"".join(map(self._runtime.piece, written)).decode("utf-8", "replace")
        kept = self._written.setdefault(agent, [])
        kept.append((prompt, tokens))
        if spelled == text:  # no stop string cut a token apart
            kept.append((prompt + text, tokens + written))
        del kept[: -2 * _KEPT_PREFIXES]
