"""Puts a solution together: a recipe's module, with the chosen defaults and the chosen `features(df)` in it."""

from __future__ import annotations

import ast
import pprint
import symtable
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
    """The text of a solution's `features` function, with the functions, imports and constants of the module that it
    uses; empty when it has none."""
    tree = ast.parse(source)
    if not any(isinstance(node, ast.FunctionDef) and node.name == "features" for node in tree.body):
        return ""
    names = [_names(node) for node in tree.body]
    wanted, kept = {"features"}, set[int]()
    while more := {i for i, (bound, _) in enumerate(names) if i not in kept and bound & wanted}:
        kept |= more
        wanted |= set[str]().union(*(used for _, used in (names[i] for i in more)))
    text = ""
    for node in (tree.body[i] for i in sorted(kept)):
        gap = "\n\n\n" if isinstance(node, ast.FunctionDef | ast.ClassDef) else "\n"
        text += (gap if text else "") + _text(source, node)
    return text


def _names(statement: ast.stmt) -> tuple[set[str], set[str]]:
    """The module's names that a statement of it binds, and those that it uses."""
    table = symtable.symtable(ast.unparse(statement), "", "exec")
    bound = {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}
    tables, used = [table], set[str]()
    while tables:
        table = tables.pop()
        used |= {s.get_name() for s in table.get_symbols() if s.is_referenced() and s.is_global()}
        tables += table.get_children()
    return bound, used


def _text(source: str, statement: ast.stmt) -> str:
    decorators = "".join(f"@{ast.unparse(d)}\n" for d in getattr(statement, "decorator_list", ()))
    return decorators + (ast.get_source_segment(source, statement) or "")


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
