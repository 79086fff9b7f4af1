"""Masks as bytes: which pixels count, where they lie, and pixels that stay as they are.

Pure Python on whole buffers, quick because slices, `int` and `bytes.translate` work in C; numpy
may be missing in GIMP's Python.
"""

from __future__ import annotations

from dip_gimp.box import Box

FLOAT = 4  # bytes of a 32-bit float
_MARK = bytes([0]) + bytes([255]) * 255


def marked(mask: bytes) -> bytes:
    """Turn float32 values into one byte each: 255 where a value is not 0."""
    number = 0
    for plane in range(FLOAT):
        number |= int.from_bytes(mask[plane::FLOAT], "little")
    return number.to_bytes(len(mask) // FLOAT, "little").translate(_MARK)


def inverted(marks: bytes) -> bytes:
    """Return 255 where there was 0, and 0 elsewhere."""
    return marks.translate(bytes([255]) + bytes(255))


def extent(marks: bytes, width: int) -> Box | None:
    """Return the smallest rectangle that holds everything marked, or None if nothing is."""
    height = len(marks) // width
    before = len(marks) - len(marks.lstrip(b"\0"))
    if before == len(marks):
        return None
    top, bottom = before // width, height - (len(marks) - len(marks.rstrip(b"\0"))) // width
    columns = 0
    for row in range(top, bottom):
        columns |= int.from_bytes(marks[row * width : (row + 1) * width], "big")
    line = columns.to_bytes(width, "big")
    left = width - len(line.lstrip(b"\0"))
    right = len(line.rstrip(b"\0"))
    return Box(left, top, right - left, bottom - top)


def merge(old: bytes, new: bytes, marks: bytes, *, keep: int = 0) -> bytes:
    """Take pixels of `new` where marked and of `old` elsewhere, bit for bit.

    Args:
        old: pixels of any format, as many as `marks`.
        new: pixels of the same format.
        marks: one byte a pixel, 0 or 255.
        keep: bytes at the end of each pixel that are always those of `old` (its alpha).
    """
    size = len(old) // len(marks)
    spread = bytearray(len(old))
    for position in range(size - keep):
        spread[position::size] = marks
    before = int.from_bytes(old, "little")
    change = (before ^ int.from_bytes(new, "little")) & int.from_bytes(spread, "little")
    return (before ^ change).to_bytes(len(old), "little")
