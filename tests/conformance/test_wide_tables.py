"""A table of 5,000 columns: batches of the compact dialect fit into nano's context, full prompts into any model's."""

from __future__ import annotations

from pathlib import Path

import pytest

from automlgpt_local.agents import compact
from automlgpt_local.agents.advisor import Situation
from automlgpt_local.agents.chat_agents import ChatAgents
from automlgpt_local.agents.journal import Journal
from automlgpt_local.data.profile import ColumnProfile, Profile
from automlgpt_local.llm.backend import Message
from automlgpt_local.llm.catalog import nano_path
from automlgpt_local.llm.local import LocalBackend
from automlgpt_local.metrics import METRICS
from automlgpt_local.task import TaskSpec

COLUMNS = 5000
TASK = TaskSpec("churned", "binary", "roc_auc", 60.0)


def column(number: int) -> ColumnProfile:
    """Every kind in turn, with the longest facts and names that a table may have."""
    kind = tuple(compact.TREATMENTS)[number % len(compact.TREATMENTS)]
    name = f"{'Größe der Fläche №' if number % 3 else 'measurement of sensor'} {number} {'x' * 60}"
    numbers = {"min": -1e12 / 7, "max": 1e12 / 7, "skew": 90.0, "zeros": 0.9} if kind in ("number", "id") else {}
    return ColumnProfile(
        name, kind, 0.3, 6000, **numbers, avg_words=30.0, association=(number % 97) / 100, leak=number % 7 == 0
    )


@pytest.fixture(scope="module")
def wide() -> Profile:
    return Profile(50_000, 0, [column(number) for number in range(COLUMNS)], {"classes": {"yes": 0.5, "no": 0.5}})


@pytest.mark.skipif(not nano_path().is_file(), reason="nano.gguf is not in this installation")
def test_every_batch_of_the_compact_dialect_fits(wide: Profile) -> None:
    opening = compact.opening("reasoner", TASK, wide)
    with LocalBackend(nano_path()) as backend:
        room = backend.info.context_tokens - 8 * compact.BATCH  # for the longest options
        for first in range(0, COLUMNS, compact.BATCH):
            template = compact.treat(wide.columns[first : first + compact.BATCH], first, wide.rows)
            fixed = sum(backend.count_tokens(part) for part in template if isinstance(part, str))
            assert backend.count_tokens(opening) + fixed < room, first
            if first in (0, 32 * 78, 32 * 156):
                filled = backend.fill("reasoner", [opening], template)
                batch = wide.columns[first : first + compact.BATCH]
                assert all(filled.values[f"c{i}"] in compact.TREATMENTS[c.kind] for i, c in enumerate(batch))
                assert first == 0 or filled.evaluated_tokens < fixed + 8 * compact.BATCH  # the opening was known


def test_full_prompts_fit_and_say_how_many_columns_are_not_shown(model: Path, wide: Profile) -> None:
    """The model of random weights has a token for each byte, so its 8,192 are as tight as some 2,500 of a real one."""
    now = Situation(TASK, wide, Journal(METRICS["roc_auc"]), 50.0, 60.0, 1)
    with LocalBackend(model, context_tokens=8192, dialect="full") as backend:
        agents = ChatAgents(backend, "Predict it.", 0, lambda agent, text: None)
        table = agents._table(now)
        assert "more columns like these" in table
        answer = agents.treatments(now, wide.columns[: compact.BATCH], 0)
        assert len(answer.values) == compact.BATCH
        assert all(answer.values[f"c{i}"] in compact.TREATMENTS[c.kind] for i, c in enumerate(wide.columns[:32]))


def test_a_prompt_with_all_columns_is_trimmed_visibly(model: Path, wide: Profile) -> None:
    lines = "\n".join(f"- {column.name}: {column.kind}" for column in wide.columns)
    talk = [Message("system", f"You decide.\n{lines}"), Message("user", "Which column next?")]
    with LocalBackend(model, context_tokens=8192) as backend:
        prompt = len(backend.render(talk))
        reply = backend.chat("reasoner", talk, max_tokens=50)
        assert prompt > 400_000 and reply.prompt_tokens + 50 <= 8192
        assert "middle of long messages were left out" in reply.trimmed
        assert reply.seconds < 60
