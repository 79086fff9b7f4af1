"""The made-up engine does what the tests in GIMP take for granted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from gimp_profile import fake_engine

from dip_engine.client import Engine
from dip_engine.errors import Cancelled, OutOfMemory, ProtocolError
from dip_engine.events import Preview, Result, Snapshot, Started
from dip_engine.job import Job, Settings

PICTURE = np.random.default_rng(0).random((6, 5, 4), dtype=np.float32)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    python = fake_engine(tmp_path / "python")
    with Engine([str(python), "-I", "-m", "dip_engine.worker"], cancel_timeout=0.5) as running:
        yield running


def make_job(folder: Path, mask: np.ndarray | None = None, **settings: float | None) -> Job:
    np.save(folder / "in.npy", PICTURE)
    if mask is not None:
        np.save(folder / "mask.npy", mask.astype(np.float32))
    return Job(
        "denoise" if mask is None else "inpaint",
        folder / "in.npy",
        folder / "out.npy",
        None if mask is None else folder / "mask.npy",
        settings=Settings(**settings),
    )


def test_inverted_with_alpha_kept(engine: Engine, tmp_path: Path) -> None:
    events = list(engine.run(make_job(tmp_path, iterations=20, preview_seconds=0.1)))
    assert isinstance(events[0], Started)
    assert isinstance(events[-1], Result)
    previews = [event for event in events if isinstance(event, Preview)]
    assert previews
    assert all(len(event.pixels) == 5 * 6 * 3 for event in previews)
    restored = np.load(tmp_path / "out.npy")
    np.testing.assert_array_equal(restored[..., :3], 1 - PICTURE[..., :3])
    np.testing.assert_array_equal(restored[..., 3], PICTURE[..., 3])


def test_inverted_where_the_mask_is(engine: Engine, tmp_path: Path) -> None:
    mask = np.eye(6, 5)
    list(engine.run(make_job(tmp_path, mask)))
    changed = (np.load(tmp_path / "out.npy") != PICTURE).any(axis=2)
    np.testing.assert_array_equal(changed, mask > 0)


def test_strokes_and_flash_show_in_the_result(engine: Engine, tmp_path: Path) -> None:
    job, guide = make_job(tmp_path), tmp_path / "guide.npy"
    other = np.random.default_rng(1).random((6, 5, 4), dtype=np.float32)
    np.save(guide, other)
    list(engine.run(replace(job, task="colourise", guide=guide)))
    strokes = other[..., 3:] >= 0.5
    expected = np.where(strokes, other, 1 - PICTURE)[..., :3]
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy")[..., :3], expected)
    np.save(guide, other[..., :3])
    list(engine.run(replace(job, task="flash", guide=guide)))
    np.testing.assert_array_equal(np.load(tmp_path / "out.npy")[..., :3], other[..., :3])


def test_snapshots_go_from_the_picture_to_the_result(engine: Engine, tmp_path: Path) -> None:
    (tmp_path / "kept").mkdir()
    job = replace(make_job(tmp_path), snapshots=tmp_path / "kept")
    snapshots = [event for event in engine.run(job) if isinstance(event, Snapshot)]
    assert [(event.index, event.iteration) for event in snapshots] == [
        (index, 2 * index) for index in range(6)
    ]
    first, *_, last = (np.load(event.path) for event in snapshots)
    np.testing.assert_array_equal(first, PICTURE)
    np.testing.assert_allclose(last, np.load(tmp_path / "out.npy"), atol=1e-6)


def test_stop_ends_it_with_a_result(engine: Engine, tmp_path: Path) -> None:
    begin = time.monotonic()
    events = engine.run(make_job(tmp_path, iterations=10_000))
    next(events)
    engine.stop()
    assert isinstance(list(events)[-1], Result)
    assert time.monotonic() - begin < 30
    assert (tmp_path / "out.npy").exists()


def test_trouble(engine: Engine, tmp_path: Path) -> None:
    for seed, kind, words in ((13, ProtocolError, "SIGKILL"), (14, OutOfMemory, "too large")):
        with pytest.raises(kind, match=words):
            list(engine.run(make_job(tmp_path, seed=seed)))


def test_hanging_engine_has_to_be_killed(engine: Engine, tmp_path: Path) -> None:
    events = engine.run(make_job(tmp_path, seed=15))
    next(events), next(events)
    engine.cancel()
    with pytest.raises(Cancelled):
        next(events)
    assert not engine.alive
