"""Files that are written whole or not at all, and what is said where one cannot be written."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from pathlib import Path

from dip_engine.errors import OutputError
from dip_engine.temporary import temporary_name

_WRITE_HINTS = {
    errno.ENOENT: "Create its folder first.",
    errno.ENOTDIR: "A part of its path is a file, not a folder.",
    errno.EISDIR: "A folder has that name; choose another one.",
    errno.ENOSPC: "The disk is full; free some space.",
    errno.EDQUOT: "Your quota is used up; free some space.",
    errno.EACCES: "Change the permissions of its folder, or choose another one.",
    errno.EPERM: "Change the permissions of its folder, or choose another one.",
    errno.EROFS: "The disk is read-only; choose another one.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
}


def check_place(path: Path) -> None:
    """Find out before the work that a file could not be written there, whatever its format.

    Raises:
        OutputError: a folder has that name, or its folder is not there or may not be written.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        path.parent.stat()
        if not os.access(path.parent, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise unwritable(path, error) from error


def unwritable(path: Path, error: OSError) -> OutputError:
    """Return what it means for a user that a file or folder cannot be written."""
    hint = _WRITE_HINTS.get(error.errno or 0, "Choose another output.")
    return OutputError(f"{path} cannot be written ({reason(error)}).", hint)


def reason(error: Exception) -> str:
    """Return what the system says of an error."""
    return getattr(error, "strerror", None) or str(error)


def write_whole(path: Path, data: bytes, *, durable: bool) -> None:
    """Write beside the target, then rename: a reader sees the old file or the new, never a part.

    Args:
        path: an existing file is replaced.
        data: all of it.
        durable: it is on the disk when this returns, safe from a power cut.

    Raises:
        OutputError: it cannot be written. An existing file is as it was.
    """
    temporary = temporary_name(path)
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise unwritable(path, error) from error
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Let a new name in a folder survive a power cut."""
    with suppress(OSError):  # some file systems cannot sync a folder; the file itself is safe
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
