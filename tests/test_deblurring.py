"""Deblurring from file to file, with known kernels and with unknown ones."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from skimage import data

from dip_engine import InputError, Job, Settings, blur, restore
from dip_engine.blind_kernel import find_kernel
from dip_engine.deblurring import Deblurring
from dip_engine.fit import Fitted
from dip_engine.presets import Recipe
from dip_engine.returning import Returning

SIZE = 96


def scene() -> np.ndarray:
    return data.camera()[60 : 60 + SIZE, 180 : 180 + SIZE].astype(np.float64)


def blurred(kernel: np.ndarray, sharp: np.ndarray | None = None) -> np.ndarray:
    noise = np.random.default_rng(0).normal(0, 1.5, (sharp if sharp is not None else scene()).shape)
    picture = ndimage.convolve(scene() if sharp is None else sharp, kernel, mode="mirror")
    return np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((a.astype(float) - b) ** 2) / 255**2))


def load(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize(
    ("kernel", "options"),
    [
        (blur.gaussian(1.5), {"blur": "gaussian", "blur_size": 1.5}),
        (blur.motion(9, 40), {"blur": "motion", "blur_size": 9.0, "blur_angle": 40.0}),
        (blur.defocus(3), {"blur": "defocus", "blur_size": 3.0}),
    ],
)
def test_a_known_blur_goes(tmp_path, kernel, options):
    picture = blurred(kernel)
    Image.fromarray(picture).save(tmp_path / "in.png")
    settings = Settings(preset="fast", iterations=20, threads=1, **options)
    restore(Job("deblur", tmp_path / "in.png", tmp_path / "out.png", settings=settings))
    assert psnr(load(tmp_path / "out.png"), scene()) > psnr(picture, scene()) + 2


def test_a_kernel_file_goes_before_the_settings(tmp_path):
    kernel = blur.motion(9, 0)
    np.save(tmp_path / "kernel.npy", kernel / kernel.max())
    Image.fromarray(blurred(kernel)).save(tmp_path / "in.png")
    results = {}
    for name, more in (("file", {"kernel": tmp_path / "kernel.npy"}), ("wrong", {})):
        settings = Settings(
            preset="fast", iterations=1, threads=1, blur="motion", blur_size=9, blur_angle=90
        )
        out = tmp_path / f"{name}.png"
        restore(Job("deblur", tmp_path / "in.png", out, settings=settings, **more))
        results[name] = psnr(load(out), scene())
    assert results["file"] > results["wrong"] + 3


def test_the_kernel_is_the_task_s_alone(tmp_path):
    with pytest.raises(InputError, match="denoise takes no kernel"):
        Job("denoise", tmp_path / "a.png", tmp_path / "b.png", kernel=tmp_path / "k.png")


def test_a_picture_smaller_than_its_blur_is_refused(tmp_path):
    Image.fromarray(np.zeros((12, 30), np.uint8)).save(tmp_path / "in.png")
    job = Job("deblur", tmp_path / "in.png", tmp_path / "out.png")
    words = r"in\.png: 30×12 pixels are less than the blur, which takes 21×21\. .*--blur-size"
    with pytest.raises(InputError, match=words):
        restore(job)
    assert not (tmp_path / "out.png").exists()


def test_a_tile_smaller_than_the_kernel_is_weighted_by_all_of_it(monkeypatch):
    monkeypatch.setattr("dip_engine.work.TILE", 60)
    kernel = blur.gaussian(12.0)  # no frequency of it is near nothing, however it is cut
    pixels = scene()[:, :, None].astype(np.float32) / 255
    work = Deblurring(pixels, kernel, Settings(noise_std=0.1))
    tile = work.tiles[0]
    assert max(tile.height, tile.width) < kernel.shape[0] <= SIZE
    problem = work.problem(tile, tile.cut(pixels), torch.device("cpu"))
    assert problem.emphasis is not None
    place = np.arange(kernel.shape[0]) - kernel.shape[0] // 2
    gains = []
    for waves in (1, 2):
        turn = 2 * np.pi * waves / tile.width
        wave = np.cos(turn * np.arange(tile.width))[None].repeat(tile.height, axis=0)
        seen = problem.emphasis(torch.from_numpy(wave.astype(np.float32))[None, None])
        left = abs((kernel.sum(axis=0) * np.cos(turn * place)).sum())
        gains.append(float(seen.abs().max()) * (left**2 + 16 * 0.1**2) / left)
    assert gains[0] == pytest.approx(gains[1], rel=1e-3)


def joined(smooth: float, better: float) -> tuple[Deblurring, float, np.ndarray, np.ndarray]:
    """Join a start with a fit that is it and a part of its error, or of the noise; with the weight.

    The noise of 10 levels is smoothed by `smooth` pixels. `better` is from 1, the truth, to −1, all
    of the noise learned.
    """
    noise = ndimage.gaussian_filter(np.random.default_rng(0).normal(0, 1, (SIZE, SIZE)), smooth)
    noise *= 10 / noise.std()
    kernel, sharp = blur.gaussian(1.0), scene()
    pixels = (ndimage.convolve(sharp, kernel, mode="nearest") + noise)[:, :, None] / 255
    work = Deblurring(pixels.astype(np.float32), kernel, Settings(preset="fast"))
    tile, radius = work.whole, kernel.shape[0] // 2
    start = finished(work.start(tile, torch.device("cpu")))
    added = (work.pixels - pixels)[:, :, 0] + noise / 255  # with the probe, as a fit would see it
    change = better * (sharp / 255 - start[:, :, 0]) if better > 0 else -better * added
    fit = np.pad(start[:, :, 0] + change.astype(np.float32), radius, mode="edge")
    fitted = Fitted(torch.from_numpy(fit)[None, None], 1, None, 1, "")
    result = work.join(tile, start, fitted)
    change = work.fit_alone(tile, fitted) - start
    return work, float(((result - start) * change).sum() / (change**2).sum()), start, result


def finished(steps):
    returning = Returning(steps)
    for _ in returning:
        pass
    return returning.value


def test_a_better_fit_counts_and_one_that_learned_the_noise_does_not():
    assert joined(0, 1.0)[1] > 0.3
    assert joined(0, -0.9)[1] < 0.1


def test_of_correlated_noise_nothing_is_fitted():
    work, _, start, result = joined(0.7, -0.9)
    assert work.noise is not None
    assert work.noise.kind == "correlated"
    assert work.recipe.iterations == 1
    np.testing.assert_array_equal(result, start)


@pytest.mark.slow
def test_an_unknown_kernel_is_found():
    kernel = blur.motion(11, 0)
    sharp = data.camera()[20:276, 120:376].astype(np.float64)
    picture = torch.from_numpy(blurred(kernel, sharp).astype(np.float32) / 255)[None, None]
    recipe = Recipe("up", 60, hold_out=0.0, patience=0)
    search = Returning(find_kernel(picture, 17, recipe, seed=0, dtype=torch.float32))
    fractions = list(search)
    found = search.value
    assert fractions == sorted(fractions)
    assert found.shape == (17, 17)
    assert found.min() >= 0
    assert found.sum() == pytest.approx(1, abs=1e-4)
    across, down = found.sum(axis=0), found.sum(axis=1)
    place = np.arange(17) - 8
    assert (across * place**2).sum() > 3 * (down * place**2).sum()
    truth = np.pad(kernel, (17 - kernel.shape[0]) // 2)
    likeness = ndimage.correlate(found, truth, mode="constant").max()
    assert likeness / np.sqrt((found**2).sum() * (truth**2).sum()) > 0.55
