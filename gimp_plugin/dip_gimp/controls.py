"""Below the picture: the slider over the snapshots, the comparison with before, and the zoom."""

from __future__ import annotations

from collections.abc import Callable

from gi.repository import Gtk

from dip_gimp.picture_view import PictureView


class Controls(Gtk.Grid):
    """Two sliders and the zoom.

    Args:
        view: what comparison and zoom are about.
        on_moved: called when a person has moved the slider over the snapshots.
    """

    def __init__(self, view: PictureView, on_moved: Callable[[], None]) -> None:
        super().__init__(column_spacing=12, row_spacing=4)
        self._on_moved = on_moved
        self._by_program = self._is_frozen = False
        self._slider = _slider(1.0)
        self._slider.connect("value-changed", self._moved)
        self._name = label("")
        self._name.set_width_chars(26)
        self.set_last(0)
        split = _slider(0.05)
        split.connect("value-changed", lambda scale: view.set_split(scale.get_value()))
        hint = label("hold B to see all of it")
        self._add_row(0, "S_napshot", self._slider, self._name)
        self._add_row(1, "_Before | after", split, hint)
        fit = Gtk.RadioButton.new_with_mnemonic(None, "_Fit")
        full = Gtk.RadioButton.new_with_mnemonic_from_widget(fit, "_100 %")
        fit.connect("toggled", lambda button: view.set_fits(button.get_active()))
        self.attach(fit, 3, 0, 1, 1)
        self.attach(full, 3, 1, 1, 1)

    @property
    def position(self) -> int:
        """Where the slider is, from 0."""
        return int(self._slider.get_value())

    @property
    def is_last(self) -> bool:
        """True at the right end, where new pictures appear."""
        adjustment = self._slider.get_adjustment()
        return bool(adjustment.get_value() >= adjustment.get_upper())

    def set_last(self, last: int) -> None:
        """Set the last position."""
        self._by_program = True
        self._slider.set_range(0, max(last, 0))
        self._slider.set_sensitive(last > 0 and not self._is_frozen)
        self._by_program = False

    def move_to(self, position: int) -> None:
        """Move the slider; `on_moved` is not called."""
        self._by_program = True
        self._slider.set_value(position)
        self._by_program = False

    def freeze(self) -> None:
        """Leave the slider where it is."""
        self._slider.set_sensitive(False)
        self._is_frozen = True

    def mark(self, position: int, text: str) -> None:
        """Write something below a position."""
        self._slider.add_mark(position, Gtk.PositionType.BOTTOM, text)

    def set_name(self, text: str) -> None:
        """Say what the slider is on."""
        self._name.set_text(text)

    def _moved(self, _slider: Gtk.Scale) -> None:
        if not self._by_program:
            self._on_moved()

    def _add_row(self, row: int, title: str, scale: Gtk.Scale, note: Gtk.Label) -> None:
        name = Gtk.Label.new_with_mnemonic(title)
        name.set_xalign(0.0)
        name.set_mnemonic_widget(scale)
        for column, widget in enumerate((name, scale, note)):
            self.attach(widget, column, row, 1, 1)


def label(text: str) -> Gtk.Label:
    """Return a label that starts at the left and breaks long lines."""
    return Gtk.Label(label=text, xalign=0.0, wrap=True)


def _slider(step: float) -> Gtk.Scale:
    scale = Gtk.Scale.new_with_range(Gtk.Orientation.HORIZONTAL, 0, 1, step)
    scale.set_draw_value(False)
    if step >= 1:
        scale.set_round_digits(0)  # dragged, too, it stays on whole positions
    scale.set_hexpand(True)
    return scale
