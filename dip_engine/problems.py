"""From a task to numbers: what is known of a tile, its classical start, and how both are joined.

    task               y                    A            classical start         joined by
    denoise            noisy picture        identity     non-local estimate      fixed share
    inpaint            known pixels         identity     biharmonic fill         held-out pixels
    super-resolution   small picture        Lanczos ↓    non-local turns         back-projection
    jpeg               luminance intervals  block DCT    non-local estimate      fixed share

Pictures here are float32 H×W×C on the 0–1 scale. Inpainting has its own module, `inpainting`.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dip_engine import classical
from dip_engine.fit import Fitted, hold_out
from dip_engine.job import Settings
from dip_engine.jpeg import luminance_table
from dip_engine.noise import Noise, estimate_noise, undo_clipping
from dip_engine.nonlocal_estimate import nonlocal_estimate
from dip_engine.operators import Lanczos, inverse_block_dct, jpeg_coefficients
from dip_engine.plug_and_play import falling, linear_agreement, plug_and_play
from dip_engine.presets import Recipe, recipe_for
from dip_engine.problem import Problem
from dip_engine.stabilisation import Stabiliser, stabiliser_for
from dip_engine.tiling import Tile, plan_tiles

Array = np.ndarray[Any, np.dtype[Any]]
Start = Generator[float, None, Array]

BACK_PROJECTIONS = 2
FIRST_LEVEL, LAST_LEVEL = 50 / 255, 4 / 255  # what the turns of an enlargement take to be noise
POLISH_LEVEL, POLISH_TURNS = 15 / 255, 3
ROUNDING = 0.5 / 255  # error of the small picture's 8 bits, rather more
TRUSTED = 0.4  # of a JPEG step: half the step is certain, true values tend to the middle
MOST_LOOKS = 1500  # of the blind-spot network at a pixel
TILE = 768  # side in pixels of the result; the paper's network takes 5 GB for one
OVERLAP = 48
RAW, RIPE, USUAL_NOISE = 0.11, 0.04, 25 / 255  # see `maturity`


class Work:
    """A picture's task, tile by tile; the base shares what most tasks have in common.

    Attributes:
        pixels: the picture that is worked on.
        recipe: of the fit.
        tiles: in pixels of `pixels`.
        factor: how much larger the result is.
        noise: estimated or given noise, or None where it does not apply.
        start_share, polish_share: shares of the time that start and polish take, roughly.
    """

    factor = 1
    start_share = 0.05
    polish_share = 0.0

    def __init__(self, pixels: Array, recipe: Recipe, settings: Settings) -> None:
        self.pixels = pixels
        self.recipe = recipe
        self.noise: Noise | None = None
        height, width = pixels.shape[:2]
        self.whole = Tile(0, 0, height, width)
        self.side = TILE // self.factor
        self.tiles = plan_tiles(self.whole, self.side, OVERLAP // self.factor)

    def first(self) -> Array:
        """Return what can be shown at once, of the size of the result."""
        return self.pixels

    def start(self, tile: Tile, device: torch.device) -> Start:
        """Make the classical estimate of a tile; yields the fraction done."""
        raise NotImplementedError

    def problem(self, tile: Tile, start: Array, device: torch.device) -> Problem:
        """Return what is known of a tile."""
        observed = to_tensor(tile.cut(self.pixels), device)
        height, width = observed.shape[-2:]
        known = observed.new_ones(1, 1, height, width)
        return Problem(observed, known, height, width, start=to_tensor(start, device))

    def held(self, tile: Tile, problem: Problem, seed: int) -> Tensor | None:
        """Return the part of what is known that the fit must not see, or None."""
        if not self.recipe.hold_out:
            return None
        generator = torch.Generator().manual_seed(seed)
        return hold_out(problem.known, self.recipe.hold_out, generator)[1]

    def fit_alone(self, tile: Tile, fitted: Fitted) -> Array:
        """Return the tile's picture as the fit has it."""
        return to_array(fitted.picture)

    def join(self, tile: Tile, start: Array, fitted: Fitted) -> Array:
        """Return the tile's result from its start and its fit."""
        share = self.recipe.share
        return (1 - share) * start + share * self.fit_alone(tile, fitted)

    def polish(self, tile: Tile, joined: Array, device: torch.device) -> Start:
        """Return the tile's result from what was joined at the end; yields the fraction done."""
        yield from ()
        return joined

    def error(self, tile: Tile, start: Array, fitted: Fitted) -> float | None:
        """Return the mean squared error on values the fit did not see (noisy ones), or None."""
        return fitted.held_out

    def finish(self, result: Array) -> Array:
        """Return the picture for the user from what the tiles were joined into."""
        return result


class Denoising(Work):
    """Noise goes; its level is estimated unless given.

    Noise that is correlated between neighbours (camera pictures) is nearly white between pixels
    two apart: such a picture is taken apart into its four interleaved quarters, restored with
    these side by side, and put together again.
    """

    start_share = 0.3
    raw, ripe = RAW, RIPE

    def __init__(
        self,
        pixels: Array,
        settings: Settings,
        visible: Tile | None = None,
        known: Noise | None = None,
    ) -> None:
        self.stabiliser: Stabiliser | None = None
        if settings.noise_model == "poisson":
            seen = pixels if visible is None else visible.cut(pixels)
            self.stabiliser = stabiliser_for(seen, settings)
            pixels = self.stabiliser.forward(pixels)
            settings = replace(settings, noise_std=self.stabiliser.noise_std)
        seen = pixels if visible is None else visible.cut(pixels)
        noise = estimate_noise(to_tensor(seen)[0]) if known is None else known
        self.size = pixels.shape[:2]
        self.shuffled = noise.kind == "correlated" and min(self.size) >= 32
        if self.shuffled:
            pixels = quarters(pixels)
        if self.shuffled and known is None:
            noise = replace(noise, std=estimate_noise(to_tensor(quarters(seen))[0]).std)
        if settings.noise_std is not None:
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
        if not self.noise_std:  # the start is the input, and nothing is joined to it
            self.recipe = replace(self.recipe, iterations=1)

    def start(self, tile: Tile, device: torch.device) -> Start:
        noisy = to_tensor(tile.cut(self.pixels), device)[0]
        estimate = yield from nonlocal_estimate(noisy, self.noise_std)
        return to_array(estimate[None])

    def fit_alone(self, tile: Tile, fitted: Fitted) -> Array:
        if not self.noise_std:
            return to_array(fitted.picture)
        noisy = to_tensor(tile.cut(self.pixels))[0]
        return to_array(undo_clipping(fitted.picture[0].cpu(), noisy, self.noise_std)[None])

    def join(self, tile: Tile, start: Array, fitted: Fitted) -> Array:
        if not self.noise_std:
            return start
        fit = self.fit_alone(tile, fitted)
        share = self.recipe.share
        if self.recipe.network == "blind-spot":
            scale = self.raw, self.ripe
            share *= maturity(tile.cut(self.pixels), start, fit, self.noise_std, scale)
        return (1 - share) * start + share * fit

    def finish(self, result: Array) -> Array:
        whole = together(result, self.size) if self.shuffled else result
        return whole if self.stabiliser is None else self.stabiliser.inverse(whole)


def maturity(
    noisy: Array,
    start: Array,
    fit: Array,
    noise_std: float,
    scale: tuple[float, float] = (RAW, RIPE),
) -> float:
    """Return 0–1: how far a blind-spot fit has come towards counting beside the start.

    Its distance to the noisy picture exceeds that of the start by its greater error; both ends of
    the scale were measured on fits of 50 to 3000 iterations at a noise of 25 levels. The error of a
    good estimate grows with the noise, not with its square.
    """
    excess = np.mean((fit - noisy) ** 2) - np.mean((start - noisy) ** 2)
    raw, ripe = scale
    scaled = excess / (noise_std * USUAL_NOISE)
    return float(np.clip((raw - scaled) / (raw - ripe), 0, 1))


class Enlarging(Work):
    """Super-resolution: the picture whose Lanczos reduction is the one given."""

    start_share, polish_share = 0.2, 0.15

    def __init__(self, pixels: Array, settings: Settings) -> None:
        self.factor = settings.factor
        super().__init__(pixels, recipe_for("super-resolution", settings), settings)
        self.operator = Lanczos(self.factor)

    def first(self) -> Array:
        return classical.enlarge(self.pixels, self.factor)

    def start(self, tile: Tile, device: torch.device) -> Start:
        observed = to_tensor(tile.cut(self.pixels), device)
        large = to_tensor(classical.enlarge(tile.cut(self.pixels), self.factor), device)
        agree = linear_agreement(self.operator, observed, ROUNDING, large)
        levels = falling(FIRST_LEVEL, LAST_LEVEL, self.recipe.turns)
        estimate = yield from plug_and_play(large, levels, agree)
        return to_array(agree(estimate, LAST_LEVEL))

    def problem(self, tile: Tile, start: Array, device: torch.device) -> Problem:
        return replace(
            super().problem(tile, tile.cut(self.pixels), device),
            height=tile.height * self.factor,
            width=tile.width * self.factor,
            operator=self.operator,
            start=to_tensor(start, device),
        )

    def join(self, tile: Tile, start: Array, fitted: Fitted) -> Array:
        """Keep the detail the fit found, and what the small picture says about everything coarser.

        The fit counts by the share of the small picture's variance that it explains: one that was
        cut short is nearly all start. Back-projection (Irani and Peleg 1991) then adds the
        enlarged rest y − A(x).
        """
        small, fit = tile.cut(self.pixels), to_array(fitted.picture)
        unexplained = float(np.mean((small - self._reduced(fit)) ** 2))
        explained = 1 - unexplained / max(float(small.var(axis=(0, 1)).mean()), 1e-9)
        picture = start + min(1.0, max(0.0, explained)) * (fit - start)
        for _ in range(BACK_PROJECTIONS):
            rest = small - self._reduced(picture)
            picture = picture + classical.enlarge(rest, self.factor)
        return picture

    def polish(self, tile: Tile, joined: Array, device: torch.device) -> Start:
        """Let the non-local estimate take some last turns from what was joined."""
        picture = to_tensor(joined, device)
        agree = linear_agreement(
            self.operator, to_tensor(tile.cut(self.pixels), device), ROUNDING, picture
        )
        levels = falling(POLISH_LEVEL, LAST_LEVEL, POLISH_TURNS)
        estimate = yield from plug_and_play(picture, levels, agree)
        return to_array(agree(estimate, LAST_LEVEL))

    def _reduced(self, picture: Array) -> Array:
        return to_array(self.operator(to_tensor(picture)))


class JpegRestoration(Work):
    """Blocks and ringing of JPEG go; their strength follows from the quality.

    The file tells an interval for each cosine coefficient of the luminance. The fit is asked to
    stay in the intervals, and the result is put there.
    """

    start_share = 0.3

    def __init__(self, pixels: Array, quality: int, settings: Settings) -> None:
        self.size = pixels.shape[:2]
        whole_blocks = [(0, -n % 8) for n in self.size]
        padded = np.pad(pixels, [*whole_blocks, (0, 0)], mode="edge")
        super().__init__(padded, recipe_for("jpeg", settings), settings)
        self.tiles = [_on_blocks(tile) for tile in self.tiles]
        self.quality = quality

    def start(self, tile: Tile, device: torch.device) -> Start:
        decoded = to_tensor(tile.cut(self.pixels), device)[0]
        estimate = yield from nonlocal_estimate(decoded, jpeg_error(self.quality))
        return to_array(estimate[None])

    def problem(self, tile: Tile, start: Array, device: torch.device) -> Problem:
        if not self.recipe.residual:  # a whole picture, and its colours, from nothing
            return super().problem(tile, start, device)
        observed, tolerance = self._intervals(to_tensor(tile.cut(self.pixels), device))
        known = observed.new_ones(1, 1, tile.height, tile.width)
        return Problem(
            observed,
            known,
            tile.height,
            tile.width,
            operator=jpeg_coefficients,
            tolerance=tolerance,
            start=to_tensor(start, device),
        )

    def join(self, tile: Tile, start: Array, fitted: Fitted) -> Array:
        joined = to_tensor(super().join(tile, start, fitted))
        observed, tolerance = self._intervals(to_tensor(tile.cut(self.pixels)))
        coefficients = jpeg_coefficients(joined)
        allowed = coefficients.clamp(observed - tolerance, observed + tolerance)
        return to_array(joined + inverse_block_dct(allowed - coefficients))

    def error(self, tile: Tile, start: Array, fitted: Fitted) -> float | None:
        return None

    def finish(self, result: Array) -> Array:
        return result[: self.size[0], : self.size[1]]

    def _intervals(self, decoded: Tensor) -> tuple[Tensor, Tensor]:
        """Return middle and half-width of each coefficient's interval, 1×1×H×W."""
        table = to_tensor(luminance_table(self.quality) / np.float32(255), decoded.device)
        height, width = decoded.shape[-2:]
        steps = table.repeat(1, 1, height // 8, width // 8)
        return (jpeg_coefficients(decoded) / steps).round() * steps, TRUSTED * steps


def _on_blocks(tile: Tile) -> Tile:
    """Return the tile grown to whole 8×8 blocks."""
    return Tile(
        tile.top // 8 * 8, tile.left // 8 * 8, -(-tile.bottom // 8) * 8, -(-tile.right // 8) * 8
    )


def jpeg_error(quality: int) -> float:
    """Return the noise level (0–1) at which a denoiser removes the traces of JPEG best."""
    scale = 50 / quality if quality < 50 else 2 - quality / 50
    return min(0.1, 0.0245 * math.sqrt(scale))


def to_tensor(pixels: Array, device: torch.device | str = "cpu") -> Tensor:
    """Turn H×W×C (or H×W) into 1×C×H×W."""
    planes = pixels[:, :, None] if pixels.ndim == 2 else pixels
    return torch.from_numpy(np.ascontiguousarray(planes.transpose(2, 0, 1)))[None].to(device)


def to_array(tensor: Tensor) -> Array:
    """Turn 1×C×H×W into H×W×C."""
    array: Array = tensor[0].permute(1, 2, 0).float().cpu().numpy()
    return array


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
    """Give a picture above 512×512 more iterations, and a small one no more than it can bear.

    Each part must be seen often enough; seen too often, a small picture's noise is learned.
    """
    growth = max(1.0, pixels / 512**2) ** 0.5
    most = MOST_LOOKS * pixels / min(pixels, recipe.crop**2)
    return replace(
        recipe,
        iterations=round(min(most, recipe.iterations * growth)),
        patience=round(recipe.patience * growth),
    )
