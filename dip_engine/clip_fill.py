"""Filling holes of a frame with what other frames show in their place.

Each hole is looked for in the frames around, the nearest in time first: its surroundings are
aligned by a translation of their own, and what the other frame knows there is taken over if the
surroundings of the hole agree. What no frame shows stays a hole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import ndimage

from dip_engine import classical
from dip_engine.alignment import Shift, moved, refined

Array = np.ndarray[Any, np.dtype[Any]]

_RING = 16  # pixels around a hole by which it is aligned and judged
_SLACK = 12  # pixels by which the content there may have moved other than the frame as a whole
_EDGE = 2  # known pixels at the rim of a hole that may be stained by it
_AGREE = 3 / 255  # mean difference of surroundings that is no difference
_UNLIKE = 0.5  # of their contrast: from there on they show something else


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another frame of the same scene.

    Attributes:
        pixels: float32 H×W×C.
        missing: bool H×W, its own holes.
        shift: by which its content has moved against that of the frame with the hole.
    """

    pixels: Array
    missing: Array
    shift: Shift


def fill_from(
    pixels: Array, missing: Array, neighbours: Sequence[Neighbour]
) -> tuple[Array, Array]:
    """Fill what other frames show.

    Args:
        pixels: float32 H×W×C, left as it is.
        missing: bool H×W.
        neighbours: the most trusted first.

    Returns:
        The frame, and what is still missing in it.
    """
    filled, left = pixels.copy(), missing.copy()
    wide = ndimage.binary_dilation(missing, iterations=_RING // 2)
    labels, _ = ndimage.label(wide)
    for number, box in enumerate(ndimage.find_objects(labels), 1):
        hole = left[box] & (labels[box] == number)
        area = _grown(box, _RING // 2, missing.shape)
        for neighbour in neighbours:
            if not hole.any():
                break
            found = _look(pixels, missing, area, neighbour)
            if found is None:
                continue
            inner = tuple(
                slice(b.start - a.start, b.stop - a.start) for a, b in zip(area, box, strict=True)
            )
            content, sure = found[0][inner], found[1][inner]
            taken = hole & sure
            filled[box][taken] = content[taken]
            left[box][taken] = False
            hole &= ~taken
    return filled, left


def _look(
    pixels: Array, missing: Array, area: tuple[slice, ...], neighbour: Neighbour
) -> tuple[Array, Array] | None:
    """Return what a neighbour shows in a rectangle, and where it knows; None if it is unlike."""
    rough = round(neighbour.shift[0]), round(neighbour.shift[1])
    there, unknown = _cut(neighbour, area, rough)
    here, hole = pixels[area], missing[area]
    inside = slice(_SLACK, -_SLACK), slice(_SLACK, -_SLACK)
    if not (ndimage.binary_dilation(hole, iterations=_EDGE) & ~unknown[inside]).any():
        return None
    if unknown.all():
        return None
    there = classical.fill_nearest(there, unknown)
    rim = ndimage.binary_dilation(hole, iterations=_EDGE)
    weight = (~rim).astype(np.float32)
    # One size for both: the frame is set into the middle of the larger cut.
    border = ((_SLACK, _SLACK), (_SLACK, _SLACK))
    frame = np.pad(here.mean(axis=2), border, mode="edge")
    known = (~ndimage.binary_dilation(unknown, iterations=_EDGE)).astype(np.float32)
    shift = refined(frame, there.mean(axis=2), (0.0, 0.0), np.pad(weight, border), known)
    content = moved(there, shift, order=3)[inside]
    sure = moved(known, shift, outside=0)[inside] > 0.99
    ring = sure & ~rim
    if ring.sum() < _RING:
        return None
    offset = here[ring].mean(axis=0) - content[ring].mean(axis=0)
    content = content + offset
    error = np.abs(here[ring] - content[ring]).mean()
    contrast = np.abs(here[ring] - here[ring].mean(axis=0)).mean()
    if error > max(_AGREE, _UNLIKE * contrast):
        return None
    return np.clip(content, 0, 1).astype(np.float32), sure


def _cut(
    neighbour: Neighbour, area: tuple[slice, ...], shift: tuple[int, int]
) -> tuple[Array, Array]:
    """Return a neighbour's pixels around a moved rectangle, and what of them is unknown."""
    height, width = neighbour.missing.shape
    rows = np.arange(area[0].start - _SLACK, area[0].stop + _SLACK) + shift[0]
    columns = np.arange(area[1].start - _SLACK, area[1].stop + _SLACK) + shift[1]
    outside = ((rows < 0) | (rows >= height))[:, None] | (columns < 0) | (columns >= width)
    places = np.ix_(rows.clip(0, height - 1), columns.clip(0, width - 1))
    return neighbour.pixels[places], neighbour.missing[places] | outside


def _grown(box: tuple[slice, ...], margin: int, shape: tuple[int, ...]) -> tuple[slice, ...]:
    return tuple(
        slice(max(0, side.start - margin), min(length, side.stop + margin))
        for side, length in zip(box, shape, strict=True)
    )
