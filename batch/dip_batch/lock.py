"""A lock on a folder of results, so that two runs do not write into it at once."""

from __future__ import annotations

import os
import platform
from contextlib import suppress
from pathlib import Path

from dip_engine.errors import OutputError
from dip_engine.temporary import is_left_behind

STALE_SECONDS = 120.0
"""Age after which the lock of another machine counts as left behind."""


class FolderLock:
    """A file with the machine and process id of its owner.

    A lock left behind by a killed run is taken over: on the same machine when its process is
    gone, else (a shared disk, a container with a new name) when nobody has called `refresh` for
    `STALE_SECONDS`.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._held = False

    def acquire(self) -> None:
        """Take the lock.

        Raises:
            OutputError: another run holds it.
            OSError: the file cannot be written.
        """
        for _ in range(3):  # again where a lock that was left behind had to go first
            try:
                descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
            except FileExistsError:
                self._remove_if_stale()
                continue
            with os.fdopen(descriptor, "w") as file:
                file.write(f"{os.getpid()} {platform.node()}\n")
            self._held = True
            return
        raise self._busy()

    def refresh(self) -> None:
        """Show runs on other machines that the owner is alive."""
        with suppress(OSError):
            os.utime(self._path)

    def release(self) -> None:
        """Give the lock back, if it is held."""
        if self._held:
            self._path.unlink(missing_ok=True)
            self._held = False

    def _remove_if_stale(self) -> None:
        try:
            pid, _, node = self._path.read_text(errors="replace").strip().partition(" ")
        except FileNotFoundError:
            return
        here = node == platform.node() and pid.isdecimal()
        process = int(pid) if here else 0
        if not is_left_behind(self._path, process, here=here, patience=STALE_SECONDS):
            raise self._busy()
        self._path.unlink(missing_ok=True)

    def _busy(self) -> OutputError:
        return OutputError(
            f"Another dip-batch is at work in {self._path.parent.parent}.",
            f"Wait until it has ended. If there is none, delete {self._path}.",
        )
