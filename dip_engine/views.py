"""What the network is shown in one iteration, and where its answer counts.

A `LatentView` is Deep Image Prior as published: fixed noise z (a little perturbed each time) in,
the whole picture out. A `BlindSpotView` shows the noisy picture itself with a part of its values
dropped; the answer counts only where the network could not look.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from dip_engine.networks import Generator, draw_latent, fit_latent
from dip_engine.presets import Recipe

DROPPED = 0.3

Window = tuple[slice, slice]  # rows, columns
WHOLE: Window = slice(None), slice(None)


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked at in one iteration, chosen by the host before the device works.

    Attributes:
        window: rows and columns of the picture.
        turn: in which of its eight orientations, 0–7; see `_turned`.
        given: 1×c×h×w, what the window holds, turned; None where it is always the same.
        clean: in pretraining.
    """

    window: Window = WHOLE
    turn: int = 0
    given: Tensor | None = None
    clean: bool = False


@dataclass(frozen=True, slots=True)
class Shot:
    """One answer of the network, turned as its look was.

    Attributes:
        picture: 1×C×h×w float32, or N×C×h×w of an ensemble.
        target: what it is compared with, like `picture`; None for y itself.
        counts: 1×C×h×w weight of each value in loss and average, or None for all.
    """

    picture: Tensor
    target: Tensor | None = None
    counts: Tensor | None = None

    def detached(self) -> Shot:
        """Return what the average needs, without gradient: one picture, the mean of all answers."""
        picture = self.picture.detach()
        if len(picture) > 1:
            picture = picture.mean(0, keepdim=True)
        return Shot(picture, counts=self.counts)

    def turned_back(self, turn: int) -> Shot:
        """Return it as its window lies in the picture."""
        counts = None if self.counts is None else _turned_back(self.counts, turn)
        return Shot(_turned_back(self.picture, turn), counts=counts)


class View(Protocol):
    """Draws what one iteration looks at."""

    def look(self) -> Look:
        """Choose what comes next."""
        ...

    def shoot(self, network: Generator, look: Look) -> Shot:
        """Run the network once on fresh random numbers, without asking the device for anything."""
        ...


class LatentView:
    """Deep Image Prior: z + fresh noise in, a picture out.

    Args:
        network: tells the size and number of channels of z.
        height, width: of the picture.
        recipe: `z_noise` and `grid`.
        cpu: generator of z itself, the same on every device.
        fresh: generator on the device, for the noise of each iteration.
        dtype: number format of the network.
        latent: 1×c×H×W, shown instead of noise; or None.
        start: 1×C×H×W; the network's answer is added to it (±1), or None.
    """

    def __init__(
        self,
        network: Generator,
        height: int,
        width: int,
        recipe: Recipe,
        *,
        cpu: torch.Generator,
        fresh: torch.Generator,
        dtype: torch.dtype,
        latent: Tensor | None = None,
        start: Tensor | None = None,
    ) -> None:
        padded = network.padded_size(height, width)
        if latent is None or latent.shape[1] != network.inputs:  # Deep Decoder takes noise alone
            z = draw_latent(network, *padded, cpu, grid=recipe.grid)
        else:
            z = fit_latent(network, latent, *padded)
        self.z = z.to(fresh.device, dtype).contiguous(memory_format=torch.channels_last)
        self.size = height, width
        self.z_noise = recipe.z_noise
        self.fresh = fresh
        self.start = start

    def look(self) -> Look:
        return Look()

    def shoot(self, network: Generator, look: Look) -> Shot:
        z = self.z
        if self.z_noise:
            z = z + self.z_noise * torch.empty_like(z).normal_(generator=self.fresh)
        height, width = self.size
        picture = network(z)[:, :, :height, :width]
        if self.start is not None:
            picture = self.start + (2 * picture - 1)
        return Shot(picture)


class BlindSpotView:
    """The noisy picture with 30 % of its values dropped, each channel for itself.

    In their place stands the mean of those neighbours that are there.

    The first looks may be at the classical start instead: of that any number of noisy versions can
    be made, and every value is known. Fine texture that takes a thousand looks at the noisy picture
    is learned in a hundred there, and what was wrong with the start is forgotten afterwards.

    Source of this: Zhang et al., "IDR: Self-Supervised Image Denoising via Iterative Data
    Refinement", CVPR 2022.

    Args:
        noisy: 1×C×H×W float32 on the device.
        crop: side of the random window of one iteration.
        cpu: generator of windows and orientations.
        fresh: generator on the noisy picture's device.
        dtype: number format of the network.
        start: like `noisy`, if there is to be pretraining.
        noise_std: of the noise that is added to the start.
        pretraining: number of looks at the start.
    """

    def __init__(
        self,
        noisy: Tensor,
        crop: int,
        *,
        cpu: torch.Generator,
        fresh: torch.Generator,
        dtype: torch.dtype,
        start: Tensor | None = None,
        noise_std: float = 0.0,
        pretraining: int = 0,
    ) -> None:
        self.mean = noisy.mean((2, 3), keepdim=True)
        self.noisy = noisy
        self.around, self.blur = _around().to(noisy), _gaussian().to(noisy)
        self.neighbours = neighbour_mean(noisy, torch.ones_like(noisy[:, :1]), self.around)
        self.start = noisy if start is None else start
        self.noise_std = noise_std
        self.pretraining = pretraining
        self.crop = crop
        self.cpu = cpu
        self.fresh = fresh
        self.dtype = dtype

    def look(self) -> Look:
        height, width = self.noisy.shape[-2:]
        window = self._side(height), self._side(width)
        turn = self._integer(0, 8)
        clean = self.pretraining > 0
        if clean:
            self.pretraining -= 1
        source = self.start if clean else self.noisy
        return Look(window, turn, _turned(source[(..., *window)], turn), clean)

    def shoot(self, network: Generator, look: Look) -> Shot:
        target = look.given
        assert target is not None
        # Without its mean, which would drive all weights alike, far larger steps stay stable.
        noisy = target - self.mean
        if look.clean:
            noisy = noisy + torch.empty_like(noisy).normal_(
                std=self.noise_std, generator=self.fresh
            )
        dropped = torch.rand(noisy.shape, generator=self.fresh, device=noisy.device) < DROPPED
        # Of kept values alone: from a mean that holds a dropped value, it could be worked out.
        around = neighbour_mean(noisy, (~dropped).to(noisy), self.around)
        seen = torch.where(dropped, around, noisy)
        picture = self.mean + _filter(seen, self.blur) + self._answer(network, seen)
        return Shot(picture, target, None if look.clean else dropped.to(noisy))

    def _side(self, size: int) -> slice:
        """Draw a window's side; windows may start outside, so that borders are seen as often."""
        if size <= self.crop:
            return slice(0, size)
        reach = self.crop // 2
        start = self._integer(-reach, size - self.crop + reach + 1)
        start = min(max(start, 0), size - self.crop)
        return slice(start, start + self.crop)

    def _integer(self, low: int, high: int) -> int:
        return int(torch.randint(low, high, (), generator=self.cpu))

    def _answer(self, network: Generator, seen: Tensor) -> Tensor:
        height, width = seen.shape[-2:]
        padded = network.padded_size(height, width)
        x = F.pad(seen, [0, padded[1] - width, 0, padded[0] - height], mode="replicate")
        x = network(x.to(self.dtype).contiguous(memory_format=torch.channels_last))
        answer: Tensor = x[:, :, :height, :width]
        return answer


def _turned_back(picture: Tensor, turn: int) -> Tensor:
    """Return a picture, …×h×w, as it was before it was turned."""
    return _flipped(picture.transpose(-2, -1) if turn & 4 else picture, turn)


def _turned(picture: Tensor, turn: int) -> Tensor:
    """Return a picture, …×h×w, upside down, mirrored and transposed as the bits 1, 2, 4 say."""
    picture = _flipped(picture, turn)
    return picture.transpose(-2, -1) if turn & 4 else picture


def _flipped(picture: Tensor, turn: int) -> Tensor:
    axes = [axis for axis, bit in ((-2, 1), (-1, 2)) if turn & bit]
    return picture.flip(axes) if axes else picture


def neighbour_mean(picture: Tensor, kept: Tensor, around: Tensor) -> Tensor:
    """Return the mean of the 8 neighbours; 0 where none was kept.

    Args:
        picture: 1×C×H×W.
        kept: of its shape, or with one channel for all; 1 where a value may be used, else 0.
        around: 3×3, how much each neighbour counts.
    """
    total = _filter(torch.cat([kept * picture, kept], 1), around)
    channels = picture.shape[1]
    return total[:, :channels] / total[:, channels:].clamp_min(1e-6)


def _around() -> Tensor:
    """Return weights of neighbours: edges count 1, corners ½."""
    return torch.tensor([[0.5, 1.0, 0.5], [1.0, 0.0, 1.0], [0.5, 1.0, 0.5]])


def _gaussian() -> Tensor:
    """Return a Gaussian of σ 1.2 pixels, 7×7."""
    x = torch.arange(-3.0, 4.0)
    line = torch.exp(-(x**2) / (2 * 1.2**2))
    kernel = torch.outer(line, line)
    return kernel / kernel.sum()


def _filter(picture: Tensor, kernel: Tensor) -> Tensor:
    channels, border = picture.shape[1], kernel.shape[0] // 2
    kernel = kernel.expand(channels, 1, *kernel.shape)
    padded = F.pad(picture, [border] * 4, mode="replicate")
    filtered: Tensor = F.conv2d(padded, kernel, groups=channels)
    return filtered
