"""What the fits of the tiles said, and the report that is made of it."""

from __future__ import annotations

import platform
from collections.abc import Sequence

import torch

import dip_engine
from dip_engine.events import Result, Started
from dip_engine.fit import Fitted
from dip_engine.job import Job
from dip_engine.stopping import psnr

_NO_TIME = "There was no time for all of the picture: parts of it are rough, or as they were."


class Tally:
    """Counts what was done to a picture.

    Attributes:
        warnings: sentences the user should see.
    """

    def __init__(self) -> None:
        self.warnings: list[str] = []
        self._reasons: list[str] = []
        self._iterations: list[int] = []
        self._snapshots: list[int] = []
        self._errors: list[float] = []
        self._parameters = 0

    def add(self, fitted: Fitted, error: float | None) -> None:
        """Note the end of a tile's fit, and the estimated error of its result."""
        self._reasons.append(fitted.reason)
        self._iterations.append(fitted.iterations)
        self._snapshots.append(fitted.iteration)
        self._parameters = max(self._parameters, fitted.parameters)
        if error is not None:
            self._errors.append(error)

    def add_without_fit(self, reason: str) -> None:
        """Note a tile of which the classical start is the result."""
        self.add(Fitted(torch.empty(0), 0, None, 0, reason), None)

    def add_left_out(self, reason: str) -> None:
        """Note a tile for which there was no time."""
        self.add_without_fit(reason)
        if _NO_TIME not in self.warnings:
            self.warnings.append(_NO_TIME)

    def result(self, job: Job, started: Started, noise_kind: str | None, seconds: float) -> Result:
        """Report what was done.

        Args:
            job: what was asked.
            started: what was told of it when the work began.
            noise_kind: see `Result`.
            seconds: from reading to writing.
        """
        return Result(
            output=str(job.output),
            task=job.task,
            preset=job.settings.preset,
            network=started.network,
            seed=job.settings.seed,
            device=started.device,
            dtype=started.dtype,
            width=started.width,
            height=started.height,
            tiles=started.tiles,
            stop_reason=self._reason(),
            iterations=round(_mean(self._iterations) or 0),
            snapshot=round(_mean(self._snapshots) or 0),
            psnr=psnr(_mean(self._errors)),
            noise_std=started.noise_std,
            noise_kind=noise_kind,
            seconds=seconds,
            versions={
                "engine": dip_engine.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
            warnings=tuple(self.warnings),
            parameters=self._parameters,
        )

    def _reason(self) -> str:
        """Return the most frequent reason; a limit or a hand that stopped one tile wins."""
        for strong in ("stopped by hand", "time limit reached", "the fit diverged"):
            if strong in self._reasons:
                return strong
        return max(self._reasons, key=self._reasons.count) if self._reasons else "nothing to do"


def _mean(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None
