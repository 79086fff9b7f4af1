"""What held-out values say about two estimates: how much of each to take."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

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


def weight_map(truth: Array, start: Array, fit: Array, held: Array, reach: float) -> Array:
    """Return the weight 0–1 of the fit for each region, H×W×1.

    It is that of `best_weight`, but held-out values count by their distance, and as many as there
    are nearby stand for the weight of the whole picture.

    Args:
        truth: H×W×C.
        start: H×W×C.
        fit: H×W×C.
        held: bool H×W, where `truth` was held out.
        reach: standard deviation of the distance, in pixels.
    """
    whole = best_weight(truth[held], start[held], fit[held])
    change = np.where(held[:, :, None], fit - start, 0).astype(np.float64)
    gain = ((truth - start) * change).sum(axis=2)
    energy = (change**2).sum(axis=2)
    usual = float(energy.mean())
    if usual == 0:
        return np.full((*held.shape, 1), whole, np.float32)
    near_gain, near_energy = (ndimage.gaussian_filter(v, reach) for v in (gain, energy))
    weight = (near_gain + usual * whole) / (near_energy + usual)
    weight = weight.clip(0, 1).astype(np.float32)
    return np.asarray(weight[:, :, None])
