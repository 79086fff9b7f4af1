"""Colours from strokes, without a fit: pixels that look alike in gray are given like colours.

Source: Levin, Lischinski, Weiss, "Colorization using Optimization", SIGGRAPH 2004.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse import linalg

Array = np.ndarray[Any, np.dtype[Any]]

_NEIGHBOURS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]
_LEAST_SPREAD = 2e-6  # variance of the gray of a flat neighbourhood: its pixels still differ a bit


def propagate(gray: Array, chroma: Array, known: Array) -> Array:
    """Return the chroma of every pixel, float32 H×W×2.

    It minimises Σ (u(r) − Σ w(r, s) u(s))² over 3×3 neighbours s, where w falls with the difference
    in gray, and u is what is known at the strokes.

    Args:
        gray: H×W, 0–1.
        chroma: H×W×2, used where known.
        known: bool H×W, at least one.
    """
    height, width = gray.shape
    weights = _weights(gray.astype(np.float64))
    rows = np.arange(height * width).reshape(height, width)
    entries: list[Array] = []
    for (dy, dx), weight in zip(_NEIGHBOURS, weights, strict=True):
        there = ndimage.shift(rows, (-dy, -dx), order=0, mode="nearest")
        entries.append(np.stack([rows.ravel(), there.ravel(), -weight.ravel()]))
    row, column, value = np.concatenate(entries, axis=1)
    free = (~known).ravel().astype(np.float64)
    matrix = sparse.coo_matrix(
        (value * free[row.astype(int)], (row.astype(int), column.astype(int))),
        shape=(rows.size, rows.size),
    ).tocsc()
    matrix = matrix + sparse.identity(rows.size, format="csc")
    # The matrix is sparse alike on both sides of its diagonal, which is never small: to take both
    # for granted is three times faster.
    solve = linalg.splu(
        matrix,
        permc_spec="MMD_AT_PLUS_A",
        diag_pivot_thresh=0.0,
        options={"SymmetricMode": True},
    ).solve
    target = np.where(known[..., None], chroma, 0).reshape(-1, 2).astype(np.float64)
    found = np.stack([solve(target[:, c]) for c in range(2)], axis=1)
    result: Array = found.reshape(height, width, 2).astype(np.float32)
    return result


def _weights(gray: Array) -> Array:
    """Return the weight of each of the 8 neighbours of each pixel, 8×H×W, their sum is 1."""
    height, width = gray.shape
    padded = np.pad(gray, 1, mode="edge")
    seen = np.stack([padded[1 + y : 1 + y + height, 1 + x : 1 + x + width] for y, x in _NEIGHBOURS])
    inside = np.pad(np.ones_like(gray), 1)
    exists = np.stack(
        [inside[1 + y : 1 + y + height, 1 + x : 1 + x + width] for y, x in _NEIGHBOURS]
    )
    spread = np.var(np.concatenate([seen, gray[None]]), axis=0)
    nearest = np.min(np.where(exists > 0, (seen - gray) ** 2, np.inf), axis=0)
    # As in the authors' code: wide enough that at least one neighbour counts.
    scale = np.maximum(np.maximum(0.6 * spread, nearest / -np.log(0.01)), _LEAST_SPREAD)
    weight = exists * np.exp(-((seen - gray) ** 2) / scale)
    result: Array = weight / np.maximum(weight.sum(axis=0), 1e-12)  # one pixel has no neighbours
    return result
