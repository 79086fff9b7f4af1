"""What held-out values say about two estimates: how much of each to take."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import ndimage

Array = np.ndarray[Any, np.dtype[Any]]

_PRIOR = 0.25


def best_weight(truth: Array, start: Array, fit: Array) -> float:
    """Return the weight 0–1 of the fit that predicts held-out values best (least squares).

    The gain is taken one standard error smaller than it is seen, so that chance does not count.

    Args:
        truth: n×C held-out values.
        start: n×C.
        fit: n×C.
    """
    if truth.size == 0:
        return 1.0
    change = (fit - start).astype(np.float64)
    gain = ((truth - start) * change).sum(axis=1)
    energy = float((change**2).sum())
    if energy == 0:
        return 0.0
    sure = float(gain.sum() - np.sqrt((gain**2).sum()))
    return min(1.0, max(0.0, sure / energy))


def weight_map(truth: Array, start: Array, fit: Array, held: Array, reach: float) -> Array:
    """Return the weight 0–1 of the fit for each region, H×W×1.

    It is that of `best_weight`, but held-out values count by their distance, and a quarter of what
    a region has on average stands for the weight of the whole picture.

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
    usual = _PRIOR * float(energy.mean())
    if usual == 0:
        return np.full((*held.shape, 1), whole, np.float32)
    near_gain, near_energy = (ndimage.gaussian_filter(v, reach) for v in (gain, energy))
    # The square of a Gaussian is a narrower one.
    squares = ndimage.gaussian_filter(gain**2, reach / math.sqrt(2)) / (4 * math.pi * reach**2)
    sure = near_gain - np.sqrt(squares)
    weight = (sure + usual * whole) / (near_energy + usual)
    weight = weight.clip(0, 1).astype(np.float32)
    return np.asarray(weight[:, :, None])
