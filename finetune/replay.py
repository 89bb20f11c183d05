"""What an agent was asked, written anew by the very code that prompts the live model, from a session's events."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from automlgpt_local import recipes
from automlgpt_local.agents import compact, feature_code, ideas
from automlgpt_local.agents.advisor import Advisor, Situation
from automlgpt_local.agents.assemble import features_of
from automlgpt_local.agents.chat_agents import ChatAgents
from automlgpt_local.agents.fill_in import FillInAgents
from automlgpt_local.agents.journal import Journal
from automlgpt_local.agents.process import MAX_IDEAS, PROBE_RECIPE, advised_columns
from automlgpt_local.data.profile import ColumnProfile, Profile
from automlgpt_local.events import (
    AttemptFinished,
    Budget,
    CodeRejected,
    CodeWritten,
    Decided,
    Gated,
    Noted,
    Profiled,
    Record,
    Resumed,
    TaskChanged,
    TaskResolved,
)
from automlgpt_local.llm.backend import BackendInfo, Message, Template
from automlgpt_local.metrics import METRICS
from automlgpt_local.search.evaluate import Attempt, Evaluation
from automlgpt_local.task import TaskSpec

CONTEXT_TOKENS = 32_768  # of the model that a row is written for


class AskedError(Exception):
    """No failure: carries a question out of the code that would have put it to a model.

    slots: what a chat model may answer, name -> options; empty where it writes code.
    """

    def __init__(
        self, agent: str, transcript: Sequence[str] = (), template: Template = (), messages: Sequence[Message] = (),
        slots: Mapping[str, Sequence[Any]] | None = None,
    ) -> None:  # fmt: skip
        self.agent, self.transcript, self.template, self.messages = agent, tuple(transcript), template, tuple(messages)
        self.slots = dict(slots or {})


class Listener:
    """A backend that answers nothing: it raises AskedError."""

    info = BackendInfo("listener", "full", CONTEXT_TOKENS)

    def fill(self, agent: str, transcript: Sequence[str], template: Template, **_: Any) -> Any:
        raise AskedError(agent, transcript, template)

    def chat(self, agent: str, messages: Sequence[Message], *, schema: dict[str, Any] | None = None, **_: Any) -> Any:
        properties = schema["properties"] if schema else {}
        slots = {name: slot["enum"] for name, slot in properties.items() if "enum" in slot}
        raise AskedError(agent, messages=messages, slots=slots)

    def count_tokens(self, text: str) -> int:
        return len(text) // 3

    def close(self) -> None:
        pass


@dataclass
class Replay:
    """What was known at each moment of one session. `folder`: where its `attempts/` lie, if they are there.

    chat: for chat models; else in the compact dialect. cells: show the ranges of columns, notes and the errors of
    modules to a chat model as they were, though they hold cells of the table; the compact dialect never shows any.
    """

    folder: Path
    chat: bool = False
    cells: bool = False
    task: TaskSpec | None = None
    profile: Profile | None = None
    journal: Journal | None = None
    t: float = 0.0
    limit_s: float = 0.0
    written: dict[int, CodeWritten] = field(default_factory=dict)
    tools: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    treatments: dict[str, str] = field(default_factory=dict)
    advised: dict[str, str] = field(default_factory=dict)
    features: str = ""
    source: str = ""  # the module that an agent wrote last
    error: str = ""
    batch: int = 0
    tuned: str = ""  # the recipe that gets other hyper-parameters now

    def take(self, record: Record) -> None:
        """Bring the situation up to date; a decision is taken after it was asked about."""
        event, self.t = record.event, record.t
        if isinstance(event, TaskResolved):
            self.task = TaskSpec.from_json(event.task)
            self.journal, self.limit_s = Journal(METRICS[self.task.metric]), self.task.time_limit_s
        elif isinstance(event, TaskChanged) and self.journal is not None:
            self.task, self.journal.left_out = TaskSpec.from_json(event.task), set(event.left_out)
        elif isinstance(event, Budget):
            self.limit_s = event.limit_s
        elif isinstance(event, Resumed):
            self.limit_s = max(self.limit_s, event.limit_s)
        elif isinstance(event, Profiled):
            self.profile = Profile.from_json(event.profile)
            self.treatments = compact.default_treatments(self.profile)
            self.advised = dict(self.treatments)
        elif isinstance(event, Noted) and self.cells:
            self.notes.append(f"{event.title}: {event.text}")
        elif isinstance(event, CodeWritten):
            self.written[event.attempt] = event
        elif isinstance(event, AttemptFinished) and self.journal is not None:
            self.journal.add(_evaluation(self.written[event.attempt], event))
        elif isinstance(event, CodeRejected):
            self.error = event.problem if self.cells else _without_literals(event.problem)
        elif isinstance(event, Gated) and event.kept:
            self._kept(self.written[event.attempt])
        elif isinstance(event, Decided):
            self._decided(event)

    def ask(self, event: Decided) -> AskedError | None:
        """The question that was answered by this decision; None where there is none in this dialect.

        A choice of recipes that is about none was put to nobody: the rules had only one answer.
        """
        if self.task is None or self.profile is None or self.journal is None:
            return None
        left_s = max(0.0, self.limit_s - self.t)
        now = Situation(self.task, self._shown(self.profile), self.journal, left_s, 60.0, 0, tuple(self.notes))
        known, advisor = recipes.load(installed_only=False), self._advisor(self.task)
        try:
            match event.decision:
                case "next_tool":
                    advisor.next_tool(now, self.tools)
                case "treatments":
                    advisor.treatments(now, self._batch(now.profile), self.batch * compact.BATCH)
                case "features":
                    base = feature_code.features_body(
                        self.profile.columns, self.treatments, ideas.cells_of(self.features)
                    )
                    advisor.features(now, self.ideas(), base)
                case "next_recipe" if event.about:
                    advisor.next_recipe(now, event.about)
                case "next_tune" if event.about:
                    advisor.next_tune(now, event.about)
                case "params" if self.tuned in known and event.values:
                    advisor.params(now, known[self.tuned])
                case "solution":
                    advisor.solution(now, known[PROBE_RECIPE].source, self.features)
                case "repair":
                    advisor.repair(now, self.source, self.error)
        except AskedError as asked:
            return asked
        return None

    def _advisor(self, task: TaskSpec) -> Advisor:
        one = "second-agent" in task.without
        if self.chat:
            return ChatAgents(Listener(), "", 0, lambda _agent, _text: None, one)
        return FillInAgents(Listener(), "model", 0, one_agent=one)

    def _shown(self, profile: Profile) -> Profile:
        if self.cells or not self.chat:
            return profile
        return replace(profile, columns=[replace(c, min=None, max=None) for c in profile.columns])

    def _batch(self, profile: Profile) -> list[ColumnProfile]:
        """The columns that are asked about now."""
        first = self.batch * compact.BATCH
        return advised_columns(profile.columns)[first : first + compact.BATCH]

    def ideas(self) -> list[feature_code.FeatureIdea]:
        assert self.profile is not None
        return ideas.propose(self.profile, self.treatments, MAX_IDEAS)

    def features_code(self, event: Decided) -> str:
        """The features(df) that a decision in slots stands for."""
        assert self.profile is not None
        chosen = [idea for i, idea in enumerate(self.ideas()) if event.values.get(f"f{i}") == "yes"]
        return feature_code.features_source(
            self.profile.columns, self.treatments, [*ideas.cells_of(self.features), *chosen]
        )

    def _kept(self, code: CodeWritten) -> None:
        if is_advised(code):
            self.treatments = dict(self.advised)
        file = self.folder / "attempts" / f"{code.attempt:04d}" / "solution.py"
        if code.stage == "process" and file.is_file():
            self.features = features_of(file.read_text(encoding="utf-8"))

    def _decided(self, event: Decided) -> None:
        if event.decision == "next_tool":
            self.tools.append(str(event.values.get("tool")))
        elif event.decision == "treatments":
            assert self.profile is not None
            batch = self._batch(self.profile)
            self.advised.update({c.name: str(event.values[f"c{i}"]) for i, c in enumerate(batch)})
            self.batch += 1
        elif event.decision == "next_recipe" and event.values.get("next") == "own" and self.journal is not None:
            self.journal.own_asked += 1
        elif event.decision == "next_tune":
            self.tuned = str(event.values.get("next"))
        elif event.decision in ("solution", "repair"):
            self.source = str(event.values.get("source") or "")


def is_advised(code: CodeWritten) -> bool:
    """The module that tries the Reasoning agent's treatment of the columns."""
    return "Reasoner's treatment" in code.title


def is_features(code: CodeWritten) -> bool:
    """The module that tries the Coding agent's features."""
    return "Coder's features" in code.title


def _evaluation(code: CodeWritten, event: AttemptFinished) -> Evaluation:
    attempt = Attempt(
        code.attempt, code.stage, code.recipe, code.title, code.params, code.columns, code.parent, code.probe
    )
    return Evaluation(attempt, event.status, event.score, event.noise, (), event.seconds, event.seconds)


def _without_literals(error: str) -> str:
    """A message without what stands in quotes and without numbers of several digits: those are cells, as a rule."""
    return re.sub(r"'[^'\n]*'|\"[^\"\n]*\"|\d[\d.,]+\d", "...", error)
