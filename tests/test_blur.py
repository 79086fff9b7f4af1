"""Kernels: their shape, and what is read from files."""

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from dip_engine import blur
from dip_engine.errors import InputError


def spread(kernel: np.ndarray) -> tuple[float, float, float]:
    """Return variance down and across, and covariance."""
    middle = (kernel.shape[0] - 1) / 2
    down, across = np.indices(kernel.shape) - middle
    return tuple(float((kernel * v).sum()) for v in (down**2, across**2, down * across))


@pytest.mark.parametrize(
    "kernel", [blur.gaussian(0.4), blur.gaussian(3), blur.motion(9, 20), blur.defocus(2.5)]
)
def test_a_kernel_is_odd_centred_and_sums_to_one(kernel):
    assert kernel.dtype == np.float32
    assert kernel.shape[0] == kernel.shape[1]
    assert kernel.shape[0] % 2 == 1
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert kernel.min() >= 0
    middle = (kernel.shape[0] - 1) / 2
    assert ndimage.center_of_mass(kernel) == pytest.approx((middle, middle), abs=1e-3)


def test_a_gaussian_has_its_standard_deviation():
    down, across, mixed = spread(blur.gaussian(2.0))
    assert (down, across) == pytest.approx((4, 4), rel=0.02)
    assert mixed == pytest.approx(0, abs=1e-5)


def test_a_motion_runs_along_its_angle():
    down, across, _ = spread(blur.motion(15, 0))
    assert across == pytest.approx(15**2 / 12, rel=0.05)
    assert down < 0.2
    down, across, mixed = spread(blur.motion(15, 45))
    assert down == pytest.approx(across, rel=0.01)
    assert mixed < -5  # counterclockwise: to the right is up
    assert np.allclose(blur.motion(15, 90), blur.motion(15, 0).T, atol=1e-6)


def test_a_defocused_point_is_an_even_disc():
    kernel = blur.defocus(5)
    assert kernel.shape == (11, 11)
    assert kernel[5, 5] == pytest.approx(1 / (np.pi * 25), rel=0.02)
    assert kernel[0, 0] == 0


def test_a_kernel_is_read_from_a_picture(tmp_path):
    Image.fromarray(np.array([[0, 100, 0, 0], [50, 0, 50, 0]], np.uint8)).save(tmp_path / "k.png")
    kernel = blur.read_kernel(tmp_path / "k.png")
    assert kernel.shape == (5, 5)
    assert sorted(kernel[kernel > 0]) == pytest.approx([0.25, 0.25, 0.5])


def test_what_is_no_kernel_is_refused(tmp_path):
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(tmp_path / "black.png")
    with pytest.raises(InputError, match=r"black\.png is all black"):
        blur.read_kernel(tmp_path / "black.png")
    Image.fromarray(np.full((300, 300), 9, np.uint8)).save(tmp_path / "photo.png")
    with pytest.raises(InputError, match=r"photo\.png is 300×300 pixels, too large"):
        blur.read_kernel(tmp_path / "photo.png")


def test_a_kernel_is_scaled_and_centred():
    small = blur.resized(blur.gaussian(4.0), 15)
    assert small.shape == (15, 15)
    assert spread(small)[0] == pytest.approx((4 * 15 / 29) ** 2, rel=0.1)
    moved = np.zeros((7, 7), np.float32)
    moved[1, 5] = 1
    assert blur.centred(moved)[3, 3] == 1
