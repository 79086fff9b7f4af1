"""Colourising: the gray of every pixel is known, its chroma only under some strokes.

The network is shown the gray picture and where each pixel lies, and asked for the chroma under the
strokes; elsewhere the classical propagation counts a little, so that nothing is left to chance, and
the structure of the network straightens what leaked over edges. Some strokes are held out: they say
when to stop, and weigh the fit against the propagation. The luminance of the result is that of the
gray picture, always.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from dip_engine import classical, colours, picture
from dip_engine.background import in_background
from dip_engine.errors import InputError
from dip_engine.finishing import ValueRange
from dip_engine.fit import Fitted
from dip_engine.held_out import best_weight
from dip_engine.job import Job, Settings
from dip_engine.picture import Picture
from dip_engine.presets import recipe_for
from dip_engine.problem import Problem
from dip_engine.propagation import propagate
from dip_engine.tiling import Tile
from dip_engine.work import Start, Work, to_array, to_tensor

Array = np.ndarray[Any, np.dtype[Any]]

LONGEST, LONGEST_OF_FIT = 768, 384  # sides in pixels at which chroma is propagated and fitted
LEAST_COVER = 0.02  # of a pixel by a stroke, so that thin ones survive the reduction
FEW_STROKES, MOST_OF_FIT = 8, 0.6
PROPAGATED = 0.01  # weight of a propagated colour beside one under a stroke
LEAST_COLOUR = 4 / 255  # difference to the gray picture from which on a pixel is a stroke


def in_colour(source: Picture) -> Picture:
    """Return a gray picture as one that can hold colours."""
    if source.channels == 3:
        return source
    pixels = np.repeat(source.pixels, 3, axis=2)
    return replace(source, pixels=pixels, metadata=source.metadata.without_profile())


def read_hints(job: Job, gray: Picture) -> tuple[Array, Array]:
    """Return the strokes of a job: colours float32 H×W×3, and where they are, bool H×W.

    Where the second picture has transparency, what is more opaque than not is a stroke; else
    whatever differs from the gray picture.

    Raises:
        InputError: the second picture cannot be read, is of another size, or has no strokes.
    """
    assert job.guide is not None, "Job refuses it"
    hints = read_guide(job, gray)
    values = ValueRange.of(gray.pixels)
    colour = np.broadcast_to(hints.pixels, (hints.height, hints.width, 3))
    colour = values.to_unit(colour).clip(0, 1)
    if hints.alpha is not None and not hints.alpha.all():
        top = np.iinfo(hints.alpha.dtype).max if hints.alpha.dtype.kind == "u" else 1.0
        there = hints.alpha >= top / 2
    else:
        there = np.abs(colour - values.to_unit(gray.pixels)).max(axis=2) > LEAST_COLOUR
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

    It is done in one piece, since a stroke may colour what is far away. The eye sees chroma
    coarsely: that of a large picture is propagated at a smaller size, and the fit, which only tells
    by how much to change the propagation, has a still smaller one.

    Args:
        pixels: float32 H×W×C, 0–1; only its luminance is used.
        strokes: float32 H×W×3, colours.
        there: bool H×W, where the strokes are.
        settings: how.

    Attributes:
        propagated: the chroma that the strokes which are not held out give to every pixel, H×W×2.
    """

    start_share = 0.3
    propagated: Array

    def __init__(self, pixels: Array, strokes: Array, there: Array, settings: Settings) -> None:
        self.luminance = colours.luminance(pixels)
        gray = np.repeat(self.luminance[:, :, None], 3, axis=2)
        super().__init__(gray, recipe_for("colourise", settings), settings)
        self.tiles = [self.whole]
        self.seed = settings.seed
        whole = Strokes(self.luminance, colours.chroma(strokes), there)
        self.strokes = whole.shrunk(LONGEST)
        self.learned = self.strokes.without(self._held_strokes())

    def prepare(self, device: torch.device) -> Generator[float, None, None]:
        self.propagated = yield from in_background(self.learned.propagated)

    def start(self, tile: Tile, device: torch.device) -> Start:
        yield 0.0
        return self._coloured(self.propagated)

    def problem(self, tile: Tile, start: Array, device: torch.device) -> Problem:
        small = self.strokes.shrunk(LONGEST_OF_FIT)
        height, width = small.gray.shape
        self.before = resized(self.propagated, (height, width))
        chroma = np.where(small.there[:, :, None], small.chroma, self.before)
        known = np.where(small.there, 1, PROPAGATED).astype(np.float32)
        place = [axis / max(height, width) for axis in np.indices((height, width))]
        latent = np.stack([small.gray, *place], axis=2).astype(np.float32)
        return Problem(
            to_tensor(_to_unit(chroma), device),
            to_tensor(known, device),
            height,
            width,
            latent=to_tensor(latent, device),
            start=to_tensor(_to_unit(self.before), device),
        )

    def held(self, tile: Tile, problem: Problem, seed: int) -> Tensor | None:
        out = self.strokes.there & ~self.learned.there
        held = (
            resized(out[:, :, None].astype(np.float32), (problem.height, problem.width))
            > LEAST_COVER
        )
        held &= to_array(problem.known) == 1
        return to_tensor(held.astype(np.float32), problem.known.device) if held.any() else None

    def fit_alone(self, tile: Tile, fitted: Fitted) -> Array:
        return self._coloured(self.propagated + self._change(fitted))

    def join(self, tile: Tile, start: Array, fitted: Fitted) -> Array:
        return self._coloured(self._joined(fitted))

    def polish(self, tile: Tile, joined: Array, device: torch.device) -> Start:
        """Spread what the colours under the strokes, the held-out ones too, still differ by."""
        rest = replace(self.strokes, chroma=self.strokes.chroma - self.latest)
        spread = yield from in_background(rest.propagated)
        return self._coloured(self.latest + spread)

    def _joined(self, fitted: Fitted) -> Array:
        held, change = self.strokes.there & ~self.learned.there, self._change(fitted)
        truth, start = self.strokes.chroma[held], self.propagated[held]
        # A handful of strokes cannot tell that all of the fit is better than all of the start.
        weight = min(MOST_OF_FIT, best_weight(truth, start, start + change[held]))
        self.latest = self.propagated + weight * change
        return self.latest

    def _change(self, fitted: Fitted) -> Array:
        """Return by how much a fit changes the propagated chroma."""
        change = _from_unit(to_array(fitted.picture)) - self.before
        return resized(change, self.strokes.there.shape)

    def _held_strokes(self) -> Array:
        """Choose whole strokes to hold out: single pixels are told by the rest of their stroke."""
        there = self.strokes.there
        strokes, count = ndimage.label(there, structure=np.ones((3, 3)))
        if not self.recipe.hold_out or count < FEW_STROKES:  # each is needed
            return np.zeros_like(there)
        random = np.random.default_rng(self.seed)
        out = 1 + random.permutation(count)[: max(1, round(self.recipe.hold_out * count))]
        return np.isin(strokes, out)

    def _coloured(self, chroma: Array) -> Array:
        return colours.colour(self.luminance, resized(chroma, self.luminance.shape))


@dataclass(frozen=True, slots=True)
class Strokes:
    """What is known of a picture's colours.

    Attributes:
        gray: H×W.
        chroma: H×W×2, means something where there are strokes.
        there: bool H×W.
    """

    gray: Array
    chroma: Array
    there: Array

    def shrunk(self, longest: int) -> Strokes:
        """Return the same at a size of at most so many pixels a side."""
        weight = self.there.astype(np.float32)[:, :, None]
        stacked = np.concatenate([self.gray[:, :, None], weight * self.chroma, weight], axis=2)
        small = classical.shrink(stacked, longest)
        if small is stacked:
            return self
        chroma = small[:, :, 1:3] / np.maximum(small[:, :, 3:], 1e-3)
        return Strokes(small[:, :, 0], chroma, small[:, :, 3] > LEAST_COVER)

    def without(self, some: Array) -> Strokes:
        """Return the same without some of the strokes, bool H×W."""
        return replace(self, there=self.there & ~some)

    def propagated(self) -> Array:
        """Return the chroma of every pixel, H×W×2."""
        return propagate(self.gray, self.chroma, self.there)


def resized(plane: Array, size: tuple[int, ...]) -> Array:
    """Return H×W×C at another size, smoothly."""
    if plane.shape[:2] == tuple(size):
        return plane
    if size[0] < plane.shape[0]:
        return classical.shrink(plane, max(size))
    factors = [n / m for n, m in zip(size, plane.shape, strict=False)]
    large: Array = ndimage.zoom(plane, (*factors, 1), order=1, grid_mode=True, mode="nearest")
    return large


def _to_unit(chroma: Array) -> Array:
    """Bring chroma, −1 to 1, into 0–1."""
    return ((chroma + 1) / 2).astype(np.float32)


def _from_unit(values: Array) -> Array:
    return 2 * values - 1
