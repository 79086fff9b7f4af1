"""A layer and its restorations as pixbufs for the screen: in its colours, with alpha on checks."""

from __future__ import annotations

from gi.repository import GdkPixbuf

from dip_gimp import layers
from dip_gimp.assignment import Assignment
from dip_gimp.gallery import Shown
from dip_gimp.picture_view import to_pixbuf


class Pictures:
    """Makes the pictures of one assignment."""

    def __init__(self, assignment: Assignment) -> None:
        self._assignment = assignment
        self._alpha = self._read_alpha()

    def before(self) -> GdkPixbuf.Pixbuf:
        """Return the layer's part as it is."""
        box = self._assignment.region.box
        pieces = self._read(self._assignment.preview_format)
        return self._pixbuf(Shown(pieces, box.width, box.height), self._alpha)

    def after(self, shown: Shown) -> GdkPixbuf.Pixbuf:
        """Return what the engine has shown; filled holes are visible."""
        is_same_size = self._alpha is not None and len(self._alpha) == shown.width * shown.height
        hides = is_same_size and not self._assignment.region.by_alpha
        return self._pixbuf(shown, self._alpha if hides else None)

    def _pixbuf(self, shown: Shown, alpha: bytes | None) -> GdkPixbuf.Pixbuf:
        name = self._assignment.preview_format
        pixels = layers.rgb_preview(shown.pixels, name, shown.width, shown.height)
        return to_pixbuf(Shown(pixels, shown.width, shown.height), alpha)

    def _read_alpha(self) -> bytes | None:
        """Return one byte a pixel, or None where all is opaque or the result has another size."""
        if self._assignment.enlarges or not self._assignment.layer.has_alpha():
            return None
        alpha = self._read("A u8")
        return None if alpha.count(255) == len(alpha) else alpha

    def _read(self, name: str) -> bytes:
        box = self._assignment.region.box
        return b"".join(layers.read_pieces(self._assignment.layer, box, name))
