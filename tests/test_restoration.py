"""The straight line from file to file, in this process."""

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from dip_engine import (
    DeviceError,
    InputError,
    Job,
    MaskError,
    OutputError,
    Preview,
    Progress,
    Result,
    ResultError,
    Settings,
    Started,
    restore,
    restore_events,
)
from dip_engine.denoising import Denoising, quarters, together
from dip_engine.inpainting import Inpainting
from dip_engine.jpeg import find_quality
from dip_engine.tasks import NETWORKS, TASKS
from dip_engine.views import BlindSpotView

QUICK = {"iterations": 12, "threads": 1}


def settings(**options) -> Settings:
    return Settings(**{**QUICK, **options})


def scene(height: int = 64, width: int = 64) -> np.ndarray:
    top, left = 40, 180
    return data.astronaut()[top : top + height, left : left + width]


def save(path: Path, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels).save(path)
    return path


def noisy_scene(sigma: float = 25, size: int = 64) -> np.ndarray:
    clean = scene(size, size)
    noise = np.random.default_rng(0).normal(0, sigma, clean.shape)
    return np.clip(np.rint(clean + noise), 0, 255).astype(np.uint8)


def load(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return float(-10 * np.log10(np.mean((a.astype(float) - b.astype(float)) ** 2) / 255**2))


def text_mask(height: int = 64, width: int = 64) -> np.ndarray:
    mask = np.zeros((height, width), np.uint8)
    mask[10:13, 5:60] = mask[30:50, 20:23] = 255
    return mask


def test_denoising_improves_a_noisy_picture_by_decibels(tmp_path):
    source = save(tmp_path / "a.png", noisy_scene())
    result = restore(Job("denoise", source, tmp_path / "b.png", settings=Settings(threads=1)))
    assert psnr(load(tmp_path / "b.png"), scene()) > psnr(noisy_scene(), scene()) + 5
    assert result.noise_std == pytest.approx(25 / 255, rel=0.2)
    assert result.noise_kind == "white"
    assert result.output == str(tmp_path / "b.png")
    assert result.stop_reason
    assert result.versions["torch"]
    assert result.psnr is not None


def test_inpainting_fills_the_mask_and_leaves_every_other_pixel_as_it_was(tmp_path):
    mask = text_mask()
    damaged = np.where(mask[:, :, None] > 0, 0, scene()).astype(np.uint8)
    job = Job(
        "inpaint",
        save(tmp_path / "a.png", damaged),
        tmp_path / "b.png",
        mask=save(tmp_path / "mask.png", mask),
        settings=settings(iterations=100),
    )
    restore(job)
    filled = load(tmp_path / "b.png")
    assert np.array_equal(filled[mask == 0], damaged[mask == 0])
    mean = np.where(mask[:, :, None] > 0, damaged[mask == 0].mean(axis=0), damaged)
    assert psnr(filled, scene()) > psnr(mean, scene()) + 5


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_inpainting_is_bit_exact_outside_the_mask_at_every_depth(tmp_path, dtype):
    from dip_engine.picture import read

    rng = np.random.default_rng(1)
    if dtype == np.float32:
        pixels = rng.normal(0.5, 0.8, (40, 50, 3)).astype(dtype)  # leaves 0–1 on both sides
    else:
        pixels = rng.integers(0, np.iinfo(dtype).max, (40, 50, 3), dtype, endpoint=True)
    np.save(tmp_path / "a.npy", pixels)
    mask = np.zeros((40, 50), np.float32)
    mask[5:9, 5:9] = 1
    np.save(tmp_path / "m.npy", mask)
    restore(
        Job(
            "inpaint",
            tmp_path / "a.npy",
            tmp_path / "b.npy",
            mask=tmp_path / "m.npy",
            settings=settings(),
        )
    )
    before, after = read(tmp_path / "a.npy"), read(tmp_path / "b.npy")
    assert after.dtype == dtype
    assert np.array_equal(before.pixels[mask == 0], after.pixels[mask == 0])
    assert not np.array_equal(before.pixels[mask == 1], after.pixels[mask == 1])


def test_a_colour_marks_the_hole(tmp_path):
    damaged = scene().copy()
    damaged[20:26, 10:40] = (255, 0, 0)
    job = Job(
        "inpaint",
        save(tmp_path / "a.png", damaged),
        tmp_path / "b.png",
        mask_color=(255, 0, 0),
        settings=settings(),
    )
    restore(job)
    filled = load(tmp_path / "b.png")
    assert not (filled == (255, 0, 0)).all(axis=2).any()


def test_transparent_pixels_are_the_hole_and_become_opaque(tmp_path):
    rgba = np.dstack([scene(), np.full((64, 64), 200, np.uint8)])
    rgba[20:26, 10:40] = (0, 255, 0, 0)
    job = Job("inpaint", save(tmp_path / "a.png", rgba), tmp_path / "b.png", settings=settings())
    restore(job)
    filled = load(tmp_path / "b.png")
    assert np.all(filled[20:26, 10:40, 3] == 255)
    assert not np.any((filled[20:26, 10:40, :3] == (0, 255, 0)).all(axis=2))
    assert psnr(filled[20:26, 10:40, :3], scene()[20:26, 10:40]) > 12
    outside = rgba[:, :, 3] > 0
    assert np.array_equal(filled[outside], rgba[outside])


def test_a_picture_without_a_mask_names_the_file_and_what_to_do(tmp_path):
    job = Job("inpaint", save(tmp_path / "cat.png", scene()), tmp_path / "b.png")
    with pytest.raises(MaskError, match=r"cat\.png.*alpha") as caught:
        restore(job)
    assert caught.value.hint
    assert not (tmp_path / "b.png").exists()


def test_a_hole_without_surroundings_is_refused(tmp_path):
    mask = np.full((1000, 1000), 255, np.uint8)
    mask[:2] = 0
    job = Job(
        "inpaint",
        save(tmp_path / "a.png", np.full((1000, 1000), 90, np.uint8)),
        tmp_path / "b.png",
        mask=save(tmp_path / "m.png", mask),
        settings=settings(),
    )
    with pytest.raises(InputError, match="too large"):
        restore(job)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_super_resolution_multiplies_the_size(tmp_path, factor):
    job = Job(
        "super-resolution",
        save(tmp_path / "a.png", scene(12, 17)),
        tmp_path / "b.png",
        settings=settings(factor=factor),
    )
    result = restore(job)
    large = load(tmp_path / "b.png")
    assert large.shape == (12 * factor, 17 * factor, 3)
    assert (result.width, result.height) == (17 * factor, 12 * factor)
    small = np.asarray(Image.fromarray(large).resize((17, 12), Image.Resampling.LANCZOS))
    assert psnr(small, scene(12, 17)) > 30


def test_jpeg_blocks_get_weaker_and_the_quality_is_found_in_the_file(tmp_path):
    Image.fromarray(scene(128, 128)).save(tmp_path / "a.jpg", quality=10)
    job = Job("jpeg", tmp_path / "a.jpg", tmp_path / "b.png", settings=settings(iterations=60))
    restore(job)
    assert psnr(load(tmp_path / "b.png"), scene(128, 128)) > psnr(
        load(tmp_path / "a.jpg"), scene(128, 128)
    )


@pytest.mark.parametrize("quality", [10, 30, 50, 75, 90])
def test_the_quality_is_found_in_pixels(tmp_path, quality):
    Image.fromarray(data.camera()[:256, :256]).save(tmp_path / "a.jpg", quality=quality)
    pixels = load(tmp_path / "a.jpg")[:, :, None].astype(np.float32) / 255
    assert find_quality(pixels) == pytest.approx(quality, abs=1)


def test_a_picture_that_was_never_compressed_is_not_taken_for_a_jpeg(tmp_path):
    job = Job("jpeg", save(tmp_path / "a.png", data.camera()[:128, :128]), tmp_path / "b.png")
    with pytest.raises(InputError, match=r"a\.png.*no traces"):
        restore(job)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (2, 2), (3, 200), (17, 31)])
@pytest.mark.parametrize("task", ["denoise", "super-resolution", "jpeg"])
def test_any_size_goes_and_comes_back_unchanged(tmp_path, task, size):
    pixels = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    options = settings(iterations=2, factor=2, quality=30)
    job = Job(task, save(tmp_path / "a.png", pixels), tmp_path / "b.png", settings=options)
    restore(job)
    factor = 2 if task == "super-resolution" else 1
    assert load(tmp_path / "b.png").shape == (size[0] * factor, size[1] * factor, 3)


@pytest.mark.parametrize("size", [(1, 2), (2, 2), (3, 200)])
def test_any_size_can_be_inpainted(tmp_path, size):
    pixels = np.full((*size, 3), 90, np.uint8)
    mask = np.zeros(size, np.uint8)
    mask[0, 0] = 255
    job = Job(
        "inpaint",
        save(tmp_path / "a.png", pixels),
        tmp_path / "b.png",
        mask=save(tmp_path / "m.png", mask),
        settings=settings(iterations=2),
    )
    restore(job)
    assert np.array_equal(load(tmp_path / "b.png")[mask == 0], pixels[mask == 0])


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA", "P", "1"])
def test_every_mode_keeps_its_channels_and_its_alpha(tmp_path, mode):
    rgba = np.dstack([noisy_scene(), np.full((64, 64), 255, np.uint8)])
    rgba[:10, :, 3] = 0
    image = Image.fromarray(rgba).convert(mode)
    image.save(tmp_path / "a.png")
    restore(Job("denoise", tmp_path / "a.png", tmp_path / "b.png", settings=settings()))
    with Image.open(tmp_path / "b.png") as after:
        expected = {"P": "RGBA", "1": "L"}.get(mode, mode)
        assert after.mode == expected
        if mode.endswith("A"):
            assert after.getchannel("A").tobytes() == image.getchannel("A").tobytes()
            hidden = np.asarray(image)[:10]
            assert np.array_equal(np.asarray(after)[:10], hidden)


def what_else(tmp_path: Path, task: str) -> dict[str, Path]:
    """Return the mask or second picture that a task needs beside `scene`."""
    if task == "inpaint":
        return {"mask": save(tmp_path / "m.png", text_mask())}
    if task == "colourise":
        strokes = np.dstack([scene(), text_mask()])
        return {"guide": save(tmp_path / "strokes.png", strokes)}
    return {"guide": save(tmp_path / "flash.png", scene())} if task == "flash" else {}


@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_the_fit_of_every_task_can_be_had_alone(tmp_path, task):
    job = Job(
        task,
        save(tmp_path / "a.png", scene()),
        tmp_path / "b.png",
        settings=settings(iterations=2, factor=2, quality=30, blur_size=5.0, fit_only=True),
        **what_else(tmp_path, task),
    )
    assert restore(job).iterations == 2


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_every_task_runs_with_every_network(tmp_path, task, network):
    source = save(tmp_path / "a.png", scene())
    options = settings(iterations=2, factor=2, quality=30, network=network, blur_size=5.0)
    more = what_else(tmp_path, task)
    if (network, task) == ("deep-decoder", "flash") or (
        network == "blind-spot" and task != "denoise"
    ):
        with pytest.raises(InputError, match=f"The network {network} cannot do {task}"):
            Job(task, source, tmp_path / "b.png", settings=options, **more)
        return
    job = Job(task, source, tmp_path / "b.png", settings=options, **more)
    assert restore(job).network == network


@pytest.mark.parametrize("preset", ["fast", "balanced", "best", "paper"])
@pytest.mark.parametrize("task", [task.name for task in TASKS])
def test_every_task_runs_with_every_preset(tmp_path, task, preset):
    job = Job(
        task,
        save(tmp_path / "a.png", scene()),
        tmp_path / "b.png",
        settings=settings(iterations=1, factor=2, quality=30, preset=preset, blur_size=5.0),
        **what_else(tmp_path, task),
    )
    assert restore(job).preset == preset


def test_a_seed_repeats_a_result_to_the_bit(tmp_path):
    source = save(tmp_path / "a.png", noisy_scene())
    options = {"device": "cpu", "dtype": "float32", "deterministic": True, "network": "up"}
    for name, seed in (("1.npy", 5), ("2.npy", 5), ("3.npy", 6)):
        restore(Job("denoise", source, tmp_path / name, settings=settings(seed=seed, **options)))
    first, again, other = (np.load(tmp_path / f"{n}.npy") for n in (1, 2, 3))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_constant_picture_stays_constant(tmp_path):
    source = save(tmp_path / "a.png", np.full((40, 40, 3), 77, np.uint8))
    restore(Job("denoise", source, tmp_path / "b.png", settings=settings()))
    assert np.abs(load(tmp_path / "b.png").astype(int) - 77).max() <= 2


def test_events_come_in_order_and_previews_are_pictures(tmp_path):
    job = Job(
        "denoise",
        save(tmp_path / "a.png", noisy_scene()),
        tmp_path / "b.png",
        settings=settings(iterations=40, preview_seconds=0.01),
    )
    events = list(restore_events(job))
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Result)
    previews = [event for event in events if isinstance(event, Preview)]
    assert len(previews) >= 3
    assert all(len(p.pixels) == p.width * p.height * 3 for p in previews)
    fractions = [event.fraction for event in events if isinstance(event, Progress)]
    assert fractions == sorted(fractions)
    first = np.frombuffer(previews[0].pixels, np.uint8).reshape(64, 64, 3)
    last = np.frombuffer(previews[-1].pixels, np.uint8).reshape(64, 64, 3)
    assert psnr(first, scene()) > psnr(noisy_scene(), scene()) + 3
    assert psnr(last, scene()) > psnr(noisy_scene(), scene()) + 4


@pytest.mark.parametrize(("side", "size"), [(16, (16, 8)), (50, (50, 25)), (500, (64, 32))])
def test_previews_are_as_large_as_asked_and_no_larger_than_the_picture(tmp_path, side, size):
    job = Job(
        "denoise",
        save(tmp_path / "a.png", scene(32, 64)),
        tmp_path / "b.png",
        settings=settings(iterations=1, preview_seconds=0.01, preview_side=side),
    )
    previews = [event for event in restore_events(job) if isinstance(event, Preview)]
    assert {(p.width, p.height, len(p.pixels)) for p in previews} == {
        (*size, size[0] * size[1] * 3)
    }


def test_a_large_picture_is_shown_before_any_work(tmp_path, monkeypatch):
    monkeypatch.setattr("dip_engine.work.MOST_PIXELS", 64 * 64 - 1)
    job = Job(
        "denoise",
        save(tmp_path / "a.png", noisy_scene()),
        tmp_path / "b.png",
        settings=settings(preview_seconds=5),
    )
    events = restore_events(job)
    assert isinstance(next(events), Started)
    first = next(events)
    events.close()
    assert isinstance(first, Preview)
    assert first.pixels == noisy_scene().tobytes()


def test_closing_the_events_cancels_and_writes_nothing(tmp_path):
    source = save(tmp_path / "a.png", noisy_scene())
    events = restore_events(Job("denoise", source, tmp_path / "b.png", settings=settings()))
    next(events)
    events.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png"]


def test_stop_keeps_what_there_is(tmp_path, monkeypatch):
    monkeypatch.setattr("dip_engine.clock.GRACE", 100.0)  # on a busy machine a start takes longer
    stop = threading.Event()
    stop.set()
    source = save(tmp_path / "a.png", noisy_scene())
    result = restore(Job("denoise", source, tmp_path / "b.png"), stop)
    assert result.stop_reason == "stopped by hand"
    assert psnr(load(tmp_path / "b.png"), scene()) > psnr(noisy_scene(), scene())


def test_a_stop_before_the_fit_has_answered_gives_the_classical_start(tmp_path, monkeypatch):
    stop, shoot = threading.Event(), BlindSpotView.shoot

    def shoot_and_stop(view, network, look):
        stop.set()
        return shoot(view, network, look)

    monkeypatch.setattr(BlindSpotView, "shoot", shoot_and_stop)
    source = save(tmp_path / "a.png", noisy_scene())
    (tmp_path / "parts").mkdir()
    restore(Job("denoise", source, tmp_path / "b.npy", parts=tmp_path / "parts"), stop)
    start, fit = (np.load(tmp_path / "parts" / f"{name}.npy") for name in ("start", "fit"))
    assert np.array_equal(fit, start)
    assert np.allclose(np.load(tmp_path / "b.npy"), start, atol=1e-6)


def test_a_time_limit_ends_a_long_fit_with_a_picture(tmp_path):
    source = save(tmp_path / "a.png", noisy_scene())
    options = Settings(preset="paper", time_limit=2.0, threads=1)
    result = restore(Job("denoise", source, tmp_path / "b.png", settings=options))
    assert result.stop_reason == "time limit reached"
    assert result.iterations < 3000
    assert load(tmp_path / "b.png").shape == (64, 64, 3)


def test_what_is_not_finite_is_an_error_and_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(Denoising, "join", lambda *_: np.full((64, 64, 3), np.nan, np.float32))
    source = save(tmp_path / "a.png", noisy_scene())
    with pytest.raises(ResultError, match=r"a\.png.*not finite"):
        restore(Job("denoise", source, tmp_path / "b.png", settings=settings()))
    assert not (tmp_path / "b.png").exists()


def test_a_flat_result_of_a_picture_is_an_error_and_no_file(tmp_path, monkeypatch):
    monkeypatch.setattr(Denoising, "join", lambda *_: np.zeros((64, 64, 3), np.float32))
    source = save(tmp_path / "a.png", noisy_scene())
    with pytest.raises(ResultError, match=r"a\.png.*flat"):
        restore(Job("denoise", source, tmp_path / "b.png", settings=settings()))
    assert not (tmp_path / "b.png").exists()


def test_out_of_memory_is_told_with_the_name_of_the_picture(tmp_path, monkeypatch):
    def exhausted(*_):
        raise MemoryError

    monkeypatch.setattr(Denoising, "start", exhausted)
    source = save(tmp_path / "a.png", noisy_scene())
    with pytest.raises(DeviceError, match=r"a\.png does not fit") as caught:
        restore(Job("denoise", source, tmp_path / "b.png", settings=settings()))
    assert caught.value.hint


def test_a_device_that_is_not_there_is_told_with_those_that_are(tmp_path):
    source = save(tmp_path / "a.png", scene())
    with pytest.raises(DeviceError, match="cuda:7") as caught:
        restore(Job("denoise", source, tmp_path / "b.png", settings=settings(device="cuda:7")))
    assert "cpu" in caught.value.hint
    assert caught.value.exit_code == 3


def test_a_large_picture_is_restored_in_tiles_without_seams(tmp_path):
    y, x = np.mgrid[0:900, 0:64]
    ramp = np.rint(40 + y / 6 + x / 3).astype(np.uint8)
    job = Job(
        "jpeg",
        save(tmp_path / "a.png", ramp),
        tmp_path / "b.png",
        settings=settings(quality=30, iterations=5),
    )
    assert restore(job).tiles > 1
    rows = load(tmp_path / "b.png").astype(float).mean(axis=1)
    assert np.abs(rows - ramp.mean(axis=1)).max() < 2
    assert np.abs(np.diff(rows)).max() < 1.5


def test_a_super_resolution_that_is_cut_short_is_no_worse_than_its_start(tmp_path):
    small = np.asarray(Image.fromarray(scene()).resize((16, 16), Image.Resampling.LANCZOS))
    source = save(tmp_path / "a.png", small)
    restore(Job("super-resolution", source, tmp_path / "b.png", settings=settings(iterations=1)))
    lanczos = np.asarray(Image.fromarray(small).resize((64, 64), Image.Resampling.LANCZOS))
    assert psnr(load(tmp_path / "b.png"), scene()) > psnr(lanczos, scene()) - 0.1


def test_super_resolution_is_sharper_than_lanczos(tmp_path):
    y, x = np.mgrid[0:96, 0:96]
    disc = np.where(np.hypot(y - 50, x - 45) < 30, 220, 40).astype(np.uint8)
    small = np.asarray(Image.fromarray(disc).resize((24, 24), Image.Resampling.LANCZOS))
    source = save(tmp_path / "a.png", small)
    options = settings(factor=4, iterations=150)
    restore(Job("super-resolution", source, tmp_path / "b.png", settings=options))
    lanczos = np.asarray(Image.fromarray(small).resize((96, 96), Image.Resampling.LANCZOS))
    assert psnr(load(tmp_path / "b.png"), disc) > psnr(lanczos, disc) + 1


@pytest.mark.parametrize("size", [(32, 32), (33, 40), (64, 47)])
def test_quarters_are_put_together_again(size):
    pixels = np.random.default_rng(0).random((*size, 3), np.float32)
    mosaic = quarters(pixels)
    assert np.array_equal(mosaic[: mosaic.shape[0] // 2, : mosaic.shape[1] // 2], pixels[::2, ::2])
    assert np.array_equal(together(mosaic, size), pixels)


def test_the_callers_process_is_left_as_it_was(tmp_path):
    import torch

    threads = torch.get_num_threads()
    source = save(tmp_path / "a.png", noisy_scene())
    restore(Job("denoise", source, tmp_path / "b.png", settings=settings(deterministic=True)))
    assert torch.get_num_threads() == threads
    assert not torch.are_deterministic_algorithms_enabled()
    assert np.float32(1e-40) * np.float32(0.5) > 0  # tiny numbers are not flushed to zero


def test_a_mark_is_removed_from_blank_paper(tmp_path):
    paper = np.full((64, 64, 3), 90, np.uint8)
    paper[10:14, 8:50] = 0
    mask = np.zeros((64, 64), np.uint8)
    mask[9:15, 7:51] = 255
    job = Job(
        "inpaint",
        save(tmp_path / "a.png", paper),
        tmp_path / "b.png",
        mask=save(tmp_path / "m.png", mask),
        settings=settings(),
    )
    restore(job)
    assert np.abs(load(tmp_path / "b.png").astype(int) - 90).max() <= 3


@pytest.mark.parametrize("seed", range(8))
def test_held_out_pixels_are_few_and_never_the_last_known_ones(seed):
    missing = np.zeros((32, 32), np.float32)
    missing[:, :16] = 1
    work = Inpainting(np.zeros((32, 32, 3), np.float32), missing, Settings(seed=seed))
    for tile in work.tiles:
        held = work.held_pixels(tile)
        known = tile.cut(missing) == 0
        assert not (held & ~known).any()
        assert held.sum() <= 0.1 * known.sum()
    paper = Inpainting(np.zeros((32, 32, 3), np.float32), missing, Settings(preset="paper"))
    assert not any(paper.held_pixels(tile).any() for tile in paper.tiles)


def test_weak_noise_on_sky_and_texture_is_no_divergence(tmp_path):
    half = data.camera()[200:264, 150:278].astype(float)
    picture = np.vstack([np.full((64, 128), 200.0), half])
    noisy = picture + np.random.default_rng(0).normal(0, 3, picture.shape)
    source = save(tmp_path / "a.png", np.clip(np.rint(noisy), 0, 255).astype(np.uint8))
    options = settings(iterations=200)
    result = restore(Job("denoise", source, tmp_path / "b.png", settings=options))
    assert result.stop_reason != "the fit diverged"


def test_a_given_noise_level_is_in_units_of_the_file(tmp_path):
    clean = np.linspace(0, 4, 96 * 96, dtype=np.float32).reshape(96, 96)
    noisy = clean + np.random.default_rng(0).normal(0, 0.1, clean.shape).astype(np.float32)
    np.save(tmp_path / "a.npy", noisy)
    options = settings(noise_std=0.1)
    result = restore(Job("denoise", tmp_path / "a.npy", tmp_path / "b.npy", settings=options))
    assert result.noise_std == pytest.approx(0.1)
    after = np.load(tmp_path / "b.npy")
    assert np.sqrt(np.mean((after - clean) ** 2)) < 0.05


def test_hidden_pixels_do_not_hide_the_noise(tmp_path):
    rgba = np.dstack([noisy_scene(), np.full((64, 64), 255, np.uint8)])
    framed = np.full((110, 110, 4), (127, 127, 127, 0), np.uint8)
    framed[20:84, 30:94] = rgba
    source = save(tmp_path / "a.png", framed)
    result = restore(Job("denoise", source, tmp_path / "b.png", settings=settings()))
    assert result.noise_std == pytest.approx(25 / 255, rel=0.25)


def test_an_output_that_cannot_be_is_told_before_the_work(tmp_path):
    rgba = np.dstack([scene(), np.full((64, 64), 255, np.uint8)])
    source = save(tmp_path / "a.png", rgba)
    for name in ("b.jpg", "b.gif", "missing/b.png"):
        with pytest.raises(OutputError):
            next(restore_events(Job("denoise", source, tmp_path / name)))


def test_a_time_limit_holds_during_the_classical_start_too(tmp_path):
    large = np.random.default_rng(0).integers(0, 256, (1200, 1200, 3), np.uint8)
    source = save(tmp_path / "a.png", large)
    options = Settings(time_limit=0.5, threads=1)
    result = restore(Job("denoise", source, tmp_path / "b.png", settings=options))
    assert result.stop_reason == "time limit reached"
    assert result.warnings
    assert result.iterations == 0


def test_the_papers_jpeg_fit_learns_the_colours(tmp_path):
    Image.fromarray(scene()).save(tmp_path / "a.jpg", quality=30)
    options = settings(preset="paper", iterations=150)
    restore(Job("jpeg", tmp_path / "a.jpg", tmp_path / "b.png", settings=options))
    difference = load(tmp_path / "b.png").astype(float) - scene()
    assert np.abs(difference.mean(axis=(0, 1))).max() < 12


def fit_alone(tmp_path, **options):
    noisy = save(tmp_path / "noisy.png", noisy_scene())
    parts = tmp_path / "parts"
    parts.mkdir(exist_ok=True)
    chosen = settings(network="up", **options)
    job = Job("denoise", noisy, tmp_path / "out.npy", settings=chosen, parts=parts)
    restore(job)
    names = (parts / "start.npy", parts / "fit.npy", job.output)
    return [np.load(path) for path in names]


def test_parts_are_what_the_result_was_joined_from(tmp_path, monkeypatch):
    monkeypatch.setattr("dip_engine.probe.Probe.weigh", lambda *_args, **_more: 0.4)
    start, fit, result = fit_alone(tmp_path, iterations=20)
    change = fit - start
    share = float(((result - start) * change).sum() / (change**2).sum())
    assert share == pytest.approx(0.4, abs=0.05)
    np.testing.assert_allclose(result, np.clip(start + share * change, 0, 1), atol=0.02)


def test_the_fit_can_be_had_alone(tmp_path):
    start, fit, result = fit_alone(tmp_path, iterations=20, fit_only=True)
    np.testing.assert_array_equal(result, fit)
    assert np.abs(result - start).mean() > 0.02


def test_sgd_is_another_optimiser_that_learns(tmp_path):
    fits = {
        optimiser: fit_alone(tmp_path, iterations=60, fit_only=True, optimiser=optimiser)[2]
        for optimiser in ("adam", "sgd")
    }
    assert (fits["adam"] != fits["sgd"]).any()
    flat = np.broadcast_to(scene().mean(axis=(0, 1)), scene().shape)
    assert all(psnr(255 * fit, scene()) > psnr(flat, scene()) + 3 for fit in fits.values())


def test_the_uncertainty_is_larger_where_less_is_known(tmp_path):
    mask = np.zeros((64, 64), np.uint8)
    mask[16:48, 16:48] = 255
    target = tmp_path / "sure.npy"
    job = Job(
        "inpaint",
        save(tmp_path / "a.png", scene()),
        tmp_path / "b.png",
        mask=save(tmp_path / "m.png", mask),
        settings=settings(network="up", iterations=300),
        uncertainty=target,
    )
    restore(job)
    spread = np.load(target)
    assert spread.shape == (64, 64, 3)
    assert 0 <= spread.min() <= spread.max() < 0.5
    assert spread[24:40, 24:40].mean() > spread[:12].mean() > 0


def test_strange_parts_of_a_noisy_picture_are_uncertain(tmp_path):
    strange = noisy_scene()
    strange[20:44, 20:44] = np.random.default_rng(3).integers(0, 256, (24, 24, 3))
    target = tmp_path / "sure.npy"
    chosen = settings(iterations=60, noise_std=25 / 255)
    source = save(tmp_path / "a.png", strange)
    restore(Job("denoise", source, tmp_path / "b.png", settings=chosen, uncertainty=target))
    spread = np.load(target)
    assert spread[24:40, 24:40].mean() > spread[:, :14].mean() > 0


@pytest.mark.parametrize("name", ["spread.xyz", "spread.png", "spread.webp"])
def test_the_uncertainty_needs_a_format_that_can_hold_it(tmp_path, name):
    source = save(tmp_path / "a.png", noisy_scene())
    job = Job("denoise", source, tmp_path / "b.png", uncertainty=tmp_path / name)
    with pytest.raises(OutputError, match=name.replace(".", r"\.")):
        restore(job)
    assert not (tmp_path / "b.png").exists()
