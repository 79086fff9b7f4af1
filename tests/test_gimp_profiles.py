"""Which GIMP 3 there is: every kind of installation, in home folders made for the test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dip_engine.gimp_profiles import (
    FLATPAK,
    NAMED,
    NATIVE,
    SNAP,
    Profile,
    find_profiles,
    newest_usable,
    notes_on,
    why_no_profile,
)

FLATHUB = ".var/app/org.gimp.GIMP/config/GIMP"


@pytest.fixture(autouse=True)
def on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders below are those of Linux, wherever the tests run."""
    monkeypatch.setattr(sys, "platform", "linux")


def make_profiles(home: Path, *names: str) -> None:
    for name in names:
        (home / name).mkdir(parents=True)


def make_gimp(folder: Path, version: str) -> dict[str, str]:
    """Make a program gimp that knows its version, and an environment that finds it."""
    program = folder / "gimp"
    program.write_text(f"#!/bin/sh\necho 'GNU Image Manipulation Program version {version}'\n")
    program.chmod(0o755)
    return {"PATH": str(folder)}


def test_profiles_of_every_kind_are_found(tmp_path: Path) -> None:
    make_profiles(
        tmp_path,
        *(f".config/GIMP/{name}" for name in ("3.10", "3.0", "2.10", "3.0.bak", "3.x")),
        f"{FLATHUB}/3.2",
        "snap/gimp/current/.config/GIMP/3.0",
        "snap/gimp/common/.config/GIMP/3.2",
    )
    (tmp_path / ".config/GIMP/3.4").touch()
    found = find_profiles(tmp_path, {})
    assert [(profile.kind, profile.version) for profile in found] == [
        (NATIVE, "3.0"),
        (NATIVE, "3.10"),
        (FLATPAK, "3.2"),
        (SNAP, "3.0"),
        (SNAP, "3.2"),
    ]
    assert found[0].plug_ins == tmp_path / ".config/GIMP/3.0/plug-ins"
    assert found[2].title == "GIMP 3.2 (flatpak)"


def test_other_config_folder(tmp_path: Path) -> None:
    make_profiles(tmp_path, "config/GIMP/3.0", f"{FLATHUB}/3.0")
    elsewhere = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    assert find_profiles(tmp_path, elsewhere)[0].path == tmp_path / "config/GIMP/3.0"
    same = {"XDG_CONFIG_HOME": str((tmp_path / FLATHUB).parent)}
    assert len(find_profiles(tmp_path, same)) == 1


@pytest.mark.parametrize("as_written", ["mine", "{home}/mine"])
def test_gimps_own_variable_names_the_only_profile(tmp_path: Path, as_written: str) -> None:
    make_profiles(tmp_path, ".config/GIMP/3.0")
    environment = {"GIMP3_DIRECTORY": as_written.format(home=tmp_path)}
    assert find_profiles(tmp_path, environment) == []
    assert "GIMP3_DIRECTORY" in why_no_profile(tmp_path, environment)
    make_profiles(tmp_path, "mine")
    assert find_profiles(tmp_path, environment) == [Profile(tmp_path / "mine", NAMED)]
    assert newest_usable(find_profiles(tmp_path, environment))


@pytest.mark.parametrize(
    ("platform", "folder"),
    [("win32", "AppData/Roaming"), ("darwin", "Library/Application Support")],
)
def test_other_systems(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, folder: str
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    make_profiles(tmp_path, f"{folder}/GIMP/3.0", ".config/GIMP/3.2")
    expected = [Profile(tmp_path / folder / "GIMP/3.0", NATIVE, "3.0")]
    assert find_profiles(tmp_path, {}) == expected
    roaming = {"APPDATA": str(tmp_path / folder)}
    assert find_profiles(tmp_path, roaming) == expected


def test_newest_of_each_kind_without_snaps(tmp_path: Path) -> None:
    profiles = [
        Profile(tmp_path / kind / version, kind, version)
        for kind, version in [(NATIVE, "3.2"), (NATIVE, "3.10"), (FLATPAK, "3.0"), (SNAP, "3.4")]
    ]
    assert set(newest_usable(profiles)) == {profiles[1], profiles[2]}
    assert newest_usable([]) == newest_usable(profiles[3:]) == []


@pytest.mark.parametrize(
    ("installed", "word"),
    [
        ("var/lib/flatpak/app/org.gimp.GIMP", "flatpak override"),
        ("home/.local/share/flatpak/app/org.gimp.GIMP", "flatpak override"),
        ("snap/gimp", "Snap Store"),
        ("var/lib/snapd/snap/gimp", "Snap Store"),
    ],
)
def test_sandboxed_gimp_that_uses_the_ordinary_folder(
    tmp_path: Path, installed: str, word: str
) -> None:
    home = tmp_path / "home"
    native = [Profile(home / ".config/GIMP/3.2", NATIVE, "3.2")]
    assert notes_on(native, home, {}, tmp_path) == []
    make_profiles(tmp_path, installed)
    (note,) = notes_on(native, home, {}, tmp_path)
    assert word in note
    named = [Profile(home / "mine", NAMED)]
    assert notes_on(named, home, {}, tmp_path) == []


def test_one_note_per_kind(tmp_path: Path) -> None:
    kinds = (SNAP, FLATPAK, SNAP, FLATPAK)
    profiles = [Profile(tmp_path / str(i), kind, "3.0") for i, kind in enumerate(kinds)]
    notes = notes_on(profiles, tmp_path, {}, tmp_path)
    assert ["flatpak override" in note for note in notes] == [True, False]


def test_why_there_is_no_profile(tmp_path: Path) -> None:
    def why(environment: dict[str, str]) -> str:
        return why_no_profile(tmp_path, environment, tmp_path)

    nothing = {"PATH": ""}
    assert why(nothing).startswith("No GIMP 3 was found")
    make_profiles(tmp_path, ".config/GIMP/2.10")
    assert why(nothing).startswith("Only GIMP 2 was found")
    old = make_gimp(tmp_path, "2.10.34")
    assert why(old).startswith("Only GIMP 2.10.34")
    make_profiles(tmp_path, "var/lib/flatpak/app/org.gimp.GIMP")
    assert "GIMP from Flathub has never been started" in why(old)
    new = make_gimp(tmp_path, "3.0.4")
    assert "GIMP 3.0.4 has never been started" in why(new)
