"""How a picture is scored against its ground truth: PSNR and SSIM of saved 8-bit pictures.

    PSNR = 10 log₁₀ (255² / mean((x − truth)²))                over all pixels and channels
    Y    = 16 + 219·(0.299 R + 0.587 G + 0.114 B)/255          for super-resolution

SSIM is that of Wang et al. 2004: Gaussian window of σ = 1.5, population covariances; of colour
pictures the mean over the channels. Pictures here are uint8, H×W (gray) or H×W×3 (RGB).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity

Array = np.ndarray[Any, np.dtype[Any]]

MOST = 99.0  # dB, of equal pictures, so that means stay finite


@dataclass(frozen=True, slots=True)
class Score:
    """What a picture is worth.

    Attributes:
        psnr: dB.
        ssim: at most 1.
    """

    psnr: float
    ssim: float


@dataclass(frozen=True, slots=True)
class Scoring:
    """What is compared.

    Attributes:
        luminance: Y alone instead of all channels.
        border: pixels left out at each edge.
    """

    luminance: bool = False
    border: int = 0

    def score(self, picture: Array, truth: Array) -> Score:
        """Return both scores.

        Raises:
            ValueError: the pictures differ in size or channels.
        """
        one, other = self._compared(picture, truth)
        return Score(_psnr(one, other), _ssim(one, other))

    def psnr(self, picture: Array, truth: Array) -> float:
        """Return the PSNR in dB; raises what `score` raises."""
        return _psnr(*self._compared(picture, truth))

    def _compared(self, picture: Array, truth: Array) -> tuple[Array, Array]:
        if picture.shape != truth.shape:
            raise ValueError(f"The picture is {_size(picture)}, its truth {_size(truth)}.")
        height, width = truth.shape[:2]
        inner = np.s_[self.border : height - self.border, self.border : width - self.border]
        values = luminance if self.luminance else _as_float
        return values(picture)[inner], values(truth)[inner]


def read(path: Path) -> Array:
    """Return a picture file as uint8: gray files H×W, all others H×W×3.

    Raises:
        OSError: it is not there or no picture.
    """
    with Image.open(path) as image:
        return np.asarray(image if image.mode == "L" else image.convert("RGB"))


def eight_bit(values: Array) -> Array:
    """Return 0–1 floats as they would be saved; a single channel becomes H×W."""
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    return np.asarray(np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8))


def luminance(picture: Array) -> Array:
    """Return Y of an RGB picture, or of a gray one, as floats of 16–235, H×W."""
    gray = _as_float(picture)
    if gray.ndim == 3:
        gray = gray @ np.array([0.299, 0.587, 0.114])
    return np.asarray(16 + 219 * gray / 255)


def _as_float(picture: Array) -> Array:
    return np.asarray(picture, np.float64)


def _psnr(picture: Array, truth: Array) -> float:
    error = float(np.mean((picture - truth) ** 2))
    return min(MOST, 10 * math.log10(255**2 / error)) if error else MOST


def _ssim(picture: Array, truth: Array) -> float:
    similarity = structural_similarity(  # type: ignore[no-untyped-call]
        truth,
        picture,
        data_range=255,
        channel_axis=2 if truth.ndim == 3 else None,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    return float(similarity)


def _size(picture: Array) -> str:
    height, width = picture.shape[:2]
    kind = "gray" if picture.ndim == 2 else "colour"
    return f"{width}×{height} {kind}"
