"""How long a job has run, and when it is to end: by hand, by its time limit, or soon."""

from __future__ import annotations

import threading
import time

GRACE = 2.0  # seconds that a classical start may go on after the end was wanted


class Clock:
    """Runs from the moment it is made.

    Args:
        limit: seconds after which no more work is wanted, or None.
        stop: set from another thread to end with what there is.
    """

    def __init__(self, limit: float | None, stop: threading.Event) -> None:
        self.begin = time.monotonic()
        self.limit = limit
        self.stop = stop
        self._ended: float | None = None

    @property
    def seconds(self) -> float:
        """Since the job began."""
        return time.monotonic() - self.begin

    def ended(self) -> str | None:
        """Return why no more work is wanted, or None."""
        if self.stop.is_set():
            return "stopped by hand"
        if self.limit is not None and self.seconds > self.limit:
            return "time limit reached"
        return None

    def overdue(self) -> bool:
        """Return True when an end was wanted some seconds ago: even a start is given up then."""
        if self.ended() is not None and self._ended is None:
            self._ended = self.seconds
        return self._ended is not None and self.seconds - self._ended > GRACE

    def share(self, tiles_left: int) -> float:
        """Return the seconds since the job began at which the first of so many tiles must end."""
        if self.limit is None:
            return float("inf")
        now = self.seconds
        return now + max(0.0, self.limit - now) / tiles_left
