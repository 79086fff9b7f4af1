"""What keeps a fit from harm: cut gradients, the way back after a divergence; and wanted noise."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dip_engine.average import Average
from dip_engine.problem import Problem
from dip_engine.stopping import diverged
from dip_engine.views import Shot, Window

ROLL_BACKS = 5
MUCH_WORSE = 1.5  # times the squared error of the average, or the usual loss
LATELY = 0.05  # share of the newest in the usual loss


class GradientClip:
    """Cut gradients to twice the running mean of their norm: no single step can wreck a fit."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.mean: Tensor | None = None

    def __call__(self) -> None:
        gradients = [p.grad for p in self.network.parameters() if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if self.mean is None:
            self.mean = torch.where(norm.isfinite(), norm, torch.inf)
        mean = torch.where(self.mean.isfinite(), self.mean, norm)
        scale = (2 * mean / norm.clamp_min(1e-12)).clamp_max(1.0)
        torch._foreach_mul_(gradients, scale)
        mean = 0.95 * mean + 0.05 * torch.minimum(norm, 2 * mean)
        # What is not finite is left to the roll-back and must not spoil what comes after it.
        self.mean.copy_(torch.where(norm.isfinite(), mean, self.mean))  # in place, see `Replayed`


class Belief:
    """How much each value of an answer is to count in the average.

    Now and then a step is too long, the next answers are useless, and the steps after that lead
    back. The average would remember them for a long time.

    Args:
        problem: what is known.
        average: what is shown.
        calm: of answers for a whole picture, those right after such a step do not count.
    """

    def __init__(self, problem: Problem, average: Average, *, calm: bool) -> None:
        self.problem = problem
        self.average = average
        self.calm = calm
        self.usual: Tensor | None = None

    def __call__(self, shot: Shot, window: Window, loss: Tensor) -> Tensor | None:
        """Return a weight for each value, like `Shot.counts`; asks nothing of the device."""
        if shot.counts is not None:
            return shot.counts * self._near_enough(shot.picture, shot.counts, window)
        return self._low_enough(loss).expand_as(shot.picture) if self.calm else None

    def _near_enough(self, picture: Tensor, counts: Tensor, window: Window) -> Tensor:
        """Return 0 for an answer that misses far more of the dropped values than the average does.

        The loss of one window tells nothing of that of another.
        """
        asked = counts * self.average.answered(window)
        observed = self.problem.observed[(..., *window)]
        missed = (asked * (picture - observed).square()).sum()
        usual = (asked * (self.average.picture(window) - observed).square()).sum()
        return missed <= MUCH_WORSE * usual

    def _low_enough(self, loss: Tensor) -> Tensor:
        """Return 0 where a loss is far higher than it was lately."""
        usual = loss.clone() if self.usual is None else self.usual  # see `Replayed`
        most = MUCH_WORSE * usual
        low = loss <= most
        self.usual = usual + LATELY * (torch.where(low, loss, most) - usual)  # NaN is not low
        return low.to(loss)


class RollBack:
    """Return a diverged fit to its last good state, and go on at half the speed.

    Source: the code of Ulyanov et al. 2018 goes back to its last weights when the fit falls by
    more than 5 dB.

    Attributes:
        slower: factor on the learning rate, halved with each return.
        gave_up: it happened too often; the state is the last good one.
    """

    def __init__(self, average: Average, optimiser: torch.optim.Optimizer) -> None:
        self.average = average
        self.optimiser = optimiser
        self.slower = 1.0
        self.returns = 0
        self.losses: list[float] = []
        self.save()

    @property
    def gave_up(self) -> bool:
        """True when there were too many returns."""
        return self.returns > ROLL_BACKS

    def _parameters(self) -> list[Tensor]:
        return [p for group in self.optimiser.param_groups for p in group["params"]]

    def save(self) -> None:
        """Take the present state as a good one."""
        self.weights = [p.detach().clone() for p in self._parameters()]
        self.shown = self.average.state()

    def if_diverged(self, loss: float) -> bool:
        """Note a loss; where it tells of a divergence, go back and return True."""
        self.losses.append(loss)
        if not diverged(self.losses):
            return False
        with torch.no_grad():
            for parameter, saved in zip(self._parameters(), self.weights, strict=True):
                parameter.copy_(saved)
        self.average.restore(self.shown)
        for state in self.optimiser.state.values():  # in place, see `Replayed`
            for value in state.values():
                if isinstance(value, Tensor):
                    value.zero_()
        self.slower /= 2
        self.losses = []
        self.returns += 1
        return True


@torch.no_grad()
def disturb(network: nn.Module, *, relative: float, std: float, generator: torch.Generator) -> None:
    """Add noise to the convolutions' weights.

    Args:
        network: its weights are changed.
        relative: noise as a share of each layer's spread, for large holes (Ulyanov et al. 2018).
        std: of noise that lets a fit wander through the pictures that are likely: stochastic
            gradient Langevin dynamics (Cheng, Gadelha, Maji, Sheldon, "A Bayesian Perspective on
            the Deep Image Prior", CVPR 2019).
        generator: of the noise.
    """
    if not relative and not std:
        return
    for parameter in network.parameters():
        if parameter.ndim == 4:
            noise = torch.empty_like(parameter).normal_(generator=generator)
            parameter.add_(noise * (relative * parameter.std() + std))
