"""Questions about a table in plain English, answered by counting."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automlgpt_local.cli.main import _run as command
from automlgpt_local.data.load import Table, load
from automlgpt_local.data.schema import Schema
from automlgpt_local.language.describe import Answer, answer
from automlgpt_local.language.resolve import resolve
from automlgpt_local.task import Request, TaskSpec


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Table, TaskSpec]:
    path = tmp_path_factory.mktemp("shop") / "data.csv"
    pd.DataFrame(
        {
            "order_date": pd.date_range("2022-01-01", periods=200).strftime("%Y-%m-%d"),
            "city": ["Rome", "Oslo", "Rome", "Lima"] * 50,
            "price": [f"${p:,.2f}" for p in range(1000, 1200)],
            "stars": [1.0, 2.0, None, 5.0] * 50,
            "class": ["a", "b"] * 100,
            "returned": ["yes", "no", "no", "no"] * 50,
        }
    ).to_csv(path, index=False)
    table = load(path)
    return table, resolve(Request((str(path),), target="returned"), table)


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("How many rows are there?", {"rows": 200, "share": 1.0}),
        ("which columns have missing values?", {"missing": {"stars": 50}}),
        ("how many stars are missing", {"missing": {"stars": 50}}),
        ("what is the average stars?", {"mean": pytest.approx(8 / 3), "rows": 150}),
        ("highest price", {"max": 1199.0, "rows": 200}),
        ("what is the mean stars by city?", {"mean": {"Lima": 5.0, "Oslo": 2.0, "Rome": 1.0}}),
        ("the median stars in Oslo", {"median": 2.0, "rows": 50}),
        ("how many rows have city = rome", {"rows": 100, "share": 0.5}),
        ("how many orders have stars above 1.5", {"rows": 100, "share": 0.5}),
        ("what share of returned is yes where city = Rome", {"rows": 50, "share": 0.5}),
        ("count by city", {"rows": {"Rome": 100, "Lima": 50, "Oslo": 50}}),
        ("how many different cities? `city`", {"unique": 3, "values": {"Rome": 100, "Lima": 50, "Oslo": 50}}),
        ("returned rate by city", {"rows": {"Rome": 100, "Lima": 50, "Oslo": 50}}),
        ("stars by city", {"mean": {"Lima": 5.0, "Oslo": 2.0, "Rome": 1.0}}),
        ("earliest order date", {"min": "2022-01-01"}),
        ("is the target balanced?", {"unique": 2, "values": {"no": 150, "yes": 50}}),
        ("are there duplicates?", {"duplicates": 0}),
        ("which columns are dates?", {"kinds": {"date": ["order_date"]}}),
        ("distribution of `class`", {"unique": 2, "values": {"a": 100, "b": 100}}),
    ],
)
def test_answers(shop: tuple[Table, TaskSpec], question: str, expected: dict[str, Any]) -> None:
    found = answer(question, *shop)
    assert found.understood
    assert found.values == expected
    assert found.text


def test_what_drives_the_target(shop: tuple[Table, TaskSpec]) -> None:
    found = answer("what drives the target?", *shop)
    assert found.values["target"] == "returned"
    assert next(iter(found.values["association"])) == "stars"
    assert "order_date" in answer("what is correlated with price?", *shop).values["association"]
    assert answer("correlation between price and stars", *shop).values["pearson"] == pytest.approx(0.0, abs=0.1)


def test_leaks(shop: tuple[Table, TaskSpec]) -> None:
    assert "stars" in answer("does any column leak?", *shop).values["leaks"]


def test_no_rows_correlate_with_nothing(shop: tuple[Table, TaskSpec]) -> None:
    assert answer("correlation where price = 2", *shop).values == {"rows": 0, "share": 0.0}


def test_describe(shop: tuple[Table, TaskSpec]) -> None:
    found = answer("tell me about price", *shop)
    assert found.values["price"]["kind"] == "numeric_text"
    assert "1,000 to 1,199" in found.text


def test_what_is_not_understood_says_what_can_be_asked(shop: tuple[Table, TaskSpec]) -> None:
    found = answer("why is the sky blue", *shop)
    assert not found.understood
    assert "what drives the target?" in found.text
    assert found.values["rows"] == 200


@pytest.mark.parametrize(
    ("question", "rows"),
    [
        ("how many orders are not in Rome?", 100),
        ("how many orders outside Rome", 100),
        ("how many rows have city other than Rome or Oslo", 50),
        ("how many orders in Oslo or Lima?", 100),
        ("how many orders where city is neither Rome nor Oslo", 50),
        ("how many orders with stars under 2 or stars over 4", 100),
        ("how many orders with stars > 1 and < 3", 50),
        ("how many orders with 2 or more stars", 100),
        ("how many orders with stars of 2 or more", 100),
        ("how many orders where stars is between 2 and 5", 100),
        ("how many orders with 1-2 stars", 100),
        ("how many orders between stars 2 and 5", 100),
        ("how many orders with stars above 1.5 and city Rome", 0),
        ("how many rows have price over 1.1k?", 99),
        ("how many rows have price >1.1e3", 99),
        ("how many rows have price not above 1,100", 101),
        ("how many rows where class is b", 100),
        ("how many orders before 2022-02", 31),
        ("how many orders in 2022?", 200),
        ("how many orders have an order date after January 2022", 169),
        ("how many orders since 2022-07-01", 19),
        ("what share of Rome orders have stars = 1?", 50),
    ],
)
def test_conditions(shop: tuple[Table, TaskSpec], question: str, rows: int) -> None:
    found = answer(question, *shop)
    assert found.understood
    assert found.values["rows"] == rows


def test_a_share_is_of_the_rows_that_the_question_starts_from(shop: tuple[Table, TaskSpec]) -> None:
    assert answer("what share of city = Rome orders have stars = 1?", *shop).values["share"] == 0.5
    assert answer("what percentage of orders with stars = 1 are in Rome?", *shop).values["share"] == 1.0
    assert "yes: 50 of 50 (100.0%)" in answer("share of stars = 1 by returned", *shop).text


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("average stars by class", {"mean": {"b": 3.5, "a": 1.0}}),
        ("lowest average stars by city", {"mean": {"Rome": 1.0, "Oslo": 2.0, "Lima": 5.0}}),
        ("which city has the highest stars?", {"max": {"Lima": 5.0, "Oslo": 2.0, "Rome": 1.0}}),
        ("average stars by city and class", {"mean": {"Lima, b": 5.0, "Oslo, b": 2.0, "Rome, a": 1.0}}),
        ("smallest price above 1100", {"min": 1101.0, "rows": 99}),
        ("min and max of price", {"min": 1000.0, "max": 1199.0, "rows": 200}),
        ("max of stars where class is not a", {"max": 5.0, "rows": 100}),
        ("which city has the fewest orders", {"rows": {"Oslo": 50, "Lima": 50, "Rome": 100}}),
    ],
)
def test_statistics(shop: tuple[Table, TaskSpec], question: str, expected: dict[str, Any]) -> None:
    found = answer(question, shop[0])
    assert found.understood
    assert found.values == expected
    assert [list(v) for v in found.values.values() if isinstance(v, dict)] == [
        list(v) for v in expected.values() if isinstance(v, dict)
    ]


@pytest.mark.parametrize(
    ("question", "unread"),
    [
        ("average price of all cities but Rome", "but"),
        ("average stars above or in Rome", "above, or"),
        ("how many orders with stars above price", "above"),
        ("top 5 prices", "top, 5"),
        ("average price by district", "by district"),
        ("average price per month", "per"),
        ("average price in Paris", "Paris"),
        ("average price where city is Paris", "where city"),
        ("price after 2022-13-45", "2022-13-45"),
        ("average price in class a or city Rome and stars 5", "or"),
        ("which city has an average price above 1100", "price above 1100"),
        ("return rate of prices over 5 apples and 7", "7"),
        ("how many orders with three stars", "three"),
        ("average price of those who said yes", "yes"),
        ("what percentage of price is Rome?", "price"),
        ("missing stars by city", ""),
        ("average price in Rome to Oslo", "city"),
        ("should Rome be closed?", "should"),
        ("will the price go up in 2022?", "will"),
    ],
)
def test_what_stays_unread_is_said_and_nothing_is_computed(
    shop: tuple[Table, TaskSpec], question: str, unread: str
) -> None:
    found = answer(question, shop[0])
    assert not found.understood
    assert unread in found.text
    assert set(found.values) == {"rows", "columns", "numbers"}


def test_words_that_name_part_of_a_column() -> None:
    frame = pd.DataFrame(
        {
            "patient_id": [f"p{i % 30}" for i in range(60)],
            "age": range(20, 80),
            "discount_rate": [0.1, 0.3] * 30,
            "sqft_above": range(60),
            "returned": ["True", "False"] * 30,
            "carrier": ["UA", "DL", "AA"] * 20,
        }
    )
    table = Table(frame, Schema("csv", {}), (), "")
    tickets = Table(frame.assign(ticket=[f"t{i}" for i in range(60)]), Schema("csv", {}), (), "")
    assert answer("number of tickets per carrier", tickets).values == {"rows": {"AA": 20, "DL": 20, "UA": 20}}
    assert answer("what % of rows are from UA", table).values["share"] == pytest.approx(1 / 3)
    flagged = Table(frame.assign(warranty=["yes", "no", "no"] * 20), Schema("csv", {}), (), "")
    assert answer("how many rows were under warranty?", flagged).values["values"] == {"no": 40, "yes": 20}
    assert answer("how many patients older than 60", table).values["rows"] == 19
    assert not answer("youngest patient", table).understood
    assert "returned" in answer("return rate by carrier", table).text
    assert not answer("smallest age above 30 by carrier", table).values.get("min")
    assert answer("how many discount rates above 20%", table).values["rows"] == 30
    assert answer("average age for UA", table).values["rows"] == 20
    assert answer("average age for dl", table).values["rows"] == 20
    assert "Not read: bungalows" in answer("average age of bungalows", table).text


def test_asking_a_file_or_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "data.csv"
    pd.DataFrame({"x": range(30), "y": ["no", "yes", "no"] * 10}).to_csv(data, index=False)
    assert command(["ask", str(data), "how many rows?"]) == 0
    assert capsys.readouterr().out == "30 rows.\n"
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    request = Request((str(data),), target="y")
    (run_dir / "request.json").write_text(json.dumps(request.to_json()))
    (run_dir / "task.json").write_text(json.dumps(resolve(request, load(data)).to_json()))
    assert command(["ask", str(run_dir), "is the target balanced?", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["values"] == {"unique": 2, "values": {"no": 20, "yes": 10}}
    data.unlink()
    assert command(["ask", str(run_dir), "how many rows?"]) == 2
    assert "no longer" in capsys.readouterr().err
    assert command(["ask", str(data), "how many rows?"]) == 2
    assert "There is no file" in capsys.readouterr().err
    assert command(["ask", str(tmp_path), " "]) == 2


WORDS = [
    "how many", "rows", "price", "by", "city", "where", "stars", ">", "2", "average", "missing", "=", "Rome", "yes",
    "drives", "target", "?", "correlation", "between", "leak", "describe", "'", "columns", "share of", "returned",
]  # fmt: skip


@settings(deadline=None, max_examples=25)
@given(words=st.lists(st.sampled_from(WORDS) | st.text(max_size=6), max_size=10))
def test_any_words_get_an_answer(shop: tuple[Table, TaskSpec], words: list[str]) -> None:
    found = answer(" ".join(words), *shop)
    assert isinstance(found, Answer)
    assert found.text
    json.dumps(found.values)
