"""Profile folders for GIMP that start unattended: no welcome, no questions, no news.

A first start asks every one of some 125 plug-ins what it offers and remembers the answers by the
time stamps of their files. A copy of such a profile, with the time stamps, makes every later start
several times faster.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from pathlib import Path

from dip_engine import gimp

HERE = Path(__file__).parent
PROCEDURE = "plug-in-deep-image-prior"
SHORTCUT = "ctrl+alt+shift+d"
OBSERVER = "dip_observer"
OBSERVE = "ctrl+alt+shift+o"

# GIMP discards the whole file for one word it does not know, and asks all plug-ins anew where the
# language is not that of the last time.
_GIMPRC = """\
(prev-language "C.UTF-8")
(config-version "{version}")
(last-release-comment "{version}")
(last-revision 0)
(show-welcome-dialog no)
(check-updates no)
(save-session-info no)
(restore-session no)
(color-profile-policy keep)
(metadata-rotation-policy keep)
"""
_SESSIONRC = """\
(single-window-mode yes)
(hide-docks no)
"""
_SHORTCUTSRC = f"""\
(file-version 1)
(action "{PROCEDURE}" "<Primary><Shift><Alt>d")
(action "plug-in-dip-observer" "<Primary><Shift><Alt>o")
"""


def write_profile(folder: Path, version: str) -> Path:
    """Write what a person can set in a profile of a version of GIMP."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "gimprc").write_text(_GIMPRC.format(version=version))
    (folder / "sessionrc").write_text(_SESSIONRC)
    (folder / "shortcutsrc").write_text(_SHORTCUTSRC)
    return folder


def install(profile: Path) -> Path:
    """Install our plug-in and the observer into a profile, and return our plug-in's folder."""
    shutil.copytree(HERE / OBSERVER, profile / "plug-ins" / OBSERVER)
    return gimp.install_plugin(profile / "plug-ins", Path(sys.executable))


def keep_profile(source: Path, target: Path) -> None:
    """Copy a profile for later tests, whole or not at all; another one may be there already."""
    fresh = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.copytree(source, fresh)
    try:
        fresh.rename(target)
    except OSError:
        shutil.rmtree(fresh)


def copy_profile(source: Path, target: Path) -> Path:
    """Copy a profile with the time stamps of its files, and give it the made-up engine."""
    shutil.copytree(source, target)
    set_engine(target, fake_engine(target / "fake-python"))
    return target


def set_engine(profile: Path, python: Path) -> None:
    """Let the plug-in of a profile start this program as the engine's Python."""
    file = profile / "plug-ins" / gimp.NAME / gimp.ENGINE_FILE
    engine = json.loads(file.read_text())
    file.write_text(json.dumps({**engine, "python": str(python)}))


def fake_engine(file: Path) -> Path:
    """Write a program that poses as a Python, but always runs the made-up engine."""
    command = [sys.executable, "-I", "-X", "utf8", str(HERE / "fake_engine.py")]
    file.write_text(f"#!/bin/sh\nexec {shlex.join(command)}\n")
    file.chmod(0o755)
    return file
