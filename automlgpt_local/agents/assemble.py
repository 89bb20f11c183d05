"""Puts a solution together: a recipe's module, with the chosen defaults and the chosen `features(df)` in it."""

from __future__ import annotations

import ast
import pprint
from collections.abc import Mapping, Sequence
from typing import Any

FEATURES_HEAD = '''def features(df):
    """Row-wise feature engineering: same rows out, no target, no state."""
    df = df.copy()
'''


def assemble(recipe_source: str, features_source: str = "", defaults: Mapping[str, Any] | None = None) -> str:
    """The recipe's source without its `RECIPE` header, `DEFAULTS` updated, `features_source` before `build`.

    Raises ValueError when the recipe has no `build`.
    """
    tree = ast.parse(recipe_source)
    edits: list[tuple[int, int, str]] = []  # first line, line behind the last one, replacement
    build_line = None
    for node in tree.body:
        name = _assigned_name(node)
        end = node.end_lineno or node.lineno
        if name == "RECIPE":
            edits.append((node.lineno, end + 1, ""))
        elif name == "DEFAULTS" and defaults:
            merged = {**ast.literal_eval(node.value), **defaults}  # type: ignore[attr-defined]
            edits.append((node.lineno, end + 1, f"DEFAULTS = {_literal(merged)}\n"))
        elif isinstance(node, ast.FunctionDef) and node.name == "build":
            build_line = node.lineno
    if build_line is None:
        raise ValueError("the recipe has no build()")
    if features_source:
        edits.append((build_line, build_line, features_source.rstrip() + "\n\n\n"))
    lines = recipe_source.splitlines(keepends=True)
    for first, behind, text in sorted(edits, reverse=True):
        lines[first - 1 : behind - 1] = [text]
    return _single_gaps("".join(lines))


def features_function(body: str, helpers: Sequence[str] = ()) -> str:
    """`features(df)` around lines of code; empty when there is nothing to do."""
    if not body.strip():
        return ""
    indented = "".join(f"    {line}\n" if line.strip() else "\n" for line in body.strip("\n").splitlines())
    above = "".join(h.rstrip() + "\n\n\n" for h in helpers)
    return f"{above}{FEATURES_HEAD}{indented}    return df\n"


def features_of(source: str) -> str:
    """The text of a solution's `features` function, with the functions it calls; empty when it has none."""
    tree = ast.parse(source)
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    if "features" not in functions:
        return ""
    wanted, names = ["features"], []
    while wanted:
        name = wanted.pop()
        if name in names or name not in functions:
            continue
        names.append(name)
        wanted += [n.id for n in ast.walk(functions[name]) if isinstance(n, ast.Name)]
    kept = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in names]
    return "\n\n\n".join(ast.get_source_segment(source, n) or "" for n in kept)


def fingerprint(source: str) -> str:
    """Equal for modules that differ in layout and comments alone. A person's edit may be no Python: its text counts."""
    import hashlib

    try:
        source = ast.dump(ast.parse(source))
    except (SyntaxError, ValueError):
        pass
    return hashlib.sha256(source.encode()).hexdigest()[:16]


def _assigned_name(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
        return node.targets[0].id
    return None


def _literal(values: Mapping[str, Any]) -> str:
    return pprint.pformat(dict(values), sort_dicts=False, width=100)


def _single_gaps(source: str) -> str:
    while "\n\n\n\n" in source:
        source = source.replace("\n\n\n\n", "\n\n\n")
    return source.lstrip("\n")
