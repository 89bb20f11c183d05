"""What a decision makes of probabilities. {} or None: nothing; else one of multipliers, temperature, cuts.

`search.decision` finds them, `artifacts` apply them, and the exporter copies the source of `adjust`: it stands alone.
"""

from __future__ import annotations

from typing import Any

import numpy as np


def adjust(probability: np.ndarray, decision: dict[str, Any] | None) -> np.ndarray:
    """Probabilities (n_rows, n_classes) after a decision: their argmax is the decided class."""
    if not decision:
        return probability
    if "multipliers" in decision:
        probability = probability * np.asarray(decision["multipliers"])
    elif "temperature" in decision:
        probability = np.clip(probability, 1e-15, None) ** (1 / decision["temperature"])
    elif "cuts" in decision:
        expected = probability @ np.arange(probability.shape[1])
        probability = probability + np.eye(probability.shape[1])[np.searchsorted(decision["cuts"], expected)]
    else:
        raise ValueError(f"unknown decision: {sorted(decision)}")
    return probability / probability.sum(axis=1, keepdims=True)
