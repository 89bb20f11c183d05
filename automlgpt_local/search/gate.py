"""Is a gain real? Two models on the same folds, with the variance that overlapping training sets hide put back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


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
