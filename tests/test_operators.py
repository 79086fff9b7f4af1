"""The measurement operators, against what they should do and against each other."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import fft

from dip_engine.operators import Lanczos, block_dct, inverse_block_dct


def picture(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_lanczos_reduces_by_the_factor_and_keeps_a_constant(factor):
    small = Lanczos(factor)(torch.full((1, 3, 6 * factor, 5 * factor), 0.3))
    assert small.shape == (1, 3, 6, 5)
    assert torch.allclose(small, torch.tensor(0.3), atol=1e-6)


@pytest.mark.parametrize("factor", [2, 3, 4, 8])
def test_lanczos_does_not_shift(factor):
    ramp = torch.arange(40.0 * factor).expand(1, 1, 8 * factor, -1)
    inner = Lanczos(factor)(ramp)[0, 0, 4, 5:-5]
    centres = torch.arange(5.0, 35.0) * factor + (factor - 1) / 2
    assert torch.allclose(inner, centres, atol=1e-3)


def test_lanczos_is_close_to_pillows_reduction():
    x = torch.nn.functional.interpolate(picture(1, 1, 16, 16), size=64, mode="bicubic")
    small = Lanczos(4, lobes=3)(x)[0, 0].numpy()
    reference = Image.fromarray(x[0, 0].numpy()).resize((16, 16), Image.Resampling.LANCZOS)
    assert np.abs(small - np.asarray(reference))[3:-3, 3:-3].max() < 2e-3


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_the_gradient_of_lanczos_is_its_adjoint(factor):
    operator = Lanczos(factor)
    x = picture(1, 2, 6 * factor, 4 * factor).requires_grad_()
    y = picture(1, 2, 6, 4)
    (operator(x) * y).sum().backward()
    other = picture(1, 2, 6 * factor, 4 * factor).flip(3)
    assert (operator(other) * y).sum().item() == pytest.approx((other * x.grad).sum().item(), 1e-4)


def test_block_dct_is_scipys_and_inverts():
    plane = picture(16, 24)
    coefficients = block_dct(plane)
    block = fft.dctn(plane[8:16, 16:24].numpy(), norm="ortho")
    assert np.allclose(coefficients[8:16, 16:24].numpy(), block, atol=1e-5)
    assert torch.allclose(inverse_block_dct(coefficients), plane, atol=1e-6)
