"""Pixels out of a layer and back into a copy of it, bit for bit where nothing was restored.

The engine gets floats in the layer's own colour space. What it did not restore is written back in
the layer's native format, because a way through floats loses bits of 32- and 64-bit images.
"""

from __future__ import annotations

from collections.abc import Iterator

from gi.repository import Babl, Gegl, Gimp

from dip_engine.errors import InputError
from dip_gimp.box import Box
from dip_gimp.npy import NpyRows
from dip_gimp.selection import merge

ROWS = 256  # of one piece, so that a large layer is never in memory twice
PARASITE = "deep-image-prior"
_RASTERIZE = "Turn it into pixels first (in the Layer menu), or restore a copy."


def only_layer(image: Gimp.Image, drawables: list[Gimp.Drawable]) -> Gimp.Layer:
    """Return the one ordinary layer that is to be restored.

    Raises:
        InputError: it is something else, each with its own sentence.
    """
    if not image.is_valid():
        raise InputError("The image is no longer open.")
    if image.get_base_type() == Gimp.ImageBaseType.INDEXED:
        raise InputError("The image has a palette.", "Use Image → Mode → RGB first.")
    if not drawables:
        raise InputError("No layer is selected.", "Select one in the Layers dialog.")
    if len(drawables) > 1:
        raise InputError(f"{len(drawables)} layers are selected.", "Select one of them.")
    drawable = drawables[0]
    if not drawable.is_valid():
        raise InputError("The layer is no longer there.")
    name = drawable.get_name()
    if drawable.is_layer_mask():
        hint = "Click the picture of the layer itself in the Layers dialog."
        raise InputError("A layer mask is selected, and not its layer.", hint)
    if not drawable.is_layer():
        raise InputError(f"“{name}” is a channel, not a layer.", "Select a layer.")
    if drawable.is_group():
        hint = "Select a layer in it, or merge it first (Layer → Merge Layer Group)."
        raise InputError(f"“{name}” is a group of layers.", hint)
    if drawable.is_floating_sel():
        hint = "Anchor it, or turn it into a layer (Layer → To New Layer)."
        raise InputError("A floating selection cannot be restored.", hint)
    if kind := _kind_without_pixels(drawable):
        raise InputError(f"“{name}” is a {kind} layer.", _RASTERIZE)
    return drawable


def _kind_without_pixels(layer: Gimp.Layer) -> str | None:
    """Name a kind of layer whose pixels GIMP paints anew from something else."""
    for kind in ("text", "vector", "link"):  # GIMP 3.0 knows the first only
        test = getattr(layer, f"is_{kind}_layer", None)
        if test is not None and test():
            return kind
    return None


def layer_box(layer: Gimp.Layer) -> Box:
    """Return the whole layer, in pixels of the layer."""
    return Box(0, 0, layer.get_width(), layer.get_height())


def channels_of(layer: Gimp.Layer) -> int:
    """Return the number of channels with alpha: 1 to 4."""
    return (1 if layer.is_gray() else 3) + int(layer.has_alpha())


def float_format(image: Gimp.Image, layer: Gimp.Layer, *, alpha: bool) -> str:
    """Name the float format in the layer's own colour space, so that nothing is converted."""
    colors = "Y{0}" if layer.is_gray() else "R{0}G{0}B{0}"
    encoding = f"{colors}{'A' if alpha else ''} float".format(_curve(image))
    return _in_space(encoding, layer)


def preview_format(image: Gimp.Image, layer: Gimp.Layer) -> str:
    """Name the format of the engine's previews: 8-bit RGB in the layer's own colour space."""
    encoding = "R{0}G{0}B{0} u8".format(_curve(image))
    # A gray space knows no colours; its curve is near enough to that of sRGB for a preview.
    return "R'G'B' u8" if layer.is_gray() else _in_space(encoding, layer)


def _curve(image: Gimp.Image) -> str:
    """Return babl's mark of the curve that comes back exact: the image's own, or perceptual."""
    return "'" if image.get_precision().value_nick.endswith("non-linear") else "~"


def _in_space(encoding: str, layer: Gimp.Layer) -> str:
    space = Babl.format_get_space(layer.get_format())
    return str(Babl.get_name(Babl.format_with_space(encoding, space)))


def read_pieces(layer: Gimp.Layer, box: Box, name: str) -> Iterator[bytes]:
    """Yield a part of a layer, rows from top to bottom, in the format of that name."""
    buffer = layer.get_buffer()
    for band in box.bands(ROWS):
        yield buffer.get(_rectangle(band), 1.0, name, Gegl.AbyssPolicy.NONE)


def read_selection(image: Gimp.Image, layer: Gimp.Layer, box: Box) -> bytes:
    """Return the selection over a part of a layer as float32, 0–1; 0 outside of the image."""
    _, right, down = layer.get_offsets()
    rectangle = _rectangle(box.moved(right, down))
    buffer = image.get_selection().get_buffer()
    values: bytes = buffer.get(rectangle, 1.0, "Y float", Gegl.AbyssPolicy.NONE)
    return values


def selected_box(image: Gimp.Image, layer: Gimp.Layer) -> Box | None:
    """Return what of a layer lies in the selection's bounds; None where nothing is selected.

    Raises:
        InputError: something is selected, but nothing of this layer.
    """
    _, is_any, left, top, right, bottom = Gimp.Selection.bounds(image)
    if not is_any:
        return None
    _, x, y = layer.get_offsets()
    bounds = Box(left, top, right - left, bottom - top).moved(-x, -y)
    box = bounds.common(layer_box(layer))
    if box is None:
        raise InputError(
            "The selection lies outside of the layer.", "Select a part of it, or another layer."
        )
    return box


def rgb_preview(pixels: bytes, name: str, width: int, height: int) -> bytes:
    """Convert 8-bit RGB of a format to that of the screen (sRGB)."""
    screen = "R'G'B' u8"
    if name == screen:
        return pixels
    whole = Gegl.Rectangle.new(0, 0, width, height)
    buffer = Gegl.Buffer.new(name, 0, 0, width, height)
    buffer.set(whole, name, pixels)
    converted: bytes = buffer.get(whole, 1.0, screen, Gegl.AbyssPolicy.NONE)
    return converted


def restored_copy(
    layer: Gimp.Layer, box: Box, rows: NpyRows, name: str, marks: bytes, *, keep_alpha: bool
) -> Gimp.Layer:
    """Return a copy of a layer with the marked pixels of a part of it replaced.

    The copy keeps mask, mode, opacity, offsets and filters; it is not yet in the image.

    Args:
        layer: the original.
        box: the part.
        rows: float32 pixels of the part, in the format `name`.
        name: of their format.
        marks: one byte for each pixel of the part, 255 = replace.
        keep_alpha: keep the alpha of replaced pixels, too.
    """
    result = layer.copy()
    try:
        native = layer.get_format()
        depth = Babl.format_get_bytes_per_pixel(native)
        alpha = depth // channels_of(layer) if layer.has_alpha() and keep_alpha else 0
        buffer = result.get_buffer()
        for band in box.bands(ROWS):
            first = band.top - box.top
            some = marks[first * box.width : (first + band.height) * box.width]
            if any(some):
                values = rows.read(first, band.height)
                _replace(buffer, band, values, name, some, Babl.get_name(native), alpha)
        buffer.flush()
    except BaseException:
        result.delete()
        raise
    return result


def _replace(
    buffer: Gegl.Buffer, band: Box, values: bytes, name: str, marks: bytes, native: str, alpha: int
) -> None:
    rectangle = _rectangle(band)
    old = buffer.get(rectangle, 1.0, native, Gegl.AbyssPolicy.NONE)
    buffer.set(rectangle, name, values)
    new = buffer.get(rectangle, 1.0, native, Gegl.AbyssPolicy.NONE)
    buffer.set(rectangle, native, merge(old, new, marks, keep=alpha))


def insert_above(image: Gimp.Image, layer: Gimp.Layer, result: Gimp.Layer) -> None:
    """Put a finished layer right above another one, as one step to undo.

    The other one is hidden where both together would show something else than one alone.
    """
    image.undo_group_start()
    try:
        image.insert_layer(result, layer.get_parent(), image.get_item_position(layer))
        if not _covers(result):
            layer.set_visible(False)
        image.set_selected_layers([result])
    finally:
        image.undo_group_end()


def _covers(layer: Gimp.Layer) -> bool:
    """Tell whether a layer shows nothing of what is below."""
    is_plain = layer.get_mode() in (Gimp.LayerMode.NORMAL, Gimp.LayerMode.NORMAL_LEGACY)
    whole = layer.get_opacity() >= 100 and layer.get_mask() is None
    return bool(is_plain and whole and not layer.has_alpha())


def new_image(
    image: Gimp.Image, layer: Gimp.Layer, rows: NpyRows, name: str, title: str, factor: int
) -> Gimp.Layer:
    """Make an image of one layer, of the kind of another image, and return its layer.

    Args:
        image: what the new one is like: precision, profile, gray or RGB.
        layer: tells whether there is alpha.
        rows: float32 pixels, in the format `name`.
        name: of their format.
        title: of the layer.
        factor: how many times finer the new image is; its size in print stays.
    """
    height, width = rows.shape[:2]
    fresh = Gimp.Image.new_with_precision(
        width, height, image.get_base_type(), image.get_precision()
    )
    profile = image.get_color_profile()
    if profile is not None:
        fresh.set_color_profile(profile)
    _, x, y = image.get_resolution()
    fresh.set_resolution(x * factor, y * factor)
    opacity, mode = 100.0, Gimp.LayerMode.NORMAL
    result = Gimp.Layer.new(fresh, title, width, height, layer.type(), opacity, mode)
    fresh.insert_layer(result, None, 0)
    try:
        buffer = result.get_buffer()
        for band in layer_box(result).bands(ROWS):
            buffer.set(_rectangle(band), name, rows.read(band.top, band.height))
        buffer.flush()
    except BaseException:
        fresh.delete()
        raise
    result.update(0, 0, width, height)
    return result


def attach_note(layer: Gimp.Layer, text: str) -> None:
    """Attach text to a layer, kept in the image's file."""
    data = list(text.encode("utf-8"))
    layer.attach_parasite(Gimp.Parasite.new(PARASITE, Gimp.PARASITE_PERSISTENT, data))


def _rectangle(box: Box) -> Gegl.Rectangle:
    return Gegl.Rectangle.new(box.left, box.top, box.width, box.height)
