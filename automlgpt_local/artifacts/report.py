"""Writes report.json, report.md and report.html of a run, from its events and the arrays kept for plots.

Nothing here computes a score, and nothing in the files loads from anywhere else.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from automlgpt_local.artifacts import inert
from automlgpt_local.artifacts.plots import Bar, Evidence, draw
from automlgpt_local.artifacts.summary import summarize

FILES = ("report.json", "report.md", "report.html")
MAX_BARS = 24
MAX_COLUMNS = 300
MAX_DECISIONS = 400


def write_report(run_dir: Path) -> list[Path]:
    """Write the three files anew. Returns their paths. Takes about a second, most of it importing matplotlib."""
    story = summarize(run_dir)
    values = {
        "story": story,
        "headline": headline(story),
        "plots": draw(
            Evidence.load(run_dir),
            bars(story),
            str(story["task"].get("target", "")),
            _metric(story),
            (story["importance"] or {}).get("columns", []),
        ),
        "columns": story["profile"].get("columns", [])[:MAX_COLUMNS],
        "decisions": story["agents"]["decisions"][:MAX_DECISIONS],
        "libraries": versions(),
        "described": DESCRIBED,
        "train_command": "python pipeline.py" if "pipeline.py" in story["files"] else "python -m pipeline",
    }
    texts = {
        "report.json": json.dumps(story | {"libraries": values["libraries"]}, indent=1, default=str) + "\n",
        "report.md": _environment("markdown").get_template("report.md.j2").render(values),
        "report.html": _environment("html").get_template("report.html.j2").render(values),
    }
    return [_write(run_dir / name, texts[name]) for name in FILES]


def warm_up() -> None:
    """Import what a report needs: half of the time that it takes."""
    import jinja2
    import matplotlib.backends.backend_svg
    import matplotlib.figure

    assert jinja2 and matplotlib


DESCRIBED = {
    "pipeline.py": "the whole model as code: reading, features, fitting",
    "pipeline/": "the whole model as code: one module per member, their weights, reading, fitting",
    "predict.py": "predicts a table with the fitted model",
    "requirements.txt": "the exact library versions that the model was fitted with",
    "model/": "the fitted model (pickles: loading them runs code, so load only those you trust)",
    "report.html": "this report, with plots",
    "report.md": "this report as text",
    "report.json": "this report as data",
    "manifest.json": "sha256 of every file, versions, seeds, the data's fingerprint",
    "predictions.csv": "predictions for the test table",
    "events.jsonl": "everything that happened, in order",
    "attempts/": "the code, output and scores of each attempt",
}


def headline(story: dict[str, Any]) -> str:
    """The outcome in one or two sentences."""
    task, holdout = story["task"], story["holdout"]
    target, metric = inert.plain(task.get("target", "?"), 60), _metric(story)
    if not story["members"]:
        return f"No model of {target} was found."
    made = "one model" if len(story["members"]) == 1 else f"{len(story['members'])} models together"
    said = f"{target} is predicted by {made}, {metric} {number(story['run']['score'])} in cross-validation"
    if holdout:
        said += f" and {number(holdout['score'])} on rows that no decision has seen"
    return said + "."


def bars(story: dict[str, Any]) -> list[Bar]:
    """The best attempts, best first."""
    scored = [a for a in story["attempts"] if a["score"] is not None and a["status"] == "ok" and not a.get("probe")]
    scored.sort(key=lambda a: a["score"], reverse=bool(story["higher_is_better"]))
    return [
        Bar(f"{a['attempt']} {a['recipe'] or a['title']}", a["score"], a["noise"] or 0.0, a["kept"] or a["weight"] > 0)
        for a in scored[:MAX_BARS]
    ]


def number(value: Any, digits: int = 4) -> str:
    """A number for people: significant digits, thousands apart; a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–" if value is None else inert.plain(value, 40)
    if not math.isfinite(value):
        return "–"
    if isinstance(value, int) or (float(value).is_integer() and abs(value) < 1e12):
        return f"{int(value):,}"
    if abs(value) >= 10**digits:
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def percent(value: Any) -> str:
    return "–" if not isinstance(value, int | float) else f"{value:.1%}"


def versions() -> dict[str, str]:
    """Python and the libraries that a fit depends on, those that are installed."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    found = {"python": platform.python_version()}
    for name in (
        "numpy",
        "pandas",
        "scikit-learn",
        "skrub",
        "lightgbm",
        "catboost",
        "xgboost",
        "optuna",
        "llama-cpp-python",
    ):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _metric(story: dict[str, Any]) -> str:
    return str(story["task"].get("metric", "score"))


def _environment(kind: str) -> Any:
    """Jinja in which every value is made inert and escaped for `kind`; templates mark our own SVG alone as safe."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup, escape

    html = kind == "html"
    line = (lambda v: inert.plain(v, 1000)) if html else (lambda v: inert.markdown(v, 1000))

    def block(value: object) -> Markup:
        text = inert.lines(value)
        return escape(text) if html else Markup("\n".join("    " + row for row in text.splitlines()))

    environment = Environment(
        loader=PackageLoader("automlgpt_local.artifacts"),
        autoescape=html,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        finalize=lambda v: v if isinstance(v, Markup) else line(v),
    )
    environment.filters |= {
        "block": block,
        "number": number,
        "percent": percent,
        "compact": compact,
        "cut": inert.plain,
        "typical": typical,
        "suspicion": suspicion,
        "verdict": verdict,
        "product": math.prod,
    }
    return environment


def compact(values: Any, limit: int = 160) -> str:
    """A dictionary as `name=value, ...` on one line."""
    items = values.items() if isinstance(values, dict) else enumerate(values or [])
    return inert.plain(", ".join(f"{k}={number(v) if isinstance(v, float) else v}" for k, v in items), limit)


def typical(column: dict[str, Any]) -> str:
    """A column's range, or its most frequent values with their shares."""
    if column.get("min") is not None and column.get("kind") != "category":
        return f"{number(column['min'])} … {number(column['median'])} … {number(column['max'])}"
    return ", ".join(f"{inert.plain(text, 30)} ({percent(share)})" for text, share in column.get("top", [])[:3])


def suspicion(column: dict[str, Any]) -> str:
    return f"may give the answer away: {column.get('leak_reason')}" if column.get("leak") else ""


def verdict(attempt: dict[str, Any]) -> str:
    """Why an attempt was kept or dropped, in words."""
    if attempt["gain"] is None or attempt["against"] is None:
        return str(attempt["verdict"])
    sign = "+" if attempt["gain"] > 0 else ""
    noise = number(attempt["gain_noise"], 2)
    return f"{attempt['verdict']}: {sign}{number(attempt['gain'], 2)} ± {noise} over attempt {attempt['against']}"


def _write(path: Path, text: str) -> Path:
    torn = path.with_name(path.name + ".part")
    torn.write_text(text, encoding="utf-8", errors="replace")
    return torn.replace(path)
