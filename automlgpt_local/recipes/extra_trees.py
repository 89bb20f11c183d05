"""Extremely randomised trees: whole trees on all rows with random split points, averaged."""

import time

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import TargetEncoder

RECIPE = {
    "family": "forest",
    "title": "Extra trees",
    "fits": "small and middling tables, smooth or noisy targets; errs differently from boosting",
    "kinds": ["binary", "multiclass", "regression"],
    "cost": 2.5,
    "grid": {
        "max_features": ["sqrt", 0.5, 0.75, 1.0],
        "min_samples_leaf": [1, 2, 5, 10],
    },
    "requires": [],
}
DEFAULTS = {
    "trees": 300,
    "max_features": 0.5,
    "min_samples_leaf": 2,
    "max_leaf_nodes": 20000,
    "max_rows": 200000,
}
FORESTS = [ExtraTreesClassifier, ExtraTreesRegressor]
MISSING = -1e6  # below any value that is common in tables, so that one split parts the missing ones


def space(trial):
    return {
        "max_features": trial.suggest_float("max_features", 0.1, 1.0),
        "min_samples_leaf": trial.suggest_int("min_samples_leaf", 1, 20, log=True),
    }


def build(params, ctx):
    params = {**DEFAULTS, **params}
    return Regressor(params, ctx) if ctx["kind"] == "regression" else Classifier(params, ctx)


class Encoder(TransformerMixin, BaseEstimator):
    """Frame -> (n_rows, n_features) float32: numbers, category codes, target means of names, reduced text.

    A category of at most `max_codes` levels stays a code; one of more levels (a name) becomes code, count and
    target mean. As with scikit-learn's TargetEncoder, fit_transform gives the training rows out-of-fold means,
    while fit().transform() would leak their own targets into them.
    """

    def __init__(self, ctx, max_codes=50, text_size=24):
        self.ctx = ctx
        self.max_codes = max_codes
        self.text_size = text_size

    def fit(self, X, y):
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X, y):
        columns, seed = self.ctx["columns"], self.ctx["seed"]
        self.counts_ = {name: X[name].astype(str)[X[name].notna()].value_counts() for name in columns["category"]}
        self.codes_ = [name for name, counts in self.counts_.items() if len(counts) <= self.max_codes]
        self.names_ = [name for name in self.counts_ if name not in self.codes_]
        self.text_ = {}
        for name in columns["text"][:10]:
            words = TfidfVectorizer(min_df=3, max_features=20_000, sublinear_tf=True, dtype=np.float32)
            try:
                found = words.fit_transform(text(X[name].sample(min(len(X), 30_000), random_state=seed)))
            except ValueError:  # no word occurs in three rows
                continue
            if found.shape[1] > 1:
                size = min(self.text_size, found.shape[1] - 1)
                self.text_[name] = words, TruncatedSVD(size, random_state=seed).fit(found)
        self.means_, means = None, None
        if self.names_ and (self.ctx["kind"] != "multiclass" or self.ctx["n_classes"] <= 12):
            self.means_ = Means(self.ctx)
            means = self.means_.out_of_fold(self._codes(X, self.names_), y)
        return self._join(X, means)

    def transform(self, X):
        return self._join(X, None if self.means_ is None else self.means_.transform(self._codes(X, self.names_)))

    def categorical(self):
        """Positions of the features that are category codes."""
        first = len(self.ctx["columns"]["number"])
        return list(range(first, first + len(self.codes_)))

    def _codes(self, X, names):
        """(n_rows, n_names) codes by falling frequency; -1 where missing, the highest code where never seen."""
        codes = np.empty((len(X), len(names)), dtype=np.float32)
        for i, name in enumerate(names):
            found = self.counts_[name].index.get_indexer(X[name].astype(str))
            codes[:, i] = np.where(X[name].isna(), -1, np.where(found < 0, len(self.counts_[name]), found))
        return codes

    def _join(self, X, means):
        numbers = X[self.ctx["columns"]["number"]].to_numpy(dtype=np.float32, na_value=np.nan)
        names = self._codes(X, self.names_)
        parts = [np.where(np.isfinite(numbers), numbers, np.nan), self._codes(X, self.codes_), names]
        for i, name in enumerate(self.names_):
            counts = np.append(self.counts_[name].to_numpy(), [0, np.nan])  # the last two: never seen, missing
            parts.append(np.log1p(counts[names[:, [i]].astype(int)]))
        parts += [] if means is None else [means]
        parts += [svd.transform(words.transform(text(X[name]))) for name, (words, svd) in self.text_.items()]
        return np.hstack(parts).astype(np.float32, copy=False)


class Means(BaseEstimator):
    """Target means of codes by scikit-learn's TargetEncoder, one column per code and class.

    `out_of_fold` gives the training rows means that their own targets took no part in.
    """

    def __init__(self, ctx):
        self.ctx = ctx

    def fit(self, codes, y):
        self.classes_ = [1] if self.ctx["kind"] == "binary" else np.unique(y)
        self.encoders_ = [self._encoder().fit(codes, target) for target in self._targets(y)]
        return self

    def transform(self, codes):
        return np.hstack([encoder.transform(codes) for encoder in self.encoders_])

    def out_of_fold(self, codes, y):
        fold = np.random.default_rng(self.ctx["seed"]).permutation(len(y)) % 5
        self.fit(codes, y)
        means = np.zeros((len(y), len(self.encoders_), codes.shape[1]))
        for i, target in enumerate(self._targets(y)):
            for k in range(5):
                encoder = self._encoder().fit(codes[fold != k], target[fold != k])
                means[fold == k, i] = encoder.transform(codes[fold == k])
        return means.reshape(len(y), -1)

    def _encoder(self):
        return TargetEncoder(target_type="continuous")

    def _targets(self, y):
        return [y] if self.ctx["kind"] == "regression" else [(y == k) * 1.0 for k in self.classes_]


def text(values):
    return values.fillna("").astype(str).str.slice(0, 2000)


class Model(BaseEstimator):
    """A forest grown in chunks until all trees stand or the time is up; `params["n_trees"]` fixes their number."""

    def __init__(self, params, ctx):
        self.params = params
        self.ctx = ctx

    def _fit(self, X, y, weight):
        if self.ctx["metric"] == "tweedie" and self.range_[0] >= 0:  # its deviance has no bound where 0 is predicted
            self.range_ = max(self.range_[0], 0.1 * np.mean(y)), self.range_[1]
        started = time.monotonic()
        p, ctx = self.params, self.ctx
        seconds = np.inf if p.get("n_trees") else ctx["seconds"] or np.inf
        wanted = p.get("n_trees") or max(20, min(p["trees"], 30_000 // max(1, ctx["n_classes"])))
        self.encoder_ = Encoder(ctx)
        features = np.nan_to_num(self.encoder_.fit_transform(X, y), nan=MISSING)
        settings = {"max_features": p["max_features"], "min_samples_leaf": p["min_samples_leaf"], "warm_start": True}
        # What a tree keeps grows with leaves x classes, and a forest of 300 is to stay below about 1 GiB.
        settings["max_leaf_nodes"] = min(p["max_leaf_nodes"], max(64, 200_000 // max(1, ctx["n_classes"])))
        settings |= {"n_jobs": ctx["n_threads"], "random_state": ctx["seed"], "criterion": self._criterion()}
        if len(y) > p["max_rows"]:  # each tree then sees another part of the rows
            settings |= {"bootstrap": True, "max_samples": p["max_rows"]}
        elif settings["max_leaf_nodes"] > len(y) // p["min_samples_leaf"]:
            settings["max_leaf_nodes"] = None
        self.forest_ = FORESTS[ctx["kind"] == "regression"](n_estimators=1, **settings)
        chunk, grown = 1, 0
        while grown < wanted:
            chunk_started = time.monotonic()
            self.forest_.set_params(n_estimators=min(wanted, grown + chunk)).fit(features, y, sample_weight=weight)
            chunk_s = max(1e-3, time.monotonic() - chunk_started) / (self.forest_.n_estimators - grown)
            grown = self.forest_.n_estimators
            left_s = seconds - (time.monotonic() - started)
            if left_s < 1.5 * chunk_s * ctx["n_threads"]:
                break
            chunk = max(ctx["n_threads"], int(min(50, left_s / chunk_s / 4)))
        self.fitted_params_ = {"n_trees": grown}

    def _criterion(self):
        if self.ctx["kind"] == "regression":
            return "squared_error"
        return "log_loss" if self.ctx["metric"] in ("log_loss", "roc_auc", "average_precision") else "gini"

    def _predict(self, X):
        features = np.nan_to_num(self.encoder_.transform(X), nan=MISSING)
        return self.forest_.predict(features) if self.ctx["kind"] == "regression" else self._smooth(features)

    def _smooth(self, features):
        """Class shares of the leaves, drawn a little to even odds: a class that no leaf holds is not impossible."""
        shares = self.forest_.predict_proba(features)
        return (shares * self.forest_.n_estimators + 1 / shares.shape[1]) / (self.forest_.n_estimators + 1)


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
