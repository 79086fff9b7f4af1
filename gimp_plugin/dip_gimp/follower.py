"""Runs a job on a thread of its own and hands the events to the main loop.

Nothing of GIMP or GTK may be touched from another thread, and nothing of the engine may be waited
for in the main loop.
"""

from __future__ import annotations

import threading
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from gi.repository import GLib

from dip_engine.client import Engine
from dip_engine.errors import DipError
from dip_engine.events import Event, Preview
from dip_engine.job import Job


class Follower:
    """One job in an engine of its own.

    Use it as a context manager: leaving it ends the engine. `on_event` and `on_end` are called
    from the main loop; a preview that is out of date by then is left out.

    Args:
        command: starts the engine.
        job: what it does.
        log: file for the engine's messages.
        on_event: called with each event.
        on_end: called once after the last event, with the error or None.
    """

    def __init__(
        self,
        command: Sequence[str],
        job: Job,
        log: Path,
        on_event: Callable[[Event], None],
        on_end: Callable[[DipError | None], None],
    ) -> None:
        self._engine = Engine(command, log=log)
        self._job = job
        self._on_event, self._on_end = on_event, on_end
        self._events: deque[Event] = deque()
        self._thread = threading.Thread(target=self._work, name="follower", daemon=True)

    def __enter__(self) -> Follower:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.cancel()  # kills it after a moment of grace
        self._thread.join(10)
        self._engine.close()

    def stop(self) -> None:
        """Ask for a result now, with what there is."""
        self._engine.stop()

    def _work(self) -> None:
        error: DipError | None = None
        try:
            for event in self._engine.run(self._job):
                self._events.append(event)
                GLib.idle_add(self._hand_over)
        except DipError as known:
            error = known
        except Exception as unknown:
            traceback.print_exc()
            error = DipError(f"The engine could not be followed: {unknown!r}.")
        self._engine.close()  # a person may look at the snapshots for long; its memory is free now
        GLib.idle_add(self._finish, error)

    def _hand_over(self) -> bool:
        while self._events:
            event = self._events.popleft()
            if isinstance(event, Preview) and any(isinstance(e, Preview) for e in self._events):
                continue
            try:
                self._on_event(event)
            except Exception:  # the rest, with the result, matters more than one picture
                traceback.print_exc()
        return GLib.SOURCE_REMOVE

    def _finish(self, error: DipError | None) -> bool:
        self._on_end(error)
        return GLib.SOURCE_REMOVE
