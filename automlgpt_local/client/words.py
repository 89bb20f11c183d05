"""Events in words: the same line on a shell, in the TUI and in a log."""

from __future__ import annotations

import re
from collections import Counter

from automlgpt_local import events as ev
from automlgpt_local.client.inert import inert_line
from automlgpt_local.client.view import RunView
from automlgpt_local.settings import format_seconds


def number(value: float | None) -> str:
    return "–" if value is None else f"{value:.5g}"


DECISIONS = {
    "next_tool": "looks at", "next_recipe": "tries", "treatments": "treats the columns", "features": "makes features",
    "params": "sets",
}  # fmt: skip


def decision_of(e: ev.Decided) -> str:
    """What was decided, with its values: one as itself, a few by name, many of a kind counted."""
    what = DECISIONS.get(e.decision, e.decision.replace("_", " "))
    values = e.named()
    if not values:
        return what
    if len(values) == 1:
        only = str(next(iter(values.values())))
        ends = {"done": "has seen enough", "stop": "has nothing more to try"}
        return ends.get(only, f"{what} {only}") if e.decision in DECISIONS else f"{what}: {only}"
    if len(values) > 6 or all(re.fullmatch(r"[a-z]\d+", str(k)) for k in values):
        counts = Counter(str(v) for v in values.values())
        rare = [k for k, v in values.items() if v != counts.most_common(1)[0][0]] if e.about else []
        told = f" ({', '.join(f'{inert_line(k, 30)}: {values[k]}' for k in rare[:6])}{', …' * (len(rare) > 6)})"
        return f"{what}: " + ", ".join(f"{n} × {v}" for v, n in counts.most_common(6)) + told * bool(rare)
    return f"{what} " + ", ".join(f"{inert_line(str(k), 30)}={v}" for k, v in values.items())


def said_of(e: ev.Commanded) -> str:
    """What a person said or did, in a few words."""
    match e.command:
        case "message":
            return str(e.values.get("text", ""))
        case "branch":
            return f"go on from attempt {e.values.get('attempt')}"
        case "approve":
            answers = {"once": "allow", "always": "allow from now on:", "edit": "run my version of"}
            return f"{answers.get(str(e.values.get('answer')), 'reject')} attempt {e.values.get('attempt')}"
        case "extend":
            return f"{format_seconds(float(e.values.get('seconds', 0.0)))} more"
    return e.command


def answer_of(e: ev.Answered) -> str:
    """With the choices of a question, numbered."""
    return " ".join([e.text, *(f"{i}) {label}" for i, (label, _) in enumerate(e.choices, 1))])


def line_of(record: ev.Record, seen: RunView) -> str | None:
    """One line for people about an event; None for what would only be noise."""
    match record.event:
        case ev.SessionStarted() as e:
            return f"run {e.run_id}, model {e.model}"
        case ev.TaskResolved(task=task):
            return f"task: predict {task['target']} ({task['kind']}), {task['metric']}, {task['time_limit_s']:g} s"
        case ev.Profiled(profile=profile):
            return f"data: {profile.get('rows', 0):,} rows, {len(profile.get('columns', []))} columns"
        case ev.SplitMade() as e:
            rows = f"{e.development_rows:,} rows to learn from, {e.holdout_rows:,} locked away"
            return f"split: {e.strategy}, {e.folds} folds, {rows}"
        case ev.Warned(message=message):
            return f"warning: {message}"
        case ev.StageStarted(stage=stage):
            return f"== {stage}"
        case ev.Decided() as e:
            return f"{e.agent} {decision_of(e)}" + ("" if e.by == "model" else f" ({e.by})")
        case ev.CodeWritten() as e:
            return f"attempt {e.attempt}: {e.title}"
        case ev.CodeRejected(problem=problem):
            return f"the code was sent back: {problem}"
        case ev.TookOver(reason=reason):
            return f"recipes take over: {reason}"
        case ev.Noted() as e:
            return f"{e.title}: {e.text}"
        case ev.AttemptFinished(score=None) as e:
            return f"attempt {e.attempt}: {e.status} {e.error.strip().splitlines()[-1] if e.error.strip() else ''}"
        case ev.AttemptFinished() as e:
            noise = f" ± {e.noise:.2g}" if e.noise is not None else ""
            return f"attempt {e.attempt}: {seen.metric} {number(e.score)}{noise} in {e.seconds:.1f} s"
        case ev.Gated() as e:
            gain = "" if e.against is None else f", {e.gain:+.3g} against attempt {e.against} (noise {e.noise:.2g})"
            return f"attempt {e.attempt}: {'kept' if e.kept else 'dropped'}{gain}"
        case ev.EnsembleChosen() as e:
            parts = ", ".join(f"{w:.0%} of attempt {k}" for k, w in e.weights.items())
            return f"ensemble: {number(e.score)}, {'kept' if e.kept else 'dropped'} ({parts})"
        case ev.HoldoutScored() as e:
            return f"locked holdout: {number(e.score)} (validation {number(e.validation_score)}, gap {e.gap:+.3g})"
        case ev.Refitted() as e:
            return f"attempt {e.attempt} fitted on all rows: {e.status}"
        case ev.Exported(files=files):
            return f"exported: {', '.join(files)}"
        case ev.Stopped() as e:
            return f"search ended: {e.reason.replace('_', ' ')}. {e.evidence}"
        case ev.Commanded() as e:
            return f"you: {said_of(e)}"
        case ev.Answered() as e:
            return f"answer: {answer_of(e)}"
        case ev.TaskChanged() as e:
            return f"from here on: {e.text}"
        case ev.Resumed():
            return "resumed"
    return None
