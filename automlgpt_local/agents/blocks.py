"""A solution of the Coder's own, put together from building blocks: for models that are too small to write a module.

The model chooses a block for each place, our code writes the module around them. What was chosen is read back from the
module's first line, so that one that failed can be mended by choosing anew.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_IMPORTS = {
    "sklearn.calibration": ("CalibratedClassifierCV",),
    "sklearn.compose": ("TransformedTargetRegressor", "make_column_transformer"),
    "sklearn.decomposition": ("TruncatedSVD",),
    "sklearn.ensemble": ("HistGradientBoostingClassifier", "HistGradientBoostingRegressor"),
    "sklearn.feature_extraction.text": ("HashingVectorizer",),
    "sklearn.impute": ("SimpleImputer",),
    "sklearn.kernel_approximation": ("Nystroem",),
    "sklearn.linear_model": ("LogisticRegression", "Ridge"),
    "sklearn.pipeline": ("make_pipeline", "make_union"),
    "sklearn.preprocessing": (
        "FunctionTransformer", "KBinsDiscretizer", "OneHotEncoder", "PolynomialFeatures", "QuantileTransformer",
        "StandardScaler", "TargetEncoder",
    ),
    "sklearn.svm": ("SVC", "SVR"),
}  # fmt: skip
_SCALE = {
    "standard": "StandardScaler()",
    "ranks": 'QuantileTransformer(n_quantiles=200, output_distribution="normal", random_state=seed)',
}
_EXPAND = {
    "none": "",
    "steps": 'make_union("passthrough", KBinsDiscretizer(16, encode="onehot-dense", quantile_method="linear"))',
    "products": "PolynomialFeatures(2, include_bias=False)",
}
_ENCODE = {
    "levels": 'OneHotEncoder(min_frequency=3, max_categories=60, handle_unknown="infrequent_if_exist")',
    "means": "make_pipeline(TargetEncoder(random_state=seed), StandardScaler())",
}
_PENALTY = {"weak": 0.1, "medium": 1.0, "strong": 10.0}
# By kind of task: steps, the last of which is the model. {p} is the penalty, {c} its inverse.
_KERNEL = "Nystroem(n_components=400, random_state=seed)"
_TREES = "max_leaf_nodes=15, l2_regularization={p}, early_stopping=True, random_state=seed"
_CLASSIFIERS = {
    "linear": ("LogisticRegression(C={c}, max_iter=500)",),
    "kernel": (_KERNEL, "LogisticRegression(C={c}, max_iter=500)"),
    "vectors": ("CalibratedClassifierCV(SVC(C={c}), ensemble=False, cv=3)",),
    "trees": (f"HistGradientBoostingClassifier({_TREES})",),
}
_REGRESSORS = {
    "linear": ("Ridge(alpha={p})",),
    "kernel": (_KERNEL, "Ridge(alpha={p})"),
    "vectors": ("SVR(C={c}, epsilon=0.05)",),
    "trees": (f"HistGradientBoostingRegressor({_TREES})",),
}
# Model -> the family of recipes that it is of: what a user rules out holds here too.
MODELS = {"linear": "linear", "kernel": "", "vectors": "", "trees": "lightgbm"}
# place -> its blocks
PLACES = {
    "model": tuple(MODELS), "scale": tuple(_SCALE), "expand": tuple(_EXPAND), "encode": tuple(_ENCODE),
    "penalty": tuple(_PENALTY),
}  # fmt: skip
MOST_FOR_VECTORS = 6_000  # rows: a support vector machine takes seconds in the square of them
MOST_FOR_PRODUCTS = 25  # columns of numbers

_HEAD = '''"""{title}. A solution of the Coder's own, of blocks: {blocks}."""

import numpy as np
{imports}


'''
_BODY = '''def build(params, ctx):
    columns, seed = ctx["columns"], ctx["seed"]
    numbers = make_pipeline(
        FunctionTransformer(finite),
        SimpleImputer(add_indicator=True, strategy="median"),
{number_steps}    )
    categories = {encode}
    words = make_pipeline(
        FunctionTransformer(text), HashingVectorizer(n_features=1024), TruncatedSVD(20, random_state=seed)
    )
    table = make_column_transformer(
        (numbers, columns["number"]),
        (categories, columns["category"]),
        *((words, name) for name in columns["text"][:5]),
        sparse_threshold=0,
    )
{model}

def finite(frame):
    """Numbers, NaN where there is none."""
    numbers = frame.to_numpy(dtype=float, na_value=np.nan)
    return np.where(np.isfinite(numbers), numbers, np.nan)


def text(column):
    return column.fillna("").astype(str).str.slice(0, 2000)
'''
_CLASSIFIER = """    return make_pipeline(
        table,
{steps}    )
"""
_REGRESSOR = """    target = StandardScaler()
    if ctx["metric"] == "rmsle":
        target = make_pipeline(FunctionTransformer(np.log1p, np.expm1), target)
    model = make_pipeline(
{steps}    )
    return make_pipeline(table, TransformedTargetRegressor(model, transformer=target))
"""
_TITLES = {
    "linear": "Linear model", "kernel": "Linear model on a kernel's features", "vectors": "Support vector machine",
    "trees": "Histogram boosting",
}  # fmt: skip


def options(profile: Any) -> dict[str, tuple[str, ...]]:
    """PLACES, less the blocks for which a table of this profile is too large."""
    numbers = sum(c.kind in ("number", "numeric_text") for c in profile.columns)
    too_large = {"vectors"} if profile.rows > MOST_FOR_VECTORS else set()
    too_large |= {"products"} if numbers > MOST_FOR_PRODUCTS else set()
    return {place: tuple(b for b in fitting if b not in too_large) for place, fitting in PLACES.items()}


def compose(choices: Mapping[str, str], kind: str) -> str:
    """The module of these blocks. Raises KeyError for a block that there is not."""
    penalty = _PENALTY[choices["penalty"]]
    regression = kind == "regression"
    models = _REGRESSORS if regression else _CLASSIFIERS
    steps = [step.format(p=penalty, c=1 / penalty) for step in models[choices["model"]]]
    number_steps = [_SCALE[choices["scale"]], _EXPAND[choices["expand"]]]
    body = _BODY.format(
        number_steps=_lines(number_steps), encode=_ENCODE[choices["encode"]],
        model=(_REGRESSOR if regression else _CLASSIFIER).format(steps=_lines(steps)),
    )  # fmt: skip
    chosen = ", ".join(f"{place}={block}" for place, block in choices.items())
    return _HEAD.format(title=_TITLES[choices["model"]], blocks=chosen, imports=_imports_of(body)) + body


def choices_of(source: str) -> dict[str, str]:
    """place -> block of a module that `compose` wrote; empty for any other."""
    first = source.partition("\n")[0]
    return dict(re.findall(r"(\w+)=(\w+)", first)) if " of blocks: " in first else {}


def _lines(steps: list[str]) -> str:
    return "".join(f"        {step},\n" for step in steps if step)


def _imports_of(body: str) -> str:
    used = {module: [n for n in names if f"{n}(" in body] for module, names in _IMPORTS.items()}
    return "\n".join(f"from {module} import {', '.join(names)}" for module, names in used.items() if names)
