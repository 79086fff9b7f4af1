"""The second layer of a pair: strokes of colour, or the photo taken with flash.

What the engine gets of it is what lies over the part of the first layer that it sees, whatever the
offsets of the two, in the first one's colour space.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gi.repository import Gimp

from dip_engine.errors import InputError
from dip_engine.tasks import Task, find_task
from dip_gimp import layers
from dip_gimp.box import Box
from dip_gimp.npy import write_npy

_STROKES = "hints"  # what the engine calls a guide whose opaque pixels alone count
_OPAQUE = 128  # of 255, from which on a pixel is a stroke
_MEMORY = "deep-image-prior-second-layer"
_HINTS = {
    "hints": "Choose it; if there is none, paint them on a new, transparent layer.",
    "flash": "Choose it; if it is not in this image, use File → Open as Layers.",
}


def wanted(task: Task) -> str:
    """Return what the second layer of a task is, e.g. "layer taken with flash"."""
    return task.guide_title.replace("picture", "layer")


class SecondLayer:
    """The layer that goes with one that is restored.

    Args:
        image, layer: what is restored.
        second: what was chosen, or None.
        task: one that takes a second layer.

    Raises:
        InputError: there is none, or it cannot be used.
    """

    def __init__(
        self, image: Gimp.Image, layer: Gimp.Layer, second: Gimp.Layer | None, task: Task
    ) -> None:
        self._has_strokes = task.guide == _STROKES
        if self._has_strokes and layer.is_gray():
            hint = "Convert the image to RGB first (Image → Mode → RGB)."
            raise InputError("A gray image cannot hold colours.", hint)
        if second is None:
            sentence = f"The task {task.name} needs a second layer: the {wanted(task)}."
            raise InputError(sentence, _HINTS[task.guide])
        if not second.is_valid():
            raise InputError("The second layer is no longer there.", "Choose another one.")
        self.name: str = second.get_name()
        if second.get_id() == layer.get_id():
            hint = f"Choose the {wanted(task)}."
            raise InputError(f"“{self.name}” cannot be its own second layer.", hint)
        if second.get_image().get_id() != image.get_id():
            hint = "Bring it into this one first (File → Open as Layers)."
            raise InputError(f"The second layer, “{self.name}”, is in another image.", hint)
        self._image, self._layer, self._second = image, layer, second

    def check_covers(self, box: Box) -> None:
        """Make sure that there is something of it wherever something is needed.

        Args:
            box: what the engine sees, in pixels of the layer that is restored.

        Raises:
            InputError: it ends before. Strokes may, where there is transparency around them.
        """
        if self._has_strokes and self._second.has_alpha():
            return
        place = self._over(box)
        if layers.layer_box(self._second).common(place) == place:
            return
        hint = "Move it, or select a part that it covers together with its surroundings."
        if self._has_strokes:
            hint = "Paint the strokes on a transparent layer, or on a copy of the whole layer."
        raise InputError(f"“{self.name}” does not cover all that is restored.", hint)

    def write(self, file: Path, box: Box) -> None:
        """Write what lies over a part of the layer that is restored.

        Strokes come with alpha, 0 where there is nothing of the second layer.

        Args:
            file: the ``.npy`` file to write.
            box: the part, in pixels of that layer.

        Raises:
            InputError: there are no strokes.
            OSError: the file cannot be written.
        """
        if self._has_strokes and self._second.has_alpha():
            self._check_strokes(box)
        name = layers.float_format(self._image, self._layer, alpha=self._has_strokes)
        channels = (1 if self._layer.is_gray() else 3) + int(self._has_strokes)
        pieces = layers.read_pieces(self._second, self._over(box), name)
        write_npy(file, (box.height, box.width, channels), pieces)

    def _check_strokes(self, box: Box) -> None:
        for piece in layers.read_pieces(self._second, self._over(box), "A u8"):
            if max(piece) >= _OPAQUE:
                return
        hint = "Paint some there."
        raise InputError(f"“{self.name}” has no strokes on what is restored.", hint)

    def _over(self, box: Box) -> Box:
        """Return a part of the layer that is restored in pixels of the second one."""
        _, x, y = self._layer.get_offsets()
        _, other_x, other_y = self._second.get_offsets()
        return box.moved(x - other_x, y - other_y)


def other_layers(image: Gimp.Image, layer: Gimp.Layer) -> list[Gimp.Layer]:
    """Return all other layers from top to bottom, also those in groups, but no groups."""
    return [other for other in _flat(image.get_layers()) if other.get_id() != layer.get_id()]


def _flat(items: list[Gimp.Layer]) -> Iterator[Gimp.Layer]:
    for item in items:
        if item.is_group():
            yield from _flat(item.get_children())
        else:
            yield item


def usual_layer(image: Gimp.Image, layer: Gimp.Layer) -> Gimp.Layer | None:
    """Return the second layer of the last time; else the only other one, if there is just one."""
    others = other_layers(image, layer)
    memory = layer.get_parasite(_MEMORY)
    last = "" if memory is None else bytes(memory.get_data()).decode()
    for other in others:
        if str(other.get_id()) == last:
            return other
    return others[0] if len(others) == 1 else None


def remember(layer: Gimp.Layer, second: Gimp.Layer) -> None:
    """Note which layer goes with one, until the image is closed."""
    layer.attach_parasite(Gimp.Parasite.new(_MEMORY, 0, list(str(second.get_id()).encode())))


def choose_usual(config: Gimp.ProcedureConfig, image: Gimp.Image, layer: Gimp.Layer) -> None:
    """Set the second layer of settings that are used again; GIMP does not keep it."""
    task = find_task(config.get_property("task"))
    if task is not None and task.guide:
        config.set_property("second-layer", usual_layer(image, layer))
