"""What came of a recorded decision: did its module run, how did it score, did the gate keep it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from automlgpt_local.events import AttemptFinished, CodeRejected, CodeWritten, Decided, Event, Gated
from finetune.replay import is_advised, is_features

# Decisions that carry an earlier one out: what they come to is what it came to.
CARRIED_OUT_BY = {"treatments": ("treatments",), "next_recipe": ("solution", "repair"), "next_tune": ("params",)}
RAN = ("ok", "pruned")  # pruned: it ran, and was given up because it was worse


def outcome_of(decided: Decided, later: Sequence[Event]) -> dict[str, Any]:
    """ran, score, gain and kept of the module that this decision led to; empty where it led to none.

    later: the session's events after it.
    """
    followed = list(_followed(decided, later))
    written = _written(decided, [e for e in followed if isinstance(e, CodeWritten)])
    if written is None:
        writes = decided.decision in ("solution", "repair") or decided.values.get("next") == "own"
        refused = writes and any(isinstance(e, CodeRejected) for e in followed)
        return {"ran": False} if refused else {}
    found: dict[str, Any] = {}
    for event in followed:
        if isinstance(event, AttemptFinished) and event.attempt == written.attempt:
            found |= {"ran": event.status in RAN, "score": event.score}
            found |= {"kept": False} if event.status == "pruned" else {}
        elif isinstance(event, Gated) and event.attempt == written.attempt:
            found |= {"gain": event.gain, "kept": event.kept}
    return found


def failed(decision: str, outcome: dict[str, Any]) -> bool:
    """A mended module has done its part when it runs, whether or not it gains."""
    return not outcome.get("ran", True) or (decision != "repair" and outcome.get("kept") is False)


def _followed(decided: Decided, later: Iterable[Event]) -> Iterator[Event]:
    """The events up to the next decision about something else."""
    for event in later:
        if isinstance(event, Decided) and event.decision not in CARRIED_OUT_BY.get(decided.decision, ()):
            return
        yield event


def _written(decided: Decided, modules: Sequence[CodeWritten]) -> CodeWritten | None:
    """The module that does what was decided, among those that followed."""
    match decided.decision:
        case "next_tool":
            return None
        case "treatments":  # two probes follow: the rules' and, where it differs, the advised one
            return next((m for m in modules if is_advised(m)), modules[0] if modules else None)
        case "features":
            return next((m for m in modules if is_features(m)), None)
        case "params":  # such as were tried before, or none at all, are replaced
            chosen = decided.values.items()
            return next((m for m in modules if chosen and chosen <= m.params.items()), None)
    return modules[-1] if modules else None  # of the Coder's own ones, the mended one
