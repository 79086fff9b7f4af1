"""A room: namespaces with a root folder of their own, in which programs run and leave no trace.

Its first process reads a pipe from this one. When the pipe closes, because the room is closed or
because this process was killed, that process ends, and the kernel ends all others in the room,
takes the mounts away and frees the shared memory.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Self, TypeVar

import psutil

ENTER = Path(__file__).with_name("enter.sh")
DEADLINE = 120.0  # seconds; a busy machine needs ten times what a quiet one does

_Value = TypeVar("_Value")


def wait_until(check: Callable[[], _Value | None], what: str, seconds: float = DEADLINE) -> _Value:
    """Poll until a check gives something true, and return that.

    Raises:
        TimeoutError: it did not within so many seconds.
    """
    end = time.monotonic() + seconds
    while not (value := check()):
        if time.monotonic() > end:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.05)
    return value


class Room:
    """One room; use it as a context manager.

    Args:
        root: the root folder.
        read: files and folders that can be read in there, by the path they get.
        write: folders that are there too, at the same path.
    """

    def __init__(
        self,
        root: Path,
        *,
        read: Mapping[Path, Path] = MappingProxyType({}),
        write: Sequence[Path] = (),
    ) -> None:
        options: list[str] = []
        for place, source in sorted(read.items()):  # what contains another comes first
            options += ["--read", str(source), str(place)]
        for folder in write:
            options += ["--write", str(folder)]
        self._started: list[subprocess.Popen[bytes]] = []
        keeper = ["sh", "-c", "echo ready && exec cat >/dev/null"]
        self._outer = subprocess.Popen(
            [str(ENTER), *options, str(root), *keeper],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # Ctrl+C is for the tests, which close the room
        )
        assert self._outer.stdout is not None
        if self._outer.stdout.readline() != b"ready\n":
            self.close()
            raise RuntimeError(f"{root} cannot be entered: see above")
        (first,) = psutil.Process(self._outer.pid).children()
        # With root and working folder of that process; those of this one do not exist in there.
        inside = ["--mount", "--pid", "--ipc", "--net", "--root", "--wd"]
        self._enter = ["nsenter", f"--target={first.pid}", *inside]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def command(self, command: Sequence[str], variables: Mapping[str, str]) -> list[str]:
        """Return the command line that runs a command in the room, for `subprocess`."""
        basic = {"HOME": "/root", "LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin"}
        settings = [f"{name}={value}" for name, value in {**basic, **variables}.items()]
        return [*self._enter, "/usr/bin/env", "-i", *settings, *command]

    def start(
        self, command: Sequence[str], log: Path, variables: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start a program whose output goes to ``log``, with ``.err`` added for its errors."""
        # Files and no pipes: what the program leaves behind may hold a pipe open for ever.
        with log.open("wb") as stdout, log.with_name(f"{log.name}.err").open("wb") as stderr:
            process = subprocess.Popen(
                self.command(command, variables or {}),
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def run(
        self,
        *command: str,
        variables: Mapping[str, str] | None = None,
        check: bool = True,
        seconds: float = DEADLINE,
    ) -> str:
        """Run a small program to its end and return what it printed."""
        done = subprocess.run(
            self.command(command, variables or {}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=seconds,
        )
        if check and done.returncode != 0:
            raise RuntimeError(f"{' '.join(command)}: {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def processes(self, part: str = "") -> list[str]:
        """Return the command lines in which a text occurs, without those of the room itself."""
        lines = self.run("ps", "-eo", "ppid=,pid=,stat=,args=").splitlines()
        table = [line.split(maxsplit=3) for line in lines]
        # Process 1 and what it runs (the reader of the pipe), and this very list.
        own = {"1"} | {pid for parent, pid, _, args in table if parent == "1" and args == "cat"}
        return [
            args
            for _, pid, state, args in table
            if pid not in own and state[0] != "Z" and not args.startswith("ps -eo") and part in args
        ]

    def close(self) -> None:
        """End every process in the room and wait for that."""
        pipes = (self._outer.stdin, self._outer.stdout)
        for pipe in pipes:
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()
        try:
            self._outer.wait(10)
        except subprocess.TimeoutExpired:
            self._outer.kill()  # and with it the first process
            self._outer.wait()
        for process in self._started:  # the kernel has killed them
            process.wait()
