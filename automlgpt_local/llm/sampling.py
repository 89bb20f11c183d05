"""Choosing the next token from logits, in numpy: exact, seeded, and cheap with a large vocabulary.

Order as in llama.cpp: repetition penalty, top-k, top-p, min-p, temperature. The candidates are found by one comparison
over the vocabulary, so nothing is sorted but the few that matter.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from automlgpt_local.errors import BackendError

COLDEST = 1e-3  # below this temperature the best token is taken
_FLOOR = 16.0  # candidates below e^-16 of the best one are never drawn
_STEPS = (256, 4096)  # how many of the best tokens a grammar is asked about before it is asked about all


@dataclass(frozen=True)
class SamplingOptions:
    """`top_k` 0, `top_p` 1, `min_p` 0 and a penalty of 1 are off. Raises ValueError when out of bounds."""

    temperature: float = 0.2
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repetition_penalty: float = 1.0
    last_tokens: int = 64
    seed: int = 0

    def __post_init__(self) -> None:
        sound = math.isfinite(self.temperature) and 0 <= self.min_p <= 1 and 0 <= self.top_p <= 1
        if not sound or self.repetition_penalty <= 0:
            raise ValueError(f"options out of bounds: {self}")


Mask = Callable[[np.ndarray], np.ndarray]  # token ids -> which of them a grammar allows


class NoNumbersError(BackendError):
    """The model computed NaN or infinity."""

    def __init__(self) -> None:
        super().__init__("the model returned no numbers (NaN)", "The file may be damaged: `automlgpt models verify`.")


class Sampler:
    def __init__(self, options: SamplingOptions) -> None:
        self.options = options
        self._rng = np.random.default_rng(abs(options.seed))
        self.recent: deque[int] = deque(maxlen=options.last_tokens)
        self._plain = options.temperature < COLDEST and options.repetition_penalty == 1.0
        self.refused = 0

    def sample(self, logits: np.ndarray, mask: Mask | None = None) -> int:
        """The next token. With `mask` the first draw is tested, and drawn again among the allowed if it is refused."""
        if self._plain and mask is None:
            return best(logits)
        logits = self.penalised(logits)
        token = self._draw(logits)
        if mask is not None and not mask(np.array([token], np.int32))[0]:
            self.refused += 1
            token = self._draw_allowed(logits, mask)
        if self.options.repetition_penalty != 1.0:
            self.recent.append(token)
        return token

    def penalised(self, logits: np.ndarray) -> np.ndarray:
        if self.options.repetition_penalty == 1.0 or not self.recent:
            return logits
        logits = logits.copy()
        seen = np.unique(np.array(self.recent))
        values = logits[seen]
        penalty = self.options.repetition_penalty
        logits[seen] = np.where(values > 0, values / penalty, values * penalty)
        return logits

    def _draw(self, logits: np.ndarray) -> int:
        token = best(logits)
        if self.options.temperature < COLDEST:
            return token
        ids = np.flatnonzero(logits >= logits.item(token) - _FLOOR)
        return token if len(ids) == 1 else int(ids[self._pick(logits[ids])])

    def _draw_allowed(self, logits: np.ndarray, mask: Mask) -> int:
        for count in (*_STEPS, len(logits)):
            ids = best_few(logits, count)
            allowed = ids[mask(ids.astype(np.int32))]
            if len(allowed):
                values = logits[allowed]
                if self.options.temperature < COLDEST:
                    return int(allowed[values.argmax()])
                return int(allowed[self._pick(values)])
        raise BackendError("the grammar allows no token here")

    def _pick(self, values: np.ndarray) -> int:
        """Index drawn among candidate logits."""
        kept, weights = self.weights(values)
        return int(kept[draw(weights, self._rng)])

    def weights(self, values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(indices of the logits that may be drawn, the likeliest first; their probabilities)."""
        options, kept = self.options, np.arange(len(values))
        if 0 < options.top_k < len(values):
            kept = best_few(values, options.top_k)
        kept = kept[np.argsort(-values[kept], kind="stable")]
        probabilities = softmax(values[kept])
        count = len(kept)
        if options.top_p < 1:
            count = int(np.searchsorted(probabilities.cumsum(), options.top_p)) + 1
        if options.min_p > 0:
            count = min(count, int((probabilities >= options.min_p * probabilities[0]).sum()))
        kept = kept[: max(1, count)]
        return kept, softmax(values[kept] / options.temperature)


def best(logits: np.ndarray) -> int:
    """The likeliest token. Raises NoNumbersError: numpy takes a NaN for the largest, so one look at that tells."""
    token = int(logits.argmax())
    if not math.isfinite(logits.item(token)):
        raise NoNumbersError
    return token


def log_softmax(values: np.ndarray) -> np.ndarray:
    shifted = values - values.max()
    logarithms: np.ndarray = shifted - math.log(float(np.exp(shifted).sum(dtype=np.float64)))
    return logarithms


def softmax(values: np.ndarray) -> np.ndarray:
    values = values.astype(np.float64)
    powers = np.exp(values - values.max())
    total: np.ndarray = powers / powers.sum()
    return total


def draw(probabilities: np.ndarray, rng: np.random.Generator) -> int:
    """Index drawn with these probabilities."""
    at = int(np.searchsorted(probabilities.cumsum(), rng.random(), side="right"))
    return min(at, len(probabilities) - 1)


def best_few(logits: np.ndarray, count: int) -> np.ndarray:
    """The `count` likeliest tokens, in no order."""
    if count >= len(logits):
        return np.arange(len(logits))
    tokens: np.ndarray = np.argpartition(logits, len(logits) - count)[len(logits) - count :]
    return tokens
