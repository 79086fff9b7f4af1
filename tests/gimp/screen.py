"""A screen in a room: an X server with a window manager, and hands and eyes for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from room import Room, wait_until

SIZE = (1440, 900)

# Windows with their titles, those of menus and tooltips aside. One may go while it is looked at.
_LIST = """
for id in $(xprop -root -notype _NET_CLIENT_LIST | sed 's/.*#//; s/,//g'); do
  name=$(xdotool getwindowname "$id" 2>/dev/null) && printf '%d\\t%s\\n' "$id" "$name"
done
true
"""


@dataclass(frozen=True)
class Shown:
    """A window on the screen."""

    number: int
    title: str


class Screen:
    """The screen of a room; it is there until the room is closed.

    Args:
        room: where.
        logs: a folder for what the X server and the window manager say.
        manager: whether there is a window manager; programs without windows need none.
    """

    def __init__(self, room: Room, logs: Path, *, manager: bool = True) -> None:
        self._room = room
        log = logs / "xvfb.log"
        width, height = SIZE
        # The server chooses its number, and says so when it is ready. Left to itself it starts
        # over whenever its last client goes, and the next one may come too early.
        server = ["Xvfb", "-displayfd", "1", "-noreset", "-screen", "0", f"{width}x{height}x24"]
        self._server = room.start(server, log)
        number = wait_until(lambda: log.read_text().strip(), "the X server")
        self.variables = {"DISPLAY": f":{number}"}
        if manager:
            room.start(["openbox"], logs / "openbox.log", self.variables)
            wait_until(lambda: "window id" in self._about_manager(), "the window manager")
            self.run("xdotool", "mousemove", str(width), str(height))  # tooltips would cover things

    def windows(self) -> list[Shown]:
        """Return the windows, oldest first."""
        lines = self.run("sh", "-c", _LIST).splitlines()
        pairs = (line.split("\t", 1) for line in lines)
        return [Shown(int(number), title) for number, title in pairs]

    def find(self, part: str) -> Shown | None:
        """Return the newest window with a text in its title, or None."""
        return next((shown for shown in reversed(self.windows()) if part in shown.title), None)

    def show(self, part: str) -> Shown:
        """Let the keys go to the newest window with a text in its title.

        Raises:
            TimeoutError: there is none that takes them.
        """
        shown = wait_until(lambda: self.find(part), f"a window {part!r}")
        self.run("xdotool", "windowactivate", str(shown.number))
        wait_until(lambda: self._active() == shown.number, f"{shown.title!r} to be active")
        return shown

    def key(self, *keys: str) -> None:
        """Press keys, e.g. ``ctrl+z``, in the active window."""
        self.run("xdotool", "key", *keys)

    def type_text(self, text: str) -> None:
        """Type a text into the active window."""
        self.run("xdotool", "type", text)

    def click(self, shown: Shown, x: int, y: int, button: int = 1) -> None:
        """Click on a point of a window, in pixels from its upper left corner."""
        place = ["mousemove", "--window", str(shown.number), str(x), str(y)]
        self.run("xdotool", *place, "click", str(button))

    def size(self, shown: Shown) -> tuple[int, int]:
        """Return width and height of a window in pixels."""
        lines = self.run("xdotool", "getwindowgeometry", "--shell", str(shown.number)).split()
        values = dict(line.split("=", 1) for line in lines)
        return int(values["WIDTH"]), int(values["HEIGHT"])

    def screenshot(self, file: Path, shown: Shown | None = None) -> Path:
        """Write what is on the screen, or in one window, to a PNG where the room can write."""
        self.run("import", "-window", "root" if shown is None else str(shown.number), str(file))
        return file

    def run(self, *command: str, check: bool = True) -> str:
        """Run a small program on this screen and return what it printed."""
        return self._room.run(*command, variables=self.variables, check=check)

    def _active(self) -> int:
        return int(self.run("xdotool", "getactivewindow", check=False).strip() or 0)

    def _about_manager(self) -> str:
        return self.run("xprop", "-root", "_NET_SUPPORTING_WM_CHECK", check=False)
