"""The plug-in's plain half: rectangles, masks as bytes, arrays; checked against numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dip_gimp.box import BLOCK, CONTEXT, LEAST_SIDE, Box, with_context
from dip_gimp.npy import open_npy, write_npy
from dip_gimp.selection import extent, inverted, marked, merge

LAYER = Box(0, 0, 6000, 4000)
sizes = st.integers(1, 40)


def boxes(layer: Box) -> st.SearchStrategy[Box]:
    def within(draw: st.DrawFn) -> Box:
        left = draw(st.integers(0, layer.width - 1))
        top = draw(st.integers(0, layer.height - 1))
        width = draw(st.integers(1, layer.width - left))
        return Box(left, top, width, draw(st.integers(1, layer.height - top)))

    return st.composite(within)()


@given(boxes(LAYER))
def test_context_holds_the_chosen_part(chosen: Box) -> None:
    box = with_context(chosen, LAYER)
    assert box.common(chosen) == chosen
    assert box.common(LAYER) == box
    for near, inner, far, outer, size in (
        (box.left, chosen.left, box.right, chosen.right, LAYER.width),
        (box.top, chosen.top, box.bottom, chosen.bottom, LAYER.height),
    ):
        assert near == 0 or inner - near >= CONTEXT
        assert far == size or far - outer >= CONTEXT
        assert far - near >= min(size, LEAST_SIDE)
        assert near % BLOCK == 0
        assert far % BLOCK == 0 or far == size


def test_context_of_a_scratch_is_small() -> None:
    box = with_context(Box(3000, 2000, 200, 200), LAYER)
    assert box.width * box.height < 0.02 * LAYER.width * LAYER.height


def test_context_of_a_small_layer_is_the_layer() -> None:
    assert with_context(Box(3, 3, 2, 1), Box(0, 0, 100, 37)) == Box(0, 0, 100, 37)


def test_box_outside_has_nothing_in_common() -> None:
    assert Box(0, 0, 10, 10).common(Box(10, 0, 5, 5)) is None
    assert Box(0, 0, 10, 10).common(Box(-5, -5, 7, 7)) == Box(0, 0, 2, 2)


def test_bands_cover_a_box() -> None:
    assert Box(1, 2, 3, 5).bands(2) == [Box(1, 2, 3, 2), Box(1, 4, 3, 2), Box(1, 6, 3, 1)]


def bits(array: np.ndarray) -> bytes:
    return np.where(array, 255, 0).astype(np.uint8).tobytes()


@given(st.lists(st.sampled_from([0.0, 1.0, 0.5, 1e-40, 1 / 255]), min_size=1))
def test_marked_pixels_are_those_above_zero(values: list[float]) -> None:
    array = np.array(values, np.float32)
    assert marked(array.tobytes()) == bits(array > 0)
    assert inverted(marked(array.tobytes())) == bits(array == 0)


@given(sizes, sizes, st.randoms(use_true_random=False), st.sampled_from([0.01, 0.3, 1.0]))
def test_extent_is_the_bounding_box(width: int, height: int, random: object, share: float) -> None:
    array = np.random.default_rng(random.getrandbits(32)).random((height, width)) < share
    box = extent(bits(array), width)
    rows, columns = np.flatnonzero(array.any(axis=1)), np.flatnonzero(array.any(axis=0))
    if not array.any():
        assert box is None
    else:
        assert box == Box(columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)


@pytest.mark.parametrize(("size", "keep"), [(1, 0), (3, 0), (4, 1), (8, 2), (16, 4), (32, 8)])
def test_merge_takes_marked_pixels_bit_for_bit(size: int, keep: int) -> None:
    random = np.random.default_rng(size)
    old, new = random.integers(0, 256, (2, 999, size), dtype=np.uint8)
    marks = random.random(999) < 0.4
    expected = np.where(marks[:, None], new, old)
    expected[:, size - keep :] = old[:, size - keep :]
    assert merge(old.tobytes(), new.tobytes(), bits(marks), keep=keep) == expected.tobytes()


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 2), (1, 1, 4), (123, 4567, 3)])
def test_npy_files_are_those_of_numpy(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).random(shape, dtype=np.float32)
    ours, numpys = tmp_path / "ours.npy", tmp_path / "numpys.npy"
    write_npy(ours, shape, (row.tobytes() for row in values))
    np.save(numpys, values)
    np.testing.assert_array_equal(np.load(ours), values)
    with open_npy(numpys) as rows:
        assert rows.shape == shape
        assert rows.read(0, shape[0]) == values.tobytes()
        assert rows.read(shape[0] - 1, 1) == values[-1].tobytes()
        with pytest.raises(ValueError, match="cut short"):
            rows.read(shape[0] - 1, 2)


def test_other_npy_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.npy"
    np.save(file, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="<f8"), open_npy(file):
        pass
    for content in (b"", b"\x93NUM", bytes(64)):
        file.write_bytes(content)
        with pytest.raises(ValueError, match=r"no \.npy"), open_npy(file):
            pass
