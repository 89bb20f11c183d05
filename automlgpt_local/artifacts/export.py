"""Writes a run's model as plain code: pipeline.py (or the package pipeline/), predict.py, requirements.txt, model/.

The code holds the solution's own text and the helpers that read the run's table and fitted its model, copied from
their source, so that both do the same. It names this package nowhere and needs none of it.
"""

from __future__ import annotations

import ast
import inspect
import io
import json
import re
import shutil
import symtable
import textwrap
import tokenize
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from automlgpt_local.artifacts import predictions
from automlgpt_local.artifacts.inert import plain
from automlgpt_local.data import schema as schema_module
from automlgpt_local.data.schema import DEFAULT_MISSING, Schema
from automlgpt_local.decision import adjust
from automlgpt_local.task import TaskSpec

MODEL_FILE = "model/model.json"
ALWAYS_NEEDED = ("joblib", "numpy", "pandas", "scikit-learn")
# import name -> names of packages that may have brought it
OPTIONAL = {
    "catboost": ("catboost",), "lightgbm": ("lightgbm",), "pyarrow": ("pyarrow",), "scipy": ("scipy",),
    "skrub": ("skrub",), "xgboost": ("xgboost", "xgboost-cpu"),
}  # fmt: skip
# Names at the top of a module that the copied helpers use; a solution that takes one of them gets ours renamed.
OURS = frozenset({
    "TARGET", "KIND", "CLASSES", "COLUMNS", "TARGET_TYPE", "WEIGHT", "ID", "DECISION", "READ", "SHEET", "MISSING",
    "DECIMAL", "SPELLINGS",
    "read_table", "read_file", "read_csv", "read_training", "read_ids", "as_number", "as_text", "conform",
    "extend_columns", "prepare", "fit_estimator", "predict_aligned", "seed_everything", "fit", "predict", "adjust",
    "shown_probabilities", "predictions_frame", "train", "predict_files", "main",
})  # fmt: skip


@dataclass(frozen=True)
class Member:
    """One fitted solution of the final model.

    params: those of the refit, where a number of trees is fixed. ctx: that of the refit, before features(df) added
    columns. model: the fitted estimator as joblib wrote it in the sandbox; copied, never loaded.
    """

    attempt: int
    title: str
    source: str
    params: dict[str, Any]
    ctx: dict[str, Any]
    model: Path
    weight: float = 1.0
    seed: int = 0
    module: str = ""  # under which it was fitted; "": by its place, as `module_name` has it


def module_name(index: int, n_members: int) -> str:
    """The module under which a member's solution must be imported when it is fitted, so that its pickle loads later."""
    return "pipeline" if n_members == 1 else f"pipeline.member_{index + 1}"


def export(
    run_dir: Path,
    task: TaskSpec,
    schema: Schema,
    members: Sequence[Member],
    *,
    features: Sequence[str],
    classes: Sequence[str] = (),
    id_column: str | None = None,
    decision: dict[str, Any] | None = None,
) -> list[Path]:
    """Write the code, the requirements and model/ into `run_dir`. Returns the paths of all files written.

    features: the columns that solutions were given, in their order. decision: as `decision.adjust` takes it; None
    for the most probable label.
    """
    settings = _settings(task, schema, features, classes, id_column, decision)
    modules = [m.module or module_name(i, len(members)) for i, m in enumerate(members)]
    written = []
    alone = modules == ["pipeline"]
    texts = _single(task, settings, members[0]) if alone else _package(task, settings, members, modules)
    texts["requirements.txt"] = requirements(members, schema.format)
    for stale in ("pipeline", "model"):
        shutil.rmtree(run_dir / stale, ignore_errors=True)
    (run_dir / "pipeline.py").unlink(missing_ok=True)
    for name, text in texts.items():
        path = run_dir / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        written.append(path)
    (run_dir / "model").mkdir()
    described = []
    for member, module in zip(members, modules):
        file = "model.joblib" if module == "pipeline" else f"{module.rpartition('.')[2]}.joblib"
        shutil.copyfile(member.model, run_dir / "model" / file)
        written.append(run_dir / "model" / file)
        weight = member.weight / sum(m.weight for m in members)
        described.append(
            {"attempt": member.attempt, "module": module, "file": file, "weight": weight, "ctx": member.ctx}
        )
    model = {
        "version": 1, "target": task.target, "kind": task.kind, "classes": list(classes), "features": list(features),
        "id": id_column, "decision": decision, "members": described,
    }  # fmt: skip
    (run_dir / MODEL_FILE).write_text(json.dumps(model, indent=1) + "\n", encoding="utf-8")
    return [*written, run_dir / MODEL_FILE]


def _settings(
    task: TaskSpec, schema: Schema, features: Sequence[str], classes: Sequence[str], id_column: str | None,
    decision: dict[str, Any] | None,
) -> dict[str, Any]:  # fmt: skip
    """The values of the constants at the head of the shared code."""
    read = replace(schema, format="csv").read_options()
    missing = list(DEFAULT_MISSING) if "na_values" in read else None
    for name in ("dtype", "header", "names", "na_values", "keep_default_na"):
        read.pop(name, None)
    return {
        "target": task.target,
        "kind": task.kind,
        "classes": list(classes),
        "columns": {name: schema.columns[name] for name in features},
        "target_type": "number" if task.kind == "regression" else "text",
        "weight": task.weight,
        "id": id_column,
        "decision": decision,
        "decimal": schema.decimal,
        "read": read,
        "sheet": schema.sheet or 0,
        "missing": missing,
        "spellings": schema.spellings,
        "unnamed_first": bool(schema.names),
    }


def _single(task: TaskSpec, settings: dict[str, Any], member: Member) -> dict[str, str]:
    shared = _render("shared.py.j2", settings=settings, **_copied())
    title = (
        f"Predicts {_said(task.target)} ({task.kind}, {task.metric}): {_said(member.title)}, attempt {member.attempt}."
    )
    module = _render(
        "pipeline.py.j2", title=title, shared=shared, uses_pipeline="Pipeline" in shared, source=_SOURCE,
        fitted_with=_fitted_with(member),
    )  # fmt: skip
    command = _render("predict.py.j2", target=_said(task.target), module="pipeline")
    taken = {name: name + "_" for name in OURS & _top_names(member.source)}
    module, command = _renamed(module, taken), _renamed(command, taken)
    return {"pipeline.py": module.replace(_SOURCE, as_section(member.source), 1), "predict.py": command}


def _package(
    task: TaskSpec, settings: dict[str, Any], members: Sequence[Member], modules: Sequence[str]
) -> dict[str, str]:
    shared = _render("shared.py.j2", settings=settings, **_copied())
    names = [module.rpartition(".")[2] for module in modules]
    shares = {name: member.weight / sum(m.weight for m in members) for name, member in zip(names, members)}
    title = f"Predicts {_said(task.target)} ({task.kind}, {task.metric}) with {len(members)} models together."
    texts = {
        "pipeline/__init__.py": _render("__init__.py.j2", title=title),
        "pipeline/__main__.py": _render("__main__.py.j2"),
        "pipeline/common.py": _render("common.py.j2", shared=shared, uses_pipeline="Pipeline" in shared),
        "pipeline/train.py": _render("train.py.j2"),
        "pipeline/predict.py": _render("package_predict.py.j2"),
        "pipeline/weights.json": json.dumps(shares, indent=1) + "\n",
        "predict.py": _render("predict.py.j2", target=_said(task.target), module="pipeline.predict"),
    }
    for name, member in zip(names, members):
        texts[f"pipeline/{name}.py"] = _render(
            "member.py.j2", title=f"{_said(member.title)}, attempt {member.attempt}", share=shares[name],
            source=as_section(member.source), fitted_with=_fitted_with(member),
        )  # fmt: skip
    return texts


_SOURCE = "__the_solution_stands_here__"


def _fitted_with(member: Member) -> dict[str, Any]:
    return {"params": member.params, "ctx": member.ctx, "seed": member.seed}


def as_section(source: str) -> str:
    """A module's text in the middle of another one: its docstring as comments, no `from __future__`."""
    rows = source.splitlines()
    tree = ast.parse(source)
    for i, node in enumerate(tree.body):
        span = range(node.lineno - 1, node.end_lineno or node.lineno)
        if isinstance(node, ast.ImportFrom) and node.module == "__future__":
            rows[span.start : span.stop] = [""] * len(span)
        elif i == 0 and ast.get_docstring(tree) is not None:
            said = (ast.get_docstring(tree) or "").splitlines()
            comments = [f"# {row}".rstrip() for row in said][: len(span)]
            rows[span.start : span.stop] = comments + [""] * (len(span) - len(comments))
    return re.sub(r"\n{4,}", "\n\n\n", "\n".join(rows)).strip()


def _top_names(source: str) -> set[str]:
    """What a module binds at its top level."""
    table = symtable.symtable(source, "solution", "exec")
    return {s.get_name() for s in table.get_symbols() if s.is_assigned() or s.is_imported() or s.is_namespace()}


def _renamed(text: str, names: dict[str, str]) -> str:
    """Code with these names changed, attributes and strings left alone."""
    if not names:
        return text
    rows = text.splitlines(keepends=True)
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    for before, token in reversed(list(zip([None, *tokens], tokens))):
        attribute = before is not None and before.string == "."
        if token.type == tokenize.NAME and token.string in names and not attribute:
            line, start = token.start
            row = rows[line - 1]
            rows[line - 1] = row[:start] + names[token.string] + row[token.end[1] :]
    return "".join(rows)


def _copied() -> dict[str, str]:
    """The source of the helpers that read the run's table, fitted its model and write its predictions."""
    from automlgpt_local.sandbox import harness

    reading = (schema_module.as_number, schema_module.as_text, schema_module.conform)
    fitting = (
        harness.extend_columns, harness.prepare, harness.fit_estimator, harness.predict_aligned,
        harness.seed_everything,
    )  # fmt: skip
    answering = (adjust, predictions.shown_probabilities, predictions.predictions_frame)
    return {
        "reading_source": _sources(reading),
        "fitting_source": _sources(fitting),
        "answering_source": _sources(answering),
    }


def _sources(functions: Iterable[Any]) -> str:
    text = "\n\n".join(inspect.getsource(function) for function in functions)
    return re.sub(r"  # (type: ignore|noqa).*", "", text).strip()


def _said(text: str) -> str:
    """Text of a person or a table inside a docstring of the code."""
    return plain(text, 80).replace("\\", "/").replace('"', "'")


def _render(template: str, **values: Any) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("automlgpt_local.artifacts", "templates/export"), undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters["literal"] = literal
    return str(environment.get_template(template).render(values))


def literal(value: Any, indent: str = "") -> str:
    """Plain data as Python source, one entry a line where it is long."""
    flat = repr(value)
    if len(flat) + len(indent) <= 100 or not isinstance(value, dict | list) or not value:
        return flat
    inner = indent + "    "
    if isinstance(value, list):
        rows = textwrap.wrap(
            ", ".join(map(repr, value)), 110 - len(inner), break_long_words=False, break_on_hyphens=False
        )
        if any(isinstance(v, str) for v in value):  # wrapping would break text at its spaces
            rows = [f"{v!r}," for v in value]
    else:
        rows = [f"{key!r}: {literal(v, inner)}," for key, v in value.items()]
    opened, closed = ("[", "]") if isinstance(value, list) else ("{", "}")
    return "\n".join([opened, *(inner + row for row in rows), indent + closed])


def requirements(members: Sequence[Member], data_format: str) -> str:
    """The exact versions of what the code imports, and of what its fitted models hold."""
    from importlib.metadata import PackageNotFoundError, version

    imported: set[str] = set()
    for member in members:
        for node in ast.walk(ast.parse(member.source)):
            if isinstance(node, ast.Import):
                imported |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                imported.add(node.module.partition(".")[0])
    if data_format == "parquet" or any(_holds(member.model, b"pyarrow") for member in members):
        imported.add("pyarrow")
    rows = []
    for name in sorted({*ALWAYS_NEEDED, *(imported & set(OPTIONAL))}):
        for package in OPTIONAL.get(name, (name,)):
            try:
                rows.append(f"{package}=={version(package).partition('+')[0]}")
                break
            except PackageNotFoundError:
                continue
    if data_format == "excel":
        rows.append("openpyxl")
    return "\n".join(rows) + "\n"


def _holds(model: Path, word: bytes) -> bool:
    """Whether a pickle (plain or zlib, as joblib writes it) names a module. Its bytes are searched, not loaded."""
    unpack = zlib.decompressobj()
    before = b""
    with open(model, "rb") as file:
        packed = file.read(2)[:1] == b"\x78"
        file.seek(0)
        while block := file.read(1 << 20):
            text = before + (unpack.decompress(block) if packed else block)
            if word in text:
                return True
            before = text[-len(word) :]
    return False
