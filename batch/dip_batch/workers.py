"""How many pictures are worked on at the same time, and with how many CPU threads each.

A fit is a chain of small steps, which several cores cannot share well: on a CPU one process with
one thread per core gets through far more pictures than all cores on one picture.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from ctypes.util import find_library
from dataclasses import dataclass
from pathlib import Path

import psutil

from dip_batch.estimate import estimate, on_gpu, size_of
from dip_batch.todo import Todo
from dip_engine.errors import DipError
from dip_engine.processes import free_cores

_FREE = 0.8  # of the memory that is free now may be used
_LOOKED_AT = 200  # pictures whose sizes tell how much memory is needed


@dataclass(frozen=True, slots=True)
class Worker:
    """An engine process that takes one picture after the other.

    Attributes:
        device: for `Settings.device`.
        threads: for `Settings.threads`; None for all.
    """

    device: str
    threads: int | None = None


def share_out(
    devices: Sequence[str], todos: Sequence[Todo], wanted: int | None = None
) -> list[Worker]:
    """Return the workers for some pictures.

    Args:
        devices: as the user names them.
        todos: the pictures.
        wanted: workers for each device, or None to choose: one on a GPU, and on a CPU one per
            core, as far as there are pictures and memory for them.
    """
    if wanted is None:
        wanted = 1 if _has_gpu(devices) else _as_many_as_fit(todos)
    count = max(1, min(wanted * len(devices), len(todos)))
    threads = None if count == 1 else max(1, free_cores() // count)
    return [Worker(devices[number % len(devices)], threads) for number in range(count)]


def _has_gpu(devices: Iterable[str]) -> bool:
    """Tell whether a device is, or may turn out to be, a GPU, without loading torch."""
    devices = list(devices)
    if any(map(on_gpu, devices)):
        return True
    return "auto" in devices and (
        sys.platform == "darwin"
        or Path("/dev/kfd").exists()  # AMD
        or find_library("nvcuda" if sys.platform == "win32" else "cuda") is not None
    )


def _as_many_as_fit(todos: Sequence[Todo]) -> int:
    needed = max(map(_gigabytes, todos[:_LOOKED_AT]), default=1.0)
    free = psutil.virtual_memory().available / 1e9
    return max(1, min(free_cores(), int(_FREE * free / needed)))


def _gigabytes(todo: Todo) -> float:
    """Return the memory a picture takes; what cannot be read will be told when its turn comes."""
    try:
        width, height, frames = size_of(todo.job.input)
    except (DipError, OSError):
        width, height, frames = 0, 0, None
    cost = estimate(todo.job.task, todo.job.settings, (width, height), cores=1, frames=frames)
    return cost.gigabytes
