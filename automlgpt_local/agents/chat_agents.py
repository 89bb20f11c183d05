"""Both agents on a chat model: full prompts, decisions as schema-constrained JSON, code as one fenced module."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from automlgpt_local.agents import compact
from automlgpt_local.agents.advisor import Answer, Situation
from automlgpt_local.agents.feature_code import FeatureIdea
from automlgpt_local.data.profile import ColumnProfile
from automlgpt_local.events import Agent, Author
from automlgpt_local.llm.backend import Backend, Message, Reply
from automlgpt_local.recipes import Recipe, load

TURN_S = 120.0
CODE_TOKENS = 2500
DECISION_TOKENS = 1200
MOST_SAID = 3  # of the user's messages
MOST_OWN = 2  # solutions of the Coder's own in a run
MOST_FAILURES, MOST_NOTES = 5, 8  # that are shown, the last ones
PROFILE_SHARE = 0.35  # of the context, for the columns' lines; what does not fit is counted, not shown


class ChatAgents:
    by: Author = "model"

    def __init__(
        self, backend: Backend, request: str, seed: int, on_text: Callable[[Agent, str], None],
        one_agent: bool = False, said: Sequence[str] = (),
    ) -> None:  # fmt: skip
        self._backend, self._request, self._seed, self._on_text = backend, request, seed, on_text
        self._said = said  # what the user says while it runs, the newest last
        self._one_agent = one_agent  # one conversation and one system prompt for both jobs

    # --- the Reasoning agent
    def next_tool(self, now: Situation, done: Sequence[str]) -> Answer:
        options = [t for t in compact.TOOLS if t not in done]
        return self._decide(now, render("next_tool", done=list(done), options=options), {"tool": _enum(options)})

    def treatments(self, now: Situation, columns: Sequence[ColumnProfile], first: int) -> Answer:
        offered = {treatment for c in columns for treatment in compact.TREATMENTS[c.kind]}
        lines = [f"c{i} = {column_line(c)}" for i, c in enumerate(columns)]
        question = render("treatments", columns=lines, offered=offered)
        slots = {f"c{i}": _enum(compact.TREATMENTS[c.kind]) for i, c in enumerate(columns)}
        return self._decide(now, question, slots)

    def next_recipe(self, now: Situation, remaining: Sequence[str]) -> Answer:
        known = load()
        own = ["own"] if now.journal.own_asked < MOST_OWN else []
        offered = [known[r] for r in remaining if r in known]
        question = render("next_recipe", journal=journal(now), recipes=offered, own=own)
        return self._decide(now, question, {"next": _enum([*remaining, *own, "stop"])})

    def next_tune(self, now: Situation, candidates: Sequence[str]) -> Answer:
        return self._decide(now, render("next_tune", journal=journal(now)), {"next": _enum([*candidates, "stop"])})

    # --- the Coding agent
    def params(self, now: Situation, recipe: Recipe) -> Answer:
        question = render("params", journal=journal(now), recipe=recipe, history=now.journal.history(recipe.name)[-8:])
        return self._decide(now, question, {n: _enum(v) for n, v in recipe.grid.items()}, agent="coder")

    def features(self, now: Situation, ideas: Sequence[FeatureIdea], base: str) -> Answer:
        return self._write(now, render("features", base=base or "pass", ideas=ideas))

    def solution(self, now: Situation, example: str, features: str) -> Answer:
        return self._write(now, render("solution", journal=journal(now), example=example, features=features))

    def repair(self, now: Situation, source: str, error: str) -> Answer:
        return self._write(now, render("repair", source=source, error=error[-1500:]))

    # --- turns
    def _decide(self, now: Situation, question: str, slots: dict[str, Any], agent: Agent = "reasoner") -> Answer:
        properties = {"thought": {"type": "string", "maxLength": 300}, **slots}
        schema = {
            "type": "object",
            "properties": properties,
            "required": list(properties),
            "additionalProperties": False,
        }
        asked = render("question", notes=_seen(now), question=question, slots=_forms(slots))
        reply = self._turn(agent, now, asked, DECISION_TOKENS, schema)
        values = reply.calls[0].arguments if reply.calls else json.loads(reply.text)
        if not isinstance(values, dict):
            raise ValueError("the answer is not a JSON object")
        thought = str(values.pop("thought", ""))[:300]
        for name, slot in slots.items():
            if values.get(name) not in slot["enum"]:
                raise ValueError(f"{name} must be one of {slot['enum']}")
        return _answer(reply, {name: values[name] for name in slots}, thought or reply.thought[:300])

    def _write(self, now: Situation, question: str) -> Answer:
        reply = self._turn("coder", now, question, CODE_TOKENS, None)
        if reply.code is None:
            raise ValueError("the reply holds no fenced block of Python")
        return _answer(reply, {"source": reply.code}, reply.thought[:300])

    def _turn(
        self, agent: Agent, now: Situation, question: str, max_tokens: int, schema: dict[str, Any] | None
    ) -> Reply:
        if self._one_agent:
            agent = "reasoner"
            system = "\n\n".join((render("coder", table=""), render("reasoner", table=self._table(now))))
        else:
            system = render(agent, table=self._table(now))
        messages = [Message("system", system), Message("user", question)]
        return self._backend.chat(
            agent, messages, schema=schema, max_tokens=max_tokens, seed=self._seed * 100_003 + now.turn,
            timeout_s=min(TURN_S, now.turn_s), on_text=lambda text: self._on_text(agent, text),
        )  # fmt: skip

    def _table(self, now: Situation) -> str:
        """The task and as many columns as a share of the context holds, the most telling ones first."""
        columns = sorted(now.profile.columns, key=lambda c: -(c.association or 0.0))
        room = int(self._backend.info.context_tokens * PROFILE_SHARE)
        lines: list[str] = []
        for column in columns:
            line = column_line(column)
            room -= self._backend.count_tokens(f"- {line}")
            if room < 0:
                break
            lines.append(line)
        request = "\n".join([self._request, *self._said[-MOST_SAID:]]).strip()
        return render(
            "table", request=request, task=now.task, profile=now.profile, columns=lines,
            left_out=len(columns) - len(lines),
        )  # fmt: skip


def column_line(column: ColumnProfile) -> str:
    """One column in a line."""
    facts = [str(column.kind), f"{column.missing:.0%} missing", f"{column.unique} distinct"]
    if column.min is not None and column.max is not None:
        facts.append(f"{column.min:.4g} to {column.max:.4g}")
    if column.association is not None:
        facts.append(f"association {column.association:.2f}")
    return f"{quoted(str(column.name)[:80])}: {', '.join(facts)}"


def quoted(value: Any) -> str:
    """As JSON in one line. Only what cannot be seen is escaped: letters of any script would cost several times their
    tokens."""
    return one_line(json.dumps(value, ensure_ascii=False))


def one_line(text: str) -> str:
    """A text that no name or value in it can take to another line."""
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in text)


def journal(now: Situation) -> str:
    failures = []
    for e in now.journal.failures()[-MOST_FAILURES:]:
        last = e.error.strip().splitlines()[-1:]
        failures.append(one_line(": ".join([e.attempt.recipe, e.attempt.title, e.status, *last]))[:300])
    return render("journal", rows=now.journal.board(), failures=failures, left_s=now.left_s)


def _enum(options: Sequence[Any]) -> dict[str, Any]:
    return {"enum": list(options)}


def _seen(now: Situation) -> list[str]:
    return [one_line(note)[:500] for note in now.notes[-MOST_NOTES:]]


def _forms(slots: Mapping[str, dict[str, Any]]) -> list[tuple[str, str]]:
    """(keys of the answer, their options): keys that share their options stand together."""
    keys: dict[str, list[str]] = {}
    for name, slot in slots.items():
        keys.setdefault(" | ".join(map(quoted, slot["enum"])), []).append(quoted(name))
    return [(", ".join(names), options) for options, names in keys.items()]


def _answer(reply: Reply, values: dict[str, Any], thought: str) -> Answer:
    probabilities = {name: round(p, 4) for name, p in reply.probabilities.items()}
    return Answer(
        values, "model", thought, 0, reply.output_tokens, reply.evaluated_tokens, probabilities,
        round(reply.seconds, 3), trimmed=reply.trimmed,
    )  # fmt: skip


@cache
def _environment() -> Any:
    import jinja2
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(
        loader=jinja2.PackageLoader("automlgpt_local.agents", "prompts"), undefined=jinja2.StrictUndefined,
        trim_blocks=False, keep_trailing_newline=False,
    )  # fmt: skip
    environment.filters["tojson"] = quoted  # Jinja's own writes "<", "'" and other letters for HTML
    return environment


def render(name: str, **values: Any) -> str:
    return str(_environment().get_template(f"{name}.md.j2").render(**values)).strip()


def prompts_sha256() -> str:
    """The hash of all prompts, recorded with each session."""
    folder = resources.files("automlgpt_local.agents") / "prompts"
    names = sorted(entry.name for entry in folder.iterdir() if entry.name.endswith(".j2"))
    return hashlib.sha256(b"\0".join((folder / name).read_bytes() for name in names)).hexdigest()
