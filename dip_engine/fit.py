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
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from dip_engine import networks
from dip_engine.average import UNSEEN, Average
from dip_engine.guard import GradientClip, RollBack, believed, disturb
from dip_engine.operators import identity
from dip_engine.presets import Recipe
from dip_engine.problem import Problem
from dip_engine.stopping import HeldOut
from dip_engine.views import BlindSpotView, LatentView, View, Window

CHECK = 10  # iterations between two looks at the numbers; each look waits for the device
CHECKPOINT = 50
SGD_STEP = 100.0  # times that of Adam, which gives small gradients large steps
SAMPLE = 250_000  # pixels on which the error of a large picture is measured


@dataclass(frozen=True, slots=True)
class Step:
    """A look at a running fit: numbers of the last check, and the picture if it is wanted."""

    iteration: int
    loss: float | None
    held_out: float | None
    picture: Callable[[], Tensor]


@dataclass(frozen=True, slots=True)
class Fitted:
    """The end of a fit.

    Attributes:
        picture: 1×C×height×width float32.
        iteration: the snapshot's.
        held_out: mean squared error of the snapshot on held-out values, or None.
        iterations: how many were run.
        reason: why the fit ended.
        parameters: how many numbers were adjusted.
        spread: standard deviation of the last outputs, like `picture`, if it was asked for.
        state: of network and optimiser at the end, for the fit of a similar picture.
    """

    picture: Tensor
    iteration: int
    held_out: float | None
    iterations: int
    reason: str
    parameters: int = 0
    spread: Tensor | None = None
    state: Mapping[str, dict[str, Any]] = field(default_factory=dict)


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
    view = _view(problem, recipe, network, cpu, fresh, dtype)
    weight = problem.known if held is None else problem.known - held
    optimiser = _optimiser([*network.parameters(), *_free(problem.operator)], recipe, device)
    _go_on(warm, network=network, optimiser=optimiser)
    average = Average(problem, recipe.average, with_spread=recipe.spread)
    clip = GradientClip(network) if recipe.network == "blind-spot" else None
    roll_back = RollBack(average, optimiser)
    best = Best(recipe, average)
    loss_now: float | None = None
    reason = "all iterations done"

    for iteration in range(1, recipe.iterations + 1):
        rate = _set_rate(optimiser, roll_back.slower * learning_rate(recipe, iteration))
        disturb(network, relative=recipe.weight_noise, std=recipe.langevin * rate, generator=fresh)

        shot = view.shoot(network)
        loss = weighted_error(problem, shot.picture, weight, shot.counts, shot.window)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if clip is not None:
            clip()
        optimiser.step()
        average.add(shot.picture.detach(), shot.window, believed(problem, average, shot))

        if iteration % CHECK == 0 or iteration == recipe.iterations:
            loss_now = loss.item()
            error = held_out_error(problem, average, held, view)
            # The loss of one window says little about that of another; NaN says it all.
            windowed = recipe.crop and error is not None and math.isfinite(loss_now)
            if roll_back.if_diverged(error if windowed and error is not None else loss_now):
                if roll_back.gave_up:
                    reason = "the fit diverged"
                    break
                continue
            if iteration % CHECKPOINT == 0:
                roll_back.save()
            # A window is a small part of a large picture: that it got better shows in time.
            if not recipe.crop or iteration % CHECKPOINT == 0 or iteration == recipe.iterations:
                best.look(iteration, error)

        yield Step(iteration, loss_now, best.error, average.picture)
        if stop is not None and stop.is_set():
            reason = "stopped by hand"
            break
        if out_of_time():
            reason = "time limit reached"
            break
        if best.finished(iteration):
            reason = "held-out error stopped falling"
            break

    state = {"network": network.state_dict(), "optimiser": optimiser.state_dict()}
    return Fitted(
        *best.choose(iteration),
        iteration,
        reason,
        parameters=networks.parameter_count(network),
        spread=average.spread(),
        state=state,
    )


def build(recipe: Recipe, channels: int, generator: torch.Generator) -> networks.Generator:
    """Make the recipe's network for pictures of that many channels, with fresh weights."""
    kinds: dict[str, Callable[..., networks.Generator]] = {
        "skip": networks.Skip,
        "u-net": networks.UNet,
        "up": networks.Up,
        "deep-decoder": networks.DeepDecoder,
        "blind-spot": networks.BlindSpot,
    }
    network = kinds[recipe.network](channels, **recipe.build)
    networks.initialise(network, generator, silent=recipe.residual)
    return network


def learning_rate(recipe: Recipe, iteration: int) -> float:
    """Return the optimiser's step: constant, or 5 % warm-up from a tenth and then a cosine."""
    rate = recipe.learning_rate
    if not recipe.cosine:
        return rate
    warm = max(1.0, 0.05 * recipe.iterations)
    if iteration < warm:
        return rate * (0.1 + 0.9 * iteration / warm)
    done = (iteration - warm) / max(1.0, recipe.iterations - warm)
    wave = 0.5 * (1 + math.cos(math.pi * done))
    return rate * (recipe.floor + (1 - recipe.floor) * wave)


def weighted_error(
    problem: Problem,
    picture: Tensor,
    weight: Tensor,
    counts: Tensor | None,
    window: Window,
) -> Tensor:
    """Return the mean squared error of A(picture) to y where `weight` (and `counts`) say so."""
    observed = problem.observed
    if problem.operator is identity:
        observed = observed[:, :, window[0], window[1]]
        weight = weight[:, :, window[0], window[1]]
    weight = weight.expand_as(observed)
    if counts is not None:
        weight = weight * counts
    difference = problem.operator(picture) - observed
    if problem.tolerance is not None:
        difference = difference - difference.clamp(-problem.tolerance, problem.tolerance)
    if problem.emphasis is not None:
        difference = problem.emphasis(difference)
    return (weight * difference.square()).sum() / weight.sum().clamp_min(1e-12)


def held_out_error(
    problem: Problem, average: Average, held: Tensor | None, view: View
) -> float | None:
    """Return the mean squared error of the shown picture on values the loss did not use.

    The blind-spot network needs no held-out values: its average holds, for each pixel, only
    answers that were given without seeing it.
    """
    if isinstance(view, BlindSpotView):
        # A sample is enough for a number, and the whole of a large picture would take longer
        # than the iterations between two looks.
        stride = max(1, math.isqrt(problem.height * problem.width // SAMPLE))
        answered = average.weight[:, :, ::stride, ::stride] > 2 * UNSEEN
        known = problem.known.expand_as(problem.observed)[:, :, ::stride, ::stride] * answered
        difference = (average.picture(stride) - problem.observed[:, :, ::stride, ::stride]) * known
        return float(difference.square().sum() / known.sum()) if known.any() else None
    if held is None or not held.any():
        return None
    whole = slice(0, problem.height), slice(0, problem.width)
    return float(weighted_error(problem, average.picture(), held, None, whole))


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
        self.picture: Tensor | None = None

    def look(self, iteration: int, error: float | None) -> None:
        """Note the held-out error of an iteration."""
        self.error = error
        if error is not None and self.watch.better(iteration, error):
            self.picture = self.average.picture()

    def finished(self, iteration: int) -> bool:
        """Return True when the held-out error has stopped falling."""
        return self.error is not None and self.watch.finished(iteration)

    def choose(self, iteration: int) -> tuple[Tensor, int, float | None]:
        """Return picture, iteration and held-out error of the snapshot to deliver."""
        if self.picture is None:
            return self.average.picture(), iteration, self.error
        return self.picture, self.watch.best_iteration, self.watch.best


def _view(
    problem: Problem,
    recipe: Recipe,
    network: networks.Generator,
    cpu: torch.Generator,
    fresh: torch.Generator,
    dtype: torch.dtype,
) -> View:
    if recipe.network == "blind-spot":
        return BlindSpotView(problem.observed, recipe.crop, fresh=fresh, dtype=dtype)
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


def _free(operator: Callable[[Tensor], Tensor]) -> Iterable[nn.Parameter]:
    """Return what of an operator is fitted along, such as the kernel of an unknown blur."""
    return operator.parameters() if isinstance(operator, nn.Module) else ()


def _optimiser(
    parameters: list[nn.Parameter], recipe: Recipe, device: torch.device
) -> torch.optim.Optimizer:
    fused = device.type in ("cpu", "cuda", "mps")
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(parameters, momentum=0.9, fused=fused)
    betas = (0.9, 0.99) if recipe.network == "blind-spot" else (0.9, 0.999)
    return torch.optim.Adam(parameters, betas=betas, fused=fused)


def _go_on(
    warm: Mapping[str, dict[str, Any]] | None,
    *,
    network: networks.Generator,
    optimiser: torch.optim.Optimizer,
) -> None:
    """Take up the state of an earlier fit, if there is one.

    Without the optimiser's own state, its first steps would be as large as at the beginning, and
    undo what the weights have learned.
    """
    if warm is not None:
        network.load_state_dict(warm["network"])
        optimiser.load_state_dict(warm["optimiser"])


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> float:
    step = SGD_STEP if isinstance(optimiser, torch.optim.SGD) else 1.0
    for group in optimiser.param_groups:
        group["lr"] = step * rate
    return rate
