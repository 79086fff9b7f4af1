"""Rectangles of pixels, and how much of a layer the engine has to see."""

from __future__ import annotations

from dataclasses import dataclass

BLOCK = 8  # JPEG's; a picture that is cut elsewhere loses the grid its artefacts lie on
CONTEXT = 64  # pixels around what is to be restored, at least
MOST_CONTEXT = 512
LEAST_SIDE = 256  # of what is sent: noise and JPEG quality cannot be estimated from less


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle: left and top edge, width and height, in pixels."""

    left: int
    top: int
    width: int
    height: int

    @property
    def right(self) -> int:
        """First column that is no longer inside."""
        return self.left + self.width

    @property
    def bottom(self) -> int:
        """First row that is no longer inside."""
        return self.top + self.height

    def moved(self, right: int, down: int) -> Box:
        """Return the same rectangle elsewhere."""
        return Box(self.left + right, self.top + down, self.width, self.height)

    def common(self, other: Box) -> Box | None:
        """Return what both cover, or None."""
        return _between(
            max(self.left, other.left),
            max(self.top, other.top),
            min(self.right, other.right),
            min(self.bottom, other.bottom),
        )

    def bands(self, rows: int) -> list[Box]:
        """Cut it into pieces of at most so many rows, from top to bottom."""
        return [
            Box(self.left, top, self.width, min(rows, self.bottom - top))
            for top in range(self.top, self.bottom, rows)
        ]


def _between(left: int, top: int, right: int, bottom: int) -> Box | None:
    if right <= left or bottom <= top:
        return None
    return Box(left, top, right - left, bottom - top)


def with_context(chosen: Box, layer: Box) -> Box:
    """Return what the engine has to see of a layer to restore a part of it.

    The margin grows with the hole, as the engine's own does, and is cut off at the layer's
    edges. Edges lie on the grid of JPEG's blocks where the layer allows.
    """
    margin = min(MOST_CONTEXT, max(CONTEXT, min(chosen.width, chosen.height)))
    left, right = _span(chosen.left, chosen.right, margin, layer.width)
    top, bottom = _span(chosen.top, chosen.bottom, margin, layer.height)
    return Box(left, top, right - left, bottom - top)


def _span(start: int, end: int, margin: int, size: int) -> tuple[int, int]:
    margin = max(margin, -(-(LEAST_SIDE - (end - start)) // 2))
    start, end = start - margin, end + margin
    # What does not fit on one side goes to the other.
    start, end = start - max(0, end - size), end - min(0, start)
    start = max(0, start) // BLOCK * BLOCK
    return start, min(size, -(-end // BLOCK) * BLOCK)
