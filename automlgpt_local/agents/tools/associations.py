"""Which columns tell most about the target, one by one."""

from __future__ import annotations

from automlgpt_local.data.profile import Profile
from automlgpt_local.task import TaskSpec


def associations(task: TaskSpec, profile: Profile) -> str:
    known = [c for c in profile.columns if c.association is not None]
    known.sort(key=lambda c: -(c.association or 0.0))
    return ", ".join(f"{c.name!r} {c.association:.2f}" for c in known[:8]) or "no association was computed"
