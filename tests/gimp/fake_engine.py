"""An engine for the tests in GIMP: the real process and protocol, a made-up restoration.

It inverts the picture where the mask is above 0, or all of it; alpha stays. The way there is
straight: at the start there is the picture itself, halfway it is gray. The result is inverted
whole, also after a stop. Where a second picture has a stroke of colour, the result is that stroke;
one taken with flash is the result. An iteration takes a fiftieth of a second, and there are ten
unless the job says otherwise; snapshots are taken at the start and, evenly, up to five times more.

The seed of a job asks for trouble: 13 crashes, 14 runs out of memory, 15 hangs and does not even
hear that it was cancelled. All of it happens after the first sign of progress.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np

from dip_engine import __version__
from dip_engine.errors import OutOfMemory
from dip_engine.events import Event, Preview, Progress, Result, Snapshot, Started
from dip_engine.job import Job
from dip_engine.worker import serve

Array = np.ndarray[Any, np.dtype[np.float32]]

ITERATION_SECONDS = 0.02
ITERATIONS = 10
CRASH, NO_MEMORY, HANG = 13, 14, 15
PREVIEW_SIZE = 256
SNAPSHOTS = 5


def restore_events(job: Job, stop: threading.Event) -> Generator[Event, None, None]:
    begin = time.monotonic()
    start, restored = read_and_restore(job)
    height, width, _ = restored.shape
    yield Started(width, height, 1, "skip", "cpu", "float32", 0.1)
    iterations = job.settings.iterations or ITERATIONS
    points = [round(iterations * k / SNAPSHOTS) for k in range(SNAPSHOTS + 1)]
    if job.snapshots:
        yield snapshot(job.snapshots, 0, 0, start)
    done, shown = 0, begin
    while done < iterations and not stop.wait(ITERATION_SECONDS):
        done += 1
        now = time.monotonic()
        part = done / iterations
        left = (iterations - done) * ITERATION_SECONDS
        yield Progress("fit", part, done, iterations, 0.1 / done, 20 + 10 * part, now - begin, left)
        trouble(job.settings.seed)
        if job.settings.preview_seconds and now - shown >= job.settings.preview_seconds:
            shown = now
            yield Preview(done, *thumbnail(between(start, restored, part)))
        if job.snapshots and done in points:
            at = between(start, restored, part)
            yield snapshot(job.snapshots, points.index(done), done, at)
    save(job.output, restored)
    yield Result(
        output=str(job.output),
        task=job.task,
        preset=job.settings.preset,
        network="skip",
        seed=job.settings.seed,
        device="cpu",
        dtype="float32",
        width=width,
        height=height,
        tiles=1,
        stop_reason="stopped by the user" if stop.is_set() else "fixed number of iterations",
        iterations=done,
        snapshot=done,
        psnr=30.0,
        noise_std=0.1 if job.task == "denoise" else None,
        noise_kind="white" if job.task == "denoise" else None,
        seconds=time.monotonic() - begin,
        versions={"engine": __version__},
        warnings=(),
    )


def read_and_restore(job: Job) -> tuple[Array, Array]:
    """Return the picture, H×W×C, and the same inverted where it is asked for; both enlarged."""
    picture: Array = np.load(job.input)
    picture = picture[..., None] if picture.ndim == 2 else picture
    restored = picture.copy()
    colors = picture.shape[2] - (picture.shape[2] in {2, 4})  # the last one may be alpha
    where = np.ones(picture.shape[:2], bool) if job.mask is None else np.load(job.mask) > 0
    if job.task == "inpaint":  # as the engine: what was transparent becomes visible
        where = picture[..., -1] == 0 if job.mask is None else where
        restored[where & (picture[..., -1] == 0), -1] = 1
    strength = np.float32(job.settings.strength)
    inverse = 1 - picture[where, :colors]
    restored[where, :colors] = (1 - strength) * picture[where, :colors] + strength * inverse
    if job.guide is not None:
        guide: Array = np.load(job.guide)
        guide = guide[..., None] if guide.ndim == 2 else guide
        assert guide.dtype == np.float32
        assert guide.shape == (*picture.shape[:2], 4 if job.task == "colourise" else colors)
        where = where & (guide[..., 3] >= 0.5) if job.task == "colourise" else where
        restored[where, :colors] = guide[where, :colors]
    if job.task == "super-resolution":
        factor = job.settings.factor
        picture, restored = (p.repeat(factor, 0).repeat(factor, 1) for p in (picture, restored))
    return picture, restored


def between(start: Array, end: Array, part: float) -> Array:
    return start + np.float32(part) * (end - start)


def save(path: Path, values: Array) -> None:
    """Write the values as the engine does: grey ones without a third axis, all or nothing."""
    temporary = path.with_name(f".{path.name}.dip-tmp")
    with temporary.open("wb") as file:
        np.save(file, values[..., 0] if values.shape[2] == 1 else values)
    temporary.replace(path)


def snapshot(folder: Path, index: int, iteration: int, picture: Array) -> Snapshot:
    path = folder / f"{index:03}.npy"
    save(path, picture)
    return Snapshot(index, iteration, str(path), 20.0 + index, *thumbnail(picture))


def thumbnail(picture: Array) -> tuple[int, int, bytes]:
    """Return width, height and the pixels of a small picture: 8-bit RGB, row by row."""
    step = -(-max(picture.shape[:2]) // PREVIEW_SIZE)
    small = picture[::step, ::step]
    colors = small[..., :3] if small.shape[2] > 2 else small[..., :1].repeat(3, axis=2)
    pixels = np.rint(colors.clip(0, 1) * 255).astype(np.uint8)
    return pixels.shape[1], pixels.shape[0], pixels.tobytes()


def trouble(seed: int) -> None:
    if seed == CRASH:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == NO_MEMORY:
        raise OutOfMemory("The picture is too large.", "Use the preset fast.")
    while seed == HANG:
        time.sleep(1)


if __name__ == "__main__":
    sys.exit(serve(restore_events))
