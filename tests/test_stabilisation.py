"""Noise of counted photons: the transform, its inverse, and what is read off a picture."""

import numpy as np
import pytest
from PIL import Image
from skimage import data

from dip_engine import Job, Settings, restore
from dip_engine.stabilisation import Stabiliser, estimate_gain


def counted(pixels: np.ndarray, photons: float, std: float = 0.0) -> np.ndarray:
    random = np.random.default_rng(0)
    noise = random.normal(0, std, pixels.shape)
    return (random.poisson(pixels * photons) / photons + noise).astype(np.float32)


@pytest.mark.parametrize(("photons", "std"), [(50, 0.0), (200, 0.03), (5000, 0.001)])
def test_the_noise_is_the_same_everywhere_after_the_transform(photons, std):
    stabiliser = Stabiliser(1 / photons, std)
    for level in (0.2, 0.5, 0.9):
        noisy = counted(np.full((200, 200, 1), level), photons, std)
        spread = float(stabiliser.forward(noisy).std())
        assert spread == pytest.approx(stabiliser.noise_std, rel=0.06)


def test_the_inverse_has_no_bias():
    stabiliser = Stabiliser(1 / 40, 0.02)
    for level in (0.1, 0.4, 0.8):
        noisy = counted(np.full((400, 400, 1), level), 40, 0.02)
        mean = np.full((1, 1, 1), stabiliser.forward(noisy).mean(), np.float32)
        assert stabiliser.inverse(mean).item() == pytest.approx(level, abs=0.004)


@pytest.mark.parametrize("photons", [40, 300])
def test_the_photons_are_estimated(photons):
    smooth = np.asarray(Image.fromarray(data.camera()).resize((256, 256)), np.float32)
    smooth = smooth[:, :, None] / 255
    gain, _ = estimate_gain(counted(smooth, photons), 0.0)
    assert 1 / gain == pytest.approx(photons, rel=0.3)


def test_a_picture_of_few_photons_is_restored_better_than_as_gaussian(tmp_path):
    truth = data.camera()[100:196, 180:276, None] / 255
    np.save(tmp_path / "in.npy", counted(truth, 30).clip(0, 1))
    errors = {}
    for model in ("gaussian", "poisson"):
        out = tmp_path / f"{model}.npy"
        settings = Settings(preset="fast", iterations=5, threads=1, noise_model=model)
        restore(Job("denoise", tmp_path / "in.npy", out, settings=settings))
        errors[model] = float(np.mean((np.load(out).reshape(truth.shape) - truth) ** 2))
    assert errors["poisson"] < errors["gaussian"]


def test_dark_pictures_show_their_noise_too():
    counts = np.random.default_rng(0).poisson(np.full((128, 128, 1), 300.0))
    dark = (counts / 65535).astype(np.float32)
    gain, std = estimate_gain(dark, 0.0)
    assert gain == pytest.approx(1 / 65535, rel=0.3)
    assert std == 0


def sky(photons: float = 500, level: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Stars and a nebula, and the same as counted with a sky of that level that was subtracted."""
    y, x = np.mgrid[:96, :96] / 96
    truth = 0.5 * np.exp(-((x - 0.6) ** 2 + (y - 0.4) ** 2) / 0.02)
    truth[np.random.default_rng(1).random(truth.shape) < 0.002] = 0.7
    truth = truth[:, :, None]
    return truth, counted(truth + level, photons) - np.float32(level)


@pytest.mark.parametrize("scale", [1, 50])
@pytest.mark.parametrize("known", [True, False])
def test_a_subtracted_sky_leaves_no_bias(tmp_path, scale, known):
    truth, picture = sky()
    assert picture.min() < -0.04
    np.save(tmp_path / "in.npy", scale * picture)
    outputs = {}
    for model in ("gaussian", "poisson"):
        told = {"photons": 500 / scale} if known and model == "poisson" else {}
        settings = Settings(preset="fast", iterations=5, threads=1, noise_model=model, **told)
        job = Job("denoise", tmp_path / "in.npy", tmp_path / f"{model}.npy", settings=settings)
        restore(job)
        outputs[model] = np.load(job.output).reshape(truth.shape) / scale
    found, dark = outputs["poisson"], truth < 0.001
    assert found[dark].mean() == pytest.approx(0, abs=0.002)
    assert found[dark].std() < 0.5 * picture[dark].std()
    assert found[dark].min() < 0  # nothing is cut off at 0
    errors = {name: np.mean((output - truth) ** 2) for name, output in outputs.items()}
    assert errors["poisson"] < errors["gaussian"]


def test_negative_values_are_clipped_inside_the_transform_only():
    stabiliser = Stabiliser(1 / 100, 0.05)
    values = np.array([-9.0, -0.02, -0.01, 0.0, 0.01, 1.0], np.float32).reshape(-1, 1, 1)
    stable = stabiliser.forward(values)
    assert np.isfinite(stable).all()
    assert (np.diff(stable.ravel()) > 0).all()
    again = stabiliser.inverse(stable)
    assert again[0] == pytest.approx(-(0.05**2) * 100, abs=1e-6)  # no light at all, and no less
    # A mean of noisy values is wanted, and theirs lies a quarter of a photon higher.
    np.testing.assert_allclose(again[1:-1], values[1:-1] + 0.25 / 100, atol=0.001)


def test_of_counts_nothing_comes_out_below_what_went_in(tmp_path):
    picture = counted(np.full((64, 64, 1), 0.3), 50)
    picture[20:23, 20:23] = -0.001
    np.save(tmp_path / "in.npy", picture)
    settings = Settings(preset="fast", iterations=2, threads=1, noise_model="poisson", photons=50.0)
    restore(Job("denoise", tmp_path / "in.npy", tmp_path / "out.npy", settings=settings))
    found = np.load(tmp_path / "out.npy").reshape(64, 64)
    assert found.min() >= -0.001
    assert found[21, 21] < 0.2
    assert found[40:, 40:].mean() == pytest.approx(0.3, abs=0.02)


def test_no_light_at_all_is_no_clipped_black(tmp_path):
    level = 0.5 / 20  # half a photon a pixel
    np.save(tmp_path / "in.npy", counted(np.full((64, 64, 1), level), 20))
    settings = Settings(preset="fast", iterations=2, threads=1, noise_model="poisson", photons=20.0)
    restore(Job("denoise", tmp_path / "in.npy", tmp_path / "out.npy", settings=settings))
    assert np.load(tmp_path / "out.npy").mean() == pytest.approx(level, rel=0.25)
