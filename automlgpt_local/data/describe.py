"""Answers from the data, without a language model: `automlgpt ask DATA "question"`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from automlgpt_local.data import association
from automlgpt_local.data.dates import parse_dates
from automlgpt_local.data.kinds import text_as_number, text_kind
from automlgpt_local.data.load import Table
from automlgpt_local.data.profile import ColumnProfile, profile
from automlgpt_local.data.question import Question, understand
from automlgpt_local.task import TaskSpec

MOST_LINES = 12
SAMPLE_ROWS = 20_000
EXAMPLES = (
    "how many rows?", "which columns have missing values?", "what is the average PRICE by CITY?", "describe AGE",
    "how many rows have STATUS = paid?", "what is correlated with PRICE?", "what drives the target?", "any leaks?",
)  # fmt: skip


@dataclass(frozen=True)
class Answer:
    """`text`: a few lines for a person. `values`: the same as plain JSON. `understood`: False for a general summary."""

    text: str
    values: dict[str, Any] = field(default_factory=dict)
    understood: bool = True


def answer(question: str, table: Table, task: TaskSpec | None = None) -> Answer:
    """Answer a question about a table; with a task, "the target" is known and its rows are those with a target."""
    frame = table.frame
    asked = understand(question, frame)
    if task is not None and asked.asks("target|outcome|label|classes|balanced?") and not asked.columns:
        asked.columns.append(task.target)
    rows: np.ndarray = np.ones(len(frame), dtype=bool)
    for condition in asked.conditions:
        rows &= condition.rows(frame).to_numpy()
    part = frame[rows]
    for pattern, reply in _REPLIES:
        if asked.asks(pattern):
            found = reply(asked, part, frame, task)
            if found is not None:
                return found
    if asked.group and asked.columns and not asked.statistic:
        if _as_numbers(part[asked.columns[0]]) is None:
            return _count(asked, part, frame) or _describe(asked, part)
        asked.statistic = "mean"
    of_groups = asked.statistic in ("max", "min") and len(asked.columns) == 1
    if of_groups and task is not None and task.kind == "regression" and _kind(part[asked.columns[0]]) == "category":
        # "the most expensive neighbourhood" of a table whose target is the price
        asked.columns, asked.group, asked.statistic = [task.target], asked.columns[0], "mean"
    if asked.statistic and asked.columns:
        return _statistic(asked, part)
    if asked.columns:
        return _describe(asked, part)
    if asked.conditions:
        return _count(asked, part, frame) or _describe(asked, part)
    summary = _overview(asked, part, frame, task)
    asks = "\n".join(f"  {example}" for example in EXAMPLES)
    return Answer(
        f"{summary.text}\nThis was not understood as a question. It can be asked, for example:\n{asks}",
        summary.values,
        False,
    )


def _where(asked: Question) -> str:
    return f" where {' and '.join(map(str, asked.conditions))}" if asked.conditions else ""


def _number(value: float) -> str:
    if value != value:
        return "missing"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.1f}"


def _as_numbers(values: pd.Series) -> pd.Series | None:
    """A column as numbers, money and the like included; None for what is not one."""
    if pd.api.types.is_numeric_dtype(values):
        return values
    return text_as_number(values) if _kind(values) == "numeric_text" else None


def _kind(values: pd.Series) -> str:
    if pd.api.types.is_numeric_dtype(values):
        return "number"
    return text_kind(str(values.name), values.value_counts(), int(values.notna().sum()))[0]


def _as_dates(values: pd.Series) -> pd.Series | None:
    kind, written = text_kind(str(values.name), values.value_counts(), int(values.notna().sum()))
    return parse_dates(values, written) if kind == "date" else None


def _overview(asked: Question, part: pd.DataFrame, frame: pd.DataFrame, task: TaskSpec | None) -> Answer:
    numbers = [c for c in frame.columns if pd.api.types.is_numeric_dtype(frame[c])]
    n_text = frame.shape[1] - len(numbers)
    text = f"{len(frame):,} rows and {frame.shape[1]} columns: {len(numbers)} of numbers, {n_text} of text."
    if task is not None:
        text += f" The target is {task.target} ({task.kind})."
    return Answer(text, {"rows": len(frame), "columns": frame.shape[1], "numbers": len(numbers)})


def _missing(asked: Question, part: pd.DataFrame, frame: pd.DataFrame, task: TaskSpec | None) -> Answer:
    counts = part[asked.columns or list(part.columns)].isna().sum()
    shares = {str(c): int(n) for c, n in counts.sort_values(ascending=False).items() if n or asked.columns}
    if not shares:
        return Answer(f"No value is missing{_where(asked)}.", {"missing": {}})
    lines = [f"{c}: {n:,} of {len(part):,} ({n / max(1, len(part)):.1%})" for c, n in shares.items()]
    more = f"\n… and {len(lines) - MOST_LINES} more columns" if len(lines) > MOST_LINES else ""
    return Answer("Missing values\n" + "\n".join(lines[:MOST_LINES]) + more, {"missing": shares})


def _duplicates(asked: Question, part: pd.DataFrame, frame: pd.DataFrame, task: TaskSpec | None) -> Answer:
    columns = asked.columns or None
    count = int(part.duplicated(subset=columns).sum())
    of = f" in {', '.join(columns)}" if columns else ""
    return Answer(f"{count:,} of {len(part):,} rows repeat an earlier row{of}.", {"duplicates": count})


def _count(asked: Question, part: pd.DataFrame, frame: pd.DataFrame, task: TaskSpec | None = None) -> Answer | None:
    if asked.asks("columns|features|variables") and not asked.asks("rows"):
        names = ", ".join(map(str, frame.columns[:30])) + (", …" if frame.shape[1] > 30 else "")
        return Answer(f"{frame.shape[1]} columns: {names}", {"columns": [str(c) for c in frame.columns]})
    distinct = asked.asks("unique|different|distinct|classes|categories|kinds of|types of")
    if asked.columns and (distinct or not (asked.conditions or asked.group)):
        return _values(asked, part, frame, task)
    if asked.group is not None:
        counts = part[asked.group].value_counts(dropna=False)
        lines = [f"{_label(v)}: {n:,} ({n / max(1, len(part)):.1%})" for v, n in counts.head(MOST_LINES).items()]
        split = asked.columns[0] if asked.columns and part[asked.columns[0]].nunique() <= 10 else None
        if split is not None:
            table = pd.crosstab(part[asked.group], part[split])
            lines = [
                f"{_label(v)}: " + ", ".join(f"{_label(k)} {n:,} ({n / max(1, row.sum()):.1%})" for k, n in row.items())
                for v, row in table.loc[table.sum(axis=1).sort_values(ascending=False).index]
                .head(MOST_LINES)
                .iterrows()
            ]
        head = f"{split or 'Rows'} by {asked.group}{_where(asked)}"
        return Answer(f"{head}\n" + "\n".join(lines), {"rows": _plain(counts)})
    if not asked.conditions:
        return Answer(f"{len(frame):,} rows.", {"rows": len(frame), "share": 1.0})
    whole, among = frame, ""
    if asked.asks("share|percent\\w*|proportion|fraction") and len(asked.conditions) > 1:
        for condition in asked.conditions[1:]:
            whole = whole[condition.rows(whole).to_numpy()]
        among = f" where {' and '.join(map(str, asked.conditions[1:]))}"
    share = len(part) / max(1, len(whole))
    which = asked.conditions[0] if among else " and ".join(map(str, asked.conditions))
    text = f"{len(part):,} of {len(whole):,} rows{among} ({share:.1%}) have {which}."
    return Answer(text, {"rows": len(part), "share": share})


def _label(value: Any) -> str:
    if value != value:
        return "(missing)"
    return f"{value:g}" if isinstance(value, float) else str(value)[:60]


def _plain(counts: pd.Series) -> dict[str, int]:
    return {_label(v): int(n) for v, n in counts.head(50).items()}


def _values(asked: Question, part: pd.DataFrame, frame: pd.DataFrame, task: TaskSpec | None) -> Answer | None:
    if not asked.columns:
        return None
    column = asked.columns[0]
    counts = part[column].value_counts()
    lines = [f"{_label(v)}: {n:,} ({n / max(1, len(part)):.1%})" for v, n in counts.head(MOST_LINES).items()]
    more = f"\n… and {len(counts) - MOST_LINES:,} more" if len(counts) > MOST_LINES else ""
    head = f"{column} has {len(counts):,} different values{_where(asked)}"
    return Answer(f"{head}\n" + "\n".join(lines) + more, {"unique": len(counts), "values": _plain(counts)})


def _statistic(asked: Question, part: pd.DataFrame) -> Answer:
    column, how = asked.columns[0], asked.statistic or "mean"
    numbers = _as_numbers(part[column])
    if numbers is None:
        dates = _as_dates(part[column])
        if dates is not None and how in ("min", "max", "median", "mean"):
            day = str(getattr(dates, how)())[:19].removesuffix(" 00:00:00")
            return Answer(f"The {how} of {column}{_where(asked)} is {day}.", {how: day})
        return Answer(f"{column} holds text, so it has no {how}.\n{_describe(asked, part).text}", {}, False)
    group = asked.group or (
        asked.columns[1] if len(asked.columns) > 1 and part[asked.columns[1]].nunique() <= 50 else None
    )
    if group is not None:
        table = numbers.groupby(part[group]).agg([how, "count"]).sort_values(how, ascending=False)
        lines = [
            f"{_label(v)}: {_number(r[how])} ({int(r['count']):,} rows)" for v, r in table.head(MOST_LINES).iterrows()
        ]
        values = {_label(v): float(x) for v, x in table[how].head(50).items() if x == x}
        return Answer(f"{how} of {column} by {group}{_where(asked)}\n" + "\n".join(lines), {how: values})
    value = float(getattr(numbers, how)())
    present = int(numbers.notna().sum())
    return Answer(
        f"The {how} of {column}{_where(asked)} is {_number(value)} ({present:,} values).",
        {how: value if value == value else None, "rows": present},
    )


def _describe(asked: Question, part: pd.DataFrame, *_: Any) -> Answer:
    if not asked.columns:
        return Answer(f"{len(part):,} rows{_where(asked)}.", {"rows": len(part)})
    found = profile(part[asked.columns]).columns
    return Answer("\n".join(_sentence(c, len(part)) for c in found), {c.name: _facts(c) for c in found})


def _facts(column: ColumnProfile) -> dict[str, Any]:
    from dataclasses import asdict

    return {k: v for k, v in asdict(column).items() if v not in (None, [], "", False) and k != "name"}


def _sentence(column: ColumnProfile, rows: int) -> str:
    parts = [f"{column.name}: {column.kind.replace('_', ' ')}, {column.unique:,} different values"]
    if column.missing:
        parts.append(f"{column.missing:.1%} missing")
    if column.median is not None and column.min is not None and column.max is not None:
        parts.append(f"from {_number(column.min)} to {_number(column.max)}, median {_number(column.median)}")
        parts.append(f"mean {_number(column.mean or 0.0)} ± {_number(column.std or 0.0)}")
    elif column.top and column.kind != "id":
        parts.append("mostly " + ", ".join(f"{value!r} ({share:.1%})" for value, share in column.top[:4]))
    if column.sentinels:
        parts.append(f"may be missing where {', '.join(map(str, column.sentinels))}")
    return "; ".join(parts) + "."


def _correlation(asked: Question, part: pd.DataFrame, frame: pd.DataFrame, task: TaskSpec | None) -> Answer | None:
    if len(asked.columns) >= 2:
        a, b = (_as_numbers(part[c]) for c in asked.columns[:2])
        if a is None or b is None:
            score = _scores(part[[asked.columns[0], asked.columns[1]]], asked.columns[1]).get(asked.columns[0], 0.0)
            return Answer(
                f"{asked.columns[0]} and {asked.columns[1]}: association {score:.2f} (0 nothing, 1 fully).",
                {"association": score},
            )
        pearson, spearman = float(a.corr(b)), float(a.rank().corr(b.rank()))
        text = f"{' and '.join(asked.columns[:2])}{_where(asked)}: correlation {pearson:.3f}, of ranks {spearman:.3f}."
        return Answer(text, {"pearson": pearson, "spearman": spearman})
    return _drivers(asked, part, frame, task)


def _drivers(asked: Question, part: pd.DataFrame, frame: pd.DataFrame, task: TaskSpec | None) -> Answer | None:
    target = asked.columns[-1] if asked.columns else task.target if task else None
    if target is None:
        return None
    hidden = set(task.ignore) if task is not None and target == task.target else set()
    scores = _scores(part[[c for c in part.columns if c not in hidden]], target)
    best = sorted(scores, key=lambda c: -scores[c])[:8]
    lines = [f"{name}: {scores[name]:.2f}" for name in best]
    text = f"What goes with {target}, each column alone (0 nothing, 1 determines it)\n" + "\n".join(lines)
    return Answer(text, {"target": target, "association": {n: round(scores[n], 4) for n in best}})


def _scores(frame: pd.DataFrame, target: str) -> dict[str, float]:
    found = _against(frame, target)
    return {c.name: c.association for c in found.columns if c.kind not in ("constant", "id")}


def _against(frame: pd.DataFrame, target: str) -> Any:
    """The profile of all other columns against one."""
    part = frame[frame[target].notna()]
    if len(part) > SAMPLE_ROWS:
        part = part.sample(SAMPLE_ROWS, random_state=0)
    numbers = _as_numbers(part[target])
    features = part.drop(columns=[target]).reset_index(drop=True)
    if numbers is not None and part[target].nunique() > 2:
        return profile(features, numbers.fillna(numbers.median()).to_numpy(dtype="float64"))
    frequent = part[target].value_counts().index[: association.MOST_CLASSES + 1]
    codes, labels = pd.factorize(part[target].where(part[target].isin(frequent), frequent[-1]), sort=True)
    return profile(features, codes.astype("int64"), classes=tuple(map(str, labels)))


def _leaks(asked: Question, part: pd.DataFrame, frame: pd.DataFrame, task: TaskSpec | None) -> Answer | None:
    target = asked.columns[0] if asked.columns else task.target if task else None
    if target is None:
        return None
    leaks = _against(part, target).leaks
    text = "\n".join(f"{name}: {reason}" for name, reason in leaks.items())
    return Answer(text or f"No column gives {target} away on its own.", {"leaks": leaks})


def _kinds(asked: Question, part: pd.DataFrame, frame: pd.DataFrame, task: TaskSpec | None) -> Answer | None:
    words = {
        "date": "dates?|timestamps?", "id": "ids?|identifiers?", "constant": "constants?", "text": "free text|texts?",
        "category": "categor\\w+|labels?", "number": "numbers?|numeric\\w*|amounts?",
        "numeric_text": "numbers? in text|money",
    }  # fmt: skip
    wanted = [kind for kind, pattern in words.items() if asked.asks(pattern)]
    found = profile(part)
    listed = {kind: found.of_kind(kind) for kind in (wanted or words)}
    lines = [
        f"{kind.replace('_', ' ')}: {', '.join(names) or 'none'}" for kind, names in listed.items() if names or wanted
    ]
    return Answer("\n".join(lines), {"kinds": listed})


def _general(asked: Question, part: pd.DataFrame, frame: pd.DataFrame, task: TaskSpec | None) -> Answer | None:
    return _describe(asked, part) if asked.columns else _overview(asked, part, frame, task)


_DRIVES = r"driv\w+|influenc\w+|affect\w*|explain\w*|predict\w*|important|matter\w*|depend\w* on|determin\w+|causes?"
_COLUMNS = (
    r"(?:which|what|list|show)(?: the| of the| are the)? (?:columns|features|variables)|(?:kinds?|types?) of columns"
)

Reply = Callable[[Question, pd.DataFrame, pd.DataFrame, "TaskSpec | None"], "Answer | None"]
_REPLIES: tuple[tuple[str, Reply], ...] = (
    (r"missing|nulls?|empty|gaps?|incomplete|nan", _missing),
    (r"duplicat\w+|repeat\w*|twice", _duplicates),
    (r"leak\w*|suspicious|give\w* (?:it|the \w+) away", _leaks),
    (r"correlat\w+|associat\w+|relat\w+", _correlation),
    (_DRIVES, _drivers),
    (_COLUMNS, _kinds),
    (r"how many|number of|count|share|percent\w*|proportion|fraction|how often", _count),
    (r"most common|most frequent|which values|what values|distribution|categories|balanced?|classes|mode", _values),
    (
        r"overview|summar\w+|shape|how (?:big|large)|size of the (?:data|table)|describe|tell me about|statistics",
        _general,
    ),
)
