"""Tables of every shape that people have, and what is said of those that are none."""

from __future__ import annotations

import bz2
import gzip
import lzma
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from automlgpt_local.data.load import column_names, load
from automlgpt_local.data.schema import Schema, as_number, as_text, conform
from automlgpt_local.errors import DataError

PLAIN = "name,size,ok,code\nada,1.5,TRUE,01\nbob,,FALSE,1\ncy,3,,x\n"


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def reread(path: Path, schema: Schema) -> pd.DataFrame:
    """What exported code does: pandas and `conform`, nothing else of ours."""
    readers = {"csv": pd.read_csv, "parquet": pd.read_parquet}
    return conform(readers[schema.format](path, **schema.read_options()), schema.columns, schema.decimal)


def test_columns_are_numbers_or_the_text_of_the_file(tmp_path: Path) -> None:
    table = load(write(tmp_path / "a.csv", PLAIN))
    assert table.schema.columns == {"name": "text", "size": "number", "ok": "text", "code": "text"}
    assert table.frame["size"].dtype == "float64"
    assert table.frame["ok"].tolist()[:2] == ["TRUE", "FALSE"]
    assert pd.isna(table.frame["ok"][2])
    assert table.frame["code"].tolist() == ["01", "1", "x"]
    pd.testing.assert_frame_equal(reread(tmp_path / "a.csv", table.schema), table.frame)


@pytest.mark.parametrize("sep", [",", ";", "\t", "|"])
def test_separator_is_found(tmp_path: Path, sep: str) -> None:
    path = write(tmp_path / "a.csv", PLAIN.replace(",", sep))
    table = load(path)
    assert table.schema.sep == sep
    assert list(table.frame.columns) == ["name", "size", "ok", "code"]
    pd.testing.assert_frame_equal(reread(path, table.schema), table.frame)


def test_columns_apart_by_blanks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "  x   y name\n 1.0  2 'a'\n10.5 33 bc\n")
    table = load(path)
    assert table.schema.sep == r"\s+"
    assert table.frame["x"].tolist() == [1.0, 10.5]
    pd.testing.assert_frame_equal(reread(path, table.schema), table.frame)


def test_the_separator_that_excel_declares(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "sep=;\na;b\n1,5;x\n2,5;y\n", "utf-8-sig")
    table = load(path)
    assert table.frame["a"].tolist() == [1.5, 2.5]
    assert table.exact("a").tolist() == ["1,5", "2,5"]
    pd.testing.assert_frame_equal(reread(path, table.schema), table.frame)


def test_files_of_one_schema_may_be_written_differently(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", "a,b\n1.5,x\n")
    second = write(tmp_path / "b.csv", "a;b\n2,5;ö\n", "latin-1")
    table = load([first, second])
    assert table.frame["a"].tolist() == [1.5, 2.5]
    assert table.exact("a").tolist() == ["1.5", "2,5"]
    assert table.frame["b"].tolist() == ["x", "ö"]


def test_a_separator_inside_quotes_does_not_count(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'id;note;y\n1;"a, b, c, d, e";2\n2;"x, y, z, u, v";3\n')
    assert load(path).frame.shape == (2, 3)


def test_decimal_comma(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a;b\n1,5;x\n-2,25;y\n1000;z\n")
    table = load(path)
    assert table.frame["a"].tolist() == [1.5, -2.25, 1000.0]
    assert table.schema.decimal == ","
    pd.testing.assert_frame_equal(reread(path, table.schema), table.frame)


@pytest.mark.parametrize(
    ("text", "numbers", "decimal"),
    [
        ('a,b\n"9,5",x\n"10,25",y\n7,z\n', [9.5, 10.25, 7.0], ","),
        ("a;b\n12.345;0,99\n1.200;9,99\n850;19,99\n7.000;5\n", [12345.0, 1200.0, 850.0, 7000.0], ","),
        ("a;b\n12.345;1\n0.125;9,99\n1.5;2\n", [12.345, 0.125, 1.5], "."),
        ('a,b\n12.345,"3,4"\n15.125,"7,8"\n', [12.345, 15.125], "."),
    ],
)
def test_decimal_commas_beside_thousands(tmp_path: Path, text: str, numbers: list[float], decimal: str) -> None:
    path = write(tmp_path / "a.csv", text)
    table = load(path)
    assert (table.frame["a"].tolist(), table.schema.decimal) == (numbers, decimal)
    pd.testing.assert_frame_equal(reread(path, table.schema), table.frame)


BODY = "".join(f"{i},{i % 7 * 1.5},{'abc'[i % 3]},{i % 2}\n" for i in range(60))


GERMAN = "a;b;note\n" + "1.250,00;2.500;x\n7,5;850;z\n" * 9
ENGLISH = GERMAN.translate(str.maketrans(",.", ".,"))


@pytest.mark.parametrize(
    ("training", "new", "numbers"),
    [
        (GERMAN, "a;b\n1.250;2.500\n", [1250.0, 2500.0]),
        (GERMAN, "a;b;note\n1.250;2.500;4.5\n", [1250.0, 2500.0]),  # the mark in a text is none of its numbers
        (GERMAN, "a,b\n1.250,2\n", [1250.0, 2.0]),
        (ENGLISH, "a;b\n1,250;2,500\n", [1250.0, 2500.0]),
        (ENGLISH, "a;b;note\n1,250;2,500;4,5\n", [1250.0, 2500.0]),
        (ENGLISH, "a;b\n1.250;2.5\n", [1.25, 2.5]),
    ],
)
def test_new_rows_that_leave_the_decimal_mark_open_have_that_of_training(
    tmp_path: Path, training: str, new: str, numbers: list[float]
) -> None:
    schema = load(write(tmp_path / "a.csv", training)).schema
    schema = replace(schema, columns={"a": "number", "b": "number", "note": "text"}, required=("a", "b"))
    got = load(write(tmp_path / "b.csv", new), schema=schema).frame[["a", "b"]]
    assert got.iloc[0].tolist() == numbers
    written_alike = replace(schema, columns={"a": "number", "b": "number"}, sep=new[1])
    pd.testing.assert_frame_equal(reread(tmp_path / "b.csv", written_alike), got)


@pytest.mark.parametrize(("training", "new"), [(GERMAN, "a;b\n1.5;1.250\n"), (ENGLISH, "a;b\n1,5;1,250\n")])
def test_new_rows_may_have_another_decimal_mark_than_training(tmp_path: Path, training: str, new: str) -> None:
    schema = replace(load(write(tmp_path / "a.csv", training)).schema, columns={"a": "number", "b": "number"})
    assert load(write(tmp_path / "b.csv", new), schema=schema).frame.iloc[0].tolist() == [1.5, 1.25]


@pytest.mark.parametrize(
    "above", ["Quarterly report 2023\n\n", "Quarterly report 2023,,,\n,,,\n", "# exported\n# on monday\n"]
)
def test_titles_above_the_names(tmp_path: Path, above: str) -> None:
    path = write(tmp_path / "a.csv", f"{above}id,x,c,y\n{BODY}")
    table = load(path)
    assert list(table.frame.columns) == ["id", "x", "c", "y"]
    assert len(table.frame) == 60
    assert "2 line(s) above the column names" in table.warnings[0]
    pd.testing.assert_frame_equal(reread(path, table.schema), table.frame)


@pytest.mark.parametrize("head", ["id,x,c,y\n", "\n\nid,x,c,y\n", '"i\nd",x,c,y\n'])
def test_what_is_no_title(tmp_path: Path, head: str) -> None:
    table = load(write(tmp_path / "a.csv", head + BODY))
    assert list(table.frame.columns)[1:] == ["x", "c", "y"]
    assert len(table.frame) == 60
    assert table.warnings == ()


def test_a_cell_of_many_letters(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b,y\n" + f"1,{'x' * 140_000},1\n" * 3)
    assert list(load(path).frame.columns) == ["a", "b", "y"]


def test_a_blank_behind_each_separator(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a, b, y\n" + "".join(f'{i}, "p, q{i % 3}", <=50K\n' for i in range(30)))
    table = load(path)
    assert table.frame.iloc[1].tolist() == [1.0, "p, q1", "<=50K"]
    pd.testing.assert_frame_equal(reread(path, table.schema), table.frame)


@pytest.mark.parametrize(
    ("written", "number", "sep"),
    [
        ("1'234.5", 1234.5, ";"),
        ("1 234,5", 1234.5, ";"),
        ("1\u202f234,5 €", 1234.5, ";"),
        ('"1,23,450.5"', 123450.5, ","),
    ],
)
def test_thousands_of_many_countries(tmp_path: Path, written: str, number: float, sep: str) -> None:
    path = write(tmp_path / "a.csv", f"a{sep}y\n" + f"{written}{sep}1\n" * 30)
    table = load(path)
    assert table.frame["a"].tolist() == [number] * 30
    pd.testing.assert_frame_equal(reread(path, table.schema), table.frame)


def test_amounts_beside_a_decimal_comma(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "umsatz;quote;konto;datum;ip;y\n" + "".join(
        f"{u};{q};{k};0{1 + i % 9}.02.2020;10.0.0.{i};{i},5\n" for i, (u, q, k) in enumerate(
            [("1.234,50 €", "12,5 %", "(1.200,00)"), ("-", "7 %", "3,00"), ("999,99 €", "", "12,50-")] * 9)
    ))  # fmt: skip
    table = load(path)
    assert table.schema.columns == {
        "umsatz": "number", "quote": "number", "konto": "number", "datum": "text", "ip": "text", "y": "number",
    }  # fmt: skip
    assert table.frame["umsatz"][:3].fillna(-1).tolist() == [1234.5, -1, 999.99]
    assert table.frame["konto"][:3].tolist() == [-1200.0, 3.0, -12.5]
    assert table.frame["quote"][:3].fillna(-1).tolist() == [12.5, 7.0, -1]
    pd.testing.assert_frame_equal(reread(path, table.schema), table.frame)


def test_accountants_negative_numbers(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", 'a,b\n"(1,200.50)",$4.00\n3.00,$5.00\n12-,$6.00\n')
    table = load(path)
    assert table.schema.columns == {"a": "number", "b": "text"}
    assert table.frame["a"].tolist() == [-1200.5, 3.0, -12.0]


def test_thousands_between_commas_are_text(tmp_path: Path) -> None:
    table = load(write(tmp_path / "a.csv", 'a,b\n"1,234",1.5\n"2,000",2.5\n'))
    assert table.frame["a"].tolist() == ["1,234", "2,000"]
    assert table.schema.decimal == "."


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [("utf-8", "utf-8"), ("utf-8-sig", "utf-8-sig"), ("latin-1", "cp1252"), ("utf-16", "utf-16")],
)
def test_encodings(tmp_path: Path, encoding: str, expected: str) -> None:
    path = write(tmp_path / "a.csv", "größe,ort\n1,Köln\n2,Zürich\n", encoding)
    table = load(path)
    assert table.schema.encoding == expected
    assert table.frame["ort"].tolist() == ["Köln", "Zürich"]
    assert list(table.frame.columns) == ["größe", "ort"]
    pd.testing.assert_frame_equal(reread(path, table.schema), table.frame)


def test_a_late_byte_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a,b\n" + b"1,plain\n" * 200_000 + b"2,K\xf6ln\n")
    table = load(path)
    assert table.frame["b"].iloc[-1] == "Köln"
    assert table.schema.encoding == "cp1252"


@pytest.mark.parametrize("suffix", ["gz", "xz", "bz2", "zip"])
def test_compression_is_seen_in_the_bytes(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.csv.{suffix}"
    data = PLAIN.encode()
    if suffix == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inner.csv", data)
    else:
        path.write_bytes({"gz": gzip, "xz": lzma, "bz2": bz2}[suffix].compress(data))
    table = load(path)
    assert table.frame.shape == (3, 4)
    pd.testing.assert_frame_equal(reread(path, table.schema), table.frame)


def test_parquet_types(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame(
        {
            "n": [1, 2, 3],
            "maybe": pd.array([1, None, 3], dtype="Int64"),
            "flag": [True, False, True],
            "day": pd.to_datetime(["2020-01-01 00:00", None, "2021-05-06 07:08"]),
            "level": pd.Categorical(["low", "high", None]),
            "text": ["01", "x", None],
            "wait": pd.to_timedelta([1, 2, 3], unit="h"),
        }
    )
    frame.to_parquet(path)
    table = load(path)
    got = table.frame
    assert got["maybe"].isna().tolist() == [False, True, False]
    assert got["flag"].tolist() == ["True", "False", "True"]
    assert got["day"].iloc[2] == "2021-05-06T07:08:00"
    assert got["level"].tolist()[:2] == ["low", "high"]
    assert got["wait"].tolist() == [3600.0, 7200.0, 10800.0]
    assert table.exact("n").tolist() == ["1", "2", "3"]
    assert table.exact("maybe").dropna().tolist() == ["1", "3"]
    pd.testing.assert_frame_equal(reread(path, table.schema), got)


def test_the_target_keeps_its_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "x,y\n1,01\n2,1\n3,1.0\n4,001\n")
    assert load(path, target="y").frame["y"].tolist() == ["01", "1", "1.0", "001"]
    later = load(path)
    assert later.schema.columns["y"] == "number"
    assert later.exact("y").tolist() == ["01", "1", "1.0", "001"]
    chosen = later.with_target("y", "text")
    assert chosen.frame["y"].tolist() == ["01", "1", "1.0", "001"]
    pd.testing.assert_frame_equal(reread(path, chosen.schema), chosen.frame)


def test_a_target_of_numbers_is_parsed_as_exported_code_does(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    path = tmp_path / "a.csv"
    pd.DataFrame({"x": range(3000), "y": rng.normal(size=3000) * 10.0 ** rng.integers(-8, 8, 3000)}).to_csv(path)
    table = load(path, target="y").with_target("y", "number")
    assert np.array_equal(table.frame["y"], pd.read_csv(path)["y"])
    assert np.array_equal(table.frame["y"], reread(path, table.schema)["y"])


def test_na_is_a_class_only_when_told(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "x,y\nNA,NA\n2,EU\n3,\n4,NA\n")
    assert load(path).exact("y").dropna().tolist() == ["EU"]
    told = load(path).with_target("y", "text", exact=True)
    assert told.frame["y"].dropna().tolist() == ["NA", "EU", "NA"]
    assert told.frame["x"].isna().tolist() == [True, False, False, False]
    pd.testing.assert_frame_equal(reread(path, told.schema), told.frame)


def test_new_rows_of_one_column(tmp_path: Path) -> None:
    schema = load(write(tmp_path / "a.csv", "x,y\n1,2\n3,4\n")).schema.with_target("y", "number")
    rows = write(tmp_path / "b.csv", "x\n5\n6\n")
    assert load(rows, schema=replace(schema, required=("x",))).frame["x"].tolist() == [5.0, 6.0]
    assert column_names(rows) == ["x"]


def test_several_files_are_one_table(tmp_path: Path) -> None:
    first = write(tmp_path / "a.csv", "a,b,y\n1,x,0\n2,y,1\n")
    second = write(tmp_path / "b.csv", "b,a,y\nz,07,1\nz,oops,0\n")
    table = load([first, second])
    assert table.frame["a"].tolist() == ["1", "2", "07", "oops"]
    assert table.frame["y"].tolist() == [0, 1, 1, 0]
    other = write(tmp_path / "c.csv", "a,b,z\n1,2,3\n")
    with pytest.raises(DataError, match="same columns: y, z"):
        load([first, other])


def test_new_rows_get_the_types_of_training(tmp_path: Path) -> None:
    train = load(write(tmp_path / "a.csv", "n,t,y\n1,x,0\n2,y,1\n"), target="y").schema
    test = load(write(tmp_path / "b.csv", "t;n;more\n5;oops;1\n6;7;2\n"), schema=train)
    assert list(test.frame.columns) == ["n", "t"]
    assert test.frame["n"].tolist()[1] == 7.0
    assert np.isnan(test.frame["n"][0])
    assert test.frame["t"].tolist() == ["5", "6"]
    with pytest.raises(DataError, match=r"lacks 1 column.*: n"):
        load(write(tmp_path / "c.csv", "t,m\n1,2\n"), schema=train)


def test_columns_that_no_model_reads_may_be_absent(tmp_path: Path) -> None:
    train = load(write(tmp_path / "a.csv", "n,t,w,y\n1,x,2,0\n2,y,3,1\n"), target="y").schema
    test = write(tmp_path / "b.csv", "t,n\nx,1\n")
    assert list(load(test, schema=replace(train, required=("n", "t"))).frame.columns) == ["n", "t"]
    assert list(load(test, schema=replace(train, required=("n",))).frame.columns) == ["n", "t"]
    with pytest.raises(DataError, match="lacks 1 column"):
        load(test, schema=replace(train, required=("n", "t", "w")))


def test_names_are_repaired_with_a_warning(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", '"",a,a\n1,2,3\n2,3,4\n')
    table = load(path)
    assert list(table.frame.columns) == ["Unnamed: 0", "a", "a.1"]
    assert any("no name" in w for w in table.warnings)
    assert any("twice" in w for w in table.warnings)


def test_row_names_without_a_header(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "a,b\nr1,1,2\nr2,3,4\n")
    table = load(path)
    assert list(table.frame.columns) == ["row_name", "a", "b"]
    assert table.frame["b"].tolist() == [2.0, 4.0]
    pd.testing.assert_frame_equal(reread(path, table.schema), table.frame)


def test_a_separator_at_the_end_of_each_line(tmp_path: Path) -> None:
    table = load(write(tmp_path / "a.csv", "a,b\n1,2,\n3,4,\n"))
    assert table.frame["a"].tolist() == [1.0, 3.0]


def test_a_first_line_of_data_is_noticed(tmp_path: Path) -> None:
    table = load(write(tmp_path / "a.csv", "5.1,3.5,1\n4.9,3.0,1\n4.7,3.2,1\n"))
    assert any("looks like data" in w for w in table.warnings)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\n\n  \n", "is empty"),
        (b"a,b\n", "no rows"),
        (b"a\n1\n2\n", "single column"),
        (b"a,b\n1,2\n3,4,5,6\n", "line 3"),
        (b'{"a": 1}', "JSON"),
        (b"<!DOCTYPE html><html>", "web page"),
        (bytes(range(256)) * 20, "binary"),
        (b"\x1f\x8b\x08\x00broken", "unpacked"),
        (b"PK\x03\x04broken", "zip"),
        (b"PAR1 broken", "parquet"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1old excel", "xls"),
        (b'a,b\n1,"open\n2,3\n', "cannot be"),
    ],
)
def test_what_is_no_table(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load(path)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["b.csv", "b.parquet"])
def test_new_rows_must_be_some(tmp_path: Path, name: str) -> None:
    rows = pd.DataFrame({"x": [1.0, 2.0], "y": [3.0, 4.0]})
    rows.to_csv(tmp_path / "a.csv", index=False)
    none = rows.iloc[:0]
    none.to_csv(tmp_path / name, index=False) if name == "b.csv" else none.to_parquet(tmp_path / name)
    with pytest.raises(DataError, match=f"{name} has .*column names, but no rows"):
        load(tmp_path / name, schema=load(tmp_path / "a.csv").schema)


def test_a_file_that_changed_while_it_was_in_use(tmp_path: Path) -> None:
    table = load(write(tmp_path / "a.csv", "a,b\n1,x\n2,y\n"))
    write(tmp_path / "a.csv", "a,b\n1,x\n")
    with pytest.raises(DataError, match="changed"):
        table.exact("a")


def test_places_without_a_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="folder") as caught:
        write(tmp_path / "inside.csv", PLAIN)
        load(tmp_path)
    assert "inside.csv" in caught.value.hint
    with pytest.raises(DataError, match="no file") as caught:
        load(tmp_path / "insid.csv")
    assert "inside.csv" in caught.value.hint
    with pytest.raises(DataError, match="No file"):
        load([])


def test_excel_without_its_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.xlsx"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match="openpyxl"):
        load(path)


def test_fingerprint_is_of_the_bytes(tmp_path: Path) -> None:
    import hashlib

    path = write(tmp_path / "a.csv", PLAIN)
    assert load(path).fingerprint == hashlib.sha256(PLAIN.encode()).hexdigest()


def test_schema_survives_json(tmp_path: Path) -> None:
    import json

    schema = load(write(tmp_path / "a.csv", "a,b\nr1,1,2\nr2,3,4\n")).schema.with_target("b", "text", exact=True)
    schema = replace(schema, required=("a",))
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


def test_numbers_as_people_write_them() -> None:
    got = as_number(pd.Series(["$1,234.50", "35 %", "7", None, "oops", "1e400", "inf"]))
    assert got.tolist()[:3] == [1234.5, 35.0, 7.0]
    assert got[3:].isna().all()
    assert as_number(pd.Series(["9,5", "-12,1234", "1,234", "€3,50"])).tolist() == [9.5, -12.1234, 1234.0, 3.5]
    got = as_number(pd.Series(["1.234,50", "7,5", "8", "9.5", "1.234", "€3.50"]), decimal=",")
    assert got.tolist() == [1234.5, 7.5, 8.0, 9.5, 1234.0, 3.5]


def test_text_of_whole_floats() -> None:
    assert as_text(pd.Series([1.0, np.nan, 2.0])).tolist()[::2] == ["1", "2"]
    assert as_text(pd.Series([1.5, 2.0])).tolist() == ["1.5", "2.0"]
    assert as_text(pd.Series([2.0**63, -3e19])).tolist() == ["9.223372036854776e+18", "-3e+19"]
    assert as_text(pd.Series([True, False])).tolist() == ["True", "False"]


cells = st.text(st.characters(codec="utf-8", exclude_characters="\r\x00", exclude_categories=("Cs",)), max_size=12)


@settings(deadline=None, max_examples=25)
@given(st.lists(st.tuples(cells, st.floats(allow_nan=False, allow_infinity=False, width=32)), min_size=2, max_size=20))
def test_any_text_is_read_twice_the_same(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, float]]
) -> None:
    path = tmp_path_factory.mktemp("wild") / "a.csv"
    pd.DataFrame(rows, columns=["text", "number"]).assign(more="z").to_csv(path, index=False)
    try:
        table = load(path)
    except DataError:
        return
    pd.testing.assert_frame_equal(reread(path, table.schema), table.frame)
    assert len(table.frame) == len(rows)


def test_a_named_index_of_a_parquet_file_is_a_column(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    frame = pd.DataFrame({"shop": [3, 4], "x": [1.5, 2.5]}, index=pd.Index(["2020-01-01", "2020-01-02"], name="date"))
    frame.to_parquet(path)
    assert sorted(load(path).frame.columns) == ["date", "shop", "x"]
    assert list(load(path).frame["date"].astype(str).str[:10]) == ["2020-01-01", "2020-01-02"]
