"""From a ground truth to what the engine is given, as the authors of the paper made it.

denoise            the authors' own clipped 8-bit noise
inpaint            the authors' own missing pixels; the text over kate
super-resolution   centre crop to multiples of 32, then Pillow's Lanczos reduction
jpeg               Pillow's JPEG
deblur             blurred by a kernel, with noise
camera noise       the noisy picture of the same name

Beside stands what anybody can make of it in no time: the input as it is, its holes filled smoothly,
or it enlarged bicubically.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage
from scoring import eight_bit, read
from skimage.restoration import inpaint_biharmonic

Array = np.ndarray[Any, np.dtype[Any]]

BLOCK = 32  # the paper's networks halve a picture five times


@dataclass(frozen=True, slots=True)
class Given:
    """What is known of a picture, and what it should become.

    Attributes:
        input: file for the engine.
        truth: uint8, H×W or H×W×3, of the size of the result.
        mask: file, white = restore, or None.
    """

    input: Path
    truth: Array
    mask: Path | None = None


Maker = Callable[[Path, Path], Given]
"""Makes the input from the file of a truth; new files go into the folder given second."""


def noisy(truth: Path, _folder: Path) -> Given:
    """Return the noisy picture that lies beside the truth."""
    return Given(beside(truth, "noisy"), read(truth))


def camera_noise(truth: Path, _folder: Path) -> Given:
    """Return the photo of the same scene with a high ISO setting."""
    return Given(truth.parent.with_name("Noisy") / truth.name, read(truth))


def missing_pixels(truth: Path, folder: Path) -> Given:
    """Return the picture without half of its pixels.

    Black pixels of the truth cannot be told from missing ones: they count as known, and are.
    """
    masked, whole = beside(truth, "masked"), read(truth)
    missing = (read(masked) == 0) & (whole > 0)
    return Given(masked, whole, _write_mask(missing, folder))


def text_over(truth: Path, folder: Path) -> Given:
    """Return the picture with black text, which is 0 in the authors' mask (255 is known)."""
    whole = read(truth)
    text = read(truth.with_name(f"{truth.stem}_mask.png")) == 0
    covered = np.where(text[:, :, None], np.uint8(0), whole)
    path = folder / "input.png"
    Image.fromarray(covered).save(path)
    return Given(path, whole, _write_mask(text, folder))


def reduced(truth: Path, folder: Path, *, factor: int) -> Given:
    """Return the picture reduced by a factor."""
    whole = crop(read(truth))
    height, width = whole.shape[:2]
    path = folder / "input.png"
    size = width // factor, height // factor
    Image.fromarray(whole).resize(size, Image.Resampling.LANCZOS).save(path)
    return Given(path, whole)


def compressed(truth: Path, folder: Path, *, quality: int) -> Given:
    """Return the picture as a JPEG file."""
    path = folder / "input.jpg"
    whole = read(truth)
    Image.fromarray(whole).save(path, quality=quality)
    return Given(path, whole)


def blurred(truth: Path, folder: Path, *, kernel: Array, noise: float) -> Given:
    """Return the picture blurred by a kernel, with noise of so many levels."""
    whole = read(truth)
    levels = np.random.default_rng(0).normal(0, noise, whole.shape)
    levels += ndimage.convolve(whole.astype(np.float64), kernel[:, :, None], mode="reflect")
    path = folder / "input.png"
    Image.fromarray(np.clip(np.rint(levels), 0, 255).astype(np.uint8)).save(path)
    return Given(path, whole)


def as_given(given: Given) -> Array:
    """Return the input as it is."""
    return read(given.input)


def biharmonic(given: Given) -> Array:
    """Fill the holes by the biharmonic equation (scikit-image)."""
    assert given.mask is not None
    holes, pixels = read(given.mask) > 0, read(given.input)
    axis = -1 if pixels.ndim == 3 else None
    filled = inpaint_biharmonic(pixels, holes, channel_axis=axis)
    return eight_bit(filled.reshape(*pixels.shape[:2], -1))


def bicubic(given: Given) -> Array:
    """Enlarge to the size of the truth (Pillow)."""
    height, width = given.truth.shape[:2]
    with Image.open(given.input) as small:
        return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def crop(picture: Array) -> Array:
    """Return the middle of a picture, its sides multiples of 32."""
    height, width = (side // BLOCK * BLOCK for side in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return picture[top : top + height, left : left + width]


def beside(truth: Path, kind: str) -> Path:
    """Return F16_noisy.png for F16_GT.png."""
    return truth.with_name(truth.name.replace("_GT", f"_{kind}"))


def _write_mask(marked: Array, folder: Path) -> Path:
    path = folder / "mask.png"
    Image.fromarray(marked.astype(np.uint8) * np.uint8(255)).save(path)
    return path
