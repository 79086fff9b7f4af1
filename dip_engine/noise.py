"""How noisy is a picture, is its noise white, and what has clipping done to it?

The level follows the idea of Ponomarenko and others (2007): noise is white, texture is not. Patches
with little energy in the low frequencies of their cosine transform are taken to be flat, and the
high frequencies of just these patches are taken to be noise; for white noise the choice by low
frequencies tells nothing about the high ones, so it does not bias them. What clipping to 0–1 took
from the noise is given back by the variance of a clipped normal distribution.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch

from dip_engine.group_filters import cosine_basis

_PATCH = 8  # pixels
_MOST_PATCHES = 60_000  # per channel; more add time, not precision
_FLAT_PATCHES = 0.1  # of the patches are taken to be flat
_LOW, _HIGH = 5, 8  # sums of the two frequencies: up to _LOW is texture, from _HIGH on is noise
_CLEAR = 2.5  # standard deviations between a patch's mean and the ends of the scale
_MARGIN = 0.1  # distance from the ends of the scale while the noise is unknown
_QUANTUM = 4 / 255  # nearer to the ends than this a patch is taken to be saturated

_BLOCK = 16  # pixels
_FLAT_BLOCKS = 0.03  # of the blocks, in which the correlation of neighbours is measured
_CORRELATION = 0.45  # of neighbours, from which on noise is not white
_ALIKE = 0.5  # variance of the mean of three channels to theirs; a third where each errs by itself
_STRONG_NOISE = 11 / 255  # drowns the texture of flat blocks: there,
_STRONG_CORRELATION = 0.2  # this much is enough


@dataclass(frozen=True)
class Noise:
    """The noise of a picture.

    Attributes:
        std: its standard deviation on the 0–1 scale, before clipping; 0 for a flat picture.
        kind: `white` if neighbouring pixels err independently, `correlated` if they err alike,
            as after demosaicking, JPEG compression or resizing.
        alike: the channels of a pixel err alike, as in a JPEG whose colour is subsampled.
    """

    std: float
    kind: Literal["white", "correlated"]
    alike: bool = False

    @property
    def independent(self) -> bool:
        """True if each value errs by itself, as a probe needs it."""
        return self.kind == "white" and not self.alike


def estimate_noise(pixels: torch.Tensor) -> Noise:
    """Estimate the noise of a picture, the mean over its channels.

    Args:
        pixels: C×H×W floats, 0–1, of any size, on any device.
    """
    channels = pixels.detach().to("cpu", torch.float32)
    clipped = bool(channels.min() >= 0) and bool(channels.max() <= 1)
    flat = [_flat_blocks(channel) for channel in channels]
    flat_std = math.sqrt(sum(variance for variance, _ in flat) / len(flat))
    correlation = sum(covariance for _, covariance in flat) / max(
        sum(variance for variance, _ in flat), 1e-12
    )
    alike = _err_alike(channels)
    limit = _STRONG_CORRELATION if flat_std > _STRONG_NOISE else _CORRELATION
    if correlation > limit:
        return Noise(flat_std, "correlated", alike)
    variances = [_white_variance(channel, clipped) for channel in channels]
    return Noise(math.sqrt(sum(variances) / len(variances)), "white", alike)


def _err_alike(channels: torch.Tensor) -> bool:
    """Tell whether the noise of a picture C×H×W is mostly gray."""
    if len(channels) == 1 or min(channels.shape[1:]) < 3:
        return False
    detail = channels.diff(n=2, dim=1).diff(n=2, dim=2)  # slopes go, noise stays
    flat = detail.square().mean(0).flatten()
    flat = flat <= flat.median()
    gray, each = detail.mean(0).flatten()[flat], detail.flatten(1)[:, flat]
    return float(gray.square().mean()) > _ALIKE * float(each.square().mean())


def _white_variance(channel: torch.Tensor, clipped: bool) -> float:
    """Return the variance of the white noise of a plane H×W."""
    height, width = channel.shape
    size = min(_PATCH, height, width)
    if size < 3:
        return 0.0
    stride = max(1, math.isqrt(height * width // _MOST_PATCHES))
    patches = channel.unfold(0, size, stride).unfold(1, size, stride).reshape(-1, size, size)
    means = patches.mean((1, 2))
    basis = cosine_basis(size, patches)
    power = (basis @ (patches - means[:, None, None]) @ basis.t()).square()
    order = torch.arange(size)[:, None] + torch.arange(size)
    texture = power[:, (order > 0) & (order <= _LOW * size // _PATCH)].sum(1)
    noise = power[:, order >= _HIGH * size // _PATCH].mean(1)

    if not clipped:
        return _over_flat(texture, noise, _FLAT_PATCHES)
    # Near the ends of the scale the noise is cut off: those patches wait outside, if others remain.
    distance = torch.minimum(means, 1 - means)
    enough = float(distance.topk(max(1, len(distance) // 10)).values[-1])
    limit, variance = _MARGIN, 0.0
    for _ in range(4):
        inside = distance >= min(enough, limit)
        # The energy of a patch of much clipped noise is nearly fixed, so that little of it in the
        # low frequencies is more in the high ones: a wider choice, which such noise allows.
        share = min(0.5, _FLAT_PATCHES + 3 * variance)
        seen = _over_flat(texture[inside], noise[inside], share)
        variance = _unclipped(seen, means[inside])
        limit = max(_CLEAR * math.sqrt(variance), _QUANTUM)
    return variance


def _over_flat(texture: torch.Tensor, noise: torch.Tensor, share: float) -> float:
    """Return the mean of `noise` over the share of the patches that has the least texture."""
    count = max(1, math.ceil(len(texture) * share))
    return float(noise[texture.topk(count, largest=False).indices].mean())


def _unclipped(seen: float, means: torch.Tensor) -> float:
    """Return the variance that noise had before clipping to 0–1 left `seen` around `means`."""
    some = means[:: max(1, len(means) // 4000)]
    variance = seen
    for _ in range(8):
        std = max(math.sqrt(variance), 1e-6)
        left = float(_clipped_moments(_before_clipping(some, std), std)[1].mean()) / std**2
        variance = seen / max(left, 0.2)
    return variance


def undo_clipping(estimate: torch.Tensor, noisy: torch.Tensor, noise_std: float) -> torch.Tensor:
    """Undo the bias that clipping gives to every denoiser.

    Noise that was clipped to 0–1 no longer has mean zero: black with noise is gray on average, and
    this average is what a denoiser finds. The mean of a clipped normal distribution is inverted
    (the idea of Foi, 2009), at each end of the scale only if `noisy` has about as many pixels
    there as clipping would leave.

    Args:
        estimate: C×H×W, 0–1, denoised.
        noisy: C×H×W, 0–1, what it was denoised from.
        noise_std: standard deviation of the noise before clipping, on the 0–1 scale.

    Returns:
        The estimate without the bias, of the same shape.
    """
    level = _before_clipping(estimate, noise_std)
    for end in (0, 1):
        half = (level < 0.5) if end == 0 else (level >= 0.5)
        expected = torch.special.ndtr(-(level - end).abs() / noise_std)[half].sum()
        trusted = (noisy == end).sum() >= 0.5 * expected
        level = torch.where(half & ~trusted, estimate, level)
    return level


def _before_clipping(mean: torch.Tensor, std: float) -> torch.Tensor:
    """Return the level 0–1 around which noise, once clipped, has the given mean."""
    levels = torch.linspace(0, 1, 1025, device=mean.device)
    means = _clipped_moments(levels, std)[0]
    after = torch.searchsorted(means, mean.contiguous()).clamp(1, 1024)
    low, high = means[after - 1], means[after]
    part = ((mean - low) / (high - low).clamp(min=1e-9)).clamp(0, 1)
    return levels[after - 1] + part / 1024


def _clipped_moments(level: torch.Tensor, std: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and variance of normal noise around `level` after clipping to 0–1."""
    low, high = -level / std, (1 - level) / std
    below, above = torch.special.ndtr(low), torch.special.ndtr(-high)
    at_low, at_high = _normal(low), _normal(high)
    first = at_low - at_high + low * below + high * above
    second = 1 - below - above + low * at_low - high * at_high
    second = second + low.square() * below + high.square() * above
    return level + std * first, std**2 * (second - first.square())


def _normal(places: torch.Tensor) -> torch.Tensor:
    """Return the density of the standard normal distribution."""
    return torch.exp(-places.square() / 2) / math.sqrt(2 * math.pi)


def _flat_blocks(channel: torch.Tensor) -> tuple[float, float]:
    """Return the variance in the flattest blocks of a plane and the covariance of neighbours."""
    size = min(_BLOCK, *channel.shape)
    if size < 3:
        return 0.0, 0.0
    blocks = channel.unfold(0, size, size).unfold(1, size, size).reshape(-1, size, size)
    means = blocks.mean((1, 2))
    middle = (means > _MARGIN) & (means < 1 - _MARGIN)
    if int(middle.sum()) >= 4:
        blocks, means = blocks[middle], means[middle]
    ramp = torch.arange(size) - (size - 1) / 2
    ramp = ramp / ramp.norm() / math.sqrt(size)
    rest = blocks - means[:, None, None]
    for slope in (ramp[:, None].expand(size, size), ramp.expand(size, size)):
        rest = rest - (rest * slope).sum((1, 2), keepdim=True) * slope
    count = min(len(rest), max(4, math.ceil(len(rest) * _FLAT_BLOCKS)))
    flattest = rest[rest.square().sum((1, 2)).topk(count, largest=False).indices]
    down = (flattest[:, 1:] * flattest[:, :-1]).mean()
    across = (flattest[:, :, 1:] * flattest[:, :, :-1]).mean()
    return float(flattest.square().mean()), float((down + across) / 2)
