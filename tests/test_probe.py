"""The probe in the noise, against the truth that it does without."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from dip_engine.probe import make_probe, weigh

STD = 0.1


def _noisy(side: int = 192) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a smooth picture, and it with noise and a probe, and the probe."""
    random = np.random.default_rng(3)
    truth = ndimage.gaussian_filter(random.random((side, side, 3)), (6, 6, 0))
    truth = 0.3 + 0.4 * (truth - truth.min()) / np.ptp(truth)
    probe = make_probe(truth.shape, STD, 0)
    noisy = truth + random.normal(0, STD, truth.shape) + probe
    return truth.astype(np.float32), noisy.astype(np.float32), probe


def _smooth(pixels: np.ndarray, sigma: float) -> np.ndarray:
    return ndimage.gaussian_filter(pixels, (sigma, sigma, 0))


def _best(truth: np.ndarray, start: np.ndarray, fit: np.ndarray) -> float:
    change = fit - start
    return float(np.clip(((truth - start) * change).sum() / (change**2).sum(), 0, 1))


def test_the_probe_is_weak_and_weaker_in_a_large_picture() -> None:
    small, large = (make_probe((side, side, 1), STD, 0) for side in (64, 1024))
    assert np.abs(small).max() == pytest.approx(0.1 * STD)
    assert np.abs(large).max() == pytest.approx(0.05 * STD)
    assert abs(small.mean()) < 0.05 * STD
    assert not np.array_equal(small, make_probe((64, 64, 1), STD, 1))


@pytest.mark.parametrize(("start", "fit"), [(0.7, 1.5), (1.5, 0.7), (1.0, 2.0), (0.8, 1.2)])
def test_the_weight_is_near_to_the_best(start: float, fit: float) -> None:
    truth, noisy, probe = _noisy()
    first, second = _smooth(noisy, start), _smooth(noisy, fit)
    found = weigh(noisy, probe, STD, first, second)
    assert found == pytest.approx(_best(truth, first, second), abs=0.15)


def test_a_fit_that_learned_the_noise_counts_for_nothing() -> None:
    _truth, noisy, probe = _noisy()
    start = _smooth(noisy, 3.0)
    assert weigh(noisy, probe, STD, start, noisy) < 0.05
    assert weigh(noisy, probe, STD, noisy, start) > 0.9


def test_a_fit_that_is_blurred_counts_for_nothing() -> None:
    _truth, noisy, probe = _noisy()
    assert weigh(noisy, probe, STD, _smooth(noisy, 3.0), _smooth(noisy, 30.0)) < 0.05


def test_the_same_picture_twice_changes_nothing() -> None:
    _truth, noisy, probe = _noisy(32)
    assert weigh(noisy, probe, STD, noisy, noisy) == 0


def test_all_pixels_count_where_all_are_at_the_ends() -> None:
    _truth, noisy, probe = _noisy()
    dark = noisy - noisy.mean()
    weight = weigh(dark, probe, STD, dark, _smooth(dark, 2.0))
    assert weight > 0.9
