"""Looks at a module that a model wrote, before it runs. Advice for the model, never a boundary: the sandbox is that."""

from __future__ import annotations

import ast
import difflib
from collections.abc import Iterable

ALLOWED_IMPORTS = frozenset({
    "__future__", "catboost", "collections", "dataclasses", "datetime", "functools", "itertools", "joblib", "lightgbm",
    "math", "numpy", "pandas", "re", "scipy", "sklearn", "skrub", "statistics", "string", "time", "typing",
    "unicodedata", "warnings", "xgboost",
})  # fmt: skip
MAX_BYTES = 60_000


def problems(source: str, columns: Iterable[str]) -> list[str]:
    """What is wrong with a `solution.py`, in words that tell its author what to do. Empty: it may run."""
    try:
        size = len(source.encode())
    except UnicodeEncodeError as error:
        return [f"The character {error.object[error.start]!a} is half of one, which no file can hold. Leave it out."]
    if size > MAX_BYTES:
        return [f"The module is longer than {MAX_BYTES} bytes. Write a shorter one."]
    try:
        tree = ast.parse(source)
        compile(tree, "solution.py", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        line = getattr(error, "lineno", None)
        return [f"The module does not parse{f' (line {line})' if line else ''}: {getattr(error, 'msg', error)}."]
    found = [*_imports(tree), *_functions(tree), *_columns(tree, set(columns))]
    return found[:5]


def _imports(tree: ast.Module) -> list[str]:
    found = []
    for node in (n for n in ast.walk(tree) if isinstance(n, ast.Import | ast.ImportFrom)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "."]
        for name in names:
            if name.split(".")[0] not in ALLOWED_IMPORTS:
                found.append(
                    f"Line {node.lineno}: {name} may not be imported. Use pandas, numpy, scikit-learn or lightgbm."
                )  # type: ignore[attr-defined]
    return found


def _functions(tree: ast.Module) -> list[str]:
    functions = {n.name: n for n in tree.body if isinstance(n, ast.FunctionDef)}
    wanted = {"build": 2, "features": 1, "space": 1}
    found = []
    if "build" not in functions:
        found.append("There is no build(params, ctx). It must return an unfitted scikit-learn estimator.")
    for name, count in wanted.items():
        if name in functions:
            arguments = functions[name].args
            given = len(arguments.args) + len(arguments.posonlyargs)
            if not given - len(arguments.defaults) <= count <= given:
                found.append(f"{name} must take {count} argument{'s' if count > 1 else ''}, not {given}.")
            if not any(isinstance(n, ast.Return) and n.value is not None for n in ast.walk(functions[name])):
                found.append(f"{name} must return a value.")
    return found


def _columns(tree: ast.Module, columns: set[str]) -> list[str]:
    """Columns that `features(df)` reads and that neither the table nor an earlier line of it has."""
    function = next((n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "features"), None)
    if function is None or not function.args.args:
        return []
    frame = function.args.args[0].arg
    known, found = set(columns), []
    nodes = [n for n in ast.walk(function) if isinstance(n, ast.Subscript) and _is_name(n.value, frame)]
    for node in sorted(nodes, key=lambda n: (n.lineno, isinstance(n.ctx, ast.Store))):
        if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
            name = node.slice.value
            if isinstance(node.ctx, ast.Store):
                known.add(name)
            elif name not in known:
                near = difflib.get_close_matches(name, [str(c) for c in known], n=3)
                hint = f" Did you mean {', '.join(map(repr, near))}?" if near else ""
                found.append(f"Line {node.lineno}: the table has no column {name!r}.{hint}")
    return found


def _is_name(node: ast.expr, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name
