"""An engine for the tests of the benchmark: the real process and protocol, flat gray results.

    python reproduce_engine.py LOG SECONDS

Whatever the picture, the start is 110, the fit 102 and the result 104; the snapshots along the fit
are 110, 101 and 104. LOG gets the name of each input. The text ``broken`` in its path asks for
trouble.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Generator
from pathlib import Path

import numpy as np
from PIL import Image

from dip_engine.errors import InputError
from dip_engine.events import Event, Progress, Result, Snapshot, Started
from dip_engine.job import Job
from dip_engine.worker import serve

LOG, SECONDS = Path(sys.argv[1]), float(sys.argv[2])


def restore_events(job: Job, stop: threading.Event) -> Generator[Event, None, None]:
    with LOG.open("a") as file:
        file.write(f"{job.input.name} {job.task} {job.settings.seed}\n")
    if "broken" in job.input.name:
        raise InputError(f"{job.input.name} is damaged.", "Copy it again.")
    with Image.open(job.input) as image:
        shape = np.asarray(image).shape
    factor = job.settings.factor if job.task == "super-resolution" else 1
    shape = (shape[0] * factor, shape[1] * factor, *shape[2:])
    yield Started(shape[1], shape[0], 1, "skip", "cpu", "float32", 0.1)
    assert job.snapshots is not None
    assert job.parts is not None
    for index, value in enumerate((110, 101, 104)):
        path = job.snapshots / f"{index:03}.npy"
        np.save(path, np.full(shape, value / 255, np.float32))
        yield Snapshot(index, 10 * index, str(path), None, 0, 0)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        yield Progress("fit", 0.5, 10, 20, 0.01, 31.4, SECONDS / 2, SECONDS / 2)
        time.sleep(0.02)
    for name, value in (("start", 110), ("fit", 102)):
        np.save(job.parts / f"{name}.npy", np.full(shape, value / 255, np.float32))
    Image.fromarray(np.full(shape, 104, np.uint8)).save(job.output)
    yield Result(
        output=str(job.output),
        task=job.task,
        preset=job.settings.preset,
        network="skip",
        seed=job.settings.seed,
        device="cpu",
        dtype="float32",
        width=shape[1],
        height=shape[0],
        tiles=1,
        stop_reason="held-out error stopped falling",
        iterations=20,
        snapshot=20,
        psnr=31.4,
        noise_std=0.1,
        noise_kind="white",
        seconds=SECONDS,
        versions={"torch": "2"},
    )


if __name__ == "__main__":
    sys.exit(serve(restore_events))
