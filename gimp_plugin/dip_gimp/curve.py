"""The curve of a fit: how good it is over its iterations, and where it was stopped.

Drawn with cairo. GIMP 3.0 does not always bring Python's bindings for it (python3-gi-cairo); then
there is no curve.
"""

from __future__ import annotations

import math
from typing import Any

import gi
from gi.repository import Gtk

_MARGIN = {"left": 40, "right": 12, "top": 26, "bottom": 22}
_ACCENT = (0.21, 0.52, 0.89)
_CHOICE = (0.90, 0.38, 0.0)


def can_draw() -> bool:
    """Tell whether the bindings are there."""
    try:
        gi.require_foreign("cairo")
    except ImportError:
        return False
    return True


class Curve(Gtk.DrawingArea):
    """dB over iterations; the tile in work counts where there are several."""

    def __init__(self) -> None:
        super().__init__()
        self.set_size_request(300, 180)
        self.set_vexpand(True)
        self._points: list[tuple[int, float]] = []
        self._tile = 0
        self._iterations = 1
        self._choice: int | None = None
        self._chosen: int | None = None
        self.connect("draw", self._draw)

    def add(self, tile: int, iteration: int, iterations: int, psnr: float | None) -> None:
        """Add a point; another tile begins anew."""
        if tile != self._tile:
            self._tile, self._points = tile, []
        self._iterations = max(1, iterations)
        if psnr is not None and (not self._points or iteration > self._points[-1][0]):
            self._points.append((iteration, psnr))
            self.queue_draw()

    def mark_choice(self, iteration: int) -> None:
        """Mark what the engine has chosen; nothing comes after it."""
        self._choice = iteration
        self._iterations = max([1, iteration, *(place for place, _ in self._points)])
        self.queue_draw()

    def mark_chosen(self, iteration: int | None) -> None:
        """Mark what is shown."""
        self._chosen = iteration
        self.queue_draw()

    def _draw(self, _widget: Gtk.Widget, context: Any) -> bool:
        ink = self.get_style_context().get_color(self.get_state_flags())
        text = (ink.red, ink.green, ink.blue)
        self._width, self._height = self.get_allocated_width(), self.get_allocated_height()
        if not self._points:
            self._draw_wait(context, text)
            return False
        self._scale()
        self._draw_axes(context, text)
        if self._choice is not None:
            self._draw_choice(context)
        self._draw_line(context)
        self._draw_chosen(context)
        return False

    def _scale(self) -> None:
        """Fit the axes to what there is to show."""
        values = sorted(value for _, value in self._points)
        # The first iterations are far below the rest, and would flatten it.
        values = values[len(values) // 20 :]
        self._low, self._high = math.floor(values[0]), math.ceil(values[-1] + 0.05)

    def _place(self, iteration: float, value: float) -> tuple[float, float]:
        wide = self._width - _MARGIN["left"] - _MARGIN["right"]
        high = self._height - _MARGIN["top"] - _MARGIN["bottom"]
        share = (max(value, self._low) - self._low) / (self._high - self._low)
        x = _MARGIN["left"] + wide * min(1.0, iteration / self._iterations)
        return x, _MARGIN["top"] + high * (1 - share)

    def _draw_axes(self, context: Any, ink: tuple[float, float, float]) -> None:
        context.set_font_size(11)
        context.set_line_width(1)
        step = max(1, math.ceil((self._high - self._low) / 5))
        for level in range(self._low, self._high + 1, step):
            left, y = self._place(0, level)
            right, _ = self._place(self._iterations, level)
            context.set_source_rgba(*ink, 0.18)
            context.move_to(left, round(y) + 0.5)
            context.line_to(right, round(y) + 0.5)
            context.stroke()
            context.set_source_rgba(*ink, 0.8)
            self._text(context, f"{level}", left - 6, y + 4, align=1.0)
        bottom = self._height - _MARGIN["bottom"] + 14
        left, _ = self._place(0, self._low)
        right, _ = self._place(self._iterations, self._low)
        self._text(context, "0", left, bottom, align=0.0)
        self._text(context, f"{self._iterations}", right, bottom, align=1.0)
        self._text(context, "iterations", (left + right) / 2, bottom, align=0.5)
        self._text(context, "agreement with the input (dB)", left, 12, align=0.0)

    def _draw_wait(self, context: Any, ink: tuple[float, float, float]) -> None:
        """Say why there is nothing: a fit may learn from the first estimate for a while."""
        context.set_font_size(11)
        context.set_source_rgba(*ink, 0.8)
        ended = "the fit ended before there was a curve"
        begins = "the curve begins when the network has warmed up"
        text = begins if self._choice is None else ended
        self._text(context, text, self._width / 2, self._height / 2, align=0.5)

    def _draw_line(self, context: Any) -> None:
        context.set_source_rgb(*_ACCENT)
        context.set_line_width(2)
        context.new_path()  # text leaves a point behind
        for iteration, value in self._points:
            context.line_to(*self._place(iteration, value))
        context.stroke()

    def _draw_choice(self, context: Any) -> None:
        x, bottom = self._place(self._choice or 0, self._low)
        context.set_source_rgb(*_CHOICE)
        context.set_line_width(1.5)
        context.set_dash([4, 3])
        context.move_to(x, _MARGIN["top"])
        context.line_to(x, bottom)
        context.stroke()
        context.set_dash([])
        text = "automatic choice"
        # Right of the line, where the curve is high, unless there is no room.
        has_room = x + 12 + context.text_extents(text).width < self._width
        self._text(context, text, x + (6 if has_room else -6), bottom - 6, align=1.0 - has_room)

    def _draw_chosen(self, context: Any) -> None:
        if self._chosen is None:
            return
        near = min(self._points, key=lambda point: abs(point[0] - (self._chosen or 0)))
        x, y = self._place(self._chosen, near[1])
        context.set_source_rgb(*_ACCENT)
        context.new_path()
        context.arc(x, y, 5, 0, 2 * math.pi)
        context.fill()

    @staticmethod
    def _text(context: Any, text: str, x: float, y: float, *, align: float) -> None:
        context.move_to(x - align * context.text_extents(text).width, y)
        context.show_text(text)
