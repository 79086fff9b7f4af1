"""When to stop a fit, and when it has gone wrong: small rules on plain numbers.

A Deep Image Prior passes through its best picture and then learns the noise. Nobody has the true
picture, but some of the known pixels can be hidden from the loss: while the error on those falls
the fit learns the picture, when it rises the fit learns the noise.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

DIVERGENCE = 10**0.5  # 5 dB, the fall at which the paper's code rolls back


@dataclass(slots=True)
class HeldOut:
    """Follow the held-out error of a fit and say when it has stopped falling.

    Attributes:
        patience: iterations without a better error after which to stop; 0 never stops.
        warm_up: iterations during which nothing stops.
        gain: relative fall of the error that counts as better.
        best: lowest error so far.
        best_iteration: iteration of the lowest error.
    """

    patience: int
    warm_up: int = 0
    gain: float = 1e-3
    best: float = math.inf
    best_iteration: int = 0
    _anchor: float = field(default=math.inf, repr=False)
    _anchor_iteration: int = field(default=0, repr=False)

    def better(self, iteration: int, error: float) -> bool:
        """Note the error of an iteration; return True when it is the lowest so far."""
        if error < self._anchor * (1 - self.gain):
            self._anchor, self._anchor_iteration = error, iteration
        if not error < self.best:
            return False
        self.best, self.best_iteration = error, iteration
        return True

    def finished(self, iteration: int) -> bool:
        """Return True when the error has not fallen by `gain` for `patience` iterations."""
        waited = iteration - self._anchor_iteration
        return bool(self.patience) and iteration >= self.warm_up and waited >= self.patience


def diverged(losses: Sequence[float]) -> bool:
    """Return True when the last loss is not finite or 5 dB above the one before.

    Source: the roll-back rule in the code of Ulyanov et al. 2018.
    """
    if not losses:
        return False
    if not math.isfinite(losses[-1]):
        return True
    return len(losses) > 1 and losses[-1] > DIVERGENCE * losses[-2]


def psnr(mean_squared_error: float | None) -> float | None:
    """Return dB for pixels on the 0–1 scale, at most 99; None for None."""
    if mean_squared_error is None or not math.isfinite(mean_squared_error):
        return None
    return min(99.0, -10 * math.log10(max(mean_squared_error, 1e-12)))
