"""Pictures from file to floats and back.

Reading keeps everything the file says about itself; writing is whole or absent. Whatever cannot
be read or written ends in one sentence with the file's name.
"""

from __future__ import annotations

import mmap
import stat
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from dip_engine import codecs, headers
from dip_engine.errors import InputError, OutputError
from dip_engine.files import check_place, reason, write_whole
from dip_engine.headers import UnreadableError
from dip_engine.metadata import Metadata

Array = np.ndarray[Any, np.dtype[Any]]

MAX_PIXELS = 200_000_000
SUFFIXES: frozenset[str] = frozenset((".png", ".jpg", ".jpeg", ".jpe", ".tif", ".tiff", ".webp"))
_FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".jpe": "JPEG", ".tif": "TIFF"}
_FORMATS |= {".tiff": "TIFF", ".webp": "WEBP", ".npy": "NPY"}


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture as it was in its file.

    Attributes:
        pixels: float32 H×W×C, C = 1 (gray) or 3 (RGB). 0–1 for integer files; float files keep
            their values, which may leave 0–1. Not rotated: the orientation stays in the EXIF.
        alpha: H×W in the file's own sample type, untouched, or None.
        dtype: sample type of the file: uint8, uint16 or float32.
        format: ``PNG``, ``JPEG``, ``TIFF``, ``WEBP`` or ``NPY``.
        metadata: EXIF, ICC profile, resolution and what else is kept.
        quality: estimated JPEG quality 1–100, None for other formats.
    """

    pixels: Array
    alpha: Array | None
    dtype: np.dtype[Any]
    format: str
    metadata: Metadata
    quality: int | None

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return int(self.pixels.shape[1])

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return int(self.pixels.shape[0])

    @property
    def channels(self) -> int:
        """1 for gray, 3 for RGB."""
        return int(self.pixels.shape[2])


def read(path: Path, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture; its content, not its suffix, decides on the format.

    Raises:
        InputError: there is no such file, it is no picture, is damaged, has several pages, has
            more than `max_pixels` pixels (known before any is decoded), or values that are not
            finite.
    """
    with opened(path) as file:
        kind = headers.find_format(file.read(16))
        file.seek(0)
        data = file.read()
        width, height = _checked_size(headers.size(data, kind))
        if width * height > max_pixels:
            hint = f"The limit is {max_pixels:,} pixels; scale it down or cut it into parts."
            raise UnreadableError(f"has {width}×{height} pixels, which is too many", hint)
        decoded = codecs.decode(data, kind)
        samples = decoded.samples
        if samples.dtype == np.float32 and not np.isfinite(samples).all():
            count = int((~np.isfinite(samples)).any(axis=2).sum())
            what = "1 pixel that is not a" if count == 1 else f"{count} pixels that are not"
            hint = "Replace infinite values and NaN first."
            raise UnreadableError(f"has {what} finite number{'s' * (count > 1)}", hint)
    channels = 3 if samples.shape[2] > 2 else 1
    alpha = samples[:, :, channels].copy() if samples.shape[2] > channels else None
    pixels = _to_float(samples[:, :, :channels])
    return Picture(pixels, alpha, samples.dtype, kind, decoded.metadata, decoded.quality)


def estimate_size(path: Path) -> tuple[int, int]:
    """Return width and height in pixels from the header alone.

    Raises:
        InputError: there is no such file, or it is no picture.
    """
    with opened(path) as file:
        kind = headers.find_format(file.read(16))
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _checked_size(headers.size(data, kind))


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a file, and turn what goes wrong with it into an `InputError` that names it."""
    try:
        status = path.stat()
        if stat.S_ISDIR(status.st_mode):
            raise UnreadableError("is a folder, not a picture", "Name a file in it.")
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableError("is not a file", "Name a picture file.")
        if status.st_size == 0:
            raise UnreadableError("is empty (0 bytes)", "Copy or download it again.")
        with path.open("rb") as file:
            yield file
    except UnreadableError as error:
        raise InputError(f"{path} {error.what}.", error.hint) from error
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist.", "Check the spelling.") from error
    except PermissionError as error:
        raise InputError(f"{path} may not be read.", "Change its permissions.") from error
    except (OSError, ValueError) as error:  # ValueError: a null character in the name
        raise InputError(
            f"{path} cannot be read ({reason(error)}).", "Check disk and name."
        ) from error


def _checked_size(size: tuple[int, int]) -> tuple[int, int]:
    if min(size) < 1:
        raise UnreadableError(f"has no pixels ({size[0]}×{size[1]})", "Save it again.")
    return size


def _to_float(samples: Array) -> Array:
    """Return float32, integers scaled to 0–1; exact both ways with `_to_samples`."""
    if samples.dtype == np.float32:
        return samples.copy()
    return samples.astype(np.float32) / np.float32(np.iinfo(samples.dtype).max)


def _to_samples(values: Array, dtype: np.dtype[Any]) -> Array:
    """Return samples of that type; integers are clipped to 0–1 and rounded to nearest."""
    if dtype == np.float32:
        return values.astype(np.float32, copy=False)
    scale = np.float32(np.iinfo(dtype).max)
    return np.rint(np.clip(values, 0, 1) * scale).astype(dtype)


def check_target(path: Path, *, has_alpha: bool, floats: bool = False) -> None:
    """Find out before the work, not after it, that a result could not be written.

    Args:
        path: the file to write.
        has_alpha: the picture has an alpha channel.
        floats: its values are not to be rounded.

    Raises:
        OutputError: the suffix is no format or cannot hold what is wanted, or the folder is not
            there or may not be written.
    """
    kind = _FORMATS.get(path.suffix.lower())
    if kind is None:
        hint = f"Use one of {', '.join(sorted(_FORMATS))}."
        raise OutputError(f"{path} has no suffix of a known picture format.", hint)
    if has_alpha and kind == "JPEG":
        raise OutputError(f"{path} cannot hold an alpha channel.", "Use .png instead.")
    if floats and kind not in ("TIFF", "NPY"):
        raise OutputError(f"{path} cannot hold such small numbers.", "Use .tif or .npy instead.")
    check_place(path)


def write(
    path: Path,
    pixels: Array,
    like: Picture,
    *,
    alpha: Array | None = None,
    durable: bool = True,
) -> None:
    """Write a picture whole or not at all, in the format of the suffix.

    Sample type and metadata are those of `like` where the format can hold them: PNG takes floats
    as 16 bit, JPEG (quality 95, 4:4:4) and WebP (lossless) take 8 bit, ``.npy`` takes float32 for
    a picture from another format, H×W where it is gray without alpha.

    Args:
        path: the file to write; an existing one is replaced.
        pixels: float32 H×W×C, C = 1 or 3, of any size.
        like: the picture they came from.
        alpha: H×W; in the file's own sample type it is written untouched, else scaled.
        durable: it is on the disk when this returns, safe from a power cut.

    Raises:
        OutputError: the format cannot hold the picture, a value is not finite, or the file cannot
            be written. Nothing is left behind then, and an existing file is as it was.
    """
    check_target(path, has_alpha=alpha is not None)
    kind = _FORMATS[path.suffix.lower()]
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or pixels.size == 0:
        raise OutputError(f"{path} cannot be written from values of shape {pixels.shape}.")
    if not np.isfinite(pixels).all():
        hint = "The restoration diverged; nothing was written."
        raise OutputError(f"{path} would hold values that are not finite.", hint)
    if alpha is not None and alpha.shape != pixels.shape[:2]:
        raise OutputError(f"{path} cannot be written: alpha and colours differ in size.")
    dtype = _sample_type(kind, like)
    metadata = like.metadata
    if alpha is not None and metadata.associated_alpha and kind != "TIFF":
        opacity = _to_float(alpha)[:, :, None]
        pixels = np.divide(pixels, opacity, out=np.zeros_like(pixels), where=opacity > 0)
    samples = _to_samples(pixels, dtype)
    if kind == "WEBP" and samples.shape[2] == 1:  # WebP has no gray
        samples = np.repeat(samples, 3, axis=2)
    if samples.shape[2] != like.channels and not _profile_fits(metadata, samples.shape[2]):
        metadata = metadata.without_profile()
    if alpha is not None:
        alpha = alpha if alpha.dtype == dtype else _to_samples(_to_float(alpha), dtype)
        samples = np.concatenate((samples, alpha[:, :, None]), axis=2)
    try:
        data = codecs.encode(samples, kind, metadata)
    except (ValueError, OSError, RuntimeError, struct.error) as error:
        hint = "Try .png, and see that the temporary folder has room."
        raise OutputError(f"{path} cannot be encoded ({reason(error)}).", hint) from error
    write_whole(path, data, durable=durable)


def _sample_type(kind: str, like: Picture) -> np.dtype[Any]:
    if kind in ("JPEG", "WEBP"):
        return np.dtype(np.uint8)
    if kind == "PNG" and like.dtype == np.float32:
        return np.dtype(np.uint16)
    if kind == "NPY" and like.format != "NPY":
        return np.dtype(np.float32)
    return like.dtype


def _profile_fits(metadata: Metadata, channels: int) -> bool:
    space = (metadata.icc_profile or b"")[16:20]
    return space == (b"GRAY" if channels == 1 else b"RGB ")
