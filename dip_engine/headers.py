"""What the first bytes of a picture file tell: its format and its size, before any decoding."""

from __future__ import annotations

import io
import struct
import tokenize
from typing import Any

import numpy as np

from dip_engine import png
from dip_engine.metadata import Buffer, parse_directories

DAMAGED = "is damaged or incomplete"
RETRY = "Copy or download it again."
_CONVERT = "Convert it to PNG, JPEG, TIFF or WebP first."
_OTHER_FORMATS = (
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"8BPS", "Photoshop"),
    (b"%PDF", "PDF"),
    (b"gimp xcf", "GIMP"),
    (b"v/1\x01", "OpenEXR"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL", "JPEG XL"),
    (b"\0\0\0\x0cjP", "JPEG 2000"),
)


class UnreadableError(Exception):
    """The bytes are no picture that can be used.

    Args:
        what: the rest of a sentence that begins with the file's name.
        hint: what the reader can do.
    """

    def __init__(self, what: str, hint: str) -> None:
        super().__init__(what)
        self.what = what
        self.hint = hint


def find_format(head: bytes) -> str:
    """Tell the format from the first 16 bytes of a file.

    Raises:
        UnreadableError: it is none that can be read.
    """
    if head.startswith(png.SIGNATURE):
        return "PNG"
    if head.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return "TIFF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if head.startswith(b"\x93NUMPY"):
        return "NPY"
    for signature, name in _OTHER_FORMATS:
        if head.startswith(signature):
            raise UnreadableError(f"is a {name} file, which is not supported", _CONVERT)
    if head[4:8] == b"ftyp":
        raise UnreadableError("is a HEIC, AVIF or video file, which is not supported", _CONVERT)
    raise UnreadableError("is not a picture", "PNG, JPEG, TIFF and WebP files can be read.")


def size(data: Buffer, kind: str) -> tuple[int, int]:
    """Return width and height from the header alone.

    Raises:
        UnreadableError: the header is cut off or damaged.
    """
    readers = {"PNG": _png_size, "JPEG": _jpeg_size, "TIFF": _tiff_size, "WEBP": _webp_size}
    readers["NPY"] = _npy_size
    try:
        return readers[kind](data)
    except (struct.error, ValueError, IndexError, OverflowError) as error:
        raise UnreadableError(DAMAGED, RETRY) from error


def _png_size(data: Buffer) -> tuple[int, int]:
    width, height = struct.unpack_from(">II", data, 16)
    return int(width), int(height)


def _jpeg_size(data: Buffer) -> tuple[int, int]:
    position = 2
    while True:
        while data[position + 1] == 0xFF:  # fill bytes
            position += 1
        marker = data[position + 1]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", data, position + 5)
            return int(width), int(height)
        if data[position] != 0xFF or marker in (0xD9, 0xDA):
            raise ValueError("pixels without a frame header")
        position += 2 + struct.unpack_from(">H", data, position + 2)[0]


def _tiff_size(data: Buffer) -> tuple[int, int]:
    pages = parse_directories(data)
    if not pages:
        raise ValueError("no page")
    return int(pages[0].number(256)), int(pages[0].number(257))


def _webp_size(data: Buffer) -> tuple[int, int]:
    kind = bytes(data[12:16])
    if kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", data, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (n & 0x3FFF for n in struct.unpack_from("<HH", data, 26))
    if len(data) < 30:
        raise ValueError("no header")
    return int(width), int(height)


def npy_header(data: Buffer) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Return shape and sample type of a NumPy array file; ValueError where that fails."""
    head = io.BytesIO(data[:65536])
    version = np.lib.format.read_magic(head)
    reader = np.lib.format.read_array_header_1_0
    if version != (1, 0):
        reader = np.lib.format.read_array_header_2_0
    try:
        shape, _, dtype = reader(head)
    except (SyntaxError, tokenize.TokenError) as error:  # NumPy reads it as Python
        raise ValueError("its header is damaged") from error
    return shape, dtype


def _npy_size(data: Buffer) -> tuple[int, int]:
    shape, _ = npy_header(data)
    if len(shape) not in (2, 3):
        shown = "×".join(str(n) for n in shape)
        raise UnreadableError(f"is an array of shape ({shown})", "Save height×width×channels.")
    return int(shape[1]), int(shape[0])
