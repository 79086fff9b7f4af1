"""Super-resolution: a small picture, its classical enlargement, and the detail a fit finds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from dip_engine import classical
from dip_engine.fit import Fitted
from dip_engine.job import Settings
from dip_engine.operators import Lanczos
from dip_engine.plug_and_play import falling, linear_agreement, plug_and_play
from dip_engine.presets import recipe_for
from dip_engine.problem import Problem
from dip_engine.tiling import Tile
from dip_engine.work import Start, Work, to_array, to_tensor

Array = np.ndarray[Any, np.dtype[Any]]

BACK_PROJECTIONS = 2
FIRST_LEVEL, LAST_LEVEL = 50 / 255, 4 / 255  # what the turns of the start take to be noise
POLISH_LEVEL, POLISH_TURNS = 15 / 255, 3
ROUNDING = 0.5 / 255  # error of the small picture's 8 bits, rather more


class Enlarging(Work):
    """Super-resolution: the picture whose Lanczos reduction is the one given."""

    start_share, polish_share = 0.2, 0.15

    def __init__(self, pixels: Array, settings: Settings) -> None:
        self.factor = settings.factor
        super().__init__(pixels, recipe_for("super-resolution", settings), settings)

    def first(self) -> Array:
        return classical.enlarge(self.pixels, self.factor)

    def start(self, tile: Tile, device: torch.device) -> Start:
        large = classical.enlarge(tile.cut(self.pixels), self.factor)
        return (yield from self._turns(tile, large, device, FIRST_LEVEL, self.recipe.turns))

    def problem(self, tile: Tile, start: Array, device: torch.device) -> Problem:
        return replace(
            super().problem(tile, tile.cut(self.pixels), device),
            height=tile.height * self.factor,
            width=tile.width * self.factor,
            operator=Lanczos(self.factor, device=device),
            start=to_tensor(start, device),
        )

    def join(self, tile: Tile, start: Array, fitted: Fitted) -> Array:
        """Keep the detail the fit found, and what the small picture says about everything coarser.

        The fit counts by its usual share, and by how much of the small picture's variance it
        explains: one that was cut short is nearly all start. Back-projection (Irani and Peleg 1991)
        then adds the enlarged rest y − A(x).
        """
        small, fit = tile.cut(self.pixels), to_array(fitted.picture)
        unexplained = float(np.mean((small - self._reduced(fit)) ** 2))
        explained = 1 - unexplained / max(float(small.var(axis=(0, 1)).mean()), 1e-9)
        weight = self.recipe.share * min(1.0, max(0.0, explained))
        picture = start + weight * (fit - start)
        for _ in range(BACK_PROJECTIONS):
            rest = small - self._reduced(picture)
            picture = picture + classical.enlarge(rest, self.factor)
        return picture

    def polish(self, tile: Tile, joined: Array, device: torch.device) -> Start:
        """Let the non-local estimate take some last turns from what was joined."""
        return (yield from self._turns(tile, joined, device, POLISH_LEVEL, POLISH_TURNS))

    def _turns(
        self, tile: Tile, picture: Array, device: torch.device, first_level: float, turns: int
    ) -> Start:
        """Take turns between the non-local estimate and what the small picture says."""
        large, observed = to_tensor(picture, device), to_tensor(tile.cut(self.pixels), device)
        agree = linear_agreement(Lanczos(self.factor, device=device), observed, ROUNDING, large)
        levels = falling(first_level, LAST_LEVEL, turns)
        estimate = yield from plug_and_play(large, levels, agree)
        return to_array(agree(estimate, LAST_LEVEL))

    def _reduced(self, picture: Array) -> Array:
        return to_array(Lanczos(self.factor)(to_tensor(picture)))
