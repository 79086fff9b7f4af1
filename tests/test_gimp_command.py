"""``dip-engine install-gimp-plugin`` in home folders made for the test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from dip_engine import gimp
from dip_engine.cli import main

NATIVE, FLATHUB = ".config/GIMP", ".var/app/org.gimp.GIMP/config/GIMP"
SNAP = "snap/gimp/current/.config/GIMP"
EVERY = (f"{NATIVE}/3.0", f"{NATIVE}/3.2", f"{FLATHUB}/3.0", f"{SNAP}/3.0")


class Home:
    """A user's home folder, and the command as this user runs it."""

    def __init__(
        self, folder: Path, patch: pytest.MonkeyPatch, capture: pytest.CaptureFixture[str]
    ) -> None:
        self.folder, self._patch, self._capture = folder, patch, capture
        patch.setattr(sys, "platform", "linux")
        for name in ("GIMP3_DIRECTORY", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
            patch.delenv(name, raising=False)
        for name, value in (("HOME", folder), ("USERPROFILE", folder), ("PATH", "")):
            patch.setenv(name, str(value))

    def run(self, *options: str | Path, command: str = "install-gimp-plugin") -> str:
        """Run the command; return its output, and keep exit code and errors."""
        self._patch.setattr(sys, "argv", ["dip-engine", command, *map(str, options)])
        try:
            self.code: object = main()
        except SystemExit as end:
            self.code = end.code
        output, self.errors = self._capture.readouterr()
        return output

    def plugins(self) -> set[str]:
        """Return the profiles that have the plug-in."""
        files = self.folder.rglob(f"{gimp.NAME}/{gimp.ENGINE_FILE}")
        return {file.parents[2].relative_to(self.folder).as_posix() for file in files}


@pytest.fixture
def home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Home:
    return Home(tmp_path, monkeypatch, capsys)


def make_profiles(home: Home) -> None:
    for name in EVERY:
        (home.folder / name).mkdir(parents=True)


def test_newest_of_each_kind(home: Home) -> None:
    make_profiles(home)
    text = home.run()
    assert (home.code, home.errors) == (0, "")
    assert home.plugins() == {f"{NATIVE}/3.2", f"{FLATHUB}/3.0"}
    assert "not in GIMP 3.0 (native), GIMP 3.0 (snap); --all" in text
    assert text.count("flatpak override") == text.count("Snap Store") == 1
    assert "Filters → Enhance → Deep Image Prior" in text.splitlines()[-1]


def test_all_and_back(home: Home) -> None:
    make_profiles(home)
    text = home.run("--all")
    assert home.code == 0
    assert home.plugins() == set(EVERY)
    assert text.count("flatpak override") == text.count("Snap Store") == 1
    assert "--all" not in text
    leftover = home.folder / ".cache/deep-image-prior/run-killed"
    leftover.mkdir(parents=True)
    (leftover / "lock").touch()
    text = home.run("--uninstall")
    assert home.code == 0
    assert home.plugins() == set()
    assert text.count("removed from") == len(EVERY)
    assert not leftover.parent.exists()
    assert home.run("--uninstall") == ""


def test_only_a_snap(home: Home) -> None:
    (home.folder / SNAP / "3.0").mkdir(parents=True)
    text = home.run()
    assert (home.code, home.plugins()) == (0, set())
    assert "Snap Store" in text
    assert "Restart" not in text
    text = home.run("--dir", home.folder / SNAP / "3.0/plug-ins")
    assert home.plugins() == {f"{SNAP}/3.0"}
    assert "Snap Store" in text


def test_no_gimp(home: Home) -> None:
    text = home.run()
    assert home.code == 0
    assert len(text.splitlines()) == 1
    assert not list(home.folder.iterdir())
    home.run("--uninstall")
    assert home.code == 0


def test_named_folder(home: Home) -> None:
    make_profiles(home)
    mine = home.folder / "mine/plug-ins"
    assert str(mine) in home.run("--dir", mine)
    assert home.plugins() == {"mine"}
    home.run("--all")
    home.run("--uninstall", "--dir", mine)
    assert home.plugins() == set(EVERY)
    home.run("--all", "--dir", mine)
    assert home.code == 2


def test_profile_named_for_gimp(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    make_profiles(home)
    monkeypatch.setenv("GIMP3_DIRECTORY", str(home.folder / "mine"))
    assert "GIMP3_DIRECTORY" in home.run()
    assert home.plugins() == set()
    (home.folder / "mine").mkdir()
    home.run()
    assert home.plugins() == {"mine"}


@pytest.mark.parametrize("option", ["--all", "--uninstall"])
def test_one_bad_folder_does_not_stop_the_others(home: Home, option: str) -> None:
    make_profiles(home)
    home.run("--all")
    for name in EVERY[:2]:
        plugin = home.folder / name / "plug-ins" / gimp.NAME
        (plugin / gimp.ENGINE_FILE).unlink()
    home.run(option)
    assert home.code == 1
    assert home.errors.count("not from this program") == home.errors.count("Hint: ") == 2
    assert home.plugins() == (set(EVERY[2:]) if option == "--all" else set())


def test_folder_that_cannot_be_written(home: Home) -> None:
    (home.folder / "file").touch()
    home.run("--dir", home.folder / "file/plug-ins")
    assert home.code == 1
    assert str(home.folder / "file/plug-ins") in home.errors
    assert "Hint: Check the rights" in home.errors
