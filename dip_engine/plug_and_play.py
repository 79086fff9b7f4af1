"""The non-local estimate as a prior for every task: the classical start where y is not just noisy.

Half-quadratic splitting takes turns between two steps, the second one a denoiser (Venkatakrishnan,
Bouman and Wohlberg 2013, "Plug-and-Play Priors"; with a falling noise level as in Zhang and others
2021, "DPIR"):

    x ← argmin ‖A x − y‖² + ρ ‖x − v‖²       agree with what was measured
    v ← non-local estimate of x              at a noise level that falls from turn to turn
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence

import torch
from torch import Tensor

from dip_engine.nonlocal_estimate import nonlocal_estimate
from dip_engine.returning import part_of

_TRUST = 0.23  # ρ = _TRUST · (noise of y / noise of this turn)², as in DPIR
_STEPS = 20  # of conjugate gradients in a turn

Agree = Callable[[Tensor, float], Tensor]


def plug_and_play(
    picture: Tensor, levels: Sequence[float], agree: Agree
) -> Generator[float, None, Tensor]:
    """Take turns between agreement with the measurement and the non-local estimate.

    Args:
        picture: 1×C×H×W to begin with, 0–1.
        levels: noise level (0–1) of each turn, falling.
        agree: returns the picture that agrees with the measurement and is near to one given, for
            the level of a turn.

    Yields:
        The fraction of the work that is done.

    Returns:
        The last estimate, 1×C×H×W.
    """
    turns = len(levels)
    for turn, level in enumerate(levels):
        steps = nonlocal_estimate(agree(picture, level)[0], level)
        picture = (yield from part_of(steps, turn / turns, (turn + 1) / turns))[None]
    return picture


def falling(first: float, last: float, turns: int) -> list[float]:
    """Return noise levels that fall evenly on a logarithmic scale."""
    low, high = math.log(last), max(math.log(first), math.log(last))
    return [math.exp(high + (low - high) * t / max(1, turns - 1)) for t in range(turns)]


def linear_agreement(
    operator: Callable[[Tensor], Tensor], observed: Tensor, noise_std: float, like: Tensor
) -> Agree:
    """Return the agreement with y = A x + noise, by conjugate gradients.

    Args:
        operator: A, linear.
        observed: y.
        noise_std: of y.
        like: of the shape of x.
    """
    adjoint = torch.func.vjp(operator, torch.zeros_like(like))[1]
    back = adjoint(observed)[0]

    def agree(picture: Tensor, level: float) -> Tensor:
        trust = _TRUST * (noise_std / level) ** 2

        def normal(x: Tensor) -> Tensor:
            nearness: Tensor = adjoint(operator(x))[0] + trust * x
            return nearness

        return conjugate_gradients(normal, back + trust * picture, picture, _STEPS)

    return agree


def conjugate_gradients(
    normal: Callable[[Tensor], Tensor], target: Tensor, start: Tensor, steps: int
) -> Tensor:
    """Solve N x = target for a symmetric positive N, from a start, in so many steps."""
    x = start
    rest = target - normal(x)
    direction, energy = rest, rest.square().sum()
    for _ in range(steps):
        bent = normal(direction)
        # The floor ends it quietly where the rest is already nothing.
        length = energy / (direction * bent).sum().clamp_min(1e-20)
        x = x + length * direction
        rest = rest - length * bent
        before, energy = energy, rest.square().sum()
        direction = rest + energy / before.clamp_min(1e-20) * direction
    return x
