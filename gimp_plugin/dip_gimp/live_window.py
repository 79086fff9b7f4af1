"""The second window: the picture as it emerges, and the moment that a person picks.

The slider runs over the snapshots; at its right end is what the fit shows now, and after the end
the engine's own choice is marked on it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from gi.repository import Gdk, GimpUi, GLib, Gtk

from dip_engine.errors import DipError
from dip_engine.events import Event, Preview, Progress, Result, Snapshot, Started
from dip_gimp.assignment import Assignment, Choice
from dip_gimp.controls import Controls, label
from dip_gimp.curve import Curve, can_draw
from dip_gimp.follower import Follower
from dip_gimp.gallery import Gallery
from dip_gimp.picture_view import PictureView
from dip_gimp.pictures import Pictures

_STOP, _ENDED = 1, 2  # responses of our own
_LONG = 60  # seconds of work that are not thrown away without a question
_WATCH = 1  # seconds between two looks whether the image is still there


class LiveWindow:
    """Runs one assignment under a person's eyes.

    Args:
        assignment: what is done.
        command: starts the engine.
        log: file for the engine's messages.
    """

    def __init__(self, assignment: Assignment, command: list[str], log: Path) -> None:
        self.assignment = assignment
        self.gallery = Gallery()
        self.outcome: Result | None = None
        self._command, self._log = command, log
        self._error: DipError | None = None
        self._runs, self._started, self._inserts = True, False, False
        self._pictures = Pictures(assignment)
        self._begin = time.monotonic()
        self._build()

    def run(self) -> Choice | None:
        """Show the window until the person has decided; None means "never mind".

        Raises:
            DipError: the run failed and left nothing that could be inserted, or the image is gone.
        """
        job = self.assignment.job
        watch = GLib.timeout_add_seconds(_WATCH, self._still_there)
        try:
            with Follower(self._command, job, self._log, self._on_event, self._on_end) as follower:
                choice = self._decide(follower)
                self._window.hide()  # the engine may need a moment to end
                return choice
        finally:
            GLib.source_remove(watch)
            self._window.destroy()

    def _decide(self, follower: Follower) -> Choice | None:
        while True:
            answer = self._window.run()
            if answer == _STOP:
                self._ask_to_stop(follower)
            elif answer == Gtk.ResponseType.OK:
                choice = self._choice()
                if choice is not None:
                    return choice
                self._inserts = True  # what is shown now is not a snapshot: let it come to an end
                self._controls.freeze()
                self._ask_to_stop(follower)
            elif answer == _ENDED:
                if self._error is not None:
                    raise self._error
                return self._choice()
            elif answer == Gtk.ResponseType.CANCEL or self._may_discard():
                return None

    def _may_discard(self) -> bool:
        """Ask before a slip of the finger (Escape, closing) throws away what took long."""
        if not self.gallery.entries or time.monotonic() - self._begin < _LONG:
            return True
        question = Gtk.MessageDialog(
            transient_for=self._window,
            modal=True,
            message_type=Gtk.MessageType.QUESTION,
            text="Discard what was restored so far?",
        )
        question.add_button("_Keep", Gtk.ResponseType.CANCEL)
        question.add_button("_Discard", Gtk.ResponseType.OK)
        try:
            return bool(question.run() == Gtk.ResponseType.OK)
        finally:
            question.destroy()

    def _ask_to_stop(self, follower: Follower) -> None:
        follower.stop()
        self._stop.set_sensitive(False)
        self._status.set_text("Stopping …")

    def _choice(self) -> Choice | None:
        """Return what the slider is on, or None where that is the running fit."""
        position = self._controls.position
        if position >= len(self.gallery.entries):
            return None
        entry = self.gallery.entries[position]
        return Choice(entry.path, entry.iteration, entry.automatic)

    # What the engine tells

    def _on_event(self, event: Event) -> None:
        if isinstance(event, Started):
            self._started = True
            where = f"{event.network} on {event.device} ({event.dtype})"
            self._details.set_text(f"{self._subject} · {where}")
            self._status.set_text("The classical start is made …")
        elif isinstance(event, Progress):
            self._on_progress(event)
        elif isinstance(event, Preview):
            self.gallery.preview(event)
            if self._controls.is_last:
                self._show_position()
        elif isinstance(event, Snapshot):
            self._keep_place(lambda: self.gallery.snapshot(event))
        else:
            self._on_result(event)

    def _on_progress(self, event: Progress) -> None:
        self._bar.set_fraction(event.fraction)
        self._set_title(f"{event.fraction:.0%}")
        if self._curve is not None and event.stage == "fit":
            self._curve.add(event.tile, event.iteration, event.iterations, event.psnr)
        parts = []
        if event.tiles > 1:
            parts.append(f"part {event.tile + 1} of {event.tiles}")
        if event.stage == "fit":
            parts.append(f"iteration {event.iteration} of {event.iterations}")
        else:
            parts.append("classical start")
        if event.remaining is not None:
            parts.append(f"{_duration(event.remaining)} left at most")
        if self._stop.get_sensitive():
            self._status.set_text(_sentence(parts))

    def _on_result(self, event: Result) -> None:
        self._runs, self.outcome = False, event
        follows = self._controls.is_last
        self._keep_place(lambda: self.gallery.result(event))
        position = self.gallery.automatic
        self._controls.mark(position, "automatic")
        if follows:  # the choice is ours until the person has moved the slider
            self._controls.move_to(position)
            self._show_position()
        if self._curve is not None:
            self._curve.mark_choice(event.snapshot)
        parts = [f"done after {_duration(event.seconds)}", event.stop_reason]
        warnings = map(self.assignment.here, event.warnings)
        self._status.set_text("\n".join([_sentence(parts), *warnings]))
        self._bar.set_fraction(1.0)
        self._stop.set_sensitive(False)
        self._set_title("Done")

    def _on_end(self, error: DipError | None) -> None:
        self._runs = False
        self._stop.set_sensitive(False)
        if error is not None:
            error = self.assignment.readable(error, started=self._started)
            if not self.gallery.entries:
                self._error = error
                self._window.response(_ENDED)
                return
            self._keep_place(lambda: None)
            self._problem.set_text(f"{error}\nThe snapshots so far can still be inserted.")
            self._problem_bar.show()
            self._set_title("Failed")
            self._status.set_text("")
        elif self._inserts:
            self._window.response(_ENDED)

    def _still_there(self) -> bool:
        try:
            self.assignment.check_still_there()
        except DipError as error:
            self._error = error
            self._window.response(_ENDED)
        return GLib.SOURCE_CONTINUE  # removed with the window

    # The slider

    def _keep_place(self, change: Callable[[], None]) -> None:
        """Change the gallery; the slider stays at its right end, or on the same entry."""
        follows, position = self._controls.is_last, self._controls.position
        entries = self.gallery.entries
        there = None if follows or position >= len(entries) else entries[position]
        change()
        last = self._set_last()
        if follows:
            self._controls.move_to(last)
        elif there in entries:
            self._controls.move_to(entries.index(there))
        self._show_position()

    def _set_last(self) -> int:
        """While the fit runs, what it shows now comes after the snapshots."""
        last = len(self.gallery.entries) - (0 if self._runs else 1)
        self._controls.set_last(last)
        return last

    def _show_position(self) -> None:
        """Show the picture that the slider is on."""
        position, entries = self._controls.position, self.gallery.entries
        self._insert.set_sensitive(bool(entries))
        if position < len(entries):
            entry = entries[position]
            shown, name, iteration = entry.shown, entry.label, entry.iteration
        elif self.gallery.now is not None:
            shown, name, iteration = self.gallery.now, "now", self.gallery.iteration
        else:
            return
        self._view.set_after(self._pictures.after(shown))
        self._controls.set_name(name)
        if self._curve is not None:
            self._curve.mark_chosen(iteration)

    def _set_title(self, state: str) -> None:
        """Say in the title, and thus in the task bar, how things are."""
        self._window.set_title(f"{state} – {self._title}")

    # Widgets

    def _build(self) -> None:
        assignment = self.assignment
        box = assignment.region.box
        factor = assignment.request.factor
        task, preset = assignment.request.task, assignment.request.settings.preset
        self._title = f"Deep Image Prior – {task.title}"
        self._window = GimpUi.Dialog(title=self._title, role="dip-live")
        self._stop = self._window.add_button("_Stop", _STOP)
        self._window.add_button("_Cancel", Gtk.ResponseType.CANCEL)
        self._insert = self._window.add_button("_Insert", Gtk.ResponseType.OK)
        self._insert.set_sensitive(False)
        self._window.set_default_size(1040, 720)
        self._subject = f"“{assignment.layer_name}”, {box.width}×{box.height} pixels, {preset}"
        self._details = label(self._subject)
        self._view = PictureView((box.width * factor, box.height * factor))
        self._view.set_before(self._pictures.before())
        self._curve = Curve() if can_draw() else None

        content = self._window.get_content_area()
        content.set_spacing(8)
        content.set_border_width(12)
        content.pack_start(self._build_problem_bar(), False, False, 0)
        content.pack_start(self._details, False, False, 0)
        middle = Gtk.Box(spacing=12)
        middle.pack_start(self._view, True, True, 0)
        if self._curve is not None:
            middle.pack_start(self._curve, False, True, 0)
        content.pack_start(middle, True, True, 0)
        self._controls = Controls(self._view, self._show_position)
        content.pack_start(self._controls, False, False, 0)
        self._bar = Gtk.ProgressBar()
        content.pack_start(self._bar, False, False, 0)
        self._status = label("The engine starts …")
        content.pack_start(self._status, False, False, 0)
        self._window.connect("key-press-event", self._on_key, True)
        self._window.connect("key-release-event", self._on_key, False)
        self._window.connect("focus-out-event", lambda *_: self._view.peek(False))
        self._window.show_all()
        self._problem_bar.hide()

    def _build_problem_bar(self) -> Gtk.InfoBar:
        self._problem = label("")
        self._problem_bar = Gtk.InfoBar(message_type=Gtk.MessageType.ERROR)
        self._problem_bar.get_content_area().add(self._problem)
        return self._problem_bar

    def _on_key(self, _window: Gtk.Window, event: Gdk.EventKey, is_pressed: bool) -> bool:
        plain = not event.state & (Gdk.ModifierType.MOD1_MASK | Gdk.ModifierType.CONTROL_MASK)
        if event.keyval not in (Gdk.KEY_b, Gdk.KEY_B) or (is_pressed and not plain):
            return False
        self._view.peek(is_pressed)
        return True


def _duration(seconds: float) -> str:
    whole = max(1, round(seconds))
    if whole < 120:
        return f"{whole} s"
    return f"{round(whole / 60)} min" if whole < 7200 else f"{round(whole / 3600)} h"


def _sentence(parts: list[str]) -> str:
    text = " · ".join(parts)
    return text[:1].upper() + text[1:]
