"""What is a clip: a video file, or a folder of pictures that are its frames.

Both are read frame by frame, so that a clip of any length fits into the memory. Videos need PyAV
(the extra ``video``), folders need nothing.
"""

from __future__ import annotations

import re
from collections.abc import Generator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from dip_engine import picture
from dip_engine.errors import InputError
from dip_engine.picture import Picture

Array = np.ndarray[Any, np.dtype[Any]]

VIDEO_SUFFIXES: frozenset[str] = frozenset(
    (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".gif", ".mpg", ".mpeg")
) | {".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp", ".ogv"}


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a clip.

    Attributes:
        picture: what it shows; of a video upright and without alpha, of one channel where the
            frame is gray.
        name: for messages, e.g. ``frame 7 of clip.mp4`` or ``frames/0007.png``.
        file: name of the file it comes from, or that it gets in a folder.
        time: seconds since the beginning, or None where the clip does not tell.
    """

    picture: Picture
    name: str
    file: str
    time: Fraction | None = None

    @property
    def pixels(self) -> Array:
        """Float32 H×W×C, 0–1."""
        return self.picture.pixels


class Clip(Protocol):
    """A clip that was found to be readable.

    Attributes:
        path: file or folder.
        width, height: of every frame, in pixels.
        count: number of frames; of a damaged video more than can be read.
        rate: frames per second, or None.
        problems: sentences about what was not as it should be; grows while frames are read.
    """

    path: Path
    width: int
    height: int
    count: int
    rate: Fraction | None
    problems: list[str]

    def frames(self) -> Generator[Frame, None, None]:
        """Read the frames from the beginning.

        Raises:
            InputError: a frame cannot be read or is of another size.
        """

    def samples(self, count: int) -> list[Frame]:
        """Return at most so many frames from all over the clip."""


def is_clip(path: Path) -> bool:
    """Tell whether a path is that of a clip: a folder, or named like a video."""
    return is_video(path) or path.is_dir()


def is_video(path: Path) -> bool:
    """Tell by its name whether a file is a video."""
    return path.suffix.lower() in VIDEO_SUFFIXES


def open_clip(path: Path) -> Clip:
    """Look into a clip.

    Raises:
        InputError: there is none, it is damaged or holds no frames.
        DipError: it is a video, and PyAV is not installed.
    """
    if path.is_dir():
        return FolderClip(path)
    from dip_engine.video_file import VideoFile

    return VideoFile(path)


class FolderClip:
    """The pictures of a folder in the order of their names, 2 before 10.

    Args:
        path: the folder; what is in folders below it does not count.

    Raises:
        InputError: it holds no pictures, or two with the same name but for the suffix.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rate: Fraction | None = None
        self.problems: list[str] = []
        try:
            files = [file for file in path.iterdir() if _is_frame(file)]
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}).") from error
        if not files:
            kinds = ", ".join(sorted(picture.SUFFIXES))
            raise InputError(f"{path} holds no pictures.", f"Looked for {kinds}.")
        self._files = sorted(files, key=_natural_key)
        by_stem: dict[str, Path] = {}
        for file in self._files:
            other = by_stem.setdefault(file.stem, file)
            if other is not file:
                raise InputError(
                    f"{other} and {file.name} would be the same frame.", "Remove one of them."
                )
        self.count = len(files)
        self.width, self.height = picture.estimate_size(self._files[0])

    def frames(self) -> Generator[Frame, None, None]:
        yield from map(self._read, self._files)

    def samples(self, count: int) -> list[Frame]:
        return [self._read(self._files[place]) for place in spread(self.count, count)]

    def _read(self, file: Path) -> Frame:
        source = picture.read(file)
        if (source.width, source.height) != (self.width, self.height):
            raise InputError(
                f"{file} is {source.width}×{source.height} pixels, but {self._files[0].name} is "
                f"{self.width}×{self.height}.",
                "The frames of a clip are all of one size.",
            )
        if source.pixels.min() < 0 or source.pixels.max() > 1:
            raise InputError(f"{file} has values outside of 0–1.", "Scale all frames alike first.")
        return Frame(source, str(file), file.name)


def spread(total: int, count: int) -> list[int]:
    """Return at most `count` different places 0 … total − 1, evenly spread."""
    count = min(total, count)
    return [(2 * place + 1) * total // (2 * count) for place in range(count)]


def _is_frame(file: Path) -> bool:
    named = file.suffix.lower() in picture.SUFFIXES and not file.name.startswith(".")
    return named and file.is_file()


def _natural_key(file: Path) -> list[tuple[str, int]]:
    pieces = re.findall(r"(\D*)(\d*)", file.name.casefold())
    return [(text, int(digits or -1)) for text, digits in pieces]
