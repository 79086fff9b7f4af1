"""Read and write ``.npy`` files of 32-bit floats, for a Python that may lack numpy."""

from __future__ import annotations

import ast
import struct
from pathlib import Path

_MAGIC = b"\x93NUMPY"


def write_npy(path: Path, shape: tuple[int, ...], values: bytes) -> None:
    """Write little-endian float32 values, row by row, as an array of that shape."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    # Format 1.0: magic, version and header together fill a multiple of 64 bytes.
    header += " " * (-(len(_MAGIC) + 4 + len(header) + 1) % 64) + "\n"
    start = _MAGIC + b"\x01\x00" + struct.pack("<H", len(header)) + header.encode("latin1")
    path.write_bytes(start + values)


def read_npy(path: Path) -> tuple[tuple[int, ...], bytes]:
    """Return shape and little-endian float32 values of an array.

    Raises:
        ValueError: it holds something else.
    """
    data = path.read_bytes()
    if data[:8] != _MAGIC + b"\x01\x00":
        raise ValueError(f"{path} is no .npy file of format 1.0")
    (length,) = struct.unpack("<H", data[8:10])
    header = ast.literal_eval(data[10 : 10 + length].decode("latin1"))
    if header["descr"] != "<f4" or header["fortran_order"]:
        raise ValueError(f"{path} holds {header['descr']}, not 32-bit floats in rows")
    return tuple(header["shape"]), data[10 + length :]
