"""Groups of similar patches: find them, gather them, put the filtered ones back.

Reference patches stand on a grid of `STEP` pixels (the last row and column are moved to the edge of
the picture). Each is compared with every patch of a square search window; the nearest make its
group. The work goes block by block, so that memory depends on the block, not on the picture, and
each block sees the pixels its windows reach, so that the blocks leave no trace in the result.

Of a clip, the windows may lie in neighbouring frames as well, each about where the reference has
moved to (Dabov and others, 2007).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

STEP = 4  # pixels between reference patches
RADIUS = 18  # pixels a match may lie away from its reference, in each direction
BLOCK = 32  # reference patches per side of a block: what is held in memory at once
GPU_BLOCK = 128  # a GPU is idle between small pieces of work; takes up to 2 GB
_TILE = 8  # reference patches per side that share one matrix product while matching
_WINDOW = 2 * RADIUS + 1

Shift = tuple[int, int]
"""Rows and columns by which a frame's content has moved against that of the reference's frame."""

STILL: Shift = (0, 0)


@dataclass(frozen=True)
class Region:
    """A rectangle of patch positions: what a block's windows reach in one frame."""

    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True)
class Block:
    """A rectangle of reference patches and the region of patch positions their windows reach.

    Attributes:
        patch: side of a patch in pixels.
        height: rows of the picture.
        width: columns of the picture.
        rows: first and one past the last row of the reference grid.
        cols: first and one past the last column of the reference grid.
    """

    patch: int
    height: int
    width: int
    rows: tuple[int, int]
    cols: tuple[int, int]

    def region(self, shift: Shift = STILL) -> Region:
        """Return the positions the windows reach in a frame; at least one, however far it moved."""
        top, bottom = self._reach(self.rows, shift[0], self.height - self.patch)
        left, right = self._reach(self.cols, shift[1], self.width - self.patch)
        return Region(top, left, bottom + 1 - top, right + 1 - left)

    @property
    def table_width(self) -> int:
        """Columns of patch positions in the region of the reference's own frame."""
        return self.region().width

    @staticmethod
    def _reach(grid: tuple[int, int], shift: int, last: int) -> tuple[int, int]:
        first = min(max(0, grid[0] * STEP - RADIUS + shift), last)
        return first, max(first, min(last, (grid[1] - 1) * STEP + RADIUS + shift))

    def table(self, picture: torch.Tensor, shift: Shift = STILL) -> torch.Tensor:
        """Return every patch of the region, positions × channels × values of a patch."""
        size, region = self.patch, self.region(shift)
        pixels = picture[
            :,
            region.top : region.top + region.height + size - 1,
            region.left : region.left + region.width + size - 1,
        ]
        patches = pixels.unfold(1, size, 1).unfold(2, size, 1).permute(1, 2, 0, 3, 4)
        return patches.reshape(-1, picture.shape[0], size * size)

    def match(
        self,
        guide: torch.Tensor,
        count: int,
        others: Sequence[tuple[torch.Tensor, Shift]] = (),
    ) -> torch.Tensor:
        """Find the patches that are nearest to each reference patch of the plane `guide` (H×W).

        Args:
            guide: the frame of the references.
            count: patches of a group.
            others: planes of neighbouring frames, in which they may lie as well.

        Returns:
            References × count indices into `table`, nearest first; the first is the reference.
            Those into the tables of `others` follow those into the guide's.
        """
        device = guide.device
        mean = guide.mean()  # a small norm keeps the digits of the differences
        row_tiles = -(-(self.rows[1] - self.rows[0]) // _TILE)
        col_tiles = -(-(self.cols[1] - self.cols[0]) // _TILE)
        grid_rows = torch.arange(self.rows[0], self.rows[0] + row_tiles * _TILE, device=device)
        grid_cols = torch.arange(self.cols[0], self.cols[0] + col_tiles * _TILE, device=device)
        ref_rows = (grid_rows * STEP).clamp(max=self.height - self.patch)
        ref_cols = (grid_cols * STEP).clamp(max=self.width - self.patch)
        keep_rows, keep_cols = self.rows[1] - self.rows[0], self.cols[1] - self.cols[0]
        window_rows = (grid_rows * STEP - RADIUS)[:keep_rows]
        window_cols = (grid_cols * STEP - RADIUS)[:keep_cols]

        own = self.region()
        table = self.table(guide[None] - mean)[:, 0]
        at = (ref_rows - own.top)[:, None] * own.width + (ref_cols - own.left)
        references = table[at]
        windows = [_Windows(self._distances(table, references, STILL), own, STILL, 0)]
        for plane, shift in others:
            first = windows[-1].first + len(table)
            table = self.table(plane[None] - mean, shift)[:, 0]
            distances = self._distances(table, references, shift)
            windows.append(_Windows(distances, self.region(shift), shift, first))

        count_all = keep_rows * keep_cols
        distances = torch.cat(
            [w.distances[:keep_rows, :keep_cols].reshape(count_all, -1) for w in windows], 1
        )
        itself = (ref_rows[:keep_rows] - window_rows)[:, None] * _WINDOW
        itself = itself + (ref_cols[:keep_cols] - window_cols)
        distances.scatter_(1, itself.reshape(-1, 1), -torch.inf)
        nearest = distances.topk(count, dim=1, largest=False, sorted=True).indices

        frame, place = nearest // _WINDOW**2, nearest % _WINDOW**2
        corners = torch.stack([w.corners(window_rows, window_cols) for w in windows], 1)
        widths = torch.tensor([w.region.width for w in windows], device=device)
        steps = place // _WINDOW * widths[frame] + place % _WINDOW
        return corners.gather(1, frame) + steps

    def _distances(
        self, table: torch.Tensor, references: torch.Tensor, shift: Shift
    ) -> torch.Tensor:
        """Return |b|² − 2a·b of each reference a and its window's b: rows × cols × 37 × 37.

        The references of a tile share one matrix product with all candidates any of them needs;
        a strided view then cuts each reference's own window out of it. Places outside of the
        picture are infinitely far.
        """
        device = table.device
        region = self.region(shift)
        height, width = region.height, region.width
        count_rows, count_cols = references.shape[:2]
        rows = torch.arange(count_rows * STEP - STEP + _WINDOW, device=device)
        cols = torch.arange(count_cols * STEP - STEP + _WINDOW, device=device)
        rows = rows + (self.rows[0] * STEP - RADIUS + shift[0] - region.top)
        cols = cols + (self.cols[0] * STEP - RADIUS + shift[1] - region.left)
        inside = ((rows >= 0) & (rows < height))[:, None] & ((cols >= 0) & (cols < width))
        places = rows.clamp(0, height - 1)[:, None] * width + cols.clamp(0, width - 1)
        candidates = table[places]
        energy = candidates.square().sum(-1).masked_fill(~inside, torch.inf)

        side, stride = (_TILE - 1) * STEP + _WINDOW, _TILE * STEP
        windows = candidates.unfold(0, side, stride).unfold(1, side, stride)
        row_tiles, col_tiles = windows.shape[:2]
        tiles = row_tiles * col_tiles
        energy = energy.unfold(0, side, stride).unfold(1, side, stride)
        tiled = references.view(row_tiles, _TILE, col_tiles, _TILE, -1).transpose(1, 2)
        products = torch.baddbmm(
            energy.reshape(tiles, 1, side * side),
            tiled.reshape(tiles, _TILE**2, -1),
            windows.reshape(tiles, -1, side * side),
            alpha=-2,
        )
        own_windows = products.as_strided(
            (row_tiles, _TILE, col_tiles, _TILE, _WINDOW, _WINDOW),
            (
                col_tiles * _TILE**2 * side**2,
                _TILE * side**2 + STEP * side,
                _TILE**2 * side**2,
                side**2 + STEP,
                side,
                1,
            ),
        )
        return own_windows.reshape(count_rows, count_cols, _WINDOW, _WINDOW)


@dataclass(frozen=True)
class _Windows:
    """The search windows of a block's references in one frame.

    Attributes:
        distances: rows × cols × 37 × 37.
        region: what they reach.
        shift: of the frame.
        first: index of the region's first patch among those of all frames.
    """

    distances: torch.Tensor
    region: Region
    shift: Shift
    first: int

    def corners(self, rows: torch.Tensor, cols: torch.Tensor) -> torch.Tensor:
        """Return the index of each window's top left patch, also of one outside of the picture.

        Args:
            rows: of the windows, in the frame of the references.
            cols: likewise.
        """
        rows = rows + (self.shift[0] - self.region.top)
        cols = cols + (self.shift[1] - self.region.left)
        return (self.first + rows[:, None] * self.region.width + cols).reshape(-1)


class Canvas:
    """The weighted mean of overlapping filtered patches, C×H×W."""

    def __init__(self, channels: int, height: int, width: int, device: torch.device) -> None:
        self._sum = torch.zeros(channels, height, width, device=device)
        self._weight = torch.zeros(channels, height, width, device=device)

    def add(
        self, block: Block, values: torch.Tensor, weights: torch.Tensor, shift: Shift = STILL
    ) -> None:
        """Add a block's sums over its table.

        Args:
            block: where they lie.
            values: positions × channels × values of a patch, already weighted.
            weights: positions × channels.
            shift: of the frame the canvas is of.
        """
        area, size = block.region(shift), block.patch
        high, wide = area.height, area.width
        region = (
            slice(None),
            slice(area.top, area.top + high + size - 1),
            slice(area.left, area.left + wide + size - 1),
        )
        totals, counts = self._sum[region], self._weight[region]
        planes = values.permute(1, 2, 0).contiguous().view(-1, size, size, high, wide)
        spread = weights.t().reshape(-1, high, wide)
        for y in range(size):
            for x in range(size):
                totals[:, y : y + high, x : x + wide] += planes[:, y, x]
                counts[:, y : y + high, x : x + wide] += spread

    def mean(self) -> torch.Tensor:
        """Return the picture."""
        return self._sum / self._weight


def blocks(patch: int, height: int, width: int, *, on_gpu: bool) -> Iterator[Block]:
    """Cut the reference grid of a picture into blocks."""
    side = GPU_BLOCK if on_gpu else BLOCK
    rows = -(-(height - patch) // STEP) + 1
    cols = -(-(width - patch) // STEP) + 1
    for row in range(0, rows, side):
        for col in range(0, cols, side):
            yield Block(
                patch,
                height,
                width,
                (row, min(row + side, rows)),
                (col, min(col + side, cols)),
            )
