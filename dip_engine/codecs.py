"""From bytes to samples and back: PNG, JPEG, TIFF, WebP and NumPy arrays.

OpenImageIO decodes and encodes PNG and TIFF, because Pillow turns 16-bit colour into 8-bit without
a word; Pillow does JPEG and WebP. Samples are exact: what is encoded losslessly comes back with the
same integers, under transparent pixels too.
"""

from __future__ import annotations

import io
import struct
import tempfile
import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image, JpegImagePlugin, WebPImagePlugin

from dip_engine import metadata as meta
from dip_engine import png
from dip_engine.headers import DAMAGED, RETRY, UnreadableError, npy_header
from dip_engine.jpeg import luminance_table
from dip_engine.metadata import Metadata

Samples = np.ndarray[Any, np.dtype[Any]]

JPEG_QUALITY = 95
_PNG_COMPRESSION = 4
_WEBP_LIMIT, _JPEG_LIMIT = 16383, 65500  # pixels a side
_SPLIT = "Save the one you want to restore as its own file."
_PALETTE, _CMYK, _YCBCR = 3, 5, 6  # colour models of TIFF
_TIFF_MODELS = (0, 1, 2, _PALETTE, _CMYK, _YCBCR)  # 0 and 1 are gray, 2 is RGB
_JPEG_COMPRESSION = 7


@dataclass(frozen=True, slots=True)
class Decoded:
    """Samples (H×W×C, uint8, uint16 or float32; the last of 2 or 4 is alpha) and the rest."""

    samples: Samples
    metadata: Metadata
    quality: int | None = None


def decode(data: bytes, kind: str) -> Decoded:
    """Decode a whole file.

    Raises:
        UnreadableError: it is damaged, has several pages, or is of a kind that cannot be read.
    """
    decoders = {"PNG": _decode_png, "JPEG": _decode_jpeg, "TIFF": _decode_tiff}
    decoders |= {"WEBP": _decode_webp, "NPY": _decode_npy}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of decoders, about flaws that change no pixel
        try:
            decoded = decoders[kind](data)
        except (UnreadableError, MemoryError):
            raise
        except Exception as error:  # decoders fed with damaged bytes raise all kinds
            raise UnreadableError(f"{DAMAGED} ({str(error).rstrip('.')})", RETRY) from error
    samples = decoded.samples
    if samples.dtype in (np.float16, np.float64):
        with np.errstate(over="ignore"):
            samples = samples.astype(np.float32)
    if samples.dtype not in (np.uint8, np.uint16, np.float32):
        hint = "Save it with 8 or 16 bits or as 32-bit float."
        raise UnreadableError(f"has samples of type {samples.dtype}", hint)
    if samples.shape[2] > 4:
        hint = "Pictures have 1 to 4 channels: gray or RGB, with or without alpha."
        raise UnreadableError(f"has {samples.shape[2]} channels", hint)
    return replace(decoded, samples=samples)


def _decode_png(data: bytes) -> Decoded:
    chunks = png.parse(data)
    for name, body in chunks:
        if name == b"acTL" and (frames := struct.unpack_from(">I", body)[0]) > 1:
            raise UnreadableError(f"has {frames} frames", _SPLIT)
    # libpng writes its complaints to stderr, so it gets nothing that it could complain about.
    png.check_pixels(chunks)
    needed = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
    bare = png.join([chunk for chunk in chunks if chunk[0] in needed])
    return Decoded(_decode_with_openimageio(bare), png.metadata_from_png(chunks))


def _decode_tiff(data: bytes) -> Decoded:
    pages = meta.parse_directories(data)
    page = pages[0]
    # Thumbnails and transparency masks (bits 0 and 2 of NewSubfileType) are not pages.
    count = sum(not int(p.number(meta.SUBFILE_TAG)) & 0b101 for p in pages)
    if count > 1:
        raise UnreadableError(f"has {count} pages", _SPLIT)
    model = int(page.number(meta.PHOTOMETRIC_TAG, -1))
    if int(page.number(meta.SUBFILE_TAG)) & 1 or model > 32767:
        raise UnreadableError("is a camera's raw file", "Develop it to TIFF or PNG first.")
    jpeg_inside = int(page.number(meta.COMPRESSION_TAG)) == _JPEG_COMPRESSION
    if model not in _TIFF_MODELS or (model == _YCBCR and not jpeg_inside):
        raise UnreadableError("uses a colour model that cannot be read", "Save it as gray or RGB.")
    if page.number(meta.BITS_TAG) == 64 and meta.TILE_WIDTH_TAG in page.entries:
        hint = "Save it as 32-bit float."  # OpenImageIO 3.2 returns wrong values for these
        raise UnreadableError("has tiles of 64-bit floats, which cannot be read", hint)
    metadata = meta.metadata_from_tiff(page)
    if model == _PALETTE:
        return Decoded(_decode_palette(data, page), metadata)
    if model == _CMYK:
        metadata = metadata.without_profile()
    return Decoded(_decode_with_openimageio(data), metadata)


def _decode_palette(data: bytes, page: meta.Directory) -> Samples:
    """Look up the colours, which OpenImageIO would round down by one where Pillow wrote them."""
    bits = int(page.number(meta.BITS_TAG, 1))
    colors = np.array(page.entries[meta.COLOR_MAP_TAG].numbers()).reshape(3, 2**bits).T
    if colors.max() > 255:  # some writers store 8-bit values, against the standard
        colors >>= 8
    as_gray = page.entries | {meta.PHOTOMETRIC_TAG: meta.Entry(3, 1, b"\1\0")}
    del as_gray[meta.COLOR_MAP_TAG]
    gray = _decode_with_openimageio(meta.replace_directory(data, meta.Directory(as_gray)))
    indices = gray[:, :, 0] // (255 // (2**bits - 1))  # few bits were scaled to the full range
    samples = colors.astype(np.uint8)[indices]
    return np.concatenate((samples, gray[:, :, 1:]), axis=2)


def _decode_jpeg(data: bytes) -> Decoded:
    # The class itself: Image.open would apply Pillow's own, global limit of pixels.
    image = JpegImagePlugin.JpegImageFile(io.BytesIO(data))
    metadata = _metadata_from_pillow(image)
    quality = _estimate_quality(image.quantization)
    if image.mode == "CMYK":
        return Decoded(_samples_of(image.convert("RGB")), metadata.without_profile(), quality)
    return Decoded(_samples_of(image), metadata, quality)


def _decode_webp(data: bytes) -> Decoded:
    limit = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = None  # its class checks it, too; our own limit was checked before
    try:
        image = WebPImagePlugin.WebPImageFile(io.BytesIO(data))
    finally:
        Image.MAX_IMAGE_PIXELS = limit
    if image.n_frames > 1:
        raise UnreadableError(f"has {image.n_frames} frames", _SPLIT)
    return Decoded(_samples_of(image), _metadata_from_pillow(image))


def _decode_npy(data: bytes) -> Decoded:
    shape, dtype = npy_header(data)
    if dtype.hasobject or int(np.prod(shape)) * dtype.itemsize > len(data):
        raise ValueError("its array ends too early or holds objects")
    array = np.load(io.BytesIO(data), allow_pickle=False)
    if array.dtype == bool:
        array = array.astype(np.uint8) * np.uint8(255)
    array = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="), copy=False))
    return Decoded(array if array.ndim == 3 else array[:, :, None], Metadata())


def _samples_of(image: Image.Image) -> Samples:
    samples = np.array(image)
    return samples if samples.ndim == 3 else samples[:, :, None]


def _metadata_from_pillow(image: Image.Image) -> Metadata:
    info = image.info
    exif = (info.get("exif") or b"").removeprefix(meta.EXIF_PREFIX) or None
    dpi = info.get("dpi")
    return Metadata(
        exif=exif,
        icc_profile=info.get("icc_profile") or None,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi and min(dpi) > 0 else meta.dpi_from_exif(exif),
        xmp=info.get("xmp") or None,
    )


def _estimate_quality(tables: dict[int, list[int]]) -> int | None:
    """Return the quality 1–100 whose luminance table is nearest to the file's."""
    if len(tables.get(0, ())) != 64:
        return None
    candidates = np.stack([luminance_table(quality).ravel() for quality in range(1, 101)])
    return int(np.argmin(np.abs(candidates - np.array(tables[0])).sum(axis=1))) + 1


def _decode_with_openimageio(data: bytes) -> Samples:
    import OpenImageIO as oiio  # noqa: N813 (its own name for it)

    config = oiio.ImageSpec()
    config.attribute("oiio:UnassociatedAlpha", 1)  # hand alpha and colours over as they are
    # A file without a name: odd characters cannot confuse the library, nothing is left behind.
    with tempfile.TemporaryFile() as file:
        file.write(data)
        file.flush()
        source = oiio.ImageInput.open(f"/dev/fd/{file.fileno()}", config)
        if source is None:
            oiio.geterror()  # fetched, as unread messages are printed; it names no cause
            raise ValueError("its header cannot be decoded")
        try:
            samples = source.read_image(oiio.UNKNOWN)
            message = source.geterror()
        finally:
            source.close()
    if samples is None or message:
        raise ValueError(message.partition("\n")[0] or "its pixels cannot be decoded")
    return np.asarray(samples)


def encode(samples: Samples, kind: str, metadata: Metadata) -> bytes:
    """Encode samples (H×W×C, of a type that the format can hold) as a whole file.

    Raises:
        ValueError, OSError: the format cannot hold this picture or its metadata.
    """
    height, width, channels = samples.shape
    limit = {"WEBP": _WEBP_LIMIT, "JPEG": _JPEG_LIMIT}.get(kind)
    if limit is not None and max(width, height) > limit:
        raise ValueError(f"{width}×{height} pixels are more than the format's {limit} a side")
    if kind == "NPY":
        file = io.BytesIO()
        np.save(file, samples[:, :, 0] if channels == 1 else samples, allow_pickle=False)
        return file.getvalue()
    if kind == "TIFF":
        return meta.tag_tiff(_encode_with_openimageio(samples, "tiff", metadata), metadata)
    if kind == "PNG":
        chunks = png.parse(_encode_with_openimageio(samples, "png", metadata))
        pixels = [chunk for chunk in chunks if chunk[0] in (b"IDAT", b"IEND")]
        return png.join([chunks[0], *png.chunks_from(metadata), *pixels])
    return _encode_with_pillow(samples, kind, metadata)


def _encode_with_pillow(samples: Samples, kind: str, metadata: Metadata) -> bytes:
    image = Image.fromarray(samples[:, :, 0] if samples.shape[2] == 1 else samples)
    options: dict[str, Any] = {"icc_profile": metadata.icc_profile, "xmp": metadata.xmp or b""}
    if kind == "JPEG":
        exif = metadata.exif
        options |= {"quality": JPEG_QUALITY, "subsampling": 0}
        options |= {"dpi": tuple(min(round(d), 65535) for d in metadata.dpi or (0, 0))}
    else:
        exif = meta.exif_with_dpi(metadata)
        options |= {"lossless": True, "exact": True, "method": 3, "quality": 50}
    file = io.BytesIO()
    image.save(file, kind, exif=meta.EXIF_PREFIX + exif if exif else b"", **options)
    return file.getvalue()


def _encode_with_openimageio(samples: Samples, kind: str, metadata: Metadata) -> bytes:
    import OpenImageIO as oiio  # noqa: N813 (its own name for it)

    types = {"uint8": oiio.UINT8, "uint16": oiio.UINT16, "float32": oiio.FLOAT}
    height, width, channels = samples.shape
    spec = oiio.ImageSpec(width, height, channels, types[samples.dtype.name])
    if channels in (2, 4):
        spec.alpha_channel = channels - 1
        # OpenImageIO must not divide by alpha; TIFF can say that the colours are multiplied by it.
        multiplied = kind == "tiff" and metadata.associated_alpha
        spec.attribute("oiio:UnassociatedAlpha", int(not multiplied))
    spec.attribute("png:compressionLevel", _PNG_COMPRESSION)
    if samples.dtype == np.float32:
        spec.attribute("tiff:predictor", 1)  # none: few readers know the one for floats
    with tempfile.TemporaryFile() as file:
        target = oiio.ImageOutput.create(kind)
        if target is None:
            raise OSError(oiio.geterror())
        written = target.open(f"/dev/fd/{file.fileno()}", spec) and target.write_image(
            np.ascontiguousarray(samples)
        )
        if not (target.close() and written):
            raise OSError(target.geterror() or "the encoder failed")
        target.geterror()  # fetched, as unread messages are printed to stderr
        return file.read()
