"""The promises of the harness: rooms leave nothing behind, and nothing that fails passes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from gimp_root import HERE, Root
from real_gimp import Gimp
from room import ENTER, wait_until

# Opens a room, starts a program that would run for ever, and never closes the room.
FORGETFUL = """
import sys, time
from pathlib import Path
from room import Room
room = Room(Path(sys.argv[1]))
room.start(["sleep", sys.argv[2]], Path(sys.argv[3]))
time.sleep(1000)
"""


def sleepers(seconds: str) -> list[psutil.Process]:
    """Return the processes that sleep for so many seconds, in any room."""
    running = psutil.process_iter(["cmdline"])
    return [process for process in running if process.info["cmdline"] == ["sleep", seconds]]


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_exit_code_passes_through(root: Root, script: str, code: int) -> None:
    command = [str(ENTER), str(root.folder / "root"), "sh", "-c", script]
    assert subprocess.run(command, check=False, timeout=60).returncode == code


def test_room_shows_what_it_should_and_keeps_nothing(root: Root, tmp_path: Path) -> None:
    (tmp_path / "here").write_text("outside")
    with root.open(tmp_path) as room:
        assert room.run("cat", str(tmp_path / "here")) == "outside"
        room.run("touch", "/tmp/gone", str(tmp_path / "kept"))
        assert "gone" in room.run("ls", "/tmp")
        for place in (HERE, Path("/usr")):
            with pytest.raises(RuntimeError, match="Read-only"):
                room.run("touch", str(place / "new"))
        assert room.processes() == []
    assert (tmp_path / "kept").exists()
    assert str(root.folder) not in Path("/proc/self/mountinfo").read_text()
    assert list((root.folder / "root/tmp").iterdir()) == []


def test_engines_python_runs_in_the_room(root: Root) -> None:
    with root.open() as room:
        say = "import dip_engine, numpy; print(dip_engine.__version__)"
        assert room.run(sys.executable, "-I", "-c", say).strip()


def test_closed_room_ends_its_processes(root: Root, tmp_path: Path) -> None:
    seconds = str(time.time())
    with root.open() as room:
        room.start(["sh", "-c", f"setsid sleep {seconds} & sleep {seconds}"], tmp_path / "log")
        wait_until(lambda: len(sleepers(seconds)) == 2, "both processes")
    assert sleepers(seconds) == []


def test_killed_tests_leave_no_process(root: Root, tmp_path: Path) -> None:
    seconds = str(time.time())
    arguments = [str(root.folder / "root"), seconds, str(tmp_path / "log")]
    with subprocess.Popen([sys.executable, "-c", FORGETFUL, *arguments], cwd=HERE) as tests:
        try:
            wait_until(lambda: sleepers(seconds), "the program")
        finally:
            tests.kill()
    wait_until(lambda: not sleepers(seconds), "the end of the room", 10)


@pytest.mark.parametrize("program", [Gimp.batch, Gimp.console])
@pytest.mark.parametrize("script", ["1 / 0", "raise SystemExit(0)"])
def test_script_that_raises(gimp: Gimp, program: Callable[..., Any], script: str) -> None:
    done = program(gimp, f"answer['begun'] = True\n{script}")
    assert done.code == 64
    assert done.answer == {"begun": True}
    with pytest.raises(AssertionError, match="GIMP ended with 64"):
        done.check()


def test_script_that_hangs(gimp: Gimp) -> None:
    with pytest.raises(TimeoutError, match="more than 3 s"):
        gimp.batch("import time\nwhile True: time.sleep(1)", timeout=3)


def test_what_outlives_gimp_is_reported(gimp: Gimp) -> None:
    done = gimp.batch("import subprocess; subprocess.Popen(['sleep', '1000'])")
    assert done.left == ["sleep 1000"]


def test_window_that_does_not_come(gimp: Gimp, picture: Path) -> None:
    with (
        pytest.raises(TimeoutError, match="no such window") as error,
        gimp.window(picture) as window,
    ):
        window.wait_window("no such window", 1)
    assert "[picture]" in error.value.__notes__[0]
    assert (window.folder / "failure.png").stat().st_size > 1000
