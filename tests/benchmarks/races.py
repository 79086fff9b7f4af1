"""How soon a fit shows a picture of a certain quality: one run of the engine, watched."""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from cases import Case
from inputs import Given
from memory import peak_mb
from PIL import Image
from scoring import Array, eight_bit, read

from dip_engine.client import Engine
from dip_engine.errors import ResultError
from dip_engine.events import Preview, Progress, Result, Snapshot
from dip_engine.job import Job, Settings

SNAPSHOTS = 40
WARM = 32  # side of the picture on which an engine process warms up


@dataclass(frozen=True, slots=True)
class Race:
    """A run from the job to its result, in seconds since the job was given to a warm process.

    Attributes:
        points: (seconds, dB) of each picture that was shown, the result last. Previews are smaller
            than most pictures, and so only the first of them counts, where it is not.
        first: seconds to the first picture a user sees.
        start: (seconds, dB) of the classical start, None where there was none.
        per_iteration: seconds of an iteration of the fit, with its snapshots, or None.
        result: what the engine said.
        peak_mb: of the engine process' memory, or None where the system does not tell.
    """

    points: tuple[tuple[float, float], ...]
    first: float | None
    start: tuple[float, float] | None
    per_iteration: float | None
    result: Result
    peak_mb: float | None

    @property
    def psnr(self) -> float:
        """Of the result, dB."""
        return self.points[-1][1]

    @property
    def stop_gap(self) -> float:
        """What the best picture shown had more than the result, dB."""
        return max(psnr for _, psnr in self.points) - self.psnr

    def reaches(self, decibels: float | None) -> float | None:
        """Return the seconds to the first picture with so many dB, or None."""
        if decibels is None:
            return None
        return next((seconds for seconds, psnr in self.points if psnr >= decibels), None)


def race(case: Case, given: Given, settings: Settings) -> Race:
    """Run a job in an engine process of its own.

    Raises:
        DipError: what the engine says of it.
    """
    with tempfile.TemporaryDirectory() as folder, Engine() as engine:
        _warm_up(engine, settings, Path(folder))
        return _watch(engine, case, given, settings, Path(folder))


def _watch(engine: Engine, case: Case, given: Given, settings: Settings, folder: Path) -> Race:
    job = Job(
        case.task,
        given.input,
        folder / "out.png",
        mask=given.mask,
        settings=settings,
        snapshots=folder,
        snapshot_count=SNAPSHOTS,
    )
    shown: list[tuple[float, Snapshot]] = []
    fit: list[tuple[float, int]] = []
    first: tuple[float, Preview] | None = None
    begin = time.perf_counter()
    for event in engine.run(job):
        now = time.perf_counter() - begin
        if isinstance(event, Preview) and first is None:
            first = now, event
        elif isinstance(event, Snapshot):
            shown.append((now, event))
        elif isinstance(event, Progress) and event.iteration:
            fit.append((now, event.iteration))
        elif isinstance(event, Result):
            end, result = now, event
            break
    else:
        raise ResultError(f"{job.input} gave no result.")
    if result.tiles != 1:
        raise ResultError(f"{job.input} is too large: its snapshots change from tile to tile.")
    peak = peak_mb(engine.pid)
    score = partial(case.scoring.psnr, truth=given.truth)
    points = [(now, score(_saved(shot.path))) for now, shot in shown]
    points.append((end, score(read(job.output))))
    start = None if settings.fit_only or not shown else points[0]
    if settings.fit_only:
        points = points[1:]  # the first is what was given
    elif first is not None and (picture := _whole(first[1], given.truth)) is not None:
        points.insert(0, (first[0], score(picture)))
    return Race(tuple(points), first and first[0], start, _slope(fit), result, peak)


def _warm_up(engine: Engine, settings: Settings, folder: Path) -> None:
    """Let a process load its libraries and find the device."""
    path = folder / "warm.png"
    Image.fromarray(np.full((WARM, WARM, 3), 128, np.uint8)).save(path)
    quick = Settings(
        preset="fast", iterations=1, noise_std=0.1, device=settings.device, threads=settings.threads
    )
    for _ in engine.run(Job("denoise", path, folder / "warm-out.png", settings=quick)):
        pass


def _whole(preview: Preview, truth: Array) -> Array | None:
    """Return a preview as a picture, or None where it is smaller than the truth, or gray."""
    shape = preview.height, preview.width, 3
    return np.frombuffer(preview.pixels, np.uint8).reshape(shape) if shape == truth.shape else None


def _saved(path: str) -> Array:
    return eight_bit(np.load(path))


def _slope(fit: list[tuple[float, int]]) -> float | None:
    """Return seconds per iteration from the first sign of life in a fit to the last."""
    if len(fit) < 2 or fit[-1][1] == fit[0][1]:
        return None
    return (fit[-1][0] - fit[0][0]) / (fit[-1][1] - fit[0][1])
