"""What needs no network: the first picture shown, the floor, and the partner of the average.

The non-local estimate for denoising has its own module, `nonlocal_estimate`.
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from PIL import Image
from scipy import ndimage, sparse
from scipy.sparse import linalg

Array = np.ndarray[Any, np.dtype[Any]]

# Above this many unknowns the biharmonic system of a compact hole takes longer than it helps; that
# of scattered pixels is quick.
_BIHARMONIC_UNKNOWNS = 150_000
_SCATTERED = 4.0  # pixels


def fill(pixels: Array, missing: Array) -> Array:
    """Fill holes smoothly: the biharmonic equation, from the known pixels around.

    Args:
        pixels: float32 H×W×C.
        missing: bool H×W.

    Returns:
        float32 H×W×C, equal to `pixels` where not missing. Very large holes are filled with the
        nearest known pixel and blurred instead.
    """
    if not missing.any():
        return pixels
    nearest = fill_nearest(pixels, missing)
    too_many = int(missing.sum()) > _BIHARMONIC_UNKNOWNS and hole_radius(missing) > _SCATTERED
    if missing.all() or too_many:
        return nearest
    system, boundary = _biharmonic(missing)
    filled = nearest.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("error", linalg.MatrixRankWarning)
        try:
            solve = linalg.factorized(system)
        except (RuntimeError, linalg.MatrixRankWarning):  # a hole that touches too little
            return nearest
    for channel in range(pixels.shape[2]):
        known = np.where(missing, 0, pixels[:, :, channel]).ravel()
        solution = solve(-(boundary @ known))
        if not np.isfinite(solution).all():
            return nearest
        filled[missing, channel] = solution
    low = pixels[~missing].min(axis=0)
    high = pixels[~missing].max(axis=0)
    return np.clip(filled, low, high).astype(np.float32)


def _biharmonic(missing: Array) -> tuple[Any, Any]:
    """Return the equations ΔΔu = 0 at missing pixels, split by unknown and known pixels.

    At the picture's border the Laplacian loses the neighbours that are outside, as reflection
    would have it.
    """
    height, width = missing.shape
    laplacian = _laplacian(height, width)
    rows = laplacian[missing.ravel()] @ laplacian
    return rows[:, missing.ravel()].tocsc(), rows


def _laplacian(height: int, width: int) -> Any:
    def second_difference(n: int) -> Any:
        ones = np.ones(max(n - 1, 0))
        matrix = sparse.diags([ones, ones], [-1, 1], shape=(n, n), format="csr")
        return matrix - sparse.diags(np.asarray(matrix.sum(axis=1)).ravel())

    vertical = sparse.kron(second_difference(height), sparse.identity(width))
    horizontal = sparse.kron(sparse.identity(height), second_difference(width))
    return (vertical + horizontal).tocsr()


def fill_nearest(pixels: Array, missing: Array) -> Array:
    """Fill with the nearest known pixel, softened over the hole."""
    if missing.all():
        return pixels
    index = ndimage.distance_transform_edt(missing, return_distances=False, return_indices=True)
    filled = pixels[index[0], index[1]]
    soft = ndimage.gaussian_filter(filled, sigma=(4, 4, 0))
    result: Array = np.where(missing[:, :, None], soft, pixels).astype(np.float32)
    return result


def hole_radius(missing: Array, unknown: Array | None = None) -> float:
    """Return the greatest distance, in pixels, of a missing pixel from a known one.

    Args:
        missing: bool H×W.
        unknown: bool H×W, what is missing and more, or None for just that.
    """
    unknown = missing if unknown is None else unknown
    if not missing.any() or unknown.all():
        return 0.0
    return float(ndimage.distance_transform_edt(unknown)[missing].max())


def enlarge(pixels: Array, factor: int) -> Array:
    """Return the Lanczos enlargement of a float32 H×W×C (or H×W) picture."""
    planes = pixels[:, :, None] if pixels.ndim == 2 else pixels
    height, width = planes.shape[:2]
    size = (width * factor, height * factor)
    large = np.stack(
        [
            np.asarray(
                Image.fromarray(np.ascontiguousarray(planes[:, :, c], np.float32)).resize(
                    size, Image.Resampling.LANCZOS
                )
            )
            for c in range(planes.shape[2])
        ],
        axis=2,
    )
    return large[:, :, 0] if pixels.ndim == 2 else large


def shrink(pixels: Array, longest: int) -> Array:
    """Return a small float32 H×W×C copy for a preview, at most `longest` pixels a side."""
    height, width = pixels.shape[:2]
    step = max(height, width) / longest
    if step <= 1:
        return pixels
    size = (max(1, round(width / step)), max(1, round(height / step)))
    planes = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(pixels[:, :, c], np.float32)).resize(
                size, Image.Resampling.BOX, reducing_gap=2.0
            )
        )
        for c in range(pixels.shape[2])
    ]
    return np.stack(planes, axis=2)
