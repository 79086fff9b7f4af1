"""A picture that is kept in a file while it grows, because there are too many for the memory."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from dip_engine import files
from dip_engine.tiling import Tile

Array = np.ndarray[Any, np.dtype[Any]]


class Sheet:
    """Float32 H×W×C in a file without a name: nothing is left, however the process ends.

    Args:
        folder: where the file is.
        pixels: what is there at first.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, folder: Path, pixels: Array) -> None:
        self.folder = folder
        self.shape = pixels.shape
        self.row = pixels[0].size * 4  # bytes
        try:
            self.file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115 (see `close`)
        except OSError as error:
            raise files.unwritable(folder, error) from error
        self._write(0, pixels)

    def close(self) -> None:
        """Give the space on the disk back."""
        self.file.close()

    def add(self, tile: Tile, pixels: Array) -> None:
        """Add h×w×C to what is there.

        Raises:
            OutputError: the folder cannot be written.
        """
        rows = self.read(tile.top, tile.bottom)
        rows[:, tile.left : tile.right] += pixels
        self._write(tile.top, rows)

    def read(self, top: int = 0, bottom: int | None = None) -> Array:
        """Return the rows from top to bottom, or all."""
        height = (self.shape[0] if bottom is None else bottom) - top
        rows = np.empty((height, *self.shape[1:]), np.float32)
        self.file.seek(top * self.row)
        self.file.readinto(rows.data)
        return rows

    def _write(self, top: int, rows: Array) -> None:
        try:
            self.file.seek(top * self.row)
            self.file.write(np.ascontiguousarray(rows, np.float32).data)
            self.file.flush()
        except OSError as error:
            raise files.unwritable(self.folder, error) from error
