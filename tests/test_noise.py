"""Noise level, kind of noise, and the bias of clipping, on pictures whose noise is known."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from dip_engine.denoising import usual_level
from dip_engine.noise import Noise, estimate_noise, undo_clipping


def _picture(name: str) -> torch.Tensor:
    array = np.asarray(getattr(data, name)()[100:292, 100:292], dtype=np.float32) / 255
    return torch.from_numpy(array if array.ndim == 3 else array[..., None]).permute(2, 0, 1)


def _with_noise(picture: torch.Tensor, std: float, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    noisy = picture + std / 255 * torch.randn(picture.shape, generator=generator)
    return (noisy.clamp(0, 1) * 255).round() / 255


@pytest.mark.parametrize("name", ["astronaut", "camera", "chelsea", "coffee"])
@pytest.mark.parametrize("std", [5, 10, 25, 50])
def test_level_of_clipped_white_noise(name: str, std: float) -> None:
    noise = estimate_noise(_with_noise(_picture(name), std))
    assert noise.kind == "white"
    assert noise.std * 255 == pytest.approx(std, rel=0.05, abs=1.2)


@pytest.mark.parametrize("name", ["astronaut", "camera", "coffee"])
def test_clean_picture_reads_little(name: str) -> None:
    assert estimate_noise(_picture(name)).std < 2 / 255


def test_strong_noise_and_noise_outside_of_the_scale() -> None:
    picture = _picture("chelsea")
    assert estimate_noise(_with_noise(picture, 100)).std * 255 == pytest.approx(100, rel=0.12)
    noise = 0.3 * torch.randn(picture.shape, generator=torch.Generator().manual_seed(1))
    assert estimate_noise(picture + noise).std == pytest.approx(0.3, rel=0.04)


def test_saturated_areas_are_not_taken_for_quiet_ones() -> None:
    picture = torch.full((3, 128, 128), 0.5)
    picture[:, :50] = 1.5
    picture[:, 90:] = -0.5
    assert estimate_noise(_with_noise(picture, 20)).std * 255 == pytest.approx(20, rel=0.06)


def test_smoothed_noise_is_correlated() -> None:
    for name in ("astronaut", "camera", "chelsea", "coffee"):
        picture = _picture(name)
        noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(3))
        smooth = torch.nn.functional.avg_pool2d(noise, 3, 1, 1)
        for std in (10, 25):
            noisy = (picture + smooth * std / 255 / smooth.std()).clamp(0, 1)
            found = estimate_noise(noisy)
            assert found.kind == "correlated"
            assert found.std * 255 == pytest.approx(std, rel=0.3)


def test_noise_through_jpeg_is_correlated() -> None:
    pixels = (_with_noise(_picture("chelsea"), 10).permute(1, 2, 0) * 255).byte().numpy()
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=50)
    jpeg = torch.from_numpy(np.array(Image.open(stream), dtype=np.float32) / 255).permute(2, 0, 1)
    assert estimate_noise(jpeg).kind == "correlated"


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (1, 40), (5, 3), (3, 200), (17, 16)])
def test_tiny_and_constant_pictures(size: tuple[int, int]) -> None:
    for channels in (1, 3):
        assert estimate_noise(torch.full((channels, *size), 0.3)).std < 1e-6
        noisy = torch.rand(channels, *size, generator=torch.Generator().manual_seed(2))
        assert 0 <= estimate_noise(noisy).std <= 2


def test_estimate_leaves_its_input_alone_and_repeats_itself() -> None:
    noisy = _with_noise(_picture("coffee"), 15)
    before = noisy.clone()
    first = estimate_noise(noisy)
    assert first == estimate_noise(noisy)
    assert isinstance(first, Noise)
    assert torch.equal(noisy, before)


def test_clipping_bias_is_undone_where_noise_was_clipped() -> None:
    std = 50
    for level in (0.0, 0.05, 0.5, 0.9, 1.0):
        noisy = _with_noise(torch.full((1, 200, 200), level), std)
        mean = noisy.mean().expand(1, 200, 200)
        assert float(undo_clipping(mean, noisy, std / 255).mean()) == pytest.approx(level, abs=0.01)


def test_clipping_is_not_undone_where_there_was_none() -> None:
    dark = torch.full((1, 64, 64), 0.02)
    assert torch.equal(undo_clipping(dark, dark, 0.1), dark)
    noise = 0.1 * torch.randn(1, 64, 64, generator=torch.Generator().manual_seed(4))
    assert torch.equal(undo_clipping(dark, dark + noise, 0.1), dark)


def test_a_weak_level_of_flat_blocks_is_doubled_and_a_strong_one_believed() -> None:
    levels = [usual_level(level / 255) * 255 for level in (0.0, 1.0, 4.0, 9.0)]
    assert levels == pytest.approx([0, 2, 6, 9])
