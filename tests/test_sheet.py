"""A picture in a file: what was put there comes back, and no file is left."""

import numpy as np
import pytest

from dip_engine.errors import OutputError
from dip_engine.sheet import Sheet
from dip_engine.tiling import Tile


def test_what_was_added_comes_back_and_the_rest_is_as_it_was(tmp_path):
    random = np.random.default_rng(0)
    pixels = random.random((30, 20, 3), np.float32)
    sheet = Sheet(tmp_path, pixels)
    assert np.array_equal(sheet.read(), pixels)
    tile, other = Tile(7, 3, 19, 20), Tile(0, 0, 30, 5)
    for place in (tile, other):
        more = random.random((place.height, place.width, 3), np.float32)
        sheet.add(place, more)
        place.cut(pixels)[:] += more
    assert np.array_equal(sheet.read(), pixels)
    assert np.array_equal(sheet.read(4, 9), pixels[4:9])
    sheet.close()
    assert not list(tmp_path.iterdir())


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(OutputError, match="nowhere"):
        Sheet(tmp_path / "nowhere", np.zeros((2, 2, 1), np.float32))
