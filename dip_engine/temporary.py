"""Names for what is under way: a file or folder gets its own name when it is whole.

The name tells the process that writes, so that what a killed one left can be found and removed.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dip_engine.processes import is_running

TEMPORARY_SUFFIX = ".dip-tmp"
_TEMPORARY = re.compile(rf"\.(.+)\.(\d+){re.escape(TEMPORARY_SUFFIX)}", re.DOTALL)


def temporary_name(path: Path) -> Path:
    """Return where to write what is to become `path`."""
    return path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY_SUFFIX}")


def sweep_folder(folder: Path) -> None:
    """Remove the temporary files in a folder whose process is gone; others are left alone."""
    for path, _, process in _found(folder):
        if not is_running(process):
            with suppress(OSError):
                path.unlink()


def sweep(path: Path) -> None:
    """Remove what killed processes left of `path`; to be called before it is begun."""
    for left in abandoned(path):
        with suppress(OSError):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()


def abandoned(path: Path) -> list[Path]:
    """Return the temporary files and folders of `path` whose process is gone."""
    # The id of a killed process may come back to us, as it does in containers.
    return [
        left
        for left, name, process in _found(path.parent)
        if name == path.name and (process == os.getpid() or not is_running(process))
    ]


def _found(folder: Path) -> Iterator[tuple[Path, str, int]]:
    """Yield each temporary file or folder with its target's name and its process."""
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if match := _TEMPORARY.fullmatch(path.name):
                yield path, match[1], int(match[2])
