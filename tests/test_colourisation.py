"""Colours from strokes: the luminance stays, the colours spread, bad input is told."""

import subprocess
import sys
import threading
import time
from contextlib import closing

import numpy as np
import pytest
from PIL import Image
from skimage import data

from dip_engine import InputError, Job, Settings, restore, restore_events
from dip_engine.background import in_background
from dip_engine.colours import chroma, colour, luminance
from dip_engine.events import Result
from dip_engine.propagation import propagate
from dip_engine.returning import Returning

SIZE = 72


def scene() -> np.ndarray:
    return data.astronaut()[30 : 30 + SIZE, 170 : 170 + SIZE]


def gray(pixels: np.ndarray) -> np.ndarray:
    return np.rint(luminance(pixels.astype(np.float32))).astype(np.uint8)


def strokes() -> np.ndarray:
    there = np.zeros((SIZE, SIZE), bool)
    random = np.random.default_rng(0)
    for y, x in random.integers(0, SIZE - 6, (40, 2)):
        there[y : y + 2, x : x + 6] = True
    return there


def save(path, pixels):
    Image.fromarray(pixels).save(path)
    return path


def load(path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.mode.startswith("RGB")
        return np.asarray(image)[..., :3]


def settings(**options) -> Settings:
    return Settings(**{"preset": "fast", "iterations": 15, "threads": 1, **options})


def error_of_chroma(pixels: np.ndarray) -> float:
    difference = chroma(pixels / np.float32(255)) - chroma(scene() / np.float32(255))
    return float(np.mean(difference**2))


def test_colour_keeps_the_luminance_and_stays_in_range():
    random = np.random.default_rng(0)
    pixels = random.random((20, 20, 3)).astype(np.float32)
    again = colour(luminance(pixels), chroma(pixels))
    np.testing.assert_allclose(again, pixels, atol=1e-5)
    wild = colour(luminance(pixels), 3 * chroma(pixels))
    np.testing.assert_allclose(luminance(wild), luminance(pixels), atol=1e-5)
    assert wild.min() >= -1e-5
    assert wild.max() <= 1 + 1e-5


def test_propagation_fills_regions_up_to_their_edges():
    picture = np.where(np.arange(20) < 10, 0.2, 0.8)[None].repeat(12, axis=0)
    known = np.zeros((12, 20), bool)
    known[5, 2] = known[5, 17] = True
    colours = np.zeros((12, 20, 2), np.float32)
    colours[5, 2], colours[5, 17] = (0.3, -0.1), (-0.2, 0.2)
    found = propagate(picture, colours, known)
    np.testing.assert_allclose(found[:, :9], np.broadcast_to((0.3, -0.1), (12, 9, 2)), atol=0.02)
    np.testing.assert_allclose(found[:, 11:], np.broadcast_to((-0.2, 0.2), (12, 9, 2)), atol=0.02)


def test_a_propagated_colour_is_the_mean_of_its_neighbours_as_far_as_they_look_alike():
    picture = gray(scene()) / 255
    found = propagate(picture, chroma(scene() / np.float32(255)), strokes())
    flat = propagate(np.full_like(picture, 0.5), chroma(scene() / np.float32(255)), strokes())
    around = [np.roll(flat, move, axis=(0, 1)) for move in np.ndindex(3, 3) if move != (1, 1)]
    middle = np.roll(np.mean(around, axis=0), (-1, -1), axis=(0, 1))
    free = ~strokes()[1:-1, 1:-1]
    np.testing.assert_allclose(flat[1:-1, 1:-1][free], middle[1:-1, 1:-1][free], atol=1e-6)
    assert np.abs(found - chroma(scene() / np.float32(255))).mean() < 0.05


@pytest.mark.parametrize("fit_only", [True, False])
def test_cancelling_does_not_wait_for_the_propagation(tmp_path, monkeypatch, fit_only):
    begun, release = threading.Event(), threading.Event()

    def endless(*_):
        begun.set()
        release.wait(30)
        raise MemoryError

    monkeypatch.setattr("dip_engine.colourisation.propagate", endless)
    job = Job(
        "colourise",
        save(tmp_path / "gray.png", gray(scene())),
        tmp_path / "out.png",
        guide=save(tmp_path / "hints.png", np.dstack([scene(), 255 * strokes().astype(np.uint8)])),
        settings=settings(fit_only=fit_only),
    )
    try:
        with closing(restore_events(job)) as events:
            while not begun.is_set():
                assert not isinstance(next(events), Result)
            begin = time.monotonic()
        assert time.monotonic() - begin < 2
    finally:
        release.set()


def test_calls_that_were_given_up_do_not_pile_up():
    begun, release = threading.Event(), threading.Event()

    def endless():
        begun.set()
        release.wait(30)

    try:
        with closing(in_background(endless)) as call:
            next(call)
            assert begun.wait(10)
        second = Returning(in_background(release.is_set))
        waiting = iter(second)
        assert [next(waiting) for _ in range(3)] == [0.0] * 3
    finally:
        release.set()
    list(waiting)
    assert second.value  # it was made when the first had ended


def test_a_process_does_not_end_in_the_middle_of_a_call():
    code = (
        "import time; from dip_engine.background import in_background\n"
        "def call(): time.sleep(0.5); print('ended')\n"
        "steps = in_background(call); next(steps); steps.close()"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("ended\n", "")


def test_an_answer_is_found_whenever_it_comes(monkeypatch):
    monkeypatch.setattr("dip_engine.background.PAUSE", 0.0)
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that it also comes between two steps of the wait
    try:
        for _ in range(200):
            list(call := Returning(in_background(lambda: time.sleep(0))))
            assert call.value is None
    finally:
        sys.setswitchinterval(usual)


def test_what_fails_in_the_background_is_raised():
    def fail():
        raise TimeoutError("of its own")

    assert not list(call := Returning(in_background(lambda: 7)))
    assert call.value == 7
    with pytest.raises(TimeoutError, match="of its own"):
        list(in_background(fail))


@pytest.mark.parametrize("as_layer", [True, False])
def test_strokes_colour_the_picture_and_gray_stays_gray(tmp_path, as_layer):
    there = strokes()
    if as_layer:
        hints = np.dstack([scene(), np.where(there, 255, 0).astype(np.uint8)])
    else:
        hints = np.where(there[..., None], scene(), gray(scene())[..., None])
    job = Job(
        "colourise",
        save(tmp_path / "gray.png", gray(scene())),
        tmp_path / "out.png",
        guide=save(tmp_path / "hints.png", hints),
        settings=settings(),
    )
    restore(job)
    result = load(tmp_path / "out.png")
    assert np.abs(gray(result).astype(int) - gray(scene())).max() <= 1
    nothing = np.repeat(gray(scene())[..., None], 3, axis=2)
    assert error_of_chroma(result) < 0.4 * error_of_chroma(nothing)


def test_what_is_not_selected_stays_gray(tmp_path):
    mask = np.zeros((SIZE, SIZE), np.uint8)
    mask[:, :30] = 255
    job = Job(
        "colourise",
        save(tmp_path / "gray.png", gray(scene())),
        tmp_path / "out.png",
        mask=save(tmp_path / "mask.png", mask),
        guide=save(tmp_path / "hints.png", np.dstack([scene(), 255 * strokes().astype(np.uint8)])),
        settings=settings(iterations=2),
    )
    restore(job)
    result = load(tmp_path / "out.png")
    assert (result[:, 30:] == gray(scene())[:, 30:, None]).all()
    assert np.ptp(result[:, :30].astype(int), axis=2).max() > 20


def test_without_strokes_it_says_what_cannot_be_known(tmp_path):
    picture = save(tmp_path / "gray.png", gray(scene()))
    with pytest.raises(InputError, match=r"gray\.png does not tell its colours.*strokes"):
        Job("colourise", picture, tmp_path / "out.png")
    job = Job("colourise", picture, tmp_path / "out.png", guide=picture)
    with pytest.raises(InputError, match="no strokes of colour"):
        restore(job)


def test_a_guide_of_another_size_is_refused(tmp_path):
    job = Job(
        "colourise",
        save(tmp_path / "gray.png", gray(scene())),
        tmp_path / "out.png",
        guide=save(tmp_path / "hints.png", scene()[:50]),
    )
    with pytest.raises(InputError, match=r"hints\.png is 72×50 pixels, but the picture is 72×72"):
        restore(job)


def test_a_large_picture_is_coloured_at_a_smaller_size(tmp_path, monkeypatch):
    monkeypatch.setattr("dip_engine.colourisation.LONGEST", 40)
    job = Job(
        "colourise",
        save(tmp_path / "gray.png", gray(scene())),
        tmp_path / "out.png",
        guide=save(tmp_path / "hints.png", np.dstack([scene(), 255 * strokes().astype(np.uint8)])),
        settings=settings(iterations=2),
    )
    restore(job)
    result = load(tmp_path / "out.png")
    assert np.abs(gray(result).astype(int) - gray(scene())).max() <= 1
    assert np.ptp(result.astype(int), axis=2).max() > 20
