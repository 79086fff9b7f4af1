"""The pictures along a fit: when they are taken, what is in them, and what they leave behind."""

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dip_engine import (
    Job,
    OutputError,
    Result,
    Settings,
    Snapshot,
    picture,
    restore,
    restore_events,
    snapshots,
    work,
)
from dip_engine.client import Engine
from dip_engine.events import Event
from dip_engine.finishing import Finish, ValueRange
from dip_engine.jpeg_restoration import JpegRestoration
from dip_engine.picture import read
from dip_engine.snapshots import FEWEST, MOST_BYTES, Snapshots, schedule
from dip_engine.tiling import Mosaic

FAST = {"threads": 1, "device": "cpu", "dtype": "float32", "deterministic": True, "quality": 30}


def scene(height: int = 40, width: int = 48) -> np.ndarray:
    ramp = np.linspace(0.2, 0.8, width)[None, :, None] + np.zeros((height, 1, 3))
    noisy = ramp + np.random.default_rng(0).normal(0, 0.1, ramp.shape)
    return np.rint(np.clip(noisy, 0, 1) * 255).astype(np.uint8)


def job_of(folder: Path, pixels: np.ndarray, task: str = "denoise", mask=None, **options) -> Job:
    Image.fromarray(pixels).save(folder / "in.png")
    path = None
    if mask is not None:
        path = folder / "mask.npy"
        np.save(path, mask)
    snapshots = folder / "snapshots"
    snapshots.mkdir(exist_ok=True)
    settings = Settings(**{"iterations": 5, **FAST, **options})
    return Job(task, folder / "in.png", folder / "out.npy", path, None, settings, snapshots)


def shots(events: list[Event]) -> list[Snapshot]:
    return [event for event in events if isinstance(event, Snapshot)]


@given(st.integers(1, 10**6), st.integers(1, 2**34), st.integers(1, 1000))
def test_the_schedule_begins_at_the_start_and_ends_with_the_budget(iterations, size, most):
    points = schedule(iterations, size, most)
    assert points[0] == 0
    assert points[-1] == iterations
    steps = np.diff(points)
    assert steps.min() >= 1
    assert steps.max() - steps.min() <= 1
    assert min(FEWEST, iterations, most) <= len(points) - 1 <= most
    assert len(points) * size <= MOST_BYTES or len(points) - 1 <= FEWEST


@pytest.mark.parametrize(
    ("iterations", "size", "count"), [(800, 10**6, 20), (7, 1, 7), (99, 2**28, 7)]
)
def test_the_schedule_is_as_fine_as_it_may_be(iterations, size, count):
    assert len(schedule(iterations, size, 20)) == count + 1


@pytest.mark.parametrize("task", ["denoise", "jpeg", "super-resolution"])
def test_snapshots_lead_from_the_start_to_the_result(tmp_path, task):
    job = job_of(tmp_path, scene(), task, factor=2)
    events = list(restore_events(job))
    found = shots(events)
    # Iteration 1 of a denoising is pretraining: there is nothing new to be seen.
    points = [k for k in range(6) if (task, k) != ("denoise", 1)]
    assert [(s.index, s.iteration) for s in found] == [(k, k) for k in points]
    assert isinstance(events[-1], Result)
    assert found[0].psnr is None
    arrays = [np.load(s.path) for s in found]
    output = np.load(job.output)
    assert all(a.dtype == np.float32 and a.shape == output.shape for a in arrays)
    if task == "super-resolution":  # the result is polished beyond the last of them
        assert 0 < np.abs(arrays[-1] - output).mean() < 0.03
    else:  # without held-out pixels the last one is delivered
        assert np.array_equal(arrays[-1], output)
    assert not np.array_equal(arrays[0], arrays[-1])
    assert sorted(p.name for p in job.snapshots.iterdir()) == [f"00{k}.npy" for k in points]
    if task == "super-resolution":
        small = read(job.input).pixels
        height, width = small.shape[:2]
        blocks = arrays[0].reshape(height, 2, width, 2, 3).mean(axis=(1, 3))
        assert np.abs(blocks - small).mean() < 0.02


def test_a_long_fit_has_about_twenty(tmp_path):
    job = job_of(tmp_path, scene(16, 16), network="up", iterations=65)
    found = shots(list(restore_events(job)))
    assert [s.iteration for s in found] == [round(k * 65 / 20) for k in range(21)]
    assert all(s.psnr is not None for s in found if s.iteration >= 10)


def test_the_loss_of_a_window_is_not_told_as_that_of_the_picture(tmp_path):
    found = shots(list(restore_events(job_of(tmp_path, scene(16, 16), iterations=65))))
    assert [s.psnr is None for s in found[1:]] == [s.iteration < 50 for s in found[1:]]
    assert found[1].iteration < 50 < found[-1].iteration


def test_a_job_may_ask_for_more_of_them(tmp_path):
    job = replace(job_of(tmp_path, scene(16, 16), network="up", iterations=65), snapshot_count=65)
    found = shots(list(restore_events(job)))
    assert [s.iteration for s in found] == list(range(66))
    assert all(s.loss is None for s in found[:10])
    assert all(0 < s.loss < 1 for s in found[10:])


def test_they_change_nothing_about_the_result(tmp_path):
    job = job_of(tmp_path, scene(), network="up", iterations=30)
    restore(job)
    without = Job(job.task, job.input, tmp_path / "without.npy", settings=job.settings)
    assert not shots(list(restore_events(without)))
    assert np.array_equal(np.load(job.output), np.load(without.output))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_a_snapshot_is_finished_as_the_result_is(tmp_path, mode):
    image = Image.fromarray(scene()).convert(mode)
    if mode.endswith("A"):
        alpha = np.full((40, 48), 200, np.uint8)
        alpha[:5] = 0
        image.putalpha(Image.fromarray(alpha))
    mask = np.zeros((40, 48), np.float32)
    mask[:, :20], mask[:, 20:30] = 1, 0.5
    job = job_of(tmp_path, np.asarray(image), "denoise", mask, strength=0.5)
    found = shots(list(restore_events(job)))
    source, output = np.asarray(image, np.float32) / 255, np.load(job.output)
    for snapshot in found:
        array = np.load(snapshot.path)
        assert array.shape == source.shape
        assert np.allclose(array[mask == 0], source[mask == 0], atol=1e-6)
        assert np.abs(array - source)[mask == 1].max() > 1e-3
        if mode.endswith("A"):
            assert np.allclose(array[:5], source[:5], atol=1e-6)
            assert np.array_equal(array[..., -1], output[..., -1])
    assert np.array_equal(np.load(found[-1].path), output)


def test_a_snapshot_shows_itself_small(tmp_path):
    found = shots(list(restore_events(job_of(tmp_path, scene(), preview_side=48))))
    for snapshot in found:
        shown = np.frombuffer(snapshot.pixels, np.uint8)
        shown = shown.reshape(snapshot.height, snapshot.width, 3)
        assert np.array_equal(shown, np.rint(np.load(snapshot.path) * 255))
    small = shots(list(restore_events(job_of(tmp_path, scene(), preview_side=24))))
    assert {(s.width, s.height, len(s.pixels)) for s in small} == {(24, 20, 24 * 20 * 3)}


def test_the_end_of_the_fit_is_the_end_of_the_snapshots(tmp_path):
    stop = threading.Event()
    job = job_of(tmp_path, scene(), network="up", iterations=10_000)
    events = []
    for event in restore_events(job, stop):
        events.append(event)
        if isinstance(event, Snapshot):
            stop.set()
    assert [s.index for s in shots(events)] == [0]
    assert events[-1].stop_reason == "stopped by hand"
    assert [path.name for path in job.snapshots.iterdir()] == ["000.npy"]


def test_cancelling_leaves_what_was_written(tmp_path):
    job = job_of(tmp_path, scene(), network="up")
    events = restore_events(job)
    assert next(event for event in events if isinstance(event, Snapshot) and event.index == 2)
    events.close()
    assert sorted(p.name for p in job.snapshots.iterdir()) == ["000.npy", "001.npy", "002.npy"]
    assert not job.output.exists()


def test_a_folder_that_cannot_be_written_is_told_before_the_work(tmp_path):
    job = job_of(tmp_path, scene())
    job.snapshots.rmdir()
    with pytest.raises(OutputError, match="snapshots") as caught:
        next(restore_events(job))
    assert caught.value.hint
    job.snapshots.touch()
    with pytest.raises(OutputError, match="snapshots"):
        next(restore_events(job))
    assert not job.output.exists()


def test_a_full_disk_ends_the_snapshots_and_not_the_job(tmp_path, monkeypatch):
    job = job_of(tmp_path, scene())
    write, written = picture.write, []

    def write_some(path, *arguments, **options):
        if path.parent == job.snapshots:
            written.append(path)
            if len(written) > 2:
                raise OutputError(f"{path} cannot be written (No space left on device).")
        write(path, *arguments, **options)

    monkeypatch.setattr(picture, "write", write_some)
    events = list(restore_events(job))
    assert len(shots(events)) == 2
    assert len(written) == 3  # it is not tried again and again
    assert isinstance(events[-1], Result)
    assert "No space left" in events[-1].warnings[-1]
    assert job.output.exists()


def test_snapshots_come_through_the_pipe(tmp_path):
    job = job_of(tmp_path, scene())
    here = shots(list(restore_events(job)))
    with Engine() as engine:
        assert shots(list(engine.run(job))) == here


@pytest.fixture
def small_tiles(monkeypatch):
    monkeypatch.setattr(work, "TILE", 96)
    monkeypatch.setattr(snapshots, "MOST_TIME", float("inf"))


def test_every_tile_writes_its_part_of_every_snapshot(tmp_path, small_tiles):
    pixels = scene(40, 130)
    job = job_of(tmp_path, pixels, "jpeg")
    seen, first = [], None
    for event in restore_events(job):
        if isinstance(event, Snapshot):
            seen.append(event.index)
            if event.index == 3 and first is None:
                first = np.load(event.path)
    assert event.tiles == 2
    assert seen == [*range(6), *range(6)]
    last = [np.load(job.snapshots / f"00{k}.npy") for k in range(6)]
    assert np.array_equal(last[5], np.load(job.output))
    assert not np.array_equal(last[2], last[3])
    assert np.allclose(first[:, 96:], pixels[:, 96:] / 255, atol=1e-6)  # as it was, until its turn
    assert not np.allclose(last[3][:, 96:], pixels[:, 96:] / 255, atol=1e-3)
    assert np.array_equal(first[:, :30], last[3][:, :30])  # the other tile does not reach there
    assert not np.array_equal(first[:, 60:80], last[3][:, 60:80])  # it does there: a soft joint
    assert sorted(p.name for p in job.snapshots.iterdir()) == [f"00{k}.npy" for k in range(6)]


def test_what_would_take_too_long_is_written_at_the_end(tmp_path, small_tiles, monkeypatch):
    job = job_of(tmp_path, scene(40, 130), "jpeg")
    restore(job)
    at_once = [np.load(job.snapshots / f"00{k}.npy") for k in range(6)]
    monkeypatch.setattr(snapshots, "MOST_TIME", 0)
    seen = [s.index for s in shots(list(restore_events(job)))]
    assert seen == [*range(6), *range(6)]
    late = [np.load(job.snapshots / f"00{k}.npy") for k in range(6)]
    assert all(np.array_equal(a, b) for a, b in zip(at_once, late, strict=True))


def test_what_waited_is_written_once(tmp_path, small_tiles, monkeypatch):
    monkeypatch.setattr(snapshots, "MOST_TIME", 0)
    job = job_of(tmp_path, scene(40, 220), "jpeg")
    events = list(restore_events(job))
    assert events[-1].tiles > 2
    assert [s.index for s in shots(events)] == [*range(6), *range(6)]


def by_hand(folder: Path) -> tuple[JpegRestoration, Mosaic, Snapshots]:
    """Return what a job in two tiles works with."""
    job = job_of(folder, scene(40, 130), "jpeg")
    source = read(job.input)
    work = JpegRestoration(source.pixels, 30, job.settings)
    finish = Finish(job, source, None, ValueRange(0.0, 1.0, 0.0), 1)
    mosaic = Mosaic(work.first().copy(), 48)
    return work, mosaic, Snapshots(job.snapshots, work, mosaic, finish)


def flat(tile, value: float) -> np.ndarray:
    return np.full((tile.height, tile.width, 3), value, np.float32)


def test_a_tile_that_ended_early_is_shown_with_its_result(tmp_path, small_tiles):
    work, mosaic, taken = by_hand(tmp_path)
    left, right = work.tiles
    with taken:
        for tile, points, result in ((left, 2, 0.25), (right, 4, 0.75)):
            for iteration in range(points):
                value = (iteration + 1) / 100
                list(taken.take(tile, iteration, lambda t=tile, v=value: flat(t, v)))
            list(taken.end(tile, flat(tile, result), None))
            mosaic.add(tile, flat(tile, result))
    columns = [np.load(tmp_path / f"snapshots/00{k}.npy")[0, [0, 129], 0] for k in range(4)]
    assert np.allclose(columns, [[0.01, 0.01], [0.02, 0.02], [0.25, 0.03], [0.25, 0.04]])


def test_a_tile_that_ends_early_completes_what_is_there(tmp_path, small_tiles):
    work, mosaic, taken = by_hand(tmp_path)
    left, right = work.tiles
    with taken:
        for iteration in range(4):
            list(taken.take(left, iteration, lambda v=iteration: flat(left, v / 100)))
        assert not list(taken.end(left, flat(left, 0.25), None))
        mosaic.add(left, flat(left, 0.25))
        list(taken.take(right, 0, lambda: flat(right, 0.5)))
        late = list(taken.end(right, flat(right, 0.75), 31.0))
    assert [(s.index, s.iteration, s.psnr) for s in late] == [(k, k, 31.0) for k in (1, 2, 3)]
    columns = [np.load(tmp_path / f"snapshots/00{k}.npy")[0, [0, 129], 0] for k in range(4)]
    assert np.allclose(columns, [[0, 0.5], [0.01, 0.75], [0.02, 0.75], [0.03, 0.75]])


def test_a_diverging_fit_is_not_shown_until_it_has_come_back(tmp_path):
    work, _, taken = by_hand(tmp_path)
    tile = work.tiles[0]
    with taken:
        assert not list(taken.take(tile, 0, lambda: flat(tile, float("nan"))))
        taken.begin -= 60  # snapshots get a share of the time, and here there was none
        later = list(taken.take(tile, 1, lambda: flat(tile, 0.5)))
    assert [s.index for s in later] == [1]


def test_no_folder_costs_no_picture(tmp_path):
    work, mosaic, taken = by_hand(tmp_path)
    nothing = Snapshots(None, work, mosaic, taken.finish)
    with nothing:
        assert not list(nothing.take(work.tiles[0], 0, lambda: pytest.fail("made for nobody")))
        assert not list(nothing.end(work.tiles[0], flat(work.tiles[0], 0), None))


def test_a_problem_without_iterations_has_its_start(tmp_path):
    stop = threading.Event()
    stop.set()
    job = job_of(tmp_path, scene())
    found = shots(list(restore_events(job, stop)))
    assert [s.index for s in found] == [0]
    assert np.array_equal(np.load(found[0].path), np.load(job.output))


def test_snapshots_take_a_share_of_the_time(tmp_path):
    work, _, taken = by_hand(tmp_path)
    tile = work.tiles[0]
    with taken:
        assert list(taken.take(tile, 0, lambda: flat(tile, 0.1)))
        taken.spent = 1e6
        assert not list(taken.take(tile, taken.points[2], lambda: flat(tile, 0.2)))
        taken.spent = 0.0
        late = list(taken.take(tile, taken.points[3], lambda: flat(tile, 0.3)))
        # One picture for all the points that had to wait.
        assert [(s.index, s.iteration) for s in late] == [(3, taken.points[3])]
