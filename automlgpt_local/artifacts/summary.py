"""The story of a run, told from its events alone: one JSON-able dictionary from which every report is drawn.

Values are as the events have them; text is made inert where it is drawn.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from automlgpt_local import events as ev
from automlgpt_local.metrics import METRICS

VERSION = 1
E = TypeVar("E", bound=ev.Event)


def summarize(run_dir: Path) -> dict[str, Any]:
    """What was asked, found, tried, decided and left behind. Sections are empty where a run did not get that far."""
    records = list(ev.read_events(run_dir / "events.jsonl"))
    happened = [r.event for r in records]
    session = _last(happened, ev.SessionStarted)
    task = _read_json(run_dir / "task.json") or _field(_last(happened, ev.TaskResolved), "task", {})
    request = _read_json(run_dir / "request.json") or {}
    attempts = _attempts(happened)
    ensemble = _last(happened, ev.EnsembleChosen)
    chosen = _weights(ensemble, attempts)
    for attempt in attempts:
        attempt["weight"] = chosen.get(str(attempt["attempt"]), 0.0)
    finished = _last(happened, ev.Finished)
    score = _field(ensemble, "score" if _field(ensemble, "kept", False) else "single_score", None)
    stopped, budget = _last(happened, ev.Stopped), _last(happened, ev.Budget)
    last_stop = max((i for i, e in enumerate(happened) if isinstance(e, ev.Stopped)), default=len(happened))
    resumes = sum(isinstance(e, ev.Resumed) for e in happened)
    return {
        "version": VERSION,
        "run": {
            "id": session.run_id if session else run_dir.name,
            "started_at": records[0].at if records else "",
            "ended_at": records[-1].at if records else "",
            "seconds": finished.seconds if finished else (records[-1].t if records else 0.0),
            "limit_s": _field(budget, "limit_s", task.get("time_limit_s")),  # a resume may have changed it
            "resumes": resumes,
            "stopped": asdict(stopped) if stopped else None,
            "score": score,
            "finished": asdict(finished) if finished else None,
        },
        "request": request,
        "task": task,
        "warnings": _warnings(happened, task),
        "changes": [e.text for e in happened if isinstance(e, ev.Answered) and e.changes],
        "profile": _field(_last(happened, ev.Profiled), "profile", {}),
        "split": _dict(_last(happened, ev.SplitMade)),
        "attempts": attempts,
        "agents": _agents(happened),
        "ensemble": _dict(ensemble),
        "members": [a for a in attempts if a["weight"] > 0],
        "holdout": _dict(_last(happened, ev.HoldoutScored)),
        "importance": _importance(run_dir, happened),
        "refits": [asdict(e) for e in happened[last_stop:] if isinstance(e, ev.Refitted)],
        "budget": _dict(budget),
        "files": _files(run_dir),
        "made_by": {
            "version": session.version if session else "",
            "model": session.model if session else "",
            "model_sha256": _field(_last(happened, ev.ModelStarted), "sha256", ""),
            "prompts_sha256": session.prompts_sha256 if session else "",
            "seed": task.get("seed"),
            "threads": task.get("threads"),
        },
        "sandbox": _field(_last(happened, ev.SandboxStarted), "layers", {}),
        "unsafe": request.get("sandbox") is False,
        "higher_is_better": METRICS[task["metric"]].higher_is_better if task.get("metric") in METRICS else None,
    }


def _attempts(happened: list[ev.Event]) -> list[dict[str, Any]]:
    """One row per module that was written, with its score and what became of it, in the order of writing."""
    rows: dict[int, dict[str, Any]] = {}
    for event in happened:
        if isinstance(event, ev.CodeWritten):
            row = {k: v for k, v in asdict(event).items() if k not in ("columns", "sha256")}
            rows[event.attempt] = row | {
                "status": "unfinished", "score": None, "noise": None, "fold_scores": [], "seconds": 0.0, "error": "",
                "verdict": "no score", "kept": False, "against": None, "gain": None, "gain_noise": None,
            }  # fmt: skip
        elif isinstance(event, ev.AttemptFinished) and event.attempt in rows:
            rows[event.attempt] |= {
                "status": event.status, "score": event.score, "noise": event.noise, "fold_scores": event.fold_scores,
                "seconds": event.seconds, "error": event.error,
                "verdict": "scored" if event.status == "ok" else event.status,
            }  # fmt: skip
        elif isinstance(event, ev.Gated) and event.attempt in rows:
            verdict = "first" if event.against is None else "kept" if event.kept else "within noise"
            if event.against is not None and not event.kept and event.gain < 0:
                verdict = "worse"
            rows[event.attempt] |= {
                "verdict": verdict, "kept": event.kept, "against": event.against, "gain": event.gain,
                "gain_noise": event.noise,
            }  # fmt: skip
    return [rows[k] for k in sorted(rows)]


def _weights(ensemble: ev.EnsembleChosen | None, attempts: list[dict[str, Any]]) -> dict[str, float]:
    """attempt -> weight in the final model, shares of 1."""
    if ensemble is None or not ensemble.weights:
        return {}
    total = sum(ensemble.weights.values()) or 1.0
    return {k: v / total for k, v in ensemble.weights.items()}


def _agents(happened: list[ev.Event]) -> dict[str, Any]:
    """Who decided: counts by author, tokens forced and chosen, places where recipes took over."""
    decisions = [e for e in happened if isinstance(e, ev.Decided)]
    modules = [e for e in happened if isinstance(e, ev.CodeWritten)]
    by_agent = {}
    for agent in ("reasoner", "coder"):
        own: list[ev.Decided | ev.CodeWritten] = [d for d in decisions if d.agent == agent]
        if agent == "coder":
            own += modules
        forced, chosen = sum(e.forced_tokens for e in own), sum(e.chosen_tokens for e in own)
        spoken = [p for e in own for p in e.probabilities.values()]
        by_agent[agent] = {
            "by": dict(Counter(e.by for e in own)),
            "forced_tokens": forced,
            "chosen_tokens": chosen,
            "chosen_share": chosen / (forced + chosen) if forced + chosen else None,
            "mean_probability": sum(spoken) / len(spoken) if spoken else None,
            "seconds": round(sum(e.seconds for e in own if isinstance(e, ev.Decided)), 3),
        }
    return {
        "decisions": [{**asdict(d), "values": d.named()} for d in decisions],
        "by_agent": by_agent,
        "took_over": [asdict(e) for e in happened if isinstance(e, ev.TookOver)],
        "rejected": [asdict(e) for e in happened if isinstance(e, ev.CodeRejected)],
        "notes": [asdict(e) for e in happened if isinstance(e, ev.Noted)],
    }


def _importance(run_dir: Path, happened: list[ev.Event]) -> dict[str, Any] | None:
    """What `search.importance` measured; without columns where it says why it did not."""
    said = [e.text for e in happened if isinstance(e, ev.Noted) and e.title == "Importance of the columns"]
    return _read_json(run_dir / "importance.json") or ({"how": said[-1], "columns": []} if said else None)


def _warnings(happened: list[ev.Event], task: dict[str, Any]) -> list[str]:
    said = [*task.get("warnings", []), *(e.message for e in happened if isinstance(e, ev.Warned))]
    return list(dict.fromkeys(said))


def _files(run_dir: Path) -> list[str]:
    """What a person may use, folders with a slash at their end; reports and manifest are written last."""
    names = ("pipeline.py", "pipeline", "predict.py", "requirements.txt", "model", "predictions.csv")
    there = [name + "/" * (run_dir / name).is_dir() for name in names if (run_dir / name).exists()]
    return [*there, "report.html", "report.md", "report.json", "manifest.json", "events.jsonl", "attempts/"]


def _last(happened: list[ev.Event], cls: type[E]) -> E | None:
    return next((e for e in reversed(happened) if isinstance(e, cls)), None)


def _dict(event: ev.Event | None) -> dict[str, Any] | None:
    return None if event is None else asdict(event)


def _field(event: ev.Event | None, name: str, default: Any) -> Any:
    return default if event is None else getattr(event, name)


def _read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None
