"""The chunks of a PNG file: what is checked, kept and written besides the pixels."""

from __future__ import annotations

import struct
import zlib

from dip_engine.metadata import Buffer, Chunk, Metadata, dpi_from_exif

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_KEPT = frozenset(
    (
        b"cICP",
        b"iCCP",
        b"sRGB",
        b"gAMA",
        b"cHRM",
        b"mDCV",
        b"cLLI",
        b"pHYs",
        b"eXIf",
        b"iTXt",
        b"tEXt",
        b"zTXt",
    )
)
_ADAM7 = (  # first column and row, steps of columns and rows of each pass
    *((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4)),
    *((0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)),
)
_XMP_KEYWORD = b"XML:com.adobe.xmp"
_MAX_PROFILE_BYTES = 1 << 26


def parse(data: Buffer) -> list[Chunk]:
    """Split a file into its chunks.

    Raises:
        ValueError: the file ends before its IEND chunk, or a chunk of its picture is damaged.
    """
    chunks: list[Chunk] = []
    position = len(SIGNATURE)
    while not chunks or chunks[-1][0] != b"IEND":
        if position + 12 > len(data):
            raise ValueError("it ends too early")
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise ValueError("it ends too early")
        body = data[position + 8 : end - 4]
        if zlib.crc32(body, zlib.crc32(name)) == struct.unpack_from(">I", data, end - 4)[0]:
            chunks.append((name, body))
        elif name[:1].isupper():
            raise ValueError("a checksum is wrong")
        position = end
    return chunks


def join(chunks: list[Chunk]) -> bytes:
    """Join chunks to a file; the reverse of `parse`."""
    parts = [SIGNATURE]
    for name, body in chunks:
        crc = zlib.crc32(body, zlib.crc32(name))
        parts += [struct.pack(">I", len(body)), name, body, struct.pack(">I", crc)]
    return b"".join(parts)


def check_pixels(chunks: list[Chunk]) -> None:
    """Raise ValueError unless the compressed pixels are sound and as many as the header says."""
    header = dict(chunks)[b"IHDR"]
    width, height, depth, colour, *_, interlaced = struct.unpack(">IIBBBBB", header)
    bits = depth * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}.get(colour, 1)
    missing = 0
    for x, y, dx, dy in _ADAM7 if interlaced else ((0, 0, 1, 1),):
        columns, rows = -(-(width - x) // dx), -(-(height - y) // dy)
        missing += rows * (1 + (columns * bits + 7) // 8) if columns > 0 and rows > 0 else 0
    inflater = zlib.decompressobj()
    for name, body in chunks:
        rest = body if name == b"IDAT" else b""
        while rest and not inflater.eof and missing >= 0:
            missing -= len(inflater.decompress(rest, 1 << 20))
            rest = inflater.unconsumed_tail
    if not inflater.eof or missing != 0:
        raise ValueError("its pixels are not as many as its header says")


def metadata_from_png(chunks: list[Chunk]) -> Metadata:
    """Collect the metadata of a PNG file."""
    first = dict(reversed(chunks))
    dpi = None
    if len(first.get(b"pHYs", b"")) == 9:
        x, y, unit = struct.unpack(">IIB", first[b"pHYs"])
        dpi = (x * 0.0254, y * 0.0254) if unit == 1 and x and y else None
    exif = first.get(b"eXIf")
    return Metadata(
        exif=exif,
        icc_profile=_inflate(first.get(b"iCCP", b"").partition(b"\0")[2][1:]),
        dpi=dpi or dpi_from_exif(exif),
        xmp=next((xmp for name, body in chunks if name == b"iTXt" and (xmp := _xmp(body))), None),
        png_chunks=tuple(chunk for chunk in chunks if chunk[0] in _KEPT),
    )


def chunks_from(metadata: Metadata) -> list[Chunk]:
    """Return the chunks to stand before the pixels of a PNG file."""
    if metadata.png_chunks:
        return list(metadata.png_chunks)
    chunks: list[Chunk] = []
    if metadata.icc_profile:
        chunks.append((b"iCCP", b"ICC profile\0\0" + zlib.compress(metadata.icc_profile)))
    if metadata.dpi:
        metres = (round(min(value, 1e6) / 0.0254) for value in metadata.dpi)
        chunks.append((b"pHYs", struct.pack(">IIB", *metres, 1)))
    if metadata.exif:
        chunks.append((b"eXIf", metadata.exif))
    if metadata.xmp:
        chunks.append((b"iTXt", _XMP_KEYWORD + b"\0\0\0\0\0" + metadata.xmp))
    return chunks


def _inflate(data: bytes) -> bytes | None:
    """Decompress, up to a limit; None where that fails."""
    inflater = zlib.decompressobj()
    try:
        text = inflater.decompress(data, _MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return text if inflater.eof else None


def _xmp(body: bytes) -> bytes | None:
    keyword, _, rest = body.partition(b"\0")
    if keyword != _XMP_KEYWORD or len(rest) < 4:
        return None
    text = rest[2:].split(b"\0", 2)[-1]
    return _inflate(text) if rest[0] else text
