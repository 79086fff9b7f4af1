"""A run that is killed or interrupted goes on where it was, and leaves nothing behind."""

from __future__ import annotations

import json
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from dip_engine.processes import is_running

ENGINE = Path(__file__).with_name("batch_engine.py")
NAMES = [f"p{number}.png" for number in range(10)]


class Batch:
    """Ten pictures and the command that restores them."""

    def __init__(self, folder: Path) -> None:
        self.photos = folder / "photos"
        self.out = folder / "photos-restored"
        self.log = folder / "engine-log"
        self.photos.mkdir()
        for name in NAMES:
            (self.photos / name).write_bytes(name.encode())

    def start(self, *options: str, seconds: float = 0.15) -> subprocess.Popen[str]:
        engine = shlex.join([sys.executable, str(ENGINE), str(self.log), str(seconds)])
        command = [sys.executable, "-m", "dip_batch", str(self.photos), "--task", "denoise"]
        command += ["--workers", "1"]
        return subprocess.Popen(
            [*command, "--engine", engine, *options],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, *options: str) -> str:
        process = self.start(*options, seconds=0.02)
        stdout, stderr = process.communicate(timeout=60)
        assert process.returncode == 0, stderr
        return stdout

    def count(self, what: str) -> Counter[str]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return Counter(line.split("'")[1] for line in lines if line.startswith(what))

    def wait_for(self, begun: int) -> None:
        """Wait until so many pictures were begun and the last one is under way."""
        wait_until(lambda: self.count("begin").total() >= begun)
        wait_until(lambda: any(self.out.glob(".*.dip-tmp")))

    def engines(self) -> list[psutil.Process]:
        """Return the engine processes of this folder, whoever their parent is."""
        running = psutil.process_iter(["cmdline"])
        return [process for process in running if str(self.log) in (process.info["cmdline"] or [])]

    def kill(self, process: subprocess.Popen[str]) -> None:
        """Kill -9 the batch, and see its engine vanish too."""
        engines = self.engines()
        assert engines
        process.kill()
        self.wait_for_end(engines)

    def wait_for_end(self, engines: list[psutil.Process]) -> None:
        # A zombie has ended: some containers never collect it.
        wait_until(lambda: not any(is_running(engine.pid) for engine in engines), seconds=5)

    def check_whole(self) -> None:
        """Check that every picture is there, and nothing that should not be."""
        for name in NAMES:
            assert (self.out / name).read_bytes() == name.encode()
        assert sorted(path.name for path in self.out.iterdir()) == sorted(
            [*NAMES, "report.json", ".dip-batch"]
        )
        assert not (self.out / ".dip-batch" / "lock").exists()
        report = json.loads((self.out / "report.json").read_text())
        assert report["totals"]["pictures"] == len(NAMES)
        assert report["totals"]["failed"] == 0


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@pytest.fixture
def batch(tmp_path: Path) -> Iterator[Batch]:
    batch = Batch(tmp_path)
    yield batch
    for process in batch.engines():
        process.kill()


@pytest.mark.parametrize("exists", ["skip", "overwrite"])
def test_kill_9_and_the_same_command_again(batch: Batch, exists: str) -> None:
    with batch.start("--exists", exists) as process:
        batch.wait_for(begun=4)
        batch.kill(process)
    assert process.returncode == -signal.SIGKILL
    assert not batch.engines()
    before = batch.count("done")
    assert 3 <= before.total() < 10

    said = batch.finish("--exists", exists)
    assert "already done" in said
    in_flight = batch.count("begin") - Counter(NAMES)
    assert in_flight.total() <= 1
    assert batch.count("done").total() <= 11
    assert set(batch.count("done")) == set(NAMES)
    assert not batch.engines()
    batch.check_whole()


def test_killed_again_and_again(batch: Batch) -> None:
    for begun in (2, 5):
        with batch.start() as process:
            batch.wait_for(begun)
            batch.kill(process)
    batch.finish()
    assert batch.count("begin").total() <= 10 + 2
    batch.check_whole()


def test_a_finished_overwrite_starts_anew(batch: Batch) -> None:
    batch.finish("--exists", "overwrite")
    batch.finish("--exists", "overwrite")
    assert batch.count("done") == Counter(NAMES * 2)
    batch.check_whole()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_in_order_and_the_next_run_goes_on(
    batch: Batch, number: signal.Signals
) -> None:
    process = batch.start()
    batch.wait_for(begun=3)
    begun = time.monotonic()
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=20)
    assert time.monotonic() - begun < 3
    assert process.returncode == 130, stderr
    assert "Stopping" in stderr
    assert "the same command goes on from here" in stdout
    assert not batch.engines()
    assert not list(batch.out.glob(".*.dip-tmp"))
    report = json.loads((batch.out / "report.json").read_text())
    assert report["ending"] == "interrupted"
    assert report["totals"]["done"] == batch.count("done").total() >= 2
    assert report["totals"]["left"] == 10 - report["totals"]["done"]

    batch.finish()
    assert batch.count("done") == Counter(NAMES)
    batch.check_whole()


def test_the_second_interrupt_ends_at_once(batch: Batch) -> None:
    process = batch.start()
    batch.wait_for(begun=2)
    engines = batch.engines()
    process.send_signal(signal.SIGSTOP)  # so that both are there before it can act on the first
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    _, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Stopping" not in stderr
    batch.wait_for_end(engines)
    batch.finish()
    assert batch.count("begin").total() <= 11
    batch.check_whole()


def test_two_runs_at_once_do_not_fight(batch: Batch) -> None:
    first = batch.start()
    batch.wait_for(begun=1)
    second = batch.start()
    _, stderr = second.communicate(timeout=20)
    assert second.returncode == 3
    assert "Another dip-batch is at work" in stderr
    first.communicate(timeout=60)
    assert first.returncode == 0
    assert batch.count("begin") == Counter(NAMES)
    batch.check_whole()
