"""What killed processes leave under way, and how the next run removes it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from dip_engine import temporary
from dip_engine.errors import OutputError
from dip_engine.folder import new_folder
from dip_engine.temporary import (
    ASIDE_SUFFIX,
    TEMPORARY_SUFFIX,
    abandoned,
    sweep,
    sweep_folder,
    temporary_name,
)


@pytest.fixture(scope="module")
def dead() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@pytest.fixture(scope="module")
def alive() -> Iterator[int]:
    """The id of another process that runs."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    yield process.pid
    process.kill()
    process.wait()


def left(path: Path, process: int, suffix: str = TEMPORARY_SUFFIX) -> Path:
    """Return the name that a process of this machine gives to what is to become `path`."""
    mine = temporary_name(path, suffix)
    return mine.with_name(mine.name.replace(f".{os.getpid()}-", f".{process}-"))


def test_sweeping_a_folder_removes_what_dead_processes_left(
    tmp_path: Path, dead: int, alive: int
) -> None:
    (tmp_path / "sub").mkdir()
    gone = [
        left(tmp_path / "a.b.png", dead),
        left(tmp_path / "a.b.png", 10**30),
        temporary_name(tmp_path / "a.png"),  # an own id may be that of a killed run
    ]
    kept = [
        left(tmp_path / "a.png", alive),
        tmp_path / f".a.png.{TEMPORARY_SUFFIX}",
        tmp_path / left(tmp_path / "a.png", dead).name[1:],
        left(tmp_path / "a.png", dead, ".tmp"),
        left(tmp_path / "sub" / "a.png", dead),
    ]
    for path in (*gone, *kept):
        path.touch()
    sweep_folder(tmp_path)
    assert not any(path.exists() for path in gone)
    assert all(path.exists() for path in kept)
    sweep_folder(tmp_path / "missing")


def test_a_sweep_before_a_result_takes_only_what_was_left_of_it(
    tmp_path: Path, dead: int, alive: int
) -> None:
    mine = tmp_path / "out"
    gone = [left(mine, dead), temporary_name(mine)]
    kept = [
        left(mine, alive),
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


def test_what_another_machine_writes_is_swept_only_when_it_has_long_stopped(
    tmp_path: Path, dead: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Process ids of a container, or of another machine on a shared disk, tell nothing here."""
    names = tmp_path / "one.mp4", tmp_path / "two.mp4"
    with monkeypatch.context() as there:
        there.setattr("platform.node", lambda: "another machine, far away")
        fresh, rested = (left(name, dead) for name in names)
        mine = temporary_name(names[0])
    for path in (fresh, rested, mine):
        path.touch()
    past = time.time() - temporary.PATIENCE - 1
    os.utime(rested, (past, past))
    for name in names:
        sweep(name)
    sweep_folder(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([fresh, mine])


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """A folder of results that is there already."""
    target = tmp_path / "out"
    target.mkdir()
    (target / "a").write_text("old")
    return target


def test_what_a_kill_left_between_two_renames_comes_back(target: Path, dead: int) -> None:
    target.rename(left(target, dead, ASIDE_SUFFIX))
    left(target, dead).mkdir()
    (left(target, dead) / "a").write_text("new")
    with new_folder(target, ("a",), force=True):
        assert (target / "a").read_text() == "old"
    assert list(target.parent.iterdir()) == [target]
    assert not list(target.iterdir())


def test_what_a_kill_left_of_a_replaced_folder_does_not_come_back(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as killed:
        killed.setattr(shutil, "rmtree", lambda *_, **__: None)
        with new_folder(target, ("a",), force=True) as fresh:
            (fresh / "a").write_text("new")
    assert len(list(target.parent.iterdir())) == 2
    shutil.rmtree(target)
    with new_folder(target, ("a",), force=False):
        assert not target.exists()
    assert list(target.parent.iterdir()) == [target]


def test_what_a_kill_left_of_a_folder_with_a_longer_name_is_not_taken(
    tmp_path: Path, dead: int
) -> None:
    other = left(tmp_path / "out.old", dead)
    other.mkdir()
    with new_folder(tmp_path / "out", (), force=False):
        assert not (tmp_path / "out").exists()
    assert other.exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError])
def test_what_was_there_is_back_when_its_successor_cannot_take_its_place(
    target: Path, monkeypatch: pytest.MonkeyPatch, error: type[BaseException]
) -> None:
    rename = Path.rename

    def interrupted(self: Path, other: Path) -> Path:
        if self.name.endswith(TEMPORARY_SUFFIX):
            raise error
        return rename(self, other)

    monkeypatch.setattr(Path, "rename", interrupted)
    with pytest.raises((KeyboardInterrupt, OutputError)), new_folder(target, ("a",), force=True):
        pass
    assert (target / "a").read_text() == "old"
    assert list(target.parent.iterdir()) == [target]
