"""Which picture of a fit to return: errors that can be known without the truth."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from dip_engine.average import Average
from dip_engine.presets import Recipe
from dip_engine.problem import Problem
from dip_engine.stopping import HeldOut
from dip_engine.views import BlindSpotView, Shot, View, Window

NEARLY_ALL = 0.9
SAMPLE = 250_000  # pixels on which the error of a large picture is measured


class Best:
    """The picture to return: the snapshot with the lowest held-out error, or else the last.

    Args:
        recipe: its patience and budget.
        average: what is shown.
    """

    def __init__(self, recipe: Recipe, average: Average) -> None:
        self.watch = HeldOut(recipe.patience, warm_up=recipe.iterations // 4, gain=recipe.gain)
        self.average = average
        self.error: float | None = None
        self.least: float | None = None
        self.picture: Tensor | None = None

    def look(
        self, iteration: int, error: float | None, learned: float = 0.0, *, whole: bool = True
    ) -> None:
        """Note the held-out error of an iteration, and how much it owes to learned noise.

        The error of a part tells nothing of the picture: it may be sky. Only `whole` ones choose.
        """
        self.error = error
        if whole and error is not None and self.watch.better(iteration, error + learned):
            self.least = error
            self.picture = self.average.picture()

    def finished(self, iteration: int) -> bool:
        """Return True when the held-out error has stopped falling."""
        return self.picture is not None and self.watch.finished(iteration)

    def choose(self, iteration: int) -> tuple[Tensor, int, float | None]:
        """Return picture, iteration and held-out error of the snapshot to deliver."""
        if self.picture is None:
            return self.average.picture(), iteration, self.error
        return self.picture, self.watch.best_iteration, self.least


def weighted_error(problem: Problem, picture: Tensor, weight: Tensor) -> Tensor:
    """Return the mean squared error of A(picture) to y where `weight` says so."""
    difference = problem.operator(picture) - problem.observed
    if problem.tolerance is not None:
        difference = difference - difference.clamp(-problem.tolerance, problem.tolerance)
    if problem.emphasis is not None:
        difference = problem.emphasis(difference)
    return _mean(difference.square(), weight.expand_as(difference))


def loss_of(problem: Problem, shot: Shot, weight: Tensor) -> Tensor:
    """Return the loss of an answer: its error to its target, or that of A(answer) to y.

    An answer with a target is the blind-spot network's, to whom all of y is known.
    """
    if shot.target is None:
        return weighted_error(problem, shot.picture, weight)
    if shot.counts is None:
        return F.mse_loss(shot.picture, shot.target)
    return _mean((shot.picture - shot.target).square(), shot.counts)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (weight * values).sum() / weight.sum().clamp_min(1e-12)


def mostly_answered(problem: Problem, average: Average) -> bool:
    """Return True when there were answers for nearly all of the picture."""
    return bool(average.answered(_sample(problem)).float().mean() > NEARLY_ALL)


def held_out_error(
    problem: Problem, average: Average, held: Tensor | None, view: View
) -> float | None:
    """Return the mean squared error of the shown picture on values the loss did not use.

    The blind-spot network needs no held-out values: its average holds, for each pixel, only
    answers that were given without seeing it. (Pretraining saw a trace of it in the start;
    `noise_learned` counts that.)
    """
    if isinstance(view, BlindSpotView):
        where = _sample(problem)
        known = problem.known.expand_as(problem.observed)[(..., *where)] * average.answered(where)
        difference = (average.picture(where) - problem.observed[(..., *where)]) * known
        return float(difference.square().sum() / known.sum()) if known.any() else None
    if held is None or not held.any():
        return None
    return float(weighted_error(problem, average.picture(), held))


def noise_learned(problem: Problem, average: Average, view: View) -> float:
    """Return by how much the error to y is too small, since the picture shown has learned noise.

    It is twice the covariance of both, as the probe in the noise tells (see `dip_engine.probe`); 0
    where there is none.
    """
    if problem.echo is None or not isinstance(view, BlindSpotView):
        return 0.0
    where = _sample(problem)
    # Neighbours know nothing of a pixel's own probe, and leave less for chance.
    detail = average.picture(where) - view.neighbours[(..., *where)]
    return 2 * float((problem.echo[(..., *where)] * detail).mean())


def _sample(problem: Problem) -> Window:
    """Return the rows and columns that are measured.

    The whole of a large picture would take longer than the iterations between two looks.
    """
    stride = max(1, math.isqrt(problem.height * problem.width // SAMPLE))
    return slice(None, None, stride), slice(None, None, stride)
