"""From the luminance and colour differences of a video to RGB and back, in floating point.

    Y = kr·R + (1 − kr − kb)·G + kb·B,   Cb = (B − Y) / (2·(1 − kb)),   Cr = (R − Y) / (2·(1 − kr))

with kr and kb of the standard the video follows (ITU-T H.273). What is read with these numbers is
written with the same, and they are named in the file, so that colours stay where they were. Where
the colour planes are halved (4:2:0), their samples lie between two rows and on every second column,
as H.264 has it unless it says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

_LIMITED, _FULL = 1, 2  # numbers of the ranges
_BT709, _BT601 = 1, 6
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

    def to_rgb(self, planes: Array, bits: int) -> Array:
        """Turn Y, Cb and Cr into RGB.

        Args:
            planes: 3×H×W, in the units of integer samples.
            bits: of those.

        Returns:
            Float32 H×W×3, 0–1.
        """
        foot, height, reach = self._scale(bits)
        kr, kb = _WEIGHTS[self.matrix]
        y = (planes[0].astype(np.float32) - foot) / height
        cb, cr = ((p.astype(np.float32) - 2 ** (bits - 1)) / reach for p in planes[1:])
        red, blue = y + 2 * (1 - kr) * cr, y + 2 * (1 - kb) * cb
        green = (y - kr * red - kb * blue) / (1 - kr - kb)
        rgb: Array = np.clip(np.stack([red, green, blue], axis=2), 0, 1).astype(np.float32)
        return rgb

    def from_rgb(self, pixels: Array, bits: int) -> Array:
        """Undo `to_rgb` for float H×W×3, or H×W×1 (gray); not rounded."""
        foot, height, reach = self._scale(bits)
        kr, kb = _WEIGHTS[self.matrix]
        red, green, blue = np.moveaxis(np.broadcast_to(pixels, (*pixels.shape[:2], 3)), 2, 0)
        y = kr * red + (1 - kr - kb) * green + kb * blue
        middle = 2 ** (bits - 1)
        cb = middle + reach * (blue - y) / (2 * (1 - kb))
        cr = middle + reach * (red - y) / (2 * (1 - kr))
        return np.stack([foot + height * y, cb, cr])

    def _scale(self, bits: int) -> tuple[float, float, float]:
        """Return the value of black, and the ranges of luminance and of colour differences."""
        if self.full_range:
            return 0.0, 2.0**bits - 1, 2.0**bits - 1
        unit = 2.0 ** (bits - 8)
        return 16 * unit, 219 * unit, 224 * unit


def doubled(plane: Array, height: int, width: int) -> Array:
    """Bring a halved colour plane to float32 height×width, linearly."""
    plane = plane.astype(np.float32)
    above, below = plane[[0, *range(len(plane) - 1)]], plane[[*range(1, len(plane)), -1]]
    tall = np.stack([0.75 * plane + 0.25 * above, 0.75 * plane + 0.25 * below], axis=1)
    tall = tall.reshape(-1, plane.shape[1])[:height]
    right = np.concatenate([tall[:, 1:], tall[:, -1:]], axis=1)
    wide = np.stack([tall, (tall + right) / 2], axis=2)
    return wide.reshape(height, -1)[:, :width]


def halved(plane: Array) -> Array:
    """Undo `doubled`: half the height and width, rounded up."""
    padded = np.pad(plane, [(0, plane.shape[0] % 2), (1, 1 + plane.shape[1] % 2)], mode="edge")
    low = (padded[::2] + padded[1::2]) / 2
    result: Array = 0.25 * low[:, :-2:2] + 0.5 * low[:, 1:-1:2] + 0.25 * low[:, 2::2]
    return result
