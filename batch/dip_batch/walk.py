"""Find the pictures and videos of a folder."""

from __future__ import annotations

import os
from collections.abc import Callable, Container
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path

from dip_batch.names import natural_key
from dip_engine.clips import VIDEO_SUFFIXES
from dip_engine.picture import SUFFIXES
from dip_engine.tasks import find_task

RESULTS_FOLDER = ".dip-batch"
"""Where a folder of results keeps its journal; it also marks the folder as one of results."""


def is_picture(path: Path) -> bool:
    """Tell by its name and kind whether a file is one that can be read."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()


def is_video(path: Path) -> bool:
    """Tell by its name and kind whether a file is one whose frames can be restored.

    A GIF among pictures is mostly meant as one, and ``.ts`` has other meanings.
    """
    suffixes = VIDEO_SUFFIXES - {".gif", ".ts"}
    return path.suffix.lower() in suffixes and not path.name.startswith(".") and path.is_file()


def why_no_videos(task: str) -> str | None:
    """Return why videos cannot be restored, as the end of a sentence; None if they can."""
    descriptor = find_task(task)
    if descriptor is None or not descriptor.takes_clip:
        return f"the task {task} works on pictures only"
    if find_spec("av") is None:
        return "videos need PyAV (pip install 'deep-image-prior[video]')"
    return None


def find_pictures(
    folder: Path,
    avoid: Container[Path],
    note: Callable[[str, Path], None],
    no_videos: str | None = None,
) -> list[Path]:
    """Return the pictures and videos below a folder, relative to it, in natural order.

    Hidden files and folders and linked folders are skipped silently. Folders that hold the
    results of an earlier run are left out with a note, so that a second run over their parent
    does not restore what is restored.

    Args:
        folder: where to begin; it is walked even if it holds results itself.
        avoid: resolved folders that are not entered.
        note: is told a sentence with ``{}`` for the name, and the path, where one is left out.
        no_videos: see `why_no_videos`.
    """

    def unreadable(error: OSError) -> None:
        note(f"{{}} cannot be read ({error.strerror}).", Path(error.filename))

    def enter(path: Path) -> bool:
        if path.name.startswith(".") or path.is_symlink() or path.resolve() in avoid:
            return False
        if (path / RESULTS_FOLDER).is_dir():
            note("{} is left out: it holds results of an earlier run.", path)
            return False
        return True

    found = []
    for where, folders, files in os.walk(folder, onerror=unreadable):
        here = Path(where)
        folders[:] = [name for name in sorted(folders) if enter(here / name)]
        for path in sorted(here / name for name in files):
            if is_video(path) and no_videos is not None:
                note(f"{{}} is left out: {no_videos}.", path)
            elif is_video(path) or is_picture(path):
                found.append(path.relative_to(folder))
    return sorted(found, key=natural_key)


def matches(relative: Path, patterns: tuple[str, ...]) -> bool:
    """Tell whether a name or a relative path fits one of the patterns, whatever its case."""
    texts = (relative.name.casefold(), relative.as_posix().casefold())
    return any(fnmatchcase(text, pattern.casefold()) for pattern in patterns for text in texts)
