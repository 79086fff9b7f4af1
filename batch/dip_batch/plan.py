"""What is to be done: which picture goes where. Decided whole, before any work begins."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from dip_batch.companions import CompanionFolder
from dip_batch.names import printable, shown
from dip_batch.walk import find_pictures, is_picture, is_video, matches, why_no_videos
from dip_engine.clips import VIDEO_SUFFIXES
from dip_engine.errors import InputError
from dip_engine.picture import SUFFIXES
from dip_engine.tasks import find_task
from dip_engine.video_output import FORMATS as VIDEO_FORMATS

FORMATS: dict[str, tuple[str, ...]] = {
    "same": (),
    "png": (".png",),
    "tiff": (".tif", ".tiff"),
    "webp": (".webp",),
    "jpeg": (".jpg", ".jpeg", ".jpe"),
}
"""Choices of ``--format`` with their suffixes; the first is used for files of another format."""

RESTORED = "-restored"


@dataclass(frozen=True, slots=True)
class Request:
    """What the user asked for.

    Attributes:
        inputs: files and folders.
        out: folder (or, for a single file, file) of the results, or None for the default.
        task: name of the task.
        file_format: one of `FORMATS`.
        include, exclude: patterns for names and relative paths; no ``include`` means all.
        mask: one mask for all pictures, or None.
        mask_dir: folder with a mask for each picture, or None.
        guide: one second picture for all, or None.
        guide_dir: folder with a second picture for each, or None.
        kernel: see `Job`; no picture to restore.
        by_color: a colour marks what is to be restored.
    """

    inputs: tuple[Path, ...]
    out: Path | None = None
    task: str = "denoise"
    file_format: str = "same"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    mask: Path | None = None
    mask_dir: Path | None = None
    guide: Path | None = None
    guide_dir: Path | None = None
    kernel: Path | None = None
    by_color: bool = False

    @property
    def is_partial(self) -> bool:
        """True when a part of each picture is restored, and the rest has to stay as it is."""
        masked = self.mask is not None or self.mask_dir is not None or self.by_color
        return masked or self.task == "inpaint"


@dataclass(frozen=True, slots=True)
class Item:
    """One picture or video of the plan; paths are absolute.

    Attributes:
        input, output: files.
        name: what to call the picture, e.g. ``trip/cat.jpg``; safe to print.
        root: folder of results that holds the journal, or None for a file on its own.
        mask, guide: files, or None.
        problem: why the picture cannot even be begun, or None.
    """

    input: Path
    output: Path
    name: str
    root: Path | None
    mask: Path | None = None
    guide: Path | None = None
    problem: InputError | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All pictures in order, the folders of results, and what the user should know."""

    items: tuple[Item, ...]
    roots: tuple[Path, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Source:
    """An input with the place its results go to.

    Attributes:
        path: the file or folder.
        base: folder below which results are written under their relative names.
        root: see `Item`.
        output: the very file to write, for a file on its own.
    """

    path: Path
    base: Path
    root: Path | None
    output: Path | None = None


def make_plan(request: Request) -> Plan:
    """Find the pictures and map each to its output.

    Raises:
        InputError: an output would replace an input, two outputs have one name, the output
            folder cannot be one, or there is no picture at all.
    """
    notes: list[str] = []
    sources = tuple(_sources(request))
    roots = tuple(dict.fromkeys(source.root for source in sources if source.root is not None))
    _refuse_roots(roots, sources)
    avoid = {root.resolve() for root in roots}
    companions = _companions(request)
    avoid |= {folder.folder.resolve() for folder in companions.values()}
    items: dict[tuple[Path, Path], Item] = {}
    for source in sources:
        for relative in _pictures(source, request, avoid, notes):
            if any(c.holds(relative, _folder_of(source)) for c in companions.values()):
                continue
            item = _item(source, relative, request, companions)
            items.setdefault((item.input, item.output), item)
    kept = _without_own_results(tuple(items.values()), notes)
    _refuse_in_place(kept)
    _refuse_collisions(kept)
    if not kept:
        raise _nothing_found(request, notes)
    return Plan(
        kept, tuple(root for root in roots if any(i.root == root for i in kept)), tuple(notes)
    )


def _absolute(path: Path) -> Path:
    # Not resolve(): what is reached through a link keeps the name the user knows.
    return Path(os.path.abspath(path))  # noqa: PTH100


def _sources(request: Request) -> Iterator[_Source]:
    inputs = tuple(dict.fromkeys(_absolute(path) for path in request.inputs))
    folders = [path for path in inputs if path.is_dir()]
    out = None if request.out is None else _absolute(request.out)
    if out is not None:
        names_a_file = out.suffix.lower() in {*SUFFIXES, *VIDEO_FORMATS} and not out.is_dir()
        if names_a_file and len(inputs) == 1 and not folders:
            yield _Source(inputs[0], out.parent, None, out)
            return
        if names_a_file or (out.exists() and not out.is_dir()):
            raise InputError(
                f"{shown(out)} cannot be the folder of the results.",
                "Name a folder with -o; a file only for a single picture.",
            )
    for path in inputs:
        if out is not None:
            below = path in folders and len(folders) > 1
            yield _Source(path, out / path.name if below else out, out)
        elif path in folders:
            if not path.name:
                raise InputError(f"{shown(path)} has no name to derive one from.", "Give -o.")
            root = path.with_name(path.name + RESTORED)
            yield _Source(path, root, root)
        else:
            yield _Source(path, path.parent, None)


def _pictures(
    source: _Source, request: Request, avoid: set[Path], notes: list[str]
) -> Iterator[Path]:
    """Yield the pictures of one input, relative to it (a file: to its folder)."""
    folder = _folder_of(source)
    found: list[Path]
    no_videos = why_no_videos(request.task)
    if source.path.is_dir():
        found = find_pictures(
            source.path,
            avoid,
            lambda text, path: notes.append(text.format(shown(path))),
            no_videos,
        )
    elif is_picture(source.path) or (is_video(source.path) and no_videos is None):
        found = [Path(source.path.name)]
    elif is_video(source.path):
        found = []
        notes.append(f"{shown(source.path)} is left out: {no_videos}.")
    else:
        found = []
        notes.append(f"{shown(source.path)} is left out: its name is not that of a picture.")
    files = (request.mask, request.guide, request.kernel)
    own = [path.resolve() for path in files if path is not None]
    for relative in found:
        if request.include and not matches(relative, request.include):
            continue
        if matches(relative, request.exclude):
            continue
        if not own or (folder / relative).resolve() not in own:
            yield relative


def _folder_of(source: _Source) -> Path:
    return source.path if source.path.is_dir() else source.path.parent


def _companions(request: Request) -> dict[str, CompanionFolder]:
    """Return the folders of masks and of second pictures, by the field of `Item` they fill."""
    task = find_task(request.task)
    kinds = {"mask": "mask", "guide": "" if task is None else task.guide}
    folders = {"mask": request.mask_dir, "guide": request.guide_dir}
    return {
        name: CompanionFolder(_absolute(folder), kinds[name])
        for name, folder in folders.items()
        if folder is not None
    }


def _item(
    source: _Source, relative: Path, request: Request, companions: dict[str, CompanionFolder]
) -> Item:
    folder = _folder_of(source)
    suffix = output_suffix(relative.suffix, request.file_format, is_partial=request.is_partial)
    if source.output is not None:
        output = source.output
    elif source.root is None:
        output = source.base / f"{relative.stem}{RESTORED}{suffix}"
    else:
        output = source.base / relative.with_suffix(suffix)
    files = {"mask": request.mask, "guide": request.guide}
    found = {name: None if path is None else _absolute(path) for name, path in files.items()}
    problem = None
    for name, companion in companions.items():
        try:
            found[name] = companion.find(relative, folder)
        except InputError as error:
            problem = error
    name = printable(relative.as_posix())
    return Item(folder / relative, output, name, source.root, **found, problem=problem)


def output_suffix(suffix: str, file_format: str, *, is_partial: bool) -> str:
    """Return the suffix of the output of a picture or video with this suffix.

    A video stays one of its kind where that can be written, whatever the format of pictures. A
    JPEG that is restored in part becomes a PNG unless a format was chosen: compressing it again
    would change the pixels outside of the mask.
    """
    if suffix.lower() in VIDEO_SUFFIXES:
        return suffix if suffix.lower() in VIDEO_FORMATS else ".mp4"
    if file_format == "same":
        lossy = is_partial and suffix.lower() in FORMATS["jpeg"]
        return ".png" if lossy else suffix
    suffixes = FORMATS[file_format]
    return suffix if suffix.lower() in suffixes else suffixes[0]


def _refuse_roots(roots: tuple[Path, ...], sources: tuple[_Source, ...]) -> None:
    folders = {source.path.resolve() for source in sources if source.path.is_dir()}
    for root in roots:
        if root.resolve() in folders:
            raise InputError(
                f"{shown(root)} is both input and output.",
                "Pictures are never replaced by their results: choose another folder with -o.",
            )


def _without_own_results(items: tuple[Item, ...], notes: list[str]) -> tuple[Item, ...]:
    """Leave out files that are the default outputs of others, as in ``dip-batch *.png`` twice."""
    results = {item.output for item in items if item.root is None}
    own = [item for item in items if item.input in results and item.input != item.output]
    notes += [f"{shown(item.input)} is left out: it is the result of another." for item in own]
    return tuple(item for item in items if item not in own)


def _refuse_in_place(items: tuple[Item, ...]) -> None:
    inputs = {item.input.resolve() for item in items}
    for item in items:
        if item.output.resolve() in inputs:
            raise InputError(
                f"The result of {shown(item.input)} would replace a picture of the input.",
                "Choose another place with -o.",
            )


def _refuse_collisions(items: tuple[Item, ...]) -> None:
    # Names that differ only in case or in the composition of accents are one on some disks.
    taken: dict[str, Item] = {}
    for item in items:
        key = unicodedata.normalize("NFC", str(item.output)).casefold()
        other = taken.setdefault(key, item)
        if other is not item:
            raise InputError(
                f"{shown(other.input)} and {shown(item.input)} would both be written to "
                f"{shown(item.output)}.",
                "Rename one, leave one out with --exclude, or use --format same or another -o.",
            )


def _nothing_found(request: Request, notes: list[str]) -> InputError:
    hint = " ".join(notes)
    if request.include or request.exclude:
        hint += " Check --include and --exclude."
    kinds = ", ".join(sorted(SUFFIXES))
    return InputError("No pictures were found.", f"Looked for {kinds}.{' ' if hint else ''}{hint}")
