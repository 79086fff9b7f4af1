"""A real GIMP with a profile of its own: run scripts in it, or open its window."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gimp_profile import set_engine
from gimp_root import HERE, Root
from gimp_window import EMPTY, Window
from room import DEADLINE, Room, wait_until
from screen import Screen

# No brushes, no fonts, no splash.
_FAST = ["--no-data", "--no-fonts", "--no-splash"]
_END = [*_FAST, "--quit"]
_RUN_SCRIPT = f"exec(open({str(HERE / 'in_gimp.py')!r}).read())"


@dataclass(frozen=True)
class Finished:
    """What came of a GIMP that has ended.

    Attributes:
        code: exit code: 0, or 64 where a script raised, or minus the signal.
        stdout, stderr: what it printed. GIMP's own noise is on stderr in the best of runs.
        answer: what the script put into ``answer``.
        left: command lines of processes that outlived it.
        seconds: how long it took.
    """

    code: int
    stdout: str
    stderr: str
    answer: dict[str, Any]
    left: list[str]
    seconds: float

    def check(self) -> dict[str, Any]:
        """Return the answer, or fail with what the script said."""
        assert self.code == 0, f"GIMP ended with {self.code}\n{self.stdout}\n{self.stderr}"
        return self.answer


class Gimp:
    """A GIMP in a root folder, with a profile.

    Attributes:
        root: where GIMP is.
        folder: a folder that programs inside and outside share, at the same path.
        profile: GIMP's profile, inside of ``folder``.
        cache: where programs inside keep what they can do without.
    """

    def __init__(self, root: Root, folder: Path, profile: Path) -> None:
        self.root = root
        self.folder = folder
        self.profile = profile
        self.cache = folder / "cache"
        self._count = 0

    def use_engine(self, python: Path) -> None:
        """Let the plug-in start another engine than the made-up one."""
        set_engine(self.profile, python)

    def batch(self, script: str, *, timeout: float = DEADLINE, **given: Any) -> Finished:
        """Run a Python script inside of GIMP without a window; see ``in_gimp.py``.

        Args:
            script: source code.
            timeout: seconds after which GIMP is killed.
            given: what the script finds under ``given``; JSON has to be able to say it.

        Raises:
            TimeoutError: GIMP took longer.
        """
        return self._run_python(["gimp", "--no-interface"], script, given, timeout)

    def console(self, script: str, *, timeout: float = DEADLINE, **given: Any) -> Finished:
        """Run a Python script like `batch`, in a GIMP where there is no screen at all."""
        return self._run_python(["gimp-console"], script, given, timeout)

    def script_fu(self, expression: str, *, timeout: float = DEADLINE) -> Finished:
        """Evaluate an expression of Script-Fu inside of GIMP without a window."""
        batch = ["--batch-interpreter=plug-in-script-fu-eval", "--batch", expression]
        return self._run(["gimp", "--no-interface", *_END, *batch], self._new_folder(), timeout)

    def shell(self, line: str, folder: Path, *, timeout: float = DEADLINE) -> Finished:
        """Run a command line as a user would, in a folder, on a screen."""
        command = ["sh", "-ec", f"cd {shlex.quote(str(folder))}\n{line}"]
        return self._run(command, self._new_folder(), timeout)

    @contextlib.contextmanager
    def window(self, picture: Path | None = None, *, seconds: float = DEADLINE) -> Iterator[Window]:
        """Start GIMP on a screen with a picture that lies in ``folder``, and wait for its window.

        What goes wrong inside of the block leaves a screenshot and GIMP's messages behind.
        """
        folder = self._new_folder()
        with self.root.open(self.folder) as room:
            screen = Screen(room, folder)
            variables = {**screen.variables, **self._variables(folder)}
            command = ["gimp", *_FAST, *([str(picture)] if picture else [])]
            window = Window(room, screen, room.start(command, folder / "log", variables), folder)
            try:
                window.wait_window(picture.stem if picture else EMPTY, seconds)
                yield window
            except BaseException as error:
                error.add_note(window.describe())
                raise

    def _run_python(
        self, program: list[str], script: str, given: dict[str, Any], timeout: float
    ) -> Finished:
        folder = self._new_folder()
        (folder / "script.py").write_text(script)
        (folder / "given.json").write_text(json.dumps(given))
        batch = ["--batch-interpreter=python-fu-eval", "--batch", _RUN_SCRIPT]
        return self._run([*program, *_END, *batch], folder, timeout)

    def _run(self, command: list[str], folder: Path, timeout: float) -> Finished:
        with self.root.open(self.folder) as room:
            variables = self._variables(folder)
            if command[0] != "gimp-console":  # wants a screen, also where it shows nothing on it
                variables |= Screen(room, folder, manager=False).variables
            ours = room.processes()
            begin = time.monotonic()
            log = folder / "log"
            process = room.start(command, log, variables)
            try:
                code = process.wait(timeout)
            except subprocess.TimeoutExpired:
                errors = log.with_name("log.err").read_text(errors="replace")
                raise TimeoutError(f"GIMP took more than {timeout:g} s\n{errors}") from None
            seconds = time.monotonic() - begin
            left = _left_over(room, ours)
        answer = folder / "answer.json"
        return Finished(
            code,
            log.read_text(errors="replace"),
            log.with_name("log.err").read_text(errors="replace"),
            json.loads(answer.read_text()) if answer.exists() else {},
            left,
            seconds,
        )

    def _new_folder(self) -> Path:
        self._count += 1
        folder = self.folder / f"run-{self._count}"
        folder.mkdir()
        return folder

    def _variables(self, folder: Path) -> dict[str, str]:
        return {
            "GIMP3_DIRECTORY": str(self.profile),
            "XDG_CACHE_HOME": str(self.cache),
            "DIP_TEST_FOLDER": str(folder),
        }


def _left_over(room: Room, ours: list[str]) -> list[str]:
    """Return what still runs a while after GIMP; what goes by itself is given the time to."""

    def others() -> list[str]:
        return [command for command in room.processes() if command not in ours]

    with contextlib.suppress(TimeoutError):
        wait_until(lambda: not others(), "the end of all processes", 10)
    return others()
