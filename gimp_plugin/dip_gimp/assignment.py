"""One run: what the engine is given of a layer, and what becomes of its answer."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from gi.repository import Gimp

from dip_engine.errors import DipError, InputError, OutputError, ProtocolError
from dip_engine.events import Result
from dip_engine.job import Job
from dip_gimp import layers
from dip_gimp.box import Box, with_context
from dip_gimp.engine_command import start_hint
from dip_gimp.npy import open_npy, write_npy
from dip_gimp.request import Request
from dip_gimp.second_layer import SecondLayer
from dip_gimp.selection import extent, inverted, marked

MOST_PREVIEW_SIDE = 8192  # more than fits on a screen; a larger picture is shown reduced
_MEGAPIXEL = 1e6
# The engine speaks of options of the command line; a person in GIMP sees these instead.
_NAMES_HERE = {
    "--noise-level": "“Noise level”",
    "--quality": "“JPEG quality”",
    "--blur-size": "“Blur size”",
    "--device cpu": "the device “cpu”",
    ", or --dtype float32": "",
}


@dataclass(frozen=True)
class Region:
    """The part of a layer that a run is about.

    Attributes:
        box: what the engine sees, in pixels of the layer.
        marks: one byte for each pixel of `box`, 255 = it may change.
        mask: the selection over `box` as float32, or None where it is not sent.
        by_alpha: transparent pixels are to be filled.
    """

    box: Box
    marks: bytes
    mask: bytes | None = None
    by_alpha: bool = False


@dataclass(frozen=True)
class Choice:
    """The picture that is to become the new layer: a snapshot, or the engine's own choice."""

    path: Path
    iteration: int
    automatic: bool


class Assignment:
    """A layer, the part of it that is restored, and the job for the engine.

    Args:
        image, layer: where it is.
        request: what is wanted.
        folder: of this run.
        snapshots: keep snapshots and send previews.

    Raises:
        InputError: nothing can be restored, with the reason.
        OutputError: the folder is full.
    """

    def __init__(
        self,
        image: Gimp.Image,
        layer: Gimp.Layer,
        request: Request,
        folder: Path,
        *,
        snapshots: bool,
    ) -> None:
        self.image, self.layer, self.request = image, layer, request
        self.layer_name = layer.get_name()
        self.size = layers.layer_box(layer)
        self.format = layers.float_format(image, layer, alpha=layer.has_alpha())
        self.preview_format = layers.preview_format(image, layer)
        self.second = find_second_layer(image, layer, request)
        self.region = find_region(image, layer, request)
        self.enlarges = request.factor > 1
        if self.second is not None:
            self.second.check_covers(self.region.box)
        try:
            self.job = self._write_job(folder, snapshots=snapshots)
        except OSError as error:
            raise OutputError(
                f"The folder {folder} cannot be written: {error.strerror or error}.",
                "Free some space on its disk.",
            ) from error

    def check_still_there(self) -> None:
        """Make sure that the result can still be inserted.

        Raises:
            InputError: image or layer are gone, or the layer has another size.
        """
        if not self.image.is_valid():
            raise InputError("The image was closed while it was restored; nothing was inserted.")
        if not self.layer.is_valid():
            raise InputError(
                f"The layer “{self.layer_name}” was deleted while it was restored; "
                "nothing was inserted."
            )
        if layers.layer_box(self.layer) != self.size:
            raise InputError(
                f"The layer “{self.layer_name}” has got another size while it was restored; "
                "nothing was inserted."
            )

    def deliver(self, choice: Choice, result: Result | None) -> Gimp.Layer:
        """Make the new layer (for an enlargement: in a new image) and return it.

        Args:
            choice: the picture.
            result: what the engine said in the end; None if a person ended the run.

        Raises:
            InputError: see `check_still_there`.
        """
        self.check_still_there()
        task, preset = self.request.task.title, self.request.settings.preset
        title = f"{self.layer_name} – {task} ({preset}, iteration {choice.iteration})"
        with open_npy(choice.path) as rows:
            if self.enlarges:
                factor = self.request.factor
                new = layers.new_image(self.image, self.layer, rows, self.format, title, factor)
            else:
                region = self.region
                # What was erased and is filled becomes visible; the engine changes no other alpha.
                keep = not self.request.task.needs_mask
                new = layers.restored_copy(
                    self.layer, region.box, rows, self.format, region.marks, keep_alpha=keep
                )
                new.set_name(title)
        layers.attach_note(new, self._note(choice, result))
        if not self.enlarges:
            layers.insert_above(self.image, self.layer, new)
        return new

    def readable(self, error: DipError, *, started: bool = True) -> DipError:
        """Return the error in words that a person in GIMP knows.

        Args:
            error: as the engine or its client has it.
            started: the engine has begun to work.
        """
        hint = self.here(error.hint)
        if isinstance(error, ProtocolError) and not started:
            hint = f"{hint} {start_hint()}".strip()
        return type(error)(self.here(error.sentence), hint)

    def here(self, text: str) -> str:
        """Return a text with the layer's name for the names of files nobody knows."""
        names = {str(self.job.input): f"“{self.layer_name}”", **_NAMES_HERE}
        if self.job.mask is not None:
            names[str(self.job.mask)] = "the selection"
        if self.second is not None:
            names[str(self.job.guide)] = f"“{self.second.name}”"
        for before, after in names.items():
            text = text.replace(before, after)
        return text[:1].upper() + text[1:]

    def _write_job(self, folder: Path, *, snapshots: bool) -> Job:
        box, region = self.region.box, self.region
        picture, mask, guide = (folder / f"{name}.npy" for name in ("layer", "mask", "second"))
        kept = folder / "snapshots"
        channels = layers.channels_of(self.layer)
        pieces = layers.read_pieces(self.layer, box, self.format)
        write_npy(picture, (box.height, box.width, channels), pieces)
        if region.mask is not None:
            write_npy(mask, (box.height, box.width), [region.mask])
        if self.second is not None:
            self.second.write(guide, box)
        settings = self.request.settings
        if snapshots:
            kept.mkdir()
            factor = self.request.factor
            side = min(MOST_PREVIEW_SIDE, factor * max(box.width, box.height))
            # Full-size previews let a person look at real pixels; large ones come less often.
            pause = max(0.4, factor**2 * box.width * box.height / _MEGAPIXEL / 4)
            settings = replace(settings, preview_side=max(side, 16), preview_seconds=pause)
        return Job(
            self.request.task.name,
            picture,
            folder / "result.npy",
            mask if region.mask is not None else None,
            settings=settings,
            snapshots=kept if snapshots else None,
            guide=None if self.second is None else guide,
        )

    def _note(self, choice: Choice, result: Result | None) -> str:
        """Return what a later reader of the image may want to know, as JSON."""
        box = self.region.box
        note = {
            "task": self.request.task.name,
            "settings": asdict(self.request.settings),
            "iteration": choice.iteration,
            "chosen": "automatically" if choice.automatic else "by hand",
            "region": [box.left, box.top, box.width, box.height],
        }
        if self.second is not None:
            note["second_layer"] = self.second.name
        if result is not None:
            facts = asdict(result)
            note["result"] = {
                name: facts[name]
                for name in ("network", "device", "dtype", "stop_reason", "noise_std", "versions")
            }
        return json.dumps(note, ensure_ascii=False)


def find_second_layer(image: Gimp.Image, layer: Gimp.Layer, request: Request) -> SecondLayer | None:
    """Return the second layer for a task that takes one.

    Raises:
        InputError: it is missing or cannot be used.
    """
    if not request.task.guide:
        return None
    return SecondLayer(image, layer, request.second, request.task)


def find_region(image: Gimp.Image, layer: Gimp.Layer, request: Request) -> Region:
    """Find out which part of a layer is to be restored.

    Raises:
        InputError: none is.
    """
    chosen = layers.selected_box(image, layer)
    whole = layers.layer_box(layer)
    if request.factor > 1:
        box = chosen or whole
        return Region(box, b"")
    if chosen is not None:
        box = with_context(chosen, whole)
        mask = layers.read_selection(image, layer, box)
        marks = marked(mask)
        if not any(marks):
            raise InputError("Nothing of the layer is selected.", "Select a part of it.")
        if request.task.needs_mask and box == whole and all(marks):
            hint = "Leave something for the network to learn from."
            raise InputError("All of the layer is selected.", hint)
        return Region(box, marks, mask)
    if request.task.needs_mask:
        return transparent_region(layer)
    return Region(whole, b"\xff" * (whole.width * whole.height))


def transparent_region(layer: Gimp.Layer) -> Region:
    """Return the part around the wholly transparent pixels of a layer.

    Raises:
        InputError: there are none, or nothing else.
    """
    hint = "Select what shall be filled, or erase it."
    if not layer.has_alpha():
        raise InputError("Nothing is selected.", hint)
    whole = layers.layer_box(layer)
    alpha = b"".join(layers.read_pieces(layer, whole, "A float"))
    marks = inverted(marked(alpha))
    hole = extent(marks, whole.width)
    if hole is None:
        raise InputError("Nothing is selected, and no pixel is transparent.", hint)
    if all(marks):
        raise InputError("Every pixel of the layer is transparent.", "There is nothing to learn.")
    box = with_context(hole, whole)
    cut = b"".join(
        marks[row * whole.width + box.left : row * whole.width + box.right]
        for row in range(box.top, box.bottom)
    )
    return Region(box, cut, by_alpha=True)
