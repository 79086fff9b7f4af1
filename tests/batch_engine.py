"""An engine for the tests of the batch: the real process and protocol, a made-up restoration.

    python batch_engine.py LOG SECONDS

It copies the input to the output after so many seconds, with a temporary file as the real one has.
LOG gets a line when a picture is begun and one when it is done. Words in the picture's name ask
for trouble.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path

from dip_engine.errors import DeviceError, DeviceLost, InputError, OutOfMemory
from dip_engine.events import Event, Progress, Result, Started
from dip_engine.job import Job
from dip_engine.temporary import temporary_name
from dip_engine.worker import serve

LOG, SECONDS = Path(sys.argv[1]), float(sys.argv[2])


def note(what: str, job: Job) -> bool:
    """Write a line; tell whether it is the first of its kind."""
    line = f"{what} {job.input.name!a} {job.settings.device}\n"
    first = not LOG.exists() or line not in LOG.read_text()
    with LOG.open("a") as file:
        file.write(line)
    return first


def restore_events(job: Job, stop: threading.Event) -> Generator[Event, None, None]:
    data = read(job.input)
    first = note("begin", job)
    yield Started(4, 3, 1, "skip", job.settings.device, "float32", 0.1)
    trouble(job.input.stem, first=first, alone=job.settings.threads is None)
    temporary = temporary_name(job.output)
    try:
        temporary.write_bytes(data[:5])
        end = time.monotonic() + SECONDS
        while time.monotonic() < end:
            yield Progress("fit", 0.5, 10, 20, 0.01, 31.4, SECONDS / 2, SECONDS / 2)
            time.sleep(0.02)
        temporary.write_bytes(data)
        temporary.replace(job.output)
    finally:
        temporary.unlink(missing_ok=True)
    note("done", job)
    yield Result(
        output=str(job.output),
        task=job.task,
        preset=job.settings.preset,
        network="skip",
        seed=job.settings.seed,
        device=job.settings.device,
        dtype="float32",
        width=4,
        height=3,
        tiles=1,
        stop_reason="held-out error stopped falling",
        iterations=20,
        snapshot=17,
        psnr=float("inf") if "equal" in job.input.stem else 31.4,
        noise_std=25 / 255,
        noise_kind="white",
        seconds=SECONDS,
        versions={"torch": "2"},
        warnings=("The picture is small.",) if "warn" in job.input.stem else (),
    )


def read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} does not exist.", "Check the spelling.") from error


def trouble(name: str, *, first: bool, alone: bool) -> None:
    if "broken" in name:
        raise InputError(f"{name}.png is damaged.", "Copy it again.")
    if "memory" in name or ("large" in name and not alone):
        raise OutOfMemory(f"{name}.png is too large.", "Use the preset fast.")
    if "nodevice" in name:
        raise DeviceError("There is no device cuda:9.", "Choose another.")
    if "lost" in name and first:
        raise DeviceLost("The device was lost.")
    if "crash" in name or ("once" in name and first) or ("huge" in name and not alone):
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    if served := os.environ.get("CUDA_MPS_PIPE_DIRECTORY"):
        with LOG.open("a") as file:
            file.write(f"served {served}\n")
    sys.exit(serve(restore_events))
