"""How far the content has moved from one frame to the next, and whether it is the same content.

One translation for the whole frame, found by phase correlation (Kuglin and Hines, 1975) and refined
by least squares (Lucas and Kanade, 1981). That is enough to centre a search on it, and to take a
patch of background from another frame; it is no optical flow.

A shift (dy, dx) says that what is at (y, x) before is at (y + dy, x + dx) after.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from dip_engine import classical

Array = np.ndarray[Any, np.dtype[Any]]
Shift = tuple[float, float]

_SIDE = 256  # pixels to which frames are shrunk before they are compared
_SOFT = 1.5  # standard deviation of a blur against noise, in those pixels
_STEPS = 6  # of the refinement
_CUT = 0.7  # of a frame's own contrast: a greater difference is another scene
_UNCUT = 0.02  # 0–1; a smaller difference is none, however flat the frames are
_LEAST_OVERLAP = 0.25  # of a frame


@dataclass(frozen=True, slots=True)
class Motion:
    """From one frame to the next.

    Attributes:
        shift: in pixels; (0, 0) after a cut.
        is_cut: the next frame belongs to another scene.
    """

    shift: Shift
    is_cut: bool


def find_motion(
    before: Array, after: Array, known: tuple[Array | None, Array | None] = (None, None)
) -> Motion:
    """Compare two frames.

    Args:
        before: float32 H×W×C.
        after: likewise; another size or number of channels is another scene.
        known: bool H×W for each, what of it counts, or None for all.
    """
    if before.shape != after.shape:
        return Motion((0.0, 0.0), True)
    a, b = (_plane(frame, mask) for frame, mask in zip((before, after), known, strict=True))
    weights = [_weight(frame, mask) for frame, mask in zip((before, after), known, strict=True)]
    found = [refined(a, b, shift, *weights) for shift in ((0.0, 0.0), _correlated(a, b))]
    difference, shift = min((_difference(a, b, shift, *weights), shift) for shift in found)
    contrast = float(np.abs(a - a.mean()).mean() + np.abs(b - b.mean()).mean()) / 2
    if difference > max(_UNCUT, _CUT * contrast):
        return Motion((0.0, 0.0), True)
    scale = before.shape[0] / a.shape[0], before.shape[1] / a.shape[1]
    return Motion((shift[0] * scale[0], shift[1] * scale[1]), False)


def refined(a: Array, b: Array, shift: Shift, seen_a: Array, seen_b: Array) -> Shift:
    """Improve a shift between two planes H×W to a fraction of a pixel.

    Args:
        a: plane H×W, before.
        b: plane H×W, after.
        shift: within a few pixels of the true one.
        seen_a: 0–1, H×W, how much of `a` counts.
        seen_b: likewise of `b`.
    """
    best, first = shift, shift
    for _ in range(_STEPS):
        there = moved(b, shift)
        weight = seen_a * moved(seen_b, shift, outside=0)
        dy, dx = np.gradient(there)
        rest = weight * (a - there)
        system = np.array(
            [
                [(weight * dy * dy).sum(), (weight * dy * dx).sum()],
                [(weight * dy * dx).sum(), (weight * dx * dx).sum()],
            ]
        )
        if np.linalg.det(system) <= 1e-9 * max(1e-9, float(np.trace(system))) ** 2:
            break  # a flat region, or a single edge
        step = np.linalg.solve(system, [(dy * rest).sum(), (dx * rest).sum()])
        shift = shift[0] + float(step[0]), shift[1] + float(step[1])
        if max(abs(shift[0] - first[0]), abs(shift[1] - first[1])) > 8:
            break  # it has left the place it started from
        best = shift
        if np.abs(step).max() < 0.01:
            break
    return best


def moved(pixels: Array, shift: Shift, *, order: int = 1, outside: float | None = None) -> Array:
    """Return the content of a frame where it was before: out(y, x) = pixels(y + dy, x + dx).

    Args:
        pixels: H×W or H×W×C.
        shift: (dy, dx).
        order: of the spline, 1 or 3.
        outside: what is beyond the border, or None for its nearest pixel.
    """
    back = (-shift[0], -shift[1]) + (0,) * (pixels.ndim - 2)
    mode, value = ("nearest", 0.0) if outside is None else ("constant", outside)
    result: Array = ndimage.shift(pixels, back, order=order, mode=mode, cval=value, prefilter=True)
    return result


def _plane(frame: Array, known: Array | None) -> Array:
    """Return the luminance, small and soft, with what is not known filled in: H×W."""
    if known is not None and known.any():
        frame = classical.fill_nearest(frame, ~known)
    small = classical.shrink(frame, _SIDE).mean(axis=2)
    soft: Array = ndimage.gaussian_filter(small, _SOFT)
    return soft


def _weight(frame: Array, known: Array | None) -> Array:
    height, width = frame.shape[:2]
    counts = np.ones((height, width), np.float32) if known is None else known.astype(np.float32)
    return classical.shrink(counts[:, :, None], _SIDE)[:, :, 0]


def _correlated(a: Array, b: Array) -> Shift:
    """Return the whole-pixel shift at which the phases of two planes agree best."""
    window = np.outer(np.hanning(a.shape[0] + 2)[1:-1], np.hanning(a.shape[1] + 2)[1:-1])
    first, second = (np.fft.rfft2(window * (plane - plane.mean())) for plane in (a, b))
    cross = np.conj(first) * second
    # Frequencies with little energy are mostly noise: they count less than in a pure phase.
    energy = np.abs(cross)
    surface = np.fft.irfft2(cross / (energy + energy.mean() + 1e-12), a.shape)
    peak = np.unravel_index(int(surface.argmax()), a.shape)
    sides = zip(peak, a.shape, strict=True)
    dy, dx = (float(place - side if place > side // 2 else place) for place, side in sides)
    return dy, dx


def _difference(a: Array, b: Array, shift: Shift, seen_a: Array, seen_b: Array) -> float:
    weight = seen_a * moved(seen_b, shift, outside=0)
    if weight.sum() < _LEAST_OVERLAP * weight.size:
        return float("inf")
    return float((weight * np.abs(a - moved(b, shift))).sum() / weight.sum())
