"""The window of a running GIMP, for tests that look at it and use its keys."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import psutil
from gimp_profile import OBSERVE
from room import DEADLINE, Room, wait_until
from screen import Screen, Shown

# In the title of the main window, with an image and without one. Messages have "GIMP" in it too.
WITH_IMAGE, EMPTY = " – GIMP", "GNU Image Manipulation Program"

# What a GIMP in good health says, hundreds of times.
_NOISE = re.compile("G[dt]k-CRITICAL|Gimp-Widgets-CRITICAL|scriptfu-WARNING|^INFO: argument")


class Window:
    """A running GIMP, and the screen it is on.

    Attributes:
        room: what it runs in.
        screen: its windows one by one, keys and the mouse.
        folder: of its logs and screenshots.
    """

    def __init__(
        self, room: Room, screen: Screen, process: subprocess.Popen[bytes], folder: Path
    ) -> None:
        self.room = room
        self.screen = screen
        self.folder = folder
        self._process = process
        self._shots = 0

    @property
    def log(self) -> str:
        """What GIMP and its plug-ins wrote to stderr."""
        return (self.folder / "log.err").read_text(errors="replace")

    def windows(self) -> list[str]:
        """Return the titles of all windows, oldest first."""
        return [shown.title for shown in self.screen.windows()]

    def wait_window(self, part: str, seconds: float = DEADLINE) -> Shown:
        """Wait for a window with a text in its title; from then on the keys go to it.

        Raises:
            TimeoutError: there is none within so many seconds.
            RuntimeError: GIMP has ended instead.
        """

        def look() -> bool:
            return self._ended() or self.screen.find(part) is not None

        wait_until(look, f"a window {part!r}", seconds)
        if self._ended():
            raise RuntimeError(f"GIMP ended with {self._process.returncode}")
        return self.screen.show(part)

    def wait_gone(self, part: str, seconds: float = DEADLINE) -> None:
        """Wait until no window has a text in its title."""
        wait_until(lambda: self.screen.find(part) is None, f"the end of window {part!r}", seconds)

    def show_main(self) -> None:
        """Let the keys go to GIMP's own window."""
        self.screen.show(WITH_IMAGE if self.screen.find(WITH_IMAGE) else EMPTY)

    def key(self, *keys: str) -> None:
        """Press keys, e.g. ``ctrl+z``, in the active window."""
        self.screen.key(*keys)

    def type_text(self, text: str) -> None:
        """Type a text into the active window."""
        self.screen.type_text(text)

    def click(self, shown: Shown, x: int, y: int) -> None:
        """Click on a point of a window, in pixels from its upper left corner."""
        self.screen.click(shown, x, y)

    def screenshot(self, file: Path | None = None, shown: Shown | None = None) -> Path:
        """Write what is on the screen, or in one window, to a PNG, and return its path."""
        self._shots += 1
        return self.screen.screenshot(file or self.folder / f"shot-{self._shots}.png", shown)

    def state(self) -> list[dict[str, Any]]:
        """Return what GIMP holds: its images with their layers, see ``dip_observer.py``."""
        self.show_main()
        file = self.folder / "state.json"
        file.unlink(missing_ok=True)
        for seconds in (10, 10, DEADLINE):  # the key may go to a window that is about to close
            self.key(OBSERVE)
            with contextlib.suppress(TimeoutError):
                wait_until(file.exists, "the observer's answer", seconds)
                break
        images: list[dict[str, Any]] = json.loads(file.read_text())
        return images

    def processes(self, part: str = "") -> list[str]:
        """Return the command lines of what runs in the room, where a text occurs in them."""
        return self.room.processes(part)

    def kill(self) -> None:
        """Kill GIMP, as a system without memory does."""
        (program,) = psutil.Process(self._process.pid).children()
        program.kill()

    def quit(self) -> int:
        """Quit GIMP, drop what was not saved, and return its exit code."""
        self.show_main()
        self.key("ctrl+q")
        wait_until(lambda: self._ended() or self.screen.find("Quit GIMP"), "GIMP to quit")
        if not self._ended():
            self.screen.show("Quit GIMP")
            self.key("alt+d")
        return self.wait_end()

    def wait_end(self, seconds: float = DEADLINE) -> int:
        """Wait until GIMP has ended; return its exit code, or minus the signal that ended it."""
        return self._process.wait(seconds)

    def describe(self) -> str:
        """Say what there was to see, for a test that failed."""
        try:
            seen = f"{self.windows()} in {self.screenshot(self.folder / 'failure.png')}"
        except (OSError, RuntimeError, subprocess.SubprocessError) as error:
            seen = f"nothing: {error}"
        lines = [line for line in self.log.splitlines() if line and not _NOISE.search(line)]
        return "\n".join([f"on the screen: {seen}", "GIMP's last messages:", *lines[-40:]])

    def _ended(self) -> bool:
        return self._process.poll() is not None
