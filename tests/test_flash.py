"""A noisy photo and one with flash: alignment, and what the flash photo brings."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from skimage import data

from dip_engine import InputError, Job, Settings, restore
from dip_engine.fit import Fitted
from dip_engine.flash import FlashNoFlash, find_shift, moved
from dip_engine.presets import recipe_for
from dip_engine.returning import Returning
from dip_engine.work import to_tensor

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


def started(pixels: np.ndarray, **options) -> tuple[FlashNoFlash, np.ndarray]:
    """The work on a picture that has only one tile, and its start."""
    work = FlashNoFlash(
        pixels.astype(np.float32),
        flash().astype(np.float32),
        Settings(preset="fast", iterations=5, threads=1, **options),
    )
    steps = Returning(work.start(work.whole, torch.device("cpu")))
    fractions = list(steps)
    assert fractions == sorted(fractions)
    assert fractions[-1] <= 1
    return work, steps.value


def test_the_start_is_made_from_all_pixels():
    random = np.random.default_rng(0)
    pixels = np.full((SIZE, SIZE, 3), 0.2) + random.normal(0, 2 / 255, (SIZE, SIZE, 3))
    work, _ = started(pixels, noise_std=2 / 255)
    held = work.held_pixels(work.whole)
    pixels[held] = 0.9  # stars, as small as a pixel
    work, start = started(pixels, noise_std=2 / 255)
    assert start[held].min() > 0.8
    empty = Fitted(torch.full((1, 3, SIZE, SIZE), 0.2), 5, None, 5, "")
    full = Fitted(to_tensor(start), 5, None, 5, "")
    assert work.join(work.whole, start, empty)[held].min() > 0.8
    assert work.join(work.whole, start, full)[held].min() > 0.8


def test_the_weight_is_chosen_on_pixels_that_the_start_has_not_seen():
    work, start = started(noisy(), noise_std=22 / 255)
    truth = Fitted(to_tensor(room().astype(np.float32)), 5, None, 5, "")
    joined = work.join(work.whole, start, truth)
    assert np.mean((joined - room()) ** 2) < 0.1 * np.mean((start - room()) ** 2)


def test_without_noise_nothing_is_joined():
    pixels = room().astype(np.float32)
    work, start = started(pixels, noise_std=0.0)
    np.testing.assert_array_equal(work.finish(start), pixels)
    gray = Fitted(torch.full((1, 3, SIZE, SIZE), 0.5), 1, None, 1, "")
    np.testing.assert_array_equal(work.finish(work.join(work.whole, start, gray)), pixels)


@pytest.mark.parametrize("task", ["denoise", "flash"])
@pytest.mark.parametrize("known", [None, 0.0])
def test_that_there_is_no_noise_is_told_where_nobody_has_said_so(tmp_path, task, known):
    rows = np.linspace(0, 1, 4)[:, None, None].repeat(SIZE // 4, axis=0)
    job = Job(
        task,
        save(tmp_path / "room.png", rows.repeat(SIZE, axis=1).repeat(3, axis=2)),
        tmp_path / "out.png",
        guide=save(tmp_path / "flash.png", flash()) if task == "flash" else None,
        settings=Settings(preset="fast", noise_std=known, threads=1),
    )
    told = [warning for warning in restore(job).warnings if "No noise was found" in warning]
    assert bool(told) == (known is None)


def test_a_fit_alone_takes_its_iterations_without_noise_too(tmp_path):
    job = Job(
        "flash",
        save(tmp_path / "room.png", room()),
        tmp_path / "out.png",
        guide=save(tmp_path / "flash.png", flash()),
        settings=Settings(preset="fast", iterations=7, noise_std=0.0, threads=1, fit_only=True),
    )
    assert restore(job).iterations == 7


def test_recipe_and_tiles_are_those_of_flash(monkeypatch):
    monkeypatch.setattr("dip_engine.work.TILE", 64)
    settings = Settings(network="up", noise_std=0.1)
    work = FlashNoFlash(room().astype(np.float32), flash().astype(np.float32), settings)
    assert work.recipe == recipe_for("flash", settings)
    assert len(work.tiles) > 1
    assert work.noise is not None
    assert work.noise.std == 0.1


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
