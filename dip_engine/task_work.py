"""From a job and its picture to the task's `Work`: what else the task needs is read here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from dip_engine import masks
from dip_engine.colourisation import Colourising, read_guide, read_hints
from dip_engine.deblurring import Deblurring, known_kernel
from dip_engine.denoising import Denoising
from dip_engine.enlarging import Enlarging
from dip_engine.errors import InputError
from dip_engine.finishing import ValueRange
from dip_engine.flash import FlashNoFlash
from dip_engine.inpainting import Inpainting
from dip_engine.job import Job
from dip_engine.jpeg import find_quality
from dip_engine.jpeg_restoration import JpegRestoration
from dip_engine.nonlocal_estimate import SMALLEST_NOISE
from dip_engine.picture import Picture
from dip_engine.tiling import Tile, region_of_interest
from dip_engine.work import Work

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(slots=True)
class Given:
    """What a task has to work with.

    Attributes:
        job: its settings are those for `pixels`.
        source: the picture as it was read.
        pixels: on the 0–1 scale; photon counts may be negative, see `ValueRange.for_job`.
        mask: float32 H×W, or None.
        warnings: sentences the user should see are added here.
    """

    job: Job
    source: Picture
    pixels: Array
    mask: Array | None
    warnings: list[str]


def make_work(
    job: Job, source: Picture, values: ValueRange, mask: Array | None, warnings: list[str]
) -> Work:
    """Return the work of a job.

    Args:
        job: what to do.
        source: the picture as it was read.
        values: the range of its values in which the job is done.
        mask: float32 H×W, or None.
        warnings: sentences the user should see are added here.

    Raises:
        InputError: the task cannot be done with this picture, or its second picture or kernel
            cannot be read.
        MaskError: the mask leaves nothing to restore from.
    """
    settings = job.settings
    if settings.noise_std is not None:
        settings = replace(settings, noise_std=min(1.0, settings.noise_std / values.width))
    if settings.photons is not None:
        settings = replace(settings, photons=settings.photons * values.width)
    job = replace(job, settings=settings)
    given = Given(job, source, values.to_unit(source.pixels), mask, warnings)
    return _MAKERS[job.task](given)


def _denoise(given: Given) -> Work:
    denoising = Denoising(given.pixels, given.job.settings, opaque(given.source))
    _warn_without_noise(given, denoising.noise_std)
    return denoising


def _inpaint(given: Given) -> Work:
    assert given.mask is not None, "the task needs one"
    hidden = masks.hidden_by(given.source, given.mask)
    with _named(given.job):
        return Inpainting(given.pixels, given.mask, given.job.settings, hidden)


def _enlarge(given: Given) -> Work:
    return Enlarging(given.pixels, given.job.settings)


def _jpeg(given: Given) -> Work:
    settings = given.job.settings
    quality = settings.quality or given.source.quality or find_quality(given.pixels)
    if quality is None:
        raise InputError(
            f"{given.job.input} shows no traces of JPEG compression.",
            "If it was compressed, tell how strongly with --quality.",
        )
    if quality >= 95:
        given.warnings.append(
            f"JPEG quality {quality} or none at all: there is little to restore. If it was lower "
            "once, tell it with --quality."
        )
    return JpegRestoration(given.pixels, quality, settings)


def _deblur(given: Given) -> Work:
    kernel = known_kernel(given.job)
    with _named(given.job):
        return Deblurring(given.pixels, kernel, given.job.settings)


def _colourise(given: Given) -> Work:
    strokes, there = read_hints(given.job, given.source)
    return Colourising(given.pixels, strokes, there, given.job.settings)


def _flash(given: Given) -> Work:
    flash = read_guide(given.job, given.source).pixels
    unit = ValueRange.of(flash).to_unit(flash)
    work = FlashNoFlash(given.pixels, unit, given.job.settings)
    _warn_without_noise(given, work.noise_std)
    return work


@contextmanager
def _named(job: Job) -> Iterator[None]:
    """Let what is wrong with a picture begin with its name."""
    try:
        yield
    except InputError as error:
        raise type(error)(f"{job.input}: {error.sentence}", error.hint) from error


def _warn_without_noise(given: Given, noise_std: float) -> None:
    is_told = given.job.settings.noise_std is not None
    if not is_told and noise_std <= SMALLEST_NOISE and np.ptp(given.pixels) > 0:
        given.warnings.append("No noise was found; tell its level with --noise-level.")


_MAKERS: dict[str, Callable[[Given], Work]] = {
    "denoise": _denoise,
    "inpaint": _inpaint,
    "super-resolution": _enlarge,
    "jpeg": _jpeg,
    "deblur": _deblur,
    "colourise": _colourise,
    "flash": _flash,
}


def opaque(source: Picture) -> Tile:
    """Return the smallest rectangle that holds all pixels that can be seen."""
    if source.alpha is None or not source.alpha.any():
        return Tile(0, 0, source.height, source.width)
    return region_of_interest(source.alpha, 0)
