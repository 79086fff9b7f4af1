"""Finding GIMP 3, and the plug-in's folder: what is put there and what is taken away."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from deep_image_prior.npy import read_npy, write_npy
from dip_engine import gimp
from dip_engine.errors import InputError, OutputError


@pytest.fixture(autouse=True)
def on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    """The folders below are those of Linux, wherever the tests run."""
    monkeypatch.setattr(sys, "platform", "linux")


def make_gimp(folder: Path, version: str) -> dict[str, str]:
    """Make a program gimp that knows its version, and an environment that finds it."""
    program = folder / "gimp"
    program.write_text(f"#!/bin/sh\necho 'GNU Image Manipulation Program version {version}'\n")
    program.chmod(0o755)
    return {"PATH": str(folder)}


def test_profiles_of_every_kind_are_found(tmp_path: Path) -> None:
    profiles = [
        tmp_path / ".config/GIMP/3.0",
        tmp_path / ".config/GIMP/3.10",
        tmp_path / ".var/app/org.gimp.GIMP/config/GIMP/3.2",
    ]
    for profile in [*profiles, tmp_path / ".config/GIMP/2.10", tmp_path / ".config/GIMP/3.0.bak"]:
        profile.mkdir(parents=True)
    found = gimp.find_profiles(tmp_path, {})
    assert found == [profiles[0], profiles[2], profiles[1]]
    assert [gimp.is_flatpak(profile / "plug-ins") for profile in found] == [False, True, False]


def test_other_config_folder_and_gimps_own_variable(tmp_path: Path) -> None:
    (tmp_path / "config/GIMP/3.0").mkdir(parents=True)
    assert gimp.find_profiles(tmp_path, {"XDG_CONFIG_HOME": str(tmp_path / "config")}) == [
        tmp_path / "config/GIMP/3.0"
    ]
    named = {"GIMP3_DIRECTORY": str(tmp_path / "mine")}
    assert gimp.find_profiles(tmp_path, named) == []
    (tmp_path / "mine").mkdir()
    assert gimp.find_profiles(tmp_path, named) == [tmp_path / "mine"]


def test_why_there_is_no_profile(tmp_path: Path) -> None:
    nothing = {"PATH": ""}
    assert gimp.why_no_profile(tmp_path, nothing).startswith("No GIMP 3 was found")
    (tmp_path / ".config/GIMP/2.10").mkdir(parents=True)
    assert gimp.why_no_profile(tmp_path, nothing).startswith("Only GIMP 2 was found")
    old = make_gimp(tmp_path, "2.10.34")
    assert gimp.why_no_profile(tmp_path, old).startswith("Only GIMP 2.10.34")
    new = make_gimp(tmp_path, "3.0.4")
    assert "GIMP 3.0.4 has never been started" in gimp.why_no_profile(tmp_path, new)


def test_installed_plugin_is_complete(tmp_path: Path) -> None:
    folder = gimp.install_plugin(tmp_path / "plug-ins", Path("/somewhere/python"))
    assert folder == tmp_path / "plug-ins" / "deep_image_prior"
    assert os.access(folder / "deep_image_prior.py", os.X_OK)
    assert json.loads((folder / "engine.json").read_text()) == {"python": "/somewhere/python"}
    assert gimp.read_engine(folder) == Path("/somewhere/python")
    assert gimp.find_plugins([tmp_path]) == [folder]
    assert {file.stem for file in (folder / "dip_engine").iterdir()} == set(gimp.CLIENT_MODULES)
    assert os.listdir(tmp_path / "plug-ins") == ["deep_image_prior"]  # noqa: PTH208


def test_plugin_compiles_for_gimps_python(tmp_path: Path) -> None:
    folder = gimp.install_plugin(tmp_path)
    files = [str(file) for file in folder.rglob("*.py")]
    run = subprocess.run(
        [sys.executable, "-I", "-m", "py_compile", *files], check=False, timeout=120
    )
    assert run.returncode == 0


def test_installing_again_replaces_the_plugin(tmp_path: Path) -> None:
    folder = gimp.install_plugin(tmp_path, Path("/old/python"))
    (folder / "left_over.py").touch()
    gimp.install_plugin(tmp_path, Path("/new/python"))
    assert gimp.read_engine(folder) == Path("/new/python")
    assert not (folder / "left_over.py").exists()


def test_removing(tmp_path: Path) -> None:
    folder = gimp.install_plugin(tmp_path)
    (tmp_path / "another").mkdir()
    assert gimp.remove_plugin(tmp_path) is True
    assert not folder.exists()
    assert (tmp_path / "another").exists()
    assert gimp.remove_plugin(tmp_path) is False


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "deep_image_prior" / "mine.py"
    mine.parent.mkdir()
    mine.touch()
    for action in (gimp.install_plugin, gimp.remove_plugin):
        with pytest.raises(OutputError, match="not from this program"):
            action(tmp_path)
    assert mine.exists()


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "plug-ins").write_text("a file")
    with pytest.raises(OutputError, match="cannot be written"):
        gimp.install_plugin(tmp_path / "plug-ins")


@pytest.mark.parametrize("text", ["", "{}", "[]", "{"])
def test_damaged_engine_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "engine.json").write_text(text)
    with pytest.raises(InputError, match=r"engine\.json"):
        gimp.read_engine(tmp_path)


@pytest.mark.parametrize("shape", [(3, 5), (3, 5, 2), (1, 1, 4), (123, 4567, 3)])
def test_npy_files_are_those_of_numpy(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).random(shape, dtype=np.float32)
    ours, numpys = tmp_path / "ours.npy", tmp_path / "numpys.npy"
    write_npy(ours, shape, values.tobytes())
    np.save(numpys, values)
    np.testing.assert_array_equal(np.load(ours), values)
    assert read_npy(numpys) == (shape, values.tobytes())


def test_other_npy_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "x.npy"
    np.save(file, np.zeros((2, 2)))
    with pytest.raises(ValueError, match="<f8"):
        read_npy(file)
    file.write_bytes(struct.pack("<4f", 0, 0, 0, 0))
    with pytest.raises(ValueError, match=r"no \.npy"):
        read_npy(file)
