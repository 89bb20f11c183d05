"""From what was said to a TaskSpec: flag > plain words > what the data show > default, each answer with its source."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import pandas as pd

from automlgpt_local import machine
from automlgpt_local.data.load import Table, column_names
from automlgpt_local.data.names import ColumnIndex, metric_name, near_names, resolve_column
from automlgpt_local.data.schema import as_number
from automlgpt_local.data.splits import holdout_share, require_groups
from automlgpt_local.data.target import TargetText, class_labels, guess_kind, plain_positive, target_text, time_order
from automlgpt_local.errors import DataError, UsageError
from automlgpt_local.language.request import Asked, parse_ask
from automlgpt_local.metrics import DEFAULT_METRIC, METRICS
from automlgpt_local.recipes import load as load_recipes
from automlgpt_local.task import Kind, Request, Source, TaskSpec

MIN_ROWS = 20
MOST_CLASSES = 200  # unless it is said that these are classes
MOST_CLASSES_SAID = 5000
DEFAULT_TIME_LIMIT_S = 600.0
FIXED_WORK_TIME_LIMIT_S = 24 * 3600.0  # of a number of trials, where no time limit is said
TARGET_NAMES = ("target", "label", "y", "class", "outcome", "response", "__target__", "labels", "targets", "dependent")


@dataclass
class _Notes:
    """Where answers came from, and what a person should know. A doubt is an error when strict."""

    strict: bool
    source: dict[str, Source] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def warn(self, message: str) -> None:
        if message not in self.warnings:
            self.warnings.append(message)

    def doubt(self, message: str, remedy: str) -> None:
        if self.strict:
            raise UsageError(f"In doubt, and --strict asks for certainty: {message}", remedy)
        self.warn(f"{message} {remedy}".strip())


def resolve(request: Request, table: Table) -> TaskSpec:
    """What the run will do. Raises UsageError or DataError for what cannot be, or, when strict, for every doubt."""
    notes = _Notes(request.strict)
    for message in table.warnings:
        if "looks like data" in message:
            notes.doubt(message, "")
        else:
            notes.warn(message)
    columns = list(table.schema.columns)
    asked = parse_ask(request.ask, columns) if request.ask else Asked()
    for message in asked.warnings:
        notes.doubt(message, "")
    if asked.unread:
        notes.doubt(f"These words change nothing of the task: {'; '.join(map(repr, asked.unread))}.", "")
    target = _target(request, asked, table, notes)
    positive = request.positive if request.positive is not None else asked.positive
    exact = bool(_said("exact_target", request.exact_target or None, asked.exact_target, False, notes))
    found = target_text(table, target, positive, exact=exact)
    values = found.values
    metric = _metric_asked(request, asked, notes)
    numbers = as_number(values, table.schema.decimal)
    undecided = not (request.kind or asked.kind or request.metric)
    if metric == "accuracy" and undecided and guess_kind(values, numbers).kind == "regression":
        notes.doubt(f"Accuracy is a metric of classes, and {target!r} is a number.", "Name another with --metric.")
        metric = None  # of "predict the price with high accuracy"
    kind = _kind(request, asked, values, numbers, metric, notes)
    words = _read_labels(table, target, found, notes) if kind != "regression" else ""
    values = _checked_rows(numbers if kind == "regression" else values, values, kind, target, words, notes)
    metric = _metric(metric, kind, values, notes)
    group = _column("group", request.group, asked.group, columns, target, notes)
    time = _column("time", request.time, asked.time, columns, target, notes)
    weight = _column("weight", request.weight, asked.weight, columns, target, notes)
    if weight is not None:
        _check_weight(table, weight)
    if group is not None:
        n_groups = int(table.frame[group].nunique(dropna=False))
        require_groups(n_groups, group)
        if n_groups == len(table.frame):
            notes.warn(f"Each row has its own {group!r}: there is nothing to keep together.")
            group = None
    if time is not None:
        _check_time(table, time, notes)
    ignore = _ignored(request, asked, columns, target, notes)
    ignore += tuple(_not_in_test(request, columns, {target, weight, group, *ignore}, notes))
    rows = len(values)
    trials = _said("trials", request.trials, asked.trials, None, notes)
    task = TaskSpec(
        target=target,
        kind=kind,
        metric=metric,
        time_limit_s=_time_limit(request, asked, trials, notes),
        ignore=ignore,
        group=group,
        time=time,
        weight=weight,
        positive=_positive(request, asked, kind, metric, values, notes),
        exact_target=exact,
        only=_said("only", request.only, asked.only, (), notes),
        never=_said("never", request.never, asked.never, (), notes),
        ensemble=_said("ensemble", None if request.ensemble else False, asked.ensemble, True, notes),
        without=request.without,
        predict_limit_ms=request.predict_limit_ms,
        holdout=_said("holdout", None, None, holdout_share(rows), notes),
        seed=request.seed,
        threads=_said("threads", request.threads, asked.threads, machine.available_threads(), notes),
        memory_mib=_said("memory_mib", request.memory_mib, None, machine.available_memory_mib() // 2, notes),
        model=request.model,
        trials=trials,
        source=notes.source,
        warnings=tuple(notes.warnings),
    )
    require_models(task)
    return task


def require_models(task: TaskSpec) -> None:
    """Raises UsageError where no kind of model that is installed here is allowed."""
    here = {r.family for r in load_recipes().values() if task.kind in r.kinds} - {"baseline"}
    if not any(task.allows(family) for family in here):
        raise UsageError(
            "None of the kinds of models that are allowed is installed here.",
            f"Allow one of {', '.join(sorted(here))}; CatBoost and XGBoost come with the extra 'boost'.",
        )


def _said(name: str, flag: Any, ask: Any, default: Any, notes: _Notes) -> Any:
    if flag is not None and flag != ():
        if ask is not None and ask != () and ask != flag:
            notes.doubt(f"The request says {name} {ask}, the flag {flag}; the flag counts.", "Say it once.")
        notes.source[name] = "flag"
        return flag
    if ask is not None and ask != ():
        notes.source[name] = "ask"
        return ask
    notes.source[name] = "default"
    return default


def _target(request: Request, asked: Asked, table: Table, notes: _Notes) -> str:
    columns = list(table.schema.columns)
    if request.target is not None:
        target = resolve_column(request.target, columns, "--target")
        if asked.target is not None and asked.target != target:
            notes.doubt(
                f"The request names the target {asked.target}, --target {target}; the flag counts.", "Say it once."
            )
        notes.source["target"] = "flag"
        return target
    if asked.target is not None:
        notes.source["target"] = "ask"
        return asked.target
    notes.source["target"] = "inferred"
    from_files = _target_from_files(request, columns)
    if len(from_files) == 1:
        return from_files[0]
    pool = from_files or columns
    by_name = [c for n in TARGET_NAMES for c in pool if c.strip().lower() == n]
    if by_name:
        if len(by_name) > 1:
            notes.doubt(
                f"Several columns could be the target: {', '.join(by_name)}; {by_name[0]!r} was taken.",
                "Name it with --target.",
            )
        else:
            notes.warn(f"The target was not named; {by_name[0]!r} was taken for its name.")
        return by_name[0]
    shown = ", ".join(pool[:30]) + (", …" if len(pool) > 30 else "")
    which = f"Those that the other files speak for: {shown}" if from_files else f"The columns: {shown}"
    raise UsageError("It is not clear which column is to be predicted.", f"Name it with --target. {which}")


def _target_from_files(request: Request, columns: list[str]) -> list[str]:
    """Columns of the training data that the test file lacks, or that the sample submission has and the test lacks."""
    test = column_names(request.test) if request.test else None
    submission = column_names(request.submission) if request.submission else None
    candidates = [c for c in columns if test is None or c not in test]
    if submission is not None:
        in_submission = [c for c in candidates if c in submission]
        if test is None and len(in_submission) > 1:
            in_submission = in_submission[1:]  # the first column of a submission is the id
        return in_submission
    return candidates if test is not None else []


def _not_in_test(request: Request, columns: list[str], hidden: set[str | None], notes: _Notes) -> list[str]:
    """Columns that the test file lacks: no model that must predict it can use them."""
    if request.submission:
        column_names(request.submission)  # unreadable: said before the work, not after it
    if not request.test:
        return []
    test = column_names(request.test)
    absent = [c for c in columns if c not in test and c not in hidden]
    if len(absent) >= len([c for c in columns if c not in hidden]):
        raise DataError(
            f"{request.test} has none of the columns to learn from.",
            f"It has: {', '.join(test[:10])}. Is it the right file?",
        )
    if absent:
        notes.doubt(
            f"{len(absent)} column(s) are not in {request.test} and are left out: {', '.join(absent[:10])}.", ""
        )
    return absent


def _metric_asked(request: Request, asked: Asked, notes: _Notes) -> str | None:
    flag = metric_name(request.metric) if request.metric is not None else None
    if request.metric is not None and flag is None:
        near = near_names(request.metric, list(METRICS))
        raise UsageError(f"There is no metric {request.metric!r}.", f"Did you mean {near}? All: {' '.join(METRICS)}.")
    if flag and asked.metric and flag != asked.metric:
        notes.doubt(f"The request asks for {asked.metric}, --metric for {flag}; the flag counts.", "Say it once.")
    if flag or asked.metric:
        notes.source["metric"] = "flag" if flag else "ask"
    return flag or asked.metric


def _kind(
    request: Request, asked: Asked, values: pd.Series, numbers: pd.Series, metric: str | None, notes: _Notes
) -> Kind:
    """values: the target as text; numbers: the same as numbers."""
    n_unique = int(values.nunique())
    said = request.kind or asked.kind
    if said is not None:
        notes.source["kind"] = "flag" if request.kind else "ask"
        if said == "binary" and n_unique > 2:
            raise UsageError(
                f"The target {values.name!r} has {n_unique} different values, so the task is not binary.",
                "Leave --kind out, or use multiclass.",
            )
        if said == "multiclass" and n_unique == 2:
            notes.warn(f"The target {values.name!r} has two classes: the task is binary.")
            return "binary"
        return said
    notes.source["kind"] = "inferred"
    guess = guess_kind(values, numbers)
    if metric is not None and guess.kind not in METRICS[metric].kinds:
        if METRICS[metric].kinds == ("regression",) and numbers.notna().sum() == values.notna().sum():
            return "regression"
        whole = not (numbers.dropna() % 1 != 0).any()
        if "multiclass" in METRICS[metric].kinds and n_unique <= MOST_CLASSES and whole:
            return "multiclass"
    elif guess.doubt and metric is None:
        notes.doubt(f"About the target {values.name!r}: {guess.doubt}.", "Say which with --kind.")
    return guess.kind


def _read_labels(table: Table, target: str, found: TargetText, notes: _Notes) -> str:
    """Say which spellings became one label, and which words of the file were taken for "missing" (returned)."""
    if found.spellings:
        pairs = [f"{written!r} as {label!r}" for written, label in found.spellings.items()]
        notes.doubt(
            f"Labels of {target!r} that differ in case or blanks alone, or are one number, were read as one: "
            f"{', '.join(pairs[:5])}.",
            "Where they mean different things, rename them in the file." if notes.strict else "",
        )
    if found.exact or table.schema.format == "parquet" or not found.values.isna().any():
        return ""
    literal = table.with_target(target, "text", exact=True).frame[target]
    words = literal[found.values.isna()].dropna().value_counts()
    words = words[[str(w).strip() != "" for w in words.index]]
    if not len(words):
        return ""
    message = (
        f"{int(words.sum())} cells of {target!r} say {str(words.index[0])!r} and were taken as missing. "
        "If that is a class of its own: --exact-target."
    )
    notes.warn(message)
    return message


def _checked_rows(values: pd.Series, text: pd.Series, kind: Kind, target: str, words: str, notes: _Notes) -> pd.Series:
    """The targets that are there. values: text for classes, numbers for regression; text: as the file has them."""
    unread = values.isna() & text.notna()
    if unread.sum() > 0.1 * text.notna().sum():
        raise UsageError(
            f"The target {target!r} is not a number in {int(unread.sum())} of {int(text.notna().sum())} rows "
            f"(for example {str(text[unread].iloc[0])[:40]!r}).",
            "Use --kind multiclass for classes, or clean the column.",
        )
    missing = int(values.isna().sum())
    kept = values.dropna()
    if len(kept) == 0:
        raise DataError(f"The target {target!r} is empty in every row.", "Name another column with --target.")
    if missing:
        notes.warn(f"{missing} of {len(values)} rows have no target and are left out.")
    if len(kept) < MIN_ROWS:
        raise DataError(f"Only {len(kept)} rows have a target; at least {MIN_ROWS} are needed.", "Bring more rows.")
    n_unique = int(kept.nunique())
    if n_unique < 2:
        raise DataError(
            f"The target {target!r} has the same value in every row ({str(kept.iloc[0])[:40]!r}).",
            words or "Name another target.",
        )
    if kind != "regression":
        said = notes.source["kind"] != "inferred"
        if n_unique > (MOST_CLASSES_SAID if said else MOST_CLASSES) or n_unique > 0.5 * len(kept):
            insist = "" if said or n_unique > MOST_CLASSES_SAID else "; --kind multiclass if these are classes"
            raise UsageError(
                f"The target {target!r} has {n_unique} different values in {len(kept)} rows: too many for classes.",
                f"Is it an id or free text? Name another target, or use --kind regression for an amount{insist}.",
            )
        rare = kept.value_counts()
        rare = rare[rare < 5]
        if len(rare):
            notes.warn(
                f"{len(rare)} class(es) have fewer than 5 rows (such as {str(rare.index[-1])[:40]!r}); "
                "expect little of them."
            )
    return kept


def _metric(asked: str | None, kind: Kind, values: pd.Series, notes: _Notes) -> str:
    if asked is None:
        notes.source["metric"] = "default"
        metric = DEFAULT_METRIC[kind]
        notes.doubt(f"No metric was named; {metric} is used.", "Name one with --metric.") if notes.strict else None
        return metric
    if kind not in METRICS[asked].kinds:
        fitting = " ".join(name for name, m in METRICS.items() if kind in m.kinds)
        raise UsageError(f"The metric {asked} does not fit a {kind} task.", f"Those that fit: {fitting}.")
    lowest = float(values.min()) if kind == "regression" else 0.0
    if asked == "rmsle" and lowest < 0:
        raise UsageError(f"RMSLE needs a target of 0 or more; the smallest is {lowest:g}.", "Use --metric rmse or mae.")
    if asked == "tweedie" and lowest < 0:
        raise UsageError(
            f"Tweedie needs a target of 0 or more; the smallest is {lowest:g}.", "Use --metric rmse or mae."
        )
    if asked == "mape" and bool((values == 0).any()):
        notes.warn("MAPE divides by the target, which is 0 in some rows: these rows outweigh all others.")
    return asked


def _column(role: str, flag: str | None, ask: str | None, columns: list[str], target: str, notes: _Notes) -> str | None:
    said = _said(role, resolve_column(flag, columns, f"--{role}") if flag else None, ask, None, notes)
    if said == target:
        raise UsageError(
            f"The column {target!r} is the target and cannot also be the {role} column.", f"Change --{role}."
        )
    return cast("str | None", said)


def _check_weight(table: Table, weight: str) -> None:
    numbers = as_number(table.frame[weight])
    if numbers.isna().any() or (numbers < 0).any() or numbers.sum() <= 0:
        raise DataError(
            f"The weight column {weight!r} holds missing, negative or no positive numbers.",
            "Weights are numbers above 0.",
        )


def _check_time(table: Table, time: str, notes: _Notes) -> None:
    unknown = np.isnan(time_order(table.frame[time]))
    if unknown.mean() > 0.1:
        raise DataError(f"The time column {time!r} holds neither dates nor numbers.", "Name another with --time.")
    if unknown.any():
        notes.warn(f"{int(unknown.sum())} rows have no readable {time!r}; they count as the oldest.")


def _listed(names: tuple[str, ...], columns: list[str]) -> list[str]:
    """The columns of --ignore, which was split at commas: "City, State" may be one name."""
    found, at, find = [], 0, ColumnIndex(columns).find
    while at < len(names):
        ends = range(len(names), at + 1, -1) if find(names[at]) is None else range(0)
        whole = ((", ".join(names[at:end]), end) for end in ends)
        name, at = next(((c, end) for n, end in whole if (c := find(n))), (names[at], at + 1))
        found.append(resolve_column(name, columns, "--ignore"))
    return found


def _ignored(request: Request, asked: Asked, columns: list[str], target: str, notes: _Notes) -> tuple[str, ...]:
    flagged = _listed(request.ignore, columns)
    ignored = tuple(dict.fromkeys([*flagged, *asked.ignore]))
    if target in ignored:
        raise UsageError(f"The column {target!r} is the target and cannot be ignored.", "Change --ignore or --target.")
    if len(ignored) >= len(columns) - 1:
        raise UsageError("Every column except the target is ignored.", "Leave some to learn from.")
    notes.source["ignore"] = "flag" if flagged else "ask" if ignored else "default"
    return ignored


def _time_limit(request: Request, asked: Asked, trials: int | None, notes: _Notes) -> float:
    flag = request.time_limit_s if request.time_limit_s not in (None, DEFAULT_TIME_LIMIT_S) else None
    default = DEFAULT_TIME_LIMIT_S if trials is None else FIXED_WORK_TIME_LIMIT_S
    limit = float(_said("time_limit_s", flag, asked.time_limit_s, default, notes))
    if limit < 5:
        raise UsageError(
            f"A time limit of {limit:g} s is too short for any model.", "Give it 10 s or more, such as --time-limit 2m."
        )
    return limit


def _positive(request: Request, asked: Asked, kind: Kind, metric: str, values: pd.Series, notes: _Notes) -> str | None:
    said = _said("positive", request.positive, asked.positive, None, notes)
    if kind != "binary":
        if request.positive is not None:
            raise UsageError(f"--positive belongs to a binary task; this one is {kind}.", "Leave --positive out.")
        return None
    labels = class_labels(values)
    if said is not None:
        same = [x for x in labels if x == said] or [x for x in labels if x.strip().lower() == said.strip().lower()]
        if same:
            return same[0]
        if request.positive is not None:
            raise UsageError(f"The target has no label {said!r}.", f"It has: {', '.join(map(repr, labels))}.")
        notes.doubt(
            f"The target has no label {said!r}, which the request calls positive.", "Say which with --positive."
        )
    notes.source["positive"] = "inferred"
    counts = metric in ("f1", "precision", "recall", "average_precision")
    if counts and plain_positive(labels) is None:
        notes.doubt(f"{labels[-1]!r} was taken as the positive label.", "Say which with --positive.")
    return labels[-1]
