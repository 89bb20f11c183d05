"""The parts of generated tables: each makes columns, adds its effect, and says what is right for them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd


class Maker:
    """Grows a table: components call `add`, effects sum up in `score`."""

    def __init__(self, rng: np.random.Generator, n_rows: int) -> None:
        self.rng, self.n = rng, n_rows
        self.columns: dict[str, Any] = {}
        self.treatments: dict[str, str] = {}
        self.ideas: set[str] = set()
        self.score = np.zeros(n_rows)

    def name(self, *words: str) -> str:
        base = str(self.rng.choice(list(words)))
        style = self.rng.integers(4)
        if style == 1:
            base = base.title().replace("_", "")
        elif style == 2 and self.rng.random() < 0.5:
            base = base.replace("_", " ")
        name, i = base, 1
        while name in self.columns:
            i += 1
            name = f"{base}_{i}" if style != 1 else f"{base}{i}"
        return name

    def add(self, name: str, values: Any, treatment: str) -> None:
        self.columns[name] = values
        self.treatments[name] = treatment

    def effect(self, values: np.ndarray, weight: float | None = None) -> None:
        values = np.nan_to_num(np.asarray(values, dtype=float))
        spread = values.std()
        if spread > 0:
            weight = self.rng.uniform(0.4, 1.4) if weight is None else weight
            self.score += weight * self.rng.choice([-1, 1]) * (values - values.mean()) / spread


# --- components ----------------------------------------------------------------------------------------------------


def number(m: Maker) -> None:
    x = m.rng.normal(size=m.n) * 10.0 ** m.rng.integers(-1, 4) + 10.0 ** m.rng.integers(0, 3)
    if m.rng.random() < 0.4:
        x = np.round(np.abs(x))
    name = m.name("temperature", "age", "height", "pressure", "speed", "score", "tenure", "distance", "humidity", "v1")
    m.add(name, x, "keep")
    z = (x - x.mean()) / (x.std() + 1e-9)
    shape = m.rng.integers(4)
    m.effect([z, z**2, np.tanh(3 * z), (z > m.rng.normal() * 0.5).astype(float)][shape])


def skewed(m: Maker) -> None:
    x = np.exp(m.rng.normal(size=m.n) * m.rng.uniform(1.0, 2.2)) * 10.0 ** m.rng.integers(0, 4)
    if m.rng.random() < 0.5:
        x = np.floor(x)
    if m.rng.random() < 0.3:
        x[m.rng.random(m.n) < m.rng.uniform(0.1, 0.6)] = 0
    m.add(
        m.name("income", "price", "amount", "balance", "population", "clicks", "views", "revenue", "n_visits", "area"),
        x,
        "log",
    )
    m.effect(np.log1p(x))


def linear_tail(m: Maker) -> None:
    """Long-tailed, and its effect is in the value itself."""
    x = m.rng.exponential(size=m.n) ** 1.6 * 10.0 ** m.rng.integers(0, 3)
    m.add(m.name("duration", "delay", "weight", "total_hours", "usage"), x, "log" if m.rng.random() < 0.5 else "keep")
    m.effect(x)


def noise(m: Maker) -> None:
    kind = m.rng.integers(3)
    x = [m.rng.normal(size=m.n), m.rng.integers(0, 9, m.n).astype(float), m.rng.exponential(size=m.n)][kind]
    m.add(m.name("x", "feature", "sensor", "var", "f", "q"), x, "keep")


def ordinal(m: Maker) -> None:
    levels = int(m.rng.integers(3, 10))
    x = m.rng.integers(1, levels + 1, m.n).astype(float)
    m.add(
        m.name("rating", "grade", "quality", "stars", "class", "level", "rooms", "floors", "number_of_children"),
        x,
        "keep",
    )
    m.effect(x + 0.3 * m.rng.normal(size=levels + 2)[x.astype(int)])


def code(m: Maker) -> None:
    """A number that is a name: its levels have effects of their own."""
    levels = int(m.rng.integers(8, 60))
    codes = np.sort(m.rng.choice(np.arange(10, 100 * levels), levels, replace=False))
    codes = codes + int(m.rng.choice([0, 0, 1000, 90_000]))
    pick = m.rng.integers(0, levels, m.n)
    m.add(m.name("zip_code", "postal_code", "store_code", "region_code", "product_type", "agent_code", "class_code"),
          codes[pick].astype(float), "category")  # fmt: skip
    m.effect(m.rng.normal(size=levels)[pick], m.rng.uniform(0.8, 1.8))


def flag(m: Maker) -> None:
    x = (m.rng.random(m.n) < m.rng.choice([0.03, 0.2, 0.5, 0.8])).astype(float)
    m.add(
        m.name("is_member", "holiday", "weekend", "senior", "has_child", "promo", "yr", "sex_code", "flag"), x, "keep"
    )
    m.effect(x, m.rng.uniform(0.0, 0.9))


def year(m: Maker) -> None:
    x = np.round(m.rng.integers(1950, 2000) + m.rng.integers(10, 60) * m.rng.random(m.n) ** m.rng.uniform(0.4, 1.5))
    m.add(m.name("year", "yr_built", "birth_year", "season_year", "model_year"), x, "keep")
    m.effect(x, m.rng.uniform(0.2, 1.0))


def count(m: Maker) -> None:
    x = np.asarray(m.rng.poisson(m.rng.choice([0.2, 0.7, 2, 6]) * m.rng.gamma(1.5, 1.0, m.n)), dtype=float)
    if m.rng.random() < 0.2:
        x[m.rng.random(m.n) < 0.4] = -1
    m.add(m.name("previous", "n_items", "visits", "children", "bookings", "month_count", "campaign"), x, "keep")
    m.effect(np.log1p(np.maximum(x, 0)), m.rng.uniform(0.2, 1.0))


def share(m: Maker) -> None:
    x = m.rng.beta(m.rng.uniform(0.4, 4), m.rng.uniform(0.4, 4), m.n).round(4)
    x = x if m.rng.random() < 0.7 else x + m.rng.choice([40.0, -122.0])
    m.add(m.name("rate", "humidity", "share", "probability", "lat", "long", "density"), x, "keep")
    m.effect(np.sin(3 * x), m.rng.uniform(0.2, 1.0))


def category(m: Maker) -> None:
    levels = int(m.rng.integers(2, 12))
    pick = m.rng.choice(levels, m.n, p=m.rng.dirichlet(np.ones(levels) * 2))
    names = np.array([f"{w}" for w in m.rng.permutation(_LEVELS)[:levels]], dtype=object)
    m.add(m.name("color", "city", "contract", "gender", "plan", "channel", "country", "department", "payment_method"),
          names[pick], "category")  # fmt: skip
    m.effect(m.rng.normal(size=levels)[pick], m.rng.uniform(0.0, 1.2))


def many_levels(m: Maker) -> None:
    levels = min(int(m.rng.integers(30, 300)), m.n // 4)
    pick = np.minimum((m.rng.exponential(size=m.n) * levels / 4).astype(int), levels - 1)
    prefix = str(m.rng.choice(["city_", "brand ", "A", "shop-", "model "]))
    names = np.array([f"{prefix}{i}" for i in range(levels)], dtype=object)
    m.add(m.name("city", "brand", "model", "neighbourhood", "employer", "zone", "station"), names[pick], "category")
    m.effect(m.rng.normal(size=levels)[pick], m.rng.uniform(0.6, 1.6))


def words(m: Maker) -> None:
    """Free text: some of its words matter; or only its length; or nothing."""
    count = m.rng.integers(2, 18)
    sizes = m.rng.poisson(count, m.n) + 1
    vocabulary = np.array([f"{a}{b}" for a in _SYLLABLES for b in _SYLLABLES], dtype=object)
    strong = m.rng.choice(len(vocabulary), 12, replace=False)
    weights = np.zeros(len(vocabulary))
    weights[strong] = m.rng.normal(size=12)
    chance = np.full(len(vocabulary), 1.0)
    chance[strong] = 6.0
    picks = [m.rng.choice(len(vocabulary), s, p=chance / chance.sum()) for s in sizes]
    text = np.array([" ".join(vocabulary[p]) for p in picks], dtype=object)
    name = m.name("description", "title", "review", "comment", "summary", "notes", "listing_name")
    use = m.rng.integers(3)
    m.add(name, text, "text")
    if use == 0:
        m.effect(np.array([weights[p].sum() for p in picks]), m.rng.uniform(0.6, 1.4))
    elif use == 1:
        m.effect(np.log(sizes), m.rng.uniform(0.6, 1.4))
        m.ideas |= {f"length:{name}", f"words:{name}"}


def date(m: Maker) -> None:
    start = pd.Timestamp("2012-01-01") + pd.Timedelta(days=int(m.rng.integers(0, 3000)))
    days = m.rng.integers(0, int(m.rng.integers(200, 2500)), m.n)
    when = start + pd.to_timedelta(days, unit="D")
    timed = m.rng.random() < 0.5
    if timed:
        when = when + pd.to_timedelta(m.rng.integers(0, 86_400, m.n), unit="s")
    layout = (
        str(m.rng.choice(["%Y-%m-%d", "%m/%d/%Y", "%Y%m%dT000000", "%B %d, %Y"])) if not timed else "%Y-%m-%d %H:%M:%S"
    )
    name = m.name("date", "created_at", "order_date", "pickup_time", "last_update", "signup", "timestamp")
    m.add(name, np.array(when.strftime(layout), dtype=object), "date")
    use = m.rng.integers(4)
    if use == 0 and timed:
        m.effect(np.sin(2 * np.pi * (when.hour + when.minute / 60) / 24 + m.rng.uniform(0, 6)))
        m.ideas.add(f"hour:{name}")
    elif use == 1:
        m.effect(np.cos(2 * np.pi * when.day_of_year / 365.25 + m.rng.uniform(0, 6)))
        m.ideas.add(f"month:{name}")
    elif use == 2:
        m.effect(np.asarray(days, dtype=float))
    else:
        m.effect((when.day_of_week >= 5).astype(float), 0.6)


def parsed(m: Maker) -> None:
    """Numbers in writing."""
    x = np.exp(m.rng.normal(size=m.n) * 1.2 + 3)
    style = m.rng.integers(5)
    if style == 0:
        text = [f"{v:.0f}M" if v > 10 else f"{v * 100:.0f}k" for v in x]
        x = np.where(x > 10, np.round(x), np.round(x * 100) / 1000)
    elif style == 1:
        text = [f"${v:,.2f}" for v in x]
    elif style == 2:
        steps = np.array([1, 5, 10, 50, 100, 500, 1000, 5000, 10_000])
        x = steps[np.clip(np.searchsorted(steps, x * 10), 0, 8)].astype(float)
        text = [f"{int(v):,}+" for v in x]
    elif style == 3:
        x = np.round(x)
        text = [f"{int(v)} {'year' if v == 1 else 'years'}" for v in x]
    else:
        x = np.clip(x, 0, 100)
        text = [f"{v:.0f}%" for v in x]
    values = np.array(text, dtype=object)
    values[m.rng.random(m.n) < 0.03] = str(m.rng.choice(["Varies with device", "unknown", "n/a"]))
    m.add(m.name("size", "price", "installs", "experience", "discount", "budget", "employees"), values, "parse")
    m.effect(np.log1p(x))


def identity(m: Maker) -> None:
    style = m.rng.integers(4)
    order = np.arange(m.n)
    name = m.name("id", "customer_id", "order_id", "row_id", "CustomerID", "uuid")
    if style == 0:
        m.add(name, m.rng.permutation(m.n) + 1000.0, "drop")
    elif style == 1:
        m.add(name, order.astype(float), "drop" if m.rng.random() < 0.5 else "keep")
        if m.treatments[name] == "keep":
            m.effect(order)
    elif style == 2:
        m.add(name, np.array([f"{v:08x}" for v in m.rng.integers(0, 2**32, m.n)], dtype=object), "drop")
    else:
        part = m.rng.integers(100, 999, m.n)
        letters = m.rng.choice(list("ABCDEF"), m.n)
        m.add(
            name, np.array([f"{a}{p}-{i}" for a, p, i in zip(letters, part, order, strict=True)], dtype=object), "drop"
        )
        if m.rng.random() < 0.6:
            m.effect(part, 0.8)
            m.ideas.add(f"digits:{name}")


def pair(m: Maker) -> None:
    """Two numbers that matter together."""
    use = str(m.rng.choice(["ratio", "difference", "product", "sum"]))
    hinted = m.rng.random() < 0.6
    names = {
        "ratio": ("used_credit", "credit_limit") if hinted else ("amount", "members"),
        "difference": ("min_temp", "max_temp") if hinted else ("mark_x", "mark_y"),
        "product": ("length", "width") if hinted else ("alpha", "beta"),
        "sum": ("income_own", "income_partner") if hinted else ("part_one", "part_two"),
    }[use]
    if use in ("ratio", "product"):
        a, b = np.exp(m.rng.normal(size=m.n) * 0.9), np.exp(m.rng.normal(size=m.n) * 0.9)
        scale = 10.0 ** m.rng.integers(0, 4)
        a, b = a * scale, b * scale * m.rng.choice([1.0, 0.1])
        value = a / b if use == "ratio" else a * b
        treatment = "log"
        m.effect(np.log(value), m.rng.uniform(1.0, 2.0))
    else:
        base = m.rng.normal(size=m.n) * 10
        a = base + m.rng.normal(size=m.n) * 4
        b = (base if use == "difference" else m.rng.normal(size=m.n) * 10) + m.rng.normal(size=m.n) * 4 + 5
        value = b - a if use == "difference" else a + b
        treatment = "keep"
        m.effect(np.tanh((value - value.mean()) / value.std() * 1.5), m.rng.uniform(1.0, 2.0))
    first, second = m.name(names[0]), names[1]
    m.add(first, a, treatment)
    second = m.name(second)
    m.add(second, b, treatment)
    m.ideas |= {f"{use}:{first}:{second}", f"{use}:{second}:{first}"}


def interaction(m: Maker) -> None:
    """Two columns without an effect alone."""
    a, b = m.rng.normal(size=m.n), m.rng.normal(size=m.n)
    first = m.name("east", "left", "x_position")
    m.add(first, a, "keep")
    second = m.name("north", "right", "y_position")
    m.add(second, b, "keep")
    m.effect(a * b, m.rng.uniform(0.6, 1.4))
    m.ideas |= {f"product:{first}:{second}", f"product:{second}:{first}"}


def constant(m: Maker) -> None:
    m.add(m.name("version", "source", "currency"), np.full(m.n, 1.0 if m.rng.random() < 0.5 else np.nan), "drop")


def cents(m: Maker) -> None:
    x = np.round(np.exp(m.rng.normal(size=m.n) + 3), 2)
    ends = m.rng.random(m.n) < 0.4
    x = np.where(ends, np.floor(x) + 0.99, x)
    name = m.name("price", "fee", "cost")
    m.add(name, x, "keep")
    m.effect(ends.astype(float), 0.8)
    m.ideas.add(f"round:{name}")


_SYLLABLES = ("ba", "ce", "di", "fo", "gu", "la", "me", "ni", "po", "ru", "sa", "te", "vi", "zo")
_LEVELS = (
    "red", "green", "blue", "north", "south", "basic", "premium", "monthly", "yearly", "cash", "card", "web", "phone",
    "yes", "no", "male", "female", "Oslo", "Lima", "Kyoto", "other",
)  # fmt: skip
