"""A probe in the noise: which of two estimates is nearer to the truth, without knowing it.

A known pattern, much weaker than the noise, is added to the picture before anything is estimated.
As much of it as comes back in an estimate comes back of the noise: that is the divergence which
Stein's unbiased estimate of the risk (Stein 1981) asks for. Ramani, Blu and Unser ("Monte-Carlo
SURE", 2008) probe a denoiser with a second run; the pattern rides along in the only one, so that
even a whole fit can be judged.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

STRENGTH = 0.1  # of the noise, in a picture of 256×256 pixels; it adds 0.5 % to the noise
USUAL_SIZE = 256 * 256
INNER = 2.0  # levels of the noise from the ends of the scale: nearer, clipping changes the noise
ENOUGH = 0.1  # of the pixels


def make_probe(shape: tuple[int, int, int], noise_std: float, seed: int) -> Array:
    """Return a pattern of +a and −a for a picture H×W×C; weaker in a larger picture."""
    level = STRENGTH * noise_std * (USUAL_SIZE / max(USUAL_SIZE, shape[0] * shape[1])) ** 0.25
    signs = np.random.default_rng(seed).integers(0, 2, shape, dtype=np.int8) * 2 - 1
    return np.float32(level) * signs.astype(np.float32)


def weigh(noisy: Array, probe: Array, noise_std: float, start: Array, fit: Array) -> float:
    """Return the weight 0–1 of the fit at which its average with the start errs least.

    With the distance D = ‖fit − start‖² and the excess X of the fit's squared error over that of
    the start, it is (D − X) / 2D; X is taken one standard error greater than it is measured.

    Args:
        noisy: H×W×C with white noise and the probe, of which both estimates were made.
        probe: H×W×C, as it was added.
        noise_std: of the noise without the probe.
        start: H×W×C.
        fit: H×W×C.
    """
    trusted = _not_clipped(noisy - probe, start, noise_std)
    noisy, probe, start, fit = (
        values[trusted].astype(np.float64) for values in (noisy, probe, start, fit)
    )
    change = fit - start
    distance = float(np.mean(change**2))
    if distance == 0:
        return 0.0
    power = float(np.mean(probe**2))
    variance = noise_std**2 + power
    seen = float(np.mean((noisy - fit) ** 2) - np.mean((noisy - start) ** 2))
    excess = seen + 2 * variance * float(np.mean(probe * change)) / power
    error = 2 * variance * float(np.sqrt(distance / power / change.size))
    return min(1.0, max(0.0, (distance - excess - error) / (2 * distance)))


def _not_clipped(measured: Array, start: Array, noise_std: float) -> Array:
    """Return where the noise is as it was added, bool H×W×C; all, if that is hardly anywhere."""
    rounding = 1e-6
    everywhere = np.ones(start.shape, bool)
    if measured.min() < -rounding or measured.max() > 1 + rounding:
        return everywhere
    inner: Array = np.abs(start - 0.5) < 0.5 - INNER * noise_std
    return inner if inner.mean() >= ENOUGH else everywhere
