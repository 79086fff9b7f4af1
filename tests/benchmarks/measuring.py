"""One picture of a table: made, restored by the engine, scored, and kept to be looked at."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from inputs import Given
from PIL import Image
from scoring import Array, eight_bit, read
from tables import Table

from dip_engine.client import Engine
from dip_engine.errors import DipError, ResultError
from dip_engine.events import Result, Snapshot
from dip_engine.job import Job, Settings

Row = dict[str, Any]
"""What is known of a measured picture, as JSON values."""

_OF_RESULT = (
    "network",
    "device",
    "dtype",
    "tiles",
    "stop_reason",
    "iterations",
    "snapshot",
    "noise_std",
    "noise_kind",
    "seconds",
    "warnings",
    "versions",
)
_WEBP = 90  # quality of the pictures of the page


class Bench:
    """Measures pictures one after the other.

    Args:
        engine: restores them.
        data: folder of the tables' folders.
        settings: of all; the factor follows from the table.
        folder: for the pictures of the page and the results as they were saved.
    """

    def __init__(self, engine: Engine, data: Path, settings: Settings, folder: Path) -> None:
        self.engine = engine
        self.data = data
        self.settings = settings
        self.folder = folder

    def measure(self, table: Table, picture: str) -> Row:
        """Return the row of a picture; where it could not be had, a row with the ``error``.

        Seconds are the engine's, from reading to writing, with the snapshots that the stop gap
        needs: these take up to a fifth of the time.
        """
        row: Row = {
            "set": table.name,
            "picture": picture,
            "task": table.task,
            "preset": self.settings.preset,
            "seed": self.settings.seed,
        }
        try:
            with tempfile.TemporaryDirectory(prefix="dip-reproduce-") as scratch:
                return row | self._measure(table, picture, Path(scratch))
        except (DipError, OSError, ValueError) as error:
            return row | {"error": str(error)}

    def _measure(self, table: Table, picture: str, scratch: Path) -> Row:
        given = table.make(table.truth(self.data, picture), scratch)
        job = self._job(table, picture, given, scratch)
        result, iterations = self._restore(job)
        scoring, restored = table.scoring, read(job.output)
        score = scoring.score(restored, given.truth)
        assert job.snapshots is not None
        assert job.parts is not None
        along = {
            path.name: scoring.psnr(saved, given.truth) for path, saved in _saved(job.snapshots)
        }
        parts = {path.stem: scoring.psnr(saved, given.truth) for path, saved in _saved(job.parts)}
        best = max(along, key=along.__getitem__, default=None)
        most = score.psnr if best is None else max(score.psnr, along[best])
        facts = {name: getattr(result, name) for name in _OF_RESULT}
        scores = {
            "psnr": score.psnr,
            "ssim": score.ssim,
            "psnr_simple": scoring.psnr(table.simple(given), given.truth),
            "psnr_start": parts.get("start"),
            "psnr_fit": parts.get("fit"),
            "psnr_best": most,
            "stop_gap": most - score.psnr,
        }
        rounded = {name: None if x is None else round(x, 4) for name, x in scores.items()}
        return {
            **rounded,
            "best_iteration": None if best is None else iterations.get(best),
            **facts,
            "warnings": list(result.warnings),
            "pictures": self._keep(job.output, given, restored),
        }

    def _job(self, table: Table, picture: str, given: Given, scratch: Path) -> Job:
        output = self.folder / table.name / f"{picture}.png"
        folders = [scratch / "snapshots", scratch / "parts", output.parent]
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        settings = (
            replace(self.settings, factor=table.factor) if table.factor > 1 else self.settings
        )
        return Job(
            table.task,
            given.input.absolute(),
            output.absolute(),
            mask=given.mask,
            settings=settings,
            snapshots=folders[0],
            parts=folders[1],
        )

    def _restore(self, job: Job) -> tuple[Result, dict[str, int]]:
        """Return the result, and the iteration of each snapshot by the name of its file."""
        iterations: dict[str, int] = {}
        with closing(self.engine.run(job)) as events:
            for event in events:
                if isinstance(event, Snapshot):
                    iterations[Path(event.path).name] = event.iteration
                elif isinstance(event, Result):
                    return event, iterations
        raise ResultError(f"{job.input} gave no result.")

    def _keep(self, output: Path, given: Given, restored: Array) -> dict[str, str]:
        """Write the pictures of the page; return their names below its folder."""
        shown = {"input": read(given.input), "result": restored, "truth": given.truth}
        names = {}
        for kind, pixels in shown.items():
            path = output.with_name(f"{output.stem}-{kind}.webp")
            Image.fromarray(pixels).save(path, quality=_WEBP)
            names[kind] = path.name
        names["saved"] = output.name
        below = self.folder.name, output.parent.name
        return {kind: "/".join((*below, name)) for kind, name in names.items()}


def _saved(folder: Path) -> Iterator[tuple[Path, Array]]:
    """Yield the arrays of a folder as they would be saved."""
    for path in sorted(folder.glob("*.npy")):
        yield path, eight_bit(np.load(path))
