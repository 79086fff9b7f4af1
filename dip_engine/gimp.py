"""The plug-in where GIMP looks for it: putting it there, looking at it, taking it away.

GIMP loads ``plug-ins/NAME/NAME.py`` of its profile with a Python of its own. So the plug-in's
folder gets the plug-in's modules, a copy of the client, which needs the standard library only, and
``engine.json``, which names the Python that has torch. Standard library only, here too.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dip_engine import __version__
from dip_engine.errors import InputError, OutputError

NAME = "deep_image_prior"
MODULES = "dip_gimp"
ENGINE_FILE = "engine.json"
CLIENT_MODULES = (
    "__init__",
    "errors",
    "tasks",
    "job",
    "events",
    "protocol",
    "engine_process",
    "client",
)


@dataclass(frozen=True, slots=True)
class Plugin:
    """An installed plug-in.

    Attributes:
        folder: of the plug-in.
        python: the engine's Python that it starts.
        version: of the program it came with; empty for one older than this was written down.
    """

    folder: Path
    python: Path
    version: str


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
        # Out of the way first: what an interruption leaves is then no half plug-in of that name.
        with tempfile.TemporaryDirectory(prefix=f".{NAME}-", dir=plug_ins) as scratch:
            target.rename(Path(scratch) / NAME)
    except OSError as error:
        raise OutputError(
            f"{target} cannot be removed: {error.strerror or error}.",
            "Check the rights of this folder.",
        ) from error
    return True


def is_installed(plug_ins: Path) -> bool:
    """Tell whether a folder of plug-ins has this one."""
    return (plug_ins / NAME / ENGINE_FILE).is_file()


def read_plugin(plug_ins: Path) -> Plugin:
    """Return what is installed in a folder of plug-ins.

    Raises:
        InputError: its ``engine.json`` cannot be read.
    """
    folder = plug_ins / NAME
    file = folder / ENGINE_FILE
    try:
        engine = json.loads(file.read_text(encoding="utf-8"))
        return Plugin(folder, Path(engine["python"]), str(engine.get("version", "")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{file} cannot be read.", "Run dip-engine install-gimp-plugin --all."
        ) from error


def remove_scratch(
    home: Path | None = None, environment: Mapping[str, str] = os.environ
) -> list[Path]:
    """Remove what killed runs of the plug-in left behind; runs that go on keep their folders.

    Args:
        home: the user's home folder, or None for the real one.
        environment: of the process.

    Returns:
        The folders that are gone.
    """
    from dip_gimp.scratch import LOG, cache_folder, sweep

    home = home or Path.home()
    caches = (home / ".var/app/org.gimp.GIMP/cache", home / "snap/gimp/common/.cache")
    sandboxed = [{**environment, "XDG_CACHE_HOME": str(cache)} for cache in caches]
    folders = [cache_folder(variables) for variables in (environment, *sandboxed)]
    removed = []
    for folder in filter(Path.is_dir, dict.fromkeys(folders)):
        sweep(folder)
        with suppress(OSError):  # there is something else in it
            (folder / LOG).unlink(missing_ok=True)
            folder.rmdir()
            removed.append(folder)
    return removed


def _fill(folder: Path, python: Path) -> None:
    client = folder / "dip_engine"
    client.mkdir(parents=True)
    for module in CLIENT_MODULES:
        shutil.copyfile(Path(__file__).with_name(f"{module}.py"), client / f"{module}.py")
    modules = folder / MODULES
    modules.mkdir()
    for package, target in ((NAME, folder), (MODULES, modules)):
        for source in _source(package).glob("*.py"):
            shutil.copyfile(source, target / source.name)
    (folder / f"{NAME}.py").chmod(0o755)  # GIMP runs it as a program
    engine = {"python": str(python), "version": __version__}
    (folder / ENGINE_FILE).write_text(json.dumps(engine) + "\n", encoding="utf-8")


def _source(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise OutputError("The plug-in's files are missing.", "Run install.sh again.")
    return Path(spec.submodule_search_locations[0])


def _check_ours(target: Path) -> None:
    if target.is_symlink() or (target.exists() and not (target / ENGINE_FILE).is_file()):
        raise OutputError(
            f"{target} is not from this program.", "Move it away, then run the command again."
        )
