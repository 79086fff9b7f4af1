"""`restore(job)`: the whole line from picture file to restored picture file.

A clip takes the same line frame by frame, see `clip_restoration`.

read → mask → what the task knows → per tile: classical start, fit, join → check → write
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np

from dip_engine import masks, picture
from dip_engine.clips import is_clip
from dip_engine.clock import Clock
from dip_engine.colourisation import in_colour
from dip_engine.device import as_dip_error, choose_format, prepared, use_device
from dip_engine.errors import DipError, InputError, ResultError
from dip_engine.events import Event, Preview, Progress, Result, Started
from dip_engine.finishing import Finish, ValueRange
from dip_engine.fit import Fitted, Step, fit
from dip_engine.job import Job
from dip_engine.parts import Parts
from dip_engine.returning import Returning
from dip_engine.snapshots import Snapshots, check_folder
from dip_engine.stopping import psnr
from dip_engine.tally import Tally
from dip_engine.task_work import make_work
from dip_engine.tiling import Mosaic, Tile
from dip_engine.uncertainty import Uncertainty, wandering
from dip_engine.work import OVERLAP, Start

Array = np.ndarray[Any, np.dtype[Any]]

HEARTBEAT = 0.25  # seconds between two signs of life


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
            yield from _kind_of(job)(job, stop or threading.Event()).run()
    except DipError:
        raise
    except Exception as error:
        known = as_dip_error(error, str(job.input))
        if known is None:
            raise
        raise known from error


def _kind_of(job: Job) -> type[Restoration]:
    if not is_clip(job.input):
        return Restoration
    from dip_engine.clip_restoration import ClipRestoration

    return ClipRestoration


class Restoration:
    """The state of one job: clock, devices, what is shown.

    Args:
        job: what to do.
        stop: see `restore`.
    """

    def __init__(self, job: Job, stop: threading.Event) -> None:
        self.job = job
        self.clock = Clock(job.settings.time_limit, stop)
        self.told = self.next_preview = 0.0
        self.fraction = 0.0
        self.tally = Tally()
        self.warm: dict[int, Mapping[str, Any]] = {}  # by tile: what its fit starts from

    def run(self) -> Iterator[Event]:
        """Do the job, see `restore_events`."""
        job = self.job
        self.device = use_device(job.settings.device)
        self.dtype = choose_format(self.device, job.settings)
        source = picture.read(job.input)
        if job.task == "colourise":
            source = in_colour(source)
        picture.check_target(job.output, has_alpha=source.alpha is not None)
        for folder in (job.snapshots, job.parts):
            if folder is not None:
                check_folder(folder)
        mask = masks.find_mask(job, source)
        values = ValueRange.of(source.pixels).for_job(job)
        self.work = work = make_work(job, source, values, mask, self.tally.warnings)
        if job.uncertainty is not None:
            picture.check_target(job.uncertainty, has_alpha=False, floats=True)
            work.recipe = wandering(work.recipe)
        width, height = source.width * work.factor, source.height * work.factor
        check_size(job, width, height)
        started = Started(
            width,
            height,
            len(work.tiles),
            work.recipe.network,
            str(self.device),
            str(self.dtype).removeprefix("torch."),
            None if work.noise is None else work.noise.std * values.width,
        )
        yield started
        self.finish = Finish(job, source, mask, values, work.factor)
        self.mosaic = Mosaic(work.first().astype(np.float32), OVERLAP)
        self.parts = Parts(job.parts, work, self.mosaic)
        self.uncertainty = Uncertainty(job.uncertainty, work, self.mosaic)
        if job.settings.preview_seconds and self._rough is not None:
            self.mosaic.start[:] = self._rough
        yield from self._preview(0, force=True)
        with Snapshots(job.snapshots, work, self.mosaic, self.finish) as self.snapshots:
            for index, tile in enumerate(work.tiles):
                yield from self._tile(tile, index)
            if self.clock.ended() is None:
                yield from self.snapshots.rest()
            if self.snapshots.problem is not None:
                self.tally.warnings.append(f"Snapshots ended early: {self.snapshots.problem}")
        restored = work.finish(self.mosaic.picture())
        self.finish.check_finite(restored)
        self.finish.check_not_flat(restored)
        result = self.finish.picture(restored)
        self.parts.write(self.finish)
        self.uncertainty.write(self.finish)
        picture.write(job.output, result, source, alpha=self.finish.alpha)
        noise_kind = None if work.noise is None else work.noise.kind
        yield self.tally.result(job, started, noise_kind, self.clock.seconds)

    @property
    def _rough(self) -> Array | None:
        """What stands for the result at first; nothing classical where the fit stands alone."""
        return None if self.job.settings.fit_only else self.work.rough

    def _leave_out(self, tile: Tile, reason: str) -> None:
        """Let a tile for which there is no time be the rough result, if there is one."""
        self.tally.add_left_out(reason)
        rough = self._rough
        if rough is not None:
            self._show(tile, lambda: tile.scaled(self.work.factor).cut(rough))

    def _tile(self, tile: Tile, index: int) -> Iterator[Event]:
        work, count = self.work, len(self.work.tiles)
        reason = self.clock.ended()
        if index and reason is not None:
            self._leave_out(tile, reason)
            return
        estimate = Returning(self._start(tile))
        for done in estimate:
            yield from self._progress("start", (index + work.start_share * done) / count, index)
            if self.clock.overdue():
                self._leave_out(tile, self.clock.ended() or "")
                return
        start = estimate.value
        self._show(tile, lambda: start)
        yield from self._preview(0, force=True)
        yield from self.snapshots.take(tile, 0, lambda: start)
        reason = self.clock.ended()
        if reason is not None:
            self.tally.add_without_fit(reason)
            self.parts.add(tile, start, start)
            yield from self._add(tile, start, None)
            return
        fitted = yield from self._fit(tile, index, start)
        self.tally.add(fitted, self._error(tile, start, fitted))
        self.parts.add(tile, start, work.fit_alone(tile, fitted) if fitted.answered else start)
        self.uncertainty.add(tile, fitted)
        joined = self._join(tile, start, fitted)
        if not self.job.settings.fit_only and self.clock.ended() is None:
            polished = Returning(work.polish(tile, joined, self.device))
            for done in polished:
                part = 1 - work.polish_share * (1 - done)
                yield from self._progress("fit", (index + part) / count, index)
                if self.clock.overdue():
                    break
            else:
                joined = polished.value
        yield from self._add(tile, joined, psnr(fitted.held_out))
        yield from self._preview(fitted.iteration, force=True)

    def _start(self, tile: Tile) -> Start:
        """Make the classical start; a fit that stands alone needs none but to be a change of it."""
        yield from self.work.prepare(self.device)
        if not self.job.settings.fit_only or self.work.recipe.residual:
            return (yield from self.work.start(tile, self.device))
        return tile.scaled(self.work.factor).cut(self.mosaic.start).copy()

    def _join(self, tile: Tile, start: Array, fitted: Fitted) -> Array:
        if not fitted.answered:
            return start
        if self.job.settings.fit_only:
            return self.work.fit_alone(tile, fitted)
        return self.work.join(tile, start, fitted)

    def _error(self, tile: Tile, start: Array, fitted: Fitted) -> float | None:
        if self.job.settings.fit_only:
            return fitted.held_out
        return self.work.error(tile, start, fitted)

    def _fit(self, tile: Tile, index: int, start: Array) -> Generator[Event, None, Fitted]:
        work, count, seed = self.work, len(self.work.tiles), self.job.settings.seed
        problem = work.problem(tile, start, self.device)
        end = self._end_of_fit(index)
        steps = Returning(
            fit(
                problem,
                work.recipe,
                seed=seed + index,
                dtype=self.dtype,
                held=work.held(tile, problem, seed),
                judge=None if self.job.settings.fit_only else work.judge(tile),
                warm=self.warm.get(index),
                stop=self.clock.stop,
                out_of_time=lambda: self.clock.seconds > end,
            )
        )
        for step in steps:
            part = step.iteration / work.recipe.iterations
            part = work.start_share + (1 - work.start_share - work.polish_share) * part
            yield from self._progress("fit", (index + part) / count, index, step)
            # Preview and snapshot share what is joined.
            join = cache(partial(self._join_now, tile, start, step))
            yield from self._preview(step.iteration, partial(self._show, tile, join))
            if not step.answered:  # index 0 shows the start already
                continue
            for snapshot in self.snapshots.take(tile, step.iteration, join, self._psnr(step)):
                yield replace(snapshot, loss=step.loss)
        return steps.value

    def _psnr(self, step: Step) -> float | None:
        error = step.held_out
        if error is None and not self.work.recipe.crop:  # that of a window is not the picture's
            error = step.loss
        return psnr(error)

    def _end_of_fit(self, index: int) -> float:
        """Return the seconds since the job began at which the fit of a tile must end."""
        return self.clock.share(len(self.work.tiles) - index)

    def _add(self, tile: Tile, result: Array, decibels: float | None) -> Iterator[Event]:
        self.finish.check_finite(result)
        yield from self.snapshots.end(tile, result, decibels)
        self.mosaic.add(tile.scaled(self.work.factor), result)

    def _join_now(self, tile: Tile, start: Array, step: Step) -> Array:
        """Return a tile's result as if its fit had ended with this step."""
        fitted = Fitted(
            step.picture(), step.iteration, None, step.iteration, "", answered=step.answered
        )
        return self._join(tile, start, fitted)

    def _show(self, tile: Tile, make: Callable[[], Array]) -> None:
        """Let an unfinished tile be seen; it is joined with its neighbours when it is done."""
        tile.scaled(self.work.factor).cut(self.mosaic.start)[:] = make()

    def _progress(
        self, stage: str, fraction: float, tile: int, step: Step | None = None
    ) -> Iterator[Event]:
        seconds = self.clock.seconds
        if seconds - self.told < HEARTBEAT:
            return
        self.told = seconds
        fraction, tile, tiles = self._place(fraction, tile)
        self.fraction = max(self.fraction, fraction)
        remaining = seconds * (1 - self.fraction) / self.fraction if self.fraction > 0.02 else None
        yield Progress(
            stage,
            self.fraction,
            0 if step is None else step.iteration,
            0 if step is None else self.work.recipe.iterations,
            None if step is None else step.loss,
            None if step is None else self._psnr(step),
            seconds,
            remaining,
            tile,
            tiles,
        )

    def _place(self, fraction: float, tile: int) -> tuple[float, int, int]:
        """Return what to tell of a fraction of the picture: of the job, which part, of how many."""
        return fraction, tile, len(self.work.tiles)

    def _preview(
        self, iteration: int, show: Callable[[], None] | None = None, *, force: bool = False
    ) -> Iterator[Event]:
        pause, begin = self.job.settings.preview_seconds, self.clock.seconds
        if not pause or (not force and begin < self.next_preview):
            return
        if show is not None:
            show()
        now = self.finish.picture(self.work.finish(self.mosaic.picture()))
        yield Preview(iteration, *self.finish.thumbnail(now))
        end = self.clock.seconds
        # The picture of a large job costs more than many iterations: it gets a tenth of the time.
        self.next_preview = max(begin + pause, end + 9 * (end - begin))


def check_size(job: Job, width: int, height: int) -> None:
    """Refuse an enlargement that could not be held.

    Raises:
        InputError: it would have too many pixels.
    """
    if height * width > picture.MAX_PIXELS:
        raise InputError(
            f"{job.input} would become {width}×{height} pixels, which is too many.",
            "Choose a smaller factor.",
        )
