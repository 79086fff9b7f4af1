"""The private folder of one run: what plug-in and engine hand to each other lies there.

GIMP's own Cancel kills the plug-in, which then cannot tidy up. So the owner holds a lock on a file
in its folder; a folder whose lock can be had belongs to nobody, and the next run removes it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from dip_engine.errors import OutputError

PREFIX = "run-"
LOG = "engine.log"
_LOCK = "lock"
_LONGEST_LOG = 2**20  # bytes
_NEWBORN = 60.0  # seconds during which a folder may still be without its lock


def cache_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Return the folder that holds the runs: on a disk, and seen by the engine too.

    Not the system's temporary folder: that is memory on many systems, and a sandboxed GIMP has
    one of its own. In a sandbox ``XDG_CACHE_HOME`` names a folder that both sides see.
    """
    home = Path(environment.get("HOME") or Path.home())
    if sys.platform == "win32":
        root = Path(environment.get("LOCALAPPDATA") or home / "AppData/Local")
    elif sys.platform == "darwin":
        root = home / "Library/Caches"
    else:
        root = Path(environment.get("XDG_CACHE_HOME") or home / ".cache")
    return root / "deep-image-prior"


@contextmanager
def run_folder(root: Path | None = None) -> Iterator[Path]:
    """Make a folder for one run, which nobody else may read; remove it in the end.

    Raises:
        OutputError: it cannot be made.
    """
    root = root or cache_folder()
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        sweep(root)
        folder, lock = _locked_folder(root)
    except OSError as error:
        raise OutputError(
            f"The folder {root} cannot be used: {error.strerror or error}.",
            "Check its rights and the free space.",
        ) from error
    try:
        yield folder
    finally:
        lock.close()
        shutil.rmtree(folder, ignore_errors=True)


def engine_log(root: Path | None = None) -> Path:
    """Return the file for the engine's messages; one that has grown long is begun anew."""
    file = (root or cache_folder()) / LOG
    with suppress(OSError):
        if file.stat().st_size > _LONGEST_LOG:
            file.unlink()
    return file


def sweep(root: Path) -> None:
    """Remove the folders of runs that were killed."""
    for folder in root.glob(f"{PREFIX}*"):
        with suppress(OSError):
            if _is_abandoned(folder):
                shutil.rmtree(folder, ignore_errors=True)


def _locked_folder(root: Path) -> tuple[Path, BinaryIO]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))  # 0700
        file = (folder / _LOCK).open("wb")
        if _lock(file):
            return folder, file
        file.close()  # somebody's sweep was quicker; it is about to remove the folder


def _is_abandoned(folder: Path) -> bool:
    try:
        with (folder / _LOCK).open("r+b") as file:
            return _lock(file)
    except FileNotFoundError:
        return time.time() - folder.stat().st_mtime > _NEWBORN


def _posix_lock(file: BinaryIO) -> bool:
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _windows_lock(file: BinaryIO) -> bool:
    import msvcrt

    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    except OSError:
        return False
    return True


_lock: Callable[[BinaryIO], bool] = _windows_lock if os.name == "nt" else _posix_lock
