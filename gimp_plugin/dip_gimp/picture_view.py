"""The picture in the live window: fitted or at 100 %, before and after side by side.

Made of pixbufs only, so that it works without the cairo bindings of Python.
"""

from __future__ import annotations

from typing import Any

from gi.repository import GdkPixbuf, GLib, Gtk

from dip_gimp.gallery import Shown

_LARGEST = 6.0  # times a small picture is magnified to fit the window
_CHECK = 8
_LIGHT, _DARK = 0x999999, 0x666666  # the checks behind transparent pixels
_LINE = 0xFFFFFFFF


def to_pixbuf(shown: Shown, alpha: bytes | None = None) -> GdkPixbuf.Pixbuf:
    """Return a picture for the screen as a pixbuf, with alpha (one byte a pixel) if given."""
    width, height = shown.width, shown.height
    pixels: bytes | bytearray = shown.pixels
    if alpha is not None:
        pixels = bytearray(4 * width * height)
        for channel in range(3):
            pixels[channel::4] = shown.pixels[channel::3]
        pixels[3::4] = alpha
    count = 3 if alpha is None else 4
    data = GLib.Bytes.new(bytes(pixels))
    return GdkPixbuf.Pixbuf.new_from_bytes(
        data, GdkPixbuf.Colorspace.RGB, alpha is not None, 8, width, height, count * width
    )


class _Side:
    """One of the two pictures, with the copy in the size it is shown in."""

    def __init__(self) -> None:
        self.picture: Any = None
        self._scaled: Any = None

    def put(self, picture: GdkPixbuf.Pixbuf) -> None:
        self.picture, self._scaled = picture, None

    def scaled(self, width: int, height: int) -> GdkPixbuf.Pixbuf:
        """Return the picture in a size, on checks where it is transparent."""
        picture, known = self.picture, self._scaled
        if known is None or (known.get_width(), known.get_height()) != (width, height):
            enlarged = width > 2 * picture.get_width()
            how = GdkPixbuf.InterpType.NEAREST if enlarged else GdkPixbuf.InterpType.BILINEAR
            if picture.get_has_alpha():
                known = picture.composite_color_simple(
                    width, height, how, 255, _CHECK, _LIGHT, _DARK
                )
            else:
                known = picture.scale_simple(width, height, how)
            self._scaled = known
        return known


class PictureView(Gtk.ScrolledWindow):
    """Shows two pixbufs of the same scene: before, and after.

    Args:
        size: width and height of the result in pixels; what 100 % means.
    """

    def __init__(self, size: tuple[int, int]) -> None:
        super().__init__()
        self.set_min_content_width(360)
        self.set_min_content_height(300)
        self.set_hexpand(True)
        self.set_vexpand(True)
        self._size = size
        self._image = Gtk.Image()
        self.add(self._image)
        self._before, self._after = _Side(), _Side()
        self._fits, self._split, self._peeks = True, 0.0, False
        self._drawing = 0
        self._room = (0, 0)
        self.connect("size-allocate", self._on_room)
        self.connect("destroy", lambda *_: self._give_up_drawing())

    def set_before(self, picture: GdkPixbuf.Pixbuf) -> None:
        """Set the picture as it was."""
        self._before.put(picture)
        self._draw_soon()

    def set_after(self, picture: GdkPixbuf.Pixbuf) -> None:
        """Set the picture as it is now."""
        self._after.put(picture)
        self._draw_soon()

    def set_fits(self, fits: bool) -> None:
        """Fit the picture into the window, or show its real pixels."""
        self._fits = fits
        self._draw_soon()

    def set_split(self, split: float) -> None:
        """Show the picture before left of this share (0–1) of the width."""
        self._split = split
        self._draw_soon()

    def peek(self, peeks: bool) -> None:
        """Show the picture before, as long as a key is held."""
        if peeks != self._peeks:
            self._peeks = peeks
            self._draw_soon()

    def _on_room(self, _widget: Gtk.Widget, room: Any) -> None:
        # A new picture asks for room, too, and would be drawn again for ever.
        if (room.width, room.height) != self._room:
            self._room = room.width, room.height
            self._draw_soon()

    def _draw_soon(self) -> None:
        if not self._drawing:
            self._drawing = GLib.idle_add(self._draw)

    def _give_up_drawing(self) -> None:
        if self._drawing:
            GLib.source_remove(self._drawing)

    def _draw(self) -> bool:
        self._drawing = 0
        width, height = self._target_size()
        split = 1.0 if self._peeks or self._after.picture is None else self._split
        if split <= 0:
            self._image.set_from_pixbuf(self._after.scaled(width, height))
        elif self._before.picture is not None:
            picture = self._before.scaled(width, height)
            if split < 1 and width > 1:
                picture = self._side_by_side(width, height, split)
            self._image.set_from_pixbuf(picture)
        return GLib.SOURCE_REMOVE

    def _side_by_side(self, width: int, height: int, split: float) -> GdkPixbuf.Pixbuf:
        edge = min(width - 1, max(1, round(split * width)))
        picture = self._after.scaled(width, height).copy()
        self._before.scaled(width, height).copy_area(0, 0, edge, height, picture, 0, 0)
        picture.new_subpixbuf(edge - 1, 0, 1, height).fill(_LINE)
        return picture

    def _target_size(self) -> tuple[int, int]:
        width, height = self._size
        if not self._fits:
            return self._size
        # Two pixels less, so that no scroll bar appears and takes the room away again.
        across, down = self._room
        scale = min((across - 2) / width, (down - 2) / height, _LARGEST)
        return max(1, int(width * scale)), max(1, int(height * scale))
