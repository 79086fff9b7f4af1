#!/usr/bin/env python3
"""A plug-in for the tests: on a key it writes down what GIMP holds, for the test to look at."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import gi

gi.require_version("Gimp", "3.0")
gi.require_version("Gegl", "0.4")
from gi.repository import Gegl, Gimp  # noqa: E402 - the versions come first

PROCEDURE = "plug-in-dip-observer"
STATE = "state.json"


class Observer(Gimp.PlugIn):
    def do_set_i18n(self, _name: str) -> bool:
        return False

    def do_query_procedures(self) -> list[str]:
        return [PROCEDURE]

    def do_create_procedure(self, name: str) -> Gimp.Procedure:
        procedure = Gimp.ImageProcedure.new(self, name, Gimp.PDBProcType.PLUGIN, run, None)
        procedure.set_image_types("*")
        procedure.set_sensitivity_mask(
            Gimp.ProcedureSensitivityMask.DRAWABLE
            | Gimp.ProcedureSensitivityMask.DRAWABLES
            | Gimp.ProcedureSensitivityMask.NO_DRAWABLES
        )
        procedure.set_menu_label("Observe")
        procedure.add_menu_path("<Image>/Filters")
        return procedure


def run(procedure: Any, _mode: Any, _image: Any, _drawables: Any, _config: Any, _data: Any) -> Any:
    Gegl.init(None)
    state = [
        {"size": [image.get_width(), image.get_height()], "layers": layers_of(image)}
        for image in Gimp.get_images()
    ]
    file = Path(os.environ["DIP_TEST_FOLDER"], STATE)
    file.with_suffix(".new").write_text(json.dumps(state))
    file.with_suffix(".new").replace(file)
    return procedure.new_return_values(Gimp.PDBStatusType.SUCCESS, None)


def layers_of(image: Gimp.Image) -> list[dict[str, Any]]:
    return [
        {
            "name": layer.get_name(),
            "size": [layer.get_width(), layer.get_height()],
            "pixels": hashlib.sha256(pixels(layer)).hexdigest(),
            "notes": list(layer.get_parasite_list()),
        }
        for layer in image.get_layers()
    ]


def pixels(layer: Gimp.Layer) -> bytes:
    area = Gegl.Rectangle.new(0, 0, layer.get_width(), layer.get_height())
    data: bytes = layer.get_buffer().get(area, 1.0, None, Gegl.AbyssPolicy.NONE)
    return data


Gimp.main(Observer.__gtype__, sys.argv)
