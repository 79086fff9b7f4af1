"""The command-line options that say how a picture is to be restored.

``dip-engine restore`` and ``dip-batch`` take the same ones, so they are declared once, here. Names
and ranges follow `dip_engine.job.Settings`; the one difference is the noise level, which a person
gives in 8-bit levels (σ = 25) and the engine keeps on the 0–1 scale. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import click

from dip_engine.errors import InputError
from dip_engine.job import MAX_SEED, Settings
from dip_engine.option_values import color_of
from dip_engine.tasks import (
    BLURS,
    DTYPES,
    FACTORS,
    NETWORKS,
    NOISE_MODELS,
    OPTIMISERS,
    PRESETS,
    TASKS,
)

Command = TypeVar("Command", bound=Callable[..., Any])

MASKED_TASKS = ", ".join(task.name for task in TASKS if task.takes_mask)
"""The tasks for which a mask says where the picture may change, for help texts."""

_DEFAULTS = Settings()
_FILE = click.Path(path_type=Path, dir_okay=False, exists=True)


def settings_options(command: Command) -> Command:
    """Give a click command the options of a restoration.

    The command receives ``task`` (a name of `TASKS`), ``mask_color`` (0–255 RGB or None),
    ``guide`` and ``kernel`` (paths or None), and the keywords of `settings_from_options`.
    """
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def adapted(
    without: Collection[str], **defaults: object
) -> Callable[[click.Command], click.Command]:
    """Give a finished click command other defaults, and take options from it.

    Args:
        without: names of values whose options go.
        defaults: by name of their values; none of these is required any more.
    """

    def adapt(command: click.Command) -> click.Command:
        command.params = [option for option in command.params if option.name not in without]
        for option in command.params:
            if isinstance(option, click.Option) and option.name in defaults:
                option.default, option.required = defaults[option.name], False
                option.show_default = True
        return command

    return adapt


def settings_from_options(
    *,
    preset: str,
    network: str | None,
    iterations: int | None,
    noise_level: float | None,
    factor: str,
    quality: int | None,
    seed: int,
    device: str,
    dtype: str,
    deterministic: bool,
    time_limit: float | None,
    strength: float,
    noise_model: str,
    photons: float | None,
    blur: str,
    blur_size: float | None,
    blur_angle: float,
    optimiser: str,
    fit_only: bool,
) -> Settings:
    """Turn the values of `settings_options` into settings.

    Raises:
        click.UsageError: a value that the options let through and the settings do not take.
    """
    try:
        return Settings(
            preset=preset,
            network=network,
            iterations=iterations,
            noise_std=None if noise_level is None else noise_level / 255,
            factor=int(factor),
            quality=quality,
            seed=seed,
            device=device,
            dtype=dtype,
            deterministic=deterministic,
            time_limit=time_limit,
            strength=strength,
            noise_model=noise_model,
            photons=photons,
            blur=blur,
            blur_size=blur_size,
            blur_angle=blur_angle,
            optimiser=optimiser,
            fit_only=fit_only,
        )
    except InputError as error:
        raise click.UsageError(str(error)) from error


_OPTIONS = (
    click.option(
        "--task",
        type=click.Choice([task.name for task in TASKS]),
        required=True,
        help="What to do with the picture.",
    ),
    click.option(
        "--preset",
        type=click.Choice(PRESETS),
        default=_DEFAULTS.preset,
        show_default=True,
        help="How much time to spend; paper = the published settings.",
    ),
    click.option(
        "--network", type=click.Choice(NETWORKS), help="Another network than the preset's."
    ),
    click.option(
        "--optimiser",
        type=click.Choice(OPTIMISERS),
        default=_DEFAULTS.optimiser,
        show_default=True,
        help="What adjusts the network.",
    ),
    click.option(
        "--fit-only",
        is_flag=True,
        help="Deliver the fit alone, without the classical estimate that it starts from.",
    ),
    click.option(
        "--iterations",
        type=click.IntRange(1, 1_000_000),
        help="A fixed number of iterations, without the automatic stop.",
    ),
    click.option(
        "--noise-level",
        type=click.FloatRange(0, 255),
        metavar="SIGMA",
        help="Standard deviation of the noise in 8-bit levels (0–255).  [default: estimated]",
    ),
    click.option(
        "--noise-model",
        type=click.Choice(NOISE_MODELS),
        default=_DEFAULTS.noise_model,
        show_default=True,
        help="Noise that is the same everywhere, or that of counted photons.",
    ),
    click.option(
        "--photons",
        type=click.FloatRange(0.1, 1e9),
        metavar="COUNT",
        help="Photons of a white pixel, with --noise-model poisson.  [default: estimated]",
    ),
    click.option(
        "--factor",
        type=click.Choice([str(factor) for factor in FACTORS]),
        default=str(_DEFAULTS.factor),
        show_default=True,
        help="Enlargement of super-resolution.",
    ),
    click.option(
        "--quality",
        type=click.IntRange(1, 100),
        help="JPEG quality of the picture.  [default: read from the file]",
    ),
    click.option(
        "--blur",
        type=click.Choice(BLURS),
        default=_DEFAULTS.blur,
        show_default=True,
        help="Shape of the blur; an unknown one is found.",
    ),
    click.option(
        "--blur-size",
        type=click.FloatRange(0.3, 200),
        metavar="PIXELS",
        help="Standard deviation of a Gaussian (2), length of a motion (15), radius of a defocused "
        "disc (4), greatest extent of an unknown blur (21).",
    ),
    click.option(
        "--blur-angle",
        type=click.FloatRange(-360, 360),
        default=_DEFAULTS.blur_angle,
        metavar="DEGREES",
        help="Direction of a motion: 0 is horizontal, 90 vertical, counterclockwise.",
    ),
    click.option(
        "--guide",
        type=_FILE,
        help="Second picture of the same size: the one with strokes of colour (colourise) or the "
        "one taken with flash (flash).",
    ),
    click.option(
        "--kernel",
        type=_FILE,
        help="Picture of the blur of a point, for deblur; goes before --blur.",
    ),
    click.option(
        "--mask-color",
        metavar="RRGGBB",
        callback=color_of,
        help="Only pixels of exactly this colour are to be restored, e.g. ff0000 "
        f"({MASKED_TASKS}).",
    ),
    click.option(
        "--strength",
        type=click.FloatRange(0, 1),
        default=_DEFAULTS.strength,
        show_default=True,
        help="How much of the restoration goes into the result; the rest is the picture as it was.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(0, MAX_SEED),
        default=_DEFAULTS.seed,
        show_default=True,
        help="Of every random number.",
    ),
    click.option(
        "--device",
        default=_DEFAULTS.device,
        show_default=True,
        metavar="DEVICE",
        help="auto, cpu, cuda, cuda:1, mps …",
    ),
    click.option(
        "--dtype",
        type=click.Choice(DTYPES),
        default=_DEFAULTS.dtype,
        show_default=True,
        help="Number format of the network.",
    ),
    click.option("--deterministic", is_flag=True, help="The same bits for the same seed (slower)."),
    click.option(
        "--time-limit",
        type=click.FloatRange(0.1, 1e7),
        metavar="SECONDS",
        help="Return the best picture so far after this time.",
    ),
)
