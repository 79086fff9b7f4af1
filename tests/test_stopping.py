"""The rules that end a fit, on sequences of numbers."""

import math

import pytest

from dip_engine.stopping import HeldOut, diverged, psnr


def iteration_of_stop(errors, **rule):
    watch = HeldOut(**rule)
    for iteration, error in enumerate(errors, 1):
        watch.better(iteration, error)
        if watch.finished(iteration):
            return iteration, watch.best_iteration
    return None, watch.best_iteration


def test_a_valley_is_left_after_the_patience_and_its_bottom_is_known():
    errors = [abs(i - 100) + 10 for i in range(1, 300)]
    assert iteration_of_stop(errors, patience=40) == (140, 100)


def test_falling_errors_never_stop():
    assert iteration_of_stop([1 / i for i in range(1, 300)], patience=40) == (None, 299)


def test_a_fall_too_small_to_matter_stops_but_counts_as_best():
    errors = [1 - 1e-6 * i for i in range(1, 200)]
    assert iteration_of_stop(errors, patience=50) == (51, 51)


def test_nothing_stops_during_the_warm_up():
    assert iteration_of_stop([1.0] * 200, patience=10, warm_up=120) == (120, 1)


def test_patience_0_never_stops():
    assert iteration_of_stop([1.0] * 200, patience=0) == (None, 1)


def test_errors_that_are_not_finite_are_never_the_best():
    watch = HeldOut(patience=10)
    assert not watch.better(1, math.nan)
    assert watch.better(2, 0.5)
    assert not watch.better(3, math.nan)
    assert watch.best_iteration == 2


@pytest.mark.parametrize(
    ("losses", "verdict"),
    [
        ([], False),
        ([0.1], False),
        ([math.nan], True),
        ([0.1, math.inf], True),
        ([0.1, 0.31], False),  # 4.9 dB
        ([0.1, 0.32], True),  # 5.05 dB
        ([9.0, 0.1, 0.2], False),
    ],
)
def test_a_fall_by_5_db_is_a_divergence(losses, verdict):
    assert diverged(losses) is verdict


def test_psnr_is_in_decibels_of_the_0_to_1_scale():
    assert psnr(0.01) == pytest.approx(20)
    assert psnr(0.0) == 99
    assert psnr(None) is None
    assert psnr(math.nan) is None
