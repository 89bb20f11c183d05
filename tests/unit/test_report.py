"""The report is told from events alone, loads nothing from elsewhere, and draws strange text as text."""

from __future__ import annotations

import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from automlgpt_local import events as ev
from automlgpt_local.artifacts import inert
from automlgpt_local.artifacts.manifest import changed, write_manifest
from automlgpt_local.artifacts.plots import MAX_ROWS, Evidence, draw
from automlgpt_local.artifacts.predictions import predictions_frame
from automlgpt_local.artifacts.report import number, write_report
from automlgpt_local.artifacts.summary import summarize
from automlgpt_local.decision import adjust
from automlgpt_local.task import Request, TaskSpec

HOSTILE = "<script>alert(1)</script> | `rm` [x](http://evil.example) \x1b]52;c;aGk=\x07 \u202egnp\n# head"


def column(name: str, kind: str = "number", **values: object) -> dict[str, object]:
    base: dict[str, object] = {
        "name": name, "kind": kind, "missing": 0.1, "unique": 7, "min": None, "median": None, "max": None,
        "top": [["a", 0.5]], "association": 0.25, "leak": False, "leak_reason": "",
    }  # fmt: skip
    return base | values


def finished_run(run_dir: Path, kind: str = "binary", rows: int = 400) -> Path:
    """A run directory as the engine leaves it just before the report is written."""
    metric = "rmse" if kind == "regression" else "roc_auc"
    task = TaskSpec(HOSTILE, kind, metric, 60, source={"target": "flag", "metric": "inferred"}, warnings=(HOSTILE,))  # type: ignore[arg-type]
    run_dir.mkdir()
    (run_dir / "task.json").write_text(json.dumps(task.to_json()))
    (run_dir / "request.json").write_text(json.dumps(Request(("data.csv",), ask=HOSTILE).to_json()))
    (run_dir / "pipeline.py").write_text("code")
    (run_dir / "attempts" / "0001").mkdir(parents=True)
    (run_dir / "attempts" / "0001" / "solution.py").write_text("code")
    log = ev.EventLog(run_dir / "events.jsonl")
    written = {"stage": "select", "by": "model", "recipe": "lightgbm", "params": {}, "columns": {}, "sha256": ""}
    for i, event in enumerate(
        [
            ev.SessionStarted("run-1", "0.1.0", "nano"),
            ev.SandboxStarted({"landlock": "enforced"}),
            ev.TaskResolved(task.to_json()),
            ev.Profiled({
                "rows": rows, "duplicates": 3,
                "columns": [
                    column(HOSTILE, "category", leak=True, leak_reason="equals the target"),
                    column("x", min=-1.5, median=0.0, max=12345.678, association=None),
                ],
                "target": {},
            }),
            ev.SplitMade("stratified", 5, rows, 40, "f" * 64),
            ev.Decided("reasoner", "select", HOSTILE, {"recipe": HOSTILE}, "model", thought=HOSTILE, forced_tokens=30,
                       chosen_tokens=10, probabilities={"recipe": 0.5, "depth": 0.5}),
            ev.CodeWritten(1, title=HOSTILE, parent=None, forced_tokens=5, chosen_tokens=5, **written),
            ev.AttemptFinished(1, "ok", 0.91, 0.01, [0.9, 0.92], 1.5),
            ev.CodeWritten(2, title="second", parent=1, **written),
            ev.AttemptFinished(2, "ok", 0.93, 0.01, [0.92, 0.94], 1.5),
            ev.Gated(2, 1, 0.02, 0.004, True),
            ev.CodeWritten(3, title="third", parent=2, **written),
            ev.AttemptFinished(3, "error", None, None, [], 0.5, error="Traceback\n  " + HOSTILE),
            ev.TookOver("tune", HOSTILE),
            ev.Stopped("nothing_left_to_gain", "ten attempts without a gain"),
            ev.EnsembleChosen({"1": 1.0, "2": 3.0}, 0.935, 0.93, True),
            ev.HoldoutScored(0.921, 0.935, 0.014, 2),
            ev.Refitted(2, "ok", 2.0, {"n_trees": 99}),
        ]
    ):  # fmt: skip
        log.append(event, i * 1.5)
    log.close()
    importance = {"how": HOSTILE, "metric": metric, "rows": 9, "rounds": 3, "columns": [[HOSTILE, 0.2], ["x", -0.01]]}
    (run_dir / "importance.json").write_text(json.dumps(importance))
    rng = np.random.default_rng(0)
    if kind == "regression":
        y = rng.normal(size=rows)
        Evidence(y, y + rng.normal(0, 0.3, rows)).save(run_dir)
    else:
        n = 2 if kind == "binary" else 30
        y = rng.integers(0, n, rows)
        p = rng.dirichlet(np.ones(n), rows) + np.eye(n)[y]
        Evidence(y, p / p.sum(axis=1, keepdims=True), tuple(f"{HOSTILE} $x^{k}" for k in range(n))).save(run_dir)
    return run_dir


class Page(HTMLParser):
    """Tags with their attributes, and whether they are balanced."""

    VOID = {"meta", "br", "img", "hr", "link", "input"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing"


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression"])
def test_html_is_self_contained_and_inert(tmp_path: Path, kind: str) -> None:
    run_dir = finished_run(tmp_path / "run", kind)
    write_report(run_dir)
    text = (run_dir / "report.html").read_text()
    page = Page(text)
    assert page.open == []
    names = [tag for tag, _ in page.tags]
    assert "script" not in names and "link" not in names and "iframe" not in names
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            if name in {"src", "href", "xlink:href"}:
                assert (value or "").startswith(("data:", "#")), (tag, name, value)
    assert names.count("svg") == (5 if kind == "regression" else 6)
    assert not re.search(r"url\((?!#)", text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    assert "currentColor" in text


def test_markdown_tells_the_story_and_is_inert(tmp_path: Path) -> None:
    run_dir = finished_run(tmp_path / "run")
    assert [p.name for p in write_report(run_dir)] == ["report.json", "report.md", "report.html"]
    text = (run_dir / "report.md").read_text()
    for said in (
        "0.935 in cross-validation", "0.921 on rows that no decision has seen", "0.014", "stratified", "nothing\\_left",
        "kept: +0.02 ± 0.004 over attempt 1", "75.0%", "equals the target", "| reasoner | model=1 | 10 | 30 | 25.0% |",
        "landlock=enforced", "Recipes took over in tune", "-1.5 … 0 … 12,346", "python pipeline.py",
    ):  # fmt: skip
        assert said in text, said
    assert "\x1b" not in text and "\u202e" not in text
    outside_code = "\n".join(line for line in text.splitlines() if not line.startswith("    "))
    assert not re.search(r"(?<!\\)<script", outside_code)
    assert "\n# head" not in text
    headers = [line for line in text.splitlines() if line.startswith("#")]
    assert len(headers) == 9
    for line in text.splitlines():
        if line.startswith("|"):
            cells = re.findall(r"(?<!\\)\|", line)
            assert len(cells) in (4, 7, 8, 9, 3), line


def test_json_has_the_numbers(tmp_path: Path) -> None:
    run_dir = finished_run(tmp_path / "run")
    write_report(run_dir)
    raw = (run_dir / "report.json").read_text()
    assert raw.isascii()
    story = json.loads(raw)
    assert story["holdout"] == {"score": 0.921, "validation_score": 0.935, "gap": 0.014, "looks": 2}
    assert [a["verdict"] for a in story["attempts"]] == ["scored", "kept", "error"]
    assert [a["weight"] for a in story["attempts"]] == [0.25, 0.75, 0.0]
    assert story["agents"]["by_agent"]["reasoner"]["chosen_share"] == 0.25


def test_a_run_that_ended_early_has_a_report(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    log = ev.EventLog(run_dir / "events.jsonl")
    log.append(ev.SessionStarted("run-2", "0.1.0", "none"), 0.0)
    log.close()
    write_report(run_dir)
    assert "No model of" in (run_dir / "report.md").read_text()
    assert Page((run_dir / "report.html").read_text()).open == []


def test_a_run_without_a_sandbox_says_so(tmp_path: Path) -> None:
    run_dir = finished_run(tmp_path / "run")
    (run_dir / "request.json").write_text(json.dumps(Request(("data.csv",), sandbox=False).to_json()))
    write_report(run_dir)
    for name in ("report.md", "report.html"):
        assert "without a sandbox" in (run_dir / name).read_text()


def test_a_large_run_is_reported_within_seconds(tmp_path: Path) -> None:
    run_dir = finished_run(tmp_path / "run", "multiclass", rows=100_000)
    assert len(Evidence.load(run_dir).y) <= MAX_ROWS  # type: ignore[union-attr]
    started = time.process_time()
    write_report(run_dir)
    assert time.process_time() - started < 4


def test_a_change_that_is_carried_out_again_after_a_resume_is_told_once(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run")
    late = ev.TaskChanged("No ensemble.", {})
    answered = ev.Answered("No ensemble.", {"ensemble": False}), ev.Answered("There is nothing to take back.")
    log = ev.EventLog(run / "events.jsonl")
    for event in (*answered, late, ev.Finished(0.9, 0.9, "roc_auc", 60.0, 0), ev.Resumed("0", 120.0), late):
        log.append(event, 99.0)
    log.close()
    assert summarize(run)["changes"] == ["No ensemble."]


def test_a_run_that_went_on_reports_its_last_ending_and_limit(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run")
    log = ev.EventLog(run / "events.jsonl")
    ending = ev.Stopped("nothing_left_to_gain", "ten attempts without a gain"), ev.Refitted(1, "ok", 3.0)
    went_on = ev.Budget(61.0, 700.0, 0.0, 50.0, "tune")
    for event in (ev.Finished(0.9, 0.9, "roc_auc", 60.0, 0), ev.Resumed("0", 700.0), went_on, *ending):
        log.append(event, 650.0)
    log.close()
    assert [r["attempt"] for r in summarize(run)["refits"]] == [1]
    write_report(run)
    assert "s of 700 s used" in (run / "report.md").read_text()
    assert "of 700 s" in (run / "report.html").read_text()


def test_manifest_names_every_file_and_sees_changes(tmp_path: Path) -> None:
    run_dir = finished_run(tmp_path / "run")
    write_report(run_dir)
    write_manifest(run_dir)
    manifest = json.loads((run_dir / "manifest.json").read_text())
    assert {"attempts/0001/solution.py", "report.html", "task.json", "pipeline.py"} <= set(manifest["files"])
    assert "events.jsonl" not in manifest["files"]
    assert manifest["data"]["sha256"] == "f" * 64
    assert changed(run_dir) == []
    (run_dir / "pipeline.py").write_text("other code")
    assert changed(run_dir) == ["pipeline.py"]


def test_text_of_others_is_made_plain() -> None:
    assert inert.plain("a\x1b[2Jb\u202ec\nd") == "abc d"
    assert inert.plain("x" * 300, 10) == "x" * 9 + "…"
    assert inert.markdown("a|b*c") == "a\\|b\\*c"
    assert "http://" not in inert.markdown("see http://x.example")


def test_numbers_for_people() -> None:
    said = [number(v) for v in (None, 0.123456, 12, 1234567.8, float("nan"), "text", 1e-7)]
    assert said == ["–", "0.1235", "12", "1,234,568", "–", "text", "1e-07"]


def test_only_a_temperature_changes_the_probabilities_shown() -> None:
    p = np.array([[0.6, 0.4], [0.9, 0.1]])
    frame = predictions_frame(p, ["no", "yes"], {"multipliers": [0.2, 0.8]})
    assert frame["prediction"].tolist() == ["yes", "no"]
    assert frame["proba_yes"].tolist() == [0.4, 0.1]
    cooler = predictions_frame(p, ["no", "yes"], {"temperature": 0.5})
    assert cooler["proba_yes"].tolist() == pytest.approx([0.16 / 0.52, 0.01 / 0.82])


def test_plots_are_of_the_probabilities_that_are_shown() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(3), 200)
    y, decision = p.argmax(axis=1), {"temperature": 3.0}
    told = draw(Evidence(y, p, ("a", "b", "c"), decision), [], "y", "log_loss")
    mended = draw(Evidence(y, adjust(p, decision), ("a", "b", "c")), [], "y", "log_loss")
    assert told["Calibration, out of fold"] == mended["Calibration, out of fold"]
    assert told["ROC, out of fold"] == mended["ROC, out of fold"]


def test_shares_of_a_class_count_what_is_taken_for_a_class_not_drawn() -> None:
    y = np.append(np.repeat(np.arange(10), 4), [10, 11])
    guess = np.where(np.arange(len(y)) % 2 == 0, y, 11)
    classes = tuple("abcdefghijkl")
    svg = draw(Evidence(y, np.eye(12)[guess], classes), [], "y", "accuracy")[
        "Confusion, out of fold (10 most frequent classes)"
    ]
    assert svg.count(">50%<") == 10 and ">100%<" not in svg
