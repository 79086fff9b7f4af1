"""The kernel of a blur nobody knows.

First from strong edges alone, coarse to fine: the picture is sharpened to a few steps (most
gradients are made zero), and the kernel is what lies between these steps and the blurred picture
(Xu, Zheng and Jia, CVPR 2013, "Unnatural L0 Sparse Representation"). Then jointly with an untrained
network that makes the picture: the kernel is the softmax of free numbers, so it is never negative
and sums to one (Ren and others, CVPR 2020, "Neural Blind Deconvolution Using Deep Priors").
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from dip_engine import blur
from dip_engine.fit import fit
from dip_engine.operators import FreeBlur, spread
from dip_engine.presets import Recipe
from dip_engine.problem import Problem

Array = np.ndarray[Any, np.dtype[Any]]

SMALLEST = 5  # side of the coarsest kernel
TURNS = 5  # sharp picture and kernel in turns, per scale
JOINT_SIDE = 256  # of the part of the picture that the joint fit sees
EDGES_SHARE = 0.2  # of the time

_FEW_EDGES, _MORE_EDGES = 4e-3, 1e-4  # price of a gradient, from first to last
_SMOOTH = 2.0  # price of energy in the kernel
_DUST = 0.05  # of the kernel's peak: less is taken to be noise


def find_kernel(
    blurred: Tensor, side: int, recipe: Recipe, *, seed: int, dtype: torch.dtype
) -> Generator[float, None, Array]:
    """Find the kernel of a blurred picture.

    Args:
        blurred: 1×C×H×W, 0–1.
        side: of the kernel, odd, at least as large as the blur.
        recipe: of the joint fit.
        seed: of the joint fit.
        dtype: number format of its network.

    Yields:
        The fraction of the work that is done.

    Returns:
        side×side.
    """
    gray = blurred.mean(1, keepdim=True)
    kernel = yield from _kernel_from_edges(gray[0, 0].cpu(), side)
    part = _middle(gray, JOINT_SIDE)
    height, width = part.shape[-2:]
    operator = FreeBlur(torch.from_numpy(kernel).to(part.device), height, width)
    known = part.new_ones(1, 1, height, width)
    problem = Problem(part, known, *operator.size, operator=operator)
    for step in fit(problem, recipe, seed=seed, dtype=dtype):
        yield EDGES_SHARE + (1 - EDGES_SHARE) * step.iteration / recipe.iterations
    return blur.centred(operator.kernel().detach().cpu().numpy())


def _kernel_from_edges(gray: Tensor, side: int) -> Generator[float, None, Array]:
    sides = [side]
    while sides[-1] > SMALLEST:
        sides.append(max(3, round(sides[-1] / 2**0.5) | 1))
    kernel = np.full((sides[-1], sides[-1]), 1 / sides[-1] ** 2, np.float32)
    price = _FEW_EDGES
    for scale, size in enumerate(reversed(sides)):
        small = _shrunk(gray, size / side)
        picture = _periodic(small, size)
        kernel = blur.resized(kernel, size)
        for turn in range(TURNS):
            sharp = _steps(picture, torch.from_numpy(kernel), price)
            kernel = _kernel_between(sharp, picture, size)
            price = max(price / 1.1, _MORE_EDGES)
            yield EDGES_SHARE * (scale + turn / TURNS) / len(sides)
    return kernel


def _steps(picture: Tensor, kernel: Tensor, price: float) -> Tensor:
    """Return the picture with few gradients whose blur is nearest to `picture` (H×W, periodic)."""
    size = (picture.shape[0], picture.shape[1])
    transfer = torch.fft.rfft2(spread(kernel, size))
    target = transfer.conj() * torch.fft.rfft2(picture)
    power = transfer.abs().square()
    gradient_power = _gradient_power(size)
    x, weight = picture, 2 * price
    while weight < 1e5:
        across, down = _gradients(x)
        kept = (across.square() + down.square()) >= price / weight
        across, down = across * kept, down * kept
        divergence = across.roll(1, 1) - across + down.roll(1, 0) - down
        spectrum = target + weight * torch.fft.rfft2(divergence)
        x = torch.fft.irfft2(spectrum / (power + weight * gradient_power), s=size)
        weight *= 2
    return x


def _kernel_between(sharp: Tensor, picture: Tensor, side: int) -> Array:
    """Return the kernel that turns the gradients of `sharp` into those of `picture`."""
    across = torch.zeros(())
    power = torch.full((), _SMOOTH)
    for a, b in zip(_gradients(sharp), _gradients(picture), strict=True):
        spectrum = torch.fft.rfft2(a)
        across = across + spectrum.conj() * torch.fft.rfft2(b)
        power = power + spectrum.abs().square()
    whole = torch.fft.irfft2(across / power, s=picture.shape)
    r = side // 2
    found = whole.roll((r, r), (0, 1))[:side, :side].clamp_min(0).numpy()
    if not found.any():  # a picture without edges
        found[r, r] = 1
    return blur.centred(_without_dust(found))


def _without_dust(kernel: Array) -> Array:
    """Drop faint values, and islands with less than a tenth of the light."""
    bright = np.where(kernel >= _DUST * kernel.max(), kernel, 0)
    islands, count = ndimage.label(bright > 0, structure=np.ones((3, 3)))
    light = ndimage.sum(bright, islands, range(1, count + 1))
    large = 1 + np.flatnonzero(light >= min(0.1 * np.sum(light), np.max(light)))
    return np.where(np.isin(islands, large), bright, 0).astype(np.float32)


def _gradients(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.roll(-1, 1) - x, x.roll(-1, 0) - x


def _gradient_power(size: tuple[int, int]) -> Tensor:
    point = torch.zeros(size)
    point[0, 0] = 1
    across, down = (torch.fft.rfft2(g).abs().square() for g in _gradients(point))
    power: Tensor = across + down
    return power


def _periodic(picture: Tensor, side: int) -> Tensor:
    """Continue a picture (H×W) beyond its borders so that opposite ones meet without an edge."""
    border = min(2 * side, *(n - 1 for n in picture.shape))
    large = F.pad(picture[None, None], [border] * 4, mode="reflect")[0, 0]
    ramp = torch.sin(torch.linspace(0, torch.pi / 2, border + 2)[1:-1]).square()
    height, width = (torch.cat([ramp, torch.ones(n), ramp.flip(0)]) for n in picture.shape)
    window = torch.outer(height, width)
    return window * large + (1 - window) * picture.mean()


def _shrunk(picture: Tensor, scale: float) -> Tensor:
    if scale >= 1:
        return picture
    size = [max(16, round(n * scale)) for n in picture.shape]
    small = F.interpolate(
        picture[None, None], size, mode="bicubic", antialias=True, align_corners=False
    )
    return small[0, 0]


def _middle(picture: Tensor, side: int) -> Tensor:
    height, width = picture.shape[-2:]
    top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
    return picture[..., top : top + side, left : left + side].contiguous()
