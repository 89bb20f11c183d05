"""Bundled data sets as CSV files: scikit-learn's own small ones, and a generated, untidy shop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from automlgpt_local.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Example:
    name: str
    target: str
    kind: str
    rows: int
    what: str


EXAMPLES = {
    e.name: e
    for e in (
        Example("shop", "returned", "binary", 4000, "4,000 orders: dates, money as text, gaps, an id, and a leak"),
        Example("breast_cancer", "diagnosis", "binary", 569, "569 cell images as 30 numbers: malignant or benign"),
        Example("wine", "cultivar", "multiclass", 178, "178 wines as 13 measurements: which of three cultivars"),
        Example("iris", "species", "multiclass", 150, "150 flowers as 4 lengths: which of three species"),
        Example("digits", "digit", "multiclass", 1797, "1,797 handwritten digits as 8 x 8 pixels"),
        Example("diabetes", "progression", "regression", 442, "442 patients as 10 numbers: progression after a year"),
    )
}
NAMES = tuple(EXAMPLES)
DEFAULT = "shop"


def write_example(name: str, folder: str | Path) -> Path:
    """Write `folder/<name>.csv` and return its path. Raises UsageError for an unknown name or a path in the way."""
    if name not in EXAMPLES:
        raise UsageError(f"There is no example {name!r}.", f"The examples are: {', '.join(NAMES)}.")
    path = Path(folder) / f"{name}.csv"
    if path.exists():
        raise UsageError(f"{path} is there already.", "Choose another folder, or remove it.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _makers()[name]().to_csv(path, index=False, lineterminator="\n")
    except OSError as error:
        raise UsageError(f"{path} cannot be written: {error.strerror}.", "Choose another folder.") from error
    return path


def _makers() -> dict[str, Callable[[], pd.DataFrame]]:
    return {
        "shop": _shop,
        "breast_cancer": lambda: _bundled("breast_cancer", "diagnosis"),
        "iris": lambda: _bundled("iris", "species"),
        "wine": lambda: _bundled("wine", "cultivar"),
        "digits": lambda: _bundled("digits", "digit"),
        "diabetes": lambda: _bundled("diabetes", "progression"),
    }


def _bundled(name: str, target: str) -> pd.DataFrame:
    from sklearn import datasets

    options = {"scaled": False} if name == "diabetes" else {}
    bunch = getattr(datasets, f"load_{name}")(as_frame=True, **options)
    frame: pd.DataFrame = bunch.frame.rename(columns={"target": target})
    labels = getattr(bunch, "target_names", None)
    if labels is not None and not str(labels[0]).isdigit():
        frame[target] = [str(labels[i]) for i in bunch.target]
    frame.columns = [c.replace(" (cm)", "_cm").replace(" ", "_").replace("/", "_") for c in frame.columns]
    return frame


def _shop(rows: int = EXAMPLES["shop"].rows) -> pd.DataFrame:
    """Orders of which about a quarter come back. `refund_date` is written after a return: a leak."""
    import numpy as np
    import pandas as pd

    rng = np.random.default_rng(20240501)
    category = rng.choice(
        ["shoes", "dress", "jacket", "jeans", "shirt", "bag", "watch"], rows, p=[0.2, 0.16, 0.12, 0.16, 0.2, 0.1, 0.06]
    )
    brands = np.array(
        [
            f"{a}{b}"
            for a in ("Nor", "Vel", "Kas", "Tir", "Mon", "Ast", "Bel", "Dor")
            for b in ("da", "lio", "mer", "wick", "eno")
        ]
    )
    brand_effect = rng.normal(0, 0.7, len(brands))
    brand = rng.integers(len(brands), size=rows)
    base = {"shoes": 85.0, "dress": 70.0, "jacket": 140.0, "jeans": 65.0, "shirt": 30.0, "bag": 110.0, "watch": 240.0}
    price = np.array([base[c] for c in category]) * np.exp(rng.normal(0, 0.45, rows)) * (1 + 0.15 * brand_effect[brand])
    discount = rng.choice([0, 0, 0, 10, 15, 20, 30, 50], rows)
    day = pd.Timestamp("2022-01-01") + pd.to_timedelta(np.sort(rng.integers(0, 730, rows)), unit="D")
    delivery = rng.poisson(3, rows) + 1
    age = np.clip(rng.normal(38, 13, rows), 16, 90).round()
    earlier = rng.poisson(3 + 3 * (age < 30), rows)
    earlier_returned = rng.binomial(earlier, 0.2 + 0.15 * (age < 30))
    stars = np.clip(np.round(rng.normal(3.9, 0.8, rows) - 0.25 * brand_effect[brand], 1), 1, 5)
    payment = rng.choice(["invoice", "card", "paypal", "gift card"], rows, p=[0.35, 0.35, 0.25, 0.05])
    size_fits = np.isin(category, ["shoes", "dress", "jeans"])
    month = day.month.to_numpy()
    logit = (
        -2.9 + 1.1 * size_fits + 0.9 * (payment == "invoice") + 0.012 * (price - 80) - 0.02 * discount
        + 0.16 * (delivery - 4) + brand_effect[brand] - 0.7 * (stars - 3.9) - 0.018 * (age - 38)
        + 2.2 * earlier_returned / (earlier + 1.5) + 0.8 * np.isin(month, [1, 12])
        + 0.9 * (size_fits & (age < 30)) + 0.5 * (day.day_of_week.to_numpy() >= 5)
    )  # fmt: skip
    returned = rng.random(rows) < 1 / (1 + np.exp(-logit))
    money = [f"${p:,.2f}" for p in price * (1 - discount / 100)]
    notes = np.array(
        ["", "gift", "please ring twice", "leave at the door", "two sizes ordered, one will go back", "urgent"]
    )
    common = rng.choice(6, rows, p=[0.8, 0.07, 0.05, 0.04, 0.01, 0.03])
    note = notes[np.where(returned & (rng.random(rows) < 0.15), 4, common)]
    refund = pd.Series(day + pd.to_timedelta(delivery + rng.integers(3, 20, rows), unit="D"))
    frame = pd.DataFrame(
        {
            "order_id": [f"A-{10001 + i}" for i in range(rows)],
            "order_date": day.strftime("%Y-%m-%d"),
            "category": category,
            "brand": brands[brand],
            "price": money,
            "discount": [f"{d}%" for d in discount],
            "delivery": [f"{d} day{'s' if d > 1 else ''}" for d in delivery],
            "payment": payment,
            "customer_age": np.where(rng.random(rows) < 0.04, -999, age).astype(int),
            "orders_before": earlier,
            "returns_before": earlier_returned,
            "stars": np.where(rng.random(rows) < 0.25, np.nan, stars),
            "note": np.where(note == "", None, note),
            "channel": np.where(rng.random(rows) < 0.1, "unknown", rng.choice(["web", "app"], rows)),
            "refund_date": refund.dt.strftime("%d.%m.%Y").where(returned),
            "returned": np.where(returned, "yes", "no"),
        }
    )
    return frame.sample(frac=1.0, random_state=1).reset_index(drop=True)
