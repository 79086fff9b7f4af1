"""How much of a restoration goes into its result, and what is left to the bit."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dip_engine import Job, MaskError, Preview, Settings, restore, restore_events
from dip_engine.classical import enlarge

FAST = {"iterations": 4, "threads": 1, "device": "cpu", "dtype": "float32", "deterministic": True}


def noise(height: int = 40, width: int = 48, seed: int = 0) -> np.ndarray:
    ramp = np.linspace(0.2, 0.8, width)[None, :, None] + np.zeros((height, 1, 3))
    return (ramp + np.random.default_rng(seed).normal(0, 0.1, ramp.shape)).astype(np.float32)


def run(folder: Path, pixels: np.ndarray, task: str = "denoise", mask=None, **options):
    """Return what comes back of an array, as an array."""
    np.save(folder / "in.npy", pixels)
    if mask is not None:
        np.save(folder / "mask.npy", mask)
    path = None if mask is None else folder / "mask.npy"
    settings = Settings(**{**FAST, **options})
    restore(Job(task, folder / "in.npy", folder / "out.npy", path, settings=settings))
    return np.load(folder / "out.npy")


def test_a_sky_below_0_is_no_flat_picture(tmp_path):
    counts = np.random.default_rng(0).poisson(100, (64, 64, 1)) / 500
    sky = (counts - 0.23).astype(np.float32)
    restored = run(tmp_path, sky, noise_model="poisson", photons=500.0)
    assert restored.max() < 0
    assert 0 < np.std(restored) < 0.5 * np.std(sky)


@pytest.mark.parametrize("task", ["denoise", "jpeg"])
@pytest.mark.parametrize("scale", [1, 3])
def test_strength_is_the_share_of_the_restoration(tmp_path, task, scale):
    pixels = noise() * np.float32(scale)
    whole = run(tmp_path, pixels, task, quality=30)
    part = run(tmp_path, pixels, task, quality=30, strength=0.25)
    assert np.abs(whole - pixels).max() > 0.03
    assert part == pytest.approx(pixels + 0.25 * (whole - pixels), abs=1e-5)
    assert np.array_equal(run(tmp_path, pixels, task, quality=30, strength=0), pixels)


def test_strength_blends_the_hole_with_what_was_there(tmp_path):
    pixels = np.clip(noise(), 0, 1)
    mask = np.zeros(pixels.shape[:2], np.float32)
    mask[10:20, 10:20] = 1
    whole = run(tmp_path, pixels, "inpaint", mask)
    part = run(tmp_path, pixels, "inpaint", mask, strength=0.5)
    assert part == pytest.approx((pixels + whole) / 2, abs=1e-5)
    assert np.array_equal(part[mask == 0], pixels[mask == 0])


def test_the_input_of_an_enlargement_is_its_lanczos_enlargement(tmp_path):
    pixels = np.clip(noise(), 0, 1)
    lanczos = np.clip(enlarge(pixels, 2), 0, 1)
    task, options = "super-resolution", {"factor": 2}
    assert np.array_equal(run(tmp_path, pixels, task, strength=0, **options), lanczos)
    whole = run(tmp_path, pixels, task, **options)
    part = run(tmp_path, pixels, task, strength=0.5, **options)
    assert not np.allclose(whole, lanczos, atol=1e-3)
    assert part == pytest.approx((lanczos + whole) / 2, abs=1e-5)


def test_a_transparent_hole_becomes_as_opaque_as_the_restoration_is_strong(tmp_path):
    rgba = np.dstack([noise(), np.full((40, 48), 0.75, np.float32)])
    rgba[5:9, 5:9] = 0
    whole = run(tmp_path, rgba, "inpaint")
    part = run(tmp_path, rgba, "inpaint", strength=0.5)
    hole = rgba[:, :, 3] == 0
    assert part[hole, 3] == pytest.approx(0.5)
    assert np.array_equal(part[:, :, :3], whole[:, :, :3])  # black under it is no colour to keep
    assert np.array_equal(part[~hole], rgba[~hole])
    assert np.array_equal(run(tmp_path, rgba, "inpaint", strength=0), rgba)


def test_a_preview_shows_the_blend(tmp_path):
    Image.fromarray((np.clip(noise(), 0, 1) * 255).astype(np.uint8)).save(tmp_path / "a.png")
    settings = Settings(**FAST, preview_seconds=0.001, strength=0.5)
    job = Job("denoise", tmp_path / "a.png", tmp_path / "b.png", settings=settings)
    previews = [event for event in restore_events(job) if isinstance(event, Preview)]
    shown = np.frombuffer(previews[-1].pixels, np.uint8).reshape(40, 48, 3)
    with Image.open(tmp_path / "b.png") as result:
        assert np.array_equal(shown, np.asarray(result))


@pytest.mark.parametrize("task", ["denoise", "jpeg"])
@pytest.mark.parametrize("scale", [1, -3])
def test_a_mask_says_where_the_picture_may_change(tmp_path, task, scale):
    pixels = noise() * np.float32(scale)
    mask = np.zeros(pixels.shape[:2], np.float32)
    mask[5:30, 10:20], mask[5:30, 20:30] = 1, 0.25
    options = {"quality": 30}
    whole = run(tmp_path, pixels, task, **options)
    part = run(tmp_path, pixels, task, mask, **options)
    assert np.array_equal(part[mask == 0], pixels[mask == 0])
    assert np.array_equal(part[mask == 1], whole[mask == 1])
    soft = mask == 0.25
    assert part[soft] == pytest.approx(0.75 * pixels[soft] + 0.25 * whole[soft], abs=1e-5)
    half = run(tmp_path, pixels, task, mask, strength=0.5, **options)
    assert half[soft] == pytest.approx(0.875 * pixels[soft] + 0.125 * whole[soft], abs=1e-5)
    white = run(tmp_path, pixels, task, np.ones_like(mask), **options)
    assert np.array_equal(white, whole)


def test_a_mask_that_marks_nothing_is_refused(tmp_path):
    with pytest.raises(MaskError, match="all black"):
        run(tmp_path, noise(), "denoise", np.zeros((40, 48), np.float32))


def test_a_colour_marks_what_is_denoised(tmp_path):
    pixels = (np.clip(noise(), 0, 1) * 255).astype(np.uint8)
    pixels[10:20, 10:20] = 128
    pixels[12, 12:18] = (255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    job = Job(
        "denoise",
        tmp_path / "a.png",
        tmp_path / "b.png",
        mask_color=(255, 0, 0),
        settings=Settings(**FAST),
    )
    restore(job)
    with Image.open(tmp_path / "b.png") as result:
        changed = (np.asarray(result) != pixels).any(axis=2)
    assert changed[12, 12:18].all()
    assert changed.sum() == 6


def test_what_is_transparent_stays_under_a_mask(tmp_path):
    rgba = np.dstack([noise(), np.full((40, 48), 0.75, np.float32)])
    rgba[5:15, 5:15, 3] = 0
    mask = np.zeros((40, 48), np.float32)
    mask[:, :10] = 1
    after = run(tmp_path, rgba, "denoise", mask)
    changed = (after != rgba).any(axis=2)
    assert np.array_equal(changed, (mask > 0) & (rgba[:, :, 3] > 0))
