"""What held-out values say about two estimates: how much of each to take."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import ndimage

Array = np.ndarray[Any, np.dtype[Any]]

_PRIOR = 0.25
_PIECE = 3 / 8  # of the reach: over that distance neighbours err alike
_SURE = 2.0  # standard errors


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

    It is the least-squares weight of held-out values, which count by their distance; a quarter of
    what a region has on average stands for the weight of the whole picture. The gain is taken two
    standard errors smaller than it is seen. Values of one piece, such as a hidden letter, err
    alike: how far a value is off is told by those of other pieces, and the error of a sum is that
    of its pairs, which count by their distance. One piece alone is sure of little.

    Args:
        truth: H×W×C.
        start: H×W×C.
        fit: H×W×C.
        held: bool H×W, where `truth` was held out.
        reach: standard deviation of the distance, in pixels.
    """
    change = np.where(held[:, :, None], fit - start, 0).astype(np.float64)
    gain = ((truth - start) * change).sum(axis=2)
    energy = (change**2).sum(axis=2)
    usual = _PRIOR * float(energy.mean())
    if usual == 0:
        return np.zeros((*held.shape, 1), np.float32)
    piece = _PIECE * reach
    others = (gain.sum() - _around(gain, piece)) / energy.sum()
    pairs = _pairs(gain - others * energy, piece)
    whole = float((gain.sum() - _chance(pairs.sum())) / energy.sum())
    usual_gain = usual * min(1.0, max(0.0, whole))
    near_gain, near_energy = (ndimage.gaussian_filter(v, reach) for v in (gain, energy))
    own_gain, own_energy = (_own(v, reach, piece) for v in (gain, energy))
    others = (near_gain - own_gain + usual_gain) / (near_energy - own_energy + usual)
    pairs = _pairs(gain - others * energy, piece)
    # The square of a Gaussian is a narrower one.
    near_pairs = ndimage.gaussian_filter(pairs, reach / math.sqrt(2)) / (4 * math.pi * reach**2)
    weight = (near_gain - _chance(near_pairs) + usual_gain) / (near_energy + usual)
    weight = weight.clip(0, 1).astype(np.float32)
    return np.asarray(weight[:, :, None])


def _around(values: Array, reach: float) -> Array:
    """Return the sum of all values at each place, where they count by their distance."""
    return np.asarray(2 * math.pi * reach**2 * ndimage.gaussian_filter(values, reach))


def _own(values: Array, reach: float, piece: float) -> Array:
    """Return the part that values of the same piece have in `gaussian_filter` with a reach.

    They count 1 - (1 - p)² = 2p - p² there, p being the Gaussian of a piece with the peak 1; its
    products with that of the reach are narrower Gaussians.
    """
    own = np.zeros_like(values)
    for power, factor in ((1, 2), (2, -1)):
        narrow = (reach**-2 + power * piece**-2) ** -0.5
        own += factor * (narrow / reach) ** 2 * ndimage.gaussian_filter(values, narrow)
    return own


def _pairs(errors: Array, reach: float) -> Array:
    """Return each error times those around it."""
    return errors * _around(errors, reach)


def _chance(variance: Array) -> Array:
    """Return how much of a sum may be chance."""
    return np.asarray(_SURE * np.sqrt(np.maximum(variance, 0)))
