"""How each preset fits each task: the numbers of the recipes, in one table.

`paper` follows the code of Ulyanov et al. 2018 per task. The others are ours: `fast` for a first
look, `balanced` for daily use, `best` when time does not matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dip_engine.job import Settings


@dataclass(frozen=True, slots=True)
class Recipe:
    """All numbers of one fit.

    Attributes:
        network: a name of `dip_engine.tasks.NETWORKS`.
        iterations: budget; the automatic stop may end sooner.
        build: keyword arguments of the network.
        members: how many such networks are fitted side by side (`networks.Ensemble`); shown a
            latent code, not windows.
        optimiser: ``adam`` or ``sgd``.
        learning_rate: of Adam.
        cosine: learning rate falls along a cosine to `floor` × itself, after a short warm-up.
        floor: see `cosine`.
        z_noise: standard deviation of the noise added to z in each iteration.
        weight_noise: noise added to each layer's weights, relative to their spread.
        langevin: noise added to the weights after each step, in learning rates (`guard.disturb`).
        spread: keep the spread of the outputs.
        average: decay of the exponential average of outputs; 0 shows the raw output.
        calm: answers of a fit that has just taken too long a step do not count in the average.
        grid: z is the grid of coordinates instead of noise.
        residual: the network makes the difference to the classical start instead of the picture.
        crop: side of the random window that one iteration of the blind-spot network sees.
        pretraining: share of the iterations in which the blind-spot network learns from the
            classical start instead.
        hold_out: share of the known values hidden from the loss.
        shorter: how far the learning rate falls with the side of a picture beyond 256×256.
        alone: what is different in a fit that stands alone.
        patience, gain: see `stopping.HeldOut`.
        turns: of the classical start, where it takes turns with the non-local estimate.
        twice: the non-local estimate of noise is the mean of two.
        probe: a probe in the noise weighs the fit against the classical estimate.
        share: usual weight of the fit beside the classical estimate; it has the last word where
            nothing weighs them.
    """

    network: str
    iterations: int
    build: Mapping[str, Any] = field(default_factory=dict)
    members: int = 1
    optimiser: str = "adam"
    learning_rate: float = 0.01
    cosine: bool = False
    floor: float = 0.02
    z_noise: float = 0.0
    weight_noise: float = 0.0
    langevin: float = 0.0
    spread: bool = False
    average: float = 0.99
    calm: bool = False
    grid: bool = False
    residual: bool = False
    crop: int = 0
    pretraining: float = 0.0
    hold_out: float = 0.02
    shorter: float = 1.0
    alone: Mapping[str, Any] = field(default_factory=dict)
    patience: int = 200
    gain: float = 1e-3
    turns: int = 0
    twice: bool = False
    probe: bool = False
    share: float = 1.0


_BLIND = Recipe(
    "blind-spot",
    800,
    learning_rate=0.003,
    cosine=True,
    floor=0.5,
    average=0.985,
    crop=128,
    pretraining=0.25,
    hold_out=0.0,
    patience=400,
    gain=2e-4,  # of an error that is nearly all noise
    twice=True,
    probe=True,
    share=0.1,
)
# It has all of the picture to learn, not what a classical estimate lacks. With longer steps it
# rests on a plateau half of its time, above all in a large picture, of which a window says less.
_BLIND_ALONE = {
    "iterations": 3200,
    "patience": 1600,
    "learning_rate": 0.002,
    "shorter": 0.75,
    "average": 0.97,
}
# A short fit must not slow down early: its cosine ends high.
_FILL = Recipe("up", 500, calm=True, cosine=True, floor=0.3, patience=150, turns=12)
_SUPER = Recipe("up", 600, calm=True, cosine=True, floor=0.5, hold_out=0.0, patience=0, turns=4)
_JPEG = Recipe(
    "up",
    20,
    learning_rate=0.002,
    cosine=True,
    average=0.9,
    residual=True,
    hold_out=0.0,
    patience=0,
    share=0.3,
)

_DEBLUR = Recipe(
    "up",
    500,
    calm=True,
    cosine=True,
    floor=0.5,
    hold_out=0.0,
    patience=0,
    turns=6,
    probe=True,
    share=0.1,
)
# Both are shown a picture instead of noise: the net sees it at full size.
_FLASH = Recipe(
    "skip",
    400,
    build={"inputs": 3, "channels": (32, 64, 64, 64), "skips": (16,) * 4},
    cosine=True,
    floor=0.3,
    patience=150,
)
_COLOUR = Recipe(
    "skip",
    300,
    build={"inputs": 3, "channels": (32, 64, 64, 64, 64), "skips": (4,) * 5},
    cosine=True,
    floor=0.3,
    hold_out=0.1,
    patience=150,
)

_RECIPES: dict[str, dict[str, Recipe]] = {
    "denoise": {
        "fast": replace(_BLIND, iterations=100, twice=False),
        "balanced": replace(_BLIND, alone=_BLIND_ALONE),
        "best": replace(
            _BLIND, iterations=4800, crop=256, pretraining=0.1, patience=1500, share=0.4
        ),
    },
    "inpaint": {
        "fast": replace(_FILL, iterations=250, floor=0.7, turns=5),
        "balanced": _FILL,
        "best": replace(_FILL, iterations=1200, floor=0.02, patience=300, turns=24),
    },
    "super-resolution": {
        "fast": replace(_SUPER, iterations=150, floor=0.6, average=0.95, turns=3),
        "balanced": _SUPER,
        "best": replace(_SUPER, members=2),  # a longer fit makes it worse
    },
    "jpeg": {
        "fast": replace(_JPEG, iterations=10),
        "balanced": _JPEG,
        "best": replace(_JPEG, iterations=60),
    },
    "colourise": {
        "fast": replace(_COLOUR, iterations=100),
        "balanced": _COLOUR,
        "best": replace(_COLOUR, iterations=800),
    },
    "flash": {
        "fast": replace(_FLASH, iterations=100),
        "balanced": _FLASH,
        "best": replace(_FLASH, iterations=1200),
    },
    "kernel": {  # of an unknown blur, beside a gray picture
        "fast": replace(_DEBLUR, iterations=200),
        "balanced": replace(_DEBLUR, iterations=500),
        "best": replace(_DEBLUR, iterations=1000),
    },
    "deblur": {
        "fast": replace(_DEBLUR, iterations=150, floor=0.6, turns=4),
        "balanced": _DEBLUR,
        "best": replace(_DEBLUR, iterations=2000, floor=0.02, turns=8),
    },
}

_PAPER = Recipe("skip", 3000, z_noise=1 / 30, hold_out=0.0, patience=0, turns=6)
_HOLE = replace(_PAPER, iterations=5001, z_noise=0.03, average=0.0, grid=True)

_SMALL_NET = {"inputs": 3, "channels": (8, 16, 32, 64, 128), "skips": (0, 0, 0, 4, 4)}
_FLASH_NET = {"inputs": 3, "upsample": ("nearest", "nearest", *("bilinear",) * 3)}
_BLUR = replace(_PAPER, iterations=5000, z_noise=0.0, average=0.0)
_PAPERS = {
    "denoise": _PAPER,
    "jpeg": replace(_PAPER, iterations=2400, build=_SMALL_NET),
    "flash": replace(_PAPER, iterations=601, learning_rate=0.1, z_noise=0.0, build=_FLASH_NET),
    "colourise": replace(_PAPER, z_noise=0.0, build={"inputs": 3}),
    "deblur": _BLUR,
    "kernel": _BLUR,
}

FAR = 4  # a larger factor leaves a fit too much to make up
FAR_SHARE = 0.75  # of it beside the start; four of Set14 ×8 gained 0.01 to 0.2 dB

# The sizes of holes for which the paper changes its network, in pixels from their edge.
PIXEL_HOLES = 2.5
TEXT_HOLES = 16.0
LARGE_HOLES = 64.0


def recipe_for(
    task: str, settings: Settings, *, noise_std: float | None = None, hole: float = 0.0
) -> Recipe:
    """Choose the recipe of a job.

    Args:
        task: name of the task.
        settings: preset, and what overrides it: network, iterations, a fit that stands alone.
        noise_std: noise level on the 0–1 scale, if known (denoise).
        hole: greatest distance of a missing pixel from a known one, in pixels (inpaint).
    """
    if settings.preset == "paper":
        recipe = _paper(task, settings.factor, noise_std, hole)
    else:
        recipe = _RECIPES[task][settings.preset]
    if settings.network not in (None, recipe.network):
        recipe = _other_network(recipe, task, str(settings.network))
    if task == "super-resolution" and settings.factor > FAR and settings.preset != "paper":
        recipe = replace(recipe, share=FAR_SHARE)
    if settings.fit_only:
        recipe = replace(recipe, **recipe.alone)
    recipe = replace(recipe, optimiser=settings.optimiser)
    if settings.iterations is not None:
        recipe = replace(recipe, iterations=settings.iterations, patience=0)
    return recipe


def _paper(task: str, factor: int, noise_std: float | None, hole: float) -> Recipe:
    """Return the settings of the paper's published code; where it has none, its usual ones."""
    strong = task == "denoise" and noise_std is not None and noise_std > 37.5 / 255
    if strong:
        return replace(_PAPER, iterations=1800, z_noise=1 / 20)
    if task == "super-resolution":
        many = factor > 4
        return replace(
            _PAPER, iterations=4000 if many else 2000, z_noise=0.05 if many else 0.03, average=0.0
        )
    return _paper_inpaint(hole) if task == "inpaint" else _PAPERS[task]


def _paper_inpaint(hole: float) -> Recipe:
    """Return the settings of the paper's code for holes of a size (greatest depth, pixels)."""
    if hole <= PIXEL_HOLES:
        return replace(_PAPER, iterations=11000, learning_rate=0.001, z_noise=0.03, average=0.0)
    if hole <= TEXT_HOLES:
        build: dict[str, Any] = {"skips": (128,) * 5, "upsample": "nearest"}
        return replace(_HOLE, iterations=6001, build=build, grid=False)
    if hole <= LARGE_HOLES:
        build = {"inputs": 2, "skips": (0,) * 5, "upsample": "nearest"}
        return replace(_HOLE, build=build)
    build = {
        "inputs": 1,
        "channels": (16, 32, 64, 128, 128, 128),
        "skips": (0,) * 6,
        "upsample": "nearest",
        "down_kernel": 5,
        "pointwise": False,
    }
    return replace(
        _HOLE, iterations=3001, z_noise=0.0, weight_noise=1 / 50, grid=False, build=build
    )


def _other_network(recipe: Recipe, task: str, network: str) -> Recipe:
    """Keep budget and start of a recipe and change what a network cannot do without."""
    kept: dict[str, Any] = {
        "iterations": recipe.iterations,
        "turns": recipe.turns,
        "twice": recipe.twice,
    }
    if network == "blind-spot":
        return replace(_BLIND, **kept)
    latent = {
        "denoise": replace(_PAPER, hold_out=0.02, probe=True, share=0.25),
        "inpaint": _FILL,
        "super-resolution": _SUPER,
        "jpeg": _JPEG,
        "deblur": _DEBLUR,
        "kernel": _DEBLUR,
        "flash": _FLASH,
        "colourise": _COLOUR,
    }[task]
    if network == "deep-decoder":  # its z is coarse: what is added to it moves the whole picture
        return replace(latent, z_noise=0.0, network=network, build={}, **kept)
    shown = {name: latent.build[name] for name in ("inputs",) if name in latent.build}
    return replace(latent, network=network, build=shown, **kept)
