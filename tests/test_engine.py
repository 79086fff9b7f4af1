"""The straight line through a real engine process: the same result, and a clean way out."""

import numpy as np
import psutil
import pytest
from PIL import Image
from skimage import data

from dip_engine import Cancelled, InputError, Job, Progress, Result, Settings, restore
from dip_engine.client import Engine

OPTIONS = {"iterations": 10, "threads": 1, "device": "cpu", "dtype": "float32"}


@pytest.fixture
def source(tmp_path):
    clean = data.astronaut()[40:104, 180:244].astype(float)
    noisy = clean + np.random.default_rng(0).normal(0, 25, clean.shape)
    path = tmp_path / "noisy.png"
    Image.fromarray(np.clip(np.rint(noisy), 0, 255).astype(np.uint8)).save(path)
    return path


def test_the_engine_process_gives_what_this_process_gives(tmp_path, source):
    settings = Settings(deterministic=True, preview_seconds=0.1, **OPTIONS)
    restore(Job("denoise", source, tmp_path / "here.npy", settings=settings))
    with Engine() as engine:
        events = list(engine.run(Job("denoise", source, tmp_path / "there.npy", settings=settings)))
        assert isinstance(events[-1], Result)
        with pytest.raises(InputError, match=r"missing\.png"):
            list(engine.run(Job("denoise", tmp_path / "missing.png", tmp_path / "x.png")))
        pid = engine.pid
        list(engine.run(Job("denoise", source, tmp_path / "again.npy", settings=settings)))
        assert engine.pid == pid
    here, there, again = (np.load(tmp_path / f"{n}.npy") for n in ("here", "there", "again"))
    assert np.array_equal(here, there)
    assert np.array_equal(here, again)
    assert pid is not None
    assert not psutil.pid_exists(pid)


def test_a_cancelled_fit_ends_at_once_and_leaves_nothing(tmp_path, source):
    settings = Settings(**{**OPTIONS, "iterations": 100_000})
    with Engine() as engine:
        events = engine.run(Job("denoise", source, tmp_path / "b.png", settings=settings))
        while not (isinstance(event := next(events), Progress) and event.stage == "fit"):
            pass
        engine.cancel()
        with pytest.raises(Cancelled):
            list(events)
        assert engine.alive  # it answered and did not have to be killed
    assert [path.name for path in tmp_path.iterdir()] == ["noisy.png"]


def test_stop_from_outside_keeps_the_picture(tmp_path, source):
    settings = Settings(**{**OPTIONS, "iterations": 100_000})
    with Engine() as engine:
        for event in engine.run(Job("denoise", source, tmp_path / "b.png", settings=settings)):
            if isinstance(event, Progress) and event.stage == "fit":
                engine.stop()
    assert isinstance(event, Result)
    assert event.stop_reason == "stopped by hand"
    assert (tmp_path / "b.png").exists()
