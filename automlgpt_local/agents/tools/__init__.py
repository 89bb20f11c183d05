"""What the Reasoning agent may look at: one file each, with its description for the agent beside it."""

from __future__ import annotations

from collections.abc import Callable

from automlgpt_local.agents.tools.associations import associations
from automlgpt_local.agents.tools.missing import missing
from automlgpt_local.agents.tools.target import target
from automlgpt_local.data.profile import Profile
from automlgpt_local.task import TaskSpec

TOOLS: dict[str, Callable[[TaskSpec, Profile], str]] = {
    "target": target,
    "missing": missing,
    "associations": associations,
}
