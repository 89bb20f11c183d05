"""One decision tree on a part of the rows: seconds on any table, and a floor for whatever comes after."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

RECIPE = {
    "family": "baseline",
    "title": "Decision tree",
    "fits": "any table; a first valid model within two seconds",
    "kinds": ["binary", "multiclass", "regression"],
    "cost": 0.5,
    "grid": {"max_leaf_nodes": [16, 48, 128]},
    "requires": [],
}
DEFAULTS = {
    "max_leaf_nodes": 48,
    "max_rows": 50000,
    "max_columns": 300,
}


def space(trial):
    return {"max_leaf_nodes": trial.suggest_int("max_leaf_nodes", 8, 256, log=True)}


def build(params, ctx):
    params = {**DEFAULTS, **params}
    return Regressor(params, ctx) if ctx["kind"] == "regression" else Classifier(params, ctx)


class Model(BaseEstimator):
    def __init__(self, params, ctx):
        self.params = params
        self.ctx = ctx

    def _fit(self, X, y, weight):
        p, ctx = self.params, self.ctx
        rng = np.random.default_rng(ctx["seed"])
        columns = [*ctx["columns"]["number"], *ctx["columns"]["category"]]
        if len(columns) > p["max_columns"]:
            columns = [columns[i] for i in np.sort(rng.permutation(len(columns))[: p["max_columns"]])]
        self.numbers_ = [name for name in columns if name in set(ctx["columns"]["number"])]
        self.categories_ = [name for name in columns if name not in set(self.numbers_)]
        # A split's cost grows with rows x columns x classes.
        rows = min(p["max_rows"], int(2e7 / (1 + len(columns)) / max(1, ctx["n_classes"] / 4)))
        if len(y) > rows:
            kept = rng.permutation(len(y))[: max(rows, 200)]
            X, y, weight = X.iloc[kept], y[kept], None if weight is None else weight[kept]
        numeric = np.asarray(y, dtype=float) if ctx["kind"] == "regression" else (y == np.bincount(y).argmax()) * 1.0
        self.default_ = float(numeric.mean())
        self.levels_ = {}
        for name in self.categories_:  # levels in the order of their smoothed mean target
            found = X[name].astype(str).to_numpy()
            names, codes = np.unique(found.astype(str), return_inverse=True)
            total, count = np.bincount(codes, numeric), np.bincount(codes)
            self.levels_[name] = dict(zip(names.tolist(), (total + 20 * self.default_) / (count + 20)))
        settings = {"max_leaf_nodes": p["max_leaf_nodes"], "min_samples_leaf": max(2, min(20, len(y) // 50))}
        tree = DecisionTreeRegressor if ctx["kind"] == "regression" else DecisionTreeClassifier
        self.tree_ = tree(random_state=ctx["seed"], **settings).fit(self._features(X), y, sample_weight=weight)
        self.fitted_params_ = {}

    def _features(self, X):
        numbers = X[self.numbers_].to_numpy(dtype=np.float32, na_value=np.nan)
        parts = [np.zeros((len(X), 1)), np.nan_to_num(np.where(np.isfinite(numbers), numbers, np.nan), nan=-1e6)]
        for name in self.categories_:
            means = self.levels_[name]
            parts.append([[means.get(str(value), self.default_)] for value in X[name].astype(str).to_numpy()])
        return np.hstack(parts).astype(np.float32)

    def _predict(self, X):
        features = self._features(X)
        if self.ctx["kind"] == "regression":
            return self.tree_.predict(features)
        shares = self.tree_.predict_proba(features)
        found = np.full((len(X), len(self.classes_)), 0.01 / len(self.classes_))
        found[:, self.tree_.classes_] += 0.99 * shares
        return found


class Classifier(ClassifierMixin, Model):
    def fit(self, X, y, sample_weight=None):
        self.classes_, codes = np.unique(y, return_inverse=True)
        self.fitted_params_ = {}
        if len(self.classes_) > 1:
            self._fit(X, codes, sample_weight)
        return self

    def predict_proba(self, X):
        if len(self.classes_) == 1:
            return np.ones((len(X), 1))
        found = self._predict(X)
        return np.column_stack([1 - found, found]) if found.ndim == 1 else found

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]


class Regressor(RegressorMixin, Model):
    """Learns log1p of the target where the metric is RMSLE; never predicts outside the range seen in training."""

    def fit(self, X, y, sample_weight=None):
        y = np.asarray(y, dtype=float)
        self.log_ = self.ctx["metric"] == "rmsle" and y.min() > -1
        y = np.log1p(y) if self.log_ else y
        self.range_ = y.min(), y.max()
        self.fitted_params_ = {}
        if self.range_[0] < self.range_[1]:
            self._fit(X, y, sample_weight)
        return self

    def predict(self, X):
        constant = self.range_[0] == self.range_[1]
        found = np.full(len(X), self.range_[0]) if constant else np.clip(self._predict(X), *self.range_)
        return np.expm1(found) if self.log_ else found
