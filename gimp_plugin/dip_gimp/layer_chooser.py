"""A row of the first window: which other layer goes with the one that is restored.

GIMP's own widget for this shows no names, and offers the layers of all images.
"""

from __future__ import annotations

from gi.repository import Gimp, Gtk, Pango

from dip_gimp.second_layer import other_layers, usual_layer


class LayerChooser(Gtk.Box):
    """A label and the names of the other layers of an image.

    Args:
        image: whose layers are offered.
        layer: what is restored; it is not offered.

    Attributes:
        label: says what the layer is to be.
        names: what can be chosen from.
    """

    def __init__(self, image: Gimp.Image, layer: Gimp.Layer) -> None:
        super().__init__(spacing=6)
        self._image, self._layer = image, layer
        self._offered: list[tuple[str, str]] = []
        self.label = Gtk.Label(xalign=0.0)
        self.names = Gtk.ComboBoxText()
        for cell in self.names.get_cells():
            cell.set_property("ellipsize", Pango.EllipsizeMode.MIDDLE)
        self.label.set_mnemonic_widget(self.names)
        self.pack_start(self.label, False, False, 0)
        self.pack_start(self.names, True, True, 0)
        self.refresh()
        usual = usual_layer(image, layer)
        if usual is not None:
            self.names.set_active_id(str(usual.get_id()))
        self.show_all()

    @property
    def chosen(self) -> Gimp.Layer | None:
        """The chosen layer, if any is."""
        number = self.names.get_active_id()
        return None if number is None else Gimp.Layer.get_by_id(int(number))

    def set_title(self, title: str) -> None:
        """Say what the layer is to be; an underscore marks the letter for Alt."""
        self.label.set_text_with_mnemonic(title)

    def refresh(self) -> None:
        """Offer the layers that there are now; what is chosen stays chosen."""
        others = other_layers(self._image, self._layer) if self._image.is_valid() else []
        offered = [(str(other.get_id()), other.get_name()) for other in others]
        if offered == self._offered:
            return
        before = self.names.get_active_id()
        self._offered = offered
        self.names.remove_all()
        for number, name in offered:
            self.names.append(number, name)
        self.names.set_active_id(before)
