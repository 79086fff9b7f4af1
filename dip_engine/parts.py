"""The two pictures a result was joined from, each in a file, so that either can be judged alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from dip_engine import picture
from dip_engine.finishing import Finish
from dip_engine.tiling import Mosaic, Tile
from dip_engine.work import Work

Array = np.ndarray[Any, np.dtype[Any]]


class Parts:
    """Joins the tiles of the classical start and of the fit. Without a folder it does nothing.

    Args:
        folder: `Job.parts`.
        work: how large the result is.
        mosaic: of the results, which shows what a tile without start or fit is.
    """

    def __init__(self, folder: Path | None, work: Work, mosaic: Mosaic) -> None:
        self.folder = folder
        self.work = work
        if folder is not None:
            self.mosaics = {
                name: Mosaic(mosaic.start.copy(), mosaic.overlap) for name in ("start", "fit")
            }

    def add(self, tile: Tile, start: Array, fit: Array) -> None:
        """Note a finished tile: its classical start and its fit, h×w×C."""
        if self.folder is not None:
            for mosaic, pixels in zip(self.mosaics.values(), (start, fit), strict=True):
                mosaic.add(tile.scaled(self.work.factor), pixels)

    def write(self, finish: Finish) -> None:
        """Write both files.

        Raises:
            OutputError: the folder cannot be written.
        """
        if self.folder is None:
            return
        like = replace(finish.source, dtype=np.dtype(np.float32))
        for name, mosaic in self.mosaics.items():
            pixels = finish.picture(self.work.finish(mosaic.picture()))
            path = self.folder / f"{name}.npy"
            picture.write(path, pixels, like, alpha=finish.alpha, durable=False)
