"""From what the tiles were joined into to what is shown and written.

    result = input + strength · mask · (restored − input)

Where that share is 0, and under wholly transparent pixels, the input keeps its bits. The input of
an enlargement is its Lanczos enlargement.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from dip_engine import classical
from dip_engine.errors import ResultError
from dip_engine.job import Job
from dip_engine.picture import Picture

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True, slots=True)
class ValueRange:
    """The range of a picture's values: 0–1, or wider for float pictures that leave it.

    Attributes:
        low, high: in units of the file; the engine works on 0–1.
        least: of what may come out, in units of the file.
    """

    low: float
    high: float
    least: float

    @classmethod
    def of(cls, pixels: Array) -> Self:
        """Return the range of a picture."""
        low = min(0.0, float(pixels.min()))
        return cls(low, max(1.0, float(pixels.max())), low)

    def for_job(self, job: Job) -> ValueRange:
        """Return the range in which a job is done.

        Counts of photons begin at 0, wherever the values of the file do: what is less (where the
        sky was subtracted) stays less than 0.
        """
        return replace(self, low=0.0) if job.settings.noise_model == "poisson" else self

    @property
    def width(self) -> float:
        """From low to high, in units of the file."""
        return self.high - self.low

    def to_unit(self, pixels: Array) -> Array:
        """Bring values of the file into 0–1, as float32; those below `low` become negative."""
        if (self.low, self.high) == (0.0, 1.0):
            return pixels
        return ((pixels - self.low) / self.width).astype(np.float32)

    def from_unit(self, pixels: Array) -> Array:
        """Undo `to_unit`, as float32; what leaves the range is clipped."""
        least = (self.least - self.low) / self.width
        return (self.low + np.clip(pixels, least, 1) * self.width).astype(np.float32)


class Finish:
    """Blends the restoration with its input.

    Args:
        job: strength, size of previews, and the file's name.
        source: the picture as it was read.
        mask: float32 H×W, 1 = restore, or None for the whole picture.
        values: the range of its values in which the job is done.
        factor: how much larger the result is; a mask goes with 1 only.
    """

    def __init__(
        self,
        job: Job,
        source: Picture,
        mask: Array | None,
        values: ValueRange,
        factor: int,
    ) -> None:
        strength = job.settings.strength
        self.job = job
        self.source = source
        self.mask = mask
        self.values = values
        self.weight = _weight(job, source, mask, factor, np.float32(strength))
        self.alpha = source.alpha if factor == 1 else _large_alpha(source, factor)
        if job.needs_mask and mask is not None and source.alpha is not None:
            # What was transparent has no colour to blend with: its share goes into alpha.
            filled = np.where(source.alpha == 0, mask * np.float32(strength), np.float32(0))
            blend = np.float32(strength) * mask[:, :, None]
            self.weight = np.where(filled[:, :, None] > 0, np.float32(1), blend)
            self.alpha = _opaque(source.alpha, filled)
        self.base = source.pixels
        if factor > 1 and self.weight is not None:
            small = values.to_unit(source.pixels)
            self.base = values.from_unit(classical.enlarge(small, factor))

    def picture(self, restored: Array) -> Array:
        """Return the result, float32 H×W×C in units of the file.

        Args:
            restored: what the tiles were joined into, H×W×C on the 0–1 scale.
        """
        picture = self.values.from_unit(restored)
        if self.weight is None:
            return picture
        blended = (1 - self.weight) * self.base + self.weight * picture
        return np.where(self.weight > 0, blended, self.base)

    def thumbnail(self, picture: Array) -> tuple[int, int, bytes]:
        """Return width, height and 8-bit RGB of a result, as small as previews are to be."""
        side = self.job.settings.preview_side
        small = self.values.to_unit(classical.shrink(picture, side))
        height, width = small.shape[:2]
        rgb = np.broadcast_to(small, (height, width, 3))
        return width, height, np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8).tobytes()

    def check_finite(self, restored: Array) -> None:
        """Refuse a result, or a tile of it, that is no picture.

        Raises:
            ResultError: values that are not finite.
        """
        if not np.isfinite(restored).all():
            raise ResultError(
                f"The fit of {self.job.input} ended in values that are not finite.",
                "Try another seed, or --dtype float32.",
            )

    def check_not_flat(self, restored: Array) -> None:
        """Refuse a result that has lost the picture.

        Raises:
            ResultError: it is flat, and the picture was not.
        """
        if np.ptp(self.values.from_unit(restored)) > 0:
            return
        learned = self.source.pixels[_learned(self.job, self.source, self.mask)]
        if learned.size and np.ptp(learned) > 0:
            raise ResultError(
                f"The fit of {self.job.input} ended in a flat picture.",
                "Try another seed or preset.",
            )


def _weight(
    job: Job, source: Picture, mask: Array | None, factor: int, share: np.float32
) -> Array | None:
    """Return the share of the restoration in the result, H×W×1 or 1×1×1; None for all of it."""
    hidden = None if source.alpha is None or factor > 1 or job.needs_mask else source.alpha == 0
    if mask is None and hidden is None:
        return None if share == 1 else np.full((1, 1, 1), share, np.float32)
    weight = np.full(source.pixels.shape[:2], share, np.float32) if mask is None else share * mask
    if hidden is not None:
        weight = np.where(hidden, np.float32(0), weight)
    return weight[:, :, None]


def _learned(job: Job, source: Picture, mask: Array | None) -> Array:
    """Return what the fit learns from, bool H×W: what can be seen, and of inpainting is no hole."""
    seen = np.ones(source.pixels.shape[:2], bool) if source.alpha is None else source.alpha > 0
    return seen & (mask == 0) if job.needs_mask and mask is not None else seen


def _large_alpha(source: Picture, factor: int) -> Array | None:
    """Return the alpha channel of an enlargement."""
    if source.alpha is None:
        return None
    kind, top = source.alpha.dtype, _top(source.alpha)
    large = np.clip(classical.enlarge(source.alpha.astype(np.float32) / top, factor), 0, 1) * top
    return large.astype(kind) if kind.kind == "f" else np.rint(large).astype(kind)


def _opaque(alpha: Array, filled: Array) -> Array:
    """Return alpha with holes made visible, as far as `filled` (0–1, H×W) says."""
    shown = filled * _top(alpha)
    shown = shown if alpha.dtype.kind == "f" else np.rint(shown)
    return np.where(filled > 0, shown, alpha).astype(alpha.dtype)


def _top(alpha: Array) -> float:
    return float(np.iinfo(alpha.dtype).max) if alpha.dtype.kind == "u" else 1.0
