"""Recipes: hand-written solution modules. Each is a document for the Coding agent, a fallback and a training seed.

A recipe is a file beside this one. It opens with a literal `RECIPE = {...}`, which is read without running the file,
and is a whole `solution.py` by itself: it imports nothing of this package.
"""

from __future__ import annotations

import ast
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """`cost`: seconds of one fit on a single output, relative to the recipe `lightgbm`.

    `grid`: values worth trying, by hyper-parameter.
    """

    name: str
    family: str
    title: str
    fits: str
    kinds: tuple[str, ...]
    cost: float
    grid: dict[str, tuple[Any, ...]]
    requires: tuple[str, ...]
    source: str

    @property
    def boosted(self) -> bool:
        """Tree by tree: a fit obeys ctx["seconds"] at any length, and pays for each class anew."""
        return self.family in ("lightgbm", "catboost", "xgboost")

    def cost_for(self, n_classes: int) -> float:
        """Seconds of one fit, relative to a single-output fit of the recipe `lightgbm`."""
        return self.cost * (n_classes if self.boosted and n_classes > 2 else 1)


def parse(name: str, source: str) -> Recipe:
    """The recipe in a module's source. Raises ValueError when it has no literal `RECIPE`."""
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and [ast.unparse(t) for t in node.targets] == ["RECIPE"]:
            header = ast.literal_eval(node.value)
            return Recipe(
                name=name,
                family=header["family"],
                title=header["title"],
                fits=header["fits"],
                kinds=tuple(header["kinds"]),
                cost=float(header["cost"]),
                grid={key: tuple(values) for key, values in header["grid"].items()},
                requires=tuple(header["requires"]),
                source=source,
            )
    raise ValueError(f"recipe {name} has no RECIPE header")


@cache
def _all() -> dict[str, Recipe]:
    files = sorted(Path(__file__).parent.glob("[a-z]*.py"))
    return {f.stem: parse(f.stem, f.read_text(encoding="utf-8")) for f in files}


def installed(recipe: Recipe) -> bool:
    return all(importlib.util.find_spec(package) is not None for package in recipe.requires)


def load(installed_only: bool = True) -> dict[str, Recipe]:
    """All recipes by name; with `installed_only` those alone whose packages can be imported here."""
    return {name: recipe for name, recipe in _all().items() if not installed_only or installed(recipe)}
