"""What a measured value adds to a guess that did not see it."""

import numpy as np
import pytest

from dip_engine.posterior import posterior_mean

STD = 0.1
SIZE = (96, 96, 3)


def pictures() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return a picture whose right half is texture, noisy, and a guess that misses the texture."""
    random = np.random.default_rng(0)
    truth = np.full(SIZE, 0.5)
    truth[:, 48:] += random.normal(0, 0.15, (96, 48, 3))
    noisy = truth + random.normal(0, STD, SIZE)
    guess = np.full(SIZE, 0.5) + random.normal(0, 0.01, SIZE)
    return tuple(values.astype(np.float32) for values in (truth, noisy, guess))


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.mean((a - b) ** 2))


def test_texture_that_was_missed_comes_back_and_noise_does_not() -> None:
    truth, noisy, guess = pictures()
    mean = posterior_mean(guess, noisy, STD)
    assert mean.shape == SIZE
    assert mean.dtype == np.float32
    texture, flat = np.s_[:, 64:], np.s_[:, :32]
    possible = 1 / (1 / 0.15**2 + 1 / STD**2)  # the error of the best average
    assert error(mean[texture], truth[texture]) == pytest.approx(possible, rel=0.1)
    assert error(mean[flat], truth[flat]) < error(guess[flat], truth[flat]) + 0.01 * STD**2


@pytest.mark.parametrize("told", [0.5, 0.8])
def test_a_noise_level_that_is_too_low_brings_no_noise_back(told: float) -> None:
    truth, noisy, guess = pictures()
    mean = posterior_mean(guess, noisy, told * STD)
    flat = np.s_[:, :32]
    assert error(mean[flat], truth[flat]) < error(guess[flat], truth[flat]) + 0.02 * STD**2


def test_noise_that_was_overestimated_leaves_the_guess() -> None:
    _, noisy, guess = pictures()
    np.testing.assert_array_equal(posterior_mean(guess, noisy, 0.5), guess)
