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
