"""What a pixel itself says, added to what its neighbours say of it.

A blind-spot network never sees the value it guesses. Where it misses more than the noise explains,
as in fine texture, the measured value knows better.

Source: Laine, Karras, Lehtinen, Aila, "High-Quality Self-Supervised Deep Image Denoising", NeurIPS
2019 (posterior mean; the spread of the guess is measured here instead of learned).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage

Array = np.ndarray[Any, np.dtype[Any]]

REACH = 8.0  # pixels, σ of the window in which the error of the guesses is measured
NOISE_ALONE = 0.2  # of the picture has no more error than its noise, or the noise level is too low


def posterior_mean(guess: Array, noisy: Array, noise_std: float) -> Array:
    """Return the mean of guess and measurement, weighed by their variances.

    Args:
        guess: float32 H×W×C, made without the noise of the pixel in question.
        noisy: H×W×C with white noise.
        noise_std: of the noise, above 0.
    """
    missed = ndimage.gaussian_filter((noisy - guess) ** 2, (REACH, REACH, 0))
    missed = missed.mean(axis=2, keepdims=True)
    noise = max(noise_std**2, float(np.quantile(missed, NOISE_ALONE)))
    weight = 1 - noise / np.maximum(missed, noise)
    mean: Array = (guess + weight * (noisy - guess)).astype(np.float32)
    return mean
