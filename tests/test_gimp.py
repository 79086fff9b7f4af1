"""The plug-in's folder: what is put there, what is read, what is taken away."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dip_engine import __version__, gimp
from dip_engine.errors import InputError, OutputError
from dip_gimp.scratch import run_folder


def test_installed_plugin_is_complete(tmp_path: Path) -> None:
    plug_ins = tmp_path / "plug-ins"
    assert not gimp.is_installed(plug_ins)
    folder = gimp.install_plugin(plug_ins, Path("/somewhere/python"))
    assert gimp.is_installed(plug_ins)
    assert folder == plug_ins / "deep_image_prior"
    assert os.access(folder / "deep_image_prior.py", os.X_OK)
    settings = {"python": "/somewhere/python", "version": __version__}
    assert json.loads((folder / "engine.json").read_text()) == settings
    plugin = gimp.read_plugin(plug_ins)
    assert plugin == gimp.Plugin(folder, Path("/somewhere/python"), __version__)
    assert {file.stem for file in (folder / "dip_engine").iterdir()} == set(gimp.CLIENT_MODULES)
    assert os.listdir(plug_ins) == ["deep_image_prior"]  # noqa: PTH208


def test_plugin_starts_the_python_of_the_environment(tmp_path: Path) -> None:
    gimp.install_plugin(tmp_path)
    # A venv's Python is a link, and behind the link there is no torch.
    assert gimp.read_plugin(tmp_path).python == Path(sys.executable)


def test_plugin_imports_nothing_that_gimps_python_lacks(tmp_path: Path) -> None:
    folder = gimp.install_plugin(tmp_path)
    for file in folder.rglob("*.py"):
        for module in imported(file):
            if module.partition(".")[0] in (*sys.stdlib_module_names, "gi"):
                continue
            path = folder / module.replace(".", "/")
            assert path.is_dir() or path.with_suffix(".py").is_file(), f"{file}: {module}"


def imported(file: Path) -> Iterator[str]:
    """Return the names of the modules that a file imports as soon as it is imported."""
    for node in ast.parse(file.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level
            assert node.module
            yield node.module


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
    assert gimp.read_plugin(tmp_path).python == Path("/new/python")
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


@pytest.mark.parametrize("text", ["", "{}", "[]", "{", '"text"', '{"python": 3}'])
def test_damaged_engine_file(tmp_path: Path, text: str) -> None:
    folder = gimp.install_plugin(tmp_path)
    (folder / "engine.json").write_text(text)
    with pytest.raises(InputError, match=r"engine\.json"):
        gimp.read_plugin(tmp_path)
    gimp.install_plugin(tmp_path)
    assert gimp.read_plugin(tmp_path).version == __version__


def test_plugin_of_the_first_version_names_none(tmp_path: Path) -> None:
    folder = gimp.install_plugin(tmp_path)
    (folder / "engine.json").write_text('{"python": "/somewhere/python"}')
    assert gimp.read_plugin(tmp_path).version == ""


def test_leftovers_of_killed_runs_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    caches = (".cache", ".var/app/org.gimp.GIMP/cache", "snap/gimp/common/.cache")
    folders = [tmp_path / cache / "deep-image-prior" for cache in caches]
    for folder in folders:
        (folder / "run-killed").mkdir(parents=True)
        (folder / "run-killed/lock").touch()
        (folder / "run-killed/picture.npy").touch()
        (folder / "engine.log").touch()
    (folders[1] / "mine").touch()
    with run_folder(folders[2]) as running:
        assert gimp.remove_scratch(tmp_path, {"HOME": str(tmp_path)}) == [folders[0]]
        assert not folders[0].exists()
        assert list(folders[1].iterdir()) == [folders[1] / "mine"]
        assert list(folders[2].iterdir()) == [running]
    assert gimp.remove_scratch(tmp_path, {"HOME": str(tmp_path)}) == [folders[2]]


def test_leftovers_in_another_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    environment = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "x")}
    assert gimp.remove_scratch(tmp_path, environment) == []
    (tmp_path / "x/deep-image-prior").mkdir(parents=True)
    assert gimp.remove_scratch(tmp_path, environment) == [tmp_path / "x/deep-image-prior"]
