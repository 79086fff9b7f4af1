"""A folder of results that appears whole, or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from dip_engine.errors import OutputError
from dip_engine.files import unwritable
from dip_engine.temporary import ASIDE_SUFFIX, abandoned, sweep, temporary_name


@contextmanager
def new_folder(path: Path, names: Collection[str], *, force: bool) -> Iterator[Path]:
    """Make a folder beside `path`, which takes its place when the block has ended well.

    Args:
        path: the folder to make.
        names: of the files that it gets.
        force: replace one that is there, if it holds no other files than these.

    Raises:
        OutputError: `path` is there and may not be replaced, or cannot be written. What was there
            stays as it was.
    """
    try:
        target = path.resolve()
        _bring_back(target)
        sweep(target)
        _check(path, names, force=force)
        fresh = temporary_name(target)
        fresh.mkdir()
    except OSError as error:
        raise unwritable(path, error) from error
    try:
        yield fresh
        try:
            _check(path, names, force=force)  # the work took its time
            _replace(target, fresh)
        except OSError as error:
            raise unwritable(path, error) from error
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _check(path: Path, names: Collection[str], *, force: bool) -> None:
    if not path.exists():
        return
    if not force:
        raise OutputError(f"{path} exists.", "Use --force to replace it.")
    if not path.is_dir():
        raise OutputError(f"{path} is a file, not a folder.", "Name a folder.")
    for file in path.iterdir():
        if file.name not in names:
            raise OutputError(
                f"{path} holds {file.name}, which is not of a comparison.", "Name another folder."
            )


def _bring_back(target: Path) -> None:
    """Undo the first half of a `_replace` whose process was killed before the second."""
    for old in abandoned(target, ASIDE_SUFFIX):
        if not target.exists():
            old.rename(target)
    sweep(target, ASIDE_SUFFIX)


def _replace(target: Path, fresh: Path) -> None:
    """Put `fresh` in the place of `target`; what was there has the name of `fresh` then."""
    old = temporary_name(target, ASIDE_SUFFIX)
    try:
        if target.exists():
            target.rename(old)
        fresh.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    if old.exists():
        old.rename(fresh)  # under this name it is only ever removed, however little is left of it
