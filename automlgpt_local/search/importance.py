"""Which columns the final model leans on: the loss of score when one column at a time is shuffled.

Measured out of sample, on rows of the first fold, with the heaviest member fitted on that fold's training rows; in the
time that is left over, or not at all. The result lies in importance.json; a `Noted` event says how it came about.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from automlgpt_local.decision import adjust
from automlgpt_local.events import Noted
from automlgpt_local.sandbox import results
from automlgpt_local.sandbox.jobs import Job, Limits

if TYPE_CHECKING:
    from automlgpt_local.data.profile import Profile
    from automlgpt_local.search.closing import Closing
    from automlgpt_local.search.evaluate import Evaluation

FILE = "importance.json"
TITLE = "Importance of the columns"
MOST_COLUMNS = 40
MOST_ROWS = 1000
WRITING_S = 2.0  # kept for export and report
MOST_CELLS = 8_000_000  # of shuffled predictions
MOST_ROUNDS = 3
MOST_SHARE = 0.05  # of the time limit, for the shuffling
START_S = 0.5  # of a fork


def explain(closing: Closing, rule: dict[str, Any], profile: Profile) -> Noted:
    """Measure, write importance.json, and record how it was done or why it was not."""
    number = max(closing.blender.weights, key=lambda n: closing.blender.weights[n])
    evaluation = next(e for e in closing.pool if e.attempt.number == number)

    def make() -> Noted:
        path = closing.evaluator.workspace.run_dir / FILE
        path.unlink(missing_ok=True)
        found = _measure(closing, evaluation, rule, profile)
        if isinstance(found, str):
            return Noted("export", TITLE, f"Not measured: {found}.")
        torn = path.with_suffix(".part")
        torn.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        torn.replace(path)
        return Noted("export", TITLE, str(found["how"]))

    return closing.recorder.step(Noted, make)


def _measure(closing: Closing, evaluation: Evaluation, rule: dict[str, Any], profile: Profile) -> dict[str, Any] | str:
    """{how, metric, columns: [[name, loss of score], …], most important first}, or why not."""
    import numpy as np

    evaluator, clock = closing.evaluator, closing.recorder.clock
    workspace, fold = evaluator.workspace, evaluator.folds[0]
    shuffling_s = max(1.0, MOST_SHARE * clock.limit_s)
    left_s = clock.left_s() - max(WRITING_S, closing.blender.closing_s - 1.0)
    closing.control.leave_if_abandoned()
    if closing.control.interrupted() or left_s < 1.5 * evaluation.fit_s + START_S:
        return "no time was left"
    association = {c.name: c.association for c in profile.columns}
    names = sorted(map(str, workspace.features.columns), key=lambda n: -association.get(n, 0.0))[:MOST_COLUMNS]
    most = min(MOST_ROWS, MOST_CELLS // (len(names) * MOST_ROUNDS * max(1, workspace.n_classes)))
    chosen = np.sort(np.random.default_rng(workspace.task.seed).permutation(len(fold.valid))[: max(50, most)])
    rows = fold.valid[chosen]
    work = evaluator.job_dir(f"importance_{evaluation.attempt.number:04d}")
    development = workspace.data_dir / "development.feather"
    solution = evaluator.solution_path(evaluation.attempt.number)
    np.save(fold.folder / "shuffled_rows.npy", rows.astype(np.int64))
    spec = {
        "solution": str(solution), "module": "solution",
        "params": {**evaluation.attempt.params, **evaluation.fitted_params},
        "ctx": workspace.context(
            evaluation.attempt.columns, seed=workspace.task.seed, threads=evaluator.threads_per_fold,
            seconds=max(1.0, evaluation.fit_s),
        ),
        "features": str(development), "fold": str(fold.folder), "names": names, "rounds": MOST_ROUNDS,
        "seconds": min(shuffling_s, 0.5 * left_s), "n_classes": workspace.n_classes, "seed": workspace.task.seed,
    }  # fmt: skip
    limits = Limits(wall_s=left_s, memory_mib=workspace.task.memory_mib, threads=evaluator.threads_per_fold)
    job = Job("shuffle", spec, work, (solution, development, fold.folder), limits)
    outcome = evaluator.sandbox.run(job, cancelled=closing.control.interrupted)
    results.remove(work)
    predicted = outcome.arrays.get("shuffled")
    if outcome.status != "ok" or not isinstance(predicted, np.ndarray) or not np.isfinite(predicted).all():
        return f"the fit for it ended with {outcome.status}"
    wide = max(1, workspace.n_classes)
    blocks = predicted.reshape(-1, len(rows), wide) if predicted.size % (len(rows) * wide) == 0 else predicted[:0]
    done = len(blocks) - 1
    if done < 1 or (done > len(names) and done % len(names)):
        return "its predictions have not the shape that they should have"
    weight = workspace.weight_development
    y, weights = workspace.y_development[rows], None if weight is None else weight[rows]

    def loss(block: Any) -> float:
        shaped = block if workspace.n_classes else block[:, 0]
        return evaluator.metric.loss(evaluator.metric.score(y, adjust(shaped, rule), weights))

    try:
        plain, shuffled = loss(blocks[0]), [loss(block) for block in blocks[1:]]
    except ValueError as error:  # a class that these rows do not have
        return str(error)[:200]
    if not np.isfinite([plain, *shuffled]).all():
        return "its predictions could not be scored"
    measured = names[: min(done, len(names))]
    each = {n: float(np.mean(shuffled[i :: len(names)])) - plain for i, n in enumerate(measured)}
    ranked = sorted(each.items(), key=lambda pair: -pair[1])
    rounds = max(1, done // len(names))
    return {
        "how": (
            f"How much {workspace.task.metric} gets worse when one column is shuffled, mean of {rounds} "
            f"time{'s' * (rounds > 1)}: {len(rows):,} rows that were not fitted on, attempt "
            f"{evaluation.attempt.number} fitted on fold {fold.index + 1}."
            + (f" {len(workspace.features.columns) - len(measured):,} columns that go less with the target were left "
               "out." if len(measured) < len(workspace.features.columns) else "")
        ),
        "metric": workspace.task.metric,
        "rows": len(rows),
        "rounds": rounds,
        "columns": [[n, float(f"{v:.4g}") if abs(v) > 1e-9 * abs(plain) else 0.0] for n, v in ranked],
    }  # fmt: skip
