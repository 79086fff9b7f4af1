"""Flash and no-flash: the light of one photo with the detail of the other.

The network is shown the flash picture and asked for the noisy one: what both share is learned
long before the noise is (Ulyanov et al. 2018, section 4.7). Held-out pixels say when to stop, and
weigh the fit against a non-local estimate that has not seen them either; it is joined with the
estimate from all pixels. Neither can see the flash picture.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from dip_engine import classical
from dip_engine.colours import luminance
from dip_engine.denoising import Denoising, quarters
from dip_engine.fit import Fitted
from dip_engine.held_out import best_weight
from dip_engine.job import Settings
from dip_engine.nonlocal_estimate import nonlocal_estimate
from dip_engine.presets import recipe_for
from dip_engine.problem import Problem
from dip_engine.returning import part_of
from dip_engine.tiling import Tile
from dip_engine.work import Start, Work, to_array, to_tensor

Array = np.ndarray[Any, np.dtype[Any]]

LEAST_SHIFT = 0.1  # pixels; less is not worth the blur of moving a picture
FURTHEST = 0.1  # of the side; more is no shift between two shots but a mistake


class FlashNoFlash(Work):
    """A noisy picture of the room's own light is restored with the help of one with flash.

    Its noise, the quarters it may be taken apart into, and its start are those of `Denoising`;
    recipe, tiles and join are its own.

    Args:
        pixels: float32 H×W×C, 0–1, without flash.
        flash: float32 H×W×C, 0–1, with flash.
        settings: how.
    """

    start_share = 0.3

    def __init__(self, pixels: Array, flash: Array, settings: Settings) -> None:
        self.denoising = Denoising(pixels, settings, probed=False)
        super().__init__(self.denoising.pixels, recipe_for("flash", settings), settings)
        self.noise = self.denoising.noise
        self.noise_std = self.denoising.noise_std
        if not (self.noise_std or settings.fit_only):  # the start is the input, and is the result
            self.recipe = replace(self.recipe, iterations=1)
        self.shift = find_shift(luminance(pixels), luminance(flash))
        flash = moved(flash, self.shift)
        self.flash = quarters(flash) if self.denoising.shuffled else flash
        self.seed = settings.seed
        self._guessed: dict[Tile, Array] = {}

    def glance(self) -> Array:
        return self.denoising.glance()

    def start(self, tile: Tile, device: torch.device) -> Start:
        """Make the estimate from all pixels, and one that has to guess those that are held out."""
        held = self.held_pixels(tile)
        yield from part_of(self._guess(tile, held, device), 0, 1 / 2)
        return (yield from part_of(self.denoising.start(tile, device), 1 / 2, 1))

    def _guess(self, tile: Tile, held: Array, device: torch.device) -> Generator[float, None, None]:
        if held.any() and self.noise_std:
            noisy = to_tensor(classical.fill(tile.cut(self.pixels), held), device)[0]
            estimate = yield from nonlocal_estimate(noisy, self.noise_std)
            self._guessed[tile] = to_array(estimate[None])[held]

    def problem(self, tile: Tile, start: Array, device: torch.device) -> Problem:
        flash = tile.cut(self.flash)
        if flash.shape[2] == 1:
            flash = np.repeat(flash, 3, axis=2)
        return replace(super().problem(tile, start, device), latent=to_tensor(flash, device))

    def fit_alone(self, tile: Tile, fitted: Fitted) -> Array:
        return self.denoising.answer(tile, fitted)

    def join(self, tile: Tile, start: Array, fitted: Fitted) -> Array:
        if not self.noise_std:
            return start
        fit = self.fit_alone(tile, fitted)
        held = self.held_pixels(tile)
        if not held.any():
            return fit
        weight = best_weight(tile.cut(self.pixels)[held], self._guessed[tile], fit[held])
        return start + weight * (fit - start)

    def finish(self, result: Array) -> Array:
        return self.denoising.finish(result)

    def held_pixels(self, tile: Tile) -> Array:
        random = np.random.default_rng(self.seed)
        held: Array = np.less(random.random((tile.height, tile.width)), self.recipe.hold_out)
        return held


def find_shift(still: Array, other: Array) -> tuple[float, float]:
    """Return by how many pixels (down, right) `other` must be moved to lie on `still` (H×W each).

    Edges are compared, since the light differs; (0, 0) where moving would not bring them nearer.

    Source: Guizar-Sicairos, Thurman, Fienup, "Efficient subpixel image registration algorithms",
    2008 (phase correlation, in scikit-image).
    """
    edges = [_edges(picture) for picture in (still, other)]
    found, _, _ = phase_cross_correlation(  # type: ignore[no-untyped-call]
        *edges, upsample_factor=10, normalization="phase"
    )
    shift = float(found[0]), float(found[1])
    limits = [max(2.0, FURTHEST * n) for n in still.shape]
    too_far = any(abs(s) > limit for s, limit in zip(shift, limits, strict=True))
    if too_far or max(map(abs, shift)) < LEAST_SHIFT:
        return 0.0, 0.0
    nearer = _likeness(edges[0], ndimage.shift(edges[1], shift, order=1, mode="nearest"))
    return shift if nearer > _likeness(*edges) else (0.0, 0.0)


def moved(pixels: Array, shift: tuple[float, float]) -> Array:
    """Return H×W×C moved by pixels (down, right); borders are repeated."""
    if shift == (0.0, 0.0):
        return pixels
    result: Array = ndimage.shift(pixels, (*shift, 0), order=3, mode="nearest", prefilter=True)
    return result.clip(0, 1).astype(np.float32)


def _edges(picture: Array) -> Array:
    """Return the strength of the edges of log light, which a change of brightness leaves alone."""
    light = np.log(ndimage.gaussian_filter(picture.astype(np.float64), 1.5) + 0.02)
    edges: Array = np.hypot(ndimage.sobel(light, 0), ndimage.sobel(light, 1))
    return edges


def _likeness(a: Array, b: Array) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])
