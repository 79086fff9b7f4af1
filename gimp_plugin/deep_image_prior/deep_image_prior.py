#!/usr/bin/env python3
"""Filters → Enhance → Deep Image Prior…: restore a layer with the engine, as a new layer.

What is selected is filled from the rest of the layer; without a selection, noise is removed. The
engine is a process with a Python of its own (``engine.json`` names it); GIMP's own Python runs
this file, with the client that the installer put beside it.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gimp", "3.0")
gi.require_version("Gegl", "0.4")
gi.require_version("Babl", "0.1")

from gi.repository import Babl, Gegl, Gimp, GLib  # noqa: E402 - the versions come first
from npy import read_npy, write_npy  # noqa: E402

from dip_engine.client import Engine  # noqa: E402
from dip_engine.errors import DipError, InputError, ProtocolError  # noqa: E402
from dip_engine.job import Job, Progress  # noqa: E402

PROCEDURE = "plug-in-deep-image-prior"
_PREFIX = "dip-gimp-"
_DAY = 24 * 3600.0


class DeepImagePrior(Gimp.PlugIn):
    """Registers the one entry of the menu."""

    def do_set_i18n(self, _name: str) -> bool:
        """There are no translations."""
        return False

    def do_query_procedures(self) -> list[str]:
        """Name the procedures of this plug-in."""
        return [PROCEDURE]

    def do_create_procedure(self, name: str) -> Gimp.Procedure:
        """Describe a procedure to GIMP."""
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, run, None)
        procedure.set_image_types("RGB*, GRAY*")
        procedure.set_sensitivity_mask(Gimp.ProcedureSensitivityMask.DRAWABLE)
        procedure.set_menu_label("Deep _Image Prior...")
        procedure.add_menu_path("<Image>/Filters/Enhance")
        procedure.set_documentation(
            "Restore a layer from nothing but itself",
            "Fills what is selected, or removes noise where nothing is selected.",
            None,
        )
        procedure.set_attribution("Deep Image Prior", "Apache-2.0", "2026")
        return procedure


def run(
    procedure: Gimp.Procedure,
    _run_mode: Gimp.RunMode,
    image: Gimp.Image,
    drawables: list[Gimp.Drawable],
    _config: Gimp.ProcedureConfig,
    _data: object,
) -> Gimp.ValueArray:
    """Restore the selected layer. GIMP shows nothing of an exception, so none leaves this."""
    try:
        restore_layer(image, _only_layer(image, drawables))
    except DipError as error:
        return _failure(procedure, str(error))
    except Exception as error:
        traceback.print_exc()
        return _failure(procedure, f"{type(error).__name__}: {error}")
    Gimp.displays_flush()
    return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)


def restore_layer(image: Gimp.Image, layer: Gimp.Layer) -> None:
    """Run the engine on a layer and insert the result above it, as one step to undo.

    Raises:
        DipError: the layer, the selection or the engine is at fault.
    """
    Gegl.init(None)
    width, height = layer.get_width(), layer.get_height()
    channels = (1 if layer.is_gray() else 3) + int(layer.has_alpha())
    name = _float_format(image, layer)
    area = Gegl.Rectangle.new(0, 0, width, height)
    values = layer.get_buffer().get(area, 1.0, name, Gegl.AbyssPolicy.NONE)
    selected = _read_selection(image, layer)
    Gimp.progress_init("Deep Image Prior")
    with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=_scratch_folder()) as folder:
        picture, mask, output = (Path(folder, f"{n}.npy") for n in ("layer", "mask", "result"))
        write_npy(picture, (height, width, channels), values)
        if selected is None:
            job = Job("denoise", picture, output)
        else:
            write_npy(mask, (height, width), selected)
            job = Job("inpaint", picture, output, mask)
        with Engine(_engine_command()) as engine:
            for event in engine.run(job):
                if isinstance(event, Progress):
                    Gimp.progress_update(event.fraction)
        restored = read_npy(output)[1]
    if len(restored) != len(values):
        raise ProtocolError("The engine's result has another size than the layer.")
    _insert(image, layer, restored, name)
    Gimp.progress_end()


def _only_layer(image: Gimp.Image, drawables: list[Gimp.Drawable]) -> Gimp.Layer:
    if image.get_base_type() == Gimp.ImageBaseType.INDEXED:
        raise InputError("The image is indexed.", "Use Image → Mode → RGB first.")
    if len(drawables) != 1 or not drawables[0].is_layer() or drawables[0].is_group():
        raise InputError("Exactly one layer has to be selected, and no group, mask or channel.")
    return drawables[0]


def _float_format(image: Gimp.Image, layer: Gimp.Layer) -> str:
    """Name the float format in the layer's own colour space, so that nothing is converted."""
    # babl's own curve for non-linear images, the perceptual one for the rest: both come back exact.
    mark = "'" if image.get_precision().value_nick.endswith("non-linear") else "~"
    colors = f"Y{mark}" if layer.is_gray() else f"R{mark}G{mark}B{mark}"
    encoding = f"{colors}{'A' if layer.has_alpha() else ''} float"
    space = Babl.format_get_space(layer.get_format())
    return str(Babl.get_name(Babl.format_with_space(encoding, space)))


def _read_selection(image: Gimp.Image, layer: Gimp.Layer) -> bytes | None:
    """Return the selection as float32 of the layer's size, or None where nothing is selected."""
    if not Gimp.Selection.bounds(image)[1]:
        return None
    _, left, top = layer.get_offsets()
    area = Gegl.Rectangle.new(left, top, layer.get_width(), layer.get_height())
    buffer = image.get_selection().get_buffer()
    values: bytes = buffer.get(area, 1.0, "Y float", Gegl.AbyssPolicy.NONE)
    if not any(values):
        raise InputError("The selection does not touch the layer.", "Select a part of it.")
    return values


def _insert(image: Gimp.Image, layer: Gimp.Layer, values: bytes, name: str) -> None:
    if not (image.is_valid() and layer.is_valid()):
        raise InputError("The image was closed while the engine was at work.")
    image.undo_group_start()
    try:
        result = layer.copy()  # with its mask, mode, opacity and offsets
        result.set_name(f"{layer.get_name()} (restored)")
        image.insert_layer(result, layer.get_parent(), image.get_item_position(layer))
        buffer = result.get_buffer()
        area = Gegl.Rectangle.new(0, 0, layer.get_width(), layer.get_height())
        buffer.set(area, name, values)
        buffer.flush()
        result.update(0, 0, layer.get_width(), layer.get_height())
    finally:
        image.undo_group_end()


def _engine_command() -> list[str]:
    file = Path(__file__).with_name("engine.json")
    settings: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    command = [settings["python"], "-I", "-X", "utf8", "-m", "dip_engine.worker"]
    # A sandbox has no Python of the system's; --watch-bus ends the engine with the plug-in.
    return ["flatpak-spawn", "--host", "--watch-bus", *command] if _in_flatpak() else command


def _in_flatpak() -> bool:
    return Path("/.flatpak-info").exists()


def _scratch_folder() -> Path:
    """Return a folder that the engine sees too, free of what a killed plug-in left behind.

    GIMP's Cancel kills the plug-in, and nothing can be cleaned up then.
    """
    folder = Path(tempfile.gettempdir())
    if _in_flatpak():
        folder = Path(os.environ["XDG_RUNTIME_DIR"], "app", "org.gimp.GIMP")
    for stale in folder.glob(f"{_PREFIX}*"):
        if time.time() - stale.stat().st_mtime > _DAY:
            shutil.rmtree(stale, ignore_errors=True)
    return folder


def _failure(procedure: Gimp.Procedure, text: str) -> Gimp.ValueArray:
    error = GLib.Error.new_literal(GLib.quark_from_string("dip"), text, 0)
    return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, error)


if __name__ == "__main__":
    Gimp.main(DeepImagePrior.__gtype__, sys.argv)
