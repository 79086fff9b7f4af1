"""How strongly a picture was compressed with JPEG, read from its pixels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, np.dtype[Any]]

# The luminance table of the JPEG standard, Annex K, at quality 50.
_LUMINANCE = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
)
_QUALITIES = range(5, 96)
_SIDE = 512
# Recompression at the quality of the first compression changes far less than at its neighbours.
_DIP = 0.6


def find_quality(pixels: Array) -> int | None:
    """Return the quality 5–95 of an earlier JPEG compression, or None when there was none.

    A picture that was compressed once hardly changes when it is compressed again at the same
    quality; at other qualities it does.

    Args:
        pixels: float32 H×W×C on the 0–1 scale, its 8×8 blocks where the encoder put them.

    Source: Farid, "Exposing digital forgeries from JPEG ghosts", IEEE TIFS 2009.
    """
    gray = np.clip(pixels[:_SIDE, :_SIDE].mean(axis=2), 0, 1)
    samples = np.rint(gray * 255).astype(np.uint8)
    changes = np.array([_change(samples, quality) for quality in _QUALITIES])
    best = None
    for index, change in enumerate(changes):
        near = np.concatenate([changes[max(0, index - 4) : index], changes[index + 1 : index + 5]])
        ratio = (change + 1e-6) / (np.median(near) + 1e-6)
        if ratio < _DIP and (best is None or ratio < best[0]):
            best = (ratio, _QUALITIES[index])
    return None if best is None else best[1]


def luminance_table(quality: int) -> Array:
    """Return the 8×8 steps, in 8-bit levels, to which JPEG of a quality 1–100 rounds."""
    scale = 5000 // quality if quality < 50 else 200 - 2 * quality
    steps: Array = np.clip((_LUMINANCE * scale + 50) // 100, 1, 255).astype(np.float32)
    return steps


def _change(samples: Array, quality: int) -> float:
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as again:
        difference = np.asarray(again, np.float32) - samples
    return float(np.mean(difference**2))
