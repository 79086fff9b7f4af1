"""White is restored, black is kept, and a mask that cannot be meant is refused."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from dip_engine.errors import InputError, MaskError
from dip_engine.masks import mask_from_alpha, mask_from_color, read_mask
from dip_engine.picture import read


def half(dtype=np.uint8, top=255):
    mask = np.zeros((4, 6), dtype)
    mask[:, :3] = top
    return mask


def fails(mask_of, *words):
    with pytest.raises(MaskError) as caught:
        mask_of()
    assert caught.value.hint
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
def test_white_is_restored_in_every_mode(tmp_path, mode):
    Image.fromarray(half()).convert(mode).save(tmp_path / "m.png")
    mask = read_mask(tmp_path / "m.png", 6, 4)
    assert mask.dtype == np.float32
    np.testing.assert_array_equal(mask, half(np.float32, 1))


def test_grays_are_kept(tmp_path):
    Image.fromarray(half(top=51)).save(tmp_path / "m.png")
    np.testing.assert_allclose(read_mask(tmp_path / "m.png", 6, 4), half(np.float32, 0.2))


@pytest.mark.parametrize(
    "array",
    [
        half(bool, True),
        half(),
        half(np.uint16, 65535),
        half(np.float16, 1),
        half(np.float32, 3),
        half(np.float64, 1),
        half()[:, :, None],
        np.asfortranarray(half()),
    ],
)
def test_arrays(tmp_path, array):
    np.save(tmp_path / "m.npy", array)
    np.testing.assert_array_equal(read_mask(tmp_path / "m.npy", 6, 4), half(np.float32, 1))


def test_grays_of_an_array_are_kept(tmp_path):
    np.save(tmp_path / "m.npy", half(top=51))
    np.testing.assert_allclose(read_mask(tmp_path / "m.npy", 6, 4), half(np.float32, 0.2))


def test_an_array_of_another_type_is_named(tmp_path):
    np.save(tmp_path / "m.npy", half(np.int64, 1))
    with pytest.raises(InputError, match=r"m\.npy has samples of type int64"):
        read_mask(tmp_path / "m.npy", 6, 4)


def test_transparent_parts_mark_nothing(tmp_path):
    white = Image.new("L", (6, 4), 255)
    white.putalpha(Image.fromarray(half()))
    white.save(tmp_path / "m.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "m.png", 6, 4), half(np.float32, 1))


def test_masks_that_cannot_be_meant(tmp_path):
    path = tmp_path / "m.png"
    Image.fromarray(half()).save(path)
    fails(lambda: read_mask(path, 4, 6), "m.png", "6×4", "4×6")
    Image.new("L", (6, 4), 0).save(path)
    fails(lambda: read_mask(path, 6, 4), "m.png", "all black", "White marks")
    Image.new("L", (6, 4), 255).save(path)
    fails(lambda: read_mask(path, 6, 4), "m.png", "all white", "White marks")
    with pytest.raises(InputError, match=r"none\.png does not exist"):
        read_mask(tmp_path / "none.png", 6, 4)


def test_everything_may_be_marked_where_nothing_is_learned_from_the_rest(tmp_path):
    path = tmp_path / "m.png"
    Image.new("L", (6, 4), 255).save(path)
    assert read_mask(path, 6, 4, may_be_white=True).min() == 1
    picture = read(path)
    assert mask_from_color(picture, (255, 255, 255), may_be_white=True).min() == 1
    fails(lambda: mask_from_color(picture, (0, 0, 0), may_be_white=True), "No pixel")
    Image.new("L", (6, 4), 0).save(path)
    fails(lambda: read_mask(path, 6, 4, may_be_white=True), "all black")


@pytest.mark.parametrize("mode", ["LA", "RGBA"])
def test_alpha(tmp_path, mode):
    picture = Image.new("RGB", (6, 4), (9, 8, 7)).convert(mode)
    alpha = 255 - half()
    alpha[0, 5] = 1  # nearly transparent is not transparent
    picture.putalpha(Image.fromarray(alpha))
    picture.save(tmp_path / "a.png")
    np.testing.assert_array_equal(mask_from_alpha(read(tmp_path / "a.png")), half(np.float32, 1))


def test_alpha_that_cannot_be_meant(tmp_path):
    for mode, alpha, word in (("RGB", None, "no alpha"), ("L", 255, "No pixel"), ("L", 0, "Every")):
        picture = Image.new(mode, (6, 4))
        if alpha is not None:
            picture.putalpha(alpha)
        picture.save(tmp_path / "a.png")
        fails(lambda: mask_from_alpha(read(tmp_path / "a.png")), word)


def test_color(tmp_path):
    picture = np.full((4, 6, 3), 200, np.uint8)
    picture[:, :3] = (255, 0, 16)
    picture[0, 5] = (255, 0, 17)
    Image.fromarray(picture).save(tmp_path / "a.png")
    mask = mask_from_color(read(tmp_path / "a.png"), (255, 0, 16))
    np.testing.assert_array_equal(mask, half(np.float32, 1))
    fails(lambda: mask_from_color(read(tmp_path / "a.png"), (1, 2, 3)), "#010203", "No pixel")


def test_color_of_every_8_bit_value(tmp_path):
    Image.fromarray(np.arange(256, dtype=np.uint8)[None]).save(tmp_path / "a.png")
    picture = read(tmp_path / "a.png")
    for value in range(256):
        mask = mask_from_color(picture, (value, value, value))
        assert mask[0, value] == 1
        assert mask.sum() == 1
    fails(lambda: mask_from_color(picture, (0, 0, 1)), "No pixel")


def test_color_of_everything(tmp_path):
    Image.new("RGB", (6, 4), (255, 0, 0)).save(tmp_path / "a.png")
    fails(lambda: mask_from_color(read(tmp_path / "a.png"), (255, 0, 0)), "Every pixel")
