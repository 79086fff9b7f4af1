"""``.npy`` files of 32-bit floats, piece by piece, for a Python that may lack numpy."""

from __future__ import annotations

import ast
import struct
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_MAGIC = b"\x93NUMPY"
_VERSION = b"\x01\x00"


def write_npy(path: Path, shape: tuple[int, ...], pieces: Iterable[bytes]) -> None:
    """Write little-endian float32 values, row by row, as an array of that shape.

    Raises:
        OSError: the file cannot be written.
    """
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    # Format 1.0: magic, version and header together fill a multiple of 64 bytes.
    header += " " * (-(len(_MAGIC) + 4 + len(header) + 1) % 64) + "\n"
    with path.open("wb") as file:
        file.write(_MAGIC + _VERSION + struct.pack("<H", len(header)) + header.encode("latin1"))
        for piece in pieces:
            file.write(piece)


class NpyRows:
    """The rows of a float32 array in an open file.

    Attributes:
        shape: of the array.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        start = file.read(10)
        if start[:8] != _MAGIC + _VERSION or len(start) < 10:
            raise ValueError(f"{name} is no .npy file of format 1.0")
        (length,) = struct.unpack("<H", start[8:10])
        header = ast.literal_eval(file.read(length).decode("latin1"))
        if header["descr"] != "<f4" or header["fortran_order"]:
            raise ValueError(f"{name} holds {header['descr']}, not 32-bit floats in rows")
        self.shape: tuple[int, ...] = tuple(header["shape"])
        self._file, self._name, self._start = file, name, 10 + length
        self._row = 4
        for size in self.shape[1:]:
            self._row *= size

    def read(self, first: int, count: int) -> bytes:
        """Return the values of `count` rows as little-endian float32.

        Raises:
            ValueError: the file ends before them.
        """
        self._file.seek(self._start + first * self._row)
        values = self._file.read(count * self._row)
        if len(values) < count * self._row:
            raise ValueError(f"{self._name} is cut short")
        return values


@contextmanager
def open_npy(path: Path) -> Iterator[NpyRows]:
    """Open an array to read its rows.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds something else than float32 rows.
    """
    with path.open("rb") as file:
        yield NpyRows(file, str(path))
