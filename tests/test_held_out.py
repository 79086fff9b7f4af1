"""What held-out values say about two estimates, and what is mere chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from dip_engine.held_out import best_weight, weight_map

Array = np.ndarray[Any, np.dtype[Any]]

SIDE = 240


def wrong(random: np.random.Generator, size: float) -> Array:
    """Return errors of that standard deviation, alike over some pixels."""
    errors = ndimage.gaussian_filter(random.normal(0, 1, (SIDE, SIDE, 1)), (4, 4, 0))
    return np.asarray(size * errors / errors.std())


def worse(seed: int, pieces: int, side: int) -> float:
    """Return how much larger a join's squared error is than the start's, where a fit is worse.

    Args:
        seed: of the errors and of what is held out.
        pieces: that many.
        side: of a piece, pixels.
    """
    random = np.random.default_rng(seed)
    truth = np.full((SIDE, SIDE, 1), 0.5)
    start, fit = (truth + wrong(random, size) for size in (0.05, 0.1))
    held = np.zeros((SIDE, SIDE), bool)
    for top, left in random.integers(0, SIDE - side, (pieces, 2)):
        held[top : top + side, left : left + side] = True
    joined = start + weight_map(truth, start, fit, held, 24.0) * (fit - start)
    return float(np.mean((joined - truth) ** 2) / np.mean((start - truth) ** 2))


def test_held_out_values_weigh_each_region() -> None:
    random = np.random.default_rng(0)
    truth = random.random((80, 80, 1)).astype(np.float32)
    start, fit = truth.copy(), truth.copy()
    start[:, 40:] += random.normal(0, 0.1, (80, 40, 1))  # the start is bad on the right
    fit[:, :40] += random.normal(0, 0.1, (80, 40, 1))  # and the fit on the left
    held = random.random((80, 80)) < 0.1
    weight = weight_map(truth, start, fit, held, 8.0)
    assert weight.shape == (80, 80, 1)
    assert weight[:, :25].mean() < 0.3
    assert weight[:, 55:].mean() > 0.7
    assert 0.3 < best_weight(truth[held], start[held], fit[held]) < 0.7
    assert (weight_map(truth, truth, truth, held, 8.0) == 0).all()
    assert (weight_map(truth, start, fit, held & False, 8.0) == 0).all()


@pytest.mark.parametrize("seed", range(8))
def test_one_hidden_spot_is_sure_of_little(seed: int) -> None:
    assert worse(seed, pieces=1, side=5) < 1.1


@pytest.mark.parametrize("seed", range(4))
def test_a_few_hidden_letters_that_err_by_chance_count_for_little(seed: int) -> None:
    assert worse(seed, pieces=12, side=12) < 1.05


def test_a_fit_that_is_better_everywhere_gets_nearly_all() -> None:
    random = np.random.default_rng(0)
    truth = random.random((SIDE, SIDE, 1))
    start, fit = truth + wrong(random, 0.1), truth + wrong(random, 0.02)
    held = random.random((SIDE, SIDE)) < 0.02
    assert weight_map(truth, start, fit, held, 24.0).mean() > 0.8
