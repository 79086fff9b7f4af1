"""What a picture file carries besides its pixels: EXIF, ICC profile, resolution, XMP.

EXIF is a small TIFF file inside another file, so one parser of TIFF directories serves both.
Values are copied byte for byte; nothing is interpreted that need not be.
"""

from __future__ import annotations

import mmap
import struct
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

Buffer = bytes | mmap.mmap
Chunk = tuple[bytes, bytes]

EXIF_PREFIX = b"Exif\x00\x00"
ICC_TAG, XMP_TAG, PHOTOMETRIC_TAG, EXTRA_SAMPLES_TAG = 34675, 700, 262, 338
X_RESOLUTION_TAG, Y_RESOLUTION_TAG, RESOLUTION_UNIT_TAG = 282, 283, 296
SUBFILE_TAG, BITS_TAG, COMPRESSION_TAG, COLOR_MAP_TAG, TILE_WIDTH_TAG = 254, 258, 259, 320, 322

# Tags that describe how the samples lie in the file: of the new file, never of the old one.
_LAYOUT_TAGS = frozenset(
    (
        *(*range(254, 267), 273, *range(277, 282), 284, *range(288, 294), 301),
        *(*range(317, 326), 330, *range(332, 335), 336, *range(338, 343), 347),
        *(*range(512, 522), *range(529, 533)),
    )
)
# Photoshop's private blocks hold layers and thumbnails of the picture as it was.
_STALE_TAGS = frozenset((34377, 37724))
_CHILD_TAGS = (34665, 34853, 40965)  # EXIF, GPS, interoperability
_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
_TYPE_SIZES |= {13: 4, 16: 8, 17: 8, 18: 8}
_MAX_PAGES = 10_000


@dataclass(frozen=True, slots=True)
class Metadata:
    """What is kept of a file besides its pixels.

    Attributes:
        exif: a TIFF structure without the ``Exif`` prefix, or None. Holds the orientation.
        icc_profile: the profile as in the file, or None.
        dpi: horizontal and vertical dots per inch, or None.
        xmp: an XMP packet, or None.
        png_chunks: of a PNG file, the chunks that another PNG file takes over as they are.
        associated_alpha: the colours of a TIFF file are multiplied by its alpha.
    """

    exif: bytes | None = None
    icc_profile: bytes | None = None
    dpi: tuple[float, float] | None = None
    xmp: bytes | None = None
    png_chunks: tuple[Chunk, ...] = ()
    associated_alpha: bool = False

    def without_profile(self) -> Metadata:
        """Return the same without the ICC profile."""
        chunks = tuple(chunk for chunk in self.png_chunks if chunk[0] != b"iCCP")
        return replace(self, icc_profile=None, png_chunks=chunks)


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag of a directory: TIFF type, number of values, the values in little-endian order."""

    kind: int
    count: int
    data: bytes

    def numbers(self) -> tuple[float, ...]:
        """Return the values of an integer or rational tag; nothing for other types."""
        if self.kind in (5, 10):
            pairs = np.frombuffer(self.data, "<u4" if self.kind == 5 else "<i4").reshape(-1, 2)
            return tuple(float(top) / float(bottom) if bottom else 0.0 for top, bottom in pairs)
        code = {1: "<u1", 3: "<u2", 4: "<u4", 13: "<u4", 16: "<u8"}.get(self.kind)
        return () if code is None else tuple(int(n) for n in np.frombuffer(self.data, code))


@dataclass(slots=True)
class Directory:
    """One TIFF directory: its tags and the directories below it."""

    entries: dict[int, Entry] = field(default_factory=dict)
    children: dict[int, Directory] = field(default_factory=dict)

    def number(self, tag: int, default: float = 0) -> float:
        """Return the first value of a tag."""
        values = self.entries[tag].numbers() if tag in self.entries else ()
        return values[0] if values else default

    @property
    def dpi(self) -> tuple[float, float] | None:
        """Dots per inch, or None where no resolution in inches or centimetres is given."""
        scale = {2: 1.0, 3: 2.54}.get(int(self.number(RESOLUTION_UNIT_TAG, 2)))
        dpi = self.number(X_RESOLUTION_TAG), self.number(Y_RESOLUTION_TAG)
        return None if scale is None or min(dpi) <= 0 else (dpi[0] * scale, dpi[1] * scale)


def parse_directories(data: Buffer) -> list[Directory]:
    """Parse a TIFF structure (classic or BigTIFF): one directory per page.

    Raises:
        ValueError: it is truncated or contradicts itself.
    """
    try:
        order = {b"II": "<", b"MM": ">"}[bytes(data[:2])]
        big = struct.unpack_from(order + "H", data, 2)[0] == 43
        (offset,) = struct.unpack_from(order + "Q" if big else order + "I", data, 8 if big else 4)
        pages: list[Directory] = []
        seen: set[int] = set()
        while offset and offset not in seen and len(pages) < _MAX_PAGES:
            seen.add(offset)
            page, offset = _parse_directory(data, order, big, offset, depth=0)
            pages.append(page)
    except (struct.error, KeyError, OverflowError) as error:
        raise ValueError("its directory is cut off") from error
    return pages


def _parse_directory(
    data: Buffer, order: str, big: bool, start: int, depth: int
) -> tuple[Directory, int]:
    (count,) = struct.unpack_from(order + "Q" if big else order + "H", data, start)
    layout, inline = (order + "HHQ8s", 8) if big else (order + "HHI4s", 4)
    position = start + (8 if big else 2)
    directory = Directory()
    for _ in range(count):
        tag, kind, number, value = struct.unpack_from(layout, data, position)
        position += struct.calcsize(layout)
        size = _TYPE_SIZES.get(kind, 0) * number
        if size > inline:
            (at,) = struct.unpack(order + "Q" if big else order + "I", value)
            value = bytes(data[at : at + size]) if at + size <= len(data) else b""
        if size == 0 or len(value) < size:
            continue
        entry = Entry(kind, number, _little_endian(value[:size], kind, order))
        if tag not in _CHILD_TAGS:
            directory.entries[tag] = entry
        elif depth < 2 and entry.numbers():
            try:
                child, _ = _parse_directory(data, order, big, int(entry.numbers()[0]), depth + 1)
                directory.children[tag] = child
            except (struct.error, OverflowError):
                continue  # a broken EXIF directory costs its tags, not the picture
    (following,) = struct.unpack_from(order + "Q" if big else order + "I", data, position)
    return directory, int(following)


def _little_endian(value: bytes, kind: int, order: str) -> bytes:
    unit = 4 if kind in (5, 10) else _TYPE_SIZES[kind]
    if order == "<" or unit == 1:
        return value
    return np.frombuffer(value, f">u{unit}").astype(f"<u{unit}").tobytes()


def _serialise(directory: Directory, start: int) -> bytes:
    """Lay out a little-endian classic directory that begins at byte `start` of its file."""
    tags = sorted((*directory.entries, *directory.children))
    table = struct.pack("<H", len(tags))
    values = b""
    base = start + 2 + 12 * len(tags) + 4
    for tag in tags:
        if tag in directory.children:
            values += b"\0" * (len(values) % 2)
            at = base + len(values)
            values += _serialise(directory.children[tag], at)
            table += struct.pack("<HHII", tag, 4, 1, at)
            continue
        entry = directory.entries[tag]
        if len(entry.data) <= 4:
            table += struct.pack("<HHI4s", tag, entry.kind, entry.count, entry.data)
        else:
            values += b"\0" * (len(values) % 2)
            table += struct.pack("<HHII", tag, entry.kind, entry.count, base + len(values))
            values += entry.data
    return table + struct.pack("<I", 0) + values


def exif_from(directory: Directory) -> bytes | None:
    """Return the tags of a TIFF page that do not describe its layout as EXIF, or None."""
    dropped = _LAYOUT_TAGS | _STALE_TAGS | {ICC_TAG, XMP_TAG}
    entries = {tag: entry for tag, entry in directory.entries.items() if tag not in dropped}
    if not entries and not directory.children:
        return None
    return b"II*\0" + struct.pack("<I", 8) + _serialise(Directory(entries, directory.children), 8)


def metadata_from_tiff(directory: Directory) -> Metadata:
    """Collect the metadata of a TIFF page."""
    icc, xmp = directory.entries.get(ICC_TAG), directory.entries.get(XMP_TAG)
    return Metadata(
        exif=exif_from(directory),
        icc_profile=icc.data if icc else None,
        dpi=directory.dpi,
        xmp=xmp.data if xmp else None,
        associated_alpha=directory.number(EXTRA_SAMPLES_TAG) == 1,
    )


def dpi_from_exif(exif: bytes | None) -> tuple[float, float] | None:
    """Return the resolution that EXIF states in dots per inch, or None."""
    return _main_directory(exif).dpi


def exif_with_dpi(metadata: Metadata) -> bytes | None:
    """Return the EXIF, with the resolution added where only another field states it."""
    if metadata.dpi is None or dpi_from_exif(metadata.exif) is not None:
        return metadata.exif
    directory = _main_directory(metadata.exif)
    return exif_from(Directory(directory.entries | _resolution(metadata.dpi), directory.children))


def _main_directory(exif: bytes | None) -> Directory:
    try:
        pages = parse_directories(exif) if exif else []
    except ValueError:
        pages = []  # broken EXIF is common in the wild, and no reason to refuse a picture
    return pages[0] if pages else Directory()


def _resolution(dpi: tuple[float, float]) -> dict[int, Entry]:
    entries = {RESOLUTION_UNIT_TAG: Entry(3, 1, struct.pack("<H", 2))}
    for tag, value in zip((X_RESOLUTION_TAG, Y_RESOLUTION_TAG), dpi, strict=True):
        ratio = Fraction(min(value, 1e6)).limit_denominator(1000)
        entries[tag] = Entry(5, 1, struct.pack("<II", ratio.numerator, ratio.denominator))
    return entries


def tag_tiff(data: bytes, metadata: Metadata) -> bytes:
    """Give a classic little-endian TIFF file of one page the metadata in place of its own.

    The samples stay where they are; a new directory goes to the end of the file.
    """
    written = parse_directories(data)[0]
    kept = _main_directory(metadata.exif)
    entries = _resolution(metadata.dpi) if metadata.dpi else {}
    entries |= {tag: entry for tag, entry in kept.entries.items() if tag not in _LAYOUT_TAGS}
    for tag, blob, kind in ((ICC_TAG, metadata.icc_profile, 7), (XMP_TAG, metadata.xmp, 1)):
        if blob:
            entries[tag] = Entry(kind, len(blob), blob)
    entries |= {tag: entry for tag, entry in written.entries.items() if tag in _LAYOUT_TAGS}
    return replace_directory(data, Directory(entries, kept.children))


def replace_directory(data: bytes, directory: Directory) -> bytes:
    """Append a little-endian classic directory to a TIFF file and make it the only one."""
    padding = b"\0" * (len(data) % 2)
    start = len(data) + len(padding)
    head = b"II*\0" + struct.pack("<I", start)
    return b"".join((head, data[8:], padding, _serialise(directory, start)))
