"""Small neural networks in NumPy: piecewise linear number encoding, two hidden layers, Adam on a falling rate.

What predicts are weights averaged over the last steps: they err less than those of any one step.
"""

import time
import warnings
from itertools import pairwise

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin, TransformerMixin
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.preprocessing import TargetEncoder

RECIPE = {
    "family": "neural",
    "title": "Neural network",
    "fits": "2,000 to 200,000 rows, smooth targets, many classes; errs differently from trees",
    "kinds": ["binary", "multiclass", "regression"],
    "cost": 9.0,
    "grid": {"width": [64, 128, 256], "bins": [0, 8, 16], "rate": [0.002, 0.004], "dropout": [0.0, 0.1, 0.25]},
    "requires": [],
}
DEFAULTS = {
    "width": 128,
    "layers": 2,
    "bins": 12,
    "rate": 0.004,
    "dropout": 0.15,
    "decay": 0.02,
    "batch": 256,
    "max_epochs": 40,
    "members": 4,
    "copies": 1,
}
OFTEN = 0.01  # share of the rows from which on a level of a name has a column of its own
FIRST_STEPS = 10  # they tell what an epoch takes
MEMORY = 0.99  # of the averaged weights: about the last hundred steps
ROWS_AT_ONCE = 1_000  # to predict, so that what they take stays in the caches


def space(trial):
    return {
        "width": trial.suggest_categorical("width", [64, 128, 256]),
        "bins": trial.suggest_categorical("bins", [0, 8, 16, 32]),
        "rate": trial.suggest_float("rate", 0.002, 0.012, log=True),
        "dropout": trial.suggest_float("dropout", 0.0, 0.4),
        "decay": trial.suggest_float("decay", 0.001, 0.2, log=True),
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


class Network:
    """Dense layers with SiLU; softmax on classes, or squared / absolute error on one value. Trains in float32.

    `members` networks share all weights but a scale for each input and the last layer, and learn side by side, as
    TabM-mini does (Gorishniy et al. 2024, arXiv 2410.24210): they err less than as many that share nothing.
    """

    def __init__(self, sizes, loss, dropout, decay, members, seed):
        self.rng = np.random.default_rng(seed)
        self.loss, self.dropout = loss, dropout
        layers = list(pairwise(sizes))
        self.shapes = [(members, 1, sizes[0])]
        for n_in, n_out in layers[:-1]:
            self.shapes += [(n_in, n_out), (n_out,)]
        self.shapes += [(members, *layers[-1]), (members, 1, sizes[-1])]
        self.flat = np.zeros(sum(map(np.prod, self.shapes)), np.float32)  # one vector, so that a step is few operations
        self.weights = self.shaped(self.flat)
        self.weights[0][:] = self.rng.choice([-1, 1], self.shapes[0]) if members > 1 else 1
        self.decays = np.zeros_like(self.flat)
        for i, (n_in, _) in enumerate(layers):
            size = np.sqrt(2 / n_in) * (0.1 if i == len(layers) - 1 else 1)
            self.weights[2 * i + 1][:] = self.rng.standard_normal(self.shapes[2 * i + 1]) * size
            self.shaped(self.decays)[2 * i + 1][:] = decay
        self.averaged = self.flat.copy()
        self.gradient, self.first, self.second = (np.zeros_like(self.flat) for _ in range(3))
        self.gradients = self.shaped(self.gradient)
        self.steps = 0

    def shaped(self, flat):
        """Views of a vector of all weights: scales of the inputs, then weights and biases of each layer."""
        bounds = np.cumsum([np.prod(shape) for shape in self.shapes])
        return [part.reshape(shape) for part, shape in zip(np.split(flat, bounds[:-1]), self.shapes)]

    def backward(self, features, y, weight):
        """Sets `gradient`: of the mean loss over rows, summed over members, by all weights."""
        out, layers = forward(self.weights, features, self._mask if self.dropout else None)
        _, n_rows, _ = out.shape
        if self.loss == "softmax":
            error = softmax(out)
            error[:, np.arange(n_rows), y] -= 1
        else:
            error = out - y[:, None] if self.loss == "squared" else np.tanh(4 * (out - y[:, None]))
        error *= weight[:, None] / n_rows
        last, gradients = layers.pop(), self.gradients
        gradients[-1][:] = error.sum(axis=1, keepdims=True)
        np.matmul(last.transpose(0, 2, 1), error, out=gradients[-2])
        error = error @ self.weights[-2].transpose(0, 2, 1)
        for i in range(len(layers) - 1, -1, -1):
            given, before, gate, mask = layers[i]
            slope = 1 - gate
            slope *= before
            slope += 1
            slope *= gate
            error *= slope
            if mask is not None:
                error *= mask
            error.sum(axis=(0, 1), out=gradients[2 * i + 2])
            if i:
                np.matmul(_rows(given).T, _rows(error), out=gradients[2 * i + 1])
                error = error @ self.weights[2 * i + 1].T
        by_member = features.T @ error  # what the first weights' gradients would be if all scales were one
        np.einsum("mjk,mij->jk", by_member, self.weights[0], out=gradients[1])
        np.einsum("mjk,jk->mj", by_member, self.weights[1], out=gradients[0][:, 0])

    def step(self, features, y, weight, rate):
        self.steps += 1
        fix = np.sqrt(1 - 0.99**self.steps) / (1 - 0.9**self.steps)
        self.backward(features, y, weight)
        self.first += np.float32(0.1) * (self.gradient - self.first)
        self.second += np.float32(0.01) * (self.gradient**2 - self.second)
        self.flat -= np.float32(rate * fix) * self.first / (np.sqrt(self.second) + np.float32(1e-8))
        self.flat *= 1 - np.float32(rate) * self.decays
        new = np.float32(1 - min(MEMORY, (1 + self.steps) / (10 + self.steps)))
        self.averaged += new * (self.flat - self.averaged)

    def _mask(self, shape):
        """Zero for values to drop, and what keeps the mean for the others; drawn in 256ths, which a byte does."""
        dropped = min(255, round(256 * self.dropout))
        drawn = np.frombuffer(self.rng.bytes(int(np.prod(shape))), np.uint8).reshape(shape)
        return (drawn >= dropped) * np.float32(256 / (256 - dropped))


def _rows(values):
    """(members, n_rows, n) -> (members * n_rows, n)."""
    return values.reshape(-1, values.shape[2])


def forward(weights, features, mask_of=None):
    """Outputs (members, n_rows, n_out), and what `backward` needs of each layer: input, value, gate, mask."""
    kept, layers = features, []
    for i in range(1, len(weights) - 2, 2):
        before = kept @ (weights[i] if i > 1 else weights[0].transpose(0, 2, 1) * weights[1])
        before += weights[i + 1]
        gate = np.tanh(before * np.float32(0.5))  # half of it and a half is the logistic function
        gate += 1
        gate *= np.float32(0.5)
        after = before * gate
        mask = mask_of(after.shape) if mask_of else None
        if mask is not None:
            after *= mask
        layers.append((kept, before, gate, mask))
        kept = after
    return kept @ weights[-2] + weights[-1], [*layers, kept]


def outputs(weights, features, loss):
    """Mean over members of probabilities, (n_rows, n_classes), or of values, (n_rows, 1)."""
    parts = [forward(weights, features[i : i + ROWS_AT_ONCE])[0] for i in range(0, len(features), ROWS_AT_ONCE)]
    return np.concatenate([(softmax(p) if loss == "softmax" else p).mean(axis=0) for p in parts])


def softmax(values):
    values = np.exp(values - values.max(axis=-1, keepdims=True))
    return values / values.sum(axis=-1, keepdims=True)


class Model(BaseEstimator):
    """`params["n_epochs"]` of a schedule of `params["n_planned"]`, when given, are fixed: no row is held out."""

    def __init__(self, params, ctx):
        self.params = params
        self.ctx = ctx

    def _fit(self, X, y, weight):
        if self.ctx["metric"] == "tweedie" and self.range_[0] >= 0:  # its deviance has no bound where 0 is predicted
            self.range_ = max(self.range_[0], 0.1 * np.mean(y)), self.range_[1]
        started, p, ctx = time.monotonic(), self.params, self.ctx
        deadline = started + (ctx["seconds"] or np.inf)
        fixed = p.get("n_epochs")
        self.encoder_ = Dense(ctx, p["bins"], often=OFTEN)
        features = self.encoder_.fit_transform(X, y)
        self.size_ = (float(y.mean()), float(y.std()) + 1e-12) if ctx["kind"] == "regression" else (0.0, 1.0)
        y = ((y - self.size_[0]) / self.size_[1]).astype(np.float32) if ctx["kind"] == "regression" else y
        weight = np.ones(len(y), np.float32) if weight is None else (weight / np.mean(weight)).astype(np.float32)
        if fixed:
            nets = [self._train(i, features, y, weight, np.inf, p["n_planned"], fixed) for i in range(p["copies"])]
            self.networks_ = [net[0] for net in nets]
            self.fitted_params_ = {name: p[name] for name in ("n_epochs", "n_planned", "members", "copies")}
            return
        learn, held = held_out(y, ctx["seed"])
        data, held_data = (features[learn], y[learn], weight[learn]), (features[held], y[held])
        found = self._train(0, *data, deadline, p["max_epochs"], None, *held_data)
        if found[1] <= found[2] // 4 and time.monotonic() - started < 0.6 * (deadline - started):
            # It learns by heart soon: once more, with a rate that falls all the way in about that time.
            found = min(found, self._train(0, *data, deadline, 2 * found[1], None, *held_data), key=lambda f: f[3])
        weights, best, planned, _ = found
        self.networks_ = [weights]
        self.fitted_params_ = {"n_epochs": best, "n_planned": planned, "members": len(weights[0]), "copies": 1}

    def _train(
        self, copy, features, y, weight, deadline, planned, fixed, held_features=None, held_y=None, members=None
    ):
        """(weights of the best epoch, its number, the epochs that the schedule was made for, held-out loss).

        members: how many; None: those of the parameters, or as many of them as the time allows all epochs for, since
        epochs are worth more than members.
        """
        p, ctx = self.params, self.ctx
        n_out = 1 if ctx["kind"] == "regression" else len(self.classes_)
        loss = "softmax" if n_out > 1 else "absolute" if ctx["metric"] in ("mae", "medae", "mape") else "squared"
        sizes = [features.shape[1], *[p["width"]] * p["layers"], n_out]
        network = Network(sizes, loss, p["dropout"], p["decay"], members or p["members"], ctx["seed"] + copy)
        batch = int(np.clip(len(y) // 50, 32, p["batch"]))
        best_loss, best_weights, best = np.inf, network.averaged, 1
        averaged = network.shaped(network.averaged)
        epoch, started = 0, time.monotonic()
        while epoch < (fixed or planned):
            order = network.rng.permutation(len(y))
            for start in range(0, max(1, len(y) - batch + 1), batch):
                done = min(1.0, (epoch + start / len(y)) / planned)
                rate = p["rate"] * min(1.0, 20 * done + 0.05) * np.cos(done * np.pi / 2) ** 1.5
                rows = order[start : start + batch]
                network.step(features[rows], y[rows], weight[rows], rate)
                if members is None and not fixed and network.steps == FIRST_STEPS:
                    epochs = (deadline - started) / (time.monotonic() - started) * FIRST_STEPS * batch / len(y)
                    if epochs < planned:
                        data = features, y, weight, deadline, planned, fixed, held_features, held_y
                        return self._train(copy, *data, max(1, int(p["members"] * epochs / planned)))
            epoch += 1
            if fixed:
                continue
            found = outputs(averaged, held_features, loss)
            held_loss = self._loss(found, held_y, loss)
            if held_loss < best_loss:
                best_loss, best_weights, best = held_loss, network.averaged.copy(), epoch
            now = time.monotonic()
            if epoch == 2:  # the schedule is cut to what the time allows, once
                planned = int(np.clip((deadline - started) / (now - started) * 2 * 0.9, 2, planned))
            if now > deadline or epoch - best > 4 + planned // 5:
                break
        return (averaged if fixed else network.shaped(best_weights)), best, planned, best_loss

    def _loss(self, found, y, loss):
        if loss == "softmax":
            return -np.mean(np.log(found[np.arange(len(y)), y] + 1e-9))
        return np.mean(np.abs(found[:, 0] - y)) if loss == "absolute" else np.mean((found[:, 0] - y) ** 2)

    def _predict(self, X):
        features = self.encoder_.transform(X)
        loss = "squared" if self.ctx["kind"] == "regression" else "softmax"
        found = np.mean([outputs(weights, features, loss) for weights in self.networks_], axis=0)
        return (found[:, 0] if self.ctx["kind"] == "regression" else found) * self.size_[1] + self.size_[0]


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
