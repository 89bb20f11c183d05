"""XGBoost: depth-wise boosted trees, a second opinion beside LightGBM."""

import time

import numpy as np
import xgboost
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import TargetEncoder

RECIPE = {
    "family": "xgboost",
    "title": "XGBoost",
    "fits": "any table from 1,000 rows up, beside LightGBM",
    "kinds": ["binary", "multiclass", "regression"],
    "cost": 1.6,
    "grid": {
        "learning_rate": [0.02, 0.05, 0.1],
        "max_depth": [4, 6, 8, 10],
        "min_child_weight": [0.5, 2.0, 10.0],
        "colsample_bytree": [0.4, 0.7, 1.0],
    },
    "requires": ["xgboost"],
}
DEFAULTS = {
    "learning_rate": 0.05,
    "max_depth": 6,
    "min_child_weight": 2.0,
    "colsample_bytree": 0.7,
    "subsample": 0.8,
    "reg_lambda": 1.0,
    "rounds": 2000,
    "small_trees": 150,
    "copies": 1,
}
XGBOOST_PARAMETERS = ["learning_rate", "max_depth", "min_child_weight", "colsample_bytree", "subsample", "reg_lambda"]
FEW_ROWS, COPIES = 30_000, 3  # with few rows, what is held out decides too much: so many fits, else one
LEAST_SHARE = 0.35  # of the seconds, for the trees, however long the encoding took
TREES_TIMES_RATE = 25  # 500 trees at a rate of 0.05 are usually enough
OBJECTIVES = {"mae": "reg:absoluteerror", "medae": "reg:absoluteerror", "mape": "reg:absoluteerror"}  # by metric
OBJECTIVES |= {"tweedie": "reg:tweedie"}


def space(trial):
    return {
        "learning_rate": trial.suggest_float("learning_rate", 0.01, 0.15, log=True),
        "max_depth": trial.suggest_int("max_depth", 3, 10),
        "min_child_weight": trial.suggest_float("min_child_weight", 0.1, 30.0, log=True),
        "colsample_bytree": trial.suggest_float("colsample_bytree", 0.3, 1.0),
        "subsample": trial.suggest_float("subsample", 0.6, 1.0),
        "reg_lambda": trial.suggest_float("reg_lambda", 0.01, 30.0, log=True),
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


class Stop(xgboost.callback.TrainingCallback):
    """Ends the training when the held-out loss no longer falls, or when the time is up.

    When the first trees tell that the time allows too few of them for the learning rate, it is raised.
    """

    def __init__(self, deadline, learning_rate):
        super().__init__()
        self.deadline = deadline
        self.learning_rate = learning_rate
        self.best, self.best_trees = np.inf, 0

    def after_iteration(self, model, epoch, evals_log):
        # With too few rows to hold some out the last tree counts as the best.
        loss = next(iter(evals_log["held"].values()))[-1] if evals_log else -epoch
        if loss < self.best:
            self.best, self.best_trees = loss, epoch + 1
        now = time.monotonic()
        if epoch + 1 == 3:
            self.third = now
        if epoch + 1 == 8 and self.deadline < np.inf:
            affordable = 5 * (self.deadline - self.third) / (now - self.third + 1e-6)
            slower = TREES_TIMES_RATE / self.learning_rate / max(1, affordable)
            if slower > 1.5:
                self.learning_rate = max(self.learning_rate, min(0.3, self.learning_rate * slower))
                model.set_param("learning_rate", self.learning_rate)
        return now > self.deadline or epoch + 1 - self.best_trees > 30 + 0.2 * self.best_trees


class Model(BaseEstimator):
    """The mean of up to COPIES boosters, each with its own seed and its own held-out part of the rows.

    Those after the first are trained while they take no more than half of the time. `params["n_trees"]`, when given,
    is the number of trees, `params["copies"]` that of the boosters: no row is held out and the clock does not count.
    """

    def __init__(self, params, ctx):
        self.params = params
        self.ctx = ctx

    def _fit(self, X, y, weight):
        started, seconds = time.monotonic(), self.ctx["seconds"] or np.inf
        p, fixed = self.params, self.params.get("n_trees")
        if self._is_squared():  # to mean 0 and deviation 1: no split is taken that gains less than 1e-6
            self.unit_ = np.mean(y), np.std(y)
            y = (y - self.unit_[0]) / self.unit_[1]
        self.encoder_ = Encoder(self.ctx)
        # Target means are out of fold: rows held out below stay unseen.
        features = self._known(self.encoder_.fit_transform(X, y))
        kinds = np.full(features.shape[1], "q")
        kinds[self.encoder_.categorical()] = "c"
        self.kinds_ = kinds.tolist()
        if fixed is not None:
            data = self._matrix(features, y, weight, slice(None))
            self.boosters_ = [xgboost.train(self._settings(i), data, fixed) for i in range(p["copies"])]
            self.trees_ = [fixed] * len(self.boosters_)
            self.fitted_params_ = {"n_trees": fixed, "learning_rate": p["learning_rate"], "copies": p["copies"]}
            return
        self.boosters_, self.trees_, rates = [], [], []
        whole = len(y) < 800
        for copy in range(COPIES if len(y) < FEW_ROWS else 1):
            if copy and (time.monotonic() - started) * (copy + 1) / copy > 0.5 * seconds:
                break
            learn, held = (slice(None), None) if whole else held_out(y, self.ctx["seed"] + copy)
            data = self._matrix(features, y, weight, learn)
            deadline = max(started + seconds, time.monotonic() + LEAST_SHARE * seconds)
            stop = Stop(deadline, p["learning_rate"])
            rounds = max(20, min(p["small_trees" if whole else "rounds"], 30_000 // max(1, self.ctx["n_classes"])))
            evals = [] if held is None else [(self._matrix(features, y, weight, held, data), "held")]
            booster = xgboost.train(
                self._settings(copy), data, rounds, evals=evals, callbacks=[stop], verbose_eval=False
            )
            self.boosters_.append(booster)
            self.trees_.append(max(1, stop.best_trees))
            rates.append(stop.learning_rate)
        rate = round(float(np.mean(rates)), 6)
        trees = refit_trees(np.mean(self.trees_))
        self.fitted_params_ = {"n_trees": trees, "learning_rate": rate, "copies": len(self.boosters_)}

    def _matrix(self, features, y, weight, rows, reference=None):
        """Binned data of some rows; those to stop by are binned as their reference is."""
        settings = {"feature_types": self.kinds_, "enable_categorical": True, "nthread": self.ctx["n_threads"]}
        weight = None if weight is None else weight[rows]
        return xgboost.QuantileDMatrix(features[rows], y[rows], weight=weight, ref=reference, **settings)

    def _known(self, features):
        """`features`, changed in place: codes of missing and of never seen levels become NaN for XGBoost."""
        for i, name in zip(self.encoder_.categorical(), self.encoder_.codes_):
            known = (features[:, i] >= 0) & (features[:, i] < len(self.encoder_.counts_[name]))
            features[:, i] = np.where(known, features[:, i], np.nan)
        return features

    def _settings(self, copy):
        p, ctx = self.params, self.ctx
        settings = {key: p[key] for key in XGBOOST_PARAMETERS}
        settings |= {"tree_method": "hist", "seed": ctx["seed"] + copy, "nthread": ctx["n_threads"], "verbosity": 0}
        if ctx["kind"] == "regression":
            objective = "reg:squarederror" if self._is_squared() else OBJECTIVES[ctx["metric"]]
            return settings | {"objective": objective}
        if len(self.classes_) == 2:
            return settings | {"objective": "binary:logistic"}
        return settings | {"objective": "multi:softprob", "num_class": len(self.classes_), "eval_metric": "mlogloss"}

    def _is_squared(self):
        metric = self.ctx["metric"]
        kept = metric in OBJECTIVES and not (metric == "tweedie" and self.range_[0] < 0)
        return self.ctx["kind"] == "regression" and not kept

    def _predict(self, X):
        settings = {"feature_types": self.kinds_, "enable_categorical": True, "nthread": self.ctx["n_threads"]}
        data = xgboost.DMatrix(self._known(self.encoder_.transform(X)), **settings)
        pairs = zip(self.boosters_, self.trees_)
        found = np.mean([b.predict(data, iteration_range=(0, trees)) for b, trees in pairs], axis=0)
        return found * self.unit_[1] + self.unit_[0] if self._is_squared() else found


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
