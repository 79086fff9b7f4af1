"""Noise that grows with the light: counted photons, and the electronics' own noise on top.

A pixel of value x has the variance gain · x + std². The generalised Anscombe transform makes the
variance the same everywhere, so that what is made for Gaussian noise fits: squared differences are
then the right data term. Its inverse is the unbiased one.

Values below 0 are no counts: they come from the electronics' noise, or from a sky that was
subtracted and left its noise. A subtracted sky of the value b is as good as a std of √(gain · b).
What is so far below 0 that it cannot be told from no light at all is clipped, inside the transform
only.

Sources: Murtagh, Starck, Bijaoui 1995 (the transform); Mäkitalo and Foi, "Optimal inversion of the
generalized Anscombe transformation for Poisson-Gaussian noise", IEEE TIP 2013 (the inverse); Foi,
Trimeche, Katkovnik, Egiazarian 2008 (reading both numbers off a picture).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from dip_engine.job import Settings

Array = np.ndarray[Any, np.dtype[Any]]

_PATCH = 8  # pixels
_BINS = 16  # of brightness
_FLATTEST = 0.1  # of the patches of a bin show the noise alone
_FEWEST = 8  # patches in a bin
_MARGIN = 0.05  # of the scale after the transform: no count at all is no clipped value


@dataclass(frozen=True, slots=True)
class Stabiliser:
    """The transform for one noise, scaled so that values 0–1 become values 0–1.

    Attributes:
        gain: variance per value, 1 / photons of a pixel of value 1.
        std: of the noise that does not depend on the light, 0–1.
    """

    gain: float
    std: float

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise after `forward`, the same everywhere."""
        return 1.0 / self._width

    def forward(self, pixels: Array) -> Array:
        """Return pixels whose noise has one level; values may be negative, see above."""
        stable: Array = ((self._raw(pixels) - self._low) / self._width).astype(np.float32)
        return stable

    def inverse(self, stable: Array) -> Array:
        """Return the pixels of which `forward` has this mean: from −std² / gain up to 1."""
        root = np.maximum(stable * self._width + self._low, 2 * np.sqrt(3 / 8)).astype(np.float64)
        photons = (
            root**2 / 4
            + np.sqrt(1.5) / 4 / root
            - 11 / 8 / root**2
            + 5 * np.sqrt(1.5) / 8 / root**3
            - 1 / 8
            - (self.std / self.gain) ** 2
        )
        pixels: Array = np.minimum(self.gain * photons, 1).astype(np.float32)
        return pixels

    def _raw(self, pixels: Array) -> Array:
        photons = pixels / self.gain
        inside = photons + 3 / 8 + (self.std / self.gain) ** 2
        root: Array = 2 * np.sqrt(np.maximum(inside, 0))
        return root

    @property
    def _low(self) -> float:
        bottom, top = (float(self._raw(np.full(1, end))[0]) for end in (0.0, 1.0))
        return bottom - _MARGIN * (top - bottom)

    @property
    def _width(self) -> float:
        return float(self._raw(np.ones(1))[0]) - self._low


def stabiliser_for(pixels: Array, settings: Settings) -> Stabiliser:
    """Return the transform for a picture: what the settings do not tell is estimated."""
    if settings.photons is not None:
        gain, std = 1 / settings.photons, settings.noise_std
        if std is None:  # only negative values tell that there is any
            std = estimate_rest(pixels, gain) if pixels.min() < 0 else 0.0
        return Stabiliser(gain, std)
    return Stabiliser(*estimate_gain(pixels, settings.noise_std))


def estimate_rest(pixels: Array, gain: float) -> float:
    """Return the std of the noise that does not depend on the light, H×W×C, for a known gain."""
    means, variances = _flat_patches(pixels)
    weights = 1 / np.maximum(variances, 1e-8) ** 2
    rest = float((weights * (variances - gain * means)).sum() / weights.sum())
    return float(np.sqrt(max(0.0, rest)))


def estimate_gain(pixels: Array, noise_std: float | None) -> tuple[float, float]:
    """Return gain and std of Poisson-Gaussian noise, read off flat patches of many brightnesses.

    Args:
        pixels: float32 H×W×C, up to 1.
        noise_std: the std, if it is known.
    """
    means, variances = _flat_patches(pixels)
    lines = np.stack([means, np.ones_like(means)], axis=1)
    # Var ∝ value², so a relative error of the variance weighs the same in each bin.
    weights = 1 / np.maximum(variances, 1e-8)
    if noise_std is not None:
        rest = np.maximum(variances - noise_std**2, 0)
        slope = float((weights**2 * means * rest).sum() / (weights**2 * means**2).sum())
        return max(slope, 1e-7), noise_std
    solution = np.linalg.lstsq(lines * weights[:, None], variances * weights, rcond=None)[0]
    slope, offset = float(solution[0]), float(solution[1])
    if offset < 0:
        slope, offset = float((weights**2 * means * variances).sum()), 0.0
        slope /= float((weights**2 * means**2).sum())
    return max(slope, 1e-7), float(np.sqrt(offset))


def _flat_patches(pixels: Array) -> tuple[Array, Array]:
    """Return brightness and variance of the noise in flat patches, one pair per bin."""
    height, width = (n // _PATCH * _PATCH for n in pixels.shape[:2])
    blocks = pixels[:height, :width].reshape(
        height // _PATCH, _PATCH, width // _PATCH, _PATCH, pixels.shape[2]
    )
    patches = blocks.transpose(0, 2, 4, 1, 3).reshape(-1, _PATCH, _PATCH).astype(np.float64)
    means = patches.mean(axis=(1, 2))
    # Differences of diagonal neighbours: slopes cancel, white noise keeps its variance.
    detail = (
        patches[:, 1:, 1:] - patches[:, 1:, :-1] - patches[:, :-1, 1:] + patches[:, :-1, :-1]
    ) / 2
    variances = (detail**2).mean(axis=(1, 2))
    dark = min(0.0, float(pixels.min()))  # where there are negative values, 0 is not the end
    usable = (patches.min(axis=(1, 2)) > dark) & (patches.max(axis=(1, 2)) < 1)
    if usable.sum() >= _FEWEST:  # else most of the picture is clipped, and has to do
        means, variances = means[usable], variances[usable]
    order = np.argsort(means)
    bins = max(1, min(_BINS, len(means) // _FEWEST))
    found = [
        (means[some].mean(), _flattest(variances[some]))
        for some in np.array_split(order, bins)
        if len(some)
    ]
    pairs = np.array(found or [(0.5, 1e-6)])
    return pairs[:, 0], pairs[:, 1]


def _flattest(variances: Array) -> float:
    """Return the noise's variance: the median of the flattest patches, without their bias."""
    count = max(1, round(_FLATTEST * 2 * len(variances)))
    return float(np.median(np.sort(variances)[:count]) / _bias())


@cache
def _bias() -> float:
    """Return how much too small that median is for noise alone."""
    noise = np.random.default_rng(0).normal(size=(20_000, _PATCH, _PATCH))
    detail = (noise[:, 1:, 1:] - noise[:, 1:, :-1] - noise[:, :-1, 1:] + noise[:, :-1, :-1]) / 2
    variances = np.sort((detail**2).mean(axis=(1, 2)))
    return float(np.median(variances[: round(_FLATTEST * 2 * len(variances))]))
