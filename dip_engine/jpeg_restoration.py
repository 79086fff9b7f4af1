"""JPEG: the intervals that a file tells, and the picture in them that has no blocks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dip_engine.fit import Fitted
from dip_engine.job import Settings
from dip_engine.jpeg import luminance_table
from dip_engine.nonlocal_estimate import nonlocal_estimate
from dip_engine.operators import inverse_block_dct, jpeg_coefficients
from dip_engine.presets import recipe_for
from dip_engine.problem import Problem
from dip_engine.tiling import Tile
from dip_engine.work import Start, Work, to_array, to_tensor

Array = np.ndarray[Any, np.dtype[Any]]

TRUSTED = 0.4  # of a JPEG step: half the step is certain, true values tend to the middle


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
