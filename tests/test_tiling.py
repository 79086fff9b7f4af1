"""Tiles cover everything, and their joint is seamless."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from dip_engine.tiling import Mosaic, Tile, plan_tiles, region_of_interest

sides = st.integers(1, 300)


@given(sides, sides, st.integers(20, 90), st.integers(0, 19))
def test_tiles_cover_the_area_overlap_and_are_no_larger_than_asked(height, width, side, overlap):
    tiles = plan_tiles(Tile(0, 0, height, width), side, overlap)
    covered = np.zeros((height, width), int)
    for tile in tiles:
        assert 1 <= tile.height <= side
        assert 1 <= tile.width <= side
        covered[tile.top : tile.bottom, tile.left : tile.right] += 1
    assert covered.min() >= 1
    rows = sorted({(tile.top, tile.bottom) for tile in tiles})
    for (_, bottom), (top, _) in pairwise(rows):
        assert bottom - top >= overlap


@settings(deadline=None)  # many small tiles on a busy machine
@given(sides, sides, st.integers(20, 90), st.integers(1, 19))
def test_joining_cuts_of_a_picture_gives_the_picture(height, width, side, overlap):
    picture = np.random.default_rng(0).random((height, width, 3), np.float32)
    mosaic = Mosaic(np.zeros_like(picture), overlap)
    for tile in plan_tiles(Tile(0, 0, height, width), side, overlap):
        mosaic.add(tile, tile.cut(picture))
    assert np.allclose(mosaic.picture(), picture, atol=1e-5)


def test_a_joint_is_a_gradual_change():
    mosaic = Mosaic(np.zeros((4, 100, 1), np.float32), 20)
    mosaic.add(Tile(0, 0, 4, 60), np.zeros((4, 60, 1), np.float32))
    mosaic.add(Tile(0, 40, 4, 100), np.ones((4, 60, 1), np.float32))
    row = mosaic.picture()[0, :, 0]
    assert np.all(row[:40] == 0)
    assert np.all(row[60:] == 1)
    assert np.abs(np.diff(row)).max() < 0.06


def test_what_no_tile_covers_stays_as_it_was():
    start = np.full((10, 10, 1), 0.5, np.float32)
    mosaic = Mosaic(start, 2)
    mosaic.add(Tile(0, 0, 5, 5), np.ones((5, 5, 1), np.float32))
    assert np.all(mosaic.picture()[6:, 6:] == 0.5)
    assert mosaic.picture()[0, 0, 0] == 1


def test_the_region_of_interest_is_the_mark_and_its_margin():
    mask = np.zeros((100, 200), np.float32)
    mask[40:50, 195] = 0.2
    assert region_of_interest(mask, 20) == Tile(20, 175, 70, 200)
