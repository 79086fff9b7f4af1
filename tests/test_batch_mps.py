"""Several processes on one GPU at the same moment. The daemon is a script that notes its calls."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_batch_cli import Bench

from dip_batch import mps
from dip_batch.mps import is_there, shared_gpus

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the service is Linux's")

TWO = ["cuda:0", "cuda:0"]


class Daemon:
    """A control program that notes the folder, its arguments and what it is told."""

    def __init__(self, folder: Path) -> None:
        self.notes = folder / "notes"
        self.program = folder / "bin" / "nvidia-cuda-mps-control"
        self.program.parent.mkdir()
        self.answer(0)

    def answer(self, code: int) -> None:
        line = 'echo "$CUDA_MPS_PIPE_DIRECTORY|$CUDA_VISIBLE_DEVICES|$*$(cat)"'
        self.program.write_text(f'#!/bin/sh\n{line} >> "{self.notes}"\nexit {code}\n')
        self.program.chmod(0o755)

    def calls(self) -> list[list[str]]:
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        return [line.split("|") for line in lines]

    def was_told(self) -> list[str]:
        return [call[-1] for call in self.calls()]


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Daemon:
    made = Daemon(tmp_path)
    monkeypatch.setenv("PATH", str(made.program.parent), prepend=":")
    monkeypatch.delenv("CUDA_MPS_PIPE_DIRECTORY", raising=False)
    monkeypatch.setattr(mps, "_USUAL", tmp_path / "nobody-runs-one")
    monkeypatch.setattr(mps, "_TRY", "")
    return made


def test_processes_that_share_a_gpu_find_a_daemon_of_their_own(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert is_there()
    with shared_gpus(TWO):
        folder = Path(os.environ["CUDA_MPS_PIPE_DIRECTORY"])
        assert folder.is_dir()
        assert daemon.calls() == [[str(folder), "", "-d"]]  # it sees all devices
    assert daemon.was_told() == ["-d", "quit -t 2"]
    assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    assert not folder.exists()


@pytest.mark.parametrize("devices", [[], ["cuda:0"], ["cuda:0", "cuda:1"], ["cpu", "cpu"]])
def test_nothing_is_started_for_a_device_that_is_not_shared(
    daemon: Daemon, devices: list[str]
) -> None:
    with shared_gpus(devices):
        assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    assert daemon.was_told() == []


def test_a_daemon_that_is_there_serves_us_too(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", "/somewhere")
    daemon.program.unlink()
    assert is_there()
    with shared_gpus(TWO):
        assert os.environ["CUDA_MPS_PIPE_DIRECTORY"] == "/somewhere"
    assert os.environ["CUDA_MPS_PIPE_DIRECTORY"] == "/somewhere"


def test_where_processes_cannot_use_it_they_do_without(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mps, "_TRY", "raise SystemExit(1)")
    with shared_gpus(TWO):
        assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    assert daemon.was_told() == ["-d", "quit -t 2"]


def test_where_no_daemon_starts_they_do_without(daemon: Daemon) -> None:
    daemon.answer(1)
    with shared_gpus(TWO):
        assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    assert daemon.was_told() == ["-d", "quit -t 2"]


def test_without_the_program_there_is_none(daemon: Daemon, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(daemon.notes.parent))
    assert not is_there()
    with shared_gpus(TWO):
        assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ


def test_an_attempt_that_finds_no_gpu_fails() -> None:
    environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [sys.executable, "-I", "-c", mps._TRY], env=environment, capture_output=True, check=False
    )
    assert done.returncode != 0


@pytest.mark.parametrize(
    "number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT]
)
def test_it_does_not_outlive_a_run_that_is_ended(daemon: Daemon, number: int) -> None:
    text = (
        "import os, sys, time; from dip_batch import mps\n"
        "mps._TRY = ''\n"
        "with mps.shared_gpus(['auto', 'auto']):\n"
        "    print(os.environ['CUDA_MPS_PIPE_DIRECTORY'], flush=True)\n"
        "    time.sleep(60)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as process:
        assert process.stdout is not None
        folder = Path(process.stdout.readline().strip())
        assert folder.is_dir()
        os.killpg(process.pid, number)  # as a terminal sends it, to all that it has started
    end = time.monotonic() + 20
    while folder.exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert not folder.exists()
    assert daemon.was_told() == ["-d", "quit -t 2"]


def test_a_batch_with_several_workers_on_a_gpu_has_it(daemon: Daemon, tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.add("a.png", "b.png")
    result = bench.run(bench.photos, "--device", "cuda:0", "--workers", "2")
    assert result.exit_code == 0
    (folder, *_), _ = daemon.calls()
    assert daemon.was_told() == ["-d", "quit -t 2"]
    assert bench.log.read_text().count(f"served {folder}\n") == 2


def test_a_daemon_that_hangs_holds_a_run_up_for_some_seconds_only(
    daemon: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon.program.write_text("#!/bin/sh\nexec sleep 60\n")
    begin = time.monotonic()
    with shared_gpus(TWO):
        assert "CUDA_MPS_PIPE_DIRECTORY" not in os.environ
    assert time.monotonic() - begin < 45
