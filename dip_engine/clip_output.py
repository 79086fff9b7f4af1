"""Writing a clip whole or not at all: a video with its sound, or a folder of pictures."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import numpy as np

from dip_engine import files, picture
from dip_engine.clips import Clip, Frame
from dip_engine.errors import OutputError
from dip_engine.temporary import sweep, temporary_name
from dip_engine.video_file import VideoFile
from dip_engine.video_output import FORMATS, VideoOutput

Array = np.ndarray[Any, np.dtype[Any]]


class ClipOutput(Protocol):
    """Takes the frames of a clip; a context manager that removes what was not finished.

    Attributes:
        warnings: sentences about what could not be kept.
    """

    warnings: list[str]

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...

    def write(self, frame: Frame, pixels: Array, alpha: Array | None) -> None:
        """Append a frame.

        Args:
            frame: the one it was made from.
            pixels: float32 H×W×C, 0–1.
            alpha: H×W in the sample type of the frame's file, or None.

        Raises:
            OutputError: it cannot be written.
        """

    def finish(self) -> None:
        """Put the clip in its place.

        Raises:
            OutputError: it cannot be written.
        """


def create_output(
    path: Path, source: Clip, size: tuple[int, int], *, partial: bool, threads: int
) -> ClipOutput:
    """Begin to write a clip: a video if the path is named like one, else a folder.

    Args:
        path: file or folder to write.
        source: the clip whose rate, sound, colours and metadata are kept.
        size: width and height of a frame in pixels.
        partial: a part of each frame must stay exactly as it is.
        threads: of the video encoder.

    Raises:
        OutputError: it cannot be written there.
    """
    if path.suffix.lower() in FORMATS and not path.is_dir():
        return VideoOutput(path, source, size, threads=threads)
    check_target(path)
    return FolderOutput(path, source, partial=partial)


def check_target(path: Path) -> None:
    """Find out before the work that a clip could not be written.

    Raises:
        OutputError: it is the name of a file that is no video, or its folder is not there.
    """
    is_folder = path.is_dir() or (not path.suffix and not path.exists())
    if not is_folder and path.suffix.lower() not in FORMATS:
        kinds = ", ".join(sorted(FORMATS))
        raise OutputError(
            f"{path} is neither a folder nor a video that can be written.",
            f"Use one of {kinds}, or a name without a suffix for a folder of frames.",
        )
    if not path.is_dir():
        files.check_place(path)


class FolderOutput:
    """A folder of pictures, named and of the kind as those they came from.

    A folder that is not there appears with all its frames at once. In one that is there, frames of
    the same names are replaced when all are done; other files are left alone.

    Raises:
        OutputError: the folder cannot be written.
    """

    def __init__(self, path: Path, source: Clip, *, partial: bool) -> None:
        self.path = path
        self.partial = partial
        self.from_video = isinstance(source, VideoFile)
        self.warnings: list[str] = []
        if isinstance(source, VideoFile) and source.has_sound:
            self.warnings.append(f"A folder holds no sound: that of {source.path} is not in it.")
        sweep(path)
        self._temporary = temporary_name(path)
        try:
            self._temporary.mkdir()
        except OSError as error:
            raise files.unwritable(path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._temporary, ignore_errors=True)

    def write(self, frame: Frame, pixels: Array, alpha: Array | None) -> None:
        name = Path(frame.file)
        if self.partial and frame.picture.format == "JPEG":  # it would change all of the frame
            name = name.with_suffix(".png")
        if self.from_video and pixels.shape[2] == 1:  # gray frames among those in colour
            pixels = np.repeat(pixels, 3, axis=2)
        target = self._temporary / name
        picture.write(target, pixels, frame.picture, alpha=alpha, durable=False)

    def finish(self) -> None:
        try:
            if self.path.is_dir():
                for file in sorted(self._temporary.iterdir()):
                    file.replace(self.path / file.name)
            else:
                self._temporary.rename(self.path)
        except OSError as error:
            raise files.unwritable(self.path, error) from error
