"""Blurs: the shapes a lens or a hand draws of a point (point spread functions, kernels).

A kernel is float32 k×k with odd k, not negative, sums to 1, and has its centre in the middle.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from dip_engine import picture
from dip_engine.errors import InputError

Array = np.ndarray[Any, np.dtype[Any]]

MOST = 201  # side of a kernel in pixels
_FINE = 8  # samples per pixel side where a shape's edge cuts pixels


def gaussian(std: float) -> Array:
    """Return the kernel of a Gaussian blur of a standard deviation in pixels."""
    radius = max(1, math.ceil(3.5 * std))
    line = np.exp(-0.5 * (np.arange(-radius, radius + 1) / std) ** 2)
    return _normalised(np.outer(line, line))


def motion(length: float, angle: float) -> Array:
    """Return the kernel of a straight, even motion.

    Args:
        length: in pixels.
        angle: in degrees; 0 is horizontal, 90 vertical, counterclockwise.
    """
    direction = math.radians(angle)
    across, up = math.cos(direction), math.sin(direction)

    def inside(x: Array, y: Array) -> Array:
        along, aside = x * across - y * up, x * up + y * across
        marked: Array = (np.abs(along) <= length / 2) & (np.abs(aside) <= 0.5)
        return marked

    return _drawn(inside, (length + 1) / 2)


def defocus(radius: float) -> Array:
    """Return the kernel of a lens out of focus: an even disc of a radius in pixels."""

    def inside(x: Array, y: Array) -> Array:
        marked: Array = x**2 + y**2 <= radius**2
        return marked

    return _drawn(inside, radius)


def read_kernel(path: Path) -> Array:
    """Read a kernel from a picture or an array; its gray values are scaled to sum to 1.

    A side of even length gains an empty row or column, so that there is a middle.

    Raises:
        InputError: it cannot be read, is empty, or is too large to be a kernel.
    """
    values = picture.read(path).pixels.mean(axis=2)
    if max(values.shape) > MOST:
        raise InputError(
            f"{path} is {values.shape[1]}×{values.shape[0]} pixels, too large for a kernel.",
            f"A kernel has at most {MOST}×{MOST} pixels; cut off its black border.",
        )
    values = np.maximum(values, 0)
    if not values.any():
        raise InputError(f"{path} is all black: that is no kernel.", "White is where light goes.")
    side = max(values.shape) | 1
    padding = [(side - n) // 2 for n in values.shape]
    rest = [side - n - p for n, p in zip(values.shape, padding, strict=True)]
    return _normalised(np.pad(values, list(zip(padding, rest, strict=True))))


def resized(kernel: Array, side: int) -> Array:
    """Return a kernel scaled to side×side pixels (odd)."""
    scale = side / kernel.shape[0]
    centre, middle = (kernel.shape[0] - 1) / 2, (side - 1) / 2
    rows, columns = (np.indices((side, side)) - middle) / scale + centre
    return _normalised(ndimage.map_coordinates(kernel, [rows, columns], order=1, mode="constant"))


def centred(kernel: Array) -> Array:
    """Return a kernel moved by whole pixels so that its centre of mass is in the middle."""
    middle = (kernel.shape[0] - 1) / 2
    shift = [round(middle - at) for at in ndimage.center_of_mass(kernel)]
    return _normalised(ndimage.shift(kernel, shift, order=0, mode="constant"))


def _drawn(inside: Any, reach: float) -> Array:
    """Return a shape's kernel: of each pixel the part that is inside."""
    radius = max(1, math.ceil(reach - 0.5 + 1e-6))
    side = 2 * radius + 1
    place = (np.arange(side * _FINE) + 0.5) / _FINE - side / 2
    x, y = np.meshgrid(place, place)
    fine = inside(x, y).astype(np.float64)
    return _normalised(fine.reshape(side, _FINE, side, _FINE).mean(axis=(1, 3)))


def _normalised(values: Array) -> Array:
    kernel: Array = (values / values.sum()).astype(np.float32)
    return kernel
