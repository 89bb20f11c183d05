"""LightGBM with random split points: a smoother model whose errors differ from those of `lightgbm`."""

import time

import lightgbm
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import TargetEncoder

RECIPE = {
    "family": "lightgbm",
    "title": "LightGBM, random splits",
    "fits": "noisy targets, and any ensemble that already holds another LightGBM",
    "kinds": ["binary", "multiclass", "regression"],
    "cost": 2.0,
    "grid": {
        "learning_rate": [0.02, 0.03, 0.05],
        "num_leaves": [8, 16, 48, 96],
        "min_data_in_leaf": [5, 20, 48],
        "feature_fraction": [0.4, 0.56, 0.8],
    },
    "requires": ["lightgbm"],
}
DEFAULTS = {
    "learning_rate": 0.04,
    "num_leaves": 31,
    "min_data_in_leaf": 20,
    "feature_fraction": 0.56,
    "bagging_fraction": 0.8,
    "lambda_l2": 1.0,
    "min_sum_hessian_in_leaf": 0.001,
    "extra_trees": True,
    "cat_smooth": 10.0,
    "max_bin": 255,
    "rounds": 4000,
    "small_trees": 300,
    "copies": 0,
}
LIGHTGBM_PARAMETERS = ["learning_rate", "num_leaves", "min_data_in_leaf", "feature_fraction", "bagging_fraction"]
LIGHTGBM_PARAMETERS += ["lambda_l2", "min_sum_hessian_in_leaf", "extra_trees", "cat_smooth"]
FEW_ROWS, COPIES = 30_000, 3  # with few rows, what is held out decides too much; `copies` 0: this many, else one
LEAST_SHARE = 0.35  # of the seconds, for the trees, however long the encoding took
TREES_TIMES_RATE = 25  # 500 trees at a rate of 0.05 are usually enough
OBJECTIVES = {"mae": "l1", "medae": "l1", "mape": "mape", "tweedie": "tweedie"}  # by metric; any other: squared error


def space(trial):
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.1, log=True),
        "num_leaves": trial.suggest_int("num_leaves", 7, 160, log=True),
        "min_data_in_leaf": trial.suggest_int("min_data_in_leaf", 3, 100, log=True),
        "feature_fraction": trial.suggest_float("feature_fraction", 0.3, 1.0),
        "bagging_fraction": trial.suggest_float("bagging_fraction", 0.6, 1.0),
        "lambda_l2": trial.suggest_float("lambda_l2", 0.01, 30.0, log=True),
        "extra_trees": trial.suggest_categorical("extra_trees", [False, True]),
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


def held_out(y, seed, part=8):
    """Masks of the rows to learn from and of every eighth row, spread evenly over y, to stop by."""
    order = np.lexsort((np.random.default_rng(seed).random(len(y)), y))
    held = np.zeros(len(y), dtype=bool)
    held[order[part // 2 :: part]] = True
    return ~held, held


def refit_trees(best_trees):
    """A fit on all rows has about half as many rows again, and profits from a few more trees."""
    return max(1, round(1.15 * best_trees))


class Stop:
    """LightGBM callback: ends the training when the held-out loss no longer falls, or when the time is up.

    When the first trees tell that the time allows too few of them for the learning rate, it is raised.
    """

    def __init__(self, deadline, learning_rate):
        self.deadline = deadline
        self.learning_rate = learning_rate
        self.best, self.best_trees = np.inf, 0

    def __call__(self, env):
        for _, _, value, higher_is_better in env.evaluation_result_list[:1]:
            loss = -value if higher_is_better else value
            if loss < self.best:
                self.best, self.best_trees = loss, env.iteration + 1
        now, trees = time.monotonic(), env.iteration + 1
        if not env.evaluation_result_list:  # too few rows to hold some out
            self.best_trees = trees
        if trees == 3:
            self.third = now
        if trees == 8 and self.deadline < np.inf:
            affordable = 5 * (self.deadline - self.third) / (now - self.third + 1e-6)
            slower = TREES_TIMES_RATE / self.learning_rate / max(1, affordable)
            if slower > 1.5:
                self.learning_rate = max(self.learning_rate, min(0.3, self.learning_rate * slower))
                env.model.reset_parameter({"learning_rate": self.learning_rate})
        if now > self.deadline or trees - self.best_trees > 30 + 0.2 * self.best_trees:
            raise lightgbm.callback.EarlyStopException(self.best_trees - 1, env.evaluation_result_list)


class Model(BaseEstimator):
    """The mean of up to `copies` boosters, each with its own seed and its own held-out part of the rows.

    With several copies, those after the first are trained while they take no more than half of the time.

    `params["n_trees"]`, when given, is the number of trees: no row is held out and the clock does not count.
    """

    def __init__(self, params, ctx):
        self.params = params
        self.ctx = ctx

    def _fit(self, X, y, weight):
        started, seconds = time.monotonic(), self.ctx["seconds"] or np.inf
        self.rows_ = len(y)
        p, fixed = self.params, self.params.get("n_trees")
        self.encoder_ = Encoder(self.ctx)
        features = self.encoder_.fit_transform(X, y)  # target means are out of fold: rows held out below stay unseen
        self.boosters_, self.trees_, rates = [], [], []
        for copy in range(p["copies"] or (COPIES if len(y) < FEW_ROWS else 1)):
            if fixed is None and copy and (time.monotonic() - started) * (copy + 1) / copy > 0.5 * seconds:
                break
            whole = fixed is not None or len(y) < 800
            learn, held = (None, None) if whole else held_out(y, self.ctx["seed"] + copy)
            data = self._data(features, y, weight, learn)
            if fixed is not None:
                self.boosters_.append(lightgbm.train(self._settings(copy), data, fixed))
                self.trees_.append(fixed)
                continue
            valid = [] if whole else [self._data(features, y, weight, held, data)]
            for part in (data, *valid):
                part.construct()
            deadline = max(started + seconds, time.monotonic() + LEAST_SHARE * seconds)
            stop = Stop(deadline, p["learning_rate"])
            rounds = max(20, min(p["small_trees" if whole else "rounds"], 40_000 // max(1, self.ctx["n_classes"])))
            self.boosters_.append(lightgbm.train(self._settings(copy), data, rounds, valid, callbacks=[stop]))
            self.trees_.append(max(1, stop.best_trees))
            rates.append(stop.learning_rate)
        trees = fixed if fixed is not None else refit_trees(np.mean(self.trees_))
        rate = p["learning_rate"] if fixed is not None else round(float(np.mean(rates)), 6)
        self.fitted_params_ = {"n_trees": trees, "learning_rate": rate, "copies": len(self.boosters_)}

    def _data(self, features, y, weight, rows, reference=None):
        """A binned data set of some rows (None: all); one to stop by is binned as its reference is."""
        rows = slice(None) if rows is None else rows
        settings = {"verbosity": -1, "max_bin": self.params["max_bin"], "feature_pre_filter": False}
        return lightgbm.Dataset(
            features[rows],
            y[rows],
            reference=reference,
            weight=None if weight is None else weight[rows],
            categorical_feature=self.encoder_.categorical(),
            params=settings,
        )

    def _settings(self, copy):
        p, ctx = self.params, self.ctx
        settings = {key: p[key] for key in LIGHTGBM_PARAMETERS}
        settings["min_data_in_leaf"] = min(p["min_data_in_leaf"], max(3, self.rows_ // 5))
        settings["min_data_per_group"] = int(np.clip(self.rows_ // 10, 5, 100))
        settings |= {"bagging_freq": 1, "seed": ctx["seed"] + copy, "num_threads": ctx["n_threads"]}
        settings |= {
            "verbosity": -1,
            "feature_pre_filter": False,
            "force_row_wise": True,
            "deterministic": True,
            "max_bin": p["max_bin"],
        }
        if ctx["kind"] == "regression":
            objective = OBJECTIVES.get(ctx["metric"], "l2")
            if objective == "tweedie" and self.range_[0] < 0:
                objective = "l2"
            return settings | {"objective": objective, "tweedie_variance_power": 1.5}
        if len(self.classes_) == 2:
            return settings | {"objective": "binary"}
        return settings | {"objective": "multiclass", "num_class": len(self.classes_)}

    def _predict(self, X):
        features, threads = self.encoder_.transform(X), self.ctx["n_threads"]
        pairs = zip(self.boosters_, self.trees_)
        return np.mean([b.predict(features, num_iteration=n, num_threads=threads) for b, n in pairs], axis=0)


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
