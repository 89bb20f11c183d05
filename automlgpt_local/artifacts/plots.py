"""The plots of the report, as inline SVG that takes its text colour from the page (light or dark).

Arrays come from `Evidence`: out-of-fold predictions of the final model, never those of rows it was fitted on.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from automlgpt_local.artifacts.inert import plain
from automlgpt_local.decision import adjust

FILE = "report.npz"
MAX_ROWS = 20_000
MOST_IMPORTANT = 15
_INK = "#0a0b0c"  # stands for the page's own text colour
_KEPT, _DROPPED, _FAINT = "#3b82c4", "#9aa4ae", "#8a929a"


@dataclass(frozen=True)
class Evidence:
    """y: (n_rows,) class codes or floats. prediction: (n_rows, n_classes) probabilities, or (n_rows,) floats.

    decision: how probabilities become a label, as `decision.adjust` takes it.
    """

    y: Any
    prediction: Any
    classes: tuple[str, ...] = ()
    decision: dict[str, Any] = field(default_factory=dict)

    @property
    def shown(self) -> Any:
        """The probabilities (n_rows, n_classes) as predictions.csv has them."""
        from automlgpt_local.artifacts.predictions import shown_probabilities

        return shown_probabilities(self.prediction, self.decision)

    def save(self, run_dir: Path) -> None:
        """Write what the plots need, evenly thinned to at most MAX_ROWS rows."""
        import numpy as np

        step = max(1, -(-len(self.y) // MAX_ROWS))
        classes = np.array([plain(c, 40) for c in self.classes], dtype="U40")
        decision = np.array(json.dumps(self.decision))
        np.savez_compressed(
            run_dir / FILE, y=self.y[::step], prediction=self.prediction[::step], classes=classes, decision=decision
        )

    @classmethod
    def load(cls, run_dir: Path) -> Evidence | None:
        """What `save` wrote; None when the run ended before it."""
        import numpy as np

        if not (run_dir / FILE).is_file():
            return None
        with np.load(run_dir / FILE, allow_pickle=False) as arrays:
            classes = tuple(str(c) for c in arrays["classes"])
            return cls(arrays["y"], arrays["prediction"], classes, json.loads(str(arrays["decision"])))


@dataclass(frozen=True)
class Bar:
    """One attempt in the comparison of models."""

    label: str
    score: float
    noise: float
    kept: bool


@contextmanager
def _figure(title: str, svgs: dict[str, str], height: float = 2.7) -> Iterator[Any]:
    """Axes to draw into; the finished SVG is put into `svgs` under its title."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    style = {
        "svg.fonttype": "none", "svg.hashsalt": title, "font.size": 8.5, "axes.spines.top": False,
        "axes.spines.right": False, "axes.linewidth": 0.6, "axes.edgecolor": _FAINT, "text.color": _INK,
        "axes.labelcolor": _INK, "xtick.color": _INK, "ytick.color": _INK, "legend.frameon": False,
    }  # fmt: skip
    with mpl.rc_context(style):
        figure = Figure(figsize=(4.4, height), layout="constrained")
        yield figure.add_subplot()
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg, count=2)
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svgs[title] = svg.replace(_INK, "currentColor").strip()


def draw(
    evidence: Evidence | None, bars: list[Bar], target: str, metric: str, importance: Sequence[tuple[str, float]] = ()
) -> dict[str, str]:
    """Title -> SVG, in the order in which they are read. importance: (column, loss of score), highest first."""
    svgs: dict[str, str] = {}
    if evidence is not None and len(evidence.y):
        _target(evidence, plain(target, 40), svgs)
    if len(bars) > 1:
        _comparison(bars, metric, svgs)
    if importance:
        _importance(importance[:MOST_IMPORTANT], metric, svgs)
    if evidence is None or not len(evidence.y):
        return svgs
    if evidence.prediction.ndim == 2:
        _confusion(evidence, svgs)
        _roc(evidence, svgs)
        _calibration(evidence, svgs)
    else:
        _fitted(evidence, svgs)
        _residuals(evidence, svgs)
    return svgs


def _target(evidence: Evidence, target: str, svgs: dict[str, str]) -> None:
    import numpy as np

    with _figure("Target", svgs) as axes:
        if evidence.prediction.ndim == 2:
            counts = np.bincount(evidence.y.astype(int), minlength=len(evidence.classes))
            order = np.argsort(counts)[::-1][:15][::-1]
            axes.barh([_tick(evidence.classes[k]) for k in order], counts[order] / counts.sum(), color=_KEPT)
            axes.set_xlabel("share of rows")
        else:
            axes.hist(evidence.y, bins=40, color=_KEPT)
            axes.set_xlabel(_tick(target))
            axes.set_ylabel("rows")


def _comparison(bars: list[Bar], metric: str, svgs: dict[str, str]) -> None:
    with _figure("Attempts compared", svgs, height=0.7 + 0.2 * len(bars)) as axes:
        for row, bar in enumerate(reversed(bars)):
            colour = _KEPT if bar.kept else _DROPPED
            axes.errorbar(bar.score, row, xerr=bar.noise, fmt="o", color=colour, markersize=4, linewidth=1.2)
        axes.set_yticks(range(len(bars)), [_tick(bar.label) for bar in reversed(bars)])
        axes.set_xlabel(f"{metric}, mean over folds and its standard error")
        axes.grid(axis="x", color=_FAINT, alpha=0.25, linewidth=0.5)


def _importance(importance: Sequence[tuple[str, float]], metric: str, svgs: dict[str, str]) -> None:
    names = [_tick(plain(name, 40)) for name, _ in reversed(importance)]
    with _figure("Importance of the columns", svgs, height=0.7 + 0.17 * len(names)) as axes:
        axes.barh(range(len(names)), [loss for _, loss in reversed(importance)], color=_KEPT)
        axes.set_yticks(range(len(names)), names)
        axes.axvline(0, color=_FAINT, linewidth=0.7)
        axes.set_xlabel(f"loss of {metric} when the column is shuffled")


def _confusion(evidence: Evidence, svgs: dict[str, str]) -> None:
    import numpy as np

    truth, guess = evidence.y.astype(int), adjust(evidence.prediction, evidence.decision).argmax(axis=1)
    n = len(evidence.classes)
    table = np.zeros((n, n))
    np.add.at(table, (truth, guess), 1)
    shown = np.sort(np.argsort(-table.sum(axis=1), kind="stable")[:10])
    share = (table / np.maximum(table.sum(axis=1, keepdims=True), 1))[np.ix_(shown, shown)]
    names = [_tick(evidence.classes[k], 12) for k in shown]
    with _figure("Confusion, out of fold" + (" (10 most frequent classes)" if n > 10 else ""), svgs, 3.2) as axes:
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1.3)
        for i in range(len(shown)):
            for j in range(len(shown)):
                ink = "white" if share[i, j] > 0.75 else "#1b2733"
                axes.text(j, i, f"{share[i, j]:.0%}", ha="center", va="center", color=ink, fontsize=7.5)
        turned = {"rotation": 40, "ha": "right", "rotation_mode": "anchor"} if len(shown) > 3 else {}
        axes.set_xticks(range(len(shown)), names, **turned)
        axes.set_yticks(range(len(shown)), names)
        axes.set_xlabel("predicted")
        axes.set_ylabel("true")


def _roc(evidence: Evidence, svgs: dict[str, str]) -> None:
    import numpy as np
    from sklearn.metrics import roc_curve

    n, shown = len(evidence.classes), evidence.shown
    frequent = np.argsort(-np.bincount(evidence.y.astype(int), minlength=n), kind="stable")[:6]
    codes = [1] if n == 2 else [int(k) for k in np.sort(frequent)]
    with _figure("ROC, out of fold", svgs) as axes:
        for k in codes:
            truth = evidence.y == k
            if truth.any() and not truth.all():
                false_rate, true_rate, _ = roc_curve(truth, shown[:, k])
                keep = np.unique(np.linspace(0, len(false_rate) - 1, 200).astype(int))
                axes.plot(false_rate[keep], true_rate[keep], linewidth=1.3, label=_tick(evidence.classes[k]))
        axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=0.7, linestyle=":")
        axes.set_xlabel("false positive rate")
        axes.set_ylabel("true positive rate")
        axes.legend(loc="lower right")


def _calibration(evidence: Evidence, svgs: dict[str, str]) -> None:
    import numpy as np

    shown = evidence.shown
    if len(evidence.classes) == 2:
        said, true = shown[:, 1], evidence.y == 1
        meaning = f"predicted probability of {_tick(evidence.classes[1])}"
    else:
        said, true = shown.max(axis=1), shown.argmax(axis=1) == evidence.y
        meaning = "probability of the predicted class"
    bins = np.array_split(np.argsort(said, kind="stable"), min(10, max(2, len(said) // 20)))
    points = [(said[rows].mean(), true[rows].mean()) for rows in bins if len(rows)]
    with _figure("Calibration, out of fold", svgs) as axes:
        axes.plot([0, 1], [0, 1], color=_FAINT, linewidth=0.7, linestyle=":")
        axes.plot(*zip(*points), marker="o", markersize=4, linewidth=1.2, color=_KEPT)
        axes.set_xlabel(meaning)
        axes.set_ylabel("how often it was so")


def _fitted(evidence: Evidence, svgs: dict[str, str]) -> None:
    rows = slice(None, None, max(1, len(evidence.y) // 2000))
    low, high = float(evidence.y.min()), float(evidence.y.max())
    with _figure("Predicted against true, out of fold", svgs) as axes:
        axes.scatter(
            evidence.y[rows], evidence.prediction[rows], s=5, alpha=0.35, linewidths=0, color=_KEPT, rasterized=True
        )
        axes.plot([low, high], [low, high], color=_FAINT, linewidth=0.7, linestyle=":")
        axes.set_xlabel("true")
        axes.set_ylabel("predicted")


def _residuals(evidence: Evidence, svgs: dict[str, str]) -> None:
    import numpy as np

    errors = evidence.y - evidence.prediction
    low, high = np.quantile(errors, [0.005, 0.995])
    with _figure("Residuals, out of fold", svgs) as axes:
        axes.hist(np.clip(errors, low, high), bins=40, color=_KEPT)
        axes.axvline(0, color=_FAINT, linewidth=0.7, linestyle=":")
        axes.set_xlabel("true − predicted (outermost 1 % gathered at the ends)")
        axes.set_ylabel("rows")


def _tick(text: str, limit: int = 24) -> str:
    """A label that matplotlib draws as it stands: `$` would start its formula language."""
    return plain(text, limit).replace("$", r"\$")
