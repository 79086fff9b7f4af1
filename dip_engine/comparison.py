"""Networks compared on one picture: each is fitted to it alone, and long enough to over-fit.

    PSNR        ___ peak
             stop   ‾‾‾—___
            /               ‾‾ last
           /  learns the picture, then its noise
          +----------------------------- iterations

Source of the figure: Ulyanov, Vedaldi, Lempitsky, CVPR 2018. Deep Decoder (Heckel and Hand, ICLR
2019) has too few parameters to learn much noise.

No torch here: the fits run in the engine process, and what they show is judged in this one.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from dip_engine import picture
from dip_engine.client import Engine
from dip_engine.errors import InputError
from dip_engine.events import Event, Result, Snapshot, Started
from dip_engine.job import Job
from dip_engine.stopping import psnr
from dip_engine.tasks import find_task

Array = np.ndarray[Any, np.dtype[Any]]

POINTS = 200  # of a curve
FRAMES = 60  # of a film, at most
PANEL = 384  # longest side of a network's picture in the film, pixels


@dataclass(frozen=True, slots=True)
class Point:
    """What a fit had reached at an iteration.

    Attributes:
        iteration: from 1.
        loss: mean squared error of the fit on its data, or None.
        estimate: PSNR that the engine estimates without the truth, in dB, or None.
        to_truth: PSNR to the truth in dB, or None without one.
    """

    iteration: int
    loss: float | None
    estimate: float | None
    to_truth: float | None

    @property
    def psnr(self) -> float | None:
        """To the truth if there is one, else as estimated."""
        return self.estimate if self.to_truth is None else self.to_truth


class Trial:
    """One network's fit of the picture.

    Attributes:
        name: what the user calls the network.
        network: its name in `dip_engine.tasks.NETWORKS`.
        points: along the fit, at least one.
        frames: for the film, 8-bit RGB h×w×3 by iteration.
        result: of the engine, which delivers the picture at the stop.
        stop, last: that picture and the one of the last iteration, float32 H×W×C.
    """

    result: Result
    stop: Array
    last: Array

    def __init__(self, name: str, job: Job, truth: Array | None) -> None:
        self.name = name
        self.network = str(job.settings.network)
        self.frames: dict[int, Array] = {}
        self._job = job
        self._truth = truth
        self._points: dict[int, list[Point]] = {}  # by index of the snapshot, one for each tile
        self._due = film_iterations(job.settings.iterations or 1)
        self._is_tiled = False

    def run(self, engine: Engine, folder: Path) -> Iterator[Event]:
        """Fit the network: yield the engine's events, noting what they tell.

        Args:
            engine: has no other job meanwhile.
            folder: where it keeps what it needs meanwhile.

        Raises:
            DipError: see `Engine.run`.
        """
        with tempfile.TemporaryDirectory(dir=folder, ignore_cleanup_errors=True) as scratch:
            output = Path(scratch) / "stop.npy"
            for event in engine.run(replace(self._job, output=output, snapshots=Path(scratch))):
                if isinstance(event, Started):
                    self._is_tiled = event.tiles > 1
                elif isinstance(event, Snapshot) and event.index:  # the fit begins after the start
                    self._note(event)
                elif isinstance(event, Result):
                    self.result = event
                    self.stop = picture.read(output).pixels
                    if not self._points:
                        self._note_result()
                yield event

    @property
    def points(self) -> list[Point]:
        """Along the fit; of a picture in tiles their mean."""
        return [_mean(told) for _, told in sorted(self._points.items())]

    @property
    def is_tested(self) -> bool:
        """True when the estimates come from values that were hidden from the fit."""
        pairs = [(p.estimate, psnr(p.loss)) for p in self.points]
        return any(a is not None and b is not None and abs(a - b) > 1e-6 for a, b in pairs)

    @property
    def stop_psnr(self) -> float | None:
        """Of the picture that the engine delivers, in dB."""
        if self._truth is None:
            return self.result.psnr
        return decibels(self.stop, self._truth)

    @property
    def last_psnr(self) -> float | None:
        """Of the picture of the last iteration, in dB."""
        return self.points[-1].psnr

    @property
    def peak(self) -> tuple[int, float] | None:
        """Iteration and PSNR of the best picture on the way, in dB."""
        seen = [(p.iteration, p.psnr) for p in self.points]
        seen.append((self.result.snapshot, self.stop_psnr))
        found = [(iteration, value) for iteration, value in seen if value is not None]
        return max(found, key=lambda pair: pair[1], default=None)

    @property
    def gap(self) -> float | None:
        """What is lost by stopping where the engine does, in dB; None without truth."""
        if self._truth is None or self.peak is None or self.stop_psnr is None:
            return None
        return self.peak[1] - self.stop_psnr

    @property
    def summary(self) -> str:
        """One line for the terminal."""
        parts = [f"{self.name}: {self.result.seconds:.1f} s"]
        if self.stop_psnr is not None and self.peak is not None and self.last_psnr is not None:
            parts.append(f"stop at iteration {self.result.snapshot} with {self.stop_psnr:.2f} dB")
            parts.append(f"peak at {self.peak[0]} with {self.peak[1]:.2f} dB")
            parts.append(f"end with {self.last_psnr:.2f} dB")
        return ", ".join(parts)

    def _note(self, snapshot: Snapshot) -> None:
        path = Path(snapshot.path)
        self.last = picture.read(path).pixels
        if not self._is_tiled:  # with tiles it is written again
            path.unlink(missing_ok=True)
        to_truth = None if self._truth is None else decibels(self.last, self._truth)
        point = Point(snapshot.iteration, snapshot.loss, snapshot.psnr, to_truth)
        self._points.setdefault(snapshot.index, []).append(point)
        if snapshot.iteration in self.frames or self._is_due(snapshot.iteration):
            shape = snapshot.height, snapshot.width, 3
            pixels = np.frombuffer(snapshot.pixels, np.uint8).reshape(shape)
            self.frames[snapshot.iteration] = pixels

    def _note_result(self) -> None:
        """Take the result for a fit that was too short for snapshots."""
        iteration = self.result.iterations
        self.last = self.stop
        self._points[0] = [Point(iteration, None, self.result.psnr, self.stop_psnr)]
        image = to_image(self.stop)
        image.thumbnail((PANEL, PANEL))
        self.frames[iteration] = np.asarray(image)

    def _is_due(self, iteration: int) -> bool:
        is_due = bool(self._due) and iteration >= self._due[0]
        self._due = [later for later in self._due if later > iteration]
        return is_due


class Comparison:
    """The picture, its truth and a trial for each network.

    Args:
        job: what every network is to do; its output and network are of no account.
        networks: network by name.
        truth: file of the picture as it should be, or None.

    Raises:
        InputError: a file cannot be read, the truth is of another size than the result will be,
            or a network cannot do the task.
    """

    def __init__(self, job: Job, networks: Mapping[str, str], truth: Path | None) -> None:
        self.job = job
        self.source = picture.read(job.input)
        self.truth = None if truth is None else self._read_truth(truth)
        self.trials = [Trial(name, self._job_of(networks[name]), self.truth) for name in networks]

    @property
    def input_psnr(self) -> float | None:
        """Of the input to the truth, in dB; None without truth or where they differ in size."""
        if self.truth is None or self.truth.shape[:2] != self.source.pixels.shape[:2]:
            return None
        return decibels(self.source.pixels, self.truth)

    @property
    def is_tested(self) -> bool:
        """True when values were hidden from the fits, to find the stop."""
        return any(trial.is_tested for trial in self.trials)

    def _job_of(self, network: str) -> Job:
        settings = replace(self.job.settings, network=network, preview_side=PANEL)
        return replace(self.job, settings=settings, snapshot_count=POINTS)

    def _read_truth(self, path: Path) -> Array:
        truth = picture.read(path)
        task = find_task(self.job.task)
        factor = self.job.settings.factor if task and "factor" in task.options else 1
        width, height = self.source.width * factor, self.source.height * factor
        if (truth.width, truth.height) != (width, height):
            raise InputError(
                f"{path} has {truth.width}×{truth.height} pixels, "
                f"and the result of {self.job.input} will have {width}×{height}.",
                "The truth shows the same picture at the size of the result.",
            )
        return truth.pixels


def decibels(pixels: Array, truth: Array) -> float | None:
    """Return the PSNR of a picture to the truth, both H×W×C on the 0–1 scale."""
    return psnr(float(np.mean(np.square(pixels - truth), dtype=np.float64)))


def to_image(pixels: Array) -> Image.Image:
    """Return a picture, H×W×C on the 0–1 scale, as 8-bit RGB."""
    values = np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8)
    return Image.fromarray(np.broadcast_to(values, (*values.shape[:2], 3)))


def film_iterations(iterations: int) -> list[int]:
    """Return the iterations of a film: dense at the beginning, where most is to be seen."""
    return sorted({math.ceil(iterations * (k / FRAMES) ** 2) for k in range(1, FRAMES + 1)})


def _mean(points: list[Point]) -> Point:
    """Return the mean over tiles; the latest of them shows the whole picture."""
    if len(points) == 1:
        return points[0]
    losses = [p.loss for p in points if p.loss is not None]
    estimates = [p.estimate for p in points if p.estimate is not None]
    return replace(
        points[-1],
        loss=sum(losses) / len(losses) if losses else None,
        estimate=sum(estimates) / len(estimates) if estimates else None,
    )
