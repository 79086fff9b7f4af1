"""A probe in the noise: which of two estimates is nearer to the truth, without knowing it.

A known pattern, much weaker than the noise, is added to the picture before anything is estimated.
As much of it as comes back in an estimate comes back of the noise: that is the divergence which
Stein's unbiased estimate of the risk (Stein 1981) asks for. Ramani, Blu and Unser ("Monte-Carlo
SURE", 2008) probe a denoiser with a second run; the pattern rides along in the only one, so that
even a whole fit can be judged.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from dip_engine.tiling import Tile

Array = np.ndarray[Any, np.dtype[Any]]

STRENGTH = 0.1  # of the noise, in a picture of 256×256 pixels; it adds 0.5 % to the noise
USUAL_SIZE = 256 * 256
INNER = 2.0  # levels of the noise from the ends of the scale: nearer, clipping changes the noise
ENOUGH = 0.1  # of the pixels


@dataclass(frozen=True, slots=True)
class Probe:
    """A pattern that was added to a noisy picture.

    Attributes:
        pattern: H×W×C, +a or −a, and 0 where the picture is clipped; for an area of 256×256 pixels
            a is a tenth of the noise, for more less.
        noise_std: of the noise without it.
    """

    pattern: Array
    noise_std: float

    @classmethod
    def make(cls, pixels: Array, noise_std: float, seed: int) -> Probe:
        """Make one for a picture H×W×C; what was clipped, exactly 0 or 1, stays as it is.

        Each picture has its own, or the frames of a clip would share what their noise does not.
        """
        size = max(USUAL_SIZE, pixels.shape[0] * pixels.shape[1])
        level = STRENGTH * noise_std * (USUAL_SIZE / size) ** 0.25
        random = np.random.default_rng([seed, zlib.crc32(pixels.tobytes())])
        positive = random.random(pixels.shape) < 0.5
        pattern = np.where(positive, level, -level).astype(np.float32)
        pattern[(pixels == 0) | (pixels == 1)] = 0
        return cls(pattern, noise_std)

    def cut(self, tile: Tile) -> Probe:
        """Return the part that lies in a tile."""
        return Probe(tile.cut(self.pattern), self.noise_std)

    def weigh(
        self,
        noisy: Array,
        start: Array,
        fit: Array,
        *,
        trusted: Array | None = None,
        through: Callable[[Array], Array] = lambda pattern: pattern,
    ) -> float:
        """Return the weight 0–1 of the fit at which its average with the start errs least.

        With the distance D = ‖fit − start‖² and the excess X of the fit's squared error over that
        of the start, it is (D − X) / 2D; X is taken one standard error greater than it is measured.

        Args:
            noisy: H×W×C with white noise and the probe, of which both estimates were made; and what
                was done to it since.
            start: H×W×C, an estimate of what `noisy` is without noise.
            fit: H×W×C, another.
            trusted: bool H×W×C, what counts; all by default.
            through: what was done to `noisy` since, linear.
        """
        chosen = slice(None) if trusted is None else trusted
        power = float(np.mean(self.pattern[chosen].astype(np.float64) ** 2))
        if power == 0:
            return 0.0
        noise_to_probe = (self.noise_std**2 + power) / power
        noisy, probe, start, fit = (
            values[chosen].astype(np.float64)
            for values in (noisy, through(self.pattern), start, fit)
        )
        change = fit - start
        distance = float(np.mean(change**2))
        if distance == 0:
            return 0.0
        seen = float(np.mean((noisy - fit) ** 2) - np.mean((noisy - start) ** 2))
        excess = seen + 2 * noise_to_probe * float(np.mean(probe * change))
        error = 2 * noise_to_probe * float(np.sqrt(distance * np.mean(probe**2) / change.size))
        return min(1.0, max(0.0, (distance - excess - error) / (2 * distance)))


def not_clipped(noisy: Array, estimate: Array, noise_std: float) -> Array:
    """Return where the noise is as it was added, bool H×W×C; all, if that is hardly anywhere."""
    everywhere = np.ones(estimate.shape, bool)
    if noisy.min() < 0 or noisy.max() > 1:
        return everywhere
    inner: Array = np.abs(estimate - 0.5) < 0.5 - INNER * noise_std
    return inner if inner.mean() >= ENOUGH else everywhere
