"""Answers from the data, without a language model: `automlgpt ask DATA "question"`."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from automlgpt_local.data import association
from automlgpt_local.data.load import Table
from automlgpt_local.data.profile import ColumnProfile, profile
from automlgpt_local.language.conditions import Condition, comparable
from automlgpt_local.language.question import ANY_STATISTIC, SHARE, STATISTICS, Question, understand
from automlgpt_local.task import TaskSpec

MOST_LINES = 12
MOST_GROUPS = 50
SAMPLE_ROWS = 20_000
EXAMPLES = (
    "how many rows?", "which columns have missing values?", "what is the average PRICE by CITY?", "describe AGE",
    "how many rows have STATUS = paid or open?", "highest PRICE where AGE is between 20 and 30 and CITY is not Rome",
    "what is correlated with PRICE?", "what drives the target?", "any leaks?",
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
    if asked.unread:
        return _not_understood(asked, frame, task)
    met = [condition.rows(frame) for condition in asked.conditions] or [np.ones(len(frame), dtype=bool)]
    part = frame[(np.logical_or if asked.either else np.logical_and).reduce(met)]
    for pattern, reply in _REPLIES:
        if reply in (_correlation, _drivers) and not len(part):
            continue  # nothing goes with anything in no rows; how many there are is said
        if asked.asks(pattern):
            if asked.groups and reply not in (_statistic, _count, _values):
                return _not_understood(asked, frame, task)
            found = reply(asked, part, frame, task)
            if found is not None:
                return _finished(found, asked, pattern)
    found = None
    if asked.groups and asked.columns and not asked.statistics and _as_numbers(frame[asked.columns[0]]) is not None:
        asked.statistics = ["mean"]
    if asked.statistics:
        found = _statistic(asked, part, frame, task)
    elif asked.columns and not asked.groups:
        found = _describe(asked, part)
    elif asked.conditions or asked.columns or asked.order:
        found = _count(asked, part, frame, task)
    return _finished(found or _not_understood(asked, frame, task), asked)


def _not_understood(asked: Question, frame: pd.DataFrame, task: TaskSpec | None) -> Answer:
    summary = _overview(asked, frame, frame, task)
    what = ": " + ", ".join(dict.fromkeys(asked.unread)) if asked.unread else " as a question"
    lines = [summary.text, f"This was not understood{what}. It can be asked, for example:", *EXAMPLES]
    return Answer("\n  ".join(lines).replace("\n  ", "\n", 1), summary.values, False)


def _finished(found: Answer, asked: Question, pattern: str = " ") -> Answer:
    """With the words that were passed over, which may have meant something."""
    over = [word for word in dict.fromkeys(asked.unknown) if not re.fullmatch(pattern, word, re.IGNORECASE)]
    if not over or not (set(found.values) & {"rows", "unique", *(how for how, _ in STATISTICS)}):
        return found
    return replace(found, text=f"{found.text}\nNot read: {', '.join(over)}.")


def _where(asked: Question) -> str:
    return f" where {_said(asked.conditions, asked.either)}" if asked.conditions else ""


def _said(conditions: Sequence[Condition], either: bool = False) -> str:
    said = [f"({c})" if len(c.tests) > 1 and len(conditions) > 1 else str(c) for c in conditions]
    return (" or " if either else " and ").join(said)


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
    kind, numbers, _ = comparable(values)
    return numbers if kind == "number" else None


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
    if set(asked.statistics) - {"sum"}:
        return _not_understood(asked, frame, task)
    distinct = asked.asks("unique|different|distinct|classes|categories|kinds of|types of")
    shares = asked.asks(SHARE)
    if not (asked.columns or asked.conditions or asked.groups) and asked.counted:
        asked.columns.append(asked.counted)
    if (asked.groups or asked.conditions) and not (distinct or shares):  # "tickets per shop", where a row is a ticket
        asked.columns = [
            c for c in asked.columns if frame[c].nunique() < len(frame) or pd.api.types.is_float_dtype(frame[c])
        ]
    many = [c for c in (*asked.columns, *asked.groups) if frame[c].nunique() > MOST_LINES]
    if shares and any(_as_numbers(frame[c]) is not None for c in many):  # a share of an amount
        return _not_understood(replace(asked, unread=many), frame, task)
    if len(asked.columns) == 1 and not asked.groups:
        return _values(asked, part, frame, task)
    if len(asked.columns) == 2 and not asked.groups:
        asked.groups.append(asked.columns.pop(0))
    if asked.columns and (len(asked.columns) > 1 or distinct or asked.columns[0] in many):
        return _not_understood(replace(asked, unread=[*asked.columns, *asked.groups]), frame, task)
    whole = frame[np.logical_and.reduce([c.rows(frame) for c in asked.among])] if asked.among else frame
    claims = [c for c in asked.conditions if c not in asked.among]
    if asked.groups:
        return _count_groups(asked, part, whole if shares and claims else part)
    if not asked.conditions:
        return Answer(f"{len(frame):,} rows.", {"rows": len(frame), "share": 1.0})
    among = f" where {_said(asked.among)}" if asked.among else ""
    share = len(part) / max(1, len(whole))
    text = f"{len(part):,} of {len(whole):,} rows{among} ({share:.1%}) have {_said(claims, asked.either)}."
    if asked.counted and part[asked.counted].nunique() < len(part):
        text += f" They hold {part[asked.counted].nunique():,} different values of {asked.counted}."
    return Answer(text, {"rows": len(part), "share": share})


def _count_groups(asked: Question, part: pd.DataFrame, whole: pd.DataFrame) -> Answer:
    """Rows of each group, how they split over a column, or what share they are of the group's rows in `whole`."""
    key = _keys(part, asked.groups)
    counts = key.value_counts(dropna=False, ascending=asked.order == "up")
    head = f"{asked.columns[0] if asked.columns else 'Rows'} by {' and '.join(asked.groups)}{_where(asked)}"
    if asked.columns:
        table = pd.crosstab(key, part[asked.columns[0]])
        lines = [
            f"{_label(v)}: " + ", ".join(f"{_label(k)} {n:,} ({n / max(1, row.sum()):.1%})" for k, n in row.items())
            for v, row in table.reindex(counts.index).fillna(0).astype(int).iterrows()
        ]
    elif len(whole) > len(part):
        all_rows = _keys(whole, asked.groups).value_counts(dropna=False)
        counts = counts.reindex(all_rows.index, fill_value=0)
        lines = [f"{_label(v)}: {n:,} of {all_rows[v]:,} ({n / all_rows[v]:.1%})" for v, n in counts.items()]
    else:
        lines = [f"{_label(v)}: {n:,} ({n / max(1, len(part)):.1%})" for v, n in counts.items()]
    return Answer(f"{head}\n{_shortened(lines)}", {"rows": _plain(counts)})


def _keys(part: pd.DataFrame, groups: Sequence[str]) -> pd.Series:
    """What each row is grouped by, several columns as "Rome, 3"."""
    each = [part[c].map(_label) for c in groups]
    return part[groups[0]] if len(groups) == 1 else each[0].str.cat(each[1:], sep=", ")


def _shortened(lines: Sequence[str]) -> str:
    more = [f"… and {len(lines) - MOST_LINES:,} more"] if len(lines) > MOST_LINES else []
    return "\n".join([*lines[:MOST_LINES], *more])


def _label(value: Any) -> str:
    if value != value:
        return "(missing)"
    return f"{value:.12g}" if isinstance(value, float) else str(value)[:60]


def _plain(counts: pd.Series) -> dict[str, int]:
    return {_label(v): int(n) for v, n in counts.head(50).items()}


def _values(asked: Question, part: pd.DataFrame, frame: pd.DataFrame, task: TaskSpec | None) -> Answer | None:
    if len(asked.columns) != 1 or asked.groups:
        return _count(asked, part, frame, task) if asked.columns else None
    column = asked.columns[0]
    counts = part[column].value_counts(ascending=asked.asks("least"))
    lines = [f"{_label(v)}: {n:,} ({n / max(1, len(part)):.1%})" for v, n in counts.items()]
    head = f"{column} has {len(counts):,} different values{_where(asked)}"
    return Answer(f"{head}\n{_shortened(lines)}", {"unique": len(counts), "values": _plain(counts)})


def _statistic(asked: Question, part: pd.DataFrame, frame: pd.DataFrame, task: TaskSpec | None) -> Answer | None:
    """Statistics of the numbers, or else dates, that are asked for; by the other columns. None where there are none."""
    if not asked.columns:
        return None
    kinds = {c: comparable(frame[c])[0] for c in asked.columns}
    regresses = task is not None and task.kind == "regression" and asked.statistics[0] in ("max", "min")
    if task is not None and regresses and not asked.groups and list(kinds.values()) == ["text"]:
        # "the most expensive neighbourhood" of a table whose target is the price
        asked.columns, asked.groups, asked.statistics = [task.target], asked.columns, ["mean"]
        kinds = {task.target: "number"}
    numbers = [c for c in asked.columns if kinds[c] == "number"]
    measured = [c for c in numbers if frame[c].nunique() > 2] or numbers or [c for c in kinds if kinds[c] == "date"]
    by = [*asked.groups, *(c for c in asked.columns if c not in measured)]
    if not measured:
        if asked.statistics == ["sum"]:
            return None  # "the total number of cities"
        text = f"{asked.columns[0]} holds text, so it has no {asked.statistics[0]}."
        return Answer(f"{text}\n{_describe(asked, part).text}", {}, False)
    dated = set(asked.statistics) - {"min", "max", "median", "mean"} and not numbers
    if dated or any(c not in asked.groups and frame[c].nunique() > MOST_GROUPS for c in by):
        return _not_understood(replace(asked, unread=asked.columns), frame, task)
    found = [_of_column(asked, c, by, part, comparable(frame[c])[1].loc[part.index]) for c in measured]
    values = found[0].values if len(found) == 1 else {c: f.values for c, f in zip(measured, found)}
    return Answer("\n".join(f.text for f in found), values)


def _of_column(asked: Question, column: str, by: Sequence[str], part: pd.DataFrame, values: pd.Series) -> Answer:
    hows = asked.statistics
    if by:
        table = values.groupby(_keys(part, by)).agg([*hows, "count"])
        table = table.sort_values(hows[0], ascending=asked.order == "up" or (not asked.order and hows == ["min"]))
        lines = [
            f"{_label(v)}: {', '.join(_shown(_json(r[how])) for how in hows)} ({int(r['count']):,} rows)"
            for v, r in table.iterrows()
        ]
        head = f"{' and '.join(hows)} of {column} by {' and '.join(by)}{_where(asked)}"
        shown = {how: {_label(v): _json(x) for v, x in table[how].dropna().head(50).items()} for how in hows}
        return Answer(f"{head}\n{_shortened(lines)}", shown)
    found = {how: _json(getattr(values, how)()) for how in hows}
    of = f" of {column}{_where(asked)}"
    said = ", the ".join(f"{how}{'' if i else of} is {_shown(x)}" for i, (how, x) in enumerate(found.items()))
    if pd.api.types.is_datetime64_any_dtype(values):
        return Answer(f"The {said}.", found)
    present = int(values.notna().sum())
    return Answer(f"The {said} ({present:,} values).", {**found, "rows": present})


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else "missing" if value is None else _number(float(value))


def _json(value: Any) -> str | float | None:
    if value != value:
        return None
    return str(value)[:19].removesuffix(" 00:00:00") if isinstance(value, pd.Timestamp) else float(value)


def _describe(asked: Question, part: pd.DataFrame, *_: Any) -> Answer:
    if not asked.columns:
        return Answer(f"{len(part):,} rows{_where(asked)}.", {"rows": len(part)})
    found = profile(part[asked.columns]).columns
    head = f"{len(part):,} rows{_where(asked)}\n" if asked.conditions else ""
    return Answer(head + "\n".join(_sentence(c, len(part)) for c in found), {c.name: _facts(c) for c in found})


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
    wanted = [kind for kind, pattern in words.items() if re.search(rf"\b(?:{pattern})\b", asked.text, re.IGNORECASE)]
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
    (ANY_STATISTIC, _statistic),
    (r"how many|number of|count|share|percent\w*|proportion|fraction|how often", _count),
    (
        r"(?:most|least) (?:common|frequent)|which values|what values|distribution|categories|balanced?|classes|mode",
        _values,
    ),
    (
        r"overview|summar\w+|shape|how (?:big|large)|size of the (?:data|table)|describe|tell me about|statistics",
        _general,
    ),
)
