"""Which columns have holes."""

from __future__ import annotations

from automlgpt_local.data.profile import Profile
from automlgpt_local.task import TaskSpec


def missing(task: TaskSpec, profile: Profile) -> str:
    holed = sorted((c for c in profile.columns if c.missing > 0), key=lambda c: -c.missing)
    if not holed:
        return "no value is missing"
    worst = ", ".join(f"{c.name!r} {c.missing:.1%}" for c in holed[:8])
    return f"{len(holed)} of {len(profile.columns)} columns have missing values: {worst}"
