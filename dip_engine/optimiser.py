"""The optimiser of a fit: which steps its parameters take."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dip_engine import networks
from dip_engine.presets import Recipe

SGD_STEP = 100.0  # times that of Adam, which gives small gradients large steps
USUAL_SPREAD = 0.1  # of weights that take steps of the learning rate, see `_evenly`


def make_optimiser(
    network: networks.Generator,
    operator: Callable[[Tensor], Tensor],
    recipe: Recipe,
    device: torch.device,
) -> torch.optim.Optimizer:
    """Return what adjusts a network, and what of the operator is fitted along, by a recipe."""
    fused = device.type in ("cpu", "cuda", "mps")
    if recipe.network == "blind-spot":
        parameters = _evenly(network)
    else:
        parameters = [{"params": [*network.parameters(), *_free(operator)]}]
    if recipe.optimiser == "sgd":
        return torch.optim.SGD(parameters, momentum=0.9, fused=fused)
    betas = (0.9, 0.99) if recipe.network == "blind-spot" else (0.9, 0.999)
    return torch.optim.Adam(parameters, betas=betas, fused=fused)


def _evenly(network: networks.Generator) -> list[dict[str, Any]]:
    """Let the weights of each layer take steps in proportion to the spread they were drawn with.

    Without normalisation steps of one size for all are long ones for wide layers, whose weights are
    small: every few hundred iterations one goes wrong.

    Source: the "equalized learning rate" of Karras et al., "Progressive Growing of GANs", 2018.
    """
    shares: dict[float, list[Tensor]] = {}
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d):
            shares.setdefault(networks.spread(layer) / USUAL_SPREAD, []).append(layer.weight)
            if layer.bias is not None:
                shares.setdefault(1.0, []).append(layer.bias)
    return [{"params": params, "share": share} for share, params in shares.items()]


def _free(operator: Callable[[Tensor], Tensor]) -> Iterable[nn.Parameter]:
    """Return what of an operator is fitted along, such as the kernel of an unknown blur."""
    return operator.parameters() if isinstance(operator, nn.Module) else ()


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


def go_on(
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


class Rates:
    """The learning rates of an optimiser's groups.

    On a GPU they are tensors there, so that a recorded step takes the rate of the moment.

    Args:
        optimiser: with all the state it begins with.
        device: of its parameters.
    """

    def __init__(self, optimiser: torch.optim.Optimizer, device: torch.device) -> None:
        self.groups = optimiser.param_groups
        step = SGD_STEP if isinstance(optimiser, torch.optim.SGD) else 1.0
        self.shares = [step * group.get("share", 1.0) for group in self.groups]
        self.tensor: Tensor | None = None
        if device.type == "cuda":
            self.factors = torch.tensor(self.shares, device=device)
            self.tensor = self.factors.clone()
            for group, rate in zip(self.groups, self.tensor, strict=True):
                group["lr"] = rate

    def set(self, rate: float) -> float:
        """Set the learning rate (of Adam) for all parameters, and return it."""
        if self.tensor is not None:
            torch.mul(self.factors, rate, out=self.tensor)
        else:
            for group, share in zip(self.groups, self.shares, strict=True):
                group["lr"] = share * rate
        return rate
