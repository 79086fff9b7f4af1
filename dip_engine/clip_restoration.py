"""A clip, frame by frame: the line of `restoration` with a memory.

read → motion, cuts → the scene prepares starts with its neighbours → per frame: fit, join → write

What makes the result steady in time: all frames share one noise level, one latent code and the
same random draws; each fit goes on from where that of the frame before ended, and takes fewer
iterations; and the starts come from several frames. A cut begins everything anew.

Frames wait in memory only until their neighbours are there, so that a clip may be of any length.
An end by hand or by a time limit leaves the remaining frames as they were: the result is always a
whole clip with all its sound.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from dip_engine import classical
from dip_engine.alignment import find_motion
from dip_engine.clip_masks import ClipMasks
from dip_engine.clip_output import ClipOutput, check_target, create_output
from dip_engine.clips import Frame, open_clip
from dip_engine.denoising import Denoising
from dip_engine.device import choose_format, use_device
from dip_engine.errors import InputError, OutputError
from dip_engine.events import Event, Preview, Started
from dip_engine.finishing import Finish, ValueRange
from dip_engine.fit import Fitted
from dip_engine.job import Job
from dip_engine.noise import Noise
from dip_engine.nonlocal_estimate import SMALLEST_NOISE
from dip_engine.parts import Parts
from dip_engine.presets import Recipe, recipe_for
from dip_engine.restoration import Restoration, check_size
from dip_engine.returning import Returning
from dip_engine.scenes import (
    DenoisingScene,
    EnlargingScene,
    InpaintingScene,
    Masked,
    Prepared,
    Preparing,
    Scene,
)
from dip_engine.snapshots import Snapshots
from dip_engine.task_work import opaque
from dip_engine.tasks import find_task
from dip_engine.tiling import Mosaic, Tile
from dip_engine.uncertainty import Uncertainty
from dip_engine.work import OVERLAP, Work

Array = np.ndarray[Any, np.dtype[Any]]

WARM = 0.25  # of the iterations, for a fit that goes on from the frame before
SAMPLES = 5  # frames from which the noise level is estimated
START_SHARE = 0.4  # of the time that the starts of denoising take, roughly
_UNIT = ValueRange(0.0, 1.0, 0.0)


class ClipRestoration(Restoration):
    """The state of one job whose input is a clip; see `restoration.Restoration`."""

    def run(self) -> Iterator[Event]:
        """Do the job, see `restoration.restore_events`."""
        job = self.job
        _check(job)
        self.device = use_device(job.settings.device)
        self.dtype = choose_format(self.device, job.settings)
        self.clip = open_clip(job.input)
        check_target(job.output)
        self.factor = job.settings.factor if job.task == "super-resolution" else 1
        size = self.clip.width * self.factor, self.clip.height * self.factor
        check_size(job, *size)
        self.masks = ClipMasks(job, self.clip)
        self.noise = self._noise() if job.task == "denoise" else None
        self.scene: Scene | None = None
        self.waiting: deque[Masked] = deque()  # frames that a scene has not given back
        self.done = self.untouched = 0  # frames
        self.prepared = 0.0  # frames whose start is made, parts included
        self.preparing = 0.0  # seconds spent on starts
        self.kind = ""  # of the networks whose weights are kept
        noise_std = None if self.noise is None else self.noise.std
        recipe = recipe_for(job.task, job.settings, noise_std=noise_std)
        started = Started(
            *size,
            self.clip.count,
            recipe.network,
            str(self.device),
            str(self.dtype).removeprefix("torch."),
            noise_std,
        )
        yield started
        partial = job.needs_mask or job.mask is not None or job.mask_color is not None
        threads = job.settings.threads or 0
        with create_output(job.output, self.clip, size, partial=partial, threads=threads) as output:
            yield from self._frames(output)
            output.finish()
            self.tally.warnings += [*self.clip.problems, *output.warnings]
        if not self.masks.any:
            self.tally.warnings.append("The masks mark nothing: nothing was restored.")
        noise_kind = None if self.noise is None else self.noise.kind
        yield self.tally.result(job, started, noise_kind, self.clock.seconds)

    def _noise(self) -> Noise:
        """Return the noise of the clip: the median of some frames from all over it."""
        settings = self.job.settings
        works = [
            Denoising(frame.pixels, settings, opaque(frame.picture))
            for frame in self.clip.samples(SAMPLES)
        ]
        found = [work.noise for work in works if work.noise is not None]
        kind = Counter(noise.kind for noise in found).most_common(1)[0][0]
        std = float(np.median([noise.std for noise in found if noise.kind == kind]))
        if settings.noise_std is None and std <= SMALLEST_NOISE:
            self.tally.warnings.append("No noise was found; tell its level with --noise-level.")
        return Noise(std, kind)

    def _frames(self, output: ClipOutput) -> Iterator[Event]:
        before: Masked | None = None
        with closing(self.clip.frames()) as frames:
            for frame in frames:
                masked = Masked(frame, self.masks.next(frame))
                self.waiting.append(masked)
                if before is None:
                    yield from self._first_preview(masked)
                yield from self._take(masked, before, output)
                before = masked
                if self.clock.ended() is not None:
                    break
            yield from self._end_of_scene(output)
            for masked in self.waiting:
                self._write_untouched(masked.frame, output)
            for frame in frames:
                self._write_untouched(frame, output)
        if self.untouched:
            self.tally.add_without_fit(self.clock.ended() or "")
            self.tally.warnings.append(
                f"There was no time for {self.untouched} of the {self.done + self.untouched} "
                "frames: they are as they were."
            )

    def _take(self, masked: Masked, before: Masked | None, output: ClipOutput) -> Iterator[Event]:
        """Hand a frame to its scene, and restore those that are ready then."""
        shift = 0.0, 0.0
        if before is not None:
            known = self._known(before), self._known(masked)
            motion = find_motion(before.frame.pixels, masked.frame.pixels, known)
            shift = motion.shift
            if motion.is_cut:
                yield from self._end_of_scene(output)
        if self.clock.ended() is not None:
            return
        if self.scene is None:
            self.scene = self._scene(masked.frame)
        yield from self._restore(self.scene.add(masked, shift), output)

    def _end_of_scene(self, output: ClipOutput) -> Iterator[Event]:
        if self.scene is not None:
            yield from self._restore(self.scene.end(), output)
        self.scene = None
        self.warm.clear()

    def _restore(self, preparing: Preparing, output: ClipOutput) -> Iterator[Event]:
        """Restore the frames that a scene has ready, unless the job is to end before they are."""
        begin = self.clock.seconds
        ready = Returning(preparing)
        for share in ready:
            self.prepared += share
            yield from self._progress("start", 0.0, 0)
            if self.clock.ended() is not None:
                return
        self.preparing += self.clock.seconds - begin
        for prepared in ready.value:
            yield from self._frame(prepared, output)

    def _frame(self, prepared: Prepared, output: ClipOutput) -> Iterator[Event]:
        masked = self.waiting.popleft()
        assert masked is prepared.masked, "a scene keeps the order"
        self.finish = Finish(self.job, masked.frame.picture, masked.mask, _UNIT, self.factor)
        restored = prepared.base
        if prepared.work is not None:
            restored = yield from self._fitted(prepared, prepared.work)
        output.write(masked.frame, self.finish.picture(restored), self.finish.alpha)
        self.done += 1

    def _fitted(self, prepared: Prepared, work: Work) -> Generator[Event, None, Array]:
        self.work = work
        work.recipe = self._recipe(work)
        self.mosaic = Mosaic(work.first().astype(np.float32), OVERLAP)
        self.parts = Parts(None, work, self.mosaic)
        self.uncertainty = Uncertainty(None, work, self.mosaic)
        with Snapshots(None, work, self.mosaic, self.finish) as self.snapshots:
            for index, tile in enumerate(work.tiles):
                yield from self._tile(tile, index)
        restored = work.finish(self.mosaic.picture())
        if prepared.needed is None:
            return restored
        return np.where(prepared.needed[:, :, None], restored, prepared.base)

    def _recipe(self, work: Work) -> Recipe:
        """Return the recipe of a frame: with fewer iterations where its fit starts warm."""
        recipe = work.recipe
        kind = repr((recipe.network, dict(recipe.build), work.pixels.shape[2]))
        if kind != self.kind:
            self.kind = kind
            self.warm.clear()
        if self.job.settings.iterations is not None:
            return recipe
        if self.warm.keys() != set(range(len(work.tiles))):  # other tiles than the frame before
            self.warm.clear()
            return recipe
        return replace(
            recipe,
            iterations=math.ceil(WARM * recipe.iterations),
            patience=math.ceil(WARM * recipe.patience),
        )

    def _fit(self, tile: Tile, index: int, start: Array) -> Generator[Event, None, Fitted]:
        fitted = yield from super()._fit(tile, index, start)
        self.warm[index] = fitted.state
        return fitted

    def _end_of_fit(self, index: int) -> float:
        """Share what is left of the time among the frames, less what their starts will take."""
        if self.clock.limit is None:
            return math.inf
        now, tiles = self.clock.seconds, len(self.work.tiles)
        rest = max(0.0, self.clip.count - self.prepared)
        ahead = rest * self.preparing / max(1.0, self.prepared)
        parts = max(1, self.clip.count - self.done) * tiles - index
        return now + max(0.0, self.clock.limit - now - ahead) / parts

    def _place(self, fraction: float, tile: int) -> tuple[float, int, int]:
        count = max(self.clip.count, self.done + 1)
        share = START_SHARE if self.noise is not None else 0.0
        done = share * self.prepared + (1 - share) * (self.done + fraction)
        return min(1.0, done / count), self.done, count

    def _scene(self, frame: Frame) -> Scene:
        settings = self.job.settings
        if self.noise is not None:
            return DenoisingScene(settings, self.noise, frame.picture.channels, self.device)
        return EnlargingScene(settings) if self.factor > 1 else InpaintingScene(settings)

    def _known(self, masked: Masked) -> Array | None:
        """Return what of a frame is no hole, bool H×W, or None for all."""
        return None if masked.mask is None or not self.job.needs_mask else masked.mask == 0

    def _first_preview(self, masked: Masked) -> Iterator[Event]:
        if self.job.settings.preview_seconds:
            finish = Finish(self.job, masked.frame.picture, masked.mask, _UNIT, self.factor)
            yield Preview(0, *finish.thumbnail(masked.frame.pixels))

    def _write_untouched(self, frame: Frame, output: ClipOutput) -> None:
        finish = Finish(self.job, frame.picture, None, _UNIT, self.factor)
        pixels = frame.pixels
        if self.factor > 1:
            pixels = np.clip(classical.enlarge(pixels, self.factor), 0, 1)
        output.write(frame, pixels, finish.alpha)
        self.untouched += 1


def _check(job: Job) -> None:
    """Refuse what is not done with clips.

    Raises:
        InputError: the task works on single pictures, or snapshots or parts are wanted.
        OutputError: the clip would be overwritten.
    """
    task = find_task(job.task)
    if task is None or not task.takes_clip:
        raise InputError(
            f"{job.input} is a clip, and the task {job.task} works on single pictures.",
            "dip-batch restores the pictures of a folder each alone.",
        )
    if any(path is not None for path in (job.snapshots, job.parts, job.uncertainty)):
        raise InputError(
            f"{job.input} is a clip: there are no snapshots, parts or uncertainty of it."
        )
    if job.settings.noise_model != "gaussian":
        raise InputError(
            f"{job.input} is a clip, and --noise-model {job.settings.noise_model} is for single "
            "pictures.",
            "Leave it out, or let dip-batch restore a folder of frames, each alone.",
        )
    if job.output.exists() and job.input.exists() and job.output.samefile(job.input):
        raise OutputError(
            f"{job.output} is the clip itself, which is never overwritten.", "Name another one."
        )
