"""The journal, its lock, and what they make a second run do."""

from __future__ import annotations

import errno
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dip_batch.journal import Journal, Stamp
from dip_batch.lock import STALE_SECONDS, FolderLock
from dip_batch.outcome import ALREADY_DONE
from dip_batch.plan import Item, Plan
from dip_batch.todo import sort_out
from dip_engine.errors import InputError, OutputError
from dip_engine.job import Job, Settings

RESULT = {"seconds": 1.5, "stop_reason": "enough"}


@pytest.fixture
def item(tmp_path: Path) -> Item:
    (tmp_path / "cat.png").write_bytes(b"picture")
    (tmp_path / "out").mkdir()
    root = tmp_path / "out"
    return Item(tmp_path / "cat.png", root / "sub" / "cat.png", "cat.png", root)


def job(item: Item, **settings: Any) -> Job:
    return Job(
        "denoise", item.input, item.output, item.mask, settings=replace(Settings(), **settings)
    )


def journal_of(item: Item) -> Journal:
    assert item.root is not None
    return Journal(item.root)


def remember(item: Item, *, ended: bool, **settings: Any) -> Journal:
    journal = journal_of(item)
    with journal.opened():
        journal.record(item, Stamp.of(job(item, **settings)), RESULT)
        if ended:
            journal.end()
    item.output.parent.mkdir(exist_ok=True)
    item.output.write_bytes(b"result")
    return journal


def decide(item: Item, exists: str, **settings: Any) -> str | None:
    """Return why the picture is skipped, None where it is to be done."""
    plan = Plan((item,), (item.root,) if item.root else ())
    journals = {root: Journal(root) for root in plan.roots}
    todos, outcomes = sort_out(plan, lambda i: job(i, **settings), journals, exists)
    assert len(todos) + len(outcomes) == 1
    return outcomes[0].reason if outcomes else None


def test_what_is_recorded_is_read_back(item: Item) -> None:
    journal = remember(item, ended=False)
    entry = journal.read()["sub/cat.png"]
    assert entry.stamp == Stamp.of(job(item))
    assert entry.result == RESULT
    assert entry.open
    with journal.opened():
        journal.end()
    assert not journal.read()["sub/cat.png"].open


def test_an_unknown_folder_has_an_empty_journal(tmp_path: Path) -> None:
    assert Journal(tmp_path / "nothing").read() == {}
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("cut", [1, 2, 20, 60])
def test_a_torn_last_line_costs_only_itself(item: Item, cut: int) -> None:
    journal = remember(item, ended=False)
    other = replace(item, output=item.output.with_name("dog.png"))
    with journal.opened():
        journal.record(other, Stamp.of(job(other)), RESULT)
    data = journal.path.read_bytes()
    journal.path.write_bytes(data[:-cut])
    whole = cut == 1  # only the line feed is gone
    assert set(journal.read()) == {"sub/cat.png"} | ({"sub/dog.png"} if whole else set())
    with journal.opened():
        journal.record(other, Stamp.of(job(other)), RESULT)
    assert set(journal.read()) == {"sub/cat.png", "sub/dog.png"}


@pytest.mark.parametrize("line", [b"\xff\xfe", b"[]", b"7", b'{"event": "picture"}', b"{", b""])
def test_lines_that_are_nonsense_are_passed_over(item: Item, line: bytes) -> None:
    journal = remember(item, ended=False)
    journal.path.write_bytes(line + b"\n" + journal.path.read_bytes() + line + b"\n")
    assert set(journal.read()) == {"sub/cat.png"}


def test_a_full_disk_is_said_and_does_not_spoil_what_follows(
    item: Item, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = journal_of(item)

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with journal.opened():
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(OutputError, match="No space left"):
                journal.record(item, Stamp.of(job(item)), {})
        journal.record(item, Stamp.of(job(item)), RESULT)
    assert journal.read()["sub/cat.png"].result == RESULT


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (
        pytest.raises(OutputError, match=r"journal\.jsonl cannot be written"),
        Journal(tmp_path / "file" / "out").opened(),
    ):
        pass


def test_an_output_that_is_not_there_is_made(item: Item) -> None:
    assert decide(item, "skip") is None
    remember(item, ended=True)
    item.output.unlink()
    assert [decide(item, exists) for exists in ("skip", "overwrite", "fail")] == [None] * 3


def test_what_is_done_is_skipped(item: Item) -> None:
    remember(item, ended=True)
    assert decide(item, "skip") == ALREADY_DONE
    assert decide(item, "skip", device="cuda:1", threads=3) == ALREADY_DONE
    assert decide(item, "overwrite") is None
    with pytest.raises(InputError, match="exists"):
        decide(item, "fail")


@pytest.mark.parametrize("exists", ["skip", "overwrite", "fail"])
def test_an_interrupted_run_is_resumed(item: Item, exists: str) -> None:
    remember(item, ended=False)
    assert decide(item, exists) == ALREADY_DONE


def test_other_settings_are_said_and_overwritten_on_demand(item: Item) -> None:
    remember(item, ended=False)
    assert "other settings" in (decide(item, "skip", seed=1) or "")
    assert decide(item, "overwrite", seed=1) is None
    with pytest.raises(InputError):
        decide(item, "fail", seed=1)


def test_a_changed_picture_is_said_and_done_again_on_demand(item: Item) -> None:
    remember(item, ended=False)
    item.input.write_bytes(b"another picture")
    assert "another version" in (decide(item, "skip") or "")
    assert decide(item, "overwrite") is None


def test_a_changed_mask_counts_as_other_settings(item: Item, tmp_path: Path) -> None:
    mask = tmp_path / "mask.png"
    mask.write_bytes(b"mask")
    item = replace(item, mask=mask)
    remember(item, ended=False)
    assert decide(item, "skip") == ALREADY_DONE
    mask.write_bytes(b"another mask")
    assert "other settings" in (decide(item, "skip") or "")


def test_files_of_the_user_are_never_taken_for_ours(item: Item) -> None:
    item.output.parent.mkdir()
    item.output.write_bytes(b"the user's")
    assert decide(item, "skip") == "exists"
    assert decide(replace(item, root=None), "skip") == "exists"


def test_a_picture_that_vanished_fails_by_itself(item: Item) -> None:
    item.input.unlink()
    assert "cat.png cannot be read" in (decide(item, "skip") or "")


def test_two_runs_do_not_share_a_folder(item: Item) -> None:
    code = (
        "import sys, time; from pathlib import Path; from dip_batch.lock import FolderLock\n"
        "FolderLock(Path(sys.argv[1])).acquire(); print('locked', flush=True); time.sleep(60)"
    )
    journal = journal_of(item)
    lock = journal.path.with_name("lock")
    lock.parent.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", code, str(lock)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "locked\n"
        with pytest.raises(OutputError, match="Another dip-batch is at work"), journal.opened():
            pass
        other.kill()
        os.waitid(os.P_PID, other.pid, os.WEXITED | os.WNOWAIT)  # ended, but still a zombie
        with journal.opened():
            assert lock.read_text().startswith(f"{os.getpid()} ")
    assert not lock.exists()


def test_a_lock_with_our_own_process_id_was_left_behind(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text(f"{os.getpid()} {platform.node()}\n")
    lock = FolderLock(tmp_path / "lock")
    lock.acquire()
    lock.release()


def test_a_lock_of_another_machine_expires(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.write_text(f"{os.getpid()} another-machine\n")
    with pytest.raises(OutputError):
        FolderLock(path).acquire()
    past = time.time() - STALE_SECONDS - 1
    os.utime(path, (past, past))
    lock = FolderLock(path)
    lock.acquire()
    os.utime(path, (past, past))
    lock.refresh()
    assert path.stat().st_mtime > past + 1
    lock.release()


def test_the_journal_is_plain_json_lines(item: Item) -> None:
    journal = remember(item, ended=True)
    records = [json.loads(line) for line in journal.path.read_text().splitlines()]
    assert [record["event"] for record in records] == ["picture", "end"]


def test_another_second_picture_or_kernel_is_another_job(tmp_path: Path) -> None:
    for name in ("a.png", "one.png", "two.png"):
        (tmp_path / name).write_bytes(b"x")
    picture, one, two = (tmp_path / name for name in ("a.png", "one.png", "two.png"))
    out = tmp_path / "out.png"
    flash = {Stamp.of(Job("flash", picture, out, guide=guide)) for guide in (one, two)}
    sharp = {Stamp.of(Job("deblur", picture, out, kernel=kernel)) for kernel in (None, one, two)}
    assert (len(flash), len(sharp)) == (2, 3)
