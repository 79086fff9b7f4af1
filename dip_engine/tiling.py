"""Pictures of any size in pieces that fit: where the tiles lie and how they are joined.

Neighbouring tiles overlap. Each is multiplied by a window that rises over the overlap, and the sum
is divided by the sum of the windows, so that no seam is left.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of a picture, in pixels; `bottom` and `right` are exclusive."""

    top: int
    left: int
    bottom: int
    right: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.bottom - self.top

    @property
    def width(self) -> int:
        """Columns."""
        return self.right - self.left

    def cut(self, array: Array) -> Array:
        """Return the tile's part of an H×W… array."""
        return array[self.top : self.bottom, self.left : self.right]

    def scaled(self, factor: int) -> Tile:
        """Return the same rectangle in a picture that is `factor` times larger."""
        return Tile(
            self.top * factor, self.left * factor, self.bottom * factor, self.right * factor
        )


def plan_tiles(area: Tile, side: int, overlap: int) -> list[Tile]:
    """Cover an area with tiles of about equal size, at most side×side, row by row."""
    return [
        Tile(top, left, bottom, right)
        for top, bottom in _spans(area.top, area.bottom, side, overlap)
        for left, right in _spans(area.left, area.right, side, overlap)
    ]


def _spans(start: int, end: int, side: int, overlap: int) -> list[tuple[int, int]]:
    length = end - start
    if length <= side:
        return [(start, end)]
    count = math.ceil((length - overlap) / (side - overlap))
    size = math.ceil((length + (count - 1) * overlap) / count)
    firsts = [start + round(i * (length - size) / (count - 1)) for i in range(count)]
    return [(first, first + size) for first in firsts]


def region_of_interest(mask: Array, margin: int) -> Tile:
    """Return the bounding box of what is marked (> 0), with `margin` pixels around it."""
    rows = np.flatnonzero(mask.any(axis=1))
    columns = np.flatnonzero(mask.any(axis=0))
    height, width = mask.shape
    return Tile(
        max(0, int(rows[0]) - margin),
        max(0, int(columns[0]) - margin),
        min(height, int(rows[-1]) + 1 + margin),
        min(width, int(columns[-1]) + 1 + margin),
    )


class Mosaic:
    """The picture that the tiles are joined into: float32 H×W×C.

    Args:
        start: what is there until a tile comes.
        overlap: pixels over which two neighbours are blended.
    """

    def __init__(self, start: Array, overlap: int) -> None:
        self.start = start
        self.overlap = max(1, overlap)
        self.total = np.zeros_like(start)
        self.weight = np.zeros((*start.shape[:2], 1), np.float32)

    def window(self, tile: Tile) -> Array:
        """Return how much each pixel of a tile counts, h×w×1."""
        height, width = self.start.shape[:2]
        return np.outer(
            _ramp(tile.height, tile.top > 0, tile.bottom < height, self.overlap),
            _ramp(tile.width, tile.left > 0, tile.right < width, self.overlap),
        )[:, :, None]

    def add(self, tile: Tile, pixels: Array) -> None:
        """Join a finished tile (h×w×C)."""
        window = self.window(tile)
        tile.cut(self.total)[:] += window * pixels
        tile.cut(self.weight)[:] += window

    def picture(self) -> Array:
        """Return what there is now."""
        return self.picture_of(self.total, self.weight)

    def picture_of(self, total: Array, weight: Array) -> Array:
        """Return what there would be with another sum of the tiles, H×W×C, and of their windows."""
        joined = total / np.maximum(weight, np.float32(1e-6))
        return np.where(weight > 0, joined, self.start)


def _ramp(length: int, rises: bool, falls: bool, overlap: int) -> Array:
    """Return a window that rises and falls linearly where the tile has a neighbour."""
    position = np.arange(length, dtype=np.float32) + 0.5
    window = np.ones(length, np.float32)
    if rises:
        window = np.minimum(window, position / overlap)
    if falls:
        window = np.minimum(window, position[::-1] / overlap)
    return window
