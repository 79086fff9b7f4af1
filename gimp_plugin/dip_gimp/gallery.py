"""What a person can choose from: the snapshots of a fit, in the order of their iterations."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass
from pathlib import Path

from dip_engine.events import Preview, Result, Snapshot


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture for the screen: 8-bit RGB, row by row."""

    pixels: bytes
    width: int
    height: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A picture that can be inserted.

    Attributes:
        iteration: of the fit; 0 is the classical start.
        path: its full-size values.
        shown: for the screen.
        automatic: the engine's own choice.
    """

    iteration: int
    path: Path
    shown: Shown
    automatic: bool = False

    @property
    def label(self) -> str:
        """Return what a person reads."""
        name = f"iteration {self.iteration}" if self.iteration else "start, without the network"
        return f"{name} (automatic)" if self.automatic else name


class Gallery:
    """The snapshots so far and, while the fit runs, what it shows now.

    Attributes:
        entries: sorted by iteration; the automatic choice comes after a snapshot of the same.
        now: the newest preview, or None.
    """

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.now: Shown | None = None
        self.iteration = 0
        self._by_index: dict[int, Entry] = {}

    def preview(self, event: Preview) -> None:
        """Note the newest picture of the fit."""
        self.now = Shown(event.pixels, event.width, event.height)
        self.iteration = event.iteration

    def snapshot(self, event: Snapshot) -> None:
        """Note a snapshot; one of the same index is replaced."""
        shown = Shown(event.pixels, event.width, event.height)
        entry = Entry(event.iteration, Path(event.path), shown)
        if (old := self._by_index.get(event.index)) is not None:
            self.entries.remove(old)
        self._by_index[event.index] = entry
        self._insert(entry)

    def result(self, event: Result) -> None:
        """Note the engine's own choice."""
        shown = self.now or Shown(b"\0\0\0", 1, 1)
        self._insert(Entry(event.snapshot, Path(event.output), shown, automatic=True))

    @property
    def automatic(self) -> int:
        """Position of the engine's own choice, once there is one."""
        return next(place for place, entry in enumerate(self.entries) if entry.automatic)

    def _insert(self, entry: Entry) -> None:
        insort(self.entries, entry, key=lambda e: (e.iteration, e.automatic))
