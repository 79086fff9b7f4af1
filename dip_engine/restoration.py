"""`restore(job)`: the whole line from picture file to restored picture file.

read → mask → what the task knows → per tile: classical start, fit, join → check → write
"""

from __future__ import annotations

import platform
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import replace
from typing import Any, Generic, TypeVar

import numpy as np
import torch

import dip_engine
from dip_engine import classical, masks, picture
from dip_engine.device import as_dip_error, choose_device, choose_format, prepared
from dip_engine.errors import DipError, InputError, MaskError, ResultError
from dip_engine.fit import Fitted, Step, fit
from dip_engine.job import Event, Job, Preview, Progress, Result, Started
from dip_engine.jpeg import find_quality
from dip_engine.picture import Picture
from dip_engine.problems import (
    OVERLAP,
    Denoising,
    Enlarging,
    Inpainting,
    JpegRestoration,
    Work,
)
from dip_engine.stopping import psnr
from dip_engine.tiling import Mosaic, Tile, region_of_interest

Array = np.ndarray[Any, np.dtype[Any]]
Yielded = TypeVar("Yielded")
Returned = TypeVar("Returned")

PREVIEW_SIDE = 512
HEARTBEAT = 0.25  # seconds between two signs of life
GRACE = 2.0  # seconds that a classical start may go on after the end was wanted


def restore(job: Job, stop: threading.Event | None = None) -> Result:
    """Restore one picture and write it.

    Args:
        job: what to do.
        stop: set it from another thread to end with the best picture so far.

    Raises:
        DipError: with one sentence and a hint; nothing was written then.
    """
    result = None
    for event in restore_events(job, stop):
        result = event
    if not isinstance(result, Result):
        raise ResultError(f"{job.input} gave no result.")
    return result


def restore_events(job: Job, stop: threading.Event | None = None) -> Iterator[Event]:
    """Restore one picture, telling what happens; the last event is the `Result`.

    Closing the iterator cancels the job; nothing is written then.

    Raises:
        DipError: see `restore`.
    """
    try:
        with prepared(job.settings):
            yield from _Restoration(job, stop or threading.Event()).run()
    except DipError:
        raise
    except Exception as error:
        known = as_dip_error(error, str(job.input))
        if known is None:
            raise
        raise known from error


class _Returning(Generic[Yielded, Returned]):
    """A generator in a for loop that keeps what it returns at its end."""

    value: Returned

    def __init__(self, generator: Generator[Yielded, None, Returned]) -> None:
        self.generator = generator

    def __iter__(self) -> Iterator[Yielded]:
        self.value = yield from self.generator


class _Tally:
    """What the fits of the tiles said, for the report."""

    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.iterations: list[int] = []
        self.snapshots: list[int] = []
        self.errors: list[float] = []

    def add(self, fitted: Fitted, error: float | None) -> None:
        """Note the end of a tile's fit, and the estimated error of its result."""
        self.reasons.append(fitted.reason)
        self.iterations.append(fitted.iterations)
        self.snapshots.append(fitted.iteration)
        if error is not None:
            self.errors.append(error)

    def reason(self) -> str:
        """Return the most frequent reason; a limit or a hand that stopped one tile wins."""
        for strong in ("stopped by hand", "time limit reached", "the fit diverged"):
            if strong in self.reasons:
                return strong
        return max(self.reasons, key=self.reasons.count) if self.reasons else "nothing to do"


class _Restoration:
    """The state of one job: clock, devices, what is shown."""

    def __init__(self, job: Job, stop: threading.Event) -> None:
        self.job = job
        self.stop = stop
        self.begin = time.monotonic()
        self.told = self.shown = self.begin
        self.fraction = 0.0
        self.scale = 1.0
        self.ended: float | None = None
        self.warnings: list[str] = []
        self.tally = _Tally()

    def run(self) -> Iterator[Event]:
        settings = self.job.settings
        self.device = choose_device(settings.device)
        self.dtype = choose_format(self.device, settings)
        source = picture.read(self.job.input)
        picture.check_target(self.job.output, has_alpha=source.alpha is not None)
        mask = _mask(self.job, source)
        pixels, low, high = _unit_range(source.pixels)

        work = self._work(source, pixels, mask, high - low)
        height, width = (n * work.factor for n in source.pixels.shape[:2])
        _check_size(self.job, height, width)
        yield Started(
            width,
            height,
            len(work.tiles),
            work.recipe.network,
            str(self.device),
            str(self.dtype).removeprefix("torch."),
            None if work.noise is None else work.noise.std * self.scale,
        )
        mosaic = Mosaic(work.first().astype(np.float32), OVERLAP)
        yield from self._preview(0, lambda: work.finish(mosaic.picture()), force=True)
        for index, tile in enumerate(work.tiles):
            yield from self._tile(work, tile, index, mosaic)
        restored = work.finish(mosaic.picture())

        restored = low + np.clip(restored, 0, 1) * (high - low)
        if mask is not None:
            restored = np.where(mask[:, :, None] > 0, restored, source.pixels)
        elif work.factor == 1:
            restored = _keep_hidden(restored, source)
        _check_result(
            self.job, source.pixels if mask is None else source.pixels[mask == 0], restored
        )
        alpha = _alpha(source, mask if self._mask_is_alpha(source) else None, work.factor)
        picture.write(self.job.output, restored.astype(np.float32), source, alpha=alpha)
        yield self._result(work, height, width)

    def _work(self, source: Picture, pixels: Array, mask: Array | None, scale: float) -> Work:
        settings = self.job.settings
        self.scale = scale  # noise levels are told in units of the file
        if self.job.task == "denoise":
            if settings.noise_std is not None:
                settings = replace(settings, noise_std=min(1.0, settings.noise_std / scale))
            denoising = Denoising(pixels, settings, _opaque(source))
            if not denoising.noise_std and np.ptp(pixels) > 0:
                self.warnings.append("No noise was found; tell its level with --noise-level.")
            return denoising
        if self.job.task == "super-resolution":
            return Enlarging(pixels, settings)
        if self.job.task == "inpaint" and mask is not None:
            try:
                return Inpainting(pixels, mask, settings)
            except MaskError as error:
                raise MaskError(f"{self.job.input}: {error.sentence}", error.hint) from error
        quality = settings.quality or source.quality or find_quality(pixels)
        if quality is None:
            raise InputError(
                f"{self.job.input} shows no traces of JPEG compression.",
                "If it was compressed, tell how strongly with --quality.",
            )
        if quality >= 95:
            self.warnings.append(f"JPEG quality {quality}: there is little to restore.")
        return JpegRestoration(pixels, quality, settings)

    def _tile(self, work: Work, tile: Tile, index: int, mosaic: Mosaic) -> Iterator[Event]:
        count = len(work.tiles)
        if index and self._ended() is not None:
            self._leave_out(tile, work)
            return
        estimate = _Returning(work.start(tile, self.device))
        for done in estimate:
            part = work.start_share * done
            yield from self._progress("start", (index + part) / count, index, count)
            if self._overdue():
                self._leave_out(tile, work)
                return
        start = estimate.value
        self._show(work, tile, mosaic, start)
        yield from self._preview(0, lambda: work.finish(mosaic.picture()), force=True)
        reason = self._ended()
        if reason is not None:
            self.tally.add(Fitted(torch.empty(0), 0, None, 0, reason), None)
            mosaic.add(_scaled(tile, work), start)
            return

        problem = work.problem(tile, start, self.device)
        held = work.held(tile, problem, self.job.settings.seed)
        deadline = self._deadline(count - index)
        steps = _Returning(
            fit(
                problem,
                work.recipe,
                seed=self.job.settings.seed + index,
                dtype=self.dtype,
                held=held,
                stop=self.stop,
                out_of_time=lambda: time.monotonic() > deadline,
            )
        )
        for step in steps:
            yield from self._fit_events(work, tile, index, mosaic, start, step)
        fitted = steps.value
        self.tally.add(fitted, work.error(tile, start, fitted))
        mosaic.add(_scaled(tile, work), work.join(tile, start, fitted))
        yield from self._preview(
            fitted.iteration, lambda: work.finish(mosaic.picture()), force=True
        )

    def _fit_events(
        self, work: Work, tile: Tile, index: int, mosaic: Mosaic, start: Array, step: Step
    ) -> Iterator[Event]:
        count = len(work.tiles)
        part = step.iteration / work.recipe.iterations
        part = work.start_share + (1 - work.start_share) * part
        yield from self._progress("fit", (index + part) / count, index, count, step, work)

        def now() -> Array:
            fitted = Fitted(step.picture(), step.iteration, None, step.iteration, "")
            self._show(work, tile, mosaic, work.join(tile, start, fitted))
            return work.finish(mosaic.picture())

        yield from self._preview(step.iteration, now)

    def _show(self, work: Work, tile: Tile, mosaic: Mosaic, pixels: Array) -> None:
        """Let an unfinished tile be seen; it is joined with its neighbours when it is done."""
        _scaled(tile, work).cut(mosaic.start)[:] = pixels

    def _progress(
        self,
        stage: str,
        fraction: float,
        tile: int,
        tiles: int,
        step: Step | None = None,
        work: Work | None = None,
    ) -> Iterator[Event]:
        now = time.monotonic()
        if now - self.told < HEARTBEAT:
            return
        self.told = now
        self.fraction = max(self.fraction, fraction)
        seconds = now - self.begin
        remaining = seconds * (1 - self.fraction) / self.fraction if self.fraction > 0.02 else None
        iteration = iterations = 0
        loss = estimate = None
        if step is not None and work is not None:
            iteration, iterations, loss = step.iteration, work.recipe.iterations, step.loss
            estimate = psnr(loss if step.held_out is None else step.held_out)
        yield Progress(
            stage,
            self.fraction,
            iteration,
            iterations,
            loss,
            estimate,
            seconds,
            remaining,
            tile,
            tiles,
        )

    def _preview(
        self, iteration: int, make: Callable[[], Array], *, force: bool = False
    ) -> Iterator[Event]:
        pause = self.job.settings.preview_seconds
        now = time.monotonic()
        if not pause or (not force and now - self.shown < pause):
            return
        self.shown = now
        small = classical.shrink(make(), PREVIEW_SIDE)
        rgb = np.broadcast_to(small, (*small.shape[:2], 3))
        data = np.rint(np.clip(rgb, 0, 1) * 255).astype(np.uint8).tobytes()
        yield Preview(iteration, small.shape[1], small.shape[0], data)

    def _deadline(self, tiles_left: int) -> float:
        """Share the time that is left among the tiles."""
        limit = self.job.settings.time_limit
        if limit is None:
            return float("inf")
        now = time.monotonic()
        return now + max(0.0, self.begin + limit - now) / tiles_left

    def _ended(self) -> str | None:
        """Return why no more work is wanted, or None."""
        limit = self.job.settings.time_limit
        if self.stop.is_set():
            return "stopped by hand"
        if limit is not None and time.monotonic() - self.begin > limit:
            return "time limit reached"
        return None

    def _overdue(self) -> bool:
        """Return True when an end was wanted some seconds ago: even a start is given up then."""
        now = time.monotonic()
        if self._ended() is not None and self.ended is None:
            self.ended = now
        return self.ended is not None and now - self.ended > GRACE

    def _leave_out(self, tile: Tile, work: Work) -> None:
        """Leave a tile as it was, and say so."""
        reason = self._ended() or ""
        self.tally.add(Fitted(torch.empty(0), 0, None, 0, reason), None)
        warning = "There was no time for all of the picture: parts of it are as they were."
        if warning not in self.warnings:
            self.warnings.append(warning)

    def _mask_is_alpha(self, source: Picture) -> bool:
        given = self.job.mask is not None or self.job.mask_color is not None
        return self.job.task == "inpaint" and not given and source.alpha is not None

    def _result(self, work: Work, height: int, width: int) -> Result:
        job, tally = self.job, self.tally
        return Result(
            output=str(job.output),
            task=job.task,
            preset=job.settings.preset,
            network=work.recipe.network,
            seed=job.settings.seed,
            device=str(self.device),
            dtype=str(self.dtype).removeprefix("torch."),
            width=width,
            height=height,
            tiles=len(work.tiles),
            stop_reason=tally.reason(),
            iterations=round(_mean(tally.iterations) or 0),
            snapshot=round(_mean(tally.snapshots) or 0),
            psnr=psnr(_mean(tally.errors)),
            noise_std=None if work.noise is None else work.noise.std * self.scale,
            noise_kind=None if work.noise is None else work.noise.kind,
            seconds=time.monotonic() - self.begin,
            versions={
                "engine": dip_engine.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
            warnings=tuple(self.warnings),
        )


def _mask(job: Job, source: Picture) -> Array | None:
    """Return the mask of an inpainting job, 1 = restore; None for other tasks."""
    if not job.needs_mask:
        return None
    if job.mask is not None:
        return masks.read_mask(job.mask, source.width, source.height)
    try:
        if job.mask_color is not None:
            return masks.mask_from_color(source, job.mask_color)
        return masks.mask_from_alpha(source)
    except MaskError as error:
        sentence = error.sentence[0].lower() + error.sentence[1:]
        raise MaskError(f"{job.input}: {sentence}", error.hint) from error


def _unit_range(pixels: Array) -> tuple[Array, float, float]:
    """Bring float pictures that leave 0–1 into it: (pixels, low, high)."""
    low, high = min(0.0, float(pixels.min())), max(1.0, float(pixels.max()))
    if (low, high) == (0.0, 1.0):
        return pixels, low, high
    return ((pixels - low) / (high - low)).astype(np.float32), low, high


def _scaled(tile: Tile, work: Work) -> Tile:
    return tile.scaled(work.factor)


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _keep_hidden(restored: Array, source: Picture) -> Array:
    """Leave colours under wholly transparent pixels as they were."""
    if source.alpha is None:
        return restored
    return np.where((source.alpha == 0)[:, :, None], source.pixels, restored)


def _alpha(source: Picture, filled: Array | None, factor: int) -> Array | None:
    """Return the alpha channel of the result; holes that were transparent become opaque."""
    if source.alpha is None:
        return None
    if factor > 1:
        kind = source.alpha.dtype
        top = np.iinfo(kind).max if kind.kind == "u" else 1
        large = classical.enlarge(source.alpha.astype(np.float32) / top, factor)
        large = np.clip(large, 0, 1) * top
        return large.astype(kind) if kind.kind == "f" else np.rint(large).astype(kind)
    if filled is None:
        return source.alpha
    opaque = np.iinfo(source.alpha.dtype).max if source.alpha.dtype.kind == "u" else 1
    return np.where(filled > 0, opaque, source.alpha).astype(source.alpha.dtype)


def _check_size(job: Job, height: int, width: int) -> None:
    if height * width > picture.MAX_PIXELS:
        raise InputError(
            f"{job.input} would become {width}×{height} pixels, which is too many.",
            "Choose a smaller factor.",
        )


def _opaque(source: Picture) -> Tile:
    """Return the smallest rectangle that holds all pixels that can be seen."""
    if source.alpha is None or not source.alpha.any():
        return Tile(0, 0, source.height, source.width)
    return region_of_interest(source.alpha, 0)


def _check_result(job: Job, known: Array, restored: Array) -> None:
    """Refuse to write what is no picture.

    Args:
        job: names the file.
        known: pixels of the input that the result was made from.
        restored: the result.

    Raises:
        ResultError: values that are not finite, or a flat result of a picture that was not flat.
    """
    if not np.isfinite(restored).all():
        raise ResultError(
            f"The fit of {job.input} ended in values that are not finite.",
            "Try another seed, or --dtype float32.",
        )
    if np.ptp(restored) == 0 and np.ptp(known) > 0:
        raise ResultError(
            f"The fit of {job.input} ended in a flat picture.", "Try another seed or preset."
        )
