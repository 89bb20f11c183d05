"""What the target looks like."""

from __future__ import annotations

from automlgpt_local.data.profile import Profile
from automlgpt_local.task import TaskSpec


def target(task: TaskSpec, profile: Profile) -> str:
    facts = profile.target
    if task.kind == "regression":
        told = ", ".join(
            f"{name} {facts[name]:.4g}" for name in ("min", "mean", "max", "skew") if facts.get(name) is not None
        )
        return f"{task.target}: {told}"
    classes: dict[str, int] = facts.get("classes", {})
    total = sum(classes.values()) or 1
    shares = ", ".join(f"{label!r} {count / total:.1%}" for label, count in list(classes.items())[:8])
    return f"{task.target}: {len(classes)} classes ({shares})"
