"""A chat turn inside the worker: template, prompt tokens that are only appended to, the token loop."""

from __future__ import annotations

import math
import re
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from automlgpt_local.errors import BackendError
from automlgpt_local.llm.decode import Generated, ThoughtBudget, generate
from automlgpt_local.llm.fallback import form_of
from automlgpt_local.llm.reply import parse_reply
from automlgpt_local.llm.sampling import Sampler, SamplingOptions
from automlgpt_local.llm.schema import compile_schema
from automlgpt_local.llm.template import ChatTemplate, Turn, folded
from automlgpt_local.llm.thinking import HARMONY_FINAL, HARMONY_START, open_tag, switches, tags_of
from automlgpt_local.llm.trim import trim

_KEPT_TURNS = 4
_MIN_ANSWER_TOKENS = 16
_RENDER_S = 5.0
_THOUGHT_SHARE = 1 / 2  # of a turn's tokens and of its time at most, so that an answer always has its place
_NO_THOUGHT_TOKENS = 4  # where it is switched off: enough to see that it begins
_REASONING_DROPPED = "The context was short: the reasoning of earlier turns was left out."


@contextmanager
def _soon() -> Iterator[None]:
    """A template of the model's file that computes without end ends this process, by a signal that nothing delays."""
    signal.setitimer(signal.ITIMER_REAL, _RENDER_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@dataclass(frozen=True)
class Past:
    """A turn that was: what was asked and answered, and the prompt with the answer as they were evaluated."""

    messages: list[Turn]
    answer: str | None  # as the caller knows it, without its reasoning; None: nothing to go on from
    prompt: str
    written: str
    tokens: list[int]  # of the prompt, then of what was written
    prompt_tokens: int
    trimmed: str


class ChatLoop:
    """`template`: in place of the one that the model's file carries."""

    def __init__(self, runtime: Any, template: str | None = None) -> None:
        self._runtime = runtime
        self._source = template
        self._template: ChatTemplate | None = None
        self._control: re.Pattern[str] | None = None
        self._past: dict[str, list[Past]] = {}

    def turn(self, request: dict[str, Any], send: Callable[[str], None]) -> dict[str, Any]:
        """Fields of a Reply before it is taken apart, as `reply.parse_reply` reads them."""
        runtime, started = self._runtime, time.monotonic()
        agent, before = request["agent"], runtime.evaluated_tokens
        prompt, tokens, trimmed = self._prompt(request)
        room = runtime.context_tokens - len(tokens)
        close_tag = open_tag(prompt)
        sequence = runtime.sequence(agent)
        sequence.start(tokens)
        options = SamplingOptions(**request["sampling"])
        thought = self._thought_budget(request, started, opened=bool(close_tag))
        written = self._write(request, sequence, options, send, close_tag, thought, min(request["max_tokens"], room))
        answer = {
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
        self._remember(
            request, prompt, tokens, trimmed, written, parse_reply(answer, request["schema"], seconds=0.0).text
        )
        return answer

    # --- the prompt
    def _prompt(self, request: dict[str, Any]) -> tuple[str, list[int], str]:
        """(prompt, its tokens, what was left out of it). Raises BackendError when even the shortest form is too long.

        A quarter of the context at most is kept free for the answer.
        """
        agent, context = request["agent"], self._runtime.context_tokens
        wanted = max(_MIN_ANSWER_TOKENS, min(request["max_tokens"], context // 4))

        def prompt_of(messages: Sequence[Turn]) -> str:
            return self._finished(self.render(messages, request.get("thinking")), request)

        def fits(messages: Sequence[Turn]) -> bool:
            return len(self._tokens(agent, prompt_of(messages))) + wanted <= context

        past, rest = self._continued(agent, request["messages"], request.get("thinking"))
        if past is not None:
            prompt = self._finished(past.prompt + past.written + rest, request)
            tokens = self._tokens(agent, prompt)
            if len(tokens) + wanted <= context:
                return prompt, tokens, past.trimmed
        messages, trimmed = trim(request["messages"], fits)
        prompt = prompt_of(messages)
        tokens = self._tokens(agent, prompt)
        if len(tokens) + _MIN_ANSWER_TOKENS > context:
            raise BackendError(
                f"the prompt of {len(tokens)} tokens leaves no room in a context of {context}",
                "Shorten the conversation, or give the model a larger context.",
            )
        if not trimmed and past is not None and past.answer != past.written:
            trimmed = _REASONING_DROPPED
        return prompt, tokens, trimmed

    def _continued(self, agent: str, messages: Sequence[Turn], thinking: bool | None) -> tuple[Past | None, str]:
        """The turn that this one goes on from, and what stands between its answer and the next one."""
        for past in reversed(self._past.get(agent, [])):
            at = len(past.messages)
            if past.answer is not None and messages[:at] == past.messages and len(messages) > at + 1:
                answer = messages[at]
                if answer["role"] == "assistant" and answer["content"] in (past.answer, past.written):
                    with _soon():
                        rest = self._loaded().rest_after(self._clean(messages), at, **self._variables(thinking))
                    if rest is not None:
                        return past, rest
        return None, ""

    def _finished(self, prompt: str, request: dict[str, Any]) -> str:
        """Where no reasoning is wanted, a place for it that the template has opened is closed."""
        silent = request.get("thinking") is False
        if prompt.endswith(HARMONY_START) and (silent or request.get("schema") is not None):
            return prompt + HARMONY_FINAL  # a schema rules the answer itself, so the channel is given
        end = open_tag(prompt)
        return f"{prompt}\n{end}\n\n" if silent and end else prompt

    def render(self, messages: Sequence[Turn], thinking: bool | None = None) -> str:
        with _soon():
            return self._loaded().render(self._clean(messages), **self._variables(thinking))

    def _variables(self, thinking: bool | None) -> dict[str, Any]:
        return {} if thinking is None else switches(self._loaded().source, thinking)

    def _clean(self, messages: Sequence[Turn]) -> list[Turn]:
        """Without control tokens in what others wrote; an answer is fed back as it was written."""
        clean = [
            message if message["role"] == "assistant" else {**message, "content": self._inert(message["content"])}
            for message in messages
        ]
        return folded(clean) if self._loaded().moves_system else clean

    def _inert(self, content: str) -> str:
        """Text that spells a control token of this model gets a space into it, so it stays text."""
        if self._control is None:
            names = [name for name in self._runtime.control_texts() if len(name) > 2]
            longest_first = sorted(names, key=len, reverse=True)
            self._control = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        return self._control.sub(lambda match: f"{match[0][0]} {match[0][1:]}", content)

    def _loaded(self) -> ChatTemplate:
        if self._template is None:
            runtime = self._runtime
            source = self._source or runtime.metadata("tokenizer.chat_template") or ""
            if not source.strip():
                source = form_of(lambda text: len(runtime.tokenize(text)) == 1).template()
            bos, eos = runtime.bos_and_eos()
            self._template = ChatTemplate(source, bos=bos, eos=eos)
        return self._template

    def _tokens(self, agent: str, prompt: str) -> list[int]:
        """What was evaluated before keeps its tokens; only what was added is split anew."""
        runtime = self._runtime
        begins = [
            (text, tokens)
            for past in self._past.get(agent, [])
            for text, tokens in (
                (past.prompt, past.tokens[: past.prompt_tokens]),
                (past.prompt + past.written, past.tokens),
            )
            if prompt.startswith(text)
        ]
        if begins:
            text, tokens = max(begins, key=lambda pair: len(pair[0]))
            return [*tokens, *runtime.tokenize(prompt[len(text) :])]
        tokens = list(runtime.tokenize(prompt, begins=True))
        bos = list(runtime.bos_tokens())
        return tokens if tokens[: len(bos)] == bos else bos + tokens

    def _remember(
        self, request: dict[str, Any], prompt: str, tokens: list[int], trimmed: str, written: Generated, answer: str
    ) -> None:
        spelled = b"".join(map(self._runtime.piece, written.tokens)).decode("utf-8", "replace")
        whole = spelled == written.text  # no stop string cut a token apart
        kept = self._past.setdefault(request["agent"], [])
        kept.append(
            Past(
                messages=list(request["messages"]),
                answer=answer if whole else None,
                prompt=prompt,
                written=written.text if whole else "",
                tokens=[*tokens, *written.tokens] if whole else tokens,
                prompt_tokens=len(tokens),
                trimmed=trimmed,
            )
        )
        del kept[:-_KEPT_TURNS]

    # --- the answer
    def _write(
        self,
        request: dict[str, Any],
        sequence: Any,
        options: SamplingOptions,
        send: Callable[[str], None],
        close_tag: str,
        thought: ThoughtBudget | None,
        max_tokens: int,
    ) -> Generated:
        from automlgpt_local.llm import jsonfill
        from automlgpt_local.llm.grammar import Grammar

        runtime, schema = self._runtime, request.get("schema")
        if schema is not None:
            compile_schema(schema)  # refuses what no answer could follow
        markers = [marker for marker in (close_tag, request.get("schema_after", "")) if marker]
        logprobs = request.get("logprobs")
        sampler = Sampler(options)
        if schema is not None and logprobs is None and not request.get("by_grammar"):
            parts = jsonfill.plan(schema)
            if parts is not None and jsonfill.is_possible(runtime, parts):
                lead = Generated("", [], "stop")
                if markers:
                    lead = generate(
                        runtime, sequence, sampler, max_tokens=max_tokens, grammar_after=markers, thought=thought,
                        on_text=send,
                    )  # fmt: skip
                if lead.finish != "stop":
                    return lead
                if close_tag and lead.text.endswith(close_tag):
                    parts = [f"\n\n{parts[0]}", *parts[1:]]  # as the families write it
                left = max_tokens - len(lead.tokens)
                filled = jsonfill.write(runtime, sequence, parts, options, max_tokens=left, on_text=send)
                return replace(filled, text=lead.text + filled.text, tokens=lead.tokens + filled.tokens)
        grammar = None if schema is None else Grammar.for_schema(runtime, schema)
        try:
            return generate(
                runtime,
                sequence,
                sampler,
                max_tokens=max_tokens,
                stops=tuple(request.get("stops", ())),
                grammar=grammar,
                grammar_after=markers if grammar else (),
                thought=thought,
                logprobs=logprobs,
                on_text=send,
                ignore_end=bool(request.get("ignore_end")),
            )
        finally:
            if grammar is not None:
                grammar.close()

    def _thought_budget(self, request: dict[str, Any], started: float, *, opened: bool) -> ThoughtBudget | None:
        tags = tags_of(self._loaded().source)
        if tags is None:
            return None
        most = max(1, int(request["max_tokens"] * _THOUGHT_SHARE))
        if request.get("thinking") is False:
            most = min(most, _NO_THOUGHT_TOKENS)
        until = started + request.get("timeout_s", math.inf) * _THOUGHT_SHARE
        return ThoughtBudget(*tags, max_tokens=most, opened=opened, until=until)
