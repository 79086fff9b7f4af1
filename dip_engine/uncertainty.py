"""How sure a fit is of each pixel: the spread of what it says late, as a picture of its own.

A fit that is shaken by noise of the right strength wanders through the pictures that are likely
(`guard.disturb`). Where these differ, the picture is not known well. The spread tells nothing of
what all of them have wrong alike.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dip_engine import picture
from dip_engine.finishing import Finish
from dip_engine.fit import Fitted
from dip_engine.presets import Recipe
from dip_engine.tiling import Mosaic, Tile
from dip_engine.work import Work

Array = np.ndarray[Any, np.dtype[Any]]

STRENGTH = 2.0  # of the noise on the weights, in learning rates, as in the authors' code


def wandering(recipe: Recipe) -> Recipe:
    """Return the recipe of a fit whose spread means something.

    The blind-spot network is shown another part of the picture each time: it needs no shaking. The
    mean of several networks wanders less than it is wrong.
    """
    strength = 0.0 if recipe.network == "blind-spot" else STRENGTH
    return replace(recipe, members=1, langevin=strength, spread=True)


class Uncertainty:
    """Joins the tiles of the spread. Without a file it does nothing.

    Args:
        file: `Job.uncertainty`.
        work: turns a fit into a picture.
        mosaic: of the results.
    """

    def __init__(self, file: Path | None, work: Work, mosaic: Mosaic) -> None:
        self.file = file
        self.work = work
        if file is not None:
            nothing = np.zeros_like(mosaic.start)
            self.usual = Mosaic(nothing, mosaic.overlap)
            self.higher = Mosaic(nothing.copy(), mosaic.overlap)

    def add(self, tile: Tile, fitted: Fitted) -> None:
        """Note a finished tile."""
        if self.file is None or fitted.spread is None:
            return
        above = replace(fitted, picture=fitted.picture + fitted.spread)
        place = tile.scaled(self.work.factor)
        self.usual.add(place, self.work.answer(tile, fitted))
        self.higher.add(place, self.work.answer(tile, above))

    def write(self, finish: Finish) -> None:
        """Write the standard deviation of each pixel and channel, in units of the picture.

        Raises:
            OutputError: the file cannot be written.
        """
        if self.file is None:
            return
        usual, higher = (self.work.finish(m.picture()) for m in (self.usual, self.higher))
        spread = np.abs(higher - usual).astype(np.float32) * finish.values.width
        like = replace(finish.source, dtype=np.dtype(np.float32), alpha=None)
        picture.write(self.file, spread, like)
