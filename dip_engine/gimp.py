"""Find GIMP 3 and put the plug-in where GIMP looks for it.

GIMP loads ``plug-ins/NAME/NAME.py`` of its profile with a Python of its own. So the plug-in's
folder gets a copy of the client, which needs the standard library only, and ``engine.json``, which
names the Python that has torch. Standard library only, here too.
"""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from dip_engine.errors import InputError, OutputError

NAME = "deep_image_prior"
ENGINE_FILE = "engine.json"
# Lets the GIMP in the sandbox start a program outside of it; the user has to allow that.
FLATPAK_PERMISSION = "flatpak override --user --talk-name=org.freedesktop.Flatpak org.gimp.GIMP"
CLIENT_MODULES = ("__init__", "errors", "tasks", "job", "protocol", "engine_process", "client")

_FLATPAK = Path(".var/app/org.gimp.GIMP/config/GIMP")


def find_profiles(
    home: Path | None = None, environment: Mapping[str, str] = os.environ
) -> list[Path]:
    """Return the profile folders of every GIMP 3 of this user, newest version last.

    Args:
        home: the user's home folder, or None for the real one.
        environment: of the process; ``GIMP3_DIRECTORY`` in it is GIMP's own way to name the one
            profile that counts.
    """
    if named := environment.get("GIMP3_DIRECTORY"):
        return [Path(named)] if Path(named).is_dir() else []
    found = [
        folder
        for root in _profile_roots(home or Path.home(), environment)
        if root.is_dir()
        for folder in root.iterdir()
        if folder.is_dir() and re.fullmatch(r"3\.\d+", folder.name)
    ]
    return sorted(found, key=lambda folder: int(folder.name.removeprefix("3.")))


def why_no_profile(home: Path | None = None, environment: Mapping[str, str] = os.environ) -> str:
    """Return one sentence for a user for whom `find_profiles` finds nothing."""
    if version := _version_on_path(environment):
        if version.startswith("3."):
            return (
                f"GIMP {version} has never been started: start it once, "
                "then run dip-engine install-gimp-plugin."
            )
        return f"Only GIMP {version} was found; the plug-in needs GIMP 3."
    roots = _profile_roots(home or Path.home(), environment)
    if any(folder.name.startswith("2.") for root in roots for folder in root.glob("2.*")):
        return "Only GIMP 2 was found; the plug-in needs GIMP 3."
    return "No GIMP 3 was found; after installing it run dip-engine install-gimp-plugin."


def install_plugin(plug_ins: Path, python: Path | None = None) -> Path:
    """Copy the plug-in with its client into a folder of plug-ins, whole or not at all.

    Args:
        plug_ins: a ``plug-ins`` folder; it is made if need be.
        python: the engine's Python, or None for the one that runs here.

    Returns:
        The plug-in's folder.

    Raises:
        OutputError: something else has that name there, or it cannot be written.
    """
    target = plug_ins / NAME
    _check_ours(target)
    try:
        plug_ins.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{NAME}-", dir=plug_ins) as scratch:
            fresh = Path(scratch) / NAME
            _fill(fresh, python or Path(sys.executable))
            if target.exists():
                target.rename(Path(scratch) / "old")
            fresh.rename(target)
    except OSError as error:
        raise OutputError(
            f"The plug-in cannot be written to {target}: {error.strerror or error}.",
            "Check the rights of this folder and the free space.",
        ) from error
    return target


def remove_plugin(plug_ins: Path) -> bool:
    """Remove the plug-in from a folder of plug-ins; False if there was none.

    Raises:
        OutputError: something else has that name there, or it cannot be removed.
    """
    target = plug_ins / NAME
    _check_ours(target)
    if not target.exists():
        return False
    try:
        shutil.rmtree(target)
    except OSError as error:
        raise OutputError(f"{target} cannot be removed: {error.strerror or error}.") from error
    return True


def is_flatpak(plug_ins: Path) -> bool:
    """True for a folder that belongs to the GIMP of Flathub, which runs in a sandbox."""
    return _FLATPAK.as_posix() in plug_ins.as_posix()


def find_plugins(profiles: list[Path]) -> list[Path]:
    """Return the folders in which the plug-in is installed."""
    folders = (profile / "plug-ins" / NAME for profile in profiles)
    return [folder for folder in folders if (folder / ENGINE_FILE).is_file()]


def read_engine(folder: Path) -> Path:
    """Return the Python that an installed plug-in starts.

    Raises:
        InputError: its ``engine.json`` cannot be read.
    """
    file = folder / ENGINE_FILE
    try:
        return Path(json.loads(file.read_text(encoding="utf-8"))["python"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{file} cannot be read.", "Run dip-engine install-gimp-plugin again."
        ) from error


def _fill(folder: Path, python: Path) -> None:
    client = folder / "dip_engine"
    client.mkdir(parents=True)
    for module in CLIENT_MODULES:
        shutil.copyfile(Path(__file__).with_name(f"{module}.py"), client / f"{module}.py")
    for source in _plugin_source().glob("*.py"):
        shutil.copyfile(source, folder / source.name)
    (folder / f"{NAME}.py").chmod(0o755)  # GIMP runs it as a program
    engine = {"python": str(python)}
    (folder / ENGINE_FILE).write_text(json.dumps(engine) + "\n", encoding="utf-8")


def _plugin_source() -> Path:
    spec = importlib.util.find_spec(NAME)
    if spec is None or not spec.submodule_search_locations:
        raise OutputError("The plug-in's files are missing.", "Run install.sh again.")
    return Path(spec.submodule_search_locations[0])


def _check_ours(target: Path) -> None:
    if target.is_symlink() or (target.exists() and not (target / ENGINE_FILE).is_file()):
        raise OutputError(
            f"{target} is not from this program.", "Move it away, then run the command again."
        )


def _profile_roots(home: Path, environment: Mapping[str, str]) -> tuple[Path, ...]:
    """Return the folders that hold one profile per version of GIMP."""
    if sys.platform == "darwin":
        return (home / "Library/Application Support/GIMP",)
    if sys.platform == "win32":
        return (Path(environment.get("APPDATA") or home / "AppData/Roaming") / "GIMP",)
    config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    return (config / "GIMP", home / _FLATPAK)


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
