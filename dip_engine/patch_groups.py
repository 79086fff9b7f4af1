"""Groups of similar patches: find them, gather them, put the filtered ones back.

Reference patches stand on a grid of `STEP` pixels (the last row and column are moved to the edge of
the picture). Each is compared with every patch of a square search window; the nearest make its
group. The work goes block by block, so that memory depends on the block, not on the picture, and
each block sees the pixels its windows reach, so that the blocks leave no trace in the result.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch

STEP = 4  # pixels between reference patches
RADIUS = 18  # pixels a match may lie away from its reference, in each direction
BLOCK = 32  # reference patches per side of a block: what is held in memory at once
_TILE = 8  # reference patches per side that share one matrix product while matching
_WINDOW = 2 * RADIUS + 1


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

    @property
    def top(self) -> int:
        """First row of patch positions in the region."""
        return max(0, self.rows[0] * STEP - RADIUS)

    @property
    def left(self) -> int:
        """First column of patch positions in the region."""
        return max(0, self.cols[0] * STEP - RADIUS)

    @property
    def table_height(self) -> int:
        """Rows of patch positions in the region."""
        last = (self.rows[1] - 1) * STEP + RADIUS
        return min(self.height - self.patch, last) + 1 - self.top

    @property
    def table_width(self) -> int:
        """Columns of patch positions in the region."""
        last = (self.cols[1] - 1) * STEP + RADIUS
        return min(self.width - self.patch, last) + 1 - self.left

    def table(self, picture: torch.Tensor) -> torch.Tensor:
        """Return every patch of the region, positions × channels × values of a patch."""
        size = self.patch
        region = picture[
            :,
            self.top : self.top + self.table_height + size - 1,
            self.left : self.left + self.table_width + size - 1,
        ]
        patches = region.unfold(1, size, 1).unfold(2, size, 1).permute(1, 2, 0, 3, 4)
        return patches.reshape(-1, picture.shape[0], size * size)

    def match(self, guide: torch.Tensor, count: int) -> torch.Tensor:
        """Find the patches of the plane `guide` (H×W) that are nearest to each reference patch.

        Returns:
            References × count indices into `table`, nearest first; the first is the reference.
        """
        device = guide.device
        plane = guide[None] - guide.mean()  # a small norm keeps the digits of the differences
        table = self.table(plane)[:, 0]
        row_tiles = -(-(self.rows[1] - self.rows[0]) // _TILE)
        col_tiles = -(-(self.cols[1] - self.cols[0]) // _TILE)
        grid_rows = torch.arange(self.rows[0], self.rows[0] + row_tiles * _TILE, device=device)
        grid_cols = torch.arange(self.cols[0], self.cols[0] + col_tiles * _TILE, device=device)
        ref_rows = (grid_rows * STEP).clamp(max=self.height - self.patch)
        ref_cols = (grid_cols * STEP).clamp(max=self.width - self.patch)

        distances = self._distances(table, ref_rows, ref_cols)
        keep_rows, keep_cols = self.rows[1] - self.rows[0], self.cols[1] - self.cols[0]
        distances = distances[:keep_rows, :keep_cols].reshape(keep_rows * keep_cols, _WINDOW**2)

        window_rows = (grid_rows * STEP - RADIUS)[:keep_rows]
        window_cols = (grid_cols * STEP - RADIUS)[:keep_cols]
        own = (ref_rows[:keep_rows] - window_rows)[:, None] * _WINDOW
        own = own + (ref_cols[:keep_cols] - window_cols)
        distances.scatter_(1, own.reshape(-1, 1), -torch.inf)
        nearest = distances.topk(count, dim=1, largest=False, sorted=True).indices

        corner = (window_rows - self.top)[:, None] * self.table_width + (window_cols - self.left)
        steps = nearest // _WINDOW * self.table_width + nearest % _WINDOW
        return corner.reshape(-1, 1) + steps

    def _distances(
        self, table: torch.Tensor, ref_rows: torch.Tensor, ref_cols: torch.Tensor
    ) -> torch.Tensor:
        """Return |b|² − 2a·b of each reference a and its window's b: rows × cols × 37 × 37.

        The references of a tile share one matrix product with all candidates any of them needs;
        a strided view then cuts each reference's own window out of it. Places outside of the
        picture are infinitely far.
        """
        device = table.device
        height, width = self.table_height, self.table_width
        rows = torch.arange(len(ref_rows) * STEP - STEP + _WINDOW, device=device)
        cols = torch.arange(len(ref_cols) * STEP - STEP + _WINDOW, device=device)
        rows = rows + (self.rows[0] * STEP - RADIUS - self.top)
        cols = cols + (self.cols[0] * STEP - RADIUS - self.left)
        inside = ((rows >= 0) & (rows < height))[:, None] & ((cols >= 0) & (cols < width))
        places = rows.clamp(0, height - 1)[:, None] * width + cols.clamp(0, width - 1)
        candidates = table[places]
        energy = candidates.square().sum(-1).masked_fill(~inside, torch.inf)

        side, stride = (_TILE - 1) * STEP + _WINDOW, _TILE * STEP
        windows = candidates.unfold(0, side, stride).unfold(1, side, stride)
        row_tiles, col_tiles = windows.shape[:2]
        tiles = row_tiles * col_tiles
        energy = energy.unfold(0, side, stride).unfold(1, side, stride)
        at = (ref_rows - self.top)[:, None] * width + (ref_cols - self.left)
        at = at.view(row_tiles, _TILE, col_tiles, _TILE).transpose(1, 2).reshape(tiles, -1)
        products = torch.baddbmm(
            energy.reshape(tiles, 1, side * side),
            table[at],
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
        return own_windows.reshape(len(ref_rows), len(ref_cols), _WINDOW, _WINDOW)


class Canvas:
    """The weighted mean of overlapping filtered patches, C×H×W."""

    def __init__(self, channels: int, height: int, width: int, device: torch.device) -> None:
        self._sum = torch.zeros(channels, height, width, device=device)
        self._weight = torch.zeros(channels, height, width, device=device)

    def add(self, block: Block, values: torch.Tensor, weights: torch.Tensor) -> None:
        """Add a block's sums over its table.

        Args:
            block: where they lie.
            values: positions × channels × values of a patch, already weighted.
            weights: positions × channels.
        """
        high, wide, size = block.table_height, block.table_width, block.patch
        region = (
            slice(None),
            slice(block.top, block.top + high + size - 1),
            slice(block.left, block.left + wide + size - 1),
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


def blocks(patch: int, height: int, width: int) -> Iterator[Block]:
    """Cut the reference grid of a picture into blocks."""
    rows = -(-(height - patch) // STEP) + 1
    cols = -(-(width - patch) // STEP) + 1
    for row in range(0, rows, BLOCK):
        for col in range(0, cols, BLOCK):
            yield Block(
                patch,
                height,
                width,
                (row, min(row + BLOCK, rows)),
                (col, min(col + BLOCK, cols)),
            )
