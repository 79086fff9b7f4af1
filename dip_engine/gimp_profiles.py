"""The profile folders of GIMP 3, of every kind of installation. Standard library only.

GIMP keeps one profile per version, ``3.0``, ``3.2`` …, in one folder per kind of installation. The
GIMP of Flathub is the exception: since 3.0 it uses the folder of an ordinary GIMP, so its own
folder holds profiles of old releases only.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

NATIVE, FLATPAK, SNAP, NAMED = "native", "flatpak", "snap", "named by GIMP3_DIRECTORY"

_START = "start it once, then run dip-engine install-gimp-plugin"
# What a user of such a GIMP has to know after the plug-in was installed.
_NOTES = {
    # Lets the GIMP in the sandbox start a program outside of it; only the user can allow that.
    FLATPAK: "for GIMP from Flathub, run once: "
    "flatpak override --user --talk-name=org.freedesktop.Flatpak org.gimp.GIMP",
    SNAP: "GIMP from the Snap Store cannot start programs outside its sandbox, so the plug-in "
    "does not work in it; use the GIMP of Flathub or of your distribution.",
}


@dataclass(frozen=True, slots=True)
class Profile:
    """A folder in which one version of GIMP keeps everything of one user.

    Attributes:
        path: the folder.
        kind: `NATIVE`, `FLATPAK`, `SNAP` or `NAMED`.
        version: of GIMP, e.g. ``3.2``; empty where the folder does not tell.
    """

    path: Path
    kind: str
    version: str = ""

    @property
    def plug_ins(self) -> Path:
        """Where GIMP looks for plug-ins."""
        return self.path / "plug-ins"

    @property
    def title(self) -> str:
        """What a person calls it, e.g. ``GIMP 3.2 (native)``."""
        return f"GIMP {self.version or '3'} ({self.kind})"

    @property
    def age(self) -> int:
        """Grows with the version: 3.10 is newer than 3.2."""
        return int(self.version.removeprefix("3.") or 0)


def find_profiles(
    home: Path | None = None, environment: Mapping[str, str] = os.environ
) -> list[Profile]:
    """Return the profiles of every GIMP 3 of this user, kind by kind, newest version last.

    Args:
        home: the user's home folder, or None for the real one.
        environment: of the process; ``GIMP3_DIRECTORY`` in it is GIMP's own way to name the one
            profile that counts.
    """
    home = home or Path.home()
    if named := environment.get("GIMP3_DIRECTORY"):
        profile = Profile(home / named, NAMED)
        return [profile] if profile.path.is_dir() else []
    found: dict[Path, Profile] = {}
    for root, kind in _roots(home, environment):
        profiles = [
            Profile(path, kind, path.name) for path in root.glob("3.*") if _is_profile(path)
        ]
        for profile in sorted(profiles, key=lambda profile: profile.age):
            found.setdefault(profile.path, profile)
    return list(found.values())


def newest_usable(profiles: Iterable[Profile]) -> list[Profile]:
    """Return the newest profile of each kind, without the kind in which the plug-in cannot work."""
    newest = {profile.kind: profile for profile in sorted(profiles, key=lambda p: p.age)}
    newest.pop(SNAP, None)
    return list(newest.values())


def notes_on(
    profiles: Iterable[Profile],
    home: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    system: Path = Path("/"),
) -> list[str]:
    """Return what a user of these profiles has to know about the plug-in, a sentence per kind.

    Args:
        profiles: into which the plug-in was put.
        home: the user's home folder, or None for the real one.
        environment: of the process.
        system: the root of the file system.
    """
    kinds = {profile.kind for profile in profiles}
    if NATIVE in kinds:  # this folder is also that of sandboxed ones
        kinds |= _sandboxed(home or Path.home(), environment, system)
    return [note for kind, note in _NOTES.items() if kind in kinds]


def why_no_profile(
    home: Path | None = None,
    environment: Mapping[str, str] = os.environ,
    system: Path = Path("/"),
) -> str:
    """Return one sentence for a user for whom `find_profiles` finds nothing."""
    home = home or Path.home()
    if named := environment.get("GIMP3_DIRECTORY"):
        return f"GIMP has not made {home / named} (GIMP3_DIRECTORY) yet: {_START}."
    version = _version_on_path(environment) or ""
    if version.startswith("3.") or FLATPAK in _sandboxed(home, environment, system):
        name = f"GIMP {version}" if version.startswith("3.") else "GIMP from Flathub"
        return f"{name} has never been started: {_START}."
    if version:
        return f"Only GIMP {version} was found; the plug-in needs GIMP 3."
    if any(any(root.glob("2.*")) for root, _ in _roots(home, environment)):
        return "Only GIMP 2 was found; the plug-in needs GIMP 3."
    return f"No GIMP 3 was found: install it, {_START}."


def _is_profile(path: Path) -> bool:
    return path.is_dir() and re.fullmatch(r"3\.\d+", path.name) is not None


def _roots(home: Path, environment: Mapping[str, str]) -> tuple[tuple[Path, str], ...]:
    """Return the folders that hold one profile per version of GIMP, with their kinds."""
    if sys.platform == "darwin":
        return ((home / "Library/Application Support/GIMP", NATIVE),)
    if sys.platform == "win32":
        data = Path(environment.get("APPDATA") or home / "AppData/Roaming")
        return ((data / "GIMP", NATIVE),)
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    return (
        (config / "GIMP", NATIVE),
        (home / ".var/app/org.gimp.GIMP/config/GIMP", FLATPAK),
        (home / "snap/gimp/current/.config/GIMP", SNAP),
        (home / "snap/gimp/common/.config/GIMP", SNAP),
    )


def _sandboxed(home: Path, environment: Mapping[str, str], system: Path) -> set[str]:
    """Return the kinds of sandboxed GIMP that are installed."""
    data = Path(environment.get("XDG_DATA_HOME") or home / ".local/share")
    app = "flatpak/app/org.gimp.GIMP"
    places = {
        FLATPAK: (system / "var/lib" / app, data / app),
        SNAP: (system / "snap/gimp", system / "var/lib/snapd/snap/gimp"),
    }
    return {kind for kind, folders in places.items() if any(f.is_dir() for f in folders)}


def _version_on_path(environment: Mapping[str, str]) -> str | None:
    """Ask the GIMP on PATH, e.g. ``3.0.4``; None where there is none."""
    path = environment.get("PATH")
    for name in ("gimp", "gimp-3.0", "gimp-3"):
        if program := shutil.which(name, path=path):
            try:
                answer = subprocess.run(  # noqa: S603 - the program that `which` found, no shell
                    [program, "--version"], capture_output=True, text=True, timeout=20, check=False
                )
            except (OSError, subprocess.TimeoutExpired):
                continue
            if match := re.search(r"\d+\.\d+\.\d+", answer.stdout):
                return match.group()
    return None
