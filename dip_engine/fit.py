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
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from dip_engine import networks
from dip_engine.operators import identity
from dip_engine.presets import Recipe
from dip_engine.stopping import HeldOut, diverged
from dip_engine.views import BlindSpotView, LatentView, View

CHECK = 10  # iterations between two looks at the numbers; each look waits for the device
CHECKPOINT = 50
ROLL_BACKS = 5
SAMPLE = 250_000  # pixels on which the error of a large picture is measured
UNSEEN = 1e-6  # weight of the start in the average: it counts only until there is an answer


@dataclass(frozen=True, slots=True)
class Problem:
    """What is known.

    Attributes:
        observed: y, 1×C×h×w float32.
        known: w, 1×1×h×w or 1×C×h×w, 1 where y was measured and 0 where not.
        height, width: of the picture x.
        operator: A, from 1×C×height×width to the shape of y.
        start: 1×C×height×width classical estimate, shown where the network has not yet answered,
            or None.
    """

    observed: Tensor
    known: Tensor
    height: int
    width: int
    operator: Callable[[Tensor], Tensor] = identity
    start: Tensor | None = None


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
        iterations: how many were run.
        reason: why the fit ended.
        loss: mean squared error to y where it was known, or None when nothing was checked.
        held_out: mean squared error on held-out values, or None.
        held: the held-out part of y as a mask, or None.
    """

    picture: Tensor
    iteration: int
    iterations: int
    reason: str
    loss: float | None
    held_out: float | None
    held: Tensor | None = None


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
    network = build(recipe, problem.observed.shape[1], cpu).to(device)
    network = network.to(memory_format=torch.channels_last)
    view = _view(problem, recipe, network, cpu, fresh, dtype)
    weight = problem.known if held is None else problem.known - held
    optimiser = torch.optim.Adam(
        network.parameters(), lr=recipe.learning_rate, betas=_betas(recipe), fused=_fused(device)
    )
    average = Average(problem, recipe.average)
    clip = GradientClip() if recipe.network == "blind-spot" else None
    watch = HeldOut(recipe.patience, warm_up=recipe.iterations // 4)
    safe = Checkpoint(network, average)
    best: Tensor | None = None
    losses: list[float] = []
    error: float | None = None
    slower, roll_backs = 1.0, 0
    reason = "all iterations done"

    for iteration in range(1, recipe.iterations + 1):
        _set_rate(optimiser, slower * learning_rate(recipe, iteration))
        if recipe.weight_noise:
            perturb(network, recipe.weight_noise, fresh)

        shot = view.shoot(network)
        rows, columns = shot.window
        loss = weighted_error(problem, shot.picture, weight, shot.counts, shot.window)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if clip is not None:
            clip(network.parameters())
        optimiser.step()
        average.add(shot.picture.detach(), rows, columns, shot.counts)

        if iteration % CHECK == 0 or iteration == recipe.iterations:
            losses.append(loss.item())
            if diverged(losses):
                roll_backs += 1
                if roll_backs > ROLL_BACKS or not safe.iteration:
                    reason = "the fit diverged"
                    break
                safe.restore(network, average)
                optimiser.state.clear()
                slower, losses = slower / 2, []
                continue
            error = held_out_error(problem, average, held, view)
            if error is not None and watch.better(iteration, error) and held is not None:
                best = average.picture()
            if iteration % CHECKPOINT == 0:
                safe.save(network, average, iteration)
        yield Step(iteration, losses[-1] if losses else None, error, average.picture)
        if stop is not None and stop.is_set():
            reason = "stopped by hand"
            break
        if out_of_time():
            reason = "time limit reached"
            break
        if error is not None and watch.finished(iteration):
            reason = "held-out error stopped falling"
            break

    if best is None:
        picture, snapshot = average.picture(), iteration
    else:
        picture, snapshot, error = best, watch.best_iteration, watch.best
    return Fitted(picture, snapshot, iteration, reason, losses[-1] if losses else None, error, held)


def build(recipe: Recipe, channels: int, generator: torch.Generator) -> networks.Generator:
    """Make the recipe's network for pictures of that many channels, with fresh weights."""
    kinds: dict[str, Callable[..., networks.Generator]] = {
        "skip": networks.Skip,
        "up": networks.Up,
        "deep-decoder": networks.DeepDecoder,
        "blind-spot": networks.BlindSpot,
    }
    network = kinds[recipe.network](channels, **recipe.build)
    networks.initialise(network, generator)
    return network


def learning_rate(recipe: Recipe, iteration: int) -> float:
    """Return Adam's step: constant, or 5 % warm-up from a tenth and then a cosine."""
    if not recipe.cosine:
        return recipe.learning_rate
    warm = max(1.0, 0.05 * recipe.iterations)
    if iteration < warm:
        return recipe.learning_rate * (0.1 + 0.9 * iteration / warm)
    done = (iteration - warm) / max(1.0, recipe.iterations - warm)
    wave = 0.5 * (1 + math.cos(math.pi * done))
    return recipe.learning_rate * (recipe.floor + (1 - recipe.floor) * wave)


def weighted_error(
    problem: Problem,
    picture: Tensor,
    weight: Tensor,
    counts: Tensor | None,
    window: tuple[slice, slice],
) -> Tensor:
    """Return the mean squared error of A(picture) to y where `weight` (and `counts`) say so."""
    observed = problem.observed
    if problem.operator is identity:
        observed = observed[:, :, window[0], window[1]]
        weight = weight[:, :, window[0], window[1]]
    weight = weight.expand_as(observed)
    if counts is not None:
        weight = weight * counts
    squared = weight * (problem.operator(picture) - observed).square()
    return squared.sum() / weight.sum().clamp_min(1e-12)


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
    whole = (slice(0, problem.height), slice(0, problem.width))
    return float(weighted_error(problem, average.picture(), held, None, whole))


class Average:
    """Exponential average of outputs, each pixel weighted by how often its answer counted.

    The memory grows with the fit, so that the poor first outputs are soon forgotten.
    """

    def __init__(self, problem: Problem, decay: float) -> None:
        shape = (1, problem.observed.shape[1], problem.height, problem.width)
        start = problem.observed.new_zeros(shape) if problem.start is None else problem.start
        self.total = UNSEEN * start
        self.weight = torch.full_like(start, UNSEEN)
        self.decay = decay
        self.seen = 0.0

    def add(self, picture: Tensor, rows: slice, columns: slice, counts: Tensor | None) -> None:
        """Mix in an output of the window rows×columns."""
        self.seen += picture[0, 0].numel() / self.total[0, 0].numel()
        decay = min(self.decay, 1 - 1 / (1 + 0.3 * self.seen))
        total = self.total[:, :, rows, columns]
        weight = self.weight[:, :, rows, columns]
        counted = torch.ones_like(picture) if counts is None else counts
        total.mul_(decay).add_(picture * counted, alpha=1 - decay)
        weight.mul_(decay).add_(counted, alpha=1 - decay)

    def picture(self, stride: int = 1) -> Tensor:
        """Return a copy of the average, 1×C×H×W, or of every `stride`-th row and column."""
        return self.total[:, :, ::stride, ::stride] / self.weight[:, :, ::stride, ::stride]


class GradientClip:
    """Cut gradients to twice the running mean of their norm: no single step can wreck a fit."""

    def __init__(self) -> None:
        self.mean: Tensor | None = None

    def __call__(self, parameters: Iterable[nn.Parameter]) -> None:
        gradients = [p.grad for p in parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        mean = norm if self.mean is None else self.mean
        scale = (2 * mean / norm.clamp_min(1e-12)).clamp_max(1.0)
        torch._foreach_mul_(gradients, scale)
        self.mean = 0.95 * mean + 0.05 * torch.minimum(norm, 2 * mean)


class Checkpoint:
    """A copy of weights and average to which a diverged fit returns."""

    def __init__(self, network: nn.Module, average: Average) -> None:
        self.iteration = 0
        self.weights: list[Tensor] = []
        self.total, self.weight = average.total, average.weight

    def save(self, network: nn.Module, average: Average, iteration: int) -> None:
        self.iteration = iteration
        self.weights = [p.detach().clone() for p in network.parameters()]
        self.total, self.weight = average.total.clone(), average.weight.clone()

    @torch.no_grad()
    def restore(self, network: nn.Module, average: Average) -> None:
        for parameter, saved in zip(network.parameters(), self.weights, strict=True):
            parameter.copy_(saved)
        average.total.copy_(self.total)
        average.weight.copy_(self.weight)


@torch.no_grad()
def perturb(network: nn.Module, amount: float, generator: torch.Generator) -> None:
    """Add noise to the convolutions' weights, relative to each layer's spread (large holes)."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            noise = torch.empty_like(parameter).normal_(generator=generator)
            parameter.add_(noise * parameter.std() * amount)


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
        network, problem.height, problem.width, recipe, cpu=cpu, fresh=fresh, dtype=dtype
    )


def _betas(recipe: Recipe) -> tuple[float, float]:
    return (0.9, 0.99) if recipe.network == "blind-spot" else (0.9, 0.999)


def _fused(device: torch.device) -> bool:
    return device.type in ("cpu", "cuda", "mps")


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate
