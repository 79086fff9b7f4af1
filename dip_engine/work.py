"""What every task does with a tile of a picture: what is known, a classical start, a fit, a join.

    task               y                    A            classical start         joined by
    denoise            noisy picture        identity     non-local estimate      probe
    inpaint            known pixels         identity     non-local turns         held-out pixels
    super-resolution   small picture        Lanczos ↓    non-local turns         back-projection
    jpeg               luminance intervals  block DCT    non-local estimate      fixed share
    deblur             blurred picture      blur         non-local turns         probe
    colourise          chroma of strokes    identity     propagation             held-out strokes
    flash              noisy picture        identity     non-local estimate      held-out pixels

Pictures here are float32 H×W×C on the 0–1 scale.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dip_engine.fit import Fitted, hold_out
from dip_engine.glance import MOST_PIXELS
from dip_engine.job import Settings
from dip_engine.noise import Noise
from dip_engine.presets import Recipe
from dip_engine.probe import Probe
from dip_engine.problem import Problem
from dip_engine.tiling import Tile, plan_tiles

Array = np.ndarray[Any, np.dtype[Any]]
Start = Generator[float, None, Array]

TILE = 768  # side in pixels of the result; the paper's network takes 5 GB for one
OVERLAP = 48


class Work:
    """A picture's task, tile by tile; the base shares what most tasks have in common.

    Attributes:
        measured: the picture as it was given.
        pixels: the picture that is worked on.
        probe: what was added to it, or None.
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
        self.measured = self.pixels = pixels
        self.probe: Probe | None = None
        self.recipe = recipe
        self.noise: Noise | None = None
        height, width = pixels.shape[:2]
        self.whole = Tile(0, 0, height, width)
        self.side = TILE // self.factor
        self.tiles = plan_tiles(self.whole, self.side, OVERLAP // self.factor)

    def first(self) -> Array:
        """Return the picture before anything is done to it, of the size of the result."""
        return self.measured

    @cached_property
    def rough(self) -> Array | None:
        """A rough result to show within a second, of the size of the result.

        None where there is nothing better than `first`, or the picture is too large to be so quick.
        """
        height, width = self.measured.shape[:2]
        return self.glance() if height * width <= MOST_PIXELS else None

    def glance(self) -> Array | None:
        """Make what `rough` is; asked again, it must answer the same."""
        return None

    def add_probe(self, noise_std: float, seed: int) -> None:
        """Let a probe tell what the fit of each tile is worth; see `Noise.independent`."""
        size = max(tile.height * tile.width for tile in self.tiles)
        self.probe = Probe.make(self.measured, noise_std, seed, size)
        self.pixels = self.measured + self.probe.pattern

    def prepare(self, device: torch.device) -> Generator[float, None, None]:
        """Find out what all tiles need, if it is not known yet; yields the fraction done."""
        yield from ()

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
        chosen = self.held_pixels(tile)
        if chosen is not None:
            return to_tensor(chosen.astype(np.float32), problem.known.device)
        generator = torch.Generator().manual_seed(seed)
        return hold_out(problem.known, self.recipe.hold_out, generator)[1]

    def held_pixels(self, tile: Tile) -> Array | None:
        """Return what is held out of start, fit and join alike, bool h×w; None for the fit alone.

        Asked again it must answer the same.
        """
        return None

    def fit_alone(self, tile: Tile, fitted: Fitted) -> Array:
        """Return the tile's picture as the fit has it."""
        return to_array(fitted.picture)

    def answer(self, tile: Tile, fitted: Fitted) -> Array:
        """Return what of `fit_alone` is the network's, nothing measured being mixed into it."""
        return self.fit_alone(tile, fitted)

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

    def judge(self, tile: Tile) -> Callable[[Tensor], float] | None:
        """Return what tells the error of a tile's result from a picture its fit might end with.

        None where only the fit's own error is known.
        """
        return None

    def finish(self, result: Array) -> Array:
        """Return the picture for the user from what the tiles were joined into."""
        return result


def to_tensor(pixels: Array, device: torch.device | str = "cpu") -> Tensor:
    """Turn H×W×C (or H×W) into 1×C×H×W."""
    planes = pixels[:, :, None] if pixels.ndim == 2 else pixels
    return torch.from_numpy(np.ascontiguousarray(planes.transpose(2, 0, 1)))[None].to(device)


def to_array(tensor: Tensor) -> Array:
    """Turn 1×C×H×W into H×W×C."""
    array: Array = tensor[0].permute(1, 2, 0).float().cpu().numpy()
    return array
