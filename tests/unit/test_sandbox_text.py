"""Text made inert, files read as hostile data, letters: the pure parts of the sandbox."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from automlgpt_local.sandbox import letters, results
from automlgpt_local.sandbox.harness import check_row_wise, extend_columns, fitted_params, predict_aligned, prepare
from automlgpt_local.sandbox.text import inert, tail
from automlgpt_local.sandbox.watch import KEPT_BYTES, Printed


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("plain Grüße 日本 x²\n\tend", "plain Grüße 日本 x²\n\tend"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]52;c;ZXZpbA==\x1b\\b", "ab"),
        ("one\r\ntwo\rthree", "one\ntwo\nthree"),
        ("\u202eevil\u2069\u200b\x00\x9b2J", "evil"),
        ("cut off \x1b[", "cut off "),
    ],
)
def test_inert_keeps_letters_and_drops_what_acts(raw, clean):
    assert inert(raw) == clean


def test_tail_cuts_at_a_line():
    assert tail("short", 10) == "short"
    assert tail("x" * 90 + "\n" + "y" * 95, 100) == "…\n" + "y" * 95


def test_printed_keeps_head_and_tail_and_counts_the_rest():
    printed = Printed()
    for n in range(1000):
        printed.add(b"%06d" % n * 100)
    kept = printed.bytes()
    assert kept.startswith(b"000000") and kept.endswith(b"000999")
    assert f"{600_000 - 2 * KEPT_BYTES} bytes left out".encode() in kept


def test_printed_gives_all_of_a_short_stream():
    printed = Printed()
    printed.add(b"a")
    printed.add(b"b")
    assert printed.bytes() == b"ab"


def test_a_letter_can_be_answered_with_a_shorter_one():
    fd = letters.new_letter({"long": "x" * 100_000})
    assert letters.read_letter(fd)["long"].startswith("x")
    letters.write_letter(fd, {"a": 1})
    assert letters.read_letter(fd) == {"a": 1}


def test_a_model_file_is_copied_as_bytes(tmp_path):
    (tmp_path / "model.joblib").write_bytes(b"pickle")
    assert results.copy_file(tmp_path, "model.joblib", tmp_path / "copy", 100) == 6
    assert (tmp_path / "copy").read_bytes() == b"pickle"
    with pytest.raises(results.BadResultError, match="not written"):
        results.copy_file(tmp_path, "absent", tmp_path / "copy2", 100)


@pytest.mark.parametrize("values", [np.arange(6.0).reshape(3, 2), np.asfortranarray(np.eye(3)), np.array([True])])
def test_arrays_come_back_as_they_were(tmp_path, values):
    np.save(tmp_path / "valid.npy", values)
    np.testing.assert_array_equal(results.read_arrays(tmp_path, 1 << 20)["valid"], values)


def test_columns_follow_what_features_does():
    class Solution:
        @staticmethod
        def features(df):
            df = df.drop(columns="gone")
            df["size"] = df["size"].str.rstrip("M").astype(float)
            df["new"] = df["n"] * 2
            df["word"] = "w"
            return df

    df = pd.DataFrame({"n": [1.0], "gone": [2.0], "size": ["19M"], "ignored": ["x"], "kind": ["a"]})
    ctx = {"kind": "regression", "columns": {"number": ["n", "gone"], "category": ["kind", "size"], "text": []}}
    frame, seen = prepare(df, Solution, ctx)
    assert seen["columns"] == {"number": ["n", "size", "new"], "category": ["kind", "word"], "text": []}
    assert list(frame.columns) == ["n", "size", "ignored", "kind", "new", "word"]
    assert ctx["columns"]["number"] == ["n", "gone"]  # the caller's own is untouched
    assert extend_columns(ctx, df, df) == ctx


@pytest.mark.parametrize("body", [lambda df: df.iloc[:1], lambda df: df.iloc[::-1], lambda df: df.to_numpy()])
def test_features_must_keep_the_rows(body):
    solution = type("Solution", (), {"features": staticmethod(body)})
    with pytest.raises(ValueError, match=r"features\(df\)"):
        prepare(pd.DataFrame({"a": [1, 2]}), solution, {"columns": {"number": ["a"]}})


@pytest.mark.parametrize(
    ("body", "row_wise"),
    [
        (lambda df: df.assign(b=df["a"] * 2, c=df["t"].str.upper()), True),
        (lambda df: df.assign(a=df["a"] - df["a"].mean()), False),
        (lambda df: df.assign(c=df["t"].map(df["t"].value_counts())), False),
        (lambda df: df.join(pd.get_dummies(df["t"])), False),
    ],
)
def test_features_that_look_at_other_rows_are_refused(body, row_wise):
    solution = type("Solution", (), {"features": staticmethod(body)})
    table = pd.DataFrame(
        {"a": [float(n**3) if n % 7 else None for n in range(120)], "t": [f"v{n % 50}" for n in range(120)]}
    )
    if row_wise:
        check_row_wise(table, body(table), solution)
    else:
        with pytest.raises(ValueError, match="row-wise"):
            check_row_wise(table, body(table), solution)


def test_probabilities_are_aligned_to_all_classes():
    class Two:
        classes_ = np.array([0, 2])

        def predict_proba(self, X):
            return np.array([[0.25, 0.75]] * len(X))

    ctx = {"kind": "multiclass", "n_classes": 4}
    np.testing.assert_array_equal(predict_aligned(Two(), [0, 0], ctx), [[0.25, 0, 0.75, 0]] * 2)


def test_fitted_params_are_found_inside():
    from sklearn.pipeline import Pipeline

    class Inner:
        fitted_params_ = {"n_trees": 3}

    class Outer:
        regressor_ = Inner()

    assert fitted_params(Pipeline([("last", Outer())])) == {"n_trees": 3}
    assert fitted_params(object()) == {}
