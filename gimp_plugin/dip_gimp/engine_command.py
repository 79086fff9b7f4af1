"""How the engine is started: the installer wrote down the Python that has torch."""

from __future__ import annotations

import json
import os
from pathlib import Path

from dip_engine.errors import DeviceError

ENGINE_FILE = "engine.json"
_AGAIN = "Run ./install.sh again, or dip-engine install-gimp-plugin if the engine was moved."


def engine_command(plugin: Path) -> list[str]:
    """Return the command of the engine that belongs to an installed plug-in.

    Args:
        plugin: the plug-in's folder.

    Raises:
        DeviceError: the engine is not where the installer left it.
    """
    python = _python(plugin / ENGINE_FILE)
    command = [python, "-P", "-X", "utf8", "-m", "dip_engine.worker"]
    if in_flatpak():
        # A sandbox sees no program of the system's; --watch-bus ends the engine with the plug-in.
        return ["flatpak-spawn", "--host", "--watch-bus", *command]
    if not os.access(python, os.X_OK):
        raise DeviceError(f"The engine of Deep Image Prior is no longer at {python}.", _AGAIN)
    return command


def in_flatpak() -> bool:
    """Tell whether this GIMP is the one from Flathub, which runs in a sandbox."""
    return Path("/.flatpak-info").exists()


def start_hint() -> str:
    """Return what to do when the engine does not start."""
    if in_flatpak():
        return (
            "GIMP from Flathub needs a permission once: flatpak override --user "
            "--talk-name=org.freedesktop.Flatpak org.gimp.GIMP"
        )
    return _AGAIN


def _python(file: Path) -> str:
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["python"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DeviceError(f"{file} cannot be read.", _AGAIN) from error
