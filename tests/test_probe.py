"""The probe in the noise, against the truth that it does without."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from dip_engine.probe import Probe, not_clipped

STD = 0.1


def _noisy(side: int = 192) -> tuple[np.ndarray, np.ndarray, Probe]:
    """Return a smooth picture, and it with noise and a probe, and the probe."""
    random = np.random.default_rng(3)
    truth = ndimage.gaussian_filter(random.random((side, side, 3)), (6, 6, 0))
    truth = 0.3 + 0.4 * (truth - truth.min()) / np.ptp(truth)
    probe = Probe.make(truth, STD, 0, side * side)
    noisy = truth + random.normal(0, STD, truth.shape) + probe.pattern
    return truth.astype(np.float32), noisy.astype(np.float32), probe


def _smooth(pixels: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(pixels, (sigma, sigma, 0))


def _best(truth: np.ndarray, start: np.ndarray, fit: np.ndarray) -> float:
    change = fit - start
    return float(np.clip(((truth - start) * change).sum() / (change**2).sum(), 0, 1))


def _weigh(probe: Probe, noisy: np.ndarray, *estimates: np.ndarray, usual: float = 0.25) -> float:
    return probe.weigh(noisy, *estimates, usual=usual)


def test_the_probe_is_weak_and_weaker_in_a_large_tile() -> None:
    gray = np.full((64, 64, 1), 0.5)
    small, large = (Probe.make(gray, STD, 0, side * side).pattern for side in (64, 1024))
    assert np.abs(small).max() == pytest.approx(0.1 * STD)
    assert np.abs(large).max() == pytest.approx(0.05 * STD)
    assert abs(small.mean()) < 0.05 * STD
    assert not np.array_equal(small, Probe.make(gray, STD, 1, 64 * 64).pattern)


@pytest.mark.parametrize(("start", "fit"), [(0.7, 1.5), (1.5, 0.7), (1.0, 2.0), (0.8, 1.2)])
def test_the_weight_is_near_to_the_best(start: float, fit: float) -> None:
    truth, noisy, probe = _noisy()
    first, second = _smooth(noisy, start), _smooth(noisy, fit)
    found = _weigh(probe, noisy, first, second)
    assert found == pytest.approx(_best(truth, first, second), abs=0.15)


def test_a_fit_that_learned_the_noise_counts_for_nothing() -> None:
    _truth, noisy, probe = _noisy()
    start = _smooth(noisy, 3.0)
    assert _weigh(probe, noisy, start, noisy) < 0.05
    assert _weigh(probe, noisy, noisy, start) > 0.9


def test_a_fit_that_is_blurred_counts_for_nothing() -> None:
    _truth, noisy, probe = _noisy()
    assert _weigh(probe, noisy, _smooth(noisy, 3.0), _smooth(noisy, 30.0)) < 0.05


def test_what_cannot_be_measured_is_as_usual() -> None:
    _truth, noisy, probe = _noisy(32)
    assert _weigh(probe, noisy, noisy, noisy, usual=0.3) == 0.3
    nowhere = np.zeros(noisy.shape, bool)
    assert probe.weigh(noisy, noisy, _smooth(noisy, 1), usual=0.3, trusted=nowhere) == 0.3


def test_the_fewer_pixels_the_nearer_to_the_usual_weight() -> None:
    changes = []
    for side in (8, 32, 128):
        _truth, noisy, probe = _noisy(side)
        first, second = _smooth(noisy, 0.8), _smooth(noisy, 1.2)
        weights = [_weigh(probe, noisy, first, second, usual=usual) for usual in (0.3, 0.7)]
        changes.append(weights[1] - weights[0])
    assert changes[0] > 0.1
    assert 0 < changes[2] < 0.05


def test_black_borders_do_not_change_the_measure() -> None:
    truth, noisy, probe = _noisy()
    framed = np.zeros((384, 192, 3), np.float32)
    framed[:192] = noisy - probe.pattern
    probe = Probe.make(framed, STD, 0, framed.size // 3)
    noisy = framed + probe.pattern
    first, second = _smooth(noisy, 0.8), _smooth(noisy, 2.0)
    whole = np.concatenate([truth, np.zeros_like(truth)])
    found = _weigh(probe, noisy, first, second)
    assert found == pytest.approx(_best(whole, first, second), abs=0.15)


@pytest.mark.parametrize(("start", "fit"), [(0.001, 0.1), (0.1, 0.001), (0.01, 0.05)])
def test_weighed_behind_a_blur(start: float, fit: float) -> None:
    truth, _noisy_picture, probe = _noisy()

    def blurred(pixels: np.ndarray) -> np.ndarray:
        return ndimage.gaussian_filter(pixels, (1.0, 1.0, 0), mode="wrap")

    def sharpened(pixels: np.ndarray, trust: float = 0.01) -> np.ndarray:
        left = np.fft.fft2(blurred(_point(pixels.shape)), axes=(0, 1)).real
        spectrum = np.fft.fft2(pixels, axes=(0, 1)) * left / (left**2 + trust)
        return np.fft.ifft2(spectrum, axes=(0, 1)).real

    noise = np.random.default_rng(1).normal(0, STD, truth.shape)
    measured = blurred(truth) + noise + probe.pattern
    first, second = (sharpened(measured, trust) for trust in (start, fit))
    seen = [sharpened(blurred(pixels)) for pixels in (truth, first, second)]
    found = probe.weigh(sharpened(measured), *seen[1:], usual=0.25, through=sharpened)
    assert found == pytest.approx(_best(*seen), abs=0.15)


def _point(shape: tuple[int, ...]) -> np.ndarray:
    point = np.zeros(shape)
    point[0, 0] = 1
    return point


def test_clipped_noise_does_not_count() -> None:
    estimate = np.array([0.0, 0.1, 0.5, 0.95])[:, None, None]
    inside, outside = (np.linspace(*ends, 4)[:, None, None] for ends in ((0, 1), (-0.1, 1)))
    assert not_clipped(inside, estimate, STD).ravel().tolist() == [False, False, True, False]
    assert not_clipped(outside, estimate, STD).all()  # values below 0: nothing was cut off
    assert not not_clipped(inside, np.zeros_like(estimate), STD).any()


def test_clipped_values_stay_as_they_are() -> None:
    pixels = np.array([0.0, 0.3, 1.0, 1.1])[:, None, None]
    probe = Probe.make(pixels, STD, 0, 4)
    assert (probe.pattern.ravel() != 0).tolist() == [False, True, False, True]


def test_each_picture_has_its_own_and_always_the_same() -> None:
    random = np.random.default_rng(0)
    one, other = random.random((2, 32, 32, 3))
    first, again, second = (
        Probe.make(pixels, STD, 0, 1024).pattern for pixels in (one, one, other)
    )
    assert np.array_equal(first, again)
    assert abs(np.mean(np.sign(first) * np.sign(second))) < 0.1
