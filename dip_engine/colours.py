"""Luminance and chroma: a colour as its gray and what gray does not tell.

Luminance is 0.299 R + 0.587 G + 0.114 B (ITU-R BT.601, as in JPEG); chroma here is (R − Y, B − Y),
which is 0 for every gray.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)


def luminance(pixels: Array) -> Array:
    """Return the luminance of H×W×3 (or of gray H×W×1) as H×W."""
    gray: Array = pixels[..., 0] if pixels.shape[2] == 1 else pixels @ WEIGHTS
    return gray


def chroma(pixels: Array) -> Array:
    """Return the chroma of H×W×3 as H×W×2."""
    return pixels[..., [0, 2]] - luminance(pixels)[..., None]


def colour(gray: Array, chroma: Array) -> Array:
    """Return the colours, H×W×3, of a luminance H×W and a chroma H×W×2.

    The luminance is kept exactly: where a colour would leave 0–1, its chroma is reduced until it
    does not.
    """
    red, blue = chroma[..., 0], chroma[..., 1]
    green = -(WEIGHTS[0] * red + WEIGHTS[2] * blue) / WEIGHTS[1]
    change = np.stack([red, green, blue], axis=-1)
    room = np.where(change > 0, 1 - gray[..., None], gray[..., None])
    share = np.min(room / np.maximum(np.abs(change), 1e-6), axis=-1).clip(0, 1)
    result: Array = gray[..., None] + share[..., None] * change
    return result.astype(np.float32)
