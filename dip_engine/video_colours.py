"""From the luminance and colour differences of a video to RGB and back, in floating point.

    Y = kr·R + (1 − kr − kb)·G + kb·B,   Cb = (B − Y) / (2·(1 − kb)),   Cr = (R − Y) / (2·(1 − kr))

with kr and kb of the standard the video follows (ITU-T H.273). What is read with these numbers is
written with the same, and they are named in the file, so that colours stay where they were.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_UNSPECIFIED, _LIMITED, _FULL = 2, 1, 2  # the last two are ranges
_BT709, _BT601, _RGB = 1, 6, 0
_WEIGHTS = {  # kr and kb by the number of the matrix in H.273
    _BT709: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    _BT601: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
_LARGEST_STANDARD = 576  # rows; larger pictures that do not tell follow BT.709


@dataclass(frozen=True, slots=True)
class Colours:
    """How a video tells its colours, in the numbers of H.273.

    Attributes:
        matrix: of luminance and colour differences.
        primaries, transfer: carried along; they do not matter here.
        full_range: Y reaches from 0 to 255, not from 16 to 235.
    """

    matrix: int = _BT709
    primaries: int = _BT709
    transfer: int = _BT709
    full_range: bool = False

    @classmethod
    def of(cls, context: Any) -> Self:
        """Return those of a decoder; what the video does not tell is what players assume."""
        matrix = int(context.colorspace)
        if matrix not in _WEIGHTS:
            matrix = _BT709 if context.height > _LARGEST_STANDARD else _BT601
        full = int(context.color_range) == _FULL or "yuvj" in str(context.pix_fmt)
        return cls(matrix, int(context.color_primaries), int(context.color_trc), full)

    def tell(self, context: Any) -> None:
        """Name them in an encoder."""
        context.colorspace = self.matrix
        context.color_primaries = self.primaries
        context.color_trc = self.transfer
        context.color_range = self.range

    @property
    def range(self) -> int:
        """The number of the range."""
        return _FULL if self.full_range else _LIMITED

    def to_rgb(self, planes: Array) -> Array:
        """Turn integer planes Y, Cb, Cr (3×H×W) into float32 H×W×3, 0–1."""
        top = np.iinfo(planes.dtype).max
        foot, height, reach = self._scale(planes.dtype)
        kr, kb = _WEIGHTS[self.matrix]
        y = (planes[0].astype(np.float32) - foot) / height
        cb, cr = ((p.astype(np.float32) - (top + 1) // 2) / reach for p in planes[1:])
        red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
        green = (y - kr * red - kb * blue) / (1 - kr - kb)
        rgb = np.stack([red, green, blue], axis=2)
        return np.clip(rgb, 0, 1, out=rgb).astype(np.float32, copy=False)

    def from_rgb(self, pixels: Array, dtype: np.dtype[Any]) -> Array:
        """Turn float H×W×3 (or H×W×1, gray) into integer planes Y, Cb, Cr, 3×H×W."""
        top = np.iinfo(dtype).max
        foot, height, reach = self._scale(dtype)
        kr, kb = _WEIGHTS[self.matrix]
        red, green, blue = np.moveaxis(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), 2, 0)
        y = kr * red + (1 - kr - kb) * green + kb * blue
        planes = np.stack(
            [
                foot + height * y,
                (top + 1) // 2 + reach * (blue - y) / (2 * (1 - kb)),
                (top + 1) // 2 + reach * (red - y) / (2 * (1 - kr)),
            ]
        )
        rounded: Array = np.rint(np.clip(planes, 0, top)).astype(dtype)
        return rounded

    def _scale(self, dtype: np.dtype[Any]) -> tuple[float, float, float]:
        """Return the value of black, and the ranges of luminance and of colour differences."""
        unit = (np.iinfo(dtype).max + 1) // 256
        if self.full_range:
            return 0.0, float(np.iinfo(dtype).max), float(np.iinfo(dtype).max)
        return 16.0 * unit, 219.0 * unit, 224.0 * unit
