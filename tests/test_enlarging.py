"""Super-resolution: what of start and fit the enlargement is made of."""

from __future__ import annotations

import numpy as np
import pytest

from dip_engine import classical
from dip_engine.enlarging import Enlarging
from dip_engine.fit import Fitted
from dip_engine.job import Settings
from dip_engine.work import to_tensor


@pytest.mark.parametrize(
    ("factor", "preset", "share"),
    [(4, "balanced", 1.0), (8, "balanced", 0.75), (8, "fast", 0.75), (8, "paper", 1.0)],
)
def test_beyond_four_times_the_start_has_a_say_in_the_detail(
    factor: int, preset: str, share: float
):
    small = np.random.default_rng(0).random((16, 16, 1), np.float32)
    work = Enlarging(small, Settings(preset=preset, factor=factor))
    start = classical.enlarge(small, factor)
    for _ in range(5):
        start += classical.enlarge(small - work._reduced(start), factor)
    # A checkerboard is what a reduction does not see.
    checks = np.indices(start.shape).sum(0) % 2 * 0.2 - 0.1
    fit = (start + checks).astype(np.float32)

    joined = work.join(work.tiles[0], start, Fitted(to_tensor(fit), 1, None, 1, ""))

    inner = np.s_[2 * factor : -2 * factor, 2 * factor : -2 * factor]
    kept = np.mean((joined - start)[inner] * checks[inner]) / 0.01
    assert kept == pytest.approx(share, abs=0.03)


def test_a_fit_that_explains_nothing_counts_for_nothing():
    small = np.random.default_rng(0).random((16, 16, 1), np.float32)
    work = Enlarging(small, Settings(factor=2))
    start = classical.enlarge(small, 2)

    def joined(fit: np.ndarray) -> np.ndarray:
        return work.join(work.tiles[0], start, Fitted(to_tensor(fit), 1, None, 1, ""))

    flat = np.full_like(start, small.mean())
    assert joined(flat) == pytest.approx(joined(start), abs=1e-3)
