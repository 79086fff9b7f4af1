"""Inpainting: what is known around a hole, and which of it is held out as if it were one."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dip_engine import classical
from dip_engine.errors import MaskError
from dip_engine.fit import Fitted
from dip_engine.glance import without_holes
from dip_engine.held_out import weight_map
from dip_engine.job import Settings
from dip_engine.plug_and_play import falling, plug_and_play
from dip_engine.presets import PIXEL_HOLES, TEXT_HOLES, recipe_for
from dip_engine.problem import Problem
from dip_engine.returning import part_of
from dip_engine.tiling import Tile, plan_tiles, region_of_interest
from dip_engine.work import OVERLAP, Start, Work, to_array, to_tensor

Array = np.ndarray[Any, np.dtype[Any]]

FIRST_LEVEL, LAST_LEVEL = 25 / 255, 2 / 255  # what the turns of the start take to be noise
REGION = 24.0  # pixels over which held-out ones speak for their neighbours
CONTEXT = 64  # pixels around a hole that the fit learns from, at least


class Inpainting(Work):
    """The white part of a mask is filled; everything else comes back as it was.

    Only tiles with holes are worked on. Held-out pixels decide how much of the biharmonic fill, of
    the turns of the non-local estimate and of the fit goes into the result; in a large hole the fit
    alone counts, because a biharmonic fill is a blur there.

    Args:
        pixels: float32 H×W×C, 0–1.
        mask: float32 H×W, more than 0 where it is to be filled.
        settings: how.
        hidden: bool H×W, or None; colours outside the mask that nobody sees and that mean nothing.
            No hole, but nothing is learned from them.

    Raises:
        MaskError: nothing is left to restore from, near a hole or at all.
    """

    start_share = 0.5

    def __init__(
        self, pixels: Array, mask: Array, settings: Settings, hidden: Array | None = None
    ) -> None:
        missing = mask > 0
        unknown = missing if hidden is None else missing | hidden
        if unknown.all():
            raise MaskError(
                "there is nothing outside the mask to restore from.",
                "Mark less; what is wholly transparent does not count.",
            )
        if unknown.sum() > missing.sum():
            pixels = classical.fill_nearest(pixels, unknown)
        hole = classical.hole_radius(missing, unknown)
        super().__init__(pixels, recipe_for("inpaint", settings, hole=hole), settings)
        self.missing = missing
        self.unknown = unknown
        self.hole = hole
        if hole > TEXT_HOLES or settings.fit_only:  # no turns are taken
            self.start_share = Work.start_share
        self._choose = cache(self._choose_held)
        self.seed = settings.seed
        self._guesses: dict[Tile, Array] = {}  # of the tile in work
        area = region_of_interest(mask, max(CONTEXT, round(2 * hole)))
        self.tiles = [
            tile for tile in plan_tiles(area, self.side, OVERLAP) if tile.cut(missing).any()
        ]
        for tile in self.tiles:
            if tile.cut(unknown).all():
                raise MaskError(
                    "the hole is too large: there is nothing near it to restore from.",
                    "Mark less, or scale the picture down first.",
                )

    def first(self) -> Array:
        mean = self.pixels[~self.unknown].mean(axis=0)
        return np.where(self.missing[:, :, None], mean, self.pixels).astype(np.float32)

    def glance(self) -> Array:
        known = to_tensor((~self.unknown).astype(np.float32))
        return to_array(without_holes(to_tensor(self.pixels), known))

    def start(self, tile: Tile, device: torch.device) -> Start:
        """Fill the holes; beside, guess what is held out, for the weighing."""
        yield 0.0
        pixels, missing = tile.cut(self.pixels), tile.cut(self.missing)
        if self.hole > TEXT_HOLES:
            return classical.fill(pixels, missing)
        share = yield from part_of(self._guess(tile, device), 0, 1 / 4)
        # What is filled must not depend on what was hidden by chance (but for the share). The first
        # round ends with a picture in which the second finds more that is alike.
        smooth = classical.fill(pixels, missing)
        few, many = self._levels(0.5), self._levels(1)
        filled = yield from part_of(_turns(smooth, pixels, missing, few, device), 1 / 4, 1 / 2)
        filled = yield from part_of(_turns(filled, pixels, missing, many, device), 1 / 2, 1)
        start: Array = filled + share * (smooth - filled)
        return start

    def _guess(self, tile: Tile, device: torch.device) -> Generator[float, None, Array | float]:
        """Guess what is held out, and return how much of the smooth fill was to be in it."""
        pixels, held = tile.cut(self.pixels), self.held_pixels(tile)
        if not held.any():
            return 0.0
        hidden = tile.cut(self.missing) | held
        smooth = classical.fill(pixels, hidden)
        guess = yield from _turns(smooth, pixels, hidden, self._levels(0.5), device)
        # Where nothing is alike, the smooth fill is better.
        share = self._measured(tile, guess, smooth)
        self._guesses = {tile: guess + share * (smooth - guess)}
        return share

    def _levels(self, share: float) -> list[float]:
        """Return what a share of the recipe's turns take to be noise."""
        return falling(FIRST_LEVEL, LAST_LEVEL, math.ceil(share * self.recipe.turns))

    def problem(self, tile: Tile, start: Array, device: torch.device) -> Problem:
        known = (~tile.cut(self.unknown)).astype(np.float32)
        return replace(super().problem(tile, start, device), known=to_tensor(known, device))

    def join(self, tile: Tile, start: Array, fitted: Fitted) -> Array:
        return self._joined(tile, start, to_array(fitted.picture))

    def _joined(self, tile: Tile, start: Array, fit: Array) -> Array:
        return start + self._weight(tile, fit) * (fit - start)

    def error(self, tile: Tile, start: Array, fitted: Fitted) -> float | None:
        if not self.held_pixels(tile).any():
            return None
        return self._error_of(tile, to_array(fitted.picture))

    def _error_of(self, tile: Tile, fit: Array) -> float:
        """Return the mean squared error of what is joined with a fit, where it was guessed."""
        held = self.held_pixels(tile)
        weighed = self._is_weighed(tile)
        guess = self._joined(tile, self._guesses[tile], fit) if weighed else fit
        return float(np.mean((guess[held] - tile.cut(self.pixels)[held]) ** 2))

    def judge(self, tile: Tile) -> Callable[[Tensor], float] | None:
        if not self._is_weighed(tile):
            return None
        return lambda picture: self._error_of(tile, to_array(picture))

    def _is_weighed(self, tile: Tile) -> bool:
        return self.hole <= TEXT_HOLES and bool(self.held_pixels(tile).any())

    def _weight(self, tile: Tile, fit: Array) -> Array | float:
        if not self._is_weighed(tile):
            return 1.0
        return self._measured(tile, self._guesses[tile], fit)

    def _measured(self, tile: Tile, one: Array, other: Array) -> Array:
        """Return how much of the other estimate held-out pixels would take, region by region."""
        return weight_map(tile.cut(self.pixels), one, other, self.held_pixels(tile), REGION)

    def held_pixels(self, tile: Tile) -> Array:
        return self._choose(tile)

    def _choose_held(self, tile: Tile) -> Array:
        """Hold out what is as hard to guess as the holes are.

        Where these are wider than single pixels, parts of the mask itself are laid on known ground;
        single pixels would flatter the biharmonic fill.
        """
        missing, unknown = tile.cut(self.missing), tile.cut(self.unknown)
        if not self.recipe.hold_out:
            return np.zeros_like(missing)
        random = np.random.default_rng(self.seed)
        if PIXEL_HOLES < self.hole <= TEXT_HOLES:
            held = _moved_holes(missing, unknown, self.recipe.hold_out, self.hole, random)
            if held.any():
                return held
        single: Array = np.less(random.random(missing.shape), self.recipe.hold_out)
        return single & ~unknown


def _turns(
    filled: Array, pixels: Array, hidden: Array, levels: Sequence[float], device: torch.device
) -> Start:
    """Take turns between the non-local estimate and the pixels that are not hidden."""
    known = to_tensor((~hidden).astype(np.float32), device)
    measured = to_tensor(pixels, device)

    def agree(picture: Tensor, _level: float) -> Tensor:
        return known * measured + (1 - known) * picture

    estimate = yield from plug_and_play(to_tensor(filled, device), levels, agree)
    return to_array(agree(estimate, 0.0))


def _moved_holes(
    missing: Array, unknown: Array, share: float, hole: float, random: np.random.Generator
) -> Array:
    """Copy about so many holes to where the picture is known: bool h×w, at most share of it."""
    height, width = missing.shape
    shift = (
        random.integers(height // 4, height - height // 4),
        random.integers(width // 4, width - width // 4),
    )
    copies = np.roll(missing, shift, axis=(0, 1)) & ~unknown
    side = 8 + round(4 * hole)
    blocks = random.permutation(-(-height // side) * -(-width // side)).reshape(
        -(-height // side), -1
    )
    order = np.kron(blocks, np.ones((side, side), int))[:height, :width]
    wanted = share * int((~unknown).sum())
    counts = np.cumsum(np.bincount(order[copies], minlength=blocks.size))
    held: Array = copies & (order < int(np.searchsorted(counts, wanted, side="right")))
    return held
