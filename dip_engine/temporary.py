"""Names for what is under way: a file or folder gets its own name when it is whole.

The name tells the machine and the process that writes, so that what a killed one left can be found
and removed.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import time
import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from dip_engine.processes import is_running

TEMPORARY_SUFFIX = ".dip-tmp"
ASIDE_SUFFIX = ".dip-old"  # what is put back if its successor does not get its place

PATIENCE = 24 * 3600.0
"""Seconds after which what another machine wrote and did not touch again counts as left behind.

Long, because a video under way may rest for hours while its next frames are fitted.
"""


def temporary_name(path: Path, suffix: str = TEMPORARY_SUFFIX) -> Path:
    """Return where to write what is to become `path`, or to put it aside."""
    return path.with_name(f".{path.name}.{os.getpid()}-{_this_machine()}{suffix}")


def sweep_folder(folder: Path) -> None:
    """Remove the temporary files in a folder whose process is gone; others are left alone."""
    for path, _ in _abandoned(folder, TEMPORARY_SUFFIX):
        with suppress(OSError):
            path.unlink()


def sweep(path: Path, suffix: str = TEMPORARY_SUFFIX) -> None:
    """Remove what killed processes left of `path`; to be called before it is begun."""
    for left in abandoned(path, suffix):
        with suppress(OSError):
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()


def abandoned(path: Path, suffix: str = TEMPORARY_SUFFIX) -> list[Path]:
    """Return the temporary files and folders of `path` whose process is gone."""
    return [left for left, name in _abandoned(path.parent, suffix) if name == path.name]


def is_left_behind(path: Path, process: int, *, here: bool, patience: float) -> bool:
    """Tell whether a process that wrote a file or folder is gone.

    Args:
        path: what it wrote.
        process: its id.
        here: it ran on this machine, which can be asked. Of another one (a shared disk, a
            container with a new name) is only known when it last touched the file.
        patience: seconds for which it need not have done so.
    """
    if here:
        # The id of a killed process may come back to us, as it does in containers.
        return process == os.getpid() or not is_running(process)
    try:
        return time.time() - path.stat().st_mtime > patience
    except FileNotFoundError:
        return True


def _abandoned(folder: Path, suffix: str) -> Iterator[tuple[Path, str]]:
    """Yield what was left behind in a folder, each with the name it was to get."""
    pattern = re.compile(rf"\.(.+)\.(\d+)-([0-9a-f]{{8}}){re.escape(suffix)}", re.DOTALL)
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if match := pattern.fullmatch(path.name):
                name, process, machine = match.groups()
                here = machine == _this_machine()
                if is_left_behind(path, int(process), here=here, patience=PATIENCE):
                    yield path, name


def _this_machine() -> str:
    """Return a short sign for the name of this machine, fit for a file name."""
    return f"{zlib.crc32(platform.node().encode(errors='replace')):08x}"
