"""What killed processes leave under way, and how the next run removes it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dip_engine.folder import new_folder
from dip_engine.temporary import TEMPORARY_SUFFIX, abandoned, sweep, sweep_folder, temporary_name


@pytest.fixture(scope="module")
def dead() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left(path: Path, process: int) -> Path:
    return path.with_name(f".{path.name}.{process}{TEMPORARY_SUFFIX}")


def test_sweeping_a_folder_removes_what_dead_processes_left(tmp_path: Path, dead: int) -> None:
    (tmp_path / "sub").mkdir()
    gone = [left(tmp_path / "a.b.png", dead), left(tmp_path / "a.b.png", 10**30)]
    kept = [
        left(tmp_path / "a.png", os.getpid()),
        tmp_path / f".a.png.{TEMPORARY_SUFFIX}",
        tmp_path / f"a.png.{dead}{TEMPORARY_SUFFIX}",
        tmp_path / f".a.png.{dead}.tmp",
        left(tmp_path / "sub" / "a.png", dead),
    ]
    for path in (*gone, *kept):
        path.touch()
    sweep_folder(tmp_path)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in kept)
    sweep_folder(tmp_path / "missing")


def test_a_sweep_before_a_result_takes_only_what_was_left_of_it(tmp_path: Path, dead: int) -> None:
    mine = tmp_path / "out"
    gone = [left(mine, dead), temporary_name(mine)]  # an own id may be that of a killed run
    kept = [
        left(mine, os.getppid()),
        left(tmp_path / "other", dead),
        left(tmp_path / "a.out", dead),
    ]
    for path in (*gone, *kept):
        path.mkdir()
        (path / "frame.png").touch()
    assert sorted(abandoned(mine)) == sorted(gone)
    sweep(mine)
    sweep(tmp_path / "missing" / "out")
    assert sorted(tmp_path.iterdir()) == sorted(kept)


def test_what_a_kill_left_between_two_renames_comes_back(tmp_path: Path, dead: int) -> None:
    target = tmp_path / "out"
    for path, words in ((target.with_name("out.old"), "old"), (target, "new")):
        left(path, dead).mkdir()
        (left(path, dead) / "a").write_text(words)
    with new_folder(target, ("a",), force=True):
        assert (target / "a").read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]
    assert not list(target.iterdir())
