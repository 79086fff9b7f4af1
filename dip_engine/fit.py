"""The fit: one network, one picture, one loop.

    minimise over θ   ‖ w · (A(f_θ(z)) − y) ‖²

where f_θ is the generator, A the operator of the task, y the picture as it was measured and w its
known part. The picture shown is an exponential average of what the network said so far (Ulyanov
et al. 2018); the iteration returned is the one at which values hidden from the loss were
predicted best.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from dip_engine import networks
from dip_engine.average import Average
from dip_engine.best import Best, held_out_error, loss_of, mostly_answered, noise_learned
from dip_engine.guard import Belief, GradientClip, RollBack, disturb
from dip_engine.optimiser import Rates, go_on, learning_rate, make_optimiser
from dip_engine.presets import Recipe
from dip_engine.problem import Problem
from dip_engine.replay import WORTH, Descend, Replayed, can_replay
from dip_engine.views import BlindSpotView, LatentView, Look, Shot, View

CHECK = 10  # iterations between two looks at the numbers; each look waits for the device
CHECKPOINT = 50


@dataclass(frozen=True, slots=True)
class Step:
    """A look at a running fit: numbers of the last check, and the picture if it is wanted.

    Numbers are None until the first check; `answered` is False in pretraining, where the picture is
    the start.
    """

    iteration: int
    loss: float | None
    held_out: float | None
    picture: Callable[[], Tensor]
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Fitted:
    """The end of a fit.

    Attributes:
        picture: 1×C×height×width float32.
        iteration: the snapshot's.
        held_out: mean squared error of the snapshot on held-out values (a judge's, if there was
            one), or None.
        iterations: how many were run.
        reason: why the fit ended.
        parameters: how many numbers were adjusted.
        spread: standard deviation of the last outputs, like `picture`, if it was asked for.
        state: of network and optimiser at the end, for the fit of a similar picture.
        answered: False if it ended in pretraining: the picture is the start, the iteration 0.
    """

    picture: Tensor
    iteration: int
    held_out: float | None
    iterations: int
    reason: str
    parameters: int = 0
    spread: Tensor | None = None
    state: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    answered: bool = True


def hold_out(known: Tensor, share: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Split the known values: (for the loss, held out), at random positions, all channels alike."""
    hidden = torch.rand(known.shape[-2:], generator=generator) < share
    hidden = hidden.to(known.device, known.dtype)
    return known * (1 - hidden), known * hidden


def fit(
    problem: Problem,
    recipe: Recipe,
    *,
    seed: int,
    dtype: torch.dtype,
    held: Tensor | None = None,
    judge: Callable[[Tensor], float] | None = None,
    warm: Mapping[str, dict[str, Any]] | None = None,
    stop: threading.Event | None = None,
    out_of_time: Callable[[], bool] = lambda: False,
) -> Generator[Step, None, Fitted]:
    """Fit an untrained network to what is known of one picture.

    Args:
        problem: y, w and A; its tensors decide the device.
        recipe: all numbers of the fit.
        seed: of every random number.
        dtype: number format of the network; weights, loss and average are float32 always.
        held: the part of `problem.known` that the loss must not see, or None.
        judge: returns the mean squared error of what would be made of a picture (1×C×H×W) if the
            fit ended with it; None takes that of the picture itself on `held`.
        warm: the state that the fit of the frame before ended with, or None to begin afresh; z
            and all other random numbers depend on the seed alone.
        stop: set from another thread to end with the best picture so far.
        out_of_time: asked after each iteration.

    Yields:
        A `Step` after each iteration.

    Returns:
        The best snapshot and why the fit ended.
    """
    device = problem.observed.device
    cpu = torch.Generator().manual_seed(seed)
    fresh = torch.Generator(device).manual_seed(seed)
    network = build(recipe, problem.channels, cpu).to(device)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    view = _view(problem, recipe, network, cpu, fresh, dtype, pretrained=warm is not None)
    weight = problem.known if held is None else problem.known - held
    optimiser = make_optimiser(network, problem.operator, recipe, device)
    go_on(warm, network=network, optimiser=optimiser)
    rates = Rates(optimiser, device)
    descend = _descend(problem, weight, network, view, optimiser)
    if can_replay(device) and recipe.iterations >= WORTH:
        descend = Replayed(descend, optimiser, fresh)
    average = Average(problem, recipe.average, with_spread=recipe.spread)
    belief = Belief(problem, average, calm=recipe.calm)
    roll_back = RollBack(average, optimiser)
    best = Best(recipe, average)
    loss_now: float | None = None
    reason = "all iterations done"

    for iteration in range(1, recipe.iterations + 1):
        rate = rates.set(roll_back.slower * learning_rate(recipe, iteration))
        disturb(network, relative=recipe.weight_noise, std=recipe.langevin * rate, generator=fresh)

        look = view.look()
        loss, shot = descend(look)
        answered = not look.clean
        if answered:
            shot = shot.turned_back(look.turn)
            average.add(shot.picture, look.window, belief(shot, look.window, loss))
        elif iteration % CHECKPOINT == 0 and math.isfinite(loss.item()):
            roll_back.save()

        # In pretraining the loss tells nothing of the picture.
        if answered and (iteration % CHECK == 0 or iteration == recipe.iterations):
            loss_now = loss.item()
            error = None if judge else held_out_error(problem, average, held, view)
            # The loss of one window says little about that of another; NaN says it all.
            windowed = recipe.crop and error is not None and math.isfinite(loss_now)
            if roll_back.if_diverged(error if windowed and error is not None else loss_now):
                if roll_back.gave_up:
                    reason = "the fit diverged"
                    break
                continue
            if iteration % CHECKPOINT == 0:
                roll_back.save()
            if _is_due(iteration, recipe, judged=judge is not None):
                error = judge(average.picture()) if judge else error
                best.look(
                    iteration,
                    error,
                    noise_learned(problem, average, view),
                    whole=mostly_answered(problem, average),
                )

        yield Step(iteration, loss_now, best.error, average.picture, answered)
        if ended := _ended(iteration, best, stop, out_of_time):
            reason = ended
            break

    return Fitted(
        *best.choose(iteration if answered else 0),
        iteration,
        reason,
        parameters=networks.parameter_count(network),
        spread=average.spread(),
        state={"network": network.state_dict(), "optimiser": optimiser.state_dict()},
        answered=answered,
    )


def _descend(
    problem: Problem,
    weight: Tensor,
    network: networks.Generator,
    view: View,
    optimiser: torch.optim.Optimizer,
) -> Descend:
    """Return what takes one step of the optimiser on the device."""
    clip = GradientClip(network) if isinstance(view, BlindSpotView) else None

    def descend(look: Look) -> tuple[Tensor, Shot]:
        shot = view.shoot(network, look)
        loss = loss_of(problem, shot, weight)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if clip is not None:
            clip()
        optimiser.step()
        return loss.detach(), shot.detached()

    return descend


def _is_due(iteration: int, recipe: Recipe, *, judged: bool) -> bool:
    """Tell whether the picture is to be looked at, in one of the iterations that are checked.

    A window is a small part of a large picture: that it got better shows in time. A judge takes
    time, but something is to be shown soon.
    """
    if iteration % CHECKPOINT == 0 or iteration == recipe.iterations:
        return True
    return iteration == CHECK if judged else not recipe.crop


def _ended(
    iteration: int, best: Best, stop: threading.Event | None, out_of_time: Callable[[], bool]
) -> str | None:
    """Return why the fit ends before its last iteration, or None while it goes on."""
    if stop is not None and stop.is_set():
        return "stopped by hand"
    if out_of_time():
        return "time limit reached"
    return "held-out error stopped falling" if best.finished(iteration) else None


def build(recipe: Recipe, channels: int, generator: torch.Generator) -> networks.Generator:
    """Make the recipe's network, or several, for pictures of that many channels, freshly drawn."""
    kinds: dict[str, Callable[..., networks.Generator]] = {
        "skip": networks.Skip,
        "u-net": networks.UNet,
        "up": networks.Up,
        "deep-decoder": networks.DeepDecoder,
        "blind-spot": networks.BlindSpot,
    }
    members = [kinds[recipe.network](channels, **recipe.build) for _ in range(recipe.members)]
    for member in members:
        networks.initialise(member, generator, silent=recipe.residual)
    return networks.Ensemble(members) if len(members) > 1 else members[0]


def _view(
    problem: Problem,
    recipe: Recipe,
    network: networks.Generator,
    cpu: torch.Generator,
    fresh: torch.Generator,
    dtype: torch.dtype,
    *,
    pretrained: bool,
) -> View:
    if recipe.network == "blind-spot":
        share = 0.0 if pretrained or not problem.noise_std else recipe.pretraining
        return BlindSpotView(
            problem.observed,
            recipe.crop,
            cpu=cpu,
            fresh=fresh,
            dtype=dtype,
            start=problem.start,
            noise_std=problem.noise_std or 0.0,
            pretraining=round(share * recipe.iterations),
        )
    return LatentView(
        network,
        problem.height,
        problem.width,
        recipe,
        cpu=cpu,
        fresh=fresh,
        dtype=dtype,
        latent=problem.latent,
        start=problem.start if recipe.residual else None,
    )
