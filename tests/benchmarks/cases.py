"""The pictures on which time to quality is measured: one recipe of damage per task.

    denoise            σ = 25, clipped, 8 bits (the authors' own noise where there is data)
    inpaint            text over the picture (the authors' own over kate)
    super-resolution   Pillow's Lanczos reduction by 4
    deblur             Gaussian of σ = 2 pixels and noise of 2 levels

With a folder of data they are those of the paper and, for denoising, Kodak's; without one, those
that ship inside scikit-image, on which nothing here was ever tuned.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import inputs
import numpy as np
from inputs import Given
from PIL import Image, ImageDraw, ImageFont
from published import Published
from scoring import Array, Scoring, read
from skimage import data as samples
from tables import find_table

from dip_engine import blur
from dip_engine.job import Settings

QUICK = 256  # side of the middle that is cut out
SIGMA, FACTOR = 25, 4
BLUR, BLUR_NOISE = 2.0, 2.0
PREVIEWS = 1.0  # seconds between two, as in GIMP's window

TUNED = ("F16", "lena", "peppers", "hill")  # hill is the file of the house
UNSEEN = ("kodim01", "kodim02", "kodim03", "kodim12")
SAMPLES = ("coffee", "chelsea", "rocket")

Layers = dict[str, Array]
"""Pictures by what follows "truth" in the names of their files: the truth itself is "_GT"."""


@dataclass(frozen=True, slots=True)
class Case:
    """A picture with a task.

    Attributes:
        task: of the engine.
        picture: its name.
        load: returns the truth, and what of the damage is given.
        make: makes the input of the truth's file.
        scoring: what is compared.
        settings: what a user has to tell beside the preset.
        side: of the middle that is cut out, or None for all.
        classical: published dB of the best method without learning (CBM3D), or None.
    """

    task: str
    picture: str
    load: Callable[[], Layers]
    make: inputs.Maker
    scoring: Scoring = field(default_factory=Scoring)
    settings: dict[str, Any] = field(default_factory=dict)
    side: int | None = None
    classical: float | None = None

    @property
    def name(self) -> str:
        """Return a name that tells task, picture and size."""
        return f"{self.task}-{self.picture}" + (f"-{self.side}" if self.side else "")

    def given(self, folder: Path) -> Given:
        """Write the files of the case into a folder and return them."""
        for ending, pixels in self.load().items():
            Image.fromarray(_middle(pixels, self.side)).save(folder / f"truth{ending}.png")
        return self.make(folder / "truth_GT.png", folder)

    def settings_for(self, preset: str, **more: Any) -> Settings:
        """Return what a user would ask for."""
        return Settings(preset=preset, preview_seconds=PREVIEWS, **self.settings, **more)


def cases(data: Path | None, side: int | None = None) -> list[Case]:
    """Return what is measured.

    Args:
        data: folder of the tables' folders, or None.
        side: of the middle of a picture, pixels. None for all of it.
    """
    return _of_samples(side) if data is None else _of_data(data, side)


def chosen(found: list[Case], wanted: list[str], *, one: bool) -> list[Case]:
    """Return the cases that are wanted.

    Args:
        found: all.
        wanted: names of cases or tasks, with or without the side. Empty for all.
        one: of a task take the first picture alone, unless another is wanted by name.
    """
    first = {case.task: case for case in reversed(found)}

    def is_chosen(case: Case) -> bool:
        by_name = {case.name, f"{case.task}-{case.picture}"} & set(wanted)
        by_task = not wanted or case.task in wanted
        return bool(by_name) or (by_task and (not one or case is first[case.task]))

    return [case for case in found if is_chosen(case)]


def _of_data(data: Path, side: int | None) -> list[Case]:
    folder, table, published = data / "denoise25", find_table("denoise25"), Published(data)

    def classical(name: str) -> float | None:
        score = None if side else published.score(table, name, table.classical)
        return score and score[0]

    def layers(path: Path, *kinds: str) -> Layers:
        endings = {"_GT": path} | {kind: inputs.beside(path, kind[1:]) for kind in kinds}
        return {ending: read(file) for ending, file in endings.items()}

    def kate() -> Layers:
        path = data / "paper_figures" / "kate.png"
        return {"_GT": read(path), "_GT_mask": read(path.with_name("kate_mask.png"))}

    denoise = [
        _denoise(name, partial(layers, folder / f"{name}_GT.png", "_noisy"), side, classical(name))
        for name in (*TUNED, *UNSEEN)
    ]
    zebra = data / "set14_x4" / "zebra_GT.png"
    return [
        *denoise,
        Case("inpaint", "kate", kate, inputs.text_over, side=side),
        _enlarge("zebra", partial(layers, zebra), side),
        _deblur("F16", partial(layers, folder / "F16_GT.png"), side),
    ]


def _of_samples(side: int | None) -> list[Case]:
    def truth(name: str) -> Layers:
        photo: Array = getattr(samples, name)()
        return {"_GT": photo}

    def with_noise(name: str) -> Layers:
        layers = truth(name)
        return layers | {"_noisy": _with_noise(layers["_GT"], SIGMA)}

    def with_text(name: str) -> Layers:
        layers = truth(name)
        return layers | {"_GT_mask": _text(*layers["_GT"].shape[:2])}

    return [
        *(_denoise(name, partial(with_noise, name), side) for name in SAMPLES),
        *(
            Case("inpaint", name, partial(with_text, name), inputs.text_over, side=side)
            for name in SAMPLES
        ),
        *(_enlarge(name, partial(truth, name), side) for name in SAMPLES),
        *(_deblur(name, partial(truth, name), side) for name in SAMPLES),
    ]


def _denoise(
    name: str, load: Callable[[], Layers], side: int | None, classical: float | None = None
) -> Case:
    return Case("denoise", name, load, inputs.noisy, side=side, classical=classical)


def _enlarge(name: str, load: Callable[[], Layers], side: int | None) -> Case:
    make = partial(inputs.reduced, factor=FACTOR)
    scoring = Scoring(luminance=True, border=FACTOR)
    return Case("super-resolution", name, load, make, scoring, {"factor": FACTOR}, side)


def _deblur(name: str, load: Callable[[], Layers], side: int | None) -> Case:
    make = partial(inputs.blurred, kernel=blur.gaussian(BLUR), noise=BLUR_NOISE)
    told = {"blur": "gaussian", "blur_size": BLUR}
    return Case("deblur", name, load, make, settings=told, side=side)


def _middle(pixels: Array, side: int | None) -> Array:
    """Return the middle of a picture, of a side or else as large as a multiple of 32 allows."""
    if side is None:
        return inputs.crop(pixels)
    top, left = ((size - min(size, side)) // 2 for size in pixels.shape[:2])
    return pixels[top : top + side, left : left + side]


def _with_noise(truth: Array, sigma: float) -> Array:
    noise = np.random.default_rng(0).normal(0, sigma, truth.shape)
    return np.asarray(np.clip(np.rint(truth + noise), 0, 255).astype(np.uint8))


def _text(height: int, width: int) -> Array:
    """Return a page of text as the authors' mask has it: black letters, white between."""
    page = Image.new("L", (width, height), 255)
    draw, font = ImageDraw.Draw(page), ImageFont.load_default(36)
    words = "The structure of a network alone is a prior of natural pictures. " * 4
    for line, y in enumerate(range(4, height, 44)):
        draw.text((4 - 40 * line % 120, y), words, fill=0, font=font)
    return np.where(np.asarray(page) < 128, np.uint8(0), np.uint8(255))
