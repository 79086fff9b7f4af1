"""Masks: which pixels are to be restored. White, or 1, is restored; black, or 0, is kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dip_engine.errors import MaskError
from dip_engine.job import Job
from dip_engine.picture import Picture, estimate_size, read

Array = np.ndarray[Any, np.dtype[Any]]

_POLARITY = "White marks what is to be restored, black what is kept"


def find_mask(job: Job, source: Picture) -> Array | None:
    """Return the mask of a job, float32 H×W, 1 = restore; None for the whole picture.

    Raises:
        InputError: the file of the mask cannot be read.
        MaskError: there is no mask and the task needs one, or it cannot be meant.
    """
    may_be_white = not job.needs_mask
    if job.mask is not None:
        size = source.width, source.height
        return read_mask(job.mask, *size, may_be_white=may_be_white)
    try:
        if job.mask_color is not None:
            return mask_from_color(source, job.mask_color, may_be_white=may_be_white)
        if not job.needs_mask:
            return None
        return mask_from_alpha(source)
    except MaskError as error:
        sentence = error.sentence[0].lower() + error.sentence[1:]
        raise MaskError(f"{job.input}: {sentence}", error.hint) from error


def hidden_by(source: Picture, mask: Array) -> Array | None:
    """Return where a picture is wholly transparent and stays so, bool H×W; None without alpha."""
    return None if source.alpha is None else (source.alpha == 0) & (mask == 0)


def read_mask(path: Path, width: int, height: int, *, may_be_white: bool = False) -> Array:
    """Read a mask as float32 H×W, 0–1, 1 = restore.

    Colours are averaged to gray; where the file is transparent, it marks nothing.

    Args:
        path: picture or array.
        width: of the picture it is for.
        height: of that picture.
        may_be_white: the mask may mark everything.

    Raises:
        InputError: the file cannot be read.
        MaskError: it is not of that size (pixels), or all black, or all white and may not be.
    """
    check_mask_size(path, width, height)
    picture = read(path, max_pixels=width * height)
    mask = np.clip(picture.pixels, 0, 1).mean(axis=2, dtype=np.float32)
    if picture.alpha is not None:
        opaque = 1 if picture.dtype == np.float32 else np.iinfo(picture.dtype).max
        mask *= picture.alpha.astype(np.float32) / np.float32(opaque)
    if not mask.any():
        raise MaskError(f"{path} is all black: nothing is to be restored.", f"{_POLARITY}.")
    if mask.min() == 1 and not may_be_white:
        hint = f"{_POLARITY}; some pixels must be kept."
        raise MaskError(f"{path} is all white: nothing is left to restore from.", hint)
    return np.asarray(mask, np.float32)


def check_mask_size(path: Path, width: int, height: int) -> None:
    """Compare a mask with its picture, without decoding it.

    Raises:
        InputError: the file cannot be read.
        MaskError: it is not of that size (pixels).
    """
    size = estimate_size(path)
    if size != (width, height):
        raise MaskError(
            f"{path} is {size[0]}×{size[1]} pixels, but the picture is {width}×{height}.",
            "Make the mask exactly as large as the picture.",
        )


def mask_from_alpha(picture: Picture) -> Array:
    """Return float32 H×W: 1 where the picture is wholly transparent, else 0.

    Raises:
        MaskError: it has no alpha channel, or nothing or everything is transparent.
    """
    if picture.alpha is None:
        hint = "Give one (--mask, --mask-color), or erase to transparency what is to be restored."
        raise MaskError("The picture has no alpha channel to take the mask from.", hint)
    return _checked(picture.alpha == 0, "wholly transparent")


def mask_from_color(
    picture: Picture, color: tuple[int, int, int], *, may_be_white: bool = False
) -> Array:
    """Return float32 H×W: 1 where the picture has exactly that 8-bit RGB colour, else 0.

    Args:
        picture: the picture it is for.
        color: 0–255 each.
        may_be_white: the mask may mark everything.

    Raises:
        MaskError: no pixel has it, or all have and may not.
    """
    values = np.rint(np.clip(picture.pixels, 0, 1) * np.float32(255))
    name = "#" + "".join(f"{value:02x}" for value in color)
    marked = (values == np.array(color, np.float32)).all(axis=2)
    return _checked(marked, f"of colour {name}", may_be_white=may_be_white)


def _checked(marked: Array, what: str, *, may_be_white: bool = False) -> Array:
    if not marked.any():
        hint = "Those pixels would be restored; check the picture, or give a mask file."
        raise MaskError(f"No pixel of the picture is {what}.", hint)
    if marked.all() and not may_be_white:
        hint = "There is nothing left to restore from."
        raise MaskError(f"Every pixel of the picture is {what}.", hint)
    return marked.astype(np.float32)
