"""Clips from file to file: better than frame by frame, steadier, and whole."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from moving import (
    flicker,
    load_frames,
    load_video,
    packets,
    pan,
    psnr,
    save_frames,
    save_video,
    with_noise,
)
from skimage import data

from dip_engine import (
    InputError,
    Job,
    MaskError,
    OutputError,
    Preview,
    Progress,
    Result,
    Settings,
    Started,
    restore,
    restore_events,
)
from dip_engine.alignment import find_motion, moved
from dip_engine.clip_estimate import LAG, ClipEstimate
from dip_engine.clip_fill import Neighbour, fill_from
from dip_engine.patch_groups import STEP, blocks

QUICK = {"iterations": 8, "threads": 1, "device": "cpu"}


def settings(**options: object) -> Settings:
    return Settings(**{**QUICK, **options})


def rounded(clip: np.ndarray) -> np.ndarray:
    return np.rint(clip * 255) / 255


def moving_mask(count: int, side: int = 48) -> np.ndarray:
    """A square that crosses the picture."""
    mask = np.zeros((count, side, side))
    for number in range(count):
        mask[number, 15:25, 6 + 6 * number : 14 + 6 * number] = 1
    return mask


def with_holes(clip: np.ndarray, mask: np.ndarray) -> np.ndarray:
    return np.where(mask[..., None] > 0, 1.0, clip)


@pytest.mark.parametrize(("count", "step"), [(6, (0.5, 1.5)), (3, (0.0, 3.0))])
def test_denoising_is_better_and_steadier_than_frame_by_frame(
    tmp_path: Path, count: int, step: tuple[float, float]
) -> None:
    clip = pan(count, 96, step)
    noisy = save_frames(tmp_path / "noisy", with_noise(clip))
    result = restore(Job("denoise", noisy, tmp_path / "out", settings=settings()))
    assert result.noise_std == pytest.approx(25 / 255, rel=0.1)
    assert result.tiles == count
    (tmp_path / "alone").mkdir()
    for file in noisy.iterdir():
        restore(Job("denoise", file, tmp_path / "alone" / file.name, settings=settings()))
    together, alone = load_frames(tmp_path / "out"), load_frames(tmp_path / "alone")
    gains = np.subtract(psnr(together, clip), psnr(alone, clip))
    assert gains.min() > 1
    assert flicker(together, clip) < 0.85 * flicker(alone, clip)


def test_a_noisy_video_keeps_its_sound_and_times(tmp_path: Path) -> None:
    clip = pan(5)
    times = [0, 40, 80, 200, 240]
    source = save_video(tmp_path / "a.mkv", with_noise(clip), times=times, sound="aac")
    result = restore(Job("denoise", source, tmp_path / "b.mp4", settings=settings()))
    assert result.warnings == ()
    frames, after = load_video(tmp_path / "b.mp4")
    assert after == [Fraction(time, 1000) for time in times]
    assert packets(tmp_path / "b.mp4", "audio") == packets(source, "audio")
    assert min(np.subtract(psnr(frames, clip), psnr(with_noise(clip), clip))) > 4
    assert (result.width, result.height) == (48, 48)


@pytest.mark.parametrize("kind", ["folder", "video"])
def test_a_moving_mask_is_filled_from_other_frames(tmp_path: Path, kind: str) -> None:
    clip, mask = rounded(pan(5)), moving_mask(5)
    source = save_frames(tmp_path / "in", with_holes(clip, mask))
    masks = tmp_path / ("masks" if kind == "folder" else "masks.mp4")
    if kind == "folder":
        save_frames(masks, mask)
    else:
        options = {"crf": "18"}
        three = np.repeat(mask[..., None], 3, axis=3)
        save_video(masks, three, codec="libx264", pixel_format="yuv420p", options=options)
    restore(Job("inpaint", source, tmp_path / "out", mask=masks, settings=settings()))
    filled = load_frames(tmp_path / "out")
    known = mask == 0
    assert np.array_equal(filled[known], with_holes(clip, mask)[known])
    assert np.abs(filled - clip)[mask > 0].mean() < 0.03


def test_one_mask_for_all_frames(tmp_path: Path) -> None:
    clip, mask = rounded(pan(5, 64, (0, 2))), np.zeros((1, 64, 64))
    mask[:, 20:40, 20:28] = 1
    source = save_frames(tmp_path / "in", with_holes(clip, mask))
    one = save_frames(tmp_path / "masks", mask) / "1.png"
    restore(Job("inpaint", source, tmp_path / "out", mask=one, settings=settings()))
    restore(Job("inpaint", source / "1.png", tmp_path / "1.png", mask=one, settings=settings()))
    together, alone = load_frames(tmp_path / "out"), tmp_path / "alone"
    alone.mkdir()
    (tmp_path / "1.png").rename(alone / "1.png")
    assert psnr(together[:1], clip[:1])[0] > psnr(load_frames(alone), clip[:1])[0] + 3


def test_a_mask_may_mark_nothing_in_some_frames(tmp_path: Path) -> None:
    clip, mask = rounded(pan(3)), moving_mask(3)
    mask[1] = 0
    source = save_frames(tmp_path / "in", with_holes(clip, mask))
    masks = save_frames(tmp_path / "masks", mask)
    restore(Job("inpaint", source, tmp_path / "out", mask=masks, settings=settings()))
    assert np.array_equal(load_frames(tmp_path / "out")[1], clip[1])
    for file in masks.iterdir():
        file.write_bytes((masks / "2.png").read_bytes())
    result = restore(Job("inpaint", source, tmp_path / "out", mask=masks, settings=settings()))
    assert "nothing was restored" in result.warnings[0]


def test_masks_that_do_not_fit_are_refused_before_the_work(tmp_path: Path) -> None:
    source = save_frames(tmp_path / "in", pan(3))
    for name, masks, words in (
        ("short", moving_mask(2), "has 2 frames, but .*in has 3"),
        ("small", moving_mask(3, 40), "is 40×40 pixels, but .*in is 48×48"),
    ):
        folder = save_frames(tmp_path / name, masks)
        job = Job("inpaint", source, tmp_path / "out", mask=folder, settings=settings())
        with pytest.raises(MaskError, match=words):
            next(iter(restore_events(job)))
    with pytest.raises(MaskError, match="no alpha channel"):
        restore(Job("inpaint", source, tmp_path / "out", settings=settings()))
    assert not (tmp_path / "out").exists()


def test_super_resolution_of_an_odd_clip(tmp_path: Path) -> None:
    clip = pan(3, 24)[:, :21, :23]
    source = save_video(tmp_path / "a.mp4", clip, pixel_format="rgb24")
    job = Job("super-resolution", source, tmp_path / "b.mp4", settings=settings(factor=3))
    result = restore(job)
    frames, _ = load_video(tmp_path / "b.mp4")
    assert frames.shape == (3, 63, 69, 3)
    assert (result.width, result.height) == (69, 63)
    small = frames.reshape(3, 21, 3, 23, 3, 3).mean((2, 4))
    assert min(psnr(small, clip)) > 28
    assert "odd size" in result.warnings[0]


def test_a_cut_is_no_motion_and_mixes_nothing(tmp_path: Path) -> None:
    first, second = data.chelsea()[100:148, 200:248], data.coffee()[100:148, 200:248]
    both = np.stack([first] * 3 + [second] * 3) / 255
    noisy = with_noise(both)
    assert find_motion(*np.float32(noisy[2:4])).is_cut
    assert not find_motion(*np.float32(noisy[1:3])).is_cut
    save_frames(tmp_path / "both", noisy)
    save_frames(tmp_path / "first", noisy[:3])
    options = settings(noise_std=25 / 255, deterministic=True)
    for name in ("both", "first"):
        restore(Job("denoise", tmp_path / name, tmp_path / f"{name}-out", settings=options))
    together, alone = (load_frames(tmp_path / f"{name}-out") for name in ("both", "first"))
    assert np.array_equal(together[:3], alone)
    assert min(np.subtract(psnr(together, both), psnr(noisy, both))) > 4


def test_colour_after_gray_is_a_cut(tmp_path: Path) -> None:
    clip = pan(4)
    clip[:2] = clip[:2].mean(axis=3, keepdims=True)
    noisy = with_noise(clip)
    noisy[:2] = noisy[:2, :, :, :1]
    source = save_video(tmp_path / "a.mkv", noisy)
    restore(Job("denoise", source, tmp_path / "out", settings=settings()))
    frames = load_frames(tmp_path / "out")
    assert np.ptp(frames[:2], axis=3).max() == 0
    assert min(np.subtract(psnr(frames, clip), psnr(noisy, clip))) > 3


def test_events_name_the_frame_in_work(tmp_path: Path) -> None:
    source = save_frames(tmp_path / "in", with_noise(pan(3)))
    options = settings(preview_seconds=0.01, iterations=30)
    events = list(restore_events(Job("denoise", source, tmp_path / "out", settings=options)))
    assert isinstance(events[0], Started)
    assert events[0].tiles == 3
    assert isinstance(events[1], Preview)
    assert isinstance(events[-1], Result)
    progress = [event for event in events if isinstance(event, Progress)]
    assert [p.fraction for p in progress] == sorted(p.fraction for p in progress)
    assert all(p.tiles == 3 and 0 <= p.tile < 3 for p in progress)


def test_fits_after_the_first_start_warm_and_are_shorter(tmp_path: Path) -> None:
    source = save_frames(tmp_path / "in", with_noise(pan(3)))
    options = Settings(preset="fast", fit_only=True, network="up", threads=1)
    result = restore(Job("denoise", source, tmp_path / "out", settings=options))
    assert result.iterations == (100 + 25 + 25) / 3
    fits = psnr(load_frames(tmp_path / "out"), pan(3))
    assert fits[2] > fits[0]


def test_a_fixed_number_of_iterations_is_that_of_every_frame(tmp_path: Path) -> None:
    source = save_frames(tmp_path / "in", with_noise(pan(2)))
    options = settings(iterations=6, fit_only=True, network="up")
    result = restore(Job("denoise", source, tmp_path / "out", settings=options))
    assert result.iterations == 6


@pytest.mark.parametrize("target", ["b.mp4", "out"])
def test_closing_cancels_and_writes_nothing(tmp_path: Path, target: str) -> None:
    source = save_frames(tmp_path / "in", with_noise(pan(3)))
    events = restore_events(Job("denoise", source, tmp_path / target, settings=settings()))
    for event in events:
        if isinstance(event, Progress):
            break
    events.close()  # type: ignore[attr-defined]
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize("target", ["out", "out.mp4"])
@pytest.mark.parametrize("who", ["the command", "its engine"])
def test_ended_runs_leave_nothing(tmp_path: Path, target: str, who: str) -> None:
    with long_run(tmp_path, target) as (process, engine):
        (process if who == "the command" else engine).terminate()
        assert process.wait(30) == (130 if who == "the command" else 3)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no signals to send")
@pytest.mark.parametrize("target", ["out", "out.mp4"])
def test_what_killed_runs_leave_goes_with_the_next(tmp_path: Path, target: str) -> None:
    with long_run(tmp_path, target) as (process, engine):
        process.kill()
        engine.wait(30)
    assert list(tmp_path.glob(".out*.dip-tmp"))
    restore(Job("denoise", tmp_path / "in", tmp_path / target, settings=settings()))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", target]


@contextmanager
def long_run(folder: Path, target: str) -> Iterator[tuple[psutil.Popen, psutil.Process]]:
    """Give a command that restores a clip and has begun to write, and its engine."""
    save_frames(folder / "in", with_noise(pan(3)))
    options = ["--task", "denoise", "--iterations", "1000000", "--device", "cpu"]
    command = [sys.executable, "-P", "-m", "dip_engine", "restore", "in", target, *options]
    with psutil.Popen(command, cwd=folder, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 120
            while not list(folder.glob(".out*.dip-tmp")):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            (engine,) = process.children()
            yield process, engine
        finally:
            with suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.mark.parametrize(("task", "factor"), [("denoise", 1), ("super-resolution", 2)])
def test_stop_leaves_the_rest_as_it_was(tmp_path: Path, task: str, factor: int) -> None:
    clip = with_noise(pan(3))
    source = save_frames(tmp_path / "in", clip)
    stop = threading.Event()
    stop.set()
    result = restore(Job(task, source, tmp_path / "out", settings=settings(factor=2)), stop)
    assert result.stop_reason == "stopped by hand"
    assert "3 of the 3 frames" in result.warnings[0]
    frames = load_frames(tmp_path / "out")
    assert frames.shape == (3, 48 * factor, 48 * factor, 3)
    assert factor > 1 or np.array_equal(frames, clip)


@pytest.mark.parametrize("fit_only", [False, True])
def test_a_stop_in_a_frame_of_several_tiles_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fit_only: bool
) -> None:
    monkeypatch.setattr("dip_engine.work.TILE", 96)
    monkeypatch.setattr("dip_engine.clock.GRACE", 0.0)
    source = save_frames(tmp_path / "in", pan(2))
    stop = threading.Event()
    options = settings(factor=3, fit_only=fit_only)
    job = Job("super-resolution", source, tmp_path / "out", settings=options)
    for event in restore_events(job, stop):
        if isinstance(event, Progress) and event.stage == "fit":
            stop.set()
    assert load_frames(tmp_path / "out").shape == (2, 144, 144, 3)


def test_a_time_limit_is_for_the_whole_clip(tmp_path: Path) -> None:
    source = save_frames(tmp_path / "in", with_noise(pan(4)))
    options = Settings(preset="paper", threads=1, time_limit=3.0, device="cpu")
    result = restore(Job("denoise", source, tmp_path / "out", settings=options))
    assert result.stop_reason == "time limit reached"
    assert result.seconds < 9
    assert len(load_frames(tmp_path / "out")) == 4


@pytest.mark.parametrize(
    ("task", "output", "error", "words"),
    [
        ("jpeg", "out", InputError, "the task jpeg works on single pictures"),
        ("denoise", "out.png", OutputError, "neither a folder nor a video"),
        ("denoise", "in", OutputError, "is the clip itself"),
    ],
)
def test_what_cannot_be_is_one_sentence(
    tmp_path: Path, task: str, output: str, error: type[Exception], words: str
) -> None:
    source = save_frames(tmp_path / "in", pan(2))
    with pytest.raises(error, match=words):
        restore(Job(task, source, tmp_path / output, settings=settings()))


def test_transparency_of_frames_is_kept(tmp_path: Path) -> None:
    clip = rounded(pan(3))
    alpha = np.ones((3, 48, 48, 1))
    alpha[:, :10] = 0
    source = save_frames(tmp_path / "in", np.concatenate([clip, alpha], axis=3))
    restore(Job("denoise", source, tmp_path / "out", settings=settings(noise_std=0.02)))
    frames = load_frames(tmp_path / "out")
    assert np.array_equal(frames[..., 3:], alpha)
    assert np.array_equal(frames[:, :10, :, :3], clip[:, :10])


@pytest.mark.parametrize("known", [None, 0.0])
def test_that_a_clip_has_no_noise_is_told_where_nobody_has_said_so(
    tmp_path: Path, known: float | None
) -> None:
    rows = np.linspace(0, 1, 3)[:, None].repeat(16, axis=0)[None, :, :, None]
    source = save_frames(tmp_path / "in", np.broadcast_to(rounded(rows), (2, 48, 48, 3)))
    options = settings(noise_std=known, iterations=1)
    result = restore(Job("denoise", source, tmp_path / "out", settings=options))
    told = any("No noise was found" in warning for warning in result.warnings)
    assert told == (known is None)


def test_dip_batch_restores_videos_too(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    save_video(folder / "a.mp4", with_noise(pan(3)), sound="aac")
    run = subprocess.run(
        [sys.executable, "-P", "-m", "dip_batch", "in", "--task", "denoise", "--dry-run"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "a.mp4  48×48" in run.stdout
    options = ["--task", "denoise", "--iterations", "2", "--device", "cpu"]
    for command in (["-m", "dip_batch", "in"], ["-m", "dip_engine", "restore", "in/a.mp4", "out"]):
        subprocess.run(
            [sys.executable, "-P", *command, *options], cwd=tmp_path, check=True, timeout=120
        )
    assert packets(tmp_path / "in-restored/a.mp4", "audio") == packets(folder / "a.mp4", "audio")
    assert len(load_frames(tmp_path / "out")) == 3


def drain(generator: object) -> list[torch.Tensor]:
    while True:
        try:
            next(generator)  # type: ignore[call-overload]
        except StopIteration as end:
            return list(end.value)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(5, 7), (30, 41)])
def test_the_estimate_takes_any_size_and_number_of_frames(
    channels: int, size: tuple[int, int]
) -> None:
    for count in (1, 2, 9):
        clip = torch.rand(count, channels, *size, generator=torch.Generator().manual_seed(0))
        estimate = ClipEstimate(0.1, channels)
        done = [frame for noisy in clip for frame in drain(estimate.add(noisy, (3, -40)))]
        done += drain(estimate.end())
        assert [frame.shape for frame in done] == [clip[0].shape] * count
        assert all(bool(frame.isfinite().all()) for frame in done)


def test_a_frame_comes_out_as_soon_as_no_later_one_can_change_it() -> None:
    frames = torch.rand(LAG + 2, 1, 30, 30, generator=torch.Generator().manual_seed(0))
    estimate = ClipEstimate(0.1, 1)
    assert [len(drain(estimate.add(frame))) for frame in frames] == [0] * LAG + [1, 1]
    assert len(drain(estimate.end())) == LAG


def test_a_large_motion_is_followed(tmp_path: Path) -> None:
    photo = np.float32(data.astronaut()[:, :, :1] / 255)
    clip = np.stack([photo[100:180, 40 * t : 40 * t + 80] for t in range(4)])
    noisy = np.float32(with_noise(clip))
    results = []
    for step in (0, -40):
        estimate = ClipEstimate(25 / 255, 1)
        planes = torch.from_numpy(noisy.transpose(0, 3, 1, 2).copy())
        done = [frame for plane in planes for frame in drain(estimate.add(plane, (0, step)))]
        done += drain(estimate.end())
        results.append(np.mean(psnr(torch.stack(done).numpy().transpose(0, 2, 3, 1), clip)))
    assert results[1] > results[0] + 0.2


def test_matches_lie_in_other_frames_about_where_the_motion_is() -> None:
    generator = torch.Generator().manual_seed(1)
    scene = torch.rand(60, 90, generator=generator)
    before, after = scene[:, :60], scene[:, 25:85]  # the content moves 25 pixels to the left
    (block,) = blocks(8, 60, 60, on_gpu=False)
    members = block.match(before, 2, [(after, (0, -25))])
    table = torch.cat([block.table(before[None]), block.table(after[None], (0, -25))])[:, 0]
    columns = -(-(60 - 8) // STEP) + 1
    seen = [number for number in range(len(members)) if number % columns * STEP >= 25]
    for number in seen:
        first, second = table[members[number]]
        assert torch.equal(first, second)


@pytest.mark.parametrize("step", [(0.0, 0.0), (2.0, -3.0), (-1.25, 2.5)])
@pytest.mark.parametrize("sigma", [0, 25])
def test_motion_is_found_to_a_fraction_of_a_pixel(step: tuple[float, float], sigma: float) -> None:
    first, second = np.float32(with_noise(pan(2, 96, step), sigma))
    motion = find_motion(first, second)
    assert not motion.is_cut
    assert np.allclose(motion.shift, (-step[0], -step[1]), atol=0.1 if sigma else 0.03)
    inner = slice(8, -8)
    difference = moved(second, motion.shift, order=3) - first
    assert sigma or np.abs(difference[inner, inner]).mean() < 0.01


def test_holes_are_filled_only_from_what_is_alike() -> None:
    first, second = np.float32(pan(2, 64, (0, 2)))
    missing = np.zeros((64, 64), bool)
    missing[20:30, 20:30] = True
    still = np.zeros_like(missing)
    holed = np.where(missing[:, :, None], np.float32(1), first)
    filled, left = fill_from(holed, missing, [Neighbour(second, still, (0.0, -2.0))])
    assert not left.any()
    assert np.abs(filled - first).mean() < 0.002
    other = np.float32(data.coffee()[100:164, 200:264] / 255)
    same, left = fill_from(holed, missing, [Neighbour(other, still, (0.0, 0.0))])
    assert np.array_equal(left, missing)
    assert np.array_equal(same, holed)
