#!/usr/bin/env python3
"""Filters → Enhance → Deep Image Prior…: restore a layer with the engine, as a new layer.

GIMP's own Python runs this file. The engine is a process with a Python of its own
(``engine.json`` names it); what the plug-in is made of lies in ``dip_gimp`` beside this file, the
engine's client in ``dip_engine``, both put there by ``dip-engine install-gimp-plugin``.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path

import gi

gi.require_version("Gimp", "3.0")
gi.require_version("Gegl", "0.4")
gi.require_version("Babl", "0.1")

from gi.repository import Gegl, Gimp, GLib, GObject  # noqa: E402 - the versions come first

from dip_engine.client import Engine  # noqa: E402
from dip_engine.errors import DipError, ResultError  # noqa: E402
from dip_engine.events import Progress, Result  # noqa: E402
from dip_gimp.arguments import add_arguments  # noqa: E402
from dip_gimp.assignment import Assignment, Choice  # noqa: E402
from dip_gimp.engine_command import engine_command  # noqa: E402
from dip_gimp.layers import only_layer  # noqa: E402
from dip_gimp.request import Request  # noqa: E402
from dip_gimp.scratch import engine_log, run_folder  # noqa: E402
from dip_gimp.second_layer import choose_usual  # noqa: E402

PROCEDURE = "plug-in-deep-image-prior"
TITLE = "Deep Image Prior"


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
            "Removes noise, blur or JPEG artefacts, fills the selection, enlarges, spreads the "
            "colours of a few strokes over a gray picture, or restores a dark photo with the help "
            "of one taken with flash. An untrained neural network is fitted to this one layer; "
            "strokes and flash photo are in a second one. The result is a new layer; where "
            "something is selected, nothing else is changed. An enlargement is a new image.",
            None,
        )
        procedure.set_attribution(TITLE, "Apache-2.0", "2026")
        add_arguments(procedure)
        procedure.add_layer_return_value(
            "layer", "New layer", "The restored layer", False, GObject.ParamFlags.READWRITE
        )
        return procedure


def run(
    procedure: Gimp.Procedure,
    run_mode: Gimp.RunMode,
    image: Gimp.Image,
    drawables: list[Gimp.Drawable],
    config: Gimp.ProcedureConfig,
    _data: object,
) -> Gimp.ValueArray:
    """Restore the selected layer. GIMP shows nothing of an exception, so none leaves this."""
    try:
        Gegl.init(None)
        layer = only_layer(image, drawables)
        command = engine_command(Path(__file__).parent)
        watched = run_mode == Gimp.RunMode.INTERACTIVE
        if watched and not _ask(procedure, config, image, layer):
            return _cancelled(procedure)
        if run_mode == Gimp.RunMode.WITH_LAST_VALS:
            choose_usual(config, image, layer)
        new = restore_layer(image, layer, config, command, watched=watched)
        if new is not None and run_mode != Gimp.RunMode.NONINTERACTIVE:
            _show(image, new)
    except DipError as error:
        return _failure(procedure, str(error))
    except Exception as error:
        traceback.print_exc()
        return _failure(procedure, f"{type(error).__name__}: {error}")
    if new is None:
        return _cancelled(procedure)
    Gimp.displays_flush()
    values = procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)
    values.remove(1)
    values.insert(1, GObject.Value(Gimp.Layer, new))
    return values


def restore_layer(
    image: Gimp.Image,
    layer: Gimp.Layer,
    config: Gimp.ProcedureConfig,
    command: list[str],
    *,
    watched: bool,
) -> Gimp.Layer | None:
    """Run the engine on a layer and return the new one, or None where a person gave up.

    Raises:
        DipError: the layer, the selection or the engine is at fault.
    """
    only_layer(image, [layer])  # it may have gone while the settings were shown
    request = Request.read(config.get_property)
    config.set_property("second-layer", None)  # GIMP keeps the settings, and cannot keep a layer
    with run_folder() as folder:
        assignment = Assignment(image, layer, request, folder, snapshots=watched)
        result: Result | None
        if watched:
            from dip_gimp.live_window import LiveWindow

            window = LiveWindow(assignment, command, engine_log())
            choice, result = window.run(), window.outcome
            if choice is None:
                return None
        else:
            result = _run_with_progress(assignment, command)
            choice = Choice(Path(result.output), result.snapshot, automatic=True)
        return assignment.deliver(choice, result)


def _show(image: Gimp.Image, new: Gimp.Layer) -> None:
    """Open a window for an enlargement, which is an image of its own."""
    if new.get_image().get_id() != image.get_id():
        Gimp.Display.new(new.get_image())


def _ask(
    procedure: Gimp.Procedure,
    config: Gimp.ProcedureConfig,
    image: Gimp.Image,
    layer: Gimp.Layer,
) -> bool:
    """Show the settings. GTK is loaded here and not above: a console may have no screen."""
    gi.require_version("Gtk", "3.0")
    gi.require_version("GimpUi", "3.0")
    from gi.repository import GimpUi

    GimpUi.init(PROCEDURE)
    from dip_gimp.settings_dialog import ask

    return ask(procedure, config, image, layer)


def _run_with_progress(assignment: Assignment, command: list[str]) -> Result:
    """Run the engine with GIMP's own progress bar; its Cancel button kills this process."""
    Gimp.progress_init(TITLE)
    started = False
    try:
        with Engine(command, log=engine_log()) as engine:
            for event in engine.run(assignment.job):
                started = True
                if isinstance(event, Progress):
                    Gimp.progress_update(event.fraction)
                elif isinstance(event, Result):
                    for warning in event.warnings:
                        Gimp.message(assignment.here(warning))
                    return event
    except DipError as error:
        raise assignment.readable(error, started=started) from error
    finally:
        Gimp.progress_end()
    raise ResultError("The engine gave no result.")


def _cancelled(procedure: Gimp.Procedure) -> Gimp.ValueArray:
    return procedure.new_return_values(Gimp.PDBStatusType.CANCEL, None)


def _failure(procedure: Gimp.Procedure, text: str) -> Gimp.ValueArray:
    error = GLib.Error.new_literal(GLib.quark_from_string("dip"), text, 0)
    return procedure.new_return_values(Gimp.PDBStatusType.EXECUTION_ERROR, error)


if __name__ == "__main__":
    Gimp.main(DeepImagePrior.__gtype__, sys.argv)
