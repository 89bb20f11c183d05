"""CatBoost: symmetric trees, categories by ordered target statistics. Often the best single model on a small table."""

import time

import catboost
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer

RECIPE = {
    "family": "catboost",
    "title": "CatBoost",
    "fits": "tables up to 50,000 rows, above all with categories or few rows",
    "kinds": ["binary", "multiclass", "regression"],
    "cost": 3.0,
    "grid": {
        "learning_rate": [0.03, 0.05, 0.08],
        "depth": [4, 6, 8],
        "l2_leaf_reg": [1.0, 3.0, 6.0],
    },
    "requires": ["catboost"],
}
DEFAULTS = {
    "learning_rate": 0.06,
    "depth": 6,
    "l2_leaf_reg": 3.0,
    "random_strength": 1.0,
    "bootstrap_type": "Bernoulli",
    "subsample": 0.8,
    "bagging_temperature": 1.0,
    "one_hot_max_size": 10,
    "max_ctr_complexity": 2,
    "border_count": 128,
    "grow_policy": "SymmetricTree",
    "rounds": 2000,
    "small_trees": 400,
    "copies": 1,
}
FEW_ROWS, COPIES = 30_000, 3  # with few rows, what is held out decides too much: so many fits, else one
LEAST_SHARE = 0.35  # of the seconds, for the trees, however long the encoding took
TREES_TIMES_RATE = 45  # 750 trees at a rate of 0.06 are usually enough
PROBE_TREES = (2, 12)
CATBOOST_PARAMETERS = ["learning_rate", "depth", "l2_leaf_reg", "random_strength", "bootstrap_type"]
CATBOOST_PARAMETERS += ["one_hot_max_size", "max_ctr_complexity", "border_count", "grow_policy"]
BOOTSTRAP_SIZES = {"Bayesian": "bagging_temperature", "Bernoulli": "subsample"}
OBJECTIVES = {"mae": "MAE", "medae": "MAE", "mape": "MAPE", "tweedie": "Tweedie:variance_power=1.5"}  # by metric


def space(trial):
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.02, 0.15, log=True),
        "depth": trial.suggest_int("depth", 4, 8),
        "l2_leaf_reg": trial.suggest_float("l2_leaf_reg", 0.5, 15.0, log=True),
        "random_strength": trial.suggest_float("random_strength", 0.0, 2.0),
        "bootstrap_type": trial.suggest_categorical("bootstrap_type", ["Bernoulli", "Bayesian"]),
    }


def build(params, ctx):
    params = {**DEFAULTS, **params}
    return Regressor(params, ctx) if ctx["kind"] == "regression" else Classifier(params, ctx)


class Stop:
    """CatBoost callback: ends the training when the held-out loss no longer falls, or when the time is up."""

    def __init__(self, deadline):
        self.deadline = deadline
        self.best_trees = 0
        self.best = np.inf

    def after_iteration(self, info):
        # With too few rows to hold some out the last tree counts as the best.
        losses = info.metrics.get("validation")
        loss = next(iter(losses.values()))[-1] if losses else -info.iteration
        if loss < self.best:
            self.best, self.best_trees = loss, info.iteration
        patient = info.iteration - self.best_trees <= 30 + 0.2 * self.best_trees
        return patient and time.monotonic() < self.deadline


def held_out(y, seed, part=8):
    """Masks of the rows to learn from and of every eighth row, spread evenly over y, to stop by."""
    order = np.lexsort((np.random.default_rng(seed).random(len(y)), y))
    held = np.zeros(len(y), dtype=bool)
    held[order[part // 2 :: part]] = True
    return ~held, held


def refit_trees(best_trees):
    """A fit on all rows has about half as many rows again, and profits from a few more trees."""
    return max(1, round(1.15 * best_trees))


class Model(BaseEstimator):
    """The mean of up to COPIES models, each with its own seed and its own held-out part of the rows.

    Those after the first are trained while they take no more than half of the time. `params["n_trees"]`, when given,
    is the number of trees, `params["copies"]` that of the models: no row is held out and the clock does not count.
    """

    def __init__(self, params, ctx):
        self.params = params
        self.ctx = ctx

    def _fit(self, X, y, weight):
        started, seconds = time.monotonic(), self.ctx["seconds"] or np.inf
        p, fixed = self.params, self.params.get("n_trees")
        self.mean_ = y.mean() if self.ctx["kind"] == "regression" else np.bincount(y) / len(y)
        self._learn_columns(X)
        everything = np.ones(len(y), dtype=bool)
        self.models_ = []
        if fixed is not None:
            data = self._pool(X, y, weight, everything)
            if data is not None:
                self.models_ = [catboost.CatBoost(self._settings(fixed, i)).fit(data) for i in range(p["copies"])]
            self.fitted_params_ = {"n_trees": fixed, "learning_rate": p["learning_rate"], "copies": p["copies"]}
            return
        whole, rate = len(y) < 800, None
        for copy in range(COPIES if len(y) < FEW_ROWS else 1):
            if copy and (time.monotonic() - started) * (copy + 1) / copy > 0.5 * seconds:
                break
            learn, held = (everything, None) if whole else held_out(y, self.ctx["seed"] + copy)
            data = self._pool(X, y, weight, learn)
            if data is None:
                return
            deadline = max(started + seconds, time.monotonic() + LEAST_SHARE * seconds)
            rate = rate or self._rate(data, deadline)
            rounds = max(20, min(p["small_trees" if whole else "rounds"], 20_000 // max(1, self.ctx["n_classes"])))
            settings, held_data = self._settings(rounds, copy) | {"learning_rate": rate}, None
            if not whole:
                settings["use_best_model"] = True
                held_data = self._pool(X, y, weight, held)
            stop = Stop(deadline)
            self.models_.append(catboost.CatBoost(settings).fit(data, eval_set=held_data, callbacks=[stop]))
        trees = refit_trees(np.mean([m.tree_count_ for m in self.models_]))
        self.fitted_params_ = {"n_trees": trees, "learning_rate": rate, "copies": len(self.models_)}

    def _rate(self, data, deadline):
        """The learning rate, raised when a few trees tell that the time allows too few of them.

        A fit with two trees tells what comes before the first one; what a longer one takes more is the trees'.
        """
        rate, ends = self.params["learning_rate"], [time.monotonic()]
        if deadline == np.inf:
            return rate
        for trees in PROBE_TREES:
            catboost.CatBoost(self._settings(trees, 0)).fit(data)
            ends.append(time.monotonic())
            if ends[-1] > deadline:
                return 0.3
        before = ends[1] - ends[0]
        tree_s = max(1e-5, (ends[2] - ends[1] - before) / (PROBE_TREES[1] - PROBE_TREES[0]))
        affordable = max(1.0, (deadline - ends[2] - before) / tree_s)
        return max(rate, min(0.3, TREES_TIMES_RATE / affordable))

    def _settings(self, trees, copy):
        p, ctx = self.params, self.ctx
        settings = {key: p[key] for key in CATBOOST_PARAMETERS}
        settings |= {"iterations": trees, "random_seed": ctx["seed"] + copy, "thread_count": ctx["n_threads"]}
        settings |= {"verbose": False, "allow_writing_files": False}
        size = BOOTSTRAP_SIZES[p["bootstrap_type"]]
        settings[size] = p[size]
        if ctx["kind"] == "regression":
            objective = OBJECTIVES.get(ctx["metric"], "RMSE")
            if objective.startswith("Tweedie") and self.range_[0] < 0:
                objective = "RMSE"
            return settings | {"loss_function": objective}
        if len(self.classes_) == 2:
            return settings | {"loss_function": "Logloss"}
        return settings | {"loss_function": "MultiClass", "classes_count": len(self.classes_)}

    def _learn_columns(self, X):
        """Category levels become whole numbers, which CatBoost reads faster than strings; text becomes numbers."""
        seed = self.ctx["seed"]
        levels = {name: X[name].astype(str)[X[name].notna()].unique() for name in self.ctx["columns"]["category"]}
        self.levels_ = {name: pd.Index(found) for name, found in levels.items()}
        self.text_ = {}
        for name in self.ctx["columns"]["text"][:10]:
            words = TfidfVectorizer(min_df=3, max_features=20_000, sublinear_tf=True, dtype=np.float32)
            try:
                found = words.fit_transform(text(X[name].sample(min(len(X), 30_000), random_state=seed)))
            except ValueError:  # no word occurs in three rows
                continue
            if found.shape[1] > 1:
                self.text_[name] = words, TruncatedSVD(min(24, found.shape[1] - 1), random_state=seed).fit(found)

    def _pool(self, X, y, weight, rows):
        """Some rows for training; None where nothing varies, for CatBoost refuses such a table."""
        features, codes = self._features(X[rows])
        if features.nunique().max() <= 1:
            return None
        weight = None if weight is None else weight[rows]
        return catboost.Pool(features, y[rows], weight=weight, cat_features=codes)

    def _features(self, X):
        """Numbers, then codes of categories; and which columns these are."""
        numbers = X[self.ctx["columns"]["number"]].to_numpy(dtype=np.float32, na_value=np.nan)
        parts = [np.where(np.isfinite(numbers), numbers, np.nan)]
        parts += [svd.transform(words.transform(text(X[name]))) for name, (words, svd) in self.text_.items()]
        features = pd.DataFrame(np.hstack(parts))
        first = features.shape[1]
        codes = {}
        for i, (name, levels) in enumerate(self.levels_.items()):
            codes[first + i] = np.where(X[name].isna(), -2, levels.get_indexer(X[name].astype(str)))
        return pd.concat([features, pd.DataFrame(codes)], axis=1), list(codes)

    def _predict(self, X):
        if not self.models_:
            return np.repeat([self.mean_], len(X), axis=0)
        features, codes = self._features(X)
        pool, threads = catboost.Pool(features, cat_features=codes), self.ctx["n_threads"]
        kind = "RawFormulaVal" if self.ctx["kind"] == "regression" else "Probability"
        if self.ctx["kind"] == "regression" and self._settings(1, 0)["loss_function"].startswith("Tweedie"):
            kind = "Exponent"
        found = np.mean([m.predict(pool, prediction_type=kind, thread_count=threads) for m in self.models_], axis=0)
        return found[:, 1] if kind == "Probability" and found.shape[1] == 2 else found


def text(values):
    return values.fillna("").astype(str).str.slice(0, 2000)


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
