"""The compact dialect: every decision of the agents as a short form with slots, for models too small to write prose.

Facts are bucketed and restated as fixed text right before each slot, so that a model of a few million parameters only
has to fill in a choice. The live loop, the random control and the rows that the nano is trained on all come from here.
Pure functions of data.profile's dataclasses (read by attribute); no machine learning library in sight.

    coder binary roc_auc rows3 cols2 time2 miss1 num4 cat2 txt0 dat0 bal1
    treat
    c0 number m0 u7 f4 int pos k3 z0 d4 a2 h-=log
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from automlgpt_local.llm.backend import Choice, Slot, Template

TREATMENTS: dict[str, tuple[str, ...]] = {
    "number": ("keep", "log", "category", "drop"),
    "category": ("category", "drop"),
    "text": ("text", "category", "drop"),
    "date": ("date", "drop"),
    "numeric_text": ("parse", "category", "drop"),
    "id": ("drop", "keep"),
    "constant": ("drop",),
}
TOOLS = ("target", "missing", "associations", "done")
RECIPES = (
    "lightgbm", "lightgbm_fine", "lightgbm_extra", "catboost", "xgboost",
    "extra_trees", "random_forest", "linear", "neighbours", "neural",
)  # fmt: skip
FAILURES = ("time", "memory", "error")
BATCH = 32  # columns per decision
MOST_LOGGED = 300  # columns of a table: trees gain nothing from a log, and each one takes its time in features(df)

_HINTS = (
    ("id", re.compile(r"(^|[_\W])(id|uuid|guid|key|index|rowid)$|^(id|key|index)([_\W]|$)|[a-z](Id|ID)$")),
    (
        "code",
        re.compile(  # as the last word: class_size and decode_ms are amounts
            r"(^|[_\W])(zip|zip_?code|post(al)?_?code|postal|code|type|class|group|category|region|status|flag)s?$"
            r"|(?-i:[a-z](Code|Type|Class|Group|Category|Region|Status|Flag)$)",
            re.I,
        ),
    ),
    ("time", re.compile(r"year|month|week|(^|[_\W])(day|hour|hr|date|time|yr|mnth)s?([_\W]|$)", re.I)),
    ("count", re.compile(r"count|number|(^|[_\W])(num|n|nb|qty|total|times?)([_\W]|$)", re.I)),
    ("money", re.compile(r"price|amount|cost|income|salary|balance|revenue|fee|pay|charge", re.I)),
    ("words", re.compile(r"name|title|text|descr|comment|review|note|summary|address", re.I)),
)


# --- buckets -------------------------------------------------------------------------------------------------------


def bucket(value: float | None, edges: Sequence[float]) -> str:
    """How many `edges` lie at or below `value`, as a digit; "-" when unknown."""
    if value is None or value != value:
        return "-"
    return str(sum(value >= edge for edge in edges))


def association_bucket(value: float | None) -> str:
    return "a" + bucket(value, (0.02, 0.06, 0.12, 0.25, 0.45, 0.8))


def rank_bucket(position: int, of: int) -> str:
    """Where an attempt stands on the board: best, high, middle, low."""
    if position <= 1:
        return "best"
    share = (position - 1) / max(1, of - 1)
    return "high" if share <= 0.34 else "middle" if share <= 0.67 else "low"


def gain_bucket(relative_gain: float | None) -> str:
    """Relative gain in loss over the first attempt, from g0 (none) to g5 (5 % and up)."""
    return "g" + bucket(relative_gain, (0.0002, 0.001, 0.004, 0.015, 0.05))


def seconds_bucket(seconds: float | None, limit_s: float | None = None) -> str:
    """Cost of an attempt: its share of the time limit where that is known, else seconds."""
    if seconds is not None and limit_s:
        return "t" + bucket(seconds / limit_s, (0.01, 0.03, 0.08, 0.15, 0.3))
    return "t" + bucket(seconds, (1, 3, 10, 30, 90))


def name_hint(name: str) -> str:
    """What a column's name promises: id, code, time, count, money, words, or "-"."""
    return next((hint for hint, pattern in _HINTS if pattern.search(name)), "-")


def _number_of(column: Any, field: str) -> float | None:
    value = getattr(column, field, None)
    return None if value is None else float(value)


def column_facts(column: Any, n_rows: int | None = None) -> str:
    """The bucketed facts of one column: ` number m0 u7 f4 int pos k3 z0 d4 a2 h-`."""
    unique = int(getattr(column, "unique", 0) or 0)
    words = [
        column.kind,
        "m" + bucket(_number_of(column, "missing") or 0.0, (1e-9, 0.01, 0.05, 0.2, 0.5)),
        "u" + bucket(unique, (2, 3, 6, 13, 31, 101, 501, 5001)),
        "f" + bucket(unique / n_rows if n_rows else None, (0.001, 0.01, 0.1, 0.5, 0.95)),
    ]
    low, high = _number_of(column, "min"), _number_of(column, "max")
    if column.kind in ("number", "id") and low is not None and high is not None:
        skew = _number_of(column, "skew")
        words += [
            "int" if getattr(column, "integers", False) else "real",
            "neg" if low < 0 else "pos",
            "k" + bucket(None if skew is None else abs(skew), (0.5, 1, 2, 5, 15)),
            "z" + bucket(_number_of(column, "zeros") or 0.0, (1e-9, 0.05, 0.3, 0.7)),
            "d" + bucket(max(abs(low), abs(high)), (1.0001, 10.0001, 100, 1e3, 1e4, 1e6, 1e9)),
        ]
    else:
        words.append("w" + bucket(_number_of(column, "avg_words") or 0.0, (1.2, 2, 4, 8, 20)))
    words.append(association_bucket(_number_of(column, "association")))
    words.append("h" + name_hint(str(column.name)))
    if getattr(column, "leak", False):
        words.append("leak")
    return "".join(f" {word}" for word in words)


# --- rules ---------------------------------------------------------------------------------------------------------


def default_treatment(column: Any, n_rows: int, n_columns: int = 0) -> str:
    """What sound practice does with a column, without a model."""
    unique = int(getattr(column, "unique", 0) or 0)
    if column.kind == "number":
        low, skew = _number_of(column, "min"), _number_of(column, "skew")
        hint = name_hint(str(column.name))
        if hint == "code" and getattr(column, "integers", False) and 13 <= unique <= max(50, n_rows // 50):
            return "category"
        skewed = low is not None and low >= 0 and skew is not None and skew > 2
        return "log" if skewed and n_columns <= MOST_LOGGED else "keep"
    if column.kind == "category":
        return "drop" if unique > 50 and unique > 0.9 * n_rows else "category"
    if column.kind == "text" and unique > 0 and (_number_of(column, "avg_words") or 0) < 1.2 and unique > 0.98 * n_rows:
        return "drop"
    return TREATMENTS[column.kind][0]


def default_treatments(profile: Any) -> dict[str, str]:
    """`default_treatment` of each column of a table, by its name."""
    columns = list(profile.columns)
    return {c.name: default_treatment(c, profile.rows, len(columns)) for c in columns}


# --- templates -----------------------------------------------------------------------------------------------------


def opening(agent: str, task: Any, profile: Any) -> str:
    """The first piece of every transcript: the task and the table in one line. `agent` is reasoner or coder."""
    columns = list(profile.columns)
    rows = int(profile.rows)
    missing = sum(float(getattr(c, "missing", 0) or 0) for c in columns) / max(1, len(columns))

    def share(*kinds: str) -> str:
        return bucket(sum(c.kind in kinds for c in columns) / max(1, len(columns)), (0.001, 0.15, 0.35, 0.65, 0.99))

    words = [
        agent,
        task.kind,
        task.metric,
        "rows" + bucket(rows, (300, 1000, 3000, 10_000, 30_000, 100_000)),
        "cols" + bucket(len(columns), (6, 12, 25, 50, 100, 300)),
        "time" + bucket(task.time_limit_s, (30, 90, 180, 400, 1000)),
        "miss" + bucket(missing, (1e-9, 0.02, 0.1, 0.3)),
        "num" + share("number", "numeric_text"),
        "cat" + share("category"),
        "txt" + share("text"),
        "dat" + share("date"),
        "bal" + _balance(profile, task.kind),
    ]
    return " ".join(words) + "\n"


def _balance(profile: Any, kind: str) -> str:
    """Share of the rarest class (classification) or skew of the target (regression), bucketed."""
    target = getattr(profile, "target", None) or {}
    if kind == "regression":
        skew = target.get("skew")
        return bucket(None if skew is None else abs(float(skew)), (0.5, 1, 2, 5))
    counts = [float(v) for v in target.get("classes", {}).values()]
    if not counts or sum(counts) <= 0:
        return "-"
    return bucket(min(counts) / sum(counts) * len(counts), (0.1, 0.25, 0.5, 0.8))


def treat(columns: Sequence[Any], first: int, n_rows: int | None = None) -> Template:
    """One slot per column of a batch of at most BATCH columns, named c0.. in the batch's order.

    first: position of the batch's first column in the table. n_rows: rows of the table, for the share of unique values.
    """
    parts: list[str | Slot] = []
    text = "treat\n" if first == 0 else "treat more\n"
    for i, column in enumerate(columns):
        parts += [f"{text}c{i}{column_facts(column, n_rows)}=", Choice(f"c{i}", TREATMENTS[column.kind])]
        text = "\n"
    parts.append("\n")
    return parts


def next_tool(done: Iterable[str]) -> Template:
    """Slot "tool": what to look at next, or "done"."""
    seen = [tool for tool in TOOLS if tool in set(done)]
    left = tuple(tool for tool in TOOLS if tool not in seen)
    return [f"look{''.join(f' {tool}' for tool in seen)} next=", Choice("tool", left or ("done",)), "\n"]


def features(ideas: Sequence[Any]) -> Template:
    """One yes|no slot per idea (feature_code.FeatureIdea), named f0.. in order."""
    parts: list[str | Slot] = []
    text = "features\n"
    for i, idea in enumerate(ideas):
        parts += [f"{text}f{i} {idea.facts}=", Choice(f"f{i}", ("yes", "no"))]
        text = "\n"
    parts.append("\n")
    return parts


Board = Sequence[tuple[str, str, str, str]]  # (recipe, rank bucket, gain bucket, seconds bucket) in the order tried


def _board(board: Board) -> str:
    return "".join(f"{recipe} {rank} {gain} {seconds}\n" for recipe, rank, gain, seconds in board)


def next_recipe(board: Board, remaining: Sequence[str]) -> Template:
    """Slot "next": the recipe to try now, or stop."""
    return [f"board\n{_board(board)}next=", Choice("next", (*remaining, "stop")), "\n"]


def params(recipe: str, grid: Mapping[str, Sequence[Any]], board: Board) -> Template:
    """A slot per hyper-parameter of `recipe`; its options are str() of the grid's values."""
    parts: list[str | Slot] = []
    text = f"params {recipe}\n{_board(board[-4:])}"
    for name, values in grid.items():
        parts += [f"{text}{name}=", Choice(name, tuple(dict.fromkeys(str(value) for value in values)))]
        text = "\n"
    parts.append("\n")
    return parts


def own(board: Board, options: Mapping[str, Sequence[str]], failed: Mapping[str, str], why: str = "") -> Template:
    """A slot per place of a module of the Coder's own (blocks.options). failed: the blocks of one that did not run.

    why: what ended that one, one of FAILURES.
    """
    parts: list[str | Slot] = []
    text = f"own\n{_board(board[-4:])}"
    if failed:
        text += f"failed {' '.join(failed[place] for place in options)} {why}\n"
    for place, values in options.items():
        parts += [f"{text}{place}=", Choice(place, tuple(values))]
        text = "\n"
    parts.append("\n")
    return parts


def failure(error: str) -> str:
    """What ended a module, one of FAILURES."""
    return next((why for why in FAILURES if re.search(rf"\b{why}", error.lower())), "error")


def next_tune(board: Board, candidates: Sequence[str]) -> Template:
    """Slot "next": the recipe worth more tuning, or stop."""
    return [f"tune\n{_board(board)}next=", Choice("next", (*candidates, "stop")), "\n"]
