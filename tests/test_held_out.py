"""What held-out values say about two estimates, and what is mere chance."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from dip_engine.held_out import best_weight, weight_map

Array = np.ndarray[Any, np.dtype[Any]]

SIDE = 240


def wrong(random: np.random.Generator, size: float = 0.1, reach: float = 0.0) -> Array:
    """Return errors of that standard deviation, alike over so many pixels."""
    errors = random.normal(0, 1, (SIDE, SIDE, 1))
    if reach:
        errors = ndimage.gaussian_filter(errors, (reach, reach, 0))
    return np.asarray(size * errors / errors.std())


def test_held_out_values_weigh_each_region() -> None:
    random = np.random.default_rng(0)
    truth = random.random((SIDE, SIDE, 1))
    left = np.arange(SIDE)[None, :, None] < SIDE // 2
    start = truth + np.where(left, 0, wrong(random))
    fit = truth + np.where(left, wrong(random), 0)
    held = random.random((SIDE, SIDE)) < 0.02
    weight = weight_map(truth, start, fit, held, 24.0)
    assert weight.shape == (SIDE, SIDE, 1)
    assert weight[:, :75].mean() < 0.2
    assert weight[:, 165:].mean() > 0.7
    assert 0.3 < best_weight(truth[held], start[held], fit[held]) < 0.7


def test_equal_estimates_leave_the_start() -> None:
    truth = np.random.default_rng(0).random((SIDE, SIDE, 1))
    held = np.ones((SIDE, SIDE), bool)
    assert (weight_map(truth, truth, truth, held, 24.0) == 0).all()
    assert (weight_map(truth, truth, 1 - truth, held & False, 24.0) == 0).all()


@pytest.mark.parametrize("seed", range(8))
def test_one_hidden_spot_is_sure_of_little(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = np.full((SIDE, SIDE, 1), 0.5)
    start, fit = (truth + wrong(random, size, reach=4) for size in (0.05, 0.1))
    held = np.zeros((SIDE, SIDE), bool)
    top, left = random.integers(0, SIDE - 5, 2)
    held[top : top + 5, left : left + 5] = True
    joined = start + weight_map(truth, start, fit, held, 24.0) * (fit - start)
    assert np.mean((joined - truth) ** 2) < 1.1 * np.mean((start - truth) ** 2)


@pytest.mark.parametrize("seed", range(4))
def test_a_few_hidden_letters_that_err_by_chance_count_for_little(seed: int) -> None:
    random = np.random.default_rng(seed)
    truth = np.full((SIDE, SIDE, 1), 0.5)
    start, fit = (truth + wrong(random, size, reach=4) for size in (0.05, 0.1))
    held = np.zeros((SIDE, SIDE), bool)
    for top, left in random.integers(0, SIDE - 12, (12, 2)):
        held[top : top + 12, left : left + 12] = True
    joined = start + weight_map(truth, start, fit, held, 24.0) * (fit - start)
    assert np.mean((joined - truth) ** 2) < 1.05 * np.mean((start - truth) ** 2)


def test_a_fit_that_is_better_everywhere_gets_nearly_all() -> None:
    random = np.random.default_rng(0)
    truth = random.random((SIDE, SIDE, 1))
    start, fit = truth + wrong(random, 0.1, reach=4), truth + wrong(random, 0.02, reach=4)
    held = random.random((SIDE, SIDE)) < 0.02
    assert weight_map(truth, start, fit, held, 24.0).mean() > 0.8
