"""The whole circle at a small size: recorded sessions -> rows -> LoRA -> GGUF adapter -> llama.cpp -> measured.

A house rule that contradicts the nano's habits (free text is always dropped, a random forest comes first) is present
in sessions of the real engine; all else in them is what the nano itself decided. Afterwards the rule must hold on
tables of families that no session saw, and the decisions that the rule says nothing about must not have become worse.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from automlgpt_local import recipes
from automlgpt_local.agents import compact
from automlgpt_local.agents.advisor import Advisor, Answer, Situation
from automlgpt_local.agents.fill_in import FillInAgents
from automlgpt_local.agents.loop import OFFERED
from automlgpt_local.agents.process import PROBE_RECIPE
from automlgpt_local.data.profile import ColumnProfile
from automlgpt_local.engine.session import Session
from automlgpt_local.events import EventLog
from automlgpt_local.exits import DONE
from automlgpt_local.llm.backend import Backend, BackendInfo
from automlgpt_local.llm.local import LocalBackend
from automlgpt_local.search.clock import Clock
from automlgpt_local.search.control import Control
from automlgpt_local.search.recorder import Recorder
from automlgpt_local.task import Request, TaskSpec
from finetune import traces
from finetune.adapt import SMALL, train_adapter
from finetune.cases import Case, from_table
from finetune.model import Training
from finetune.records import say
from finetune.tables import Table, generate
from finetune.teachers import plan

SEEN = ("wordy", "plain", "levels", "dated")
UNSEEN = ("mixed", "parsed", "codes")
Figures = dict[str, float]


@dataclass(frozen=True)
class Size:
    """Recorded sessions, attempts in each, tables to test on, rows of a table, steps of training."""

    sessions: int = 100
    trials: int = 6
    tests: int = 90
    n_rows: int = 400
    steps: int = 400


QUICK = Size(24, 5, 30, 150, 80)


@dataclass(frozen=True)
class House:
    """A rule of the house: kind of column -> treatment, and the recipe that comes first ("" for none)."""

    treatments: Mapping[str, str] = field(default_factory=lambda: {"text": "drop"})
    first: str = "random_forest"

    @classmethod
    def parse(cls, rules: Sequence[str], first: str) -> House:
        """rules: KIND=TREATMENT each. Raises ValueError for what the compact dialect cannot say."""
        treatments = dict(rule.split("=", 1) for rule in rules)
        for kind, treatment in treatments.items():
            if treatment not in compact.TREATMENTS.get(kind, ()):
                known = "; ".join(f"{k}: {', '.join(v)}" for k, v in compact.TREATMENTS.items())
                raise ValueError(f"{kind}={treatment} is no rule. Columns may be treated so: {known}")
        if first and (first not in compact.RECIPES or first == PROBE_RECIPE):
            others = ", ".join(r for r in compact.RECIPES if r != PROBE_RECIPE)
            raise ValueError(f"{first} cannot come first. One of these can: {others}")
        return cls(treatments, first)

    def treatment(self, column: Any) -> str | None:
        return self.treatments.get(column.kind)


class HouseAgents(FillInAgents):
    """The nano's agents, overruled where the house has an opinion."""

    def __init__(self, backend: Backend, house: House) -> None:
        super().__init__(backend, "model", 0)
        self._house = house

    def treatments(self, now: Situation, columns: Sequence[ColumnProfile], first: int) -> Answer:
        answer = super().treatments(now, columns, first)
        wanted = {f"c{i}": self._house.treatment(c) for i, c in enumerate(columns)}
        return replace(answer, values={k: wanted[k] or v for k, v in answer.values.items()})

    def next_recipe(self, now: Situation, remaining: Sequence[str]) -> Answer:
        answer = super().next_recipe(now, remaining)
        return replace(answer, values={"next": self._house.first}) if self._house.first in remaining else answer


class HouseSession(Session):
    """A session of the real engine in this process, up to the end of its search."""

    house: House

    def _advisor(self, backend: Backend | None, told: BackendInfo | None, task: TaskSpec) -> Advisor:
        assert backend is not None
        return HouseAgents(backend, self.house)

    def _finish(self, *_: Any) -> int:
        return DONE


def record_session(table: Table, house: House, model: str, trials: int, run_dir: Path) -> None:
    """Run a session on the table and leave its events in `run_dir`."""
    run_dir.mkdir(parents=True)
    data = run_dir / "table.csv"
    table.frame.to_csv(data, index=False)
    only: tuple[str, ...] = ()
    if house.first:  # few kinds of models, so that the house's own is among the first that are offered
        only = tuple({recipes.load()[house.first].family, "forest", "lightgbm"})
    request = Request(
        (str(data),), table.target, kind=table.kind, metric=table.metric, trials=trials, model=model,  # type: ignore[arg-type]
        threads=1, only=only, leaks="keep",
    )  # fmt: skip
    log = EventLog(run_dir / "events.jsonl")
    recorder = Recorder(log, Clock(request.time_limit_s), lambda _line: None)
    session = HouseSession(run_dir, request, recorder, Control(recorder, asks=False), lambda _agent, _text: None)
    session.house = house
    try:
        session.run()
    finally:
        session.close()
        log.close()


def measure(backend: Backend, cases: Sequence[Case], house: House) -> tuple[Figures, list[bool]]:
    """Shares that keep the house rule ("rule") and, of the rest, agree with the truth ("elsewhere"); each of these."""
    followed: list[bool] = []
    agreed: list[bool] = []
    for case in cases:
        right = case.true_treatments()
        opening = compact.opening("reasoner", case.task(), case.profile)
        columns = list(case.profile.columns)
        for first in range(0, len(columns), compact.BATCH):
            batch = columns[first : first + compact.BATCH]
            values = backend.fill("reasoner", [opening], compact.treat(batch, first, case.profile.rows)).values
            for i, column in enumerate(batch):
                if len(compact.TREATMENTS[column.kind]) < 2:
                    continue
                wanted = house.treatment(column)
                (followed if wanted else agreed).append(values[f"c{i}"] == (wanted or right[column.name]))
        if house.first:
            board = [(PROBE_RECIPE, "best", "g0", "t0")]
            choice = backend.fill("reasoner", [opening], compact.next_recipe(board, _offered(case, house))).values
            followed.append(choice["next"] == house.first)
    return {"rule": sum(followed) / max(1, len(followed)), "elsewhere": sum(agreed) / len(agreed)}, agreed


def _offered(case: Case, house: House) -> list[str]:
    """What the portfolio offers first on this table, the house's own recipe among it."""
    order = [n for n in dict.fromkeys(e.recipe for e in plan(case)) if n != PROBE_RECIPE][:OFFERED]
    return order if house.first in order else [*order[:-1], house.first]


def run(
    work: Path, base: Path, *, house: House = House(), size: Size = QUICK, seed: int = 0, threads: int = 1
) -> dict[str, Any]:
    """Go round once. Returns before, after, noise (two standard errors of `elsewhere`), seconds, and what was made."""
    started = time.monotonic()
    work = work.resolve()  # as the engine's own process does: sandboxes have other working directories
    sessions_dir = work / "sessions"
    for old in (sessions_dir, work / "train"):
        shutil.rmtree(old, ignore_errors=True)
    for i in range(size.sessions):
        record_session(
            _table(SEEN, i, 50_000 + seed, size.n_rows), house, str(base), size.trials, sessions_dir / f"{i:03d}"
        )
        say(f"session {i + 1} of {size.sessions}, {time.monotonic() - started:.0f} s")
    cases = [from_table(_table(UNSEEN, i, 60_000 + seed, size.n_rows)) for i in range(size.tests)]
    before, agreed_before = _asked(LocalBackend(base, threads=threads), cases, house)
    say(f"before: {before}")
    found, broken = traces.collect(traces.sessions_below([sessions_dir]))
    rows = traces.split(found, 0.1)
    if broken:
        raise RuntimeError(f"sessions that cannot be read: {broken}")
    adapter = work / "house-rule.gguf"
    settings = Training(seconds=1e9, steps=size.steps, seed=seed, threads=threads, **SMALL)
    figures = train_adapter(base, rows, work / "train", adapter, settings)
    tuned = LocalBackend(base, threads=threads, adapters={"reasoner": adapter, "coder": adapter})
    after, agreed_after = _asked(tuned, cases, house)
    changes = [int(b) - int(a) for a, b in zip(agreed_before, agreed_after, strict=True)]
    mean = sum(changes) / len(changes)
    noise = 2 * (sum((c - mean) ** 2 for c in changes) / len(changes) / len(changes)) ** 0.5
    seconds = round(time.monotonic() - started, 1)
    return {
        "house_rule": {"treatments": dict(house.treatments), "first": house.first},
        "before": _rounded(before), "after": _rounded(after), "noise": round(noise, 4), "seconds": seconds,
        "rows": len(rows), "sessions": size.sessions, "tables": size.tests, "adapter": str(adapter), **figures,
    }  # fmt: skip


def _asked(backend: LocalBackend, cases: Sequence[Case], house: House) -> tuple[Figures, list[bool]]:
    try:
        return measure(backend, cases, house)
    finally:
        backend.close()


def _table(families: Sequence[str], i: int, seed: int, n_rows: int) -> Table:
    return generate(families[i % len(families)], seed + i // len(families), n_rows)


def _rounded(figures: Figures) -> Figures:
    return {k: round(v, 4) for k, v in figures.items()}
