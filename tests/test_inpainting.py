"""What a hole is filled from: never from colours that nobody sees."""

from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from dip_engine import Job, MaskError, Settings, classical, restore
from dip_engine.inpainting import Inpainting

FAST = {"iterations": 5, "threads": 1, "device": "cpu", "dtype": "float32", "deterministic": True}
SIZE = 60, 70


def picture() -> np.ndarray:
    ramp = np.linspace(0.3, 0.7, 70)[None, :, None] + np.zeros((60, 1, 3))
    return (ramp + np.random.default_rng(0).normal(0, 0.02, ramp.shape)).astype(np.float32)


def hole() -> np.ndarray:
    mask = np.zeros(SIZE, np.float32)
    mask[20:32, 24:36] = 1
    return mask


def hidden() -> np.ndarray:
    """The lower part, and a bay that touches the hole."""
    place = np.zeros(SIZE, bool)
    place[45:], place[25:45, 30:34] = True, True
    return place & (hole() == 0)


def garbage(value: float) -> np.ndarray:
    return np.where(hidden()[:, :, None], np.float32(value), picture())


def fill(folder: Path, pixels: np.ndarray, **options) -> np.ndarray:
    alpha = np.where(hidden(), 0, 0.5).astype(np.float32)
    rgba = np.dstack([pixels, alpha])
    np.save(folder / "in.npy", rgba)
    np.save(folder / "mask.npy", hole())
    settings = Settings(**{**FAST, **options})
    task = "inpaint", folder / "in.npy", folder / "out.npy", folder / "mask.npy"
    restore(Job(*task, settings=settings))
    filled = np.load(folder / "out.npy")
    assert np.array_equal(filled[hole() == 0], rgba[hole() == 0])
    assert np.array_equal(filled[..., 3], alpha)
    return filled


def value_of(generator: Generator[float, None, np.ndarray]) -> np.ndarray:
    while True:
        try:
            next(generator)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("preset", ["balanced", "paper"])
def test_colours_that_nobody_sees_change_nothing(tmp_path, preset):
    black = fill(tmp_path, garbage(0), preset=preset)
    white = fill(tmp_path, garbage(1), preset=preset)
    assert np.array_equal(black[hole() > 0], white[hole() > 0])


def test_the_start_of_a_hole_is_what_can_be_seen_around_it():
    work = Inpainting(garbage(0), hole(), Settings(), hidden())
    (tile,) = work.tiles
    start = value_of(work.start(tile, torch.device("cpu")))[hole() > 0]
    assert start.min() > 0.3
    assert start.max() < 0.7


@pytest.mark.parametrize("side", [1, 12])
@pytest.mark.parametrize("seed", range(12))
def test_what_is_hidden_is_neither_known_nor_held_out(side, seed):
    mask = np.zeros(SIZE, np.float32)
    mask[20 : 20 + side, 24 : 24 + side] = 1
    place = hidden() & (mask == 0)
    work = Inpainting(garbage(0), mask, Settings(seed=seed), place)
    (tile,) = work.tiles
    problem = work.problem(tile, work.pixels, torch.device("cpu"))
    known = problem.known[0, 0].numpy()
    assert np.array_equal(known, ~place & (mask == 0))
    held = work.held(tile, problem, seed)
    assert held is not None
    assert held.sum() > 0
    assert not held[0, 0].numpy()[place].any()


def test_hidden_pixels_are_no_hole_and_no_help():
    below = np.zeros(SIZE, bool)
    below[20:] = True
    assert Inpainting(picture(), hole(), Settings()).hole == 6
    assert Inpainting(picture(), hole(), Settings(), below & (hole() == 0)).hole == 12


def test_blank_paper_is_no_failed_fit(tmp_path):
    pixels = np.full((*SIZE, 3), 0.4, np.float32)
    pixels[hidden()] = np.random.default_rng(0).random((int(hidden().sum()), 3))
    filled = fill(tmp_path, pixels, iterations=1)
    assert np.abs(filled[hole() > 0, :3] - 0.4).max() < 0.02


def test_a_picture_of_which_nothing_is_left_is_refused(tmp_path):
    rgba = np.dstack([picture(), np.zeros(SIZE, np.float32)])
    rgba[20:32, 24:36, 3] = 1
    np.save(tmp_path / "in.npy", rgba)
    np.save(tmp_path / "mask.npy", hole())
    job = Job("inpaint", tmp_path / "in.npy", tmp_path / "out.npy", tmp_path / "mask.npy")
    with pytest.raises(MaskError, match=r"in\.npy: there is nothing") as caught:
        restore(job)
    assert "transparent" in caught.value.hint
    assert not (tmp_path / "out.npy").exists()


def scattered(pixels: np.ndarray) -> Inpainting:
    mask = np.less(np.random.default_rng(2).random(pixels.shape[:2]), 0.5)
    return Inpainting(pixels, mask.astype(np.float32), Settings(preset="fast"))


def test_the_start_knows_what_the_fit_is_weighed_on_and_the_guess_does_not():
    work = scattered(picture())
    (tile,) = work.tiles
    start = value_of(work.start(tile, torch.device("cpu")))
    held, pixels = work.held_pixels(tile), tile.cut(work.pixels)
    assert held.sum() > 10
    np.testing.assert_allclose(start[held], pixels[held], atol=1e-6)
    errors = np.abs(work._guesses[tile] - pixels)[held]
    assert 0.001 < errors.mean() < 0.05


def test_what_is_filled_where_much_is_alike_does_not_depend_on_what_was_hidden_by_chance():
    wave = 0.5 + 0.3 * np.sin(np.arange(96) * 0.7)
    pixels = (wave[:, None, None] * np.ones((1, 96, 1))).astype(np.float32)
    mask = np.kron(np.eye(8, dtype=np.float32)[::-1], np.ones((12, 3), np.float32))
    mask = np.pad(mask, ((0, 0), (40, 32)))
    works = [Inpainting(pixels, mask, Settings(preset="fast", seed=seed)) for seed in (0, 1)]
    one, other = (value_of(work.start(work.tiles[0], torch.device("cpu"))) for work in works)
    hidden = [work.held_pixels(work.tiles[0]) for work in works]
    assert (hidden[0] != hidden[1]).sum() > 50
    np.testing.assert_allclose(one, other, atol=1e-3)


def test_in_a_deep_hole_the_fit_counts_alone_and_is_measured(tmp_path):
    pixels = np.tile(picture(), (2, 2, 1))
    mask = np.zeros(pixels.shape[:2], np.float32)
    mask[40:80, 50:90] = 1
    works = [Inpainting(pixels, mask, Settings(preset="fast", seed=seed)) for seed in (0, 1)]
    one, other = (value_of(work.start(work.tiles[0], torch.device("cpu"))) for work in works)
    np.testing.assert_array_equal(one, other)
    (tile,) = works[0].tiles
    fit = tile.cut(pixels) + np.float32(0.1)
    np.testing.assert_allclose(works[0]._joined(tile, one, fit), fit, atol=1e-6)
    np.save(tmp_path / "in.npy", pixels)
    np.save(tmp_path / "mask.npy", mask)
    task = "inpaint", tmp_path / "in.npy", tmp_path / "out.npy", tmp_path / "mask.npy"
    result = restore(Job(*task, settings=Settings(preset="fast", **FAST)))
    assert result.psnr is not None
    filled = np.load(tmp_path / "out.npy")
    assert np.array_equal(filled[mask == 0], pixels[mask == 0])
    assert not np.array_equal(filled[mask > 0], pixels[mask > 0])


def test_the_start_tells_how_far_it_is_and_never_falls_back():
    work = scattered(picture())
    told = list(work.start(work.tiles[0], torch.device("cpu")))
    assert told == sorted(told)
    assert told[0] == 0
    assert 0.9 < told[-1] <= 1
    assert max(np.diff(told)) < 0.5


def test_only_a_start_that_takes_turns_is_a_large_part_of_the_time():
    turning, alone = (Inpainting(picture(), hole(), Settings(fit_only=f)) for f in (False, True))
    wide = np.zeros((160, 160), np.float32)
    wide[30:130, 30:130] = 1
    large = Inpainting(np.full((160, 160, 3), 0.5, np.float32), wide, Settings())
    assert alone.start_share == large.start_share < 0.1 < turning.start_share


def test_where_nothing_is_alike_the_smooth_fill_counts():
    noise = ndimage.gaussian_filter(np.random.default_rng(5).normal(size=(96, 96)), 1.3)
    pixels = (0.5 + 0.12 * noise / noise.std()).clip(0, 1)[:, :, None].astype(np.float32)
    work = scattered(pixels)
    (tile,) = work.tiles
    smooth = classical.fill(pixels, work.missing)
    start = value_of(work.start(tile, torch.device("cpu")))
    errors = [np.mean((tile.cut(x) - tile.cut(pixels)) ** 2) for x in (smooth, start)]
    assert errors[1] < 1.1 * errors[0]


def test_a_fit_that_adds_nothing_to_its_start_ends_early(tmp_path: Path) -> None:
    np.save(tmp_path / "in.npy", picture())
    holes = np.random.default_rng(1).random(SIZE) < 0.3  # flat, with noise: nothing is to be found
    np.save(tmp_path / "mask.npy", holes.astype(np.float32))
    task = "inpaint", tmp_path / "in.npy", tmp_path / "out.npy", tmp_path / "mask.npy"
    plain = {"threads": 1, "device": "cpu"}
    result = restore(Job(*task, settings=Settings(preset="balanced", **plain)))
    assert result.stop_reason == "held-out error stopped falling"
    assert result.iterations < 500
