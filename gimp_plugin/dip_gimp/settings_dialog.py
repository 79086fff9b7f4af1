"""The first window: which task, and the settings that matter for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from gi.repository import Gimp, GimpUi, GObject, Gtk

from dip_engine.errors import InputError
from dip_engine.tasks import TASKS, find_task
from dip_gimp.assignment import transparent_region
from dip_gimp.layers import layer_box, only_layer, selected_box
from dip_gimp.request import ADVANCED, BY_OPTION, COMMON, Request, arguments_of

_BOX, _EXPANDER = "settings", "advanced"
_ADVANCED_BOX, _ADVANCED_TITLE = "advanced-settings", "advanced-title"


def ask(
    procedure: Gimp.Procedure,
    config: Gimp.ProcedureConfig,
    image: Gimp.Image,
    layer: Gimp.Layer,
) -> bool:
    """Let a person choose; return True for "go", False for "never mind".

    The choices are in `config`, which GIMP keeps for the next time.
    """
    dialog = GimpUi.ProcedureDialog.new(procedure, config, "Deep Image Prior")
    dialog.set_ok_label("Rest_ore")
    dialog.set_default_size(480, -1)
    widgets = _fill(dialog)
    note = Gtk.Label(xalign=0.0, wrap=True, max_width_chars=48, margin_top=6)
    dialog.get_content_area().pack_start(note, False, False, 6)
    note.show()

    @cache
    def why_no_hole() -> str:  # reads all of the layer, so it is asked once
        try:
            transparent_region(layer)
        except InputError as error:
            return str(error)
        return ""

    def update(*_: object) -> None:
        wanted = arguments_of(find_task(config.get_property("task")) or TASKS[0])
        for name, widget in widgets.items():
            widget.set_visible(name in wanted)
        text, works = _what_happens(config, image, layer, why_no_hole)
        note.set_text(text)
        dialog.set_response_sensitive(Gtk.ResponseType.OK, works)

    for name in (*COMMON, *BY_OPTION.values()):
        config.connect(f"notify::{name}", update)
    dialog.connect("focus-in-event", update)  # something may have been selected meanwhile
    update()
    try:
        return bool(dialog.run())
    finally:
        dialog.destroy()


def _fill(dialog: GimpUi.ProcedureDialog) -> dict[str, Gtk.Widget]:
    """Put the settings into the dialog; return the widgets that not every task shows."""
    dialog.get_scale_entry("strength", 1.0)
    dialog.get_scale_entry("noise-level", 1.0)
    changing = {name: dialog.get_widget(name, GObject.TYPE_NONE) for name in BY_OPTION.values()}
    dialog.fill_box(_BOX, [*COMMON, *BY_OPTION.values()])
    dialog.fill_box(_ADVANCED_BOX, list(ADVANCED))
    dialog.get_label(_ADVANCED_TITLE, "_Advanced", False, True)
    dialog.fill_expander(_EXPANDER, _ADVANCED_TITLE, False, _ADVANCED_BOX)
    dialog.fill([_BOX, _EXPANDER])
    return changing


def _what_happens(
    config: Gimp.ProcedureConfig,
    image: Gimp.Image,
    layer: Gimp.Layer,
    why_no_hole: Callable[[], str],
) -> tuple[str, bool]:
    """Say in one sentence what the settings will do, and whether they can do it.

    Args:
        config: the settings.
        image: the layer's.
        layer: what is restored.
        why_no_hole: says why no transparent pixels can be filled; nothing if they can.
    """
    try:
        only_layer(image, [layer])  # the image may be closed while this is open
        request = Request.read(config.get_property)
        chosen = selected_box(image, layer)
        if request.factor > 1:
            box, factor = chosen or layer_box(layer), request.factor
            size = f"{box.width * factor}×{box.height * factor}"
            return f"A new image of {size} pixels is made.", True
        if chosen is not None:
            verb = "filled" if request.task.needs_mask else "restored"
            return f"The selected part of the layer is {verb}.", True
        if request.task.needs_mask:
            problem = why_no_hole()
            return problem or "Nothing is selected: the transparent pixels are filled.", not problem
    except InputError as error:
        return str(error), False
    return "Nothing is selected: the whole layer is restored.", True
