"""What a fit counts beside the non-local estimate, where a probe cannot judge all of the noise."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from skimage import data

from dip_engine import Job, restore
from dip_engine.denoising import CORRELATED_SHARE, MOST_LOOKS, Denoising, quarters
from dip_engine.fit import Fitted
from dip_engine.job import Settings
from dip_engine.noise import Noise, estimate_noise
from dip_engine.presets import Recipe
from dip_engine.work import to_tensor

SETTINGS = Settings(preset="fast", threads=1)
SIDE = 96
STD = 0.1


def smooth(pixels: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(pixels, (sigma, sigma, 0)).astype(np.float32)


def noise(sigma: float = 0.0) -> np.ndarray:
    white = np.random.default_rng(1).normal(0, 1, (SIDE, SIDE, 1))
    kept = ndimage.gaussian_filter(white, (sigma, sigma, 0))
    return STD * kept / kept.std()


def fitted(pixels: np.ndarray) -> Fitted:
    planes = pixels.transpose(2, 0, 1).astype(np.float32)
    return Fitted(torch.from_numpy(np.ascontiguousarray(planes))[None], 1, None, 1, "")


def test_correlated_noise_is_not_probed_and_a_fit_that_missed_the_picture_is_left() -> None:
    truth = np.full((SIDE, SIDE, 1), 0.4)
    truth[:, SIDE // 2 :: 16] = truth[:, SIDE // 2 + 1 :: 16] = 0.9  # the right half has detail
    work = Denoising((truth + noise(1.5)).astype(np.float32), SETTINGS)
    assert work.shuffled
    assert work.probe is None
    start = quarters(truth.astype(np.float32))
    near, far = start + np.float32(0.01), start * 0 + np.float32(0.5)
    change = (work.join(work.whole, start, fitted(near)) - start)[: SIDE // 2] / 0.01
    flat, detailed = change[4:-4, 4 : SIDE // 4 - 8], change[4:-4, SIDE // 4 + 4 : SIDE // 2 - 4]
    assert flat.max() < 0.01
    assert 0.7 * CORRELATED_SHARE < detailed.mean() < CORRELATED_SHARE
    np.testing.assert_allclose(work.join(work.whole, start, fitted(far)), start, atol=0.02)


@pytest.mark.parametrize("bright", [0, 2, 24, 48])
def test_noise_that_was_cut_off_does_not_speak_for_the_fit(bright: int) -> None:
    """Stars on a black sky, where most of the noise is gone: only the bright rows tell anything."""
    truth = np.zeros((SIDE, SIDE, 1))
    truth[:bright] = 0.5 + 0.2 * np.sin(np.arange(SIDE) * 1.2)[None, :, None]
    noisy = np.clip(truth + noise(), 0, 1).astype(np.float32)
    work = Denoising(noisy, SETTINGS, known=Noise(STD, "white"))
    start, fit = smooth(work.pixels, 0.5), smooth(work.pixels, 3.0)
    change = work.fit_alone(work.whole, fitted(fit)) - start
    result = work.join(work.whole, start, fitted(fit))
    weight = float(((result - start) * change).sum() / (change**2).sum())
    rows = slice(1, bright - 2)
    best = ((truth - start) * change)[rows].sum() / (change[rows] ** 2).sum() if bright > 4 else 0.0
    assert weight < max(0.0, best) + (0.1 if bright > 4 else work.recipe.share + 0.01)


def test_nothing_is_probed_where_nothing_is_joined() -> None:
    pixels = np.clip(0.5 + noise(), 0, 1).astype(np.float32)
    alone = Denoising(pixels, Settings(preset="fast", fit_only=True))
    assert alone.probe is None
    np.testing.assert_array_equal(alone.pixels, pixels)
    assert Denoising(pixels, SETTINGS).probe is not None


@pytest.mark.parametrize(("subsampling", "alike"), [(0, False), (2, True)])
def test_a_jpeg_whose_colour_is_subsampled_is_denoised_as_well(tmp_path, subsampling, alike):
    """Its channels err alike, which a probe that differs in each of them would not see."""
    truth = data.chelsea()[60:156, 100:196]
    noisy = truth + np.random.default_rng(0).normal(0, 25, truth.shape)
    picture = Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
    picture.save(tmp_path / "in.jpg", quality=95, subsampling=subsampling)
    given = np.asarray(Image.open(tmp_path / "in.jpg"))
    pixels = given.astype(np.float32) / 255
    assert (Denoising(pixels, SETTINGS).probe is None) == alike
    assert estimate_noise(to_tensor(pixels)[0]).alike == alike
    assert not estimate_noise(to_tensor(pixels[..., :1])[0]).alike
    restore(Job("denoise", tmp_path / "in.jpg", tmp_path / "out.png", settings=SETTINGS))
    restored = np.asarray(Image.open(tmp_path / "out.png"))
    errors = [float(np.mean((x.astype(float) - truth) ** 2)) for x in (given, restored)]
    assert errors[1] < errors[0] / 3


def test_a_fit_that_stands_alone_takes_more_and_shorter_steps() -> None:
    def recipe(side: int, *, alone: bool, preset: str = "balanced") -> Recipe:
        settings = Settings(preset=preset, noise_std=0.1, fit_only=alone)
        return Denoising(np.zeros((side, side, 1), np.float32), settings).recipe

    for side, shorter in ((64, 1), (256, 1), (512, 0.75), (1024, 0.75)):
        joined, alone = recipe(side, alone=False), recipe(side, alone=True)
        assert alone.learning_rate == shorter * recipe(64, alone=True).learning_rate
        assert alone.learning_rate < joined.learning_rate
        if side == 64:
            assert alone.iterations == MOST_LOOKS  # or it learns the noise
        else:
            assert joined.iterations == 800 * max(1, side // 512)
            assert alone.iterations == 4 * joined.iterations
    assert recipe(512, alone=True, preset="fast") == recipe(512, alone=False, preset="fast")


def test_a_fit_that_stands_alone_learns_nothing_from_the_classical_start() -> None:
    noisy = np.full((SIDE, SIDE, 1), 0.4, np.float32) + noise().astype(np.float32)
    for fit_only in (False, True):
        work = Denoising(noisy, Settings(preset="fast", fit_only=fit_only))
        problem = work.problem(work.whole, noisy, torch.device("cpu"))
        assert problem.noise_std == (None if fit_only else work.noise_std)
