"""The first window: which task, and the settings that matter for it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from gi.repository import Gimp, GimpUi, GObject, Gtk

from dip_engine.errors import InputError
from dip_engine.tasks import TASKS, find_task
from dip_gimp.assignment import find_second_layer, transparent_region
from dip_gimp.box import with_context
from dip_gimp.layer_chooser import LayerChooser
from dip_gimp.layers import layer_box, only_layer, selected_box
from dip_gimp.request import ADVANCED, BY_OPTION, COMMON, Request, arguments_of
from dip_gimp.second_layer import remember, wanted

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
    chooser = LayerChooser(image, layer)
    widgets = _fill(dialog, chooser)
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
        task = find_task(config.get_property("task")) or TASKS[0]
        shown = set(arguments_of(task))
        if config.get_property("blur") != "motion":
            shown.discard("blur-angle")
        if config.get_property("noise-model") != "poisson":
            shown.discard("photons")
        for name, widget in widgets.items():
            if widget.get_visible() != (name in shown):
                widget.set_visible(name in shown)
                dialog.resize(dialog.get_size()[0], 1)  # no taller than needed
        chooser.refresh()
        chooser.set_title(wanted(task).replace("layer", "La_yer"))
        chooser.set_visible(bool(task.guide))
        config.set_property("second-layer", chooser.chosen if task.guide else None)
        text, works = _what_happens(config, image, layer, why_no_hole)
        note.set_text(text)
        dialog.set_response_sensitive(Gtk.ResponseType.OK, works)

    for name in (*COMMON, *BY_OPTION.values()):
        config.connect(f"notify::{name}", update)
    chooser.names.connect("changed", update)
    dialog.connect("focus-in-event", update)  # something may have been selected meanwhile
    update()
    try:
        goes = bool(dialog.run())
        update()  # GIMP's own Reset forgets the second layer
        second = config.get_property("second-layer")
        if goes and second is not None:
            remember(layer, second)
        return goes
    finally:
        dialog.destroy()


def _fill(dialog: GimpUi.ProcedureDialog, chooser: LayerChooser) -> dict[str, Gtk.Widget]:
    """Put the settings into the dialog; return the widgets that not every task shows."""
    for name in ("strength", "noise-level", "blur-size", "blur-angle"):
        dialog.get_scale_entry(name, 1.0)
    changing = {name: dialog.get_widget(name, GObject.TYPE_NONE) for name in BY_OPTION.values()}
    settings = dialog.fill_box(_BOX, [*COMMON, *BY_OPTION.values()])
    settings.pack_start(chooser, False, False, 0)
    settings.reorder_child(chooser, len(COMMON))
    column = Gtk.SizeGroup(mode=Gtk.SizeGroupMode.HORIZONTAL)
    column.add_widget(chooser.label)
    column.add_widget(changing["noise-level"].get_label())  # it is aligned with all others
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
        chosen, whole = selected_box(image, layer), layer_box(layer)
        second = find_second_layer(image, layer, request)
        if second is not None:
            second.check_covers(with_context(chosen, whole) if chosen else whole)
        if request.factor > 1:
            box, factor = chosen or whole, request.factor
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
