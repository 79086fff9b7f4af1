"""What held-out values say about two estimates: how much of each to take."""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


def best_weight(truth: Array, start: Array, fit: Array) -> float:
    """Return the weight 0–1 of the fit that predicts held-out values best (least squares)."""
    if truth.size == 0:
        return 1.0
    change = (fit - start).astype(np.float64)
    gain = float(((truth - start) * change).sum())
    energy = float((change**2).sum())
    if energy == 0:
        return 0.0
    return min(1.0, max(0.0, gain / energy))
