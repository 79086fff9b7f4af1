"""The turns of the classical start: agreement with what was measured, and what they bring."""

import numpy as np
import pytest
import torch
from skimage import data

from dip_engine import blur
from dip_engine.operators import Blur, FreeBlur, Lanczos
from dip_engine.plug_and_play import (
    conjugate_gradients,
    falling,
    linear_agreement,
    plug_and_play,
)
from dip_engine.returning import Returning


def scene(size: int = 48) -> torch.Tensor:
    pixels = data.camera()[100 : 100 + size, 200 : 200 + size]
    return torch.from_numpy(pixels.astype(np.float32) / 255)[None, None]


def test_levels_fall_to_the_last():
    assert falling(0.1, 0.001, 3) == pytest.approx([0.1, 0.01, 0.001])
    assert falling(0.1, 0.2, 2) == pytest.approx([0.2, 0.2])
    assert falling(0.1, 0.01, 0) == []


def test_conjugate_gradients_solve_a_linear_system():
    half = torch.randn(6, 6, generator=torch.Generator().manual_seed(0))
    matrix = half @ half.T + torch.eye(6)
    truth = torch.arange(6.0)
    found = conjugate_gradients(lambda x: matrix @ x, matrix @ truth, torch.zeros(6), 12)
    torch.testing.assert_close(found, truth, rtol=1e-3, atol=1e-3)
    exact = conjugate_gradients(lambda x: x, truth, truth, 5)
    assert torch.equal(exact, truth)


@pytest.mark.parametrize(
    "operator",
    [
        Blur(torch.from_numpy(blur.motion(7, 30)), 40, 48),
        FreeBlur(torch.from_numpy(blur.gaussian(1.0)), 32, 40),
    ],
)
def test_a_blur_is_linear_and_keeps_light_and_place(operator):
    height, width = operator.size
    x, y = torch.rand(2, 1, 1, height, width, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        both = operator(x) + 2 * operator(y)
        torch.testing.assert_close(operator(x + 2 * y), both, rtol=1e-4, atol=1e-5)
        flat = operator(torch.full_like(x, 0.3))
        torch.testing.assert_close(flat, torch.full_like(flat, 0.3), rtol=1e-4, atol=1e-5)


def test_a_blur_is_the_convolution_with_its_kernel():
    from scipy import ndimage

    kernel = blur.motion(5, 60)
    picture = scene()
    expected = ndimage.convolve(picture[0, 0].numpy(), kernel)
    r = kernel.shape[0] // 2
    blurred = Blur(torch.from_numpy(kernel), 48, 48)(picture)[0, 0]
    np.testing.assert_allclose(blurred.numpy(), expected[r:-r, r:-r], atol=1e-5)


def test_agreement_comes_nearer_to_the_measurement_and_stays_near_the_picture():
    truth = scene()
    operator = Lanczos(2)
    small = operator(truth)
    agree = linear_agreement(operator, small, 0.5 / 255, truth)
    guess = torch.full_like(truth, 0.5)
    result = agree(guess, 10 / 255)
    rest = (operator(result) - small).square().mean()
    assert rest < 1e-3 * (operator(guess) - small).square().mean()
    torch.testing.assert_close(agree(truth, 10 / 255), truth, rtol=0, atol=1e-3)


def test_turns_fill_missing_pixels_better_than_their_beginning():
    truth = scene(64)
    known = (torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    begin = known * truth + (1 - known) * truth.mean()

    def agree(picture: torch.Tensor, _level: float) -> torch.Tensor:
        return known * truth + (1 - known) * picture

    turns = Returning(plug_and_play(begin, falling(30 / 255, 5 / 255, 4), agree))
    fractions = list(turns)
    result = agree(turns.value, 0)
    assert fractions == sorted(fractions)
    assert fractions[-1] == pytest.approx(1)
    assert (result - truth).square().mean() < 0.4 * (begin - truth).square().mean()
