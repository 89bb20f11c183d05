"""Modules put together and looked at: assemble and check."""

from __future__ import annotations

import ast

import pytest

from automlgpt_local.agents.assemble import assemble, features_function, features_of, fingerprint
from automlgpt_local.agents.check import problems
from automlgpt_local.recipes import load

RECIPE = '''"""A recipe."""

import numpy as np

RECIPE = {
    "family": "x",
}

DEFAULTS = {"a": 1, "b": 0.5}


def build(params, ctx):
    return {**DEFAULTS, **params}
'''


def test_the_header_leaves_and_the_defaults_change() -> None:
    source = assemble(RECIPE, features_function("df['c'] = 1"), {"b": 0.25})
    names: dict[str, object] = {}
    exec(source, names)  # our own text
    assert "RECIPE" not in names
    assert names["DEFAULTS"] == {"a": 1, "b": 0.25}
    assert names["build"]({"a": 2}, {}) == {"a": 2, "b": 0.25}  # type: ignore[operator]
    assert "df['c'] = 1" in features_of(source)


def test_features_keep_what_they_use_of_their_module() -> None:
    kept = features_of("""import math
import functools
import pandas as pd, numpy as np
from re import sub as swap

A: int = 2
B = A + 1
OTHER = np.arange(3)


@functools.cache
def _scale(n):
    return n * B


def _unused(df):
    return OTHER


def features(df, by=math.pi):
    import numpy as np

    OTHER = [swap("a", "b", c) for c in df]
    df["x"] = _scale(3) * by + np.zeros(1)
    return df


def build(params, ctx):
    return pd
""")
    names: dict[str, object] = {}
    exec(kept, names)  # our own text
    assert {n for n in names if not n.startswith("__")} == {
        "math", "functools", "swap", "A", "B", "_scale", "features"
    }  # fmt: skip
    assert round(names["features"]({})["x"][0], 2) == 28.27  # type: ignore[operator]


@pytest.mark.parametrize("name", sorted(load(installed_only=False)))
def test_every_recipe_passes_the_check_of_its_readers(name: str) -> None:
    source = assemble(load(installed_only=False)[name].source)
    ast.parse(source)
    assert problems(source, []) == []


def test_layout_and_comments_do_not_make_another_module() -> None:
    assert fingerprint(RECIPE) == fingerprint(RECIPE.replace("\n\n\n", "\n\n") + "# a comment\n")
    assert fingerprint(RECIPE) != fingerprint(RECIPE.replace("0.5", "0.6"))


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("def build(params, ctx:\n", "does not parse"),
        ("import os\ndef build(params, ctx): return 1\n", "os may not be imported"),
        ("from urllib.request import urlopen\ndef build(params, ctx): return 1\n", "may not be imported"),
        ("x = 1\n", "no build"),
        ("x = '\ud83d'\ndef build(params, ctx): return x\n", "half of one"),
        ("def f(a, a): return a\ndef build(params, ctx): return 1\n", "does not parse"),
        ("def build(params): return 1\n", "must take 2 arguments"),
        ("def build(params, ctx): pass\n", "must return"),
        ("def features(df):\n    df['n'] = df['prize']\n    return df\ndef build(params, ctx): return 1\n", "'price'"),
        ("x = " + "(" * 100_000, "longer than"),
    ],
)
def test_the_check_says_what_to_do(source: str, says: str) -> None:
    found = problems(source, ["price", "size"])
    assert says in " ".join(found)


def test_columns_made_earlier_may_be_read() -> None:
    source = "def features(df):\n    df['n'] = df['price']\n    df['m'] = df['n'] + 1\n    return df\n"
    assert problems(source + "def build(params, ctx): return 1\n", ["price"]) == []
