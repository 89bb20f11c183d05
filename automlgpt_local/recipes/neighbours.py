"""Nearest neighbours in a space whose axes are stretched by how much a small forest uses them."""

import warnings

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.decomposition import TruncatedSVD
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import TargetEncoder

RECIPE = {
    "family": "neighbours",
    "title": "Nearest neighbours",
    "fits": "up to 50,000 rows, few columns, smooth or repeating rows; many classes",
    "kinds": ["binary", "multiclass", "regression"],
    "cost": 1.0,
    "grid": {"neighbours": [0, 5, 20, 60], "stretch": [0.0, 0.5, 1.0]},
    "requires": [],
}
DEFAULTS = {
    "neighbours": 0,
    "stretch": 0.5,
    "max_rows": 30000,
    "max_columns": 40,
}
CANDIDATES = [4, 8, 16, 32, 64]


def space(trial):
    return {
        "stretch": trial.suggest_float("stretch", 0.0, 1.0),
        "max_columns": trial.suggest_int("max_columns", 5, 60, log=True),
    }


def build(params, ctx):
    params = {**DEFAULTS, **params}
    return Regressor(params, ctx) if ctx["kind"] == "regression" else Classifier(params, ctx)


def held_out(y, seed, part=8):
    """Masks of the rows to learn from and of every eighth row, spread evenly over y, to stop by."""
    order = np.lexsort((np.random.default_rng(seed).random(len(y)), y))
    held = np.zeros(len(y), dtype=bool)
    held[order[part // 2 :: part]] = True
    return ~held, held


class Model(BaseEstimator):
    """`params["n_neighbours"]`, when given, is their number, and no row is held out to choose it."""

    def __init__(self, params, ctx):
        self.params = params
        self.ctx = ctx

    def _fit(self, X, y, weight):
        if self.ctx["metric"] == "tweedie" and self.range_[0] >= 0:  # its deviance has no bound where 0 is predicted
            self.range_ = max(self.range_[0], 0.1 * np.mean(y)), self.range_[1]
        if len(y) > self.params["max_rows"]:
            kept = held_out(y, self.ctx["seed"], -(-len(y) // self.params["max_rows"]))[1]
            X, y = X[kept], y[kept]
        self.encoder_ = Dense(self.ctx)
        features = self.encoder_.fit_transform(X, y)
        self._stretch(features, y)
        features = features[:, self.used_] * self.axes_
        wanted = self.params.get("n_neighbours") or self.params["neighbours"]
        if not wanted:
            learn, held = held_out(y, self.ctx["seed"], max(5, len(y) // 1000))
            self._index(features[learn], y[learn])
            losses = [self._loss(self._vote(features[held], k), y[held]) for k in CANDIDATES]
            wanted = CANDIDATES[int(np.argmin(losses))]
        self._index(features, y)
        self.fitted_params_ = {"n_neighbours": wanted}

    def _stretch(self, features, y):
        """Axes by the square root of a small forest's importance; the least useful ones are dropped."""
        forest = ExtraTreesRegressor if self.ctx["kind"] == "regression" else ExtraTreesClassifier
        settings = {"max_depth": 10, "min_samples_leaf": 5, "max_features": 0.4, "n_jobs": self.ctx["n_threads"]}
        part = slice(None, None, max(1, len(y) // 10_000))
        useful = forest(30, random_state=self.ctx["seed"], **settings).fit(features[part], y[part]).feature_importances_
        self.used_ = np.sort(np.argsort(-useful, kind="stable")[: self.params["max_columns"]])
        self.axes_ = (useful[self.used_] ** self.params["stretch"]).astype(np.float32)

    def _index(self, features, y):
        way = "kd_tree" if features.shape[1] <= 12 else "brute"
        self.index_ = NearestNeighbors(algorithm=way, n_jobs=self.ctx["n_threads"]).fit(features)
        self.y_ = y

    def _vote(self, features, k):
        k = min(int(k), len(self.y_))
        found = []
        for start in range(0, len(features), 5000):
            distance, near = self.index_.kneighbors(features[start : start + 5000], k)
            share = 1 / (distance + 0.1 * np.median(distance) + 1e-6)
            share /= share.sum(axis=1, keepdims=True)
            found.append(self._count(self.y_[near], share, k))
        return np.concatenate(found)

    def _count(self, y, share, k):
        """y, share: (n_rows, k)."""
        if self.ctx["kind"] == "regression":
            return (y * share).sum(axis=1)
        n_classes = len(self.classes_)
        votes = np.zeros((len(y), n_classes))
        np.add.at(votes, (np.arange(len(y))[:, None], y), share)
        prior = np.bincount(self.y_, minlength=n_classes) / len(self.y_)
        return (votes * k + prior) / (k + 1)

    def _loss(self, found, y):
        if self.ctx["kind"] == "regression":
            return np.mean((found - y) ** 2)
        return -np.mean(np.log(found[np.arange(len(y)), y] + 1e-9))

    def _predict(self, X):
        features = self.encoder_.transform(X)[:, self.used_] * self.axes_
        return self._vote(features, self.fitted_params_["n_neighbours"])


class Dense(TransformerMixin, BaseEstimator):
    """Frame -> (n_rows, n_features) float32 of size about one, without gaps: for models that take sums or distances.

    Numbers are centred, squashed and, with `bins`, also cut into piecewise linear steps between quantiles. Categories
    become one-hot columns, names of many levels out-of-fold target means and counts, text a reduced tf-idf. With
    `often`, levels of names that have at least this share of the rows become one-hot columns too.
    """

    def __init__(self, ctx, bins=0, max_levels=40, text_size=40, often=None):
        self.ctx = ctx
        self.bins = bins
        self.max_levels = max_levels
        self.text_size = text_size
        self.often = often

    def fit(self, X, y):
        self.fit_transform(X, y)
        return self

    def fit_transform(self, X, y):
        columns, seed = self.ctx["columns"], self.ctx["seed"]
        numbers = self._numbers(X)
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a column may be all gaps
            cuts = np.nanquantile(numbers, [0.25, 0.5, 0.75], axis=0) if numbers.size else np.zeros((3, 0))
            self.centre_ = np.nan_to_num(cuts[1])
            spread = np.where(cuts[2] > cuts[0], (cuts[2] - cuts[0]) / 1.35, np.nanstd(numbers, axis=0))
            self.spread_ = np.where(spread > 0, spread, 1.0)
            self.edges_ = []
            for i in range(numbers.shape[1] if self.bins and numbers.shape[1] <= 300 else 0):
                known = numbers[np.isfinite(numbers[:, i]), i]
                edges = np.unique(np.quantile(known, np.linspace(0, 1, self.bins + 1))) if len(known) else known
                self.edges_.append(edges if len(edges) > 2 else None)
        self.gaps_ = np.flatnonzero(np.isnan(numbers).mean(axis=0) > 0.001)
        counts = {name: X[name].astype(str)[X[name].notna()].value_counts() for name in columns["category"]}
        self.names_ = [name for name, found in counts.items() if len(found) > self.max_levels]
        self.counts_ = {name: counts[name] for name in self.names_}
        self.levels_ = {name: found.index[found >= 3] for name, found in counts.items() if name not in self.names_}
        for name in self.names_ if self.often else []:
            self.levels_[name] = counts[name].index[counts[name] >= max(3, self.often * len(X))]
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
        if self.names_ and (self.ctx["kind"] != "multiclass" or self.ctx["n_classes"] <= 30):
            self.means_ = Means(self.ctx)
            means = self.means_.out_of_fold(self._codes(X), y)
            self.mean_size_ = means.mean(axis=0), means.std(axis=0) + 1e-9
        return self._join(X, numbers, means)

    def transform(self, X):
        means = None if self.means_ is None else self.means_.transform(self._codes(X))
        return self._join(X, self._numbers(X), means)

    def _numbers(self, X):
        numbers = X[self.ctx["columns"]["number"]].to_numpy(dtype=np.float64, na_value=np.nan)
        return np.where(np.isfinite(numbers), numbers, np.nan)

    def _codes(self, X):
        """(n_rows, n_names) codes by falling frequency; the last two: never seen, missing."""
        codes = np.empty((len(X), len(self.names_)), dtype=int)
        for i, name in enumerate(self.names_):
            levels = self.counts_[name].index
            found = levels.get_indexer(X[name].astype(str))
            codes[:, i] = np.where(X[name].isna(), len(levels) + 1, np.where(found < 0, len(levels), found))
        return codes

    def _join(self, X, numbers, means):
        scaled = np.nan_to_num((numbers - self.centre_) / self.spread_)
        parts = [scaled / np.sqrt(1 + (scaled / 3) ** 2), np.isnan(numbers[:, self.gaps_])]
        for i, edges in enumerate(self.edges_):
            if edges is not None:
                steps = (numbers[:, [i]] - edges[:-1]) / np.diff(edges)
                parts.append(np.nan_to_num(np.clip(steps, 0, 1), nan=0.5))
        for name, levels in self.levels_.items():
            found = levels.get_indexer(X[name].astype(str))
            found[X[name].isna()] = len(levels)
            parts.append(np.eye(len(levels) + 2, dtype=np.float32)[found])  # then: missing, any other
        if self.names_:
            codes = self._codes(X)
            for i, name in enumerate(self.names_):
                parts.append(np.log1p(np.append(self.counts_[name].to_numpy(), [0, 0])[codes[:, [i]]]) / 3)
        if means is not None:
            parts.append((means - self.mean_size_[0]) / self.mean_size_[1])
        for name, (words, svd) in self.text_.items():
            parts.append(svd.transform(words.transform(text(X[name]))) * 4)
        return np.hstack([np.zeros((len(X), 1)), *parts]).astype(np.float32)


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
