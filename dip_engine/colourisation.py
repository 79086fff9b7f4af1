"""Colourising: the gray of every pixel is known, its chroma only under some strokes.

The network is shown the gray picture and where each pixel lies, and asked for the chroma under the
strokes; elsewhere the classical propagation counts a little, so that nothing is left to chance, and
the structure of the network straightens what leaked over edges. Some strokes are held out: they say
when to stop, and weigh the fit against the propagation. The luminance of the result is that of the
gray picture, always.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from dip_engine import classical, colours, picture
from dip_engine.errors import InputError
from dip_engine.fit import Fitted
from dip_engine.held_out import best_weight
from dip_engine.job import Job, Settings
from dip_engine.picture import Picture
from dip_engine.presets import recipe_for
from dip_engine.problem import Problem
from dip_engine.problems import Start, Work, to_array, to_tensor
from dip_engine.propagation import propagate
from dip_engine.tiling import Tile

Array = np.ndarray[Any, np.dtype[Any]]

LONGEST = 768  # side in pixels at which chroma is found; the eye sees it coarsely
PROPAGATED = 0.01  # weight of a propagated colour beside one under a stroke
LEAST_COLOUR = 4 / 255  # difference to the gray picture from which on a pixel is a stroke


def in_colour(source: Picture) -> Picture:
    """Return a gray picture as one that can hold colours."""
    return replace(source, pixels=np.broadcast_to(source.pixels, (source.height, source.width, 3)))


def read_hints(job: Job, gray: Picture) -> tuple[Array, Array]:
    """Return the strokes of a job: colours float32 H×W×3, and where they are, bool H×W.

    Where the second picture has transparency, what is more opaque than not is a stroke; else
    whatever differs from the gray picture.

    Raises:
        InputError: the second picture cannot be read, is of another size, or has no strokes.
    """
    assert job.guide is not None, "Job refuses it"
    hints = read_guide(job, gray)
    colour = np.broadcast_to(hints.pixels, (hints.height, hints.width, 3)).clip(0, 1)
    if hints.alpha is not None and not hints.alpha.all():
        top = np.iinfo(hints.alpha.dtype).max if hints.alpha.dtype.kind == "u" else 1.0
        there = hints.alpha >= top / 2
    else:
        there = np.abs(colour - gray.pixels.clip(0, 1)).max(axis=2) > LEAST_COLOUR
    if not there.any():
        raise InputError(
            f"{job.guide} has no strokes of colour.",
            "Paint some over a copy of the gray picture, or on a transparent layer.",
        )
    return colour.astype(np.float32), there


def read_guide(job: Job, source: Picture) -> Picture:
    """Read the second picture of a job.

    Raises:
        InputError: it cannot be read, or is not as large as the first.
    """
    assert job.guide is not None, "Job refuses it"
    guide = picture.read(job.guide)
    if (guide.height, guide.width) != (source.height, source.width):
        raise InputError(
            f"{job.guide} is {guide.width}×{guide.height} pixels, but the picture is "
            f"{source.width}×{source.height}.",
            "Both must be of the same size.",
        )
    return guide


class Colourising(Work):
    """The gray picture gets the colours of the strokes, everywhere.

    It is done in one piece, since a stroke may colour what is far away; the chroma of a large
    picture is found at a smaller size.

    Args:
        pixels: float32 H×W×C, 0–1; only its luminance is used.
        strokes: float32 H×W×3, colours.
        there: bool H×W, where the strokes are.
        settings: how.
    """

    start_share = 0.2

    def __init__(self, pixels: Array, strokes: Array, there: Array, settings: Settings) -> None:
        self.luminance = colours.luminance(pixels)
        gray = np.repeat(self.luminance[:, :, None], 3, axis=2)
        super().__init__(gray, recipe_for("colourise", settings), settings)
        self.tiles = [self.whole]
        self.seed = settings.seed
        self._shrink(colours.chroma(strokes), there)

    def start(self, tile: Tile, device: torch.device) -> Start:
        yield 0.0
        self.propagated = propagate(self.small, self.chroma, self.known & ~self._held_strokes())
        return self._coloured(self.propagated)

    def problem(self, tile: Tile, start: Array, device: torch.device) -> Problem:
        height, width = self.small.shape
        chroma = np.where(self.known[:, :, None], self.chroma, self.propagated)
        known = np.where(self.known, 1, PROPAGATED).astype(np.float32)
        place = [axis / max(height, width) for axis in np.indices((height, width))]
        latent = np.stack([self.small, *place], axis=2).astype(np.float32)
        return Problem(
            to_tensor(_to_unit(chroma), device),
            to_tensor(known, device),
            height,
            width,
            latent=to_tensor(latent, device),
            start=to_tensor(_to_unit(self.propagated), device),
        )

    def held(self, tile: Tile, problem: Problem, seed: int) -> Tensor | None:
        held = self._held_strokes()
        return to_tensor(held.astype(np.float32), problem.known.device) if held.any() else None

    def fit_alone(self, tile: Tile, fitted: Fitted) -> Array:
        return self._coloured(_from_unit(to_array(fitted.picture)))

    def join(self, tile: Tile, start: Array, fitted: Fitted) -> Array:
        held, fit = self._held_strokes(), _from_unit(to_array(fitted.picture))
        weight = best_weight(self.chroma[held], self.propagated[held], fit[held])
        return self._coloured(self.propagated + weight * (fit - self.propagated))

    def _shrink(self, chroma: Array, there: Array) -> None:
        """Set gray, chroma and strokes at the size at which chroma is found."""
        scale = max(self.luminance.shape) / LONGEST
        if scale <= 1:
            self.small, self.chroma, self.known = self.luminance, chroma, there
            return
        weight = there.astype(np.float32)[:, :, None]
        stacked = np.concatenate([self.luminance[:, :, None], weight * chroma, weight], axis=2)
        small = classical.shrink(stacked, LONGEST)
        self.small, self.known = small[:, :, 0], small[:, :, 3] > 0.25
        self.chroma = small[:, :, 1:3] / np.maximum(small[:, :, 3:], 1e-3)

    def _held_strokes(self) -> Array:
        """Choose whole strokes to hold out: single pixels are told by the rest of their stroke."""
        if not self.recipe.hold_out:
            return np.zeros_like(self.known)
        strokes, count = ndimage.label(self.known, structure=np.ones((3, 3)))
        if count < 8:  # each is needed
            return np.zeros_like(self.known)
        random = np.random.default_rng(self.seed)
        out = 1 + random.permutation(count)[: max(1, round(self.recipe.hold_out * count))]
        return np.isin(strokes, out)

    def _coloured(self, chroma: Array) -> Array:
        if chroma.shape[:2] != self.luminance.shape:
            factors = [n / m for n, m in zip(self.luminance.shape, chroma.shape, strict=False)]
            chroma = ndimage.zoom(chroma, (*factors, 1), order=1, grid_mode=True, mode="nearest")
        return colours.colour(self.luminance, chroma)


def _to_unit(chroma: Array) -> Array:
    """Bring chroma, −1 to 1, into 0–1."""
    return ((chroma + 1) / 2).astype(np.float32)


def _from_unit(values: Array) -> Array:
    return 2 * values - 1
