"""What the target looks like."""

from __future__ import annotations

from automlgpt_local.data.profile import Profile
from automlgpt_local.task import TaskSpec


def target(task: TaskSpec, profile: Profile) -> str:
    facts = profile.target
    if facts is None:
        return f"{task.target}: no facts"
    if task.kind == "regression":
        return f"{task.target}: {facts.min:.6g} to {facts.max:.6g}, mean {facts.mean:.6g}, skew {facts.skew:.2f}"
    total = sum(facts.classes.values()) or 1
    shares = ", ".join(f"{label!r} {count / total:.1%}" for label, count in list(facts.classes.items())[:8])
    return f"{task.target}: {len(facts.classes)} classes ({shares})"
