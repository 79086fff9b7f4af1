"""The root folders with a real GIMP 3: where they are, how they are made, and why there is none.

``DIP_GIMP_ROOTS`` names the folder that holds them, one per release of Debian; each takes about a
gigabyte and a minute, once.
"""

from __future__ import annotations

import fcntl
import functools
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from room import Room

import dip_engine

HERE = Path(__file__).parent
SUITES = {"trixie": "3.0", "forky": "3.2"}
GATE = "trixie"  # the one that has to work; testing changes from day to day
_PROVISION_SECONDS = 500
_SYSTEM = Path("/usr")


@dataclass(frozen=True)
class Root:
    """A root folder with a GIMP.

    Attributes:
        suite: release of Debian.
        folder: what provision.sh made.
        version: of GIMP, e.g. ``3.0.4``.
    """

    suite: str
    folder: Path
    version: str

    def open(self, *write: Path) -> Room:
        """Open a room in which GIMP and the engine's Python run, and can write some folders."""
        return Room(self.folder / "root", read=engine_places(), write=write)


class NoRoot(Exception):
    """There is no GIMP here; the text says why."""


def find_root(suite: str) -> Root:
    """Return the root of a suite; it is made if need be.

    Raises:
        NoRoot: it cannot be made or entered.
    """
    found = _root_or_reason(suite)
    if isinstance(found, str):
        raise NoRoot(found)
    return found


def roots_folder() -> Path:
    """Return the folder that holds the roots."""
    if named := os.environ.get("DIP_GIMP_ROOTS"):
        return Path(named)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "deep-image-prior-tests"


def engine_places() -> dict[Path, Path]:
    """Return what this Python needs to run in another root, our sources too: places and sources."""
    prefix, base = Path(sys.prefix), Path(sys.base_prefix)
    places = {prefix, base, Path(dip_engine.__file__).parent, HERE}
    if base != _SYSTEM:
        return {place: place for place in places}
    # The root has a Python of the system's own, of another version: put ours beside it, and let
    # the environment, whose link names "python3", find ours.
    program = Path(sys.executable).resolve()
    places = places - {base} | {program, Path(sysconfig.get_path("stdlib"))}
    links = roots_folder() / "python"
    links.mkdir(parents=True, exist_ok=True)
    link = links / Path(sys.executable).name
    link.unlink(missing_ok=True)
    link.symlink_to(program)
    return {place: place for place in places} | {Path(sys.executable).parent: links}


@functools.cache  # also the reason: a mirror that is out of reach is not asked once per test
def _root_or_reason(suite: str) -> Root | str:
    if reason := _why_impossible():
        return reason
    folder = roots_folder() / suite
    try:
        _provision(suite, folder)
        with Room(folder / "root", read=engine_places()) as room:
            version = room.run("gimp", "--version")
            room.run(sys.executable, "-I", "-c", "import numpy, dip_engine")
    except (OSError, RuntimeError, subprocess.SubprocessError) as error:
        return f"no GIMP of Debian {suite}: {error}"
    found = re.search(r"\d+\.\d+\.\d+", version)
    return Root(suite, folder, found.group()) if found else f"GIMP says {version!r}"


def _why_impossible() -> str | None:
    if sys.platform != "linux":
        return f"a root folder with GIMP needs Linux, and this is {sys.platform}"
    if os.geteuid() != 0:
        return "a root folder with GIMP needs root"
    for program in ("apt-get", "unshare", "nsenter"):
        if shutil.which(program) is None:
            return f"a root folder with GIMP needs {program}, as Debian has it"
    namespaces = ["unshare", "--mount", "--pid", "--ipc", "--net", "--fork", "--kill-child"]
    tried = subprocess.run(
        [*namespaces, "true"], capture_output=True, text=True, check=False, timeout=60
    )
    return f"no namespaces here: {tried.stderr.strip()}" if tried.returncode else None


def _provision(suite: str, folder: Path) -> None:
    """Run provision.sh, one at a time.

    Raises:
        RuntimeError: it failed.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{suite}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # In namespaces of its own: whatever ends it, nothing stays mounted and nothing runs on.
        alone = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
        script = [str(HERE / "provision.sh"), suite, str(folder)]
        done = subprocess.run(
            [*alone, *script],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_PROVISION_SECONDS,
        )
    if done.returncode != 0:
        lines = [f"exit code {done.returncode}", *done.stderr.splitlines()]
        causes = [line for line in lines if line.startswith("E: ")]  # apt's own
        raise RuntimeError(" ".join([lines[-1], *causes[:1]]))
