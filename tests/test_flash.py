"""A noisy photo and one with flash: alignment, and what the flash photo brings."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage
from skimage import data

from dip_engine import InputError, Job, Settings, restore
from dip_engine.flash import find_shift, moved

SIZE = 96


def scene(size: int = SIZE) -> np.ndarray:
    return data.astronaut()[20 : 20 + size, 160 : 160 + size] / 255


def room() -> np.ndarray:
    return scene() * (0.6, 0.5, 0.4)


def flash() -> np.ndarray:
    distance = np.hypot(*(np.indices((SIZE, SIZE)) - SIZE / 2))[..., None]
    return scene() ** 0.8 * np.exp(-((distance / SIZE) ** 2))


def save(path, pixels):
    Image.fromarray(np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)).save(path)
    return path


def noisy() -> np.ndarray:
    return room() + np.random.default_rng(0).normal(0, 22 / 255, room().shape)


def psnr_of(path) -> float:
    with Image.open(path) as image:
        return float(-10 * np.log10(np.mean((np.asarray(image) / 255 - room()) ** 2)))


def test_the_flash_picture_brings_detail_back(tmp_path):
    still = save(tmp_path / "room.png", noisy())
    settings = Settings(preset="fast", iterations=100, threads=1, dtype="float32")
    guide = save(tmp_path / "flash.png", flash())
    restore(Job("flash", still, tmp_path / "with.png", guide=guide, settings=settings))
    restore(Job("denoise", still, tmp_path / "without.png", settings=settings))
    assert psnr_of(tmp_path / "with.png") > psnr_of(tmp_path / "without.png") + 0.5


@pytest.mark.parametrize("shift", [(0, 0), (5, -3), (-2.5, 1.5)])
def test_a_shifted_flash_picture_is_laid_over(shift):
    still = scene(160).mean(axis=2)
    bright = ndimage.shift(still**0.7, [-s for s in shift], order=3, mode="nearest")
    found = find_shift(still, bright)
    assert found == pytest.approx(shift, abs=0.3)
    again = moved(bright[:, :, None].astype(np.float32), found)[10:-10, 10:-10, 0]
    assert np.abs(again - still[10:-10, 10:-10] ** 0.7).mean() < 0.02


def test_pictures_of_different_things_are_not_moved():
    random = np.random.default_rng(0)
    assert find_shift(scene().mean(axis=2), random.random((SIZE, SIZE))) == (0.0, 0.0)


def test_without_a_flash_picture_it_says_what_is_missing(tmp_path):
    still = save(tmp_path / "room.png", noisy())
    with pytest.raises(InputError, match="needs a second picture: the picture taken with flash"):
        Job("flash", still, tmp_path / "out.png")
    with pytest.raises(InputError, match="denoise takes no second picture"):
        Job("denoise", still, tmp_path / "out.png", guide=still)


def test_a_gray_flash_picture_will_do(tmp_path):
    job = Job(
        "flash",
        save(tmp_path / "room.png", noisy()),
        tmp_path / "out.png",
        guide=save(tmp_path / "flash.png", flash().mean(axis=2)),
        settings=Settings(preset="fast", iterations=3, threads=1),
    )
    assert restore(job).iterations == 3
