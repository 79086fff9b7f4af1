"""The pictures along a fit, at full size in a folder, for a person who chooses one by eye.

Index 0 is the classical start, index k the k-th point of the fit. Of a picture that is worked in
tiles, index k shows each tile at its k-th point; a tile whose fit ended before that is shown with
its result. It is written anew with every tile, or, where that would take too much of the time, with
a later one.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np

from dip_engine import files, picture
from dip_engine.errors import OutputError
from dip_engine.events import Snapshot
from dip_engine.finishing import Finish
from dip_engine.sheet import Sheet
from dip_engine.tiling import Mosaic, Tile
from dip_engine.work import Work

Array = np.ndarray[Any, np.dtype[Any]]

FEWEST = 4  # points of the fit; the start comes on top
MOST_BYTES = 2 * 2**30
MOST_TIME = 0.2  # of a job, for snapshots that can wait


def check_folder(folder: Path) -> None:
    """Find out before the work that a folder can be written.

    Raises:
        OutputError: it cannot.
    """
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise files.unwritable(folder, error) from error


def schedule(iterations: int, bytes_each: int, most: int) -> list[int]:
    """Return the iterations to be shown: 0 for the start, then equally spaced to the end.

    Args:
        iterations: budget of the fit.
        bytes_each: on the disk; few points are taken of a picture that needs much.
        most: `Job.snapshot_count`.
    """
    room = max(FEWEST, MOST_BYTES // bytes_each - 1)
    count = min(iterations, most, room)
    return [round(k * iterations / count) for k in range(count + 1)]


class Snapshots:
    """Writes the snapshots of a job; a context manager. Without a folder it does nothing.

    Each tile goes through `take` until it comes to its `end`, and is added to the mosaic then. A
    tile that is left out does neither. Where the folder cannot be written any more, e.g. because
    the disk is full, the job goes on without further snapshots.

    Attributes:
        problem: why there are no further ones, or None.

    Args:
        folder: `Job.snapshots`.
        work: the tiles, and the budget of their fits.
        mosaic: of the results.
        finish: makes the picture for the user of what was joined.
    """

    def __init__(self, folder: Path | None, work: Work, mosaic: Mosaic, finish: Finish) -> None:
        self.work = work
        self.mosaic = mosaic
        self.finish = finish
        self.index = 0  # the next one of the tile in work
        self.points: list[int] = []
        self.sheets: list[Sheet] = []  # by index: the sum of the tiles, where there are several
        self.late: dict[int, float | None] = {}  # joined but not written: dB by index
        self.begin, self.spent = time.monotonic(), 0.0
        self.problem: str | None = None
        if folder is not None:
            self.folder = folder
            self.like = replace(finish.source, dtype=np.dtype(np.float32))
            most = finish.job.snapshot_count
            self.points = schedule(work.recipe.iterations, self._bytes_each(), most)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for sheet in self.sheets:
            sheet.close()

    def take(
        self, tile: Tile, iteration: int, make: Callable[[], Array], psnr: float | None = None
    ) -> Iterator[Snapshot]:
        """Write what is due at an iteration of a tile's fit.

        Args:
            tile: the one in work.
            iteration: of its fit, 0 for its start.
            make: returns its picture as of now, h×w×C.
            psnr: see `Snapshot`.
        """
        if not self._is_due(iteration):
            return
        is_single = len(self.work.tiles) == 1
        if is_single and iteration and not self._has_time():
            return
        begin = time.monotonic()
        pixels = make()
        self.spent += time.monotonic() - begin
        if not np.isfinite(pixels).all():  # the fit diverges and will go back: wait for it
            return
        if is_single:  # of points that had to wait, the last one stands for all
            while self._is_due(iteration):
                self.index += 1
            self.points[self.index - 1] = iteration
            yield from self._safely(self._update(self.index - 1, tile, pixels, psnr))
            return
        while self._is_due(iteration):
            yield from self._safely(self._update(self.index, tile, pixels, psnr))
            self.index += 1

    def end(self, tile: Tile, result: Array, psnr: float | None) -> Iterator[Snapshot]:
        """Show a tile's result in what earlier tiles have reached beyond the end of its fit."""
        for index in range(self.index, len(self.sheets)):
            yield from self._safely(self._update(index, tile, result, psnr))
        self.index = 0

    def rest(self) -> Iterator[Snapshot]:
        """Write what had to wait, after the last tile."""
        for index, psnr in sorted(self.late.items()):
            yield from self._safely(self._write_late(index, psnr))

    def _safely(self, snapshots: Iterator[Snapshot]) -> Iterator[Snapshot]:
        """Let the fit go on where its snapshots cannot: they are a comfort, it is the work."""
        if self.problem is not None:
            return
        try:
            yield from snapshots
        except OutputError as error:
            self.problem, self.points = str(error), []

    def _write_late(self, index: int, psnr: float | None) -> Iterator[Snapshot]:
        yield self._write(index, self.sheets[index].read(), self.mosaic.weight, psnr)

    def _has_time(self) -> bool:
        return self.spent <= MOST_TIME * (time.monotonic() - self.begin)

    def _is_due(self, iteration: int) -> bool:
        return self.index < len(self.points) and iteration >= self.points[self.index]

    def _update(
        self, index: int, tile: Tile, pixels: Array, psnr: float | None
    ) -> Iterator[Snapshot]:
        """Join a tile into an index, and write it at once if it is new or there is time for it."""
        begin = time.monotonic()
        tile = tile.scaled(self.work.factor)
        window = self.mosaic.window(tile)
        is_new = len(self.work.tiles) == 1 or index == len(self.sheets)
        if is_new:
            total = self.mosaic.total.copy()
            tile.cut(total)[:] += window * pixels
            if len(self.work.tiles) > 1:
                self.sheets.append(Sheet(self.folder, total))
        else:
            self.sheets[index].add(tile, window * pixels)
            if not self._has_time():
                self.late[index] = psnr
                return
            total = self.sheets[index].read()
        weight = self.mosaic.weight.copy()
        tile.cut(weight)[:] += window
        snapshot = self._write(index, total, weight, psnr)
        self.late.pop(index, None)
        yield snapshot
        self.spent += time.monotonic() - begin

    def _write(self, index: int, total: Array, weight: Array, psnr: float | None) -> Snapshot:
        result = self.finish.picture(self.work.finish(self.mosaic.picture_of(total, weight)))
        path = self.folder / f"{index:03}.npy"
        picture.write(path, result, self.like, alpha=self.finish.alpha, durable=False)
        preview = self.finish.thumbnail(result)
        return Snapshot(index, self.points[index], str(path), psnr, *preview)

    def _bytes_each(self) -> int:
        source = self.finish.source
        channels = source.channels + (source.alpha is not None)
        joined = source.channels if len(self.work.tiles) > 1 else 0
        pixels = source.width * source.height * self.work.factor**2
        return 4 * pixels * (channels + joined)
