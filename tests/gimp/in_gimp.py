"""Runs a script of the tests inside of GIMP, in GIMP's own Python, and brings its answer out.

The script finds ``given``, what the test passed to it, and ``folder``, where it may write; what it
puts into ``answer`` goes back to the test. Beside these it can use the functions below, and what
GIMP's interpreter has imported: Gimp, Gegl, Babl, Gio, GLib and GObject. An exception makes GIMP
end with exit code 64, so a script has no other need to say that it failed; SystemExit does too.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gimp", "3.0")
gi.require_version("Gegl", "0.4")
gi.require_version("Babl", "0.1")

from gi.repository import Babl, Gegl, Gimp  # noqa: E402 - the versions come first

folder = Path(os.environ["DIP_TEST_FOLDER"])
given: dict[str, Any] = json.loads((folder / "given.json").read_text())
answer: dict[str, Any] = {}


def new_image(width: int, height: int, kind: str = "RGB", precision: str = "U8_NON_LINEAR") -> Any:
    """Make an image without layers; kind and precision are names in Gimp's enumerations."""
    base, numbers = getattr(Gimp.ImageBaseType, kind), getattr(Gimp.Precision, precision)
    return Gimp.Image.new_with_precision(width, height, base, numbers)


def new_layer(
    image: Any, values: bytes = b"", kind: str = "RGB_IMAGE", name: str = "layer", **place: int
) -> Any:
    """Put a layer on top of an image.

    Args:
        image: where.
        values: its pixels in its own format, row by row; without any it is transparent or black.
        kind: name in Gimp.ImageType.
        name: of the layer.
        place: ``width``, ``height``, ``x`` and ``y`` where they are not those of the image.
    """
    width = place.get("width", image.get_width())
    height = place.get("height", image.get_height())
    mode = Gimp.LayerMode.NORMAL
    layer = Gimp.Layer.new(image, name, width, height, getattr(Gimp.ImageType, kind), 100.0, mode)
    image.insert_layer(layer, None, 0)
    layer.set_offsets(place.get("x", 0), place.get("y", 0))
    if values:
        buffer = layer.get_buffer()
        own = Babl.get_name(layer.get_format())
        buffer.set(Gegl.Rectangle.new(0, 0, width, height), own, values)
        buffer.flush()
    return layer


def pixels(drawable: Any, encoding: str | None = None) -> bytes:
    """Return the pixels of a drawable, row by row, in its own format or another one."""
    area = Gegl.Rectangle.new(0, 0, drawable.get_width(), drawable.get_height())
    data: bytes = drawable.get_buffer().get(area, 1.0, encoding, Gegl.AbyssPolicy.NONE)
    return data


def call(name: str, image: Any, layers: list[Any], **arguments: Any) -> tuple[str, str, list[Any]]:
    """Call a procedure for images; return its status, its message, and what it returns.

    Arguments have ``_`` where the procedure has ``-``. GIMP passes over one it does not take with
    a warning in the log.
    """
    procedure = Gimp.get_pdb().lookup_procedure(name)
    config = procedure.create_config()
    config.set_property("run-mode", Gimp.RunMode.NONINTERACTIVE)
    config.set_property("image", image)
    config.set_core_object_array("drawables", layers)
    for key, value in arguments.items():
        config.set_property(key.replace("_", "-"), value)
    result = procedure.run(config)
    status = result.index(0)
    if status != Gimp.PDBStatusType.SUCCESS:
        return status.value_nick, Gimp.get_pdb().get_last_error(), []
    return status.value_nick, "", [result.index(n) for n in range(1, result.length())]


def _main() -> None:
    Gegl.init(None)
    script = folder / "script.py"
    try:
        exec(compile(script.read_text(), str(script), "exec"), globals())
    finally:
        (folder / "answer.json").write_text(json.dumps(answer))


_main()
