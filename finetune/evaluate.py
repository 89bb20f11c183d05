"""How good a model of the compact dialect is: choices as the teacher's, and what they cost, before and after."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from automlgpt_local.llm.backend import Choice, Template
from automlgpt_local.llm.local import LocalBackend
from finetune.cases import MOST_MEASURED, measured_cases
from finetune.model import load_trained, probabilities
from finetune.records import say, sha256
from finetune.rows import Row, encode, read_rows


def held_out(work: Path, most: int = 2500) -> dict[str, dict[str, float]]:
    """decision -> shares of slots chosen as the teacher did: by the model, the commonest choice for the same options,
    chance; and the mean probability given to the teacher's choice."""
    model, tokenizer = load_trained(work)
    rows = list(read_rows(work / "rows.jsonl"))
    common = _commonest([r for r in rows if not r.held_out])
    tested = [r for r in rows if r.held_out][:most]
    encoded = [encode(r, tokenizer) for r in tested]
    found: dict[str, dict[str, float]] = {}
    for row, enc, branches in zip(tested, encoded, probabilities(model, encoded), strict=True):
        slots = [p for p in row.parts if not isinstance(p, str)]
        right = [True] * len(slots)
        chance = [1.0] * len(slots)
        for branch, shares in zip(enc.branches, branches, strict=True):
            at = branch.allowed.index(branch.token)
            right[branch.slot] &= shares[at] == max(shares)
            chance[branch.slot] *= shares[at]
        for i, slot in enumerate(slots):
            if len(slot["options"]) < 2:
                continue
            figures = found.setdefault(
                row.decision, {"slots": 0, "model": 0, "commonest": 0, "random": 0, "probability": 0}
            )
            figures["slots"] += 1
            figures["model"] += right[i]
            figures["commonest"] += common.get(_kind(row, slot), slot["options"][0]) == slot["choice"]
            figures["random"] += 1 / len(slot["options"])
            figures["probability"] += chance[i]
    for figures in found.values():
        for name in ("model", "commonest", "random", "probability"):
            figures[name] = round(figures[name] / figures["slots"], 4)
    return found


def _kind(row: Row, slot: dict[str, object]) -> tuple[str, ...]:
    name = str(slot["name"]) if row.decision == "params" else ""
    options = slot["options"] if row.decision != "next_recipe" and row.decision != "next_tune" else []
    assert isinstance(options, list)
    return (row.decision, name, *sorted(options))


def _commonest(rows: list[Row]) -> dict[tuple[str, ...], str]:
    counts: dict[tuple[str, ...], Counter[str]] = {}
    for row in rows:
        for slot in row.parts:
            if not isinstance(slot, str):
                counts.setdefault(_kind(row, slot), Counter())[slot["choice"]] += 1
    return {kind: counter.most_common(1)[0][0] for kind, counter in counts.items()}


@dataclass(frozen=True)
class Served:
    """A GGUF in llama.cpp, with an adapter if there is one. Named by the files' hashes."""

    base: Path
    adapter: Path | None = None

    @property
    def sha256(self) -> list[str]:
        return [sha256(path) for path in (self.base, self.adapter) if path is not None]

    def open(self) -> LocalBackend:
        adapters = {"reasoner": self.adapter, "coder": self.adapter} if self.adapter else None
        return LocalBackend(self.base, threads=1, adapters=adapters)


def agreement(model: Served, rows: Sequence[Row]) -> dict[str, object]:
    """By decision, the share of slots that the model chooses as the rows do."""
    backend, right = model.open(), dict[str, list[bool]]()
    try:
        for row in rows:
            agent = "coder" if row.prompt.startswith("coder") else "reasoner"
            template: Template = [
                p if isinstance(p, str) else Choice(p["name"], tuple(p["options"])) for p in row.parts
            ]
            values = backend.fill(agent, row.transcript, template).values
            for part in row.parts:
                if not isinstance(part, str) and len(part["options"]) > 1:
                    right.setdefault(row.decision, []).append(values[part["name"]] == part["choice"])
    finally:
        backend.close()
    shares = {decision: round(sum(found) / len(found), 4) for decision, found in right.items()}
    return {"sha256": model.sha256, **shares}


def regret_of(models: Mapping[str, Served], folder: Path, tables: int, page: Path) -> dict[str, object]:
    """What the models' decisions cost on generated tables of families that no model was trained on.

    The tables are measured first, about half a minute each on one core, and kept in `folder`.
    """
    from finetune import regret, teachers
    from finetune.measure import Bench
    from finetune.tables import HELD_OUT

    bench = Bench(folder)
    wanted = (make for name, make in measured_cases(MOST_MEASURED) if name.split("-")[0] in HELD_OUT)
    cases = [make() for make in itertools.islice(wanted, tables)]
    for i, case in enumerate(cases):
        teachers.measure_case(bench, case)
        say(f"measured {i + 1} of {tables} tables")
    opened = {name: model.open() for name, model in models.items()}
    try:
        table = regret.compare(bench, cases, opened)
    finally:
        for backend in opened.values():
            backend.close()
    hashes = {name: model.sha256 for name, model in models.items()}
    page.write_text(regret.page(table, {name: ", ".join(found) for name, found in hashes.items()}), encoding="utf-8")
    return {"regret": table, "sha256": hashes, "page": str(page)}
