"""Masks of a clip: one for all frames, or one for each, in step with them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from dip_engine import masks
from dip_engine.clips import Clip, Frame, is_clip, is_video, open_clip
from dip_engine.errors import MaskError
from dip_engine.job import Job

Array = np.ndarray[Any, np.dtype[Any]]


class ClipMasks:
    """Tells of each frame in turn what is to be restored.

    A folder of masks is read as exactly as a mask of a picture. A video of masks is compressed:
    of it, what is brighter than half is marked and the rest is not.

    Args:
        job: its mask, mask colour, and whether its task needs any.
        clip: the frames it is for.

    Raises:
        InputError: the mask cannot be read.
        MaskError: it is of another size or length, or there is none and the task needs one.
    """

    def __init__(self, job: Job, clip: Clip) -> None:
        self.job = job
        self.any = False
        self._one: Array | None = None
        self._each: Iterator[Frame] | None = None
        if job.mask is None:
            return
        if not is_clip(job.mask):
            may_be_white = not job.needs_mask
            self._one = masks.read_mask(
                job.mask, clip.width, clip.height, may_be_white=may_be_white
            )
            return
        moving = open_clip(job.mask)
        if (moving.width, moving.height) != (clip.width, clip.height):
            raise MaskError(
                f"{job.mask} is {moving.width}×{moving.height} pixels, but {job.input} is "
                f"{clip.width}×{clip.height}.",
                "Make the masks exactly as large as the frames.",
            )
        if moving.count != clip.count:
            raise MaskError(
                f"{job.mask} has {moving.count} frames, but {job.input} has {clip.count}.",
                "Give one mask for each frame, or a single picture for all.",
            )
        self._each = moving.frames()

    def next(self, frame: Frame) -> Array | None:
        """Return the mask of the next frame, float32 H×W, 1 = restore; None for the whole frame.

        Raises:
            InputError: the mask of this frame cannot be read.
            MaskError: the task needs a mask, and the frame has none.
        """
        mask = self._next(frame)
        self.any = self.any or mask is None or bool(mask.any())
        return mask

    def _next(self, frame: Frame) -> Array | None:
        if self._one is not None:
            return self._one
        if self._each is not None:
            mask = next(self._each, None)
            if mask is None:
                raise MaskError(f"{self.job.mask} has no mask for {frame.name}.")
            gray: Array = mask.pixels.mean(axis=2, dtype=np.float32)
            if self.job.mask is not None and is_video(self.job.mask):
                return (gray > 0.5).astype(np.float32)
            if mask.picture.alpha is not None:
                gray = gray * _opacity(mask.picture.alpha)
            return gray
        return self._found_in(frame)

    def _found_in(self, frame: Frame) -> Array | None:
        """Take the mask from a colour or from what is transparent, which a frame need not have."""
        if self.job.mask_color is None and not self.job.needs_mask:
            return None
        if self.job.mask_color is None and frame.picture.alpha is None:
            raise MaskError(
                f"{frame.name} has no alpha channel to take the mask from.",
                "Give a mask: a picture for all frames, or a video or folder with one for each.",
            )
        try:
            if self.job.mask_color is None:
                return masks.mask_from_alpha(frame.picture)
            return masks.mask_from_color(frame.picture, self.job.mask_color)
        except MaskError:
            return np.zeros(frame.pixels.shape[:2], np.float32)


def _opacity(alpha: Array) -> Array:
    top = 1 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max
    return alpha.astype(np.float32) / np.float32(top)
