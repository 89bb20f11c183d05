"""Columns that tell more by their exact values, or two together, than added up; and the code of these categories."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from automlgpt_local.agents import feature_code, ideas
from automlgpt_local.data.interactions import find_levels, find_pairs

N_ROWS = 6_000


@pytest.fixture(scope="module")
def frame() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "month": rng.choice(["jan", "feb", "mar", "apr"], N_ROWS),
            "day": rng.integers(1, 29, N_ROWS).astype(float),
            "lat": rng.uniform(47, 48, N_ROWS),
            "long": rng.uniform(-122, -121, N_ROWS),
            "colour": pd.Series(rng.choice(["red", "blue"], N_ROWS)).where(rng.random(N_ROWS) > 0.1),
            "same": "x",
            "name": [f"n{i}" for i in range(N_ROWS)],
        }
    )


def calendar(frame: pd.DataFrame) -> np.ndarray:
    """A value of its own for each day of the year."""
    rng = np.random.default_rng(1)
    values = {day: rng.normal() for day in sorted(set(zip(frame["month"], frame["day"])))}
    return np.array([values[day] for day in zip(frame["month"], frame["day"])])


def pairs(frame: pd.DataFrame, y: np.ndarray, n_classes: int = 0) -> list[set[str]]:
    return [set(p.columns) for p in find_pairs(frame, list(frame.columns), y, n_classes, 4)]


@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_two_columns_that_only_tell_together_are_found(frame: pd.DataFrame, n_classes: int) -> None:
    value = calendar(frame) + np.random.default_rng(2).normal(size=N_ROWS)
    y = value if n_classes == 0 else pd.qcut(value, n_classes, labels=False)
    assert pairs(frame, y, n_classes)[0] == {"month", "day"}


def test_numbers_are_cut_into_intervals(frame: pd.DataFrame) -> None:
    y = np.sign(np.sin(12 * frame["lat"]) * np.sin(12 * frame["long"])).to_numpy()
    found = find_pairs(frame, list(frame.columns), y, 0, 4)
    assert set(found[0].columns) == {"lat", "long"} and all(15 < len(bounds) < 30 for bounds in found[0].edges)
    assert found[0].gain > 0.3


def test_what_adds_up_is_no_pair(frame: pd.DataFrame) -> None:
    noise = np.random.default_rng(3).normal(size=N_ROWS)
    assert pairs(frame, frame["day"].to_numpy() / 9 + (frame["month"] == "jan") + noise) == []
    assert pairs(frame, noise) == []
    assert pairs(frame.iloc[:100], calendar(frame)[:100]) == []
    assert pairs(frame, np.ones(N_ROWS)) == []


def test_the_code_is_row_wise_and_knows_missing_and_new_values(frame: pd.DataFrame) -> None:
    table = frame.assign(month_with_day="taken")
    y = calendar(frame) + 3 * np.sign(np.sin(12 * frame["lat"]) * np.sin(12 * frame["long"])).to_numpy()
    found = find_pairs(table, ["month", "day", "lat", "long", "colour"], y, 0, 4)
    crosses = ideas.crosses(found, table.columns)
    source = feature_code.features_source([], {}, crosses)
    assert [c.code for c in ideas.cells_of(source)] == [c.code for c in crosses]
    space: dict = {}
    exec(source, space)
    rows = table.iloc[:50].copy()
    rows.loc[rows.index[0], ["month", "lat"]] = np.nan
    rows.loc[rows.index[1], ["month", "long"]] = ["dec", 1e9]
    whole = space["features"](rows)
    assert list(whole["month_with_day"]) == ["taken"] * 50 and {"month", "day"} < set(whole.columns)
    made = [c for c in whole.columns if c not in table.columns]
    assert len(made) == len(found) >= 2
    pieces = pd.concat([space["features"](rows.iloc[[i]]) for i in range(len(rows))])
    pd.testing.assert_frame_equal(whole, pieces, check_dtype=False)
    calendar_cells = next(whole[c] for c in made if "month" in c and "day" in c)
    assert "?" in calendar_cells.iloc[0] and "dec" in calendar_cells.iloc[1] and whole[made].notna().all().all()


@pytest.mark.parametrize("n_classes", [0, 2, 3])
def test_numbers_whose_values_have_effects_of_their_own_are_found(n_classes: int) -> None:
    rng = np.random.default_rng(4)
    numbers = pd.DataFrame({"shop": rng.integers(0, 300, N_ROWS), "age": rng.integers(0, 100, N_ROWS)}, dtype=float)
    numbers["row"] = np.arange(N_ROWS, dtype=float)
    numbers.loc[:9, "shop"] = np.nan
    effect = rng.normal(size=301)[numbers["shop"].fillna(300).astype(int)]
    value = effect + numbers["age"].to_numpy() / 30 + rng.normal(size=N_ROWS)
    y = value if n_classes == 0 else pd.qcut(value, n_classes, labels=False)
    assert find_levels(numbers, y, n_classes) == ["shop"]
    assert find_levels(numbers, rng.permutation(y), n_classes) == []
    assert find_levels(numbers.iloc[:100], y[:100], n_classes) == []


def test_the_days_of_a_date_become_a_category_however_it_is_written() -> None:
    when = SimpleNamespace(name="when", kind="date", date_format="%d.%m.%Y %H:%M")
    shop = SimpleNamespace(name="shop", kind="number")
    levels = ideas.levels([when, shop], ["when", "shop", "shop_level"])
    source = feature_code.features_source([], {}, levels)
    assert [c.code for c in ideas.cells_of(source)] == [c.code for c in levels]
    space: dict = {}
    exec(source, space)
    rows = pd.DataFrame(
        {"when": ["03.04.2020 07:30", "03.04.2020 23:59", "never", None], "shop": [7.0, 7, 2.5, np.nan]}
    )
    made = space["features"](rows.assign(shop_level="taken"))
    assert made["when_level"].nunique() == 2 and made["when_level"][0] == made["when_level"][1]
    assert made["when_level"][2] == made["when_level"][3] == "?"
    assert list(made["shop_level_"]) == ["7", "7", "2.5", "?"] and (made["shop_level"] == "taken").all()
