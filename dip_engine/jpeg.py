"""How strongly a picture was compressed with JPEG, read from its pixels."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

Array = np.ndarray[Any, np.dtype[Any]]

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


def _change(samples: Array, quality: int) -> float:
    buffer = io.BytesIO()
    Image.fromarray(samples).save(buffer, "JPEG", quality=quality)
    with Image.open(buffer) as again:
        difference = np.asarray(again, np.float32) - samples
    return float(np.mean(difference**2))
