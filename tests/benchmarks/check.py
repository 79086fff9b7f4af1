"""Do we score as the published pictures were scored? Inputs whose scores are published tell."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from inputs import crop
from PIL import Image
from published import Published
from scoring import Array, read
from tables import TABLES, Table

from dip_engine.errors import InputError

_COLUMNS = {"denoise": "noisy", "inpaint": "masked"}  # task: published column with its input
_MEANS = {"jpeg10": 27.82, "jpeg20": 30.12}  # dB, of the inputs


@dataclass(frozen=True, slots=True)
class Finding:
    """A score of ours beside the published one.

    Attributes:
        what: was scored.
        ours, published: dB, or SSIM.
        tolerance: how far they may be apart.
    """

    what: str
    ours: float
    published: float
    tolerance: float

    @property
    def agrees(self) -> bool:
        """True within the tolerance."""
        return abs(self.ours - self.published) <= self.tolerance

    def __str__(self) -> str:
        mark = "ok" if self.agrees else "!!"
        return f"{mark}  {self.what:<30}  ours {self.ours:8.4f}  published {self.published:8.4f}"


def check(data: Path, published: Published) -> Iterator[Finding]:
    """Compare what can be compared: noisy, masked and JPEG inputs, and bicubic enlargements.

    Raises:
        InputError: there is nothing to compare with.
    """
    found = False
    for table in TABLES:
        pictures = table.pictures(data)
        for finding in _check_table(table, data, pictures, published) if pictures else ():
            found = True
            yield finding
    if not found:
        raise InputError(f"{published.path} says nothing about the pictures in {data}.")


def _check_table(
    table: Table, data: Path, pictures: list[str], published: Published
) -> Iterator[Finding]:
    with tempfile.TemporaryDirectory(prefix="dip-check-") as scratch:
        if table.factor > 1:
            yield from _bicubic(table, data, pictures, published)
        elif table.name in _MEANS:
            scores = []
            for picture in pictures:
                given = table.make(table.truth(data, picture), Path(scratch))
                scores.append(table.scoring.psnr(read(given.input), given.truth))
            mean = float(np.mean(scores))
            yield Finding(f"{table.name} input, mean PSNR", mean, _MEANS[table.name], 0.005)
        else:
            for picture in pictures:
                yield from _input(table, data, picture, published, Path(scratch))


def _input(
    table: Table, data: Path, picture: str, published: Published, scratch: Path
) -> Iterator[Finding]:
    known = published.score(table, picture, _COLUMNS[table.task])
    if known is None:
        return
    given = table.make(table.truth(data, picture), scratch)
    score = table.scoring.score(read(given.input), given.truth)
    yield Finding(f"{table.name}/{picture} PSNR", score.psnr, known[0], 0.005)
    if known[1] is not None:
        yield Finding(f"{table.name}/{picture} SSIM", score.ssim, known[1], 0.0005)


def _bicubic(
    table: Table, data: Path, pictures: list[str], published: Published
) -> Iterator[Finding]:
    """Compare means: the published pictures are by another implementation of bicubic filters.

    They were reduced bicubically, too, and whole; they are scored where DIP's cropped ones lie.
    """
    ours, theirs = [], []
    for picture in pictures:
        known = published.score(table, picture, "bicubic")
        if known is None:
            continue
        truth = read(table.truth(data, picture))
        ours.append(table.scoring.psnr(crop(_blurred(truth, table.factor)), crop(truth)))
        theirs.append(known[0])
    if ours:
        means = float(np.mean(ours)), float(np.mean(theirs))
        yield Finding(f"{table.name} bicubic, mean PSNR", *means, 0.05)


def _blurred(truth: Array, factor: int) -> Array:
    whole, bicubic = Image.fromarray(truth), Image.Resampling.BICUBIC
    small = whole.resize((whole.width // factor, whole.height // factor), bicubic)
    return np.asarray(small.resize(whole.size, bicubic))
