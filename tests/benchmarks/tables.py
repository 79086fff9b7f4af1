"""The published tables: their pictures, how each is made and scored, and what others reached."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path

import inputs
from scoring import Array, Scoring

from dip_engine.errors import InputError

_Y = Scoring(luminance=True, border=4)


@dataclass(frozen=True, slots=True)
class Table:
    """One set of pictures with a task.

    Attributes:
        name: what a user types.
        title: what a user reads.
        task: of the engine.
        folder: of the ground truths, below the folder of the data.
        ending: of their names.
        make: makes the input from a truth.
        scoring: what is compared.
        factor: of an enlargement, else 1.
        simple: what anybody can make of the input in no time.
        simple_title: its name.
        scores: name of the table in the file of published scores, or "".
        dip: column of that table with the authors' result.
        classical: column with the best method without learning, or "".
        classical_title: its name.
        reached: published dB by picture that are not in that file.
        only: the pictures of the folder that are meant, or () for all.
        note: one sentence for below the table, or "".
    """

    name: str
    title: str
    task: str
    folder: str
    ending: str
    make: inputs.Maker
    scoring: Scoring = field(default_factory=Scoring)
    factor: int = 1
    simple: Callable[[inputs.Given], Array] = inputs.as_given
    simple_title: str = "input"
    scores: str = ""
    dip: str = "deep_prior"
    classical: str = ""
    classical_title: str = ""
    reached: Mapping[str, float] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    note: str = ""

    def pictures(self, data: Path) -> list[str]:
        """Return the names of the pictures that are there."""
        found = (data / self.folder).glob(f"*{self.ending}")
        names = sorted(path.name.removesuffix(self.ending) for path in found)
        return [name for name in names if not self.only or name in self.only]

    def truth(self, data: Path, picture: str) -> Path:
        """Return the file of a ground truth."""
        return data / self.folder / f"{picture}{self.ending}"


def _noise(level: int) -> Table:
    return Table(
        f"denoise{level}",
        f"Denoising, σ = {level}",
        "denoise",
        f"denoise{level}",
        "_GT.png",
        inputs.noisy,
        scores=f"den{level}",
        classical="bm3d",
        classical_title="CBM3D",
    )


def _enlargement(group: int, factor: int) -> Table:
    small = factor == 4
    return Table(
        f"set{group}_x{factor}",
        f"Super-resolution ×{factor}, Set{group}, Y",
        "super-resolution",
        f"set{group}_x{factor}",
        "_GT.png",
        partial(inputs.reduced, factor=factor),
        scoring=_Y,
        factor=factor,
        simple=inputs.bicubic,
        simple_title="bicubic",
        scores=f"Set{group}x{factor}",
        dip="deep_prior" if small else "deep_prior_005",
        classical="glasner" if small else "SelfExSR",
        classical_title="Glasner" if small else "SelfExSR",
    )


def _jpeg(quality: int) -> Table:
    return Table(
        f"jpeg{quality}",
        f"JPEG quality {quality}, classic5",
        "jpeg",
        "jpeg",
        ".bmp",
        partial(inputs.compressed, quality=quality),
        note="Nothing is published for these; the gain over the input counts.",
    )


TABLES: tuple[Table, ...] = (
    _noise(25),
    _noise(50),
    Table(
        "inpaint50",
        "Inpainting, half of the pixels",
        "inpaint",
        "inpaint50",
        "_GT.png",
        inputs.missing_pixels,
        simple=inputs.biharmonic,
        simple_title="biharmonic",
        scores="inp",
        classical="papyan",
        classical_title="CSC",
    ),
    _enlargement(5, 4),
    _enlargement(5, 8),
    _enlargement(14, 4),
    _enlargement(14, 8),
    Table(
        "kate",
        "Text removal",
        "inpaint",
        "paper_figures",
        ".png",
        inputs.text_over,
        simple=inputs.biharmonic,
        simple_title="biharmonic",
        reached={"kate": 39.24},
        only=("kate",),
    ),
    _jpeg(10),
    _jpeg(20),
    Table(
        "polyu",
        "Camera noise, PolyU",
        "denoise",
        "polyu/GT",
        ".JPG",
        inputs.camera_noise,
        note="Published means: BM3D 34.66, Pixel2Pixel 36.11, ZS-HPD 36.24 dB.",
    ),
)


def find_table(name: str) -> Table:
    """Return the table of that name, which there is."""
    return next(table for table in TABLES if table.name == name)


def choose(data: Path, patterns: Iterable[str]) -> list[tuple[Table, str]]:
    """Return the pictures that are meant, in the order of the tables.

    Args:
        data: folder of the tables' folders.
        patterns: ``SET`` or ``SET/PICTURE``, each may be a shell glob; none for all there is.

    Raises:
        InputError: a pattern fits nothing.
    """
    there = [(table, picture) for table in TABLES for picture in table.pictures(data)]
    if not there:
        raise InputError(f"{data} holds none of the sets.", f"They are: {_names(TABLES)}.")
    chosen: set[tuple[str, str]] = set()
    patterns = list(patterns)
    for pattern in patterns:
        found = {(table.name, name) for table, name in there if _fits(pattern, table.name, name)}
        if not found:
            raise _unknown(pattern, data)
        chosen |= found
    return [pair for pair in there if not patterns or (pair[0].name, pair[1]) in chosen]


def _fits(pattern: str, table: str, picture: str) -> bool:
    wanted_table, _, wanted_picture = pattern.partition("/")
    return fnmatchcase(table, wanted_table) and fnmatchcase(picture, wanted_picture or "*")


def _unknown(pattern: str, data: Path) -> InputError:
    """Say which part of a pattern fits nothing."""
    wanted, _, picture = pattern.partition("/")
    tables = [table for table in TABLES if fnmatchcase(table.name, wanted)]
    if not tables:
        names = [table.name for table in TABLES]
        near = get_close_matches(wanted, names, n=1)
        guess = f"Did you mean {near[0]}? " if near else ""
        return InputError(f"There is no set {wanted}.", f"{guess}The sets are: {_names(TABLES)}.")
    pictures = sorted({name for table in tables for name in table.pictures(data)})
    if not pictures:
        return InputError(f"{data} has no pictures of the set {_names(tables)}.")
    hint = f"Its pictures are: {', '.join(pictures)}."
    return InputError(f"There is no picture {picture} in {_names(tables)}.", hint)


def _names(tables: Iterable[Table]) -> str:
    return ", ".join(table.name for table in tables)
