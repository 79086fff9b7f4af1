"""The first picture of a restoration is there at once and better than the input."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from skimage import data
from torch import Tensor

from dip_engine import blur
from dip_engine.events import Preview, Progress, Result
from dip_engine.glance import without_blur, without_holes, without_noise
from dip_engine.job import Job, Settings
from dip_engine.restoration import restore_events


def photo(side: int = 96) -> Tensor:
    """Return 3×side×side of a cat's face."""
    pixels = data.chelsea()[60 : 60 + side, 120 : 120 + side]
    return torch.from_numpy(pixels.astype(np.float32) / 255).permute(2, 0, 1)


def error(a: Tensor, b: Tensor) -> float:
    return float((a - b).square().mean())


@pytest.mark.parametrize("shape", [(3, 96, 96), (3, 61, 90), (1, 96, 8), (1, 9, 9)])
def test_noise_is_mostly_gone(shape: tuple[int, int, int]) -> None:
    channels, height, width = shape
    clean = photo()[:channels, :height, :width]
    noisy = clean + 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    estimate = without_noise(noisy, 0.1)
    assert estimate.shape == clean.shape
    assert error(estimate, clean) < 0.35 * error(noisy, clean)


def test_a_band_more_or_less_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = photo() + 0.1 * torch.randn(3, 96, 96, generator=torch.Generator().manual_seed(0))
    whole = without_noise(noisy, 0.1)
    monkeypatch.setattr("dip_engine.glance.BAND", 400)
    assert torch.allclose(without_noise(noisy, 0.1), whole, atol=1e-5)


@pytest.mark.parametrize("shape", [(7, 96), (5, 5)])
def test_what_has_no_room_for_a_patch_or_no_noise_stays(shape: tuple[int, int]) -> None:
    small = torch.rand(3, *shape)
    assert torch.equal(without_noise(small, 0.1), small)
    assert torch.equal(without_noise(photo(), 0.0), photo())


def test_holes_are_filled_from_around() -> None:
    y, x = torch.meshgrid(torch.linspace(0, 1, 50), torch.linspace(0, 1, 37), indexing="ij")
    ramp = (0.3 * x + 0.6 * y)[None, None]
    known = torch.ones(1, 1, 50, 37)
    known[..., 10:30, 5:20] = 0
    filled = without_holes(ramp * known, known)
    assert torch.equal(filled[known > 0], ramp[known > 0])
    assert float((filled - ramp).abs().max()) < 0.15
    assert float((filled - ramp).abs().mean()) < 0.02


def test_without_anything_known_there_is_nothing() -> None:
    nothing = torch.zeros(1, 1, 9, 12)
    assert torch.equal(without_holes(torch.rand(1, 3, 9, 12), nothing), torch.zeros(1, 3, 9, 12))


@pytest.mark.parametrize("noise", [0.002, 0.01])
def test_a_blur_is_weaker(noise: float) -> None:
    sharp = photo()[None]
    kernel = torch.from_numpy(blur.gaussian(1.5))
    side = kernel.shape[0] // 2
    padded = torch.nn.functional.pad(sharp, [side] * 4, mode="reflect")
    weights = kernel.expand(3, 1, *kernel.shape)
    blurred = torch.nn.functional.conv2d(padded, weights, groups=3)
    blurred += noise * torch.randn(blurred.shape, generator=torch.Generator().manual_seed(0))
    assert error(without_blur(blurred, kernel, noise), sharp) < 0.8 * error(blurred, sharp)


def test_a_kernel_larger_than_the_picture_does_not_matter() -> None:
    assert without_blur(torch.rand(1, 3, 12, 9), torch.full((9, 9), 1 / 81), 0.01).shape[2] == 12


def shown(job: Job) -> tuple[list[Preview], Result]:
    """Return what is shown before the first sign of a fit, and the result."""
    previews: list[Preview] = []
    started = False
    for event in restore_events(job, threading.Event()):
        started = started or (isinstance(event, Progress) and event.stage == "fit")
        if isinstance(event, Preview) and not started:
            previews.append(event)
    assert isinstance(event, Result)
    return previews, event


@pytest.mark.parametrize("task", ["denoise", "inpaint", "deblur", "flash"])
def test_the_first_preview_is_nearer_to_the_truth(task: str, tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    truth = data.chelsea()[60:156, 120:216].astype(np.float32)
    damaged = truth + random.normal(0, 25, truth.shape)
    more: dict[str, Path] = {}
    told: dict[str, object] = {}
    if task == "inpaint":
        holes = random.random(truth.shape[:2]) < 0.5
        damaged = np.where(holes[:, :, None], 0, truth)
        save(tmp_path / "mask.png", np.where(holes, 255.0, 0))
        more = {"mask": tmp_path / "mask.png"}
    elif task == "deblur":
        damaged = ndimage.gaussian_filter(truth, (1.5, 1.5, 0)) + random.normal(0, 1, truth.shape)
        told = {"blur": "gaussian", "blur_size": 1.5}
    elif task == "flash":
        more = {"guide": save(tmp_path / "flash.png", truth)}
    source = save(tmp_path / "in.png", damaged)
    settings = Settings(preset="fast", iterations=1, preview_seconds=9.0, **told)  # type: ignore[arg-type]
    job = Job(task, source, tmp_path / "out.png", settings=settings, **more)
    previews, _ = shown(job)
    first = np.frombuffer(previews[0].pixels, np.uint8).reshape(96, 96, -1)[:, :, :3]
    given = np.asarray(Image.open(source), np.float32)
    limit = 0.8 if task == "deblur" else 0.4
    assert np.mean((first - truth) ** 2) < limit * np.mean((given - truth) ** 2)


def save(path: Path, pixels: np.ndarray) -> Path:  # type: ignore[type-arg]
    Image.fromarray(np.clip(np.rint(pixels), 0, 255).astype(np.uint8)).save(path)
    return path


def test_previews_do_not_change_the_result(tmp_path: Path) -> None:
    source = save(tmp_path / "in.png", np.random.default_rng(0).normal(128, 25, (40, 40, 3)))
    results = []
    for pause in (0.0, 9.0):
        settings = Settings(preset="fast", iterations=2, preview_seconds=pause)
        job = Job("denoise", source, tmp_path / f"{pause}.png", settings=settings)
        previews, _ = shown(job)
        assert bool(previews) == bool(pause)
        results.append(np.asarray(Image.open(job.output)))
    assert np.array_equal(*results)


def test_without_time_for_more_the_rough_picture_is_the_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dip_engine.clock.GRACE", 0.0)
    random = np.random.default_rng(0)
    truth = data.chelsea()[60:156, 120:216].astype(np.float32)
    source = save(tmp_path / "in.png", truth + random.normal(0, 25, truth.shape))
    job = Job("denoise", source, tmp_path / "out.png", settings=Settings(time_limit=0.1))
    *_, result = restore_events(job, threading.Event())
    assert isinstance(result, Result)
    assert "no time for all of the picture" in result.warnings[-1]
    restored, given = (np.asarray(Image.open(path), np.float32) for path in (job.output, source))
    assert np.mean((restored - truth) ** 2) < 0.4 * np.mean((given - truth) ** 2)


def test_what_was_shown_roughly_does_not_become_worse(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dip_engine.work.TILE", 96)
    random = np.random.default_rng(0)
    truth = data.chelsea()[60:140, 120:280].astype(np.float32)
    holes = random.random(truth.shape[:2]) < 0.5
    source = save(tmp_path / "in.png", np.where(holes[:, :, None], 0, truth))
    mask = save(tmp_path / "mask.png", np.where(holes, 255.0, 0))
    settings = Settings(preset="fast", iterations=1, preview_seconds=0.01)
    job = Job("inpaint", source, tmp_path / "out.png", mask=mask, settings=settings)
    errors = []
    for event in restore_events(job, threading.Event()):
        if isinstance(event, Preview):
            shown = np.frombuffer(event.pixels, np.uint8).reshape(truth.shape)
            errors.append(float(np.mean((shown[:, 100:] - truth[:, 100:]) ** 2)))
    assert isinstance(event, Result)
    assert event.tiles > 1
    assert max(errors) <= 1.01 * errors[0]
    assert errors[-1] < 0.8 * errors[0]


def test_a_fit_that_stands_alone_shows_nothing_classical(tmp_path: Path) -> None:
    source = save(tmp_path / "in.png", np.random.default_rng(0).normal(128, 25, (40, 40, 3)))
    settings = Settings(preset="fast", iterations=1, preview_seconds=9.0, fit_only=True)
    previews, _ = shown(Job("denoise", source, tmp_path / "out.png", settings=settings))
    first = np.frombuffer(previews[0].pixels, np.uint8).reshape(40, 40, 3)
    assert np.array_equal(first, np.asarray(Image.open(source)))
