"""Is a gain real? Two models on the same folds, with the variance that overlapping training sets hide put back."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# After this many folds an attempt is left when its error is above the best one's by this factor and by more than
# this many standard errors of the best: even in an ensemble it would not count.
PRUNE_AFTER_FOLDS = 2
HOPELESS_FACTOR = 1.25
HOPELESS_NOISE = 3.0


@dataclass(frozen=True)
class Gain:
    """`gain`: mean fall of the loss over the folds; `noise`: its standard error; `kept`: more than noise."""

    gain: float
    noise: float
    kept: bool


def compare(
    fold_losses_new: Sequence[float],
    fold_losses_old: Sequence[float],
    strictness: float = 1.0,
    folds_of_a_cut: int | None = None,
) -> Gain:
    """Compare the folds that both have, in order; keep the new model when gain > strictness * noise.

    The standard error is that of Nadeau and Bengio (2003): sqrt((1 / n + test / train) * variance) over n folds, where
    a cut into k folds has test / train = 1 / (k - 1); k is n, unless the rows were cut several times. One fold alone
    tells nothing of noise (infinite), so nothing is kept by it.
    """
    differences = [old - new for new, old in zip(fold_losses_new, fold_losses_old)]
    n = len(differences)
    if n == 0:
        return Gain(0.0, math.inf, False)
    gain = math.fsum(differences) / n
    if n == 1:
        return Gain(gain, math.inf, False)
    variance = math.fsum((d - gain) ** 2 for d in differences) / (n - 1)
    k = max(2, min(n, folds_of_a_cut or n))
    noise = math.sqrt((1 / n + 1 / (k - 1)) * variance)
    return Gain(gain, noise, gain > strictness * noise and gain > 0)


def hopeless(losses: Mapping[int, float], best: Mapping[int, float], noise: float, least: float) -> bool:
    """Is a model so far much worse than the best one? Fold -> loss of each; `noise`: the best one's standard error.

    least: what turns a loss, which may be a negated score, into an error above zero.
    """
    both = losses.keys() & best.keys()
    if len(both) < PRUNE_AFTER_FOLDS:
        return False
    error = least + math.fsum(losses[k] for k in both) / len(both)
    best_error = least + math.fsum(best[k] for k in both) / len(both)
    return error > HOPELESS_FACTOR * best_error + HOPELESS_NOISE * noise
