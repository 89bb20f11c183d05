"""The compact dialect and the feature ideas: valid forms for any table, code that runs and is row-wise."""

import math
from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from automlgpt_local.agents import compact, feature_code, ideas
from automlgpt_local.llm.backend import Choice


@dataclass
class Column:
    name: str
    kind: str
    missing: float = 0.0
    unique: int = 100
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = None
    skew: float | None = None
    zeros: float | None = None
    integers: bool = False
    avg_words: float | None = None
    association: float | None = 0.1
    leak: bool = False
    top: tuple = ()
    date_format: str = ""
    sentinels: tuple[float, ...] = ()


def number(name, **more):
    values = {"min": 0.0, "max": 10.0, "mean": 4.0, "std": 2.0, "skew": 0.1, "zeros": 0.0, **more}
    return Column(name, "number", **values)


WILD = ["plain", 'it\'s "quoted"', "new\nline", "{df}", "\\", "'''", "ü🙂", "", "df['a'] = 1; import os"]


def run(source, frame):
    space: dict = {}
    exec(compile(source, "features", "exec"), space)
    return space["features"](frame)


def slots(template):
    return [part for part in template if isinstance(part, Choice)]


def text(template):
    return "".join(part if isinstance(part, str) else part.options[0] for part in template)


TASK = SimpleNamespace(kind="binary", metric="roc_auc", time_limit_s=120)


def profile(columns, rows=1000):
    return SimpleNamespace(rows=rows, columns=columns, target=None)


def test_opening_is_one_line_without_names():
    line = compact.opening("reasoner", TASK, profile([number("salary"), Column("city", "category")]))
    assert line.startswith("reasoner binary roc_auc rows2 ") and line.count("\n") == 1
    assert "salary" not in line and "city" not in line


def test_treat_has_one_slot_per_column_with_the_options_of_its_kind():
    columns = [number("a"), Column("t", "text", avg_words=5.0), Column("k", "constant")]
    template = compact.treat(columns, 0, 1000)
    assert [(s.name, s.options) for s in slots(template)] == [
        ("c0", compact.TREATMENTS["number"]), ("c1", compact.TREATMENTS["text"]), ("c2", ("drop",)),
    ]  # fmt: skip
    assert text(template).startswith("treat\nc0 number m0 u5 f3 real pos k0 z0 d1 a2 h-=keep\nc1 text ")


def test_balance_of_the_target():
    table = profile([])
    table.target = {"classes": {"a": 90, "b": 10}}
    assert compact.opening("coder", TASK, table).rstrip().endswith(" bal1")
    table.target = {"skew": -3.0}
    task = SimpleNamespace(kind="regression", metric="rmse", time_limit_s=60)
    assert compact.opening("coder", task, table).rstrip().endswith(" bal3")


def test_unknown_facts_are_dashes():
    facts = compact.column_facts(number("a", skew=math.nan, association=None))
    assert " k- " in facts and " a- " in facts and " f- " in facts


@pytest.mark.parametrize(
    ("column", "expected"),
    [
        (number("price", skew=5.0), "log"),
        (number("temperature", min=-5.0, skew=5.0), "keep"),
        (number("zip_code", integers=True, unique=40), "category"),
        (number("age", integers=True, unique=40), "keep"),
        (Column("c", "category", unique=995), "drop"),
        (Column("c", "category", unique=5), "category"),
        (Column("d", "date"), "date"),
        (Column("s", "numeric_text"), "parse"),
        (Column("i", "id"), "drop"),
        (Column("k", "constant"), "drop"),
    ],
)
def test_default_treatment(column, expected):
    assert compact.default_treatment(column, 1000) == expected


def test_a_wide_table_has_no_logs():
    column = number("count", min=0.0, skew=9.0)
    assert [compact.default_treatment(column, 1000, n) for n in (300, 301)] == ["log", "keep"]


@pytest.mark.parametrize(
    ("name", "hint"),
    [("class_size", "-"), ("decode_ms", "-"), ("status_days", "time"), ("barcode_len", "-"), ("region_count", "count"),
     ("zip", "code"), ("zipcode", "code"), ("postal_code", "code"), ("ZipCode", "code"), ("state code", "code"),
     ("product_type", "code"), ("RegionCode", "code"), ("class", "code"), ("flags", "code")],
)  # fmt: skip
def test_a_code_is_called_so_at_its_end(name, hint):
    assert compact.name_hint(name) == hint


def test_every_default_is_an_option():
    for kind, options in compact.TREATMENTS.items():
        assert compact.default_treatment(Column("x", kind), 1000) in options


def test_recipe_decisions():
    board = [("lightgbm", "best", "g5", "t1")]
    template = compact.next_recipe(board, ("linear", "extra_trees"))
    assert slots(template)[0].options == ("linear", "extra_trees", "stop")
    assert "lightgbm best g5 t1\n" in text(template)
    grid = {"max_depth": (None, 4, 4), "rate": (0.05, 0.1)}
    assert [s.options for s in slots(compact.params("linear", grid, board))] == [("None", "4"), ("0.05", "0.1")]
    assert slots(compact.next_tune(board, ("lightgbm",)))[0].options == ("lightgbm", "stop")


def test_tools_that_were_used_are_not_offered_again():
    assert slots(compact.next_tool(["target"]))[0].options == ("missing", "associations", "done")
    assert slots(compact.next_tool(["target", "missing", "associations"]))[0].options == ("done",)


def test_numbers_inside_text():
    column = Column("size", "numeric_text")
    frame = pd.DataFrame(
        {
            "size": [
                "19M",
                "$4.99",
                "10,000+",
                "2 years",
                "1,234",
                "50%",
                "12years",
                "-3.5",
                "1,5",
                "Varies",
                "8.7k",
                None,
            ]
        }
    )
    got = run(feature_code.features_source([column], {"size": "parse"}), frame)["size"]
    want = [19e6, 4.99, 10_000, 2, 1234, 50, 12, -3.5, 1.5, np.nan, 8700, np.nan]
    np.testing.assert_allclose(got.astype(float), want)


@pytest.mark.parametrize(
    ("values", "form", "first"),
    [
        (["2018-10-19", "2018-10-19 06:00", None], "", "2018-10-19"),
        (["20141013T000000", "20141014T120000"], "%Y%m%dT%H%M%S", "2014-10-13"),
        ([20141013.0, 20141014.0], "%Y%m%d", "2014-10-13"),
        (["January 7, 2018", "March 1, 2019", "nonsense"], "%B %d, %Y", "2018-01-07"),
        (["1/2/2011", "2/2/2011"], "", "2011-01-02"),
        (["1/2/2011", "25/2/2011"], "%d/%m/%Y", "2011-02-01"),
        (["13.01.2011", "01.02.2012"], "%d.%m.%Y", "2011-01-13"),
        (["13:45:30", "00:15:00"], "%H:%M:%S", "1900-01-01"),
        (["2019-03-23T20:21:09+02:00"], "", "2019-03-23"),
    ],
)
def test_dates_become_numbers(values, form, first):
    column = Column("d", "date", date_format=form)
    got = run(feature_code.features_source([column], {"d": "date"}), pd.DataFrame({"d": values}))
    want = pd.Timestamp(first)
    assert (got["d_year"][0], got["d_month"][0], got["d_day"][0]) == (want.year, want.month, want.day)
    assert "d" not in got and len(got) == len(values)
    assert all(pd.api.types.is_numeric_dtype(got[c]) for c in got)


@pytest.mark.parametrize("name", WILD)
def test_any_column_name_is_safe(name):
    columns = [number(name, min=-9.0), number("other"), Column("gone", "constant")]
    treatments = {name: "log", "other": "category", "gone": "drop"}
    frame = pd.DataFrame({name: [-8.0, 0.0, np.nan], "other": [1.0, 2.5, np.nan], "gone": "x"})
    got = run(feature_code.features_source(columns, treatments, ideas.propose(profile(columns), treatments)), frame)
    np.testing.assert_allclose(got[name], [-np.log(9), 0, np.nan])
    assert list(got["other"])[:2] == ["1", "2.5"] and pd.isna(got["other"][2])
    assert "gone" not in got


def wide_profile():
    columns = [
        number("min_temp", min=-5.0, association=0.3), number("max_temp", association=0.4),
        number("total_sales", integers=True, max=90_000.0, unique=5000, association=0.2),
        number("part", unique=900, missing=0.1), number("x", missing=0.2),
        Column("when", "date", unique=5000, top=("2019-03-23 20:21:09",)),
        Column("note", "text", unique=900, avg_words=6.0),
        Column("ref", "id", unique=1000, top=("AB-12",)),
    ]  # fmt: skip
    treatments = {c.name: compact.default_treatment(c, 1000) for c in columns}
    return profile(columns), treatments


def wide_frame(n=40):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(n, 5)).round(2), columns=["min_temp", "max_temp", "total_sales", "part", "x"])
    frame["total_sales"] = rng.integers(0, 9, n)
    frame.loc[3, ["part", "x"]] = np.nan
    frame["when"] = [f"2019-03-{1 + i % 28:02d} 20:21:09" for i in range(n)]
    frame["note"] = ["two words"] * (n - 1) + [None]
    frame["ref"] = [f"AB-{i}" for i in range(n)]
    return frame


def test_every_idea_runs_and_is_row_wise():
    table, treatments = wide_profile()
    proposed = ideas.propose(table, treatments, limit=60)
    assert {i.op for i in proposed} >= {
        "ratio",
        "difference",
        "product",
        "hour",
        "month",
        "length",
        "words",
        "digits",
        "missing",
    }
    assert len({i.key for i in proposed}) == len(proposed)
    source = feature_code.features_source(table.columns, treatments, proposed)
    frame = wide_frame()
    whole = run(source, frame)
    assert len(whole.columns) > 25 and not np.isinf(whole.select_dtypes("number").to_numpy(float)).any()
    pieces = pd.concat([run(source, frame.iloc[[i]]) for i in range(len(frame))])
    pd.testing.assert_frame_equal(whole, pieces, check_dtype=False)
    assert list(frame.columns) == ["min_temp", "max_temp", "total_sales", "part", "x", "when", "note", "ref"]


def test_codes_for_missing_become_missing():
    columns = [number("pdays", sentinels=[-1.0]), number("age"), number("code", sentinels=[999.0])]
    source = feature_code.features_source(columns, {"pdays": "log", "age": "keep", "code": "category"})
    frame = pd.DataFrame({"pdays": [-1.0, 0.0, 3.0], "age": [-1.0, 2.0, 3.0], "code": [1.0, 999.0, 999.0]})
    got = run(source, frame)
    assert got["pdays"].isna().tolist() == [True, False, False]
    assert got["age"].tolist() == [-1.0, 2.0, 3.0]
    assert got["code"].tolist() == ["1", "999", "999"]


def test_known_pairs_come_first_and_limits_hold():
    table, treatments = wide_profile()
    proposed = ideas.propose(table, treatments)
    assert len(proposed) == 12 and proposed[0].key == "difference:max_temp:min_temp"
    template = compact.features(proposed)
    assert [s.name for s in slots(template)] == [f"f{i}" for i in range(12)]


def test_nothing_to_do_is_no_code():
    columns = [number("a")]
    assert feature_code.features_source(columns, {"a": "keep"}) == ""
    assert feature_code.columns_by_type(columns, {"a": "keep"}) == {"number": ["a"], "category": [], "text": []}
