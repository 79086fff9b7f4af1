"""The pictures along a fit, at full size in a folder, for a person who chooses one by eye.

Index 0 is the classical start, index k the k-th point of the fit. Of a picture that is worked in
tiles, index k shows each tile at its k-th point and is written anew with every tile; a tile whose
fit ended before that is shown with its result.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO, Any, Self

import numpy as np

from dip_engine import picture
from dip_engine.finishing import Finish
from dip_engine.job import Snapshot
from dip_engine.problems import Work
from dip_engine.tiling import Mosaic, Tile

Array = np.ndarray[Any, np.dtype[Any]]

POINTS, FEWEST = 20, 4  # of the fit; the start comes on top
MOST_BYTES = 2 * 2**30


def check_folder(folder: Path) -> None:
    """Find out before the work that a folder can be written.

    Raises:
        OutputError: it cannot.
    """
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise picture.unwritable(folder, error) from error


def schedule(iterations: int, bytes_each: int) -> list[int]:
    """Return the iterations to be shown: 0 for the start, then equally spaced to the end.

    Args:
        iterations: budget of the fit.
        bytes_each: on the disk; few points are taken of a picture that needs much.
    """
    room = max(FEWEST, MOST_BYTES // bytes_each - 1)
    count = min(iterations, POINTS, room)
    return [round(k * iterations / count) for k in range(count + 1)]


class Snapshots:
    """Writes the snapshots of a job; a context manager. Without a folder it does nothing.

    Args:
        folder: `Job.snapshots`.
        work: the tiles, and the budget of their fits.
        mosaic: tiles that are done are in it, each after its `end`.
        finish: makes the result of what was joined.
    """

    def __init__(self, folder: Path | None, work: Work, mosaic: Mosaic, finish: Finish) -> None:
        self.work = work
        self.mosaic = mosaic
        self.finish = finish
        self.several = len(work.tiles) > 1
        self.index = 0  # the next one of the tile in work
        self.points: list[int] = []
        self._totals: list[IO[bytes]] = []  # by index: what was joined so far, unfinished
        if folder is not None:
            self.folder = folder
            self.like = replace(finish.source, dtype=np.dtype(np.float32))
            self.points = schedule(work.recipe.iterations, self._bytes_each())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for file in self._totals:
            file.close()

    def take(
        self, tile: Tile, iteration: int, make: Callable[[], Array], psnr: float | None = None
    ) -> Iterator[Snapshot]:
        """Write what is due at an iteration of a tile's fit.

        Args:
            tile: the one in work.
            iteration: of its fit, 0 for its start.
            make: returns its picture as of now, h×w×C.
            psnr: see `Snapshot`.

        Raises:
            OutputError: the folder cannot be written.
        """
        if not self._is_due(iteration):
            return
        pixels = make()
        if not np.isfinite(pixels).all():  # the fit diverges and will go back: wait for it
            return
        while self._is_due(iteration):
            yield self._write(self.index, tile, pixels, psnr)
            self.index += 1

    def end(self, tile: Tile, result: Array, psnr: float | None) -> Iterator[Snapshot]:
        """Show a tile's result in what earlier tiles have written beyond the end of its fit.

        Raises:
            OutputError: the folder cannot be written.
        """
        for index in range(self.index, len(self._totals)):
            yield self._write(index, tile, result, psnr)
        self.index = 0

    def _is_due(self, iteration: int) -> bool:
        return self.index < len(self.points) and iteration >= self.points[self.index]

    def _write(self, index: int, tile: Tile, pixels: Array, psnr: float | None) -> Snapshot:
        mosaic = self.mosaic.branch(self._read_total(index))
        mosaic.add(tile.scaled(self.work.factor), pixels)
        if self.several:
            self._keep_total(index, mosaic.total)
        result = self.finish.picture(self.work.finish(mosaic.picture()))
        path = self.folder / f"{index:03}.npy"
        picture.write(path, result, self.like, alpha=self.finish.alpha, durable=False)
        preview = self.finish.thumbnail(result)
        return Snapshot(index, self.points[index], str(path), psnr, *preview)

    def _read_total(self, index: int) -> Array | None:
        """Return what the tiles that are done have given to an index; None: their results."""
        if index >= len(self._totals):
            return None
        self._totals[index].seek(0)
        total: Array = np.load(self._totals[index])
        return total

    def _keep_total(self, index: int, total: Array) -> None:
        try:
            if index == len(self._totals):
                # Without a name: nothing is left behind, however the process ends.
                file = tempfile.TemporaryFile(dir=self.folder)  # noqa: SIM115 (see __exit__)
                self._totals.append(file)
            self._totals[index].seek(0)
            np.save(self._totals[index], total)
        except OSError as error:
            raise picture.unwritable(self.folder, error) from error

    def _bytes_each(self) -> int:
        source = self.finish.source
        channels = source.channels + (source.alpha is not None)
        joined = source.channels if self.several else 0
        pixels = source.width * source.height * self.work.factor**2
        return 4 * pixels * (channels + joined)
