"""Denoising: the noise of a picture, its non-local estimate, and the fit that joins it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy import ndimage

from dip_engine.fit import Fitted
from dip_engine.glance import without_noise
from dip_engine.job import Settings
from dip_engine.noise import Noise, estimate_noise, undo_clipping
from dip_engine.nonlocal_estimate import nonlocal_estimate
from dip_engine.posterior import posterior_mean
from dip_engine.presets import Recipe, recipe_for
from dip_engine.probe import not_clipped
from dip_engine.problem import Problem
from dip_engine.stabilisation import Stabiliser, stabiliser_for
from dip_engine.tiling import Tile
from dip_engine.work import Start, Work, to_array, to_tensor

Array = np.ndarray[Any, np.dtype[Any]]

MOST_LOOKS = 1500  # of the blind-spot network at a pixel
CORRELATED_SHARE = 0.25  # of the fit beside the start, where neighbours share their noise
DETAIL = 7  # pixels, see `detail`
UNEVEN, WEAK_NOISE = 2.0, 6 / 255  # see `usual_level`


class Denoising(Work):
    """Noise goes; its level is estimated unless given.

    Noise that is correlated between neighbours (camera pictures) is nearly white between pixels
    two apart: such a picture is taken apart into its four interleaved quarters, restored with
    these side by side, and put together again.
    """

    start_share = 0.3

    def __init__(
        self,
        pixels: Array,
        settings: Settings,
        visible: Tile | None = None,
        known: Noise | None = None,
        *,
        probed: bool = True,
    ) -> None:
        seen = pixels if visible is None else visible.cut(pixels)
        self.stabiliser: Stabiliser | None = None
        if settings.noise_model == "poisson":
            self.stabiliser = stabiliser_for(seen, settings)
            pixels, seen = self.stabiliser.forward(pixels), self.stabiliser.forward(seen)
        noise = estimate_noise(to_tensor(seen)[0]) if known is None else known
        self.size = pixels.shape[:2]
        self.shuffled = noise.kind == "correlated" and min(self.size) >= 32
        if self.shuffled:
            pixels = quarters(pixels)
        if self.shuffled and known is None:
            noise = replace(noise, std=usual_level(noise.std))
        if self.stabiliser is not None:
            noise = replace(noise, std=self.stabiliser.noise_std)
        elif settings.noise_std is not None:
            noise = replace(noise, std=settings.noise_std)
        recipe = recipe_for("denoise", settings, noise_std=noise.std)
        super().__init__(pixels, recipe, settings)
        # What is the same everywhere after the transform has no number a user would know.
        self.noise = noise if self.stabiliser is None else None
        self.noise_std = noise.std
        if recipe.network == "blind-spot":  # sees windows of the whole picture, needs no tiles
            self.tiles = [self.whole]
            if settings.iterations is None:
                self.recipe = _for_size(recipe, pixels.shape[0] * pixels.shape[1])
        # A fit that stands alone knows of no other estimate; channels that err alike need noise of
        # their own kind.
        self.pretrained = not settings.fit_only and not noise.alike
        self.guessed = recipe.network == "blind-spot" and noise.independent
        joined = probed and not settings.fit_only
        if joined and recipe.probe and noise.std and noise.independent:
            self.add_probe(noise.std, settings.seed)
        if not self.noise_std and not settings.fit_only:  # nothing is joined to the start
            self.recipe = replace(self.recipe, iterations=1)

    def glance(self) -> Array:
        return to_array(without_noise(to_tensor(self.measured)[0], self.noise_std)[None])

    def start(self, tile: Tile, device: torch.device) -> Start:
        noisy = to_tensor(tile.cut(self.pixels), device)[0]
        estimate = yield from nonlocal_estimate(noisy, self.noise_std, twice=self.recipe.twice)
        return to_array(estimate[None])

    def problem(self, tile: Tile, start: Array, device: torch.device) -> Problem:
        problem = super().problem(tile, start, device)
        if self.pretrained:
            problem = replace(problem, noise_std=self.noise_std)
        if self.probe is None or not self.probe.level:
            return problem
        probe = self.probe.cut(tile)
        return replace(problem, echo=to_tensor(probe.noise_to_probe * probe.pattern, device))

    def fit_alone(self, tile: Tile, fitted: Fitted) -> Array:
        fit = self.answer(tile, fitted)
        if not self.guessed or not self.noise_std:
            return fit
        return posterior_mean(fit, tile.cut(self.pixels), self.noise_std)

    def answer(self, tile: Tile, fitted: Fitted) -> Array:
        if not self.noise_std:
            return to_array(fitted.picture)
        noisy = to_tensor(tile.cut(self.pixels))[0]
        return to_array(undo_clipping(fitted.picture[0].cpu(), noisy, self.noise_std)[None])

    def join(self, tile: Tile, start: Array, fitted: Fitted) -> Array:
        if not self.noise_std:
            return start
        fit = self.fit_alone(tile, fitted)
        return start + self._weight(tile, start, fit) * (fit - start)

    def _weight(self, tile: Tile, start: Array, fit: Array) -> Array | float:
        """Return 0–1, h×w×1 or for all: how much the fit counts beside the start."""
        if not self.recipe.probe:
            return self.recipe.share
        noisy = tile.cut(self.pixels)
        # What a fit misses of the picture it has not learned yet.
        missed = float(np.mean((noisy - fit) ** 2) - np.mean((noisy - start) ** 2))
        mature = min(1.0, max(0.0, 1 - 2 * missed / self.noise_std**2))
        if self.probe is None:
            # A fit takes correlated noise for detail, above all where there is none.
            return CORRELATED_SHARE * mature * detail(start, self.noise_std)
        trusted = not_clipped(tile.cut(self.measured), start, self.noise_std)
        usual = self.recipe.share * mature
        return self.probe.cut(tile).weigh(noisy, start, fit, usual=usual, trusted=trusted)

    def finish(self, result: Array) -> Array:
        whole = together(result, self.size) if self.shuffled else result
        return whole if self.stabiliser is None else self.stabiliser.inverse(whole)


def usual_level(flat_std: float) -> float:
    """Return the level of correlated noise in a picture from that in its flattest blocks.

    Most such pictures are from cameras, whose noise grows with the light and passes their smoothing
    where there is detail: the flattest blocks have half of it (20 pictures of PolyU). A level that
    is high already is believed: it may be texture.
    """
    return max(flat_std, min(UNEVEN * flat_std, WEAK_NOISE))


def detail(estimate: Array, noise_std: float) -> Array:
    """Return 0–1, h×w×1: how much detail there is beside noise of a level, as Wiener's filter asks.

    Args:
        estimate: h×w×C, without noise.
        noise_std: of the noise that was in it.
    """
    size = (DETAIL, DETAIL, 0)
    mean = ndimage.uniform_filter(estimate, size)
    variance = ndimage.uniform_filter((estimate - mean) ** 2, size).mean(axis=2, keepdims=True)
    share: Array = variance / (variance + noise_std**2)
    return share


def quarters(pixels: Array) -> Array:
    """Lay the four interleaved quarters of a picture side by side; odd sides gain a pixel."""
    even = np.pad(pixels, [(0, n % 2) for n in pixels.shape[:2]] + [(0, 0)], mode="edge")
    rows = [np.concatenate([even[y::2, x::2] for x in (0, 1)], axis=1) for y in (0, 1)]
    return np.concatenate(rows, axis=0)


def together(mosaic: Array, size: tuple[int, int]) -> Array:
    """Undo `quarters` for a picture of size (height, width)."""
    height, width = mosaic.shape[0] // 2, mosaic.shape[1] // 2
    pixels = np.empty_like(mosaic)
    for y in (0, 1):
        for x in (0, 1):
            quarter = mosaic[y * height : (y + 1) * height, x * width : (x + 1) * width]
            pixels[y::2, x::2] = quarter
    return pixels[: size[0], : size[1]]


def _for_size(recipe: Recipe, pixels: int) -> Recipe:
    """Give a large picture more and shorter steps, and a small one no more than it can bear.

    Each part must be seen often enough; seen too often, a small picture's noise is learned.
    """
    growth = max(1.0, pixels / 512**2) ** 0.5
    shorter = max(recipe.shorter, min(1.0, (256**2 / pixels) ** 0.5))
    most = MOST_LOOKS * pixels / min(pixels, recipe.crop**2)
    return replace(
        recipe,
        learning_rate=recipe.learning_rate * shorter,
        iterations=round(min(most, recipe.iterations * growth)),
        patience=round(recipe.patience * growth),
    )
