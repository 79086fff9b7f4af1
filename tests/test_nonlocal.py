"""The non-local estimate, on pictures whose noise is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from skimage import data

from dip_engine import patch_groups
from dip_engine.nonlocal_estimate import nonlocal_estimate


def _picture(name: str, side: int = 96) -> torch.Tensor:
    array = getattr(data, name)()[120 : 120 + side, 180 : 180 + side]
    array = np.asarray(array, dtype=np.float32) / 255
    return torch.from_numpy(array if array.ndim == 3 else array[..., None]).permute(2, 0, 1)


def _with_noise(picture: torch.Tensor, std: float, clip: bool = True) -> torch.Tensor:
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    noisy = picture + std / 255 * noise
    return (noisy.clamp(0, 1) * 255).round() / 255 if clip else noisy


def _estimate(noisy: torch.Tensor, std: float, *, twice: bool = False) -> torch.Tensor:
    steps = nonlocal_estimate(noisy, std / 255, twice=twice)
    fractions = []
    while True:
        try:
            fractions.append(next(steps))
        except StopIteration as end:
            assert fractions == sorted(fractions)
            assert 0 < fractions[0] <= fractions[-1] == pytest.approx(1)
            result = end.value
            assert isinstance(result, torch.Tensor)
            assert result.shape == noisy.shape
            assert result.dtype == torch.float32
            assert bool(result.isfinite().all())
            return result


def _psnr(estimate: torch.Tensor, truth: torch.Tensor) -> float:
    return -10 * math.log10(float((estimate.clamp(0, 1) - truth).square().mean()))


@pytest.mark.parametrize(
    ("name", "std", "gain"),
    [
        ("astronaut", 25, 8.0),
        ("chelsea", 25, 7.5),
        ("coffee", 25, 8.0),
        ("camera", 25, 6.0),
        ("chelsea", 5, 2.5),
        ("coffee", 50, 10.0),
        ("camera", 100, 7.0),
    ],
)
def test_noise_goes_and_picture_stays(name: str, std: float, gain: float) -> None:
    picture = _picture(name)
    noisy = _with_noise(picture, std)
    assert _psnr(_estimate(noisy, std), picture) > _psnr(noisy, picture) + gain


@pytest.mark.parametrize(("name", "std"), [("chelsea", 25), ("camera", 25), ("coffee", 50)])
def test_the_mean_of_two_is_better(name: str, std: float) -> None:
    picture = _picture(name)
    noisy = _with_noise(picture, std)
    once, twice = (_psnr(_estimate(noisy, std, twice=both), picture) for both in (False, True))
    assert twice > once + 0.03


@pytest.mark.parametrize("size", [(1, 1), (3, 28), (29, 31)])
def test_two_of_a_small_picture(size: tuple[int, int]) -> None:
    gray = torch.full((3, *size), 0.5)
    torch.testing.assert_close(_estimate(gray, 10, twice=True), gray, atol=1e-3, rtol=0)


def test_values_outside_of_the_scale() -> None:
    picture = _picture("coffee")
    noisy = _with_noise(picture, 50, clip=False)
    assert _psnr(_estimate(noisy, 50), picture) > _psnr(noisy, picture) + 10


def test_black_stays_black_although_its_noise_was_clipped() -> None:
    picture = torch.zeros(3, 64, 64)
    picture[:, :, 32:] = 0.7
    noisy = _with_noise(picture, 50)
    assert float(noisy[:, :, :24].mean()) > 0.07
    assert float(_estimate(noisy, 50)[:, :, :24].mean()) < 0.02


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 5), (3, 200), (9, 30), (29, 41)])
def test_any_size(channels: int, size: tuple[int, int]) -> None:
    noisy = torch.rand(channels, *size, generator=torch.Generator().manual_seed(5))
    for std in (0.5, 25, 100):
        _estimate(noisy, std)


@pytest.mark.parametrize("level", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize("std", [0.5, 25, 100])
def test_constant_picture_is_kept(level: float, std: float) -> None:
    for channels in (1, 3):
        constant = torch.full((channels, 33, 47), level)
        assert torch.allclose(_estimate(constant, std), constant, atol=0.5 / 255)


def test_no_noise_changes_nothing_and_little_noise_little() -> None:
    picture = _picture("astronaut", 64)
    same = _estimate(picture, 0)
    assert torch.equal(same, picture)
    assert same.data_ptr() != picture.data_ptr()
    assert _psnr(_estimate(picture, 0.5), picture) > 50


def test_blocks_leave_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    noisy = _with_noise(_picture("chelsea"), 25)
    whole = _estimate(noisy, 25)
    monkeypatch.setattr(patch_groups, "BLOCK", 7)
    assert _psnr(_estimate(noisy, 25), whole.clamp(0, 1)) > 70


def test_same_input_gives_same_output_and_is_left_alone() -> None:
    noisy = _with_noise(_picture("coffee", 64), 25)
    before = noisy.clone()
    assert torch.equal(_estimate(noisy, 25), _estimate(noisy, 25))
    assert torch.equal(noisy, before)


def test_one_block_finds_the_nearest_patches() -> None:
    plane = torch.rand(41, 53, generator=torch.Generator().manual_seed(6))
    (block,) = patch_groups.blocks(8, 41, 53, on_gpu=False)
    members = block.match(plane, 5)
    table = block.table(plane[None])[:, 0]
    row, col = 4, 7  # of the grid: the patch at row 16, column 28
    reference = table[row * 4 * block.table_width + col * 4]
    distances = (table - reference).square().sum(1).view(34, 46)
    window = torch.full_like(distances, torch.inf)
    window[0:35, 10:47] = distances[0:35, 10:47]
    nearest = window.flatten().topk(5, largest=False).indices
    columns = -(-(53 - 8) // patch_groups.STEP) + 1
    assert members[row * columns + col].tolist() == nearest.tolist()


def test_work_stops_when_the_caller_stops() -> None:
    steps = nonlocal_estimate(_with_noise(_picture("coffee"), 25), 25 / 255)
    assert 0 < next(steps) < 0.5
    steps.close()
    with pytest.raises(StopIteration):
        next(steps)
