"""A probe in the noise: which of two estimates is nearer to the truth, without knowing it.

A known pattern, much weaker than the noise, is added to the picture before anything is estimated.
As much of it as comes back in an estimate comes back of the noise: that is the divergence which
Stein's unbiased estimate of the risk (Stein 1981) asks for. Ramani, Blu and Unser ("Monte-Carlo
SURE", 2008) probe a denoiser with a second run; the pattern rides along in the only one, so that
even a whole fit can be judged.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dip_engine.tiling import Tile

Array = np.ndarray[Any, np.dtype[Any]]

STRENGTH = 0.1  # of the noise, in a tile of 256×256 pixels; it adds 0.5 % to the noise
USUAL_SIZE = 256 * 256
INNER = 2.0  # levels of the noise from the ends of the scale: nearer, clipping changes the noise


@dataclass(frozen=True, slots=True)
class Probe:
    """A pattern that was added to a noisy picture.

    Attributes:
        signs: int8 H×W×C, +1 or −1, and 0 where the picture is clipped.
        level: of the pattern, which is ``level * signs``.
        noise_std: of the noise without it.
    """

    signs: Array
    level: float
    noise_std: float

    @classmethod
    def make(cls, pixels: Array, noise_std: float, seed: int, tile_size: int) -> Probe:
        """Make one for a picture H×W×C; what was clipped, exactly 0 or 1, stays as it is.

        Each picture has its own, or the frames of a clip would share what their noise does not.

        Args:
            pixels: the picture.
            noise_std: of its noise, which must be white.
            seed: of the signs.
            tile_size: pixels that are weighed together; the more there are, the weaker a pattern
                will do.
        """
        level = STRENGTH * noise_std * (USUAL_SIZE / max(USUAL_SIZE, tile_size)) ** 0.25
        content = zlib.crc32(np.ascontiguousarray(pixels).data)
        random = np.random.default_rng([seed, content])
        signs = 2 * random.integers(0, 2, pixels.shape, np.int8) - 1
        signs[(pixels == 0) | (pixels == 1)] = 0
        return cls(signs, level, noise_std)

    @property
    def pattern(self) -> Array:
        """What was added, float32 H×W×C."""
        pattern: Array = np.float32(self.level) * self.signs
        return pattern

    @property
    def noise_to_probe(self) -> float:
        """How much of the noise comes with so much of the probe, as variances."""
        return (self.noise_std**2 + self.level**2) / self.level**2

    def cut(self, tile: Tile) -> Probe:
        """Return the part that lies in a tile."""
        return replace(self, signs=tile.cut(self.signs))

    def weigh(
        self,
        noisy: Array,
        start: Array,
        fit: Array,
        *,
        usual: float,
        trusted: Array | None = None,
        through: Callable[[Array], Array] = lambda pattern: pattern,
    ) -> float:
        """Return the weight 0–1 of the fit at which its average with the start errs least.

        With the distance D = ‖fit − start‖² and the excess X of the fit's squared error over that
        of the start, it is (D − X) / 2D, as far as that can be told: in a small picture, or where
        both are alike, chance has a part in X. What is returned is the mean of the weights that go
        with what was measured, if small ones are usual and great ones rare (an exponential prior).

        Args:
            noisy: H×W×C with white noise and the probe, of which both estimates were made; and what
                was done to it since.
            start: H×W×C, an estimate of what `noisy` is without noise.
            fit: H×W×C, another.
            usual: the weight without a measurement, the mean of many such fits.
            trusted: bool H×W×C, what counts; all by default.
            through: what was done to `noisy` since, linear.
        """
        chosen = slice(None) if trusted is None else trusted
        noisy, probe, start, fit = (
            values[chosen].astype(np.float64)
            for values in (noisy, through(self.pattern), start, fit)
        )
        change = fit - start
        distance = float(np.mean(change**2)) if change.size else 0.0
        if distance == 0 or self.level == 0:
            return usual
        noise_to_probe = self.noise_to_probe
        seen = float(np.mean((noisy - fit) ** 2) - np.mean((noisy - start) ** 2))
        excess = seen + 2 * noise_to_probe * float(np.mean(probe * change))
        measured = (distance - excess) / (2 * distance)
        variance = noise_to_probe**2 * float(np.mean(probe**2)) / (distance * change.size)
        return _expected(measured, math.sqrt(variance), usual)


def _expected(measured: float, error: float, usual: float) -> float:
    """Return the mean weight if its density is exp(−w/usual − (w−measured)²/2error²), w in 0–1."""
    if usual <= 0:
        return 0.0
    weights = np.linspace(0, 1, 1001)
    likely = -weights / usual - (weights - measured) ** 2 / (2 * max(error, 1e-3) ** 2)
    return float(np.average(weights, weights=np.exp(likely - likely.max())))


def not_clipped(noisy: Array, estimate: Array, noise_std: float) -> Array:
    """Return where the noise of a picture is as it was added, bool H×W×C."""
    if noisy.min() < 0 or noisy.max() > 1:
        return np.ones(estimate.shape, bool)
    inner: Array = np.abs(estimate - 0.5) < 0.5 - INNER * noise_std
    return inner
