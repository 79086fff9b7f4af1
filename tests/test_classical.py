"""Fills and enlargements that need no network."""

import numpy as np
import pytest
from skimage.restoration import inpaint_biharmonic

from dip_engine.classical import enlarge, fill, hole_radius, shrink


def smooth_picture(height: int = 40, width: int = 50) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width] / 50
    return np.stack([0.3 + 0.4 * x * y, 0.5 + 0.2 * np.sin(5 * x)], axis=2).astype(np.float32)


def test_known_pixels_come_back_unchanged_and_a_smooth_hole_closes():
    picture = smooth_picture()
    missing = np.zeros(picture.shape[:2], bool)
    missing[10:18, 20:33] = True
    damaged = np.where(missing[:, :, None], 0, picture).astype(np.float32)
    filled = fill(damaged, missing)
    assert np.array_equal(filled[~missing], picture[~missing])
    assert np.abs(filled - picture).max() < 0.02


def test_scattered_pixels_are_filled_like_scikit_images_biharmonic():
    picture = smooth_picture()[:, :, 1:]
    missing = np.random.default_rng(0).random(picture.shape[:2]) < 0.5
    damaged = np.where(missing[:, :, None], 0, picture).astype(np.float32)
    ours = np.abs(fill(damaged, missing) - picture).mean()
    theirs = np.abs(inpaint_biharmonic(damaged, missing, channel_axis=2) - picture).mean()
    assert ours <= 1.2 * theirs


@pytest.mark.parametrize("kept", [(0, 0), (20, 25)])
def test_a_single_known_pixel_fills_the_picture(kept):
    picture = np.zeros((40, 50, 1), np.float32)
    picture[kept] = 0.7
    missing = np.ones((40, 50), bool)
    missing[kept] = False
    assert fill(picture, missing) == pytest.approx(0.7, abs=1e-4)


def test_nothing_missing_changes_nothing():
    picture = smooth_picture()
    assert np.array_equal(fill(picture, np.zeros(picture.shape[:2], bool)), picture)


def test_a_fill_never_leaves_the_range_of_what_is_known():
    rng = np.random.default_rng(2)
    picture = rng.integers(0, 2, (40, 40, 1)).astype(np.float32)
    filled = fill(picture, rng.random((40, 40)) < 0.7)
    assert filled.min() >= 0
    assert filled.max() <= 1


def test_the_radius_of_a_hole_is_its_depth():
    missing = np.zeros((60, 60), bool)
    assert hole_radius(missing) == 0
    missing[10:31, 10:50] = True
    assert hole_radius(missing) == pytest.approx(11, abs=1)


def test_enlarging_multiplies_the_size_and_keeps_a_constant():
    large = enlarge(np.full((3, 5, 3), 0.25, np.float32), 4)
    assert large.shape == (12, 20, 3)
    assert large == pytest.approx(0.25, abs=1e-6)


def test_previews_are_small_and_small_pictures_stay():
    picture = smooth_picture()
    assert shrink(picture, 100) is picture
    assert shrink(picture, 25).shape == (20, 25, 2)
    assert shrink(np.zeros((1, 900, 3), np.float32), 100).shape == (1, 100, 3)
