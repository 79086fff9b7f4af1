"""Curves of the baseline over whole fits, which take hours: recorded once, kept with their origin.

A recording goes on where it was killed. It ends with the recipe's last iteration, or when the
average has long passed its best.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from baseline import Baseline
from cases import Case
from inputs import Given
from scoring import read

from dip_engine import __version__

FOLDER = Path(__file__).with_name("recorded")
EVERY = 10  # iterations between two points
SAVE = 100
PASSED = 500  # iterations after the best one
MARGIN = 0.1  # dB below the baseline's best that count as reached


@dataclass(slots=True)
class Curve:
    """PSNR of the baseline along its fit.

    Attributes:
        input: digest of the input's pixels; a curve tells nothing of another input.
        iterations: of the points.
        raw, averaged: dB at them.
        origin: date, versions, device and seconds of the recording.
        complete: its best is passed.
    """

    input: str
    iterations: list[int] = field(default_factory=list)
    raw: list[float] = field(default_factory=list)
    averaged: list[float] = field(default_factory=list)
    origin: dict[str, Any] = field(default_factory=dict)
    complete: bool = False

    @classmethod
    def of(cls, case: Case, given: Given, folder: Path = FOLDER) -> Self | None:
        """Return the recorded curve of a case, or None where there is none of this input."""
        path = folder / f"{case.name}.json"
        if not path.exists():
            return None
        curve = cls(**json.loads(path.read_text(encoding="utf-8")))
        return curve if curve.input == digest(given) else None

    @property
    def best(self) -> float:
        """The highest PSNR of the average, dB."""
        return max(self.averaged)

    def reaches(self, decibels: float) -> int | None:
        """Return the first iteration whose average has so many dB, or None."""
        points = zip(self.iterations, self.averaged, strict=True)
        return next((iteration for iteration, psnr in points if psnr >= decibels), None)

    def add(self, iteration: int, raw: float, averaged: float) -> None:
        """Note a point."""
        self.iterations.append(iteration)
        self.raw.append(round(raw, 3))
        self.averaged.append(round(averaged, 3))

    def passed(self) -> bool:
        """Return True when the best point lies far back."""
        best = self.averaged.index(self.best)
        return self.iterations[-1] - self.iterations[best] >= PASSED

    def write(self, path: Path) -> None:
        """Write it whole or not at all."""
        rough = path.with_suffix(".part")
        rough.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")
        rough.replace(path)


def digest(given: Given) -> str:
    """Return what tells one input from another: of its pixels and its mask."""
    files = [given.input, *([] if given.mask is None else [given.mask])]
    parts = [repr(pixels.shape).encode() + pixels.tobytes() for pixels in map(read, files)]
    return hashlib.sha256(b"".join(parts)).hexdigest()[:16]


def record(case: Case, given: Given, device: str, folder: Path = FOLDER) -> Iterator[Curve]:
    """Record a curve, going on with what is there; yields it at every save."""
    path, state = folder / f"{case.name}.json", folder / f"{case.name}.pt"
    curve = Curve.of(case, given, folder)
    if curve is None or not (curve.complete or state.exists()):
        curve = Curve(digest(given))
        state.unlink(missing_ok=True)
    if curve.complete:
        return
    on_gpu = torch.device(device).type == "cuda"
    fit = Baseline(case, given, device=device, channels_last=True, replayed=on_gpu)
    seconds = 0.0
    if state.exists():
        saved = torch.load(state, map_location=device)
        seconds = saved.pop("seconds")
        fit.go_on(saved)
        kept = sum(iteration <= fit.iteration for iteration in curve.iterations)
        for values in (curve.iterations, curve.raw, curve.averaged):
            del values[kept:]  # the state may be older than the curve
    begin = time.monotonic() - seconds
    while not curve.complete:
        fit.step()
        last = fit.iteration == fit.recipe.iterations
        if fit.iteration % EVERY == 0 or last:
            curve.add(fit.iteration, *fit.psnr())
            curve.complete = last or curve.passed()
        if fit.iteration % SAVE == 0 or curve.complete:
            seconds = time.monotonic() - begin
            curve.origin = _origin(device, seconds)
            curve.write(path)
            torch.save(fit.state() | {"seconds": seconds}, state.with_suffix(".new"))
            state.with_suffix(".new").replace(state)
            yield curve
    state.unlink()


def _origin(device: str, seconds: float) -> dict[str, Any]:
    on_gpu = torch.device(device).type == "cuda"
    tf32 = on_gpu and torch.backends.cudnn.allow_tf32
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "program": __version__,
        "torch": torch.__version__,
        "device": torch.cuda.get_device_name(device) if on_gpu else device,
        "dtype": "float32, convolutions in TF32" if tf32 else "float32",
        "threads": torch.get_num_threads(),
        "seconds": round(seconds),
    }
