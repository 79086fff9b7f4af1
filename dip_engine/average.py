"""The picture that is shown: an average over the iterations."""

from __future__ import annotations

import torch
from torch import Tensor

from dip_engine.problem import Problem
from dip_engine.views import WHOLE, Window

SPREAD_DECAY = 0.99
UNSEEN = 1e-6  # weight of the start in the average: it counts only until there is an answer


class Average:
    """Exponential average of outputs, each value weighted by how often its answer counted.

    The memory grows with the fit, so that the poor first outputs are soon forgotten.

    Source: Ulyanov et al. 2018 (decay 0.99); for answers that count in part, Self2Self (Quan et
    al. 2020).

    Args:
        problem: its start is shown until the network has answered.
        decay: of the average, once the fit is long enough; 0 shows the last output.
        with_spread: keep what `spread` needs.
    """

    def __init__(self, problem: Problem, decay: float, *, with_spread: bool = False) -> None:
        shape = (1, problem.channels, problem.height, problem.width)
        start = problem.observed.new_zeros(shape) if problem.start is None else problem.start
        self.total = UNSEEN * start
        self.weight = torch.full_like(start, UNSEEN)
        self.moments = None
        if with_spread:  # sums of weights, outputs and their squares, for `spread`
            self.moments = torch.zeros(3, *shape, device=start.device)
        self.decay = decay
        self.seen = 0.0

    def add(self, output: Tensor, window: Window, counts: Tensor | None) -> None:
        """Mix in an output, 1×C×h×w, of a window of the picture.

        Args:
            output: without gradient.
            window: its rows and columns.
            counts: weight of each of its values, or None for 1.
        """
        self.seen += output[0, 0].numel() / self.total[0, 0].numel()
        decay = min(self.decay, 1 - 1 / (1 + 0.3 * self.seen))
        counts = torch.ones_like(output) if counts is None else counts
        rows, columns = window
        self.total[:, :, rows, columns].mul_(decay).add_(output * counts, alpha=1 - decay)
        self.weight[:, :, rows, columns].mul_(decay).add_(counts, alpha=1 - decay)
        if self.moments is not None:
            decay = min(SPREAD_DECAY, 1 - 1 / (1 + 0.3 * self.seen))
            new = torch.stack([counts, output * counts, output.square() * counts])
            self.moments[..., rows, columns].mul_(decay).add_(new, alpha=1 - decay)

    def picture(self, where: Window = WHOLE) -> Tensor:
        """Return a copy of the average, 1×C×H×W, or of some of its rows and columns."""
        return self.total[(..., *where)] / self.weight[(..., *where)]

    def answered(self, where: Window = WHOLE) -> Tensor:
        """Return where there was an answer that counted, bool, of the shape of `picture`."""
        return self.weight[(..., *where)] > 2 * UNSEEN

    def spread(self) -> Tensor | None:
        """Return the standard deviation of the last outputs, 1×C×H×W, if it was kept."""
        if self.moments is None:
            return None
        weight, total, squares = self.moments
        mean = total / weight.clamp_min(UNSEEN)
        variance: Tensor = squares / weight.clamp_min(UNSEEN) - mean.square()
        return variance.clamp_min(0).sqrt()

    def state(self) -> list[Tensor]:
        """Return a copy of everything that was summed up."""
        return [part.clone() for part in self._parts()]

    def restore(self, state: list[Tensor]) -> None:
        """Return to what `state` gave."""
        for part, saved in zip(self._parts(), state, strict=True):
            part.copy_(saved)

    def _parts(self) -> list[Tensor]:
        return [p for p in (self.total, self.weight, self.moments) if p is not None]
